use std::path::Path;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use netns_scan::netlink::message::{Body, Request, parse};
use netns_testbed::{Bridge, LinkChange, NetnsDir, Rtnl, Test, Tun, Veth, tests};
use nix::libc;

#[path = "../corpus/reference.rs"]
mod reference;

/// A directory to write what was captured to: one file a datagram, as the fuzzer wants them.
const TO: &str = "NETNS_CAPTURE_TO";

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    tests![every_message_the_kernel_sends_is_understood].into_iter()
}

/// All that a namespace's links can be made to say: events of every kind, dumps, counters.
fn every_message_the_kernel_sends_is_understood() {
    let pod = NetnsDir::standard().add("pod");
    let heard = pod.inside(|| {
        let mut socket = Socket::new(NETLINK_ROUTE).unwrap();
        socket.bind(&SocketAddr::new(0, 0)).unwrap();
        for group in [libc::RTNLGRP_LINK, libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR] {
            socket.add_membership(group).unwrap();
        }
        socket
    });
    live(&pod);
    let mut datagrams = drain(&heard);
    for (n, mut request) in
        [Request::list_links(None), Request::list_addresses(None), Request::list_stats()].into_iter().enumerate()
    {
        heard.send_to(request.bytes(n as u32 + 1), &SocketAddr::new(0, 0), 0).unwrap();
        datagrams.extend(drain(&heard));
    }
    assert!(datagrams.len() > 30, "only {} datagrams", datagrams.len());
    let mut links = 0;
    for datagram in &datagrams {
        for message in parse(datagram) {
            let message = message.unwrap_or_else(|error| panic!("{error}: {datagram:?}"));
            if let Body::NewLink(link) = message.body {
                links += usize::from(link.link().unwrap().is_some());
                link.counters().unwrap();
            }
        }
    }
    assert!(links > 20, "only {links} links were described");
    let compared: usize = datagrams.iter().map(|datagram| reference::compare(datagram)).sum();
    assert!(compared > 30, "only {compared} messages were compared with netlink-packet-route");
    if let Ok(to) = std::env::var(TO) {
        for (n, datagram) in datagrams.iter().enumerate() {
            std::fs::write(Path::new(&to).join(format!("{n:03}")), datagram).unwrap();
        }
    }
}

fn live(pod: &netns_testbed::Netns) {
    let rtnl = pod.rtnl();
    let veth = Veth::up("host0", pod, "eth0");
    let _links = (Bridge::new(Some(pod), "br0"), Tun::new(Some(pod), "tun0"));
    rtnl.add_veth("a", "b", None);
    rtnl.up(&["lo", "a", "b", "br0", "tun0"]);
    rtnl.set("a", LinkChange::Master(rtnl.index_of("br0").unwrap()));
    rtnl.set("b", LinkChange::Name("renamed"));
    rtnl.set("eth0", LinkChange::Mac([2, 0, 0, 0, 0, 1]));
    rtnl.add_address("eth0", "10.0.0.2/24".parse().unwrap());
    rtnl.add_address("eth0", "fd00::2/64".parse().unwrap());
    rtnl.remove_address("eth0", "10.0.0.2/24".parse().unwrap());
    rtnl.set("renamed", LinkChange::Netns(Path::new("/proc/self/ns/net")));
    Rtnl::new().delete("renamed");
    drop(veth);
}

/// Everything that is in the socket's queue; the kernel answers a request before `send` returns.
fn drain(socket: &Socket) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    loop {
        let mut datagram = Vec::with_capacity(64 * 1024);
        match socket.recv(&mut datagram, libc::MSG_DONTWAIT) {
            Ok(0) | Err(_) => return datagrams,
            Ok(_) => datagrams.push(datagram),
        }
    }
}
