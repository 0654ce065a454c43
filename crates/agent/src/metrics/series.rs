//! The life of a series: when it starts, when it starts anew, when it is let in.
//!
//! # Start times
//!
//! A series' start time tells a receiver from when its value counts, so a wrong one counts
//! traffic twice or not at all. The rules:
//!
//! - An interface seen to be made counts from its making.
//! - An interface that existed before the agent did has an unknown start. As OpenTelemetry's
//!   metrics data model has it ("Cumulative streams: handling unknown start time"), its first
//!   point has no duration (start = time), its later ones keep that start; a receiver takes the
//!   first value as the base. So a restart of the agent counts nothing twice.
//! - An interface under a new name goes on counting; its new series starts like an unknown one,
//!   for what it carried before was reported under the old name.
//! - A counter that goes back (a driver's reset) starts anew at the time of its last good
//!   reading. Only that counter: the others go on, and a new start would count them twice.
//! - OTLP's integers are signed: a counter beyond `i64::MAX` goes on from zero, which is the case above.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::SystemTime;

use crate::interface::Interface;
use iface_core::{Counters, InterfaceId, NetnsId};
use netns_scan::Reading;

use crate::metrics::catalog::{COUNTERS, values};
use crate::metrics::points::{Counted, Group, Nanos, Options, Points, Sample, Subject, SubjectKey, nanos};

/// Follows every series from export to export.
///
/// Every reader of cumulative values needs one of its own: the first point of a series with an
/// unknown start is special, and each reader must get it.
#[derive(Debug, Default)]
pub struct Accumulator {
    options: Arc<Options>,
    /// Interfaces made after this have a known start.
    synced: Option<SystemTime>,
    /// An ifindex is one interface's at a time, under whatever name.
    series: HashMap<(NetnsId, u32), Series>,
    round: u64,
    order: Vec<Arc<Interface>>,
}

#[derive(Debug)]
struct Series {
    id: InterfaceId,
    since: SystemTime,
    /// Nothing it carried was reported before.
    whole: bool,
    read: Option<(Nanos, Counted)>,
    round: u64,
}

impl Accumulator {
    /// Reports what `options` say.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options: Arc::new(options), ..Self::default() }
    }

    /// Everything that existed at the start is known; what is made from `at` on is new.
    pub fn synced(&mut self, at: SystemTime) {
        self.synced.get_or_insert(at);
    }

    /// Joins interfaces and readings, taken at `now`, into the points of one export.
    ///
    /// An interface without a reading has no counters in it; a reading without an interface is
    /// of one that is gone.
    pub fn collect<'a>(
        &mut self,
        interfaces: impl IntoIterator<Item = &'a Arc<Interface>>,
        readings: &[Reading],
        now: SystemTime,
    ) -> Points {
        self.round += 1;
        let readings: HashMap<_, _> = readings.iter().map(|reading| (reading.id, &reading.counters)).collect();
        let overflow = self.admit(interfaces, now);
        let mut points = grouped(&self.order);
        points.options = self.options.clone();
        points.time = nanos(now);
        let each = self.options.series_each();
        points.series = points.samples.len() * each;
        points.overflow = overflow * each;
        points.duplicates = (self.order.len() - points.samples.len()) * each;
        for sample in &mut points.samples {
            let reading = readings.get(&sample.interface.id).copied();
            sample.counted = self.count(&sample.interface, reading, points.time);
        }
        let round = self.round;
        self.series.retain(|_, series| series.round == round);
        self.order.clear();
        // What many pods took, fewer give back; with room, as pods come and go.
        self.series.shrink_to(2 * self.series.len());
        self.order.shrink_to(2 * points.samples.len());
        points
    }

    /// Fills `order` with the interfaces that are old enough and within the limit, oldest first,
    /// so that a series once let in is not pushed out by a newer one. Says how many were left out.
    fn admit<'a>(&mut self, interfaces: impl IntoIterator<Item = &'a Arc<Interface>>, now: SystemTime) -> usize {
        self.order.clear();
        let old_enough = |interface: &&Arc<Interface>| {
            let age = now.duration_since(interface.since).unwrap_or_default();
            age >= self.options.min_age || !is_new(self.synced, interface)
        };
        self.order.extend(interfaces.into_iter().filter(old_enough).cloned());
        self.order.sort_unstable_by_key(|interface| interface.id);
        let limit = self.options.max_series / self.options.series_each().max(1);
        let overflow = self.order.len().saturating_sub(limit);
        self.order.truncate(limit);
        overflow
    }

    fn count(&mut self, interface: &Interface, reading: Option<&Counters>, now: Nanos) -> Option<Counted> {
        let is_new = is_new(self.synced, interface);
        let series = match self.series.entry((interface.netns.id, interface.ifindex)) {
            Entry::Vacant(entry) => entry.insert(Series::new(interface, is_new)),
            Entry::Occupied(entry) => {
                let series = entry.into_mut();
                if series.id != interface.id {
                    let renamed = series.since == interface.since && series.read.is_some();
                    *series = Series::new(interface, is_new && !renamed);
                }
                series
            }
        };
        series.round = self.round;
        let values = clip(reading?);
        let counted = match &series.read {
            Some((at, before)) => before.next(values, *at),
            None if series.whole => Counted { values, starts: [nanos(interface.since).min(now); COUNTERS] },
            None => Counted { values, starts: [now; COUNTERS] },
        };
        series.read = Some((now, counted));
        Some(counted)
    }
}

impl Series {
    fn new(interface: &Interface, whole: bool) -> Self {
        Self { id: interface.id, since: interface.since, whole, read: None, round: 0 }
    }
}

impl Counted {
    /// These counters one reading later; those that went back start anew `at` this one's time.
    fn next(&self, values: [u64; COUNTERS], at: Nanos) -> Self {
        let mut starts = self.starts;
        for ((start, before), now) in starts.iter_mut().zip(self.values).zip(values) {
            if now < before {
                *start = at;
            }
        }
        Self { values, starts }
    }
}

/// Counters modulo 2^63, what OTLP's signed integers hold.
fn clip(counters: &Counters) -> [u64; COUNTERS] {
    values(counters).map(|value| value & i64::MAX.unsigned_abs())
}

fn is_new(synced: Option<SystemTime>, interface: &Interface) -> bool {
    synced.is_some_and(|synced| interface.since >= synced)
}

/// Samples without counters, group by group; of several with one name in a group the newest.
fn grouped(interfaces: &[Arc<Interface>]) -> Points {
    let mut numbers = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut members: Vec<(usize, &Arc<Interface>)> = Vec::with_capacity(interfaces.len());
    for interface in interfaces {
        let number = *numbers.entry(SubjectKey::of(interface)).or_insert_with(|| {
            groups.push(Group { subject: Subject::of(interface), samples: 0..0 });
            groups.len() - 1
        });
        members.push((number, interface));
    }
    members.sort_unstable_by_key(|(number, interface)| (*number, interface.name, Reverse(interface.id)));
    members.dedup_by_key(|(number, interface)| (*number, interface.name));
    let mut samples = Vec::with_capacity(members.len());
    for (number, interface) in members {
        let group = &mut groups[number];
        if group.samples.is_empty() {
            group.samples.start = samples.len();
        }
        samples.push(Sample { interface: interface.clone(), counted: None, bandwidth: None });
        group.samples.end = samples.len();
    }
    Points { groups, samples, ..Points::default() }
}

#[cfg(test)]
mod tests;
