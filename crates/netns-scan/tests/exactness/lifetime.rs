use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use iface_core::EventKind;
use netns_scan::{EngineChoice, Poller, WatchOptions};
use netns_testbed::{Footprint, NetnsDir, Observer, Rtnl, Test, Veth, figure, inside, scaled, tests};

use crate::subject::{EXACT, Informer, Subject, add_all, assert_exact, follows};

/// Informers whose effect on deletions is measured.
const MEASURED: [Subject; 3] =
    [Subject::Watcher(EngineChoice::Nsid), Subject::Watcher(EngineChoice::Setns), Subject::Poller(EngineChoice::Setns)];

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    let all = tests![Subject::ALL;
        a_deleted_namespace_deletes_interfaces_once,
        nothing_is_left_of_a_dropped_informer,
        a_symbolic_link_holds_nothing,
    ];
    let watchers = tests![MEASURED; a_deletion_takes_hardly_longer];
    all.chain(watchers).map(|test| test.limit(Duration::from_secs(120)))
}

/// Each interface of a deleted namespace is deleted once.
fn a_deleted_namespace_deletes_interfaces_once(subject: Subject) {
    let dir = NetnsDir::standard();
    let pod = dir.add("pod");
    let rtnl = pod.rtnl();
    for n in 0..5 {
        rtnl.add_veth(&format!("a{n}"), &format!("b{n}"), None);
    }
    drop(rtnl);
    let _veth = Veth::up("host0", &pod, "eth0");
    let mut observer = subject.synced();
    assert_eq!(observer.replay().at("pod").count(), 12);
    pod.delete();
    observer.until("all are gone", EXACT, |replay| replay.interfaces().count() == 1);
    assert_exact(&mut observer, []);
    for name in ["lo", "eth0", "a0", "b4"] {
        let story = observer.replay().story("pod", name);
        assert_eq!(story.iter().filter(|kind| **kind == EventKind::Deleted).count(), 1, "{name}: {story:?}");
    }
}

fn nothing_is_left_of_a_dropped_informer(subject: Subject) {
    let dir = NetnsDir::standard();
    let pods = add_all(&dir, "pod", 20);
    let before = Footprint::now();
    for events in [0, 1, 10, usize::MAX] {
        let mut observer = subject.start();
        if events == usize::MAX {
            observer.synced();
        } else {
            observer.until("some are read", EXACT, |replay| replay.history().len() >= events);
        }
        pods[0].rtnl().add_veth("a", "b", None);
        drop(observer);
        pods[0].rtnl().delete("a");
        before.restored_within(EXACT);
    }
}

