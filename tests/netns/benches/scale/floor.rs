//! The bare system calls in a loop, without use of the replies.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use netns_scan::netlink::message::{Body, Request, parse};
use nix::sched::CloneFlags;

use crate::Figures;
use crate::watch::cpu_seconds;

/// Names in the directory, listed as a watcher lists names.
fn paths() -> Vec<PathBuf> {
    std::fs::read_dir("/run/netns").unwrap().map(|entry| entry.unwrap().path()).collect()
}

pub(crate) fn nsid() -> Figures {
    let start = Instant::now();
    let mut socket = open();
    socket.set_netlink_get_strict_chk(true).unwrap();
    let mut buffer = vec![0; 64 * 1024];
    dump(&mut socket, None, &mut buffer);
    let mut nsids = Vec::new();
    for path in paths() {
        let file = File::open(path).unwrap();
        ask(&socket, Request::get_nsid_of_fd(file.as_raw_fd()), &mut buffer, |body| {
            if let Body::NewNsid(nsid) = body {
                nsids.push(nsid);
            }
        });
        drop(file);
        dump(&mut socket, nsids.last().copied(), &mut buffer);
    }
    let (known, cpu) = (start.elapsed(), cpu_seconds());
    let start = Instant::now();
    for nsid in &nsids {
        ask(&socket, Request::list_links(Some(*nsid)), &mut buffer, |_| {});
    }
    figures(known, cpu, start.elapsed())
}

pub(crate) fn setns() -> Figures {
    let start = Instant::now();
    let home = File::open("/proc/self/ns/net").unwrap();
    let mut host = open();
    let mut buffer = vec![0; 64 * 1024];
    dump(&mut host, None, &mut buffer);
    let mut sockets = vec![host];
    for path in paths() {
        #[expect(clippy::disallowed_methods, reason = "this is what the watcher is measured against")]
        nix::sched::setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        let mut socket = open();
        #[expect(clippy::disallowed_methods, reason = "this is what the watcher is measured against")]
        nix::sched::setns(&home, CloneFlags::CLONE_NEWNET).unwrap();
        dump(&mut socket, None, &mut buffer);
        sockets.push(socket);
    }
    let (known, cpu) = (start.elapsed(), cpu_seconds());
    let start = Instant::now();
    for socket in &sockets {
        ask(socket, Request::list_stats(), &mut buffer, |_| {});
    }
    figures(known, cpu, start.elapsed())
}

fn figures(known: Duration, cpu: f64, counted: Duration) -> Figures {
    Figures::from([
        ("all interfaces known, ms".into(), known.as_secs_f64() * 1e3),
        ("one pass over all counters, ms".into(), counted.as_secs_f64() * 1e3),
        ("CPU to know all, ms".into(), cpu * 1e3),
    ])
}

fn open() -> Socket {
    let mut socket = Socket::new(NETLINK_ROUTE).unwrap();
    // Links and both families' addresses.
    socket.bind(&SocketAddr::new(0, 1 | 1 << 4 | 1 << 8)).unwrap();
    socket
}

fn dump(socket: &mut Socket, nsid: Option<i32>, buffer: &mut [u8]) {
    ask(socket, Request::list_links(nsid), buffer, |_| {});
    ask(socket, Request::list_addresses(nsid), buffer, |_| {});
}

fn ask(socket: &Socket, mut request: Request, buffer: &mut [u8], mut take: impl FnMut(Body<'_>)) {
    socket.send_to(request.bytes(1), &SocketAddr::new(0, 0), 0).unwrap();
    loop {
        let len = socket.recv(&mut &mut *buffer, 0).unwrap();
        for message in parse(&buffer[..len]) {
            match message.unwrap().body {
                Body::End(result) => {
                    assert_eq!(result, 0);
                    return;
                }
                body => take(body),
            }
        }
    }
}
