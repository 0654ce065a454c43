use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A request socket of rtnetlink(7) in the namespace of its creation.
#[derive(Debug)]
pub struct Rtnl {
    socket: Socket,
}

/// A change of a link.
#[derive(Clone, Copy, Debug)]
pub enum LinkChange<'a> {
    /// Administratively up or down.
    Up(bool),
    /// MTU in bytes.
    Mtu(u32),
    /// Link-layer address.
    Mac([u8; 6]),
    /// Another name.
    Name(&'a str),
    /// Into the namespace at this path.
    Netns(&'a Path),
    /// Into the bridge with this ifindex; 0 removes the link from a bridge.
    Master(u32),
    /// Another alias; an empty text removes the alias.
    Alias(&'a str),
    /// Another far end of a VXLAN.
    Remote([u8; 4]),
}

const NEW: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
/// `VETH_INFO_PEER` of `linux/veth.h`.
const VETH_INFO_PEER: u16 = 1;
/// Attributes of `IFLA_INFO_DATA` of a VXLAN: `IFLA_VXLAN_*` of `linux/if_link.h`.
const VXLAN_ID: u16 = 1;
const VXLAN_GROUP: u16 = 2;
const VXLAN_LINK: u16 = 3;
const VXLAN_LOCAL: u16 = 4;
const VXLAN_PORT: u16 = 15;
/// `NETNSA_FD` of `linux/net_namespace.h`.
const NETNSA_FD: u16 = 3;
/// `RTM_NEWLINKPROP` of `linux/rtnetlink.h`.
const RTM_NEWLINKPROP: u16 = 108;
/// `NLA_F_NESTED` of `linux/netlink.h`.
const NESTED: u16 = 1 << 15;

impl Rtnl {
    /// In the calling thread's namespace.
    #[must_use]
    pub fn new() -> Self {
        let connected = Socket::new(NETLINK_ROUTE).and_then(|socket| {
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        });
        Self { socket: connected.unwrap_or_else(|e| panic!("cannot open a netlink socket: {e}")) }
    }

    /// Makes a veth; the second end goes into the namespace at `peer_netns`, if given.
    #[track_caller]
    pub fn add_veth(&self, name: &str, peer: &str, peer_netns: Option<&Path>) {
        let netns = peer_netns.map(open);
        let mut request = link_request(libc::RTM_NEWLINK, NEW, 0);
        request.name(name);
        request.nest(libc::IFLA_LINKINFO, |info| {
            info.attribute(libc::IFLA_INFO_KIND, b"veth");
            info.nest(libc::IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |end| {
                    end.bytes(&[0; 16]);
                    end.name(peer);
                    if let Some(netns) = &netns {
                        end.attribute(libc::IFLA_NET_NS_FD, &netns.as_raw_fd().to_ne_bytes());
                    }
                });
            });
        });
        self.must(request, format_args!("add the veth {name} with the peer {peer}"));
    }

    /// A socket with notifications of all links of the namespace, for [`until_deleted`](Self::until_deleted).
    #[must_use]
    pub fn listening_to_links() -> Self {
        let rtnl = Self::new();
        let joined = rtnl.socket.add_membership(libc::RTNLGRP_LINK);
        joined.unwrap_or_else(|e| panic!("cannot listen to links: {e}"));
        rtnl
    }

    /// Waits for the deletion notification of the link with this ifindex, without a request.
    #[track_caller]
    pub fn until_deleted(&self, index: u32, limit: Duration) {
        let start = Instant::now();
        loop {
            let left = limit.saturating_sub(start.elapsed()).as_millis();
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
            assert_eq!(ready, Ok(1), "link {index} is there after {limit:?}");
            let (heard, _) = self.socket.recv_from_full().unwrap_or_else(|e| panic!("cannot listen: {e}"));
            // The kernel announces a link in a datagram of its own.
            let gone = u16::from_ne_bytes(field(&heard, 4)) == libc::RTM_DELLINK;
            if gone && u32::from_ne_bytes(field(&heard, 20)) == index {
                return;
            }
        }
    }

    /// Creates a link of a kind that needs only a name.
    #[track_caller]
    pub fn add_link(&self, kind: &str, name: &str) {
        self.add_link_with_index(kind, name, 0);
    }

    /// The same under a chosen index; 0 leaves the choice to the kernel.
    #[track_caller]
    pub fn add_link_with_index(&self, kind: &str, name: &str, index: u32) {
        let mut request = link_request(libc::RTM_NEWLINK, NEW, index);
        request.name(name);
        request.nest(libc::IFLA_LINKINFO, |info| info.attribute(libc::IFLA_INFO_KIND, kind.as_bytes()));
        self.must(request, format_args!("add the {kind} {name}"));
    }

    /// Creates a macvlan on the link with this index in the namespace at `netns`, the own namespace if `None`.
    #[track_caller]
    pub fn add_macvlan(&self, name: &str, lower: u32, netns: Option<&Path>) {
        let netns = netns.map(open);
        let mut request = link_request(libc::RTM_NEWLINK, NEW, 0);
        request.name(name);
        request.attribute(libc::IFLA_LINK, &lower.to_ne_bytes());
        if let Some(netns) = &netns {
            request.attribute(libc::IFLA_NET_NS_FD, &netns.as_raw_fd().to_ne_bytes());
        }
        request.nest(libc::IFLA_LINKINFO, |info| info.attribute(libc::IFLA_INFO_KIND, b"macvlan"));
        self.must(request, format_args!("add the macvlan {name} on {lower}"));
    }

    /// Creates a VXLAN from `ends[0]` to `ends[1]`, on the link with this index unless it is 0.
    #[track_caller]
    pub fn add_vxlan(&self, name: &str, id: u32, ends: [[u8; 4]; 2], lower: u32) {
        let mut request = link_request(libc::RTM_NEWLINK, NEW, 0);
        request.name(name);
        request.nest(libc::IFLA_LINKINFO, |info| {
            info.attribute(libc::IFLA_INFO_KIND, b"vxlan");
            info.nest(libc::IFLA_INFO_DATA, |data| {
                data.attribute(VXLAN_ID, &id.to_ne_bytes());
                data.attribute(VXLAN_LOCAL, &ends[0]);
                data.attribute(VXLAN_GROUP, &ends[1]);
                data.attribute(VXLAN_PORT, &4789_u16.to_be_bytes());
                if lower != 0 {
                    data.attribute(VXLAN_LINK, &lower.to_ne_bytes());
                }
            });
        });
        self.must(request, format_args!("add the VXLAN {name} on {lower}"));
    }

    /// Gives a link an alternative name.
    #[track_caller]
    pub fn add_alt_name(&self, name: &str, alternative: &str) {
        let index = self.index_of(name).unwrap_or_else(|| panic!("no link {name} to call {alternative}"));
        let mut request = link_request(RTM_NEWLINKPROP, NEW, index);
        request.nest(libc::IFLA_PROP_LIST | NESTED, |list| {
            list.attribute(libc::IFLA_ALT_IFNAME, &[alternative.as_bytes(), b"\0"].concat());
        });
        self.must(request, format_args!("call {name} {alternative}, too"));
    }

    /// Deletes a link.
    #[track_caller]
    pub fn delete(&self, name: &str) {
        self.must(delete_request(name), format_args!("delete {name}"));
    }

    /// Deletes a link; returns `false` if the link did not exist.
    pub fn delete_if_there(&self, name: &str) -> bool {
        self.call(delete_request(name)).is_ok()
    }

    /// Changes a link. Linux before 6.2 renames only links that are down: there the link goes down and up again.
    #[track_caller]
    pub fn set(&self, name: &str, change: LinkChange<'_>) {
        let index = self.index_of(name).unwrap_or_else(|| panic!("no link {name} to change: {change:?}"));
        let (request, _netns) = change_request(index, change);
        match self.call(request) {
            Err(busy) if busy.raw_os_error() == Some(libc::EBUSY) && matches!(change, LinkChange::Name(_)) => {
                for change in [LinkChange::Up(false), change, LinkChange::Up(true)] {
                    self.must(change_request(index, change).0, format_args!("rename {name}: {change:?}"));
                }
            }
            result => drop(result.unwrap_or_else(|error| panic!("cannot change {name}: {change:?}: {error}"))),
        }
    }

    /// Brings links up.
    #[track_caller]
    pub fn up(&self, names: &[&str]) {
        for name in names {
            self.set(name, LinkChange::Up(true));
        }
    }

    /// Sets the link's MTU `times` times, to 1,400 and 1,401 in turn, a hundred requests a system call.
    ///
    /// The kernel sends a notification for each change.
    #[track_caller]
    pub fn flood(&self, name: &str, times: usize) {
        let index = self.index_of(name).unwrap_or_else(|| panic!("no link {name} to flood"));
        let [even, odd] = [1_400, 1_401].map(|mtu| change_request(index, LinkChange::Mtu(mtu)).0.finish(0, false));
        let batch = [even, odd].concat().repeat(50);
        let size = batch.len() / 100;
        for sent in (0..times).step_by(100) {
            let part = &batch[..size * (times - sent).min(100)];
            self.socket.send(part, 0).unwrap_or_else(|e| panic!("cannot flood {name}: {e}"));
        }
        assert!(self.index_of(name).is_some(), "{name} is gone after the flood");
    }

    /// Adds an address to a link; IPv6 without duplicate address detection, usable at once.
    #[track_caller]
    pub fn add_address(&self, name: &str, address: IpNet) {
        self.add_point_to_point(name, address, address.addr());
    }

    /// Removes an address.
    #[track_caller]
    pub fn remove_address(&self, name: &str, address: IpNet) {
        self.remove_point_to_point(name, address, address.addr());
    }

    /// Adds an address with a peer, as on a point-to-point link.
    #[track_caller]
    pub fn add_point_to_point(&self, name: &str, address: IpNet, peer: IpAddr) {
        let index = self.index_of(name).unwrap_or_else(|| panic!("no link {name} for {address}"));
        let request = address_request(libc::RTM_NEWADDR, NEW, index, address, peer);
        self.must(request, format_args!("add {address} peer {peer} to {name}"));
    }

    /// Removes an address with a peer.
    #[track_caller]
    pub fn remove_point_to_point(&self, name: &str, address: IpNet, peer: IpAddr) {
        let request = self.removal(name, address, peer);
        self.must(request, format_args!("remove {address} peer {peer} from {name}"));
    }

    /// Removes an address with a peer; returns `false` if the link did not have it.
    #[track_caller]
    pub fn remove_point_to_point_if_there(&self, name: &str, address: IpNet, peer: IpAddr) -> bool {
        match self.call(self.removal(name, address, peer)) {
            Ok(_) => true,
            Err(absent) if absent.raw_os_error() == Some(libc::EADDRNOTAVAIL) => false,
            Err(error) => panic!("cannot remove {address} peer {peer} from {name}: {error}"),
        }
    }

    #[track_caller]
    fn removal(&self, name: &str, address: IpNet, peer: IpAddr) -> Request {
        let index = self.index_of(name).unwrap_or_else(|| panic!("no link {name} with {address}"));
        address_request(libc::RTM_DELADDR, 0, index, address, peer)
    }

    /// The link's ifindex, `None` if the link does not exist.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<u32> {
        let mut request = link_request(libc::RTM_GETLINK, 0, 0);
        request.name(name);
        match self.call(request) {
            // The reply's ifinfomsg follows the header; the ifindex is at offset 4.
            Ok(reply) => Some(u32::from_ne_bytes(field(&reply, 20))),
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => None,
            Err(e) => panic!("cannot look {name} up: {e}"),
        }
    }

    /// The nsid of another namespace in the socket's own.
    #[must_use]
    pub fn nsid_of(&self, netns: &File) -> Option<i32> {
        let mut request = Request::new(libc::RTM_GETNSID, 0);
        request.bytes(&[0; 4]);
        request.attribute(NETNSA_FD, &netns.as_raw_fd().to_ne_bytes());
        let reply = self.call(request).unwrap_or_else(|e| panic!("cannot ask for the nsid of a namespace: {e}"));
        // NETNSA_NSID is the only attribute, behind a padded rtgenmsg.
        Some(i32::from_ne_bytes(field(&reply, 24))).filter(|nsid| *nsid >= 0)
    }

    /// Waits until the kernel sends packets through a link that is up: until then the kernel drops packets silently.
    #[track_caller]
    pub fn until_running(&self, name: &str) {
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            let mut request = link_request(libc::RTM_GETLINK, 0, 0);
            request.name(name);
            // The flags of ifinfomsg are at offset 8.
            let flags = self.call(request).map(|reply| u32::from_ne_bytes(field(&reply, 24)));
            match flags {
                Ok(flags) if flags & libc::IFF_RUNNING.cast_unsigned() != 0 => return,
                Ok(_) if Instant::now() < limit => std::thread::yield_now(),
                other => panic!("{name} does not run: {other:?}"),
            }
        }
    }

    #[track_caller]
    fn must(&self, request: Request, what: impl Debug) {
        if let Err(error) = self.call(request) {
            panic!("cannot {what:?}: {error}");
        }
    }

    /// Sends one request and reads the reply: the first message, or its error.
    fn call(&self, request: Request) -> io::Result<Vec<u8>> {
        let answered = [libc::RTM_GETLINK, libc::RTM_GETNSID].contains(&request.kind);
        self.socket.send(&request.finish(1, !answered), 0)?;
        let (reply, _) = self.socket.recv_from_full()?;
        let kind = u16::from_ne_bytes(field(&reply, 4));
        if u32::from_ne_bytes(field(&reply, 8)) != 1 {
            // A flood requests no acknowledgements, so all replies are errors.
            return Err(io::Error::other("an earlier request without answer failed"));
        }
        if i32::from(kind) != libc::NLMSG_ERROR {
            return Ok(reply);
        }
        match i32::from_ne_bytes(field(&reply, 16)) {
            0 => Ok(reply),
            errno => Err(io::Error::from_raw_os_error(-errno)),
        }
    }
}

