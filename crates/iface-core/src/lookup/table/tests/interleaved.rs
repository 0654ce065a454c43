//! The writer and its readers, with switches of threads at every access to shared memory.
//!
//! A scheduler picks the next thread at each [`yield_point`](super::super::yield_point::yield_point). The scheduler
//! interleaves whole accesses and cannot show memory ordering: see the comments on `epoch` and the
//! `Acquire`/`Release` pairs.
use std::cell::Cell;

use super::*;

/// Number of schedules per scheduler and test.
const SCHEDULES: usize = 2_000;

thread_local! {
    static SCHEDULED: Cell<bool> = const { Cell::new(false) };
}

pub(in super::super) fn switch() {
    if SCHEDULED.get() {
        shuttle::thread::yield_now();
    }
}

/// Applies `before`, then `during` on one thread while `reader` runs on another.
fn beside(before: &[Interface], during: Vec<Event>, reader: impl Fn(&Lookup) + Send + Sync + 'static) {
    let (before, reader) = (before.to_vec(), Arc::new(reader));
    let test = move || {
        SCHEDULED.set(false);
        let (mut writer, lookup) = table();
        before.iter().for_each(|interface| writer.apply(&Event::Added(Arc::new(interface.clone()))));
        SCHEDULED.set(true);
        let (reader, events) = (reader.clone(), during.clone());
        let reading = shuttle::thread::spawn(move || reader(&lookup));
        events.iter().for_each(|event| writer.apply(event));
        reading.join().unwrap();
    };
    shuttle::check_random(test.clone(), SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
    SCHEDULED.set(false);
}

fn added(interface: &Interface) -> Event {
    Event::Added(Arc::new(interface.clone()))
}

fn deleted(interface: &Interface) -> Event {
    Event::Deleted(Arc::new(interface.clone()), None)
}

#[test]
fn lasting_interface_is_always_found() {
    let stays = interface(1, 2, 2, "eth0", Some(1));
    let twins: Vec<_> = (2..5).map(|id| interface(id, 0, 2, "eth0", Some(1))).collect();
    let during = twins.iter().flat_map(|twin| [added(twin), deleted(twin)]).collect();
    beside(&[stays], during, |lookup| {
        let found = lookup.for_index_and_mac(2, Some(&testing::mac(1))).expect("one is always there");
        assert_eq!(found.ifindex, 2);
        assert!(lookup.by_name(&testing::name("eth0")).is_some());
        assert_eq!(lookup.in_netns("c", 2).unwrap().id.0.get(), 1);
    });
}

#[test]
fn changed_mac_finds_the_same_interface() {
    let other = interface(1, 0, 2, "ens5", Some(9));
    let old = interface(2, 1, 2, "eth0", Some(1));
    let new = interface(2, 1, 2, "eth0", Some(2));
    let during = vec![Event::Updated(Arc::new(new), crate::Changes::MAC)];
    beside(&[other, old], during, |lookup| {
        let by_old = lookup.for_index_and_mac(2, Some(&testing::mac(1))).unwrap();
        let by_new = lookup.for_index_and_mac(2, Some(&testing::mac(2))).unwrap();
        // In this order, one of the two results knows the interface, with the old MAC or the new.
        let known = [&by_old, &by_new].map(|found| (found.id.0.get(), found.confidence));
        assert!(known.contains(&(2, Confidence::Exact)), "{known:?}");
    });
}

#[test]
fn reused_slot_yields_whole_names() {
    let old = interface(1, 1, 2, "first-tenant", Some(1));
    let new = interface(2, 1, 2, "next", Some(2));
    beside(std::slice::from_ref(&old), vec![deleted(&old), added(&new)], |lookup| {
        let named = |mac| lookup.name_for_index_and_mac(2, Some(&testing::mac(mac))).map(|answer| answer.name);
        let [by_old, by_new] = [1, 2].map(named);
        // Each lookup finds the present interface, whatever the MAC: the ifindex is unique.
        let names = [testing::name("first-tenant"), testing::name("next")];
        assert!(by_old.is_none_or(|name| names.contains(&name)), "{by_old:?}");
        assert!(by_new.is_none_or(|name| names.contains(&name)), "{by_new:?}");
        assert!(by_old != Some(names[1]) || by_new == Some(names[1]), "{by_old:?}, then {by_new:?}");
    });
}

#[test]
fn later_lookup_knows_no_less() {
    let other = interface(1, 0, 2, "ens5", Some(9));
    let old = interface(2, 1, 2, "eth0", Some(1));
    let new = interface(2, 1, 2, "eth0", Some(2));
    let during = vec![Event::Updated(Arc::new(new), crate::Changes::MAC)];
    beside(&[other, old], during, |lookup| {
        let named = lookup.name_for_index_and_mac(2, Some(&testing::mac(2))).unwrap();
        let found = lookup.for_index_and_mac(2, Some(&testing::mac(2))).unwrap();
        assert!(found.confidence >= named.confidence, "{named:?}, then {found:?}");
        // Before the change a rule prefers the name for this MAC, afterwards the MAC matches.
        assert!(named.confidence >= Confidence::Preferred && named.name == testing::name("eth0"), "{named:?}");
    });
}

#[test]
fn growing_table_loses_no_interface() {
    let stay: Vec<_> = (1..=16).map(|n| interface(n, 1, n as u32, "eth0", Some(n as u8))).collect();
    let come: Vec<_> = (17..=20).map(|n| interface(n, 2, n as u32, "eth0", Some(n as u8))).collect();
    beside(&stay, come.iter().map(added).collect(), |lookup| {
        for n in [1, 16] {
            let found = lookup.for_index_and_mac(u32::from(n), Some(&testing::mac(n))).unwrap();
            assert_eq!((found.id.0.get(), found.confidence), (u64::from(n), Confidence::Exact));
        }
        let stayed = lookup.interfaces().iter().filter(|interface| interface.id.0.get() <= 16).count();
        assert_eq!(stayed, 16);
    });
}

#[test]
fn deleted_interface_is_never_found() {
    let gone = interface(1, 0, 2, "eth0", Some(1));
    let (told, heard) = (Arc::new(AtomicUsize::new(0)), interface(2, 0, 2, "eth1", Some(2)));
    beside(std::slice::from_ref(&gone), vec![deleted(&gone), added(&heard)], move |lookup| {
        let first = lookup.for_index_and_mac(2, None).map(|found| found.id.0.get());
        let second = lookup.for_index_and_mac(2, None).map(|found| found.id.0.get());
        assert!(first != Some(2) || second == Some(2), "{first:?}, then {second:?}");
        assert!(first.is_some() || second != Some(1), "{first:?}, then {second:?}");
        told.fetch_add(1, Ordering::Relaxed);
    });
}
