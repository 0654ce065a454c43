use std::time::{Duration, Instant};

use iface_core::{Direction, FinalCounters, IfName, Place};

use super::*;
use crate::interface::{End, Owner};
use crate::metrics::catalog::Scope;
use crate::metrics::points::{Ending, Options};
use crate::testing::{at, container_interface, eth0, interface, pod, pod_interface, reading};

const SECOND: Nanos = 1_000_000_000;

fn first(points: &Points) -> (u64, Nanos) {
    let counted = points.samples[0].counted.unwrap();
    (counted.values[0], counted.starts[0])
}

fn synced() -> Accumulator {
    let mut accumulator = Accumulator::default();
    accumulator.synced(at(0));
    accumulator
}

#[test]
fn new_interface_counts_from_creation() {
    let mut accumulator = synced();
    let interface = eth0(1, at(5));
    assert_eq!(first(&accumulator.collect([&interface], &[reading(1, 70)], at(10))), (70, 5 * SECOND));
    assert_eq!(first(&accumulator.collect([&interface], &[reading(1, 90)], at(20))), (90, 5 * SECOND));
}

#[test]
fn unknown_start_gives_a_base() {
    let mut accumulator = Accumulator::default();
    let interface = eth0(1, at(5));
    assert_eq!(first(&accumulator.collect([&interface], &[reading(1, 50)], at(5))), (50, 5 * SECOND));
    let base = accumulator.collect([&interface], &[reading(1, 70)], at(10));
    assert_eq!(first(&base), (70, 10 * SECOND), "the first one did not arrive");
    accumulator.delivered(&base, &[base.all()]);
    accumulator.synced(at(11));
    assert_eq!(first(&accumulator.collect([&interface], &[reading(1, 90)], at(20))), (90, 10 * SECOND));
}

#[test]
fn reset_restarts_only_its_counter() {
    let mut accumulator = synced();
    let interface = eth0(1, at(5));
    accumulator.collect([&interface], &[reading(1, 70)], at(10));
    let mut back = reading(1, 80);
    back.counters.receive.bytes = 3;
    let points = accumulator.collect([&interface], &[back], at(20));
    let counted = points.samples[0].counted.unwrap();
    assert_eq!((counted.values[0], counted.starts[0]), (3, 10 * SECOND));
    assert_eq!((counted.values[1], counted.starts[1]), (40, 5 * SECOND));
}

#[test]
fn overflow_continues_from_zero() {
    let mut accumulator = synced();
    let interface = eth0(1, at(5));
    let full = i64::MAX.unsigned_abs();
    assert_eq!(first(&accumulator.collect([&interface], &[reading(1, full)], at(10))), (full, 5 * SECOND));
    assert_eq!(first(&accumulator.collect([&interface], &[reading(1, full + 8)], at(20))), (7, 10 * SECOND));
}

#[test]
fn rename_counts_nothing_twice() {
    let mut accumulator = synced();
    let before = eth0(1, at(5));
    let points = accumulator.collect([&before], &[reading(1, 70)], at(10));
    accumulator.delivered(&points, &[points.all()]);
    let mut after = Interface::clone(&before);
    after.id = crate::testing::id(2);
    after.name = IfName::new("net0").unwrap();
    let after = Arc::new(after);
    assert_eq!(first(&accumulator.collect([&after], &[reading(2, 75)], at(20))), (5, 10 * SECOND));
    assert_eq!(first(&accumulator.collect([&after], &[reading(2, 76)], at(30))), (6, 10 * SECOND));
}

#[test]
fn reused_ifindex_starts_new_series() {
    let mut accumulator = synced();
    accumulator.collect([&eth0(1, at(5))], &[reading(1, 70)], at(10));
    let mut again = Interface::clone(&eth0(1, at(15)));
    again.id = crate::testing::id(2);
    assert_eq!(first(&accumulator.collect([&Arc::new(again)], &[reading(2, 75)], at(20))), (75, 15 * SECOND));
}

#[test]
fn start_is_never_in_the_future() {
    let mut accumulator = synced();
    let interface = eth0(1, at(50));
    assert_eq!(first(&accumulator.collect([&interface], &[reading(1, 70)], at(10))), (70, 10 * SECOND));
}