impl Default for Rtnl {
    fn default() -> Self {
        Self::new()
    }
}

fn field<const N: usize>(message: &[u8], at: usize) -> [u8; N] {
    let bytes = message.get(at..at + N).and_then(|bytes| bytes.try_into().ok());
    bytes.unwrap_or_else(|| panic!("the kernel's answer is too short: {message:?}"))
}

fn open(netns: &Path) -> File {
    File::open(netns).unwrap_or_else(|e| panic!("cannot open the namespace {}: {e}", netns.display()))
}

fn delete_request(name: &str) -> Request {
    let mut request = link_request(libc::RTM_DELLINK, 0, 0);
    request.name(name);
    request
}

/// The file, if any, must stay open until the request is sent.
fn change_request(index: u32, change: LinkChange<'_>) -> (Request, Option<File>) {
    let mut request = link_request(libc::RTM_NEWLINK, 0, index);
    let mut file = None;
    match change {
        LinkChange::Up(up) => {
            let iff_up = libc::IFF_UP as u32;
            request.set(24, &if up { iff_up } else { 0 }.to_ne_bytes());
            request.set(28, &iff_up.to_ne_bytes());
        }
        LinkChange::Mtu(mtu) => request.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes()),
        LinkChange::Mac(mac) => request.attribute(libc::IFLA_ADDRESS, &mac),
        LinkChange::Name(name) => request.name(name),
        LinkChange::Netns(path) => {
            let netns = file.insert(open(path));
            request.attribute(libc::IFLA_NET_NS_FD, &netns.as_raw_fd().to_ne_bytes());
        }
        LinkChange::Alias(alias) => request.attribute(libc::IFLA_IFALIAS, &[alias.as_bytes(), b"\0"].concat()),
        LinkChange::Remote(remote) => request.nest(libc::IFLA_LINKINFO, |info| {
            info.attribute(libc::IFLA_INFO_KIND, b"vxlan");
            info.nest(libc::IFLA_INFO_DATA, |data| data.attribute(VXLAN_GROUP, &remote));
        }),
        LinkChange::Master(master) => request.attribute(libc::IFLA_MASTER, &master.to_ne_bytes()),
    }
    (request, file)
}

