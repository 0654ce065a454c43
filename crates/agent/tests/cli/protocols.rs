use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use netns_agent::protocol::counters::TABLE;
use netns_agent::protocol::{Processes, Wanted};
use netns_testbed::{Test, tests};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, getsockname, listen, socket,
};
use serde_json::Value;

use crate::program::get;
use crate::run::{ADMIN, run};
use crate::scene::{Pod, Scene};

pub(crate) fn tests() -> Vec<Test> {
    tests![protocol_counters_equal_nstat, invisible_processes_are_logged].into()
}

const UID: &str = "5b1f0a00-0000-4000-8000-000000000001";

/// Killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process in the namespace of a pod.
fn process(pod: &Pod) -> Process {
    Process(pod.netns.inside(|| Command::new("sleep").arg("600").spawn().unwrap()))
}

/// Fills the queue of a listening socket with a backlog of 1, so that the kernel drops further connections and their
/// clients transmit SYN again.
fn overflow(pod: &Pod) -> (OwnedFd, Vec<TcpStream>) {
    pod.netns.inside(|| {
        let listener = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        bind(listener.as_raw_fd(), &SockaddrStorage::from(any)).unwrap();
        listen(&listener, Backlog::new(1).unwrap()).unwrap();
        let bound: SockaddrStorage = getsockname(listener.as_raw_fd()).unwrap();
        let address = SocketAddr::from(*bound.as_sockaddr_in().unwrap());
        let streams = (0..5).filter_map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(1500)).ok());
        let streams = streams.collect();
        (listener, streams)
    })
}

/// Values in the order of the table, without conntrack, according to nstat.
fn nstat(pod: &Pod) -> Vec<u64> {
    let output = pod.netns.inside(|| Command::new("nstat").args(["-a", "-s", "-z", "-j"]).output().unwrap());
    let counters: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Without IPv6 in the kernel, some names are missing.
    let value = |names: &[&str]| names.iter().map(|name| counters["kernel"][name].as_u64().unwrap_or_default()).sum();
    [
        &["TcpRetransSegs"][..],
        &["TcpOutRsts"],
        &["TcpEstabResets"],
        // A gauge, which nstat leaves out.
        &[],
        &["TcpExtListenOverflows"],
        &["TcpExtListenDrops"],
        &["UdpRcvbufErrors", "Udp6RcvbufErrors"],
        &["UdpSndbufErrors", "Udp6SndbufErrors"],
        &["IpInDiscards", "Ip6InDiscards"],
        &["IpOutDiscards", "Ip6OutDiscards"],
    ]
    .map(value)
    .to_vec()
}

fn protocol_counters_equal_nstat() {
    let scene = Scene::new();
    let pod = &scene.pods[0];
    let process = process(pod);
    // Only the kubelet puts processes into cgroups of pods, so the test has a directory like /proc.
    let proc = fs::canonicalize("/run").unwrap().join("proc");
    let folder = proc.join(process.0.id().to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("cgroup"), format!("0::/kubepods/pod{UID}/c\n")).unwrap();
    symlink(format!("/proc/{}/net", process.0.id()), folder.join("net")).unwrap();
    let (_listener, streams) = overflow(pod);
    let mut processes = Processes::new(&proc);
    let wanted = Wanted { uid: UID.to_owned(), interfaces: HashSet::from([b"eth0".to_vec()]) };
    // Timers of the kernel transmit meanwhile, so a moment without changes is awaited.
    let limit = Instant::now() + Duration::from_secs(60);
    let values = loop {
        let before = nstat(pod);
        let read = processes.read(std::slice::from_ref(&wanted));
        let after = nstat(pod);
        if before == after {
            let values = read[UID];
            let without_gauge = |number: &usize| *number != 3;
            let shown: Vec<_> = (0..10).filter(without_gauge).map(|number| values[number].unwrap()).collect();
            let truth: Vec<_> = (0..10).filter(without_gauge).map(|number| before[number]).collect();
            assert_eq!(shown, truth, "{TABLE:?}");
            break values;
        }
        assert!(Instant::now() < limit, "{before:?} {after:?}");
    };
    let of = |suffix: &str| values[TABLE.iter().position(|counter| counter.suffix == suffix).unwrap()];
    assert!(of("tcp.retransmits") > Some(0) && of("tcp.listen.overflows") > Some(0), "{values:?}");
    assert!(of("tcp.connections") >= Some(streams.len() as u64), "both ends are in the namespace: {values:?}");
}

fn invisible_processes_are_logged() {
    let scene = Scene::new();
    let running = run(&scene, &["--protocol-stats", "true"]);
    assert!(!get(ADMIN, "/metrics").1.contains("k8s_pod_network_tcp"));
    running.until(|line| line.contains("\"event.name\":\"protocols.unseen\""));
}
