//! The writer and its readers on threads of the operating system, in parallel where there are several CPUs.
//!
//! `interleaved` covers schedules; these tests cover the instructions of the CPU. A missing memory order shows only on a
//! CPU that reorders, and by chance.
use std::iter;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::{Changes, Reader};

/// Number of threads that read.
const READERS: usize = 2;
/// Number of events per test, if the time allows.
const EVENTS: usize = 20_000;
/// Time of the events on a busy machine.
const LONGEST: Duration = Duration::from_secs(1);

/// Lookups of one thread.
struct Lookups {
    lookup: Lookup,
    reader: Reader,
    /// The latest generation that a lookup has found.
    generation: u64,
}

impl Lookups {
    fn new(lookup: &Lookup) -> Self {
        Self { lookup: lookup.clone(), reader: lookup.reader(), generation: 0 }
    }

    /// Generations of the interface with ifindex 2 by each way to look it up, in order of time.
    fn generations(&mut self) -> [Option<u64>; 3] {
        let by_reader = self.reader.name_for_index_and_mac(2, None).map(|answer| generation(&answer.name));
        let by_name = self.lookup.name_for_index_and_mac(2, None).map(|answer| generation(&answer.name));
        let whole = self.lookup.for_index_and_mac(2, None).map(|found| generation(&found.name));
        [by_reader, by_name, whole]
    }

    /// A later lookup must not find an earlier generation.
    fn expect_order(&mut self, generations: impl IntoIterator<Item = u64>) {
        for generation in generations {
            assert!(generation >= self.generation, "{generation} after {}", self.generation);
            self.generation = generation;
        }
    }
}

/// An interface with the generation in each word of the name.
fn tenant(id: u64, generation: u64) -> Arc<Interface> {
    Arc::new(interface(id, 1, 2, &format!("{generation:07}-{generation:07}"), Some(generation as u8)))
}

fn generation(name: &IfName) -> u64 {
    let text = name.to_string();
    let (first, second) = text.split_once('-').expect("a tenant's name");
    assert_eq!(first, second, "two generations in one name");
    first.parse().unwrap()
}

/// Ends the readers, also when the writer panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Applies `before`, then `events` while threads repeat `check`.
///
/// A `check` runs beside one event at most: a lookup repeats itself only a limited number of times. Relaxed
/// accesses keep the threads in step, so the order of memory comes from the table alone.
fn beside(before: &[Arc<Interface>], events: impl Iterator<Item = Event>, check: impl Fn(&mut Lookups) + Sync) {
    let (mut writer, lookup) = table();
    before.iter().for_each(|interface| writer.apply(&Event::Added(interface.clone())));
    let checks = [const { AtomicUsize::new(0) }; READERS];
    let counts = || checks.each_ref().map(|count| count.load(Ordering::Relaxed));
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = End(&ended);
        let read = |count: &AtomicUsize| {
            let mut lookups = Lookups::new(&lookup);
            while !ended.load(Ordering::Relaxed) {
                check(&mut lookups);
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        let readers = checks.each_ref().map(|count| scope.spawn(move || read(count)));
        let start = Instant::now();
        for event in events.take(EVENTS).take_while(|_| start.elapsed() < LONGEST) {
            writer.apply(&event);
            let applied = counts();
            while iter::zip(applied, counts()).any(|(then, now)| then == now) {
                if readers.iter().any(thread::ScopedJoinHandle::is_finished) {
                    return;
                }
                thread::yield_now();
            }
        }
    });
}

#[test]
fn changed_interface_is_read_whole() {
    let changes = (1..).map(|generation| Event::Updated(tenant(1, generation), Changes::ALL));
    beside(&[tenant(1, 0)], changes, |lookups| {
        let generations = lookups.generations().map(|found| found.expect("the interface is never deleted"));
        lookups.expect_order(generations);
    });
}

#[test]
fn deleted_interface_never_comes_back() {
    let deleted = AtomicU64::new(0);
    let events = (1..).flat_map(|generation| {
        // The events of earlier generations have been applied.
        deleted.store(generation - 1, Ordering::Release);
        let tenant = tenant(generation, generation);
        [Event::Added(tenant.clone()), Event::Deleted(tenant, None)]
    });
    beside(&[], events, |lookups| {
        let gone = deleted.load(Ordering::Acquire);
        let found = lookups.generations();
        assert!(found.iter().flatten().all(|generation| *generation > gone), "{found:?} after the deletion of {gone}");
        lookups.expect_order(found.into_iter().flatten());
    });
}

#[test]
fn lasting_interface_is_always_found() {
    let stays = Arc::new(interface(1, 2, 2, "eth0", Some(1)));
    let twins = (2..5).map(|id| Arc::new(interface(id, 0, 2, "eth0", Some(1)))).cycle();
    let events = twins.flat_map(|twin| [Event::Added(twin.clone()), Event::Deleted(twin, None)]);
    beside(&[stays], events, |lookups| {
        let found = lookups.lookup.for_index_and_mac(2, Some(&testing::mac(1))).expect("one is always there");
        assert_eq!((found.ifindex, found.name), (2, testing::name("eth0")));
        let named = lookups.reader.name_for_index_and_mac(2, Some(&testing::mac(1)));
        assert_eq!(named.map(|answer| answer.name), Some(testing::name("eth0")));
        assert!(lookups.lookup.by_name(&testing::name("eth0")).is_some());
        assert_eq!(lookups.lookup.in_netns("c", 2).expect("in its namespace").id.0.get(), 1);
    });
}

#[test]
fn growing_table_loses_no_interface() {
    let numbered = |n: u64| Arc::new(interface(n, 1, n as u32, "eth0", Some(n as u8)));
    let stay: Vec<_> = (1..=16).map(numbered).collect();
    let come: Vec<_> = (17..=200).map(numbered).collect();
    let added = come.iter().cloned().map(Event::Added);
    let events = added.chain(come.iter().rev().cloned().map(|interface| Event::Deleted(interface, None))).cycle();
    beside(&stay, events, |lookups| {
        for n in [1, 16] {
            let found = lookups.lookup.for_index_and_mac(u32::from(n), Some(&testing::mac(n))).expect("it stays");
            assert_eq!((found.id.0.get(), found.confidence), (u64::from(n), Confidence::Exact));
            assert!(lookups.reader.name_for_index_and_mac(u32::from(n), Some(&testing::mac(n))).is_some());
        }
        let stayed = lookups.lookup.interfaces().iter().filter(|interface| interface.id.0.get() <= 16).count();
        assert_eq!(stayed, 16);
    });
}