#[test]
fn interfaces_are_grouped_by_owner() {
    let mut accumulator = synced();
    let (web, db) = (pod("web"), pod("db"));
    let blue = Place::Named(iface_core::NetnsName::new("blue"));
    let interfaces = [
        eth0(1, at(1)),
        pod_interface(2, "eth0", &web, at(1)),
        pod_interface(3, "eth0", &db, at(1)),
        pod_interface(4, "net1", &web, at(1)),
        Arc::new(interface(5, "tun0", blue, at(1))),
    ];
    let points = accumulator.collect(&interfaces, &[], at(10));
    let groups: Vec<_> = points
        .groups
        .iter()
        .map(|group| {
            let names = points.samples[group.samples.clone()].iter().map(|s| s.interface.name.to_string());
            (group.subject.scope(), names.collect::<Vec<_>>())
        })
        .collect();
    let expected = [
        (Scope::Node, vec!["eth0"]),
        (Scope::Pod, vec!["eth0", "net1"]),
        (Scope::Pod, vec!["eth0"]),
        (Scope::Netns, vec!["tun0"]),
    ];
    let expected = expected.map(|(scope, names)| (scope, names.into_iter().map(String::from).collect::<Vec<_>>()));
    assert_eq!(groups, expected);
}

#[test]
fn host_end_belongs_to_the_host() {
    let end = pod_interface(1, "veth1", &pod("web"), at(1));
    let Owner::Pod(mut owner) = Owner::clone(end.owner.as_ref().unwrap()) else { unreachable!("a pod's") };
    owner.end = End::Host;
    let mut host_end = interface(1, "veth1", Place::Host, at(1));
    host_end.owner = Some(Arc::new(Owner::Pod(owner)));
    assert_eq!(Scope::of(&host_end), Scope::Node);
}

