use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};

use ipnet::IpNet;

use crate::link::Veth;
use crate::netns::Netns;
use crate::rtnl::Rtnl;

/// A veth pair on which nothing but the test's own datagrams is sent.
///
/// IPv6 is off, and the datagrams are broadcast, so that no ARP request precedes them.
#[derive(Debug)]
pub struct QuietVeth {
    /// The pair, both ends up.
    pub pair: Veth,
    subnet: [u8; 2],
}

/// Bytes of a datagram beside its content: Ethernet, IPv4 and UDP headers.
const HEADERS: u64 = 14 + 20 + 8;

/// Bytes in the content of each datagram.
const CONTENT: usize = 100;

impl QuietVeth {
    /// Bytes that the kernel counts for a datagram.
    pub const DATAGRAM: u64 = CONTENT as u64 + HEADERS;

    /// `host` here, `inner` in `netns`; `number` makes the subnet unique.
    #[track_caller]
    #[must_use]
    pub fn up(host: &str, netns: &Netns, inner: &str, number: u16) -> Self {
        switch_off_ipv6();
        Self::quieten(netns);
        let pair = Veth::up(host, netns, inner);
        let veth = Self { pair, subnet: number.to_be_bytes() };
        Rtnl::new().add_address(host, veth.net(1));
        netns.rtnl().add_address(inner, veth.net(2));
        veth.run(netns, inner);
        veth
    }

    /// Brings the end inside of `netns` up after a move, until both ends pass packets.
    #[track_caller]
    pub fn run(&self, netns: &Netns, inner: &str) {
        netns.rtnl().up(&[inner]);
        netns.rtnl().until_running(inner);
        Rtnl::new().until_running(self.pair.host());
    }

    /// Prepares another namespace for the end inside.
    #[track_caller]
    pub fn quieten(netns: &Netns) {
        netns.inside(switch_off_ipv6);
    }

    /// Sends datagrams to the end inside.
    #[track_caller]
    pub fn send_in(&self, datagrams: u64) {
        self.send(1, datagrams);
    }

    /// Sends datagrams from the end inside of `netns`.
    #[track_caller]
    pub fn send_out(&self, netns: &Netns, datagrams: u64) {
        netns.inside(|| self.send(2, datagrams));
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        let [high, low] = self.subnet;
        Ipv4Addr::new(10, high, low, host)
    }

    fn net(&self, host: u8) -> IpNet {
        format!("{}/24", self.address(host)).parse().unwrap_or_else(|error| panic!("an address: {error}"))
    }

    #[track_caller]
    fn send(&self, from: u8, datagrams: u64) {
        let send = || {
            let socket = UdpSocket::bind((self.address(from), 0))?;
            socket.set_broadcast(true)?;
            (0..datagrams).try_for_each(|_| socket.send_to(&[0; CONTENT], (self.address(255), 9)).map(drop))
        };
        send().unwrap_or_else(|error| panic!("cannot send to {}: {error}", self.address(255)));
    }
}

/// For links that come up later in the calling thread's namespace.
fn switch_off_ipv6() {
    for of in ["all", "default"] {
        match fs::write(format!("/proc/sys/net/ipv6/conf/{of}/disable_ipv6"), "1") {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("cannot switch off IPv6: {error}"),
            // A kernel without IPv6 is as quiet.
            _ => {}
        }
    }
}