/// A symbolic link to `/proc/PID/ns/net` has no mount: the namespace ends with its process, and an
/// informer keeps no file in the namespace meanwhile.
fn a_symbolic_link_holds_nothing(subject: Subject) {
    let dir = NetnsDir::standard();
    let first = dir.add("first");
    let mut observer = subject.synced();
    let mut process = Command::new("unshare").args(["--net", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let path = PathBuf::from(format!("/proc/{}/ns/net", process.id()));
    let start = Instant::now();
    while std::fs::read_link(&path).is_ok_and(|found| found == own) {
        assert!(start.elapsed() < Duration::from_secs(10), "unshare(1) makes no namespace");
        thread::yield_now();
    }
    Rtnl::new().add_veth("host0", "eth0", Some(&path));
    let before = Footprint::now();
    symlink(&path, dir.path().join("link")).unwrap();
    observer.until("the link is found", 3 * EXACT, |replay| replay.find("link", "eth0").is_some());
    before.restored_within(3 * EXACT);
    inside(&path, || Rtnl::new().add_link("bridge", "br0"));
    observer.until("a new bridge is found", 3 * EXACT, |replay| replay.find("link", "br0").is_some());
    process.kill().unwrap();
    process.wait().unwrap();
    observer.until("the namespace is gone", 3 * EXACT, |replay| replay.interfaces().count() == 2);
    assert_exact(&mut observer, [&first]);
}

/// With nsid, or with a poller, a deletion takes at most 1 ms longer; with a watcher and setns, one RCU
/// grace period longer.
///
/// A loaded machine adds time to all ways alike: the limit grows with the spread of the deletions
/// without a watcher, and one of several attempts within the limit proves that nothing is held. A
/// socket that is held exceeds every limit in every attempt.
fn a_deletion_takes_hardly_longer(subject: Subject) {
    const ATTEMPTS: usize = 6;
    let price = match subject {
        // 16 ms were measured at 250 Hz; the length of a grace period depends on the machine.
        Subject::Watcher(EngineChoice::Setns) => Duration::from_millis(100),
        _ => Duration::from_millis(1),
    };
    let mut attempts = Vec::new();
    for _ in 0..ATTEMPTS {
        let measured = measure(subject);
        let [without, read, stalled] = measured;
        figure(format_args!("{subject}: p50 {:.2?}, {:.2?} with, {:.2?} stalled", without.p50, read.p50, stalled.p50));
        let limit = without.p50 + scaled(price) + (without.p75 - without.p25);
        if read.p50 <= limit && stalled.p50 <= limit {
            return;
        }
        attempts.push(measured);
    }
    panic!("in all attempts, deletions take longer with a watcher: {attempts:#?}");
}

/// Measures the time from the removal of a name to the deletion of the peer in the host's namespace:
/// without a watcher, with a watcher that is read, and with a watcher that is not, in turns.
///
/// All namespaces are made before: a deletion right after a creation takes 25 ms in any case.
fn measure(subject: Subject) -> [Quartiles; 3] {
    const ROUNDS: usize = 16;
    let dir = NetnsDir::standard();
    let mut pods: Vec<_> = (0..3 * ROUNDS)
        .map(|number| {
            let (pod, host) = (dir.add(&format!("pod{number}")), format!("host{number}"));
            Rtnl::new().add_veth(&host, "eth0", Some(pod.path()));
            (pod, host)
        })
        .collect();
    let mut times = [const { Vec::new() }; 3];
    for turn in 0..3 * ROUNDS {
        let way = turn % 3;
        let mut observer = (way > 0).then(|| start(subject));
        observer.iter().for_each(|observer| follows(observer, 1 + pods.len()));
        if let (Some(observer), 1) = (&mut observer, way) {
            observer.synced();
        }
        rest(turn);
        let Some((pod, host)) = pods.pop() else { break };
        times[way].push(time_to_the_peers_end(&host, || pod.delete()));
    }
    times.map(Quartiles::of)
}

/// A poller polls once only: a deletion within 16 ms of a poll takes as long as with a watcher.
fn start(subject: Subject) -> Observer<Informer> {
    let Subject::Poller(engine) = subject else { return subject.start() };
    let options = WatchOptions { dirs: vec!["/run/netns".into()], engine, ..WatchOptions::default() };
    Observer::new(Informer::Poller(Poller::start(options, Duration::from_secs(3_600)).unwrap()))
}

/// Lets the kernel end what went before: 150 ms and up to 20 ms more, so that deletions meet different
/// moments of the kernel's ticks.
#[expect(clippy::disallowed_methods, reason = "awaits nothing: the pause is the condition of the measurement")]
fn rest(turn: usize) {
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
    thread::sleep(Duration::from_millis(150) + Duration::from_millis(20).mul_f64((turn as f64 * GOLDEN_RATIO).fract()));
}

fn time_to_the_peers_end(host: &str, delete: impl FnOnce()) -> Duration {
    let links = Rtnl::listening_to_links();
    let peer = Rtnl::new().index_of(host).unwrap();
    let start = Instant::now();
    delete();
    links.until_deleted(peer, Duration::from_secs(10));
    start.elapsed()
}

#[derive(Clone, Copy, Debug)]
struct Quartiles {
    p25: Duration,
    p50: Duration,
    p75: Duration,
}

impl Quartiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times[times.len() * percent / 100];
        Self { p25: at(25), p50: at(50), p75: at(75) }
    }
}