fn link_request(kind: u16, flags: u16, index: u32) -> Request {
    let mut request = Request::new(kind, flags);
    let mut ifinfomsg = [0; 16];
    ifinfomsg[4..8].copy_from_slice(&index.to_ne_bytes());
    request.bytes(&ifinfomsg);
    request
}

fn address_request(kind: u16, flags: u16, index: u32, address: IpNet, peer: IpAddr) -> Request {
    let mut request = Request::new(kind, flags);
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let family = if address.addr().is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    request.bytes(&[family as u8, address.prefix_len(), libc::IFA_F_NODAD as u8, 0]);
    request.bytes(&index.to_ne_bytes());
    request.attribute(libc::IFA_LOCAL, &octets(address.addr()));
    request.attribute(libc::IFA_ADDRESS, &octets(peer));
    request
}

/// Builds a netlink message: `struct nlmsghdr`, then the payload, netlink(7).
struct Request {
    kind: u16,
    flags: u16,
    message: Vec<u8>,
}

impl Request {
    fn new(kind: u16, flags: u16) -> Self {
        Self { kind, flags, message: vec![0; 16] }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.message.extend_from_slice(bytes);
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        self.message[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn name(&mut self, name: &str) {
        self.attribute(libc::IFLA_IFNAME, &[name.as_bytes(), b"\0"].concat());
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest(kind, |inner| inner.bytes(value));
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.message.len();
        self.bytes(&[0; 4]);
        fill(self);
        let length = (self.message.len() - start) as u16;
        self.set(start, &length.to_ne_bytes());
        self.set(start + 2, &kind.to_ne_bytes());
        self.message.resize(self.message.len().next_multiple_of(4), 0);
    }

    fn finish(mut self, sequence: u32, acknowledge: bool) -> Vec<u8> {
        let acknowledge = if acknowledge { libc::NLM_F_ACK as u16 } else { 0 };
        let flags = self.flags | libc::NLM_F_REQUEST as u16 | acknowledge;
        let length = self.message.len() as u32;
        self.set(0, &length.to_ne_bytes());
        self.set(4, &self.kind.to_ne_bytes());
        self.set(6, &flags.to_ne_bytes());
        self.set(8, &sequence.to_ne_bytes());
        self.message
    }
}