#[test]
fn limit_keeps_oldest_interfaces() {
    let mut accumulator = Accumulator::new(Options { max_series: 20, ..Options::default() });
    let named = |number: u64| Arc::new(interface(number, format!("eth{number}"), Place::Host, at(1)));
    let interfaces: Vec<_> = (1..=4).map(named).collect();
    let points = accumulator.collect(interfaces.iter().rev(), &[], at(10));
    assert_eq!(points.samples.iter().map(|s| s.interface.ifindex).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((points.series, points.overflow), (18, 18), "nine series an interface");
}

#[test]
fn minimum_age_delays_the_first_point() {
    let mut accumulator = Accumulator::new(Options { min_age: Duration::from_secs(30), ..Options::default() });
    let existed = eth0(1, at(1));
    accumulator.synced(at(2));
    let new = eth0(2, at(5));
    let early = accumulator.collect([&existed, &new], &[reading(1, 1), reading(2, 70)], at(10));
    assert_eq!(early.samples.len(), 1, "only the one that existed before");
    let late = accumulator.collect([&new], &[reading(2, 90)], at(40));
    assert_eq!(first(&late), (90, 5 * SECOND));
}

#[test]
fn newest_of_equal_names_is_reported() {
    let web = pod("web");
    let mut new_sandbox = Interface::clone(&pod_interface(2, "eth0", &web, at(5)));
    new_sandbox.netns = interface(2, "eth0", Place::Named(iface_core::NetnsName::new("cni-web2")), at(5)).netns;
    let interfaces = [pod_interface(1, "eth0", &web, at(1)), Arc::new(new_sandbox)];
    let points = synced().collect(&interfaces, &[], at(10));
    assert_eq!(points.samples.iter().map(|s| s.interface.ifindex).collect::<Vec<_>>(), [2]);
    assert_eq!((points.groups.len(), points.duplicates), (1, 9));
}

/// The old sandbox of a pod outlives the start of the new one and is counted no further.
#[test]
fn returning_duplicate_counts_nothing_twice() {
    let mut accumulator = synced();
    let web = pod("web");
    let old = pod_interface(1, "eth0", &web, at(1));
    let mut new = Interface::clone(&pod_interface(2, "eth0", &web, at(15)));
    new.netns = interface(2, "eth0", Place::Named(iface_core::NetnsName::new("cni-web2")), at(15)).netns;
    let new = Arc::new(new);
    let points = accumulator.collect([&old], &[reading(1, 70)], at(10));
    accumulator.delivered(&points, &[points.all()]);
    assert_eq!(first(&points), (70, SECOND));
    let both = [reading(1, 80), reading(2, 5)];
    assert_eq!(first(&accumulator.collect([&old, &new], &both, at(20))), (5, 15 * SECOND));
    assert_eq!(first(&accumulator.collect([&old], &[reading(1, 82)], at(30))), (2, 20 * SECOND));
}

/// Namespace, name and uid identify a pod on the page of metrics; a label that changes there changes no series.
#[test]
fn the_page_knows_pods_by_name() {
    let labelled = |value: &str| {
        let attributes = vec![("tier".to_owned(), value.to_owned())];
        pod_interface(1, "eth0", &Arc::new(crate::interface::Pod { attributes, ..Clone::clone(&pod("web")) }), at(5))
    };
    let mut accumulator = Accumulator::for_reader(Reader::Page, Options::default());
    for (label, bytes) in [("a", 70), ("b", 90)] {
        let points = accumulator.collect([&labelled(label)], &[reading(1, bytes)], at(bytes));
        assert_eq!(first(&points), (bytes, 70 * SECOND));
    }
}

/// A NIC moves into a pod with the bytes it carried for the host; a new interface with its address starts at zero.
#[test]
fn moved_interface_leaves_its_past() {
    for (bytes, expected) in [(75, 5), (3, 3)] {
        let mut accumulator = synced();
        let points = accumulator.collect([&eth0(1, at(5))], &[reading(1, 70)], at(10));
        accumulator.delivered(&points, &[points.all()]);
        let moved = pod_interface(2, "net1", &pod("web"), at(15));
        let points = accumulator.collect([&moved], &[reading(2, bytes)], at(20));
        assert_eq!(first(&points), (expected, 15 * SECOND));
    }
}

/// The final counters of an interface that received so many bytes.
fn final_counters(bytes: u64, ended: u64) -> FinalCounters {
    FinalCounters::new(reading(1, bytes).counters, at(ended))
}

fn endings(points: &Points) -> Vec<(String, Option<Ending>)> {
    points.samples.iter().map(|sample| (sample.interface.name.to_string(), sample.ending)).collect()
}

/// The final point is repeated until its delivery, then a point without a value, then nothing.
#[test]
fn ended_series_has_a_last_point() {
    let mut accumulator = synced();
    let (ending, other) = (pod_interface(1, "eth0", &pod("web"), at(5)), pod_interface(2, "eth0", &pod("db"), at(5)));
    let points = accumulator.collect([&ending, &other], &[reading(1, 70), reading(2, 5)], at(10));
    accumulator.delivered(&points, &[points.all()]);
    assert_eq!(accumulator.end(&ending, &final_counters(95, 13)), 0);
    let last = Some(Ending::Final(13 * SECOND));
    for round in [20, 30] {
        let points = accumulator.collect([&other], &[reading(2, 6)], at(round));
        assert_eq!(endings(&points), [("eth0".to_owned(), last), ("eth0".to_owned(), None)]);
        assert_eq!(first(&points), (95, 5 * SECOND));
        let live = points.groups[1].samples.clone();
        let arrived = if round == 30 { points.all() } else { live };
        accumulator.delivered(&points, &[arrived]);
    }
    let points = accumulator.collect([&other], &[reading(2, 7)], at(40));
    assert_eq!(points.samples[0].ending, Some(Ending::NoRecordedValue));
    accumulator.delivered(&points, &[points.all()]);
    let points = accumulator.collect([&other], &[reading(2, 8)], at(50));
    assert_eq!(endings(&points), [("eth0".to_owned(), None)]);
    assert_eq!(first(&points), (8, 5 * SECOND), "the other one continues");
}

/// A pod that lived between two exports is counted; a link that moved on at once, without a packet, is not.
#[test]
fn short_life_is_counted_in_full() {
    let mut accumulator = synced();
    let (short, temporary) = (pod_interface(1, "eth0", &pod("job"), at(5)), eth0(2, at(5)));
    let counters = final_counters(1_070, 6).with_base(reading(1, 1_000).counters);
    accumulator.end(&short, &counters);
    accumulator.end(&temporary, &FinalCounters::new(Counters::default(), at(6)));
    let points = accumulator.collect([], &[], at(10));
    assert_eq!(endings(&points), [("eth0".to_owned(), Some(Ending::Final(6 * SECOND)))]);
    assert_eq!(first(&points), (70, 5 * SECOND));
}

/// The new sandbox of a pod continues the series: the last point of the old one comes first, and no end.
#[test]
fn continued_series_does_not_end() {
    let mut accumulator = synced();
    let web = pod("web");
    let (old, new) = (pod_interface(1, "eth0", &web, at(5)), pod_interface(2, "eth0", &web, at(15)));
    let points = accumulator.collect([&old], &[reading(1, 70)], at(10));
    accumulator.delivered(&points, &[points.all()]);
    accumulator.end(&old, &final_counters(80, 12));
    let points = accumulator.collect([&new], &[reading(2, 3)], at(20));
    assert_eq!(endings(&points).iter().map(|(_, ending)| ending.is_some()).collect::<Vec<_>>(), [true, false]);
    accumulator.delivered(&points, &[points.all()]);
    let points = accumulator.collect([&new], &[reading(2, 4)], at(30));
    assert_eq!(endings(&points), [("eth0".to_owned(), None)]);
    accumulator.delivered(&points, &[points.all()]);
    assert!(accumulator.ended.is_empty());
}

/// A NIC was the host's before: its series in the pod counts from its arrival.
#[test]
fn arrival_is_the_base() {
    let mut accumulator = synced();
    let base = Counters::new(Direction::new(60, 6), Direction::new(30, 3)).with_carrier_changes(1);
    let moved = pod_interface(1, "net1", &pod("web"), at(15));
    assert_eq!(first(&accumulator.collect([&moved], &[reading(1, 75).with_base(base)], at(20))), (15, 15 * SECOND));
    assert_eq!(first(&accumulator.collect([&moved], &[reading(1, 80).with_base(base)], at(30))), (20, 15 * SECOND));
}

/// A restart gives a container a namespace with another random name, and the same Resource.
#[test]
fn container_keeps_resource_through_restarts() {
    let before = container_interface(1, "eth0", "web", "0a1b2c3d4e5f");
    let after = container_interface(2, "eth0", "web", "f5e4d3c2b1a0");
    assert_eq!((Scope::of(&before), SubjectKey::of(&before)), (Scope::Netns, SubjectKey::of(&after)));
    assert!(Subject::of(&before).is_same(&Subject::of(&after), Reader::Totals));
    let other = container_interface(3, "eth0", "db", "0a1b2c3d4e5f");
    assert!(!Subject::of(&before).is_same(&Subject::of(&other), Reader::Page));
}

/// A page shows an ended series until it has been scraped once, or for some time; a newer interface takes its place.
#[test]
fn page_shows_ended_series_once() {
    let mut accumulator = Accumulator::for_reader(Reader::Page, Options::default());
    accumulator.synced(at(0));
    let (web, db) = (pod("web"), pod("db"));
    let net1 = pod_interface(3, "net1", &web, at(5));
    let ended = [pod_interface(1, "eth0", &web, at(5)), pod_interface(2, "eth0", &db, at(5))];
    ended.iter().for_each(|ended| _ = accumulator.end(ended, &final_counters(95, 13)));
    let last = Some(Ending::Final(13 * SECOND));
    let all = [("eth0".to_owned(), last), ("net1".to_owned(), None), ("eth0".to_owned(), last)];
    let points = accumulator.collect([&net1], &[reading(3, 5)], at(20));
    assert_eq!((endings(&points), points.groups.len()), (all.to_vec(), 2), "one group for each pod");
    let again = pod_interface(4, "eth0", &web, at(15));
    let points = accumulator.collect([&net1, &again], &[reading(3, 5), reading(4, 2)], at(20));
    assert_eq!(endings(&points)[1..].iter().filter(|(_, ending)| ending.is_some()).count(), 0);
    accumulator.delivered(&points, &[points.all()]);
    let points = accumulator.collect([&net1], &[reading(3, 5)], at(30));
    assert_eq!(endings(&points), all[1..], "not shown before, as a newer interface had the name");
    assert_eq!(accumulator.expire_ended(Instant::now()), 1);
    let points = accumulator.collect([&net1], &[reading(3, 5)], at(40));
    assert_eq!(endings(&points), [("net1".to_owned(), None)]);
}
