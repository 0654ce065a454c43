use std::thread;
use std::time::{Duration, Instant};

use iface_core::EventKind;
use netns_testbed::{Footprint, NetnsDir, Rtnl, Test, Veth, figure, tests};

use crate::subject::{EXACT, Subject, add_all, assert_exact, follows};

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    let all = tests![Subject::ALL;
        each_interface_of_a_deleted_namespace_is_deleted_once,
        nothing_is_left_of_a_dropped_informer,
    ];
    let watchers = tests![Subject::WATCHERS; deleting_a_namespace_takes_no_longer_than_without];
    all.chain(watchers).map(|test| test.limit(Duration::from_secs(120)))
}

fn each_interface_of_a_deleted_namespace_is_deleted_once(subject: Subject) {
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

/// Holds a watcher, its events read or not, to +2 ms at the median and +10 ms at p99 of two hundred.
///
/// What else the machine does can only add time, so one measurement of three within the limits
/// shows that nothing is held; something held is in all three.
fn deleting_a_namespace_takes_no_longer_than_without(subject: Subject) {
    for attempt in 1..=3 {
        let [without, read, stalled] = measure(subject);
        figure(format_args!("p50, p99: {without:.1?} without, {read:.1?} with, {stalled:.1?} with a stalled consumer"));
        let ms = Duration::from_millis;
        let within = |with: Percentiles| with.0 < without.0 + ms(2) && with.1 < without.1 + ms(10);
        if within(read) && within(stalled) {
            return;
        }
        assert!(attempt < 3, "{without:?} without, {read:?} with, {stalled:?} with a stalled consumer");
    }
}

/// Two hundred times each the time from the name's removal to the end of the host's peer: without
/// a watcher, with one that is read, with one that is not; in turns of twenty, so that what else
/// the machine does is in all.
fn measure(subject: Subject) -> [Percentiles; 3] {
    let dir = NetnsDir::standard();
    let mut times = [const { Vec::new() }; 3];
    for round in 0..30 {
        let way = round % 3;
        let mut observer = (way > 0).then(|| subject.synced());
        for n in 0..20 {
            let pod = dir.add(&format!("pod{round}-{n}"));
            Rtnl::new().add_veth("host0", "eth0", Some(pod.path()));
            if let Some(observer) = &mut observer {
                follows(observer, 2);
                if way == 1 {
                    observer.read_for(Duration::ZERO);
                }
            }
            #[expect(clippy::disallowed_methods, reason = "it awaits nothing: the moment is what is chosen")]
            thread::sleep(phase(times[way].len()));
            times[way].push(time_to_the_peers_end(|| pod.delete()));
            observer.iter().for_each(|observer| follows(observer, 1));
        }
    }
    times.map(percentiles)
}

/// How long to wait before the deletion with this number, up to 20 ms, evenly spread and the same in all ways.
///
/// The kernel ends namespaces one after another, each in steps of a tick (4 ms at 250 Hz), and goes on
/// with the last one for a while after its links are gone. Begun as soon as it can be, each deletion of one
/// way would meet the same moment of the one before, and each of another way another: the ways would
/// differ by ticks, and which is faster would change from process to process.
fn phase(number: usize) -> Duration {
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
    Duration::from_millis(20).mul_f64((number as f64 * GOLDEN_RATIO).fract())
}

fn time_to_the_peers_end(delete: impl FnOnce()) -> Duration {
    let links = Rtnl::listening_to_links();
    let peer = Rtnl::new().index_of("host0").unwrap();
    let start = Instant::now();
    delete();
    links.until_deleted(peer, Duration::from_secs(10));
    start.elapsed()
}

/// The median and the 99th percentile.
type Percentiles = (Duration, Duration);

fn percentiles(mut times: Vec<Duration>) -> Percentiles {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
