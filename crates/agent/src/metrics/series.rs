//! Follows the counters of every interface from export to export: [`Accumulator`].
//!
//! # Start times
//!
//! The start time of a series tells a receiver since when its value counts. A wrong start counts traffic
//! twice or not at all. The rules:
//!
//! - A series of an interface that was made while the agent runs starts when the interface was made.
//! - An interface that existed before the agent has an unknown start. According to OpenTelemetry's
//!   metrics data model ("Cumulative streams: handling unknown start time"), its first point has no
//!   duration (start = time) and later points keep that start; a receiver takes the first value as the
//!   base. The agent repeats the base until its delivery, so a restart of the agent counts
//!   nothing twice, even while the receiver is away.
//! - A series whose identity changes is a new series for a receiver: the API server added the
//!   Deployment of a pod, a pod was relabelled, an interface renamed. The new series starts at the last
//!   reading that arrived under the old identity and counts from there.
//! - An interface that moves into another namespace brings its counters along. Its series there counts from
//!   the counters at its arrival or, where its arrival was not noticed, from the last reading before the move.
//! - A series of an interface that ended gets a last point with the final counters at the time of the end. After the
//!   delivery of this point, a point without a value ends the series for the receiver. On a page, the series is shown
//!   once more.
//! - A counter that goes back (a driver's reset) starts again at the time of its last good reading. The
//!   other counters of the interface continue, because a new start would count them twice.
//! - OTLP's integers are signed: a counter beyond `i64::MAX` continues from zero, as after a reset.
//! - With a state of the agent before, the series of an interface that still exists continues with its start and base.
//! - An interface that is left out for a time (a filter, a newer interface with its name) continues
//!   without the traffic of the meantime.
//! - No point starts after its own time: when the clock is set back, every series starts anew.

mod details;
mod ended;
mod share;
mod state;
mod stream;

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::interface::Interface;
use iface_core::{Counters, InterfaceId, MacAddr};
use netns_scan::Reading;

use self::details::Details;
use self::ended::Ended;
pub use self::ended::MOST_ENDED;
pub use self::stream::SavedStream;
use self::stream::{Departed, Link, Stream, StreamIdentity};
use crate::metrics::catalog::{COUNTERS, values};
use crate::metrics::points::{
    Counted, Group, LinkKey, Nanos, Options, Points, Reader, Sample, Subject, SubjectKey, link_key, nanos,
};

/// Follows every series from export to export.
///
/// Each reader of cumulative values needs its own accumulator, because start and base depend on the points
/// the reader has received.
#[derive(Debug, Default)]
pub struct Accumulator {
    options: Arc<Options>,
    reader: Reader,
    /// Interfaces made later have a known start.
    synced: Option<SystemTime>,
    streams: HashMap<LinkKey, Stream>,
    /// Time the clock was set back by since the last export.
    set_back: Duration,
    /// Interfaces without a reading in this round, by MAC address: many can end and begin within an interval.
    departed: HashMap<MacAddr, Vec<Departed>>,
    /// Interfaces that ended since the last round.
    departures: Vec<(MacAddr, Departed)>,
    /// Interfaces that ended, until the receiver knows.
    ended: VecDeque<Ended>,
    details: Details,
    /// Streams of the agent before.
    restored: HashMap<Link, SavedStream>,
    round: u64,
    order: Vec<Arc<Interface>>,
}

impl Accumulator {
    /// An accumulator for an OTLP receiver of totals.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self::for_reader(Reader::Totals, options)
    }

    /// An accumulator for this reader.
    #[must_use]
    pub fn for_reader(reader: Reader, options: Options) -> Self {
        Self { reader, options: Arc::new(options), ..Self::default() }
    }

    /// Everything that existed at the start is known; interfaces made from `at` on are new.
    pub fn synced(&mut self, at: SystemTime) {
        self.synced.get_or_insert(at);
    }

    /// Joins interfaces and readings, taken at `now`, into the points of one export.
    ///
    /// An interface without a reading gets no counters. A reading without an interface belongs to an
    /// interface that is deleted or filtered out.
    pub fn collect<'a>(
        &mut self,
        interfaces: impl IntoIterator<Item = &'a Arc<Interface>>,
        readings: &[Reading],
        now: SystemTime,
    ) -> Points {
        self.round += 1;
        let readings: HashMap<_, _> = readings.iter().map(|reading| (reading.id, reading)).collect();
        let (overflow, over_share) = self.admit(interfaces, now);
        let mut points = grouped(&self.order);
        points.options = self.options.clone();
        points.time = nanos(now);
        points.set_back = std::mem::take(&mut self.set_back);
        let each = self.options.series_each();
        points.series = points.samples.len() * each;
        points.overflow = overflow * each;
        points.over_share = over_share.into_iter().map(|(owner, left_out)| (owner, left_out * each)).collect();
        points.duplicates = (self.order.len() - points.samples.len()) * each;
        let gone = self.streams.values().filter(|stream| !readings.contains_key(&stream.id));
        for (mac, departed) in gone.filter_map(Stream::departed).chain(std::mem::take(&mut self.departures)) {
            self.departed.entry(mac).or_default().push(departed);
        }
        let Points { groups, samples, time, .. } = &mut points;
        for group in &*groups {
            for sample in &mut samples[group.samples.clone()] {
                let reading = readings.get(&sample.interface.id).copied();
                sample.counted = self.count(&group.subject, &sample.interface, reading, *time);
            }
        }
        let values = |id: &InterfaceId| readings.get(id).map(|reading| clip(&reading.counters));
        skip_rest(&mut self.streams, self.round, *time, values);
        self.count_details(&mut points, &readings);
        self.add_ended(&mut points);
        self.departed = HashMap::new();
        self.order.clear();
        // Pods come and go: keep room for twice the present number and return the rest.
        self.streams.shrink_to(2 * self.streams.len());
        self.order.shrink_to(2 * points.samples.len());
        points
    }

    /// Records that the points of these ranges of `points`, the last ones collected, arrived at a receiver of totals, or
    /// on a page.
    pub fn delivered(&mut self, points: &Points, ranges: &[Range<usize>]) {
        for sample in ranges.iter().flat_map(|range| &points.samples[range.clone()]) {
            if sample.counted.is_some()
                && sample.ending.is_none()
                && let Some(stream) = self.streams.get_mut(&link_key(&sample.interface))
            {
                stream.deliver();
                if let Some(details) = self.details.streams.get_mut(&link_key(&sample.interface)) {
                    details.deliver();
                }
            }
        }
        self.delivered_ended(points, ranges);
    }

    /// Adapts every series to a clock that was set back `by` some time.
    ///
    /// To be called before [`collect`](Self::collect) when `now` would be earlier than at the last call.
    pub fn set_back(&mut self, by: Duration) {
        self.synced = self.synced.map(|synced| synced.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH));
        self.set_back += by;
        let (by, reader) = (u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), self.reader);
        self.streams.values_mut().for_each(|stream| stream.set_back(by, reader));
        self.details.streams.values_mut().for_each(|stream| stream.set_back(by, reader));
    }

    /// Fills `order` with the interfaces that are old enough and within the limits, oldest first,
    /// so that a newer series never displaces an older series. Returns the number of interfaces left out, and the owners
    /// above their share.
    fn admit<'a>(
        &mut self,
        interfaces: impl IntoIterator<Item = &'a Arc<Interface>>,
        now: SystemTime,
    ) -> (usize, Vec<(Subject, usize)>) {
        self.order.clear();
        let old_enough = |interface: &&Arc<Interface>| {
            let age = now.duration_since(interface.since).unwrap_or_default();
            age >= self.options.min_age || !is_new(self.synced, interface)
        };
        self.order.extend(interfaces.into_iter().filter(old_enough).cloned());
        self.order.sort_unstable_by_key(|interface| interface.id);
        let each = self.options.series_each().max(1);
        let all = self.order.len();
        let over_share = share::limit(&mut self.order, (self.options.max_series_per_pod / each).max(1));
        self.order.truncate(self.options.max_series / each);
        (all - self.order.len(), over_share)
    }

    fn count(
        &mut self,
        subject: &Subject,
        interface: &Arc<Interface>,
        reading: Option<&Reading>,
        now: Nanos,
    ) -> Option<Counted> {
        let identity = StreamIdentity::new(subject, interface);
        let is_new = is_new(self.synced, interface);
        let entry = self.streams.entry(link_key(interface));
        let is_first = matches!(entry, Entry::Vacant(_));
        let stream = Stream::follow(entry, identity, is_new, self.options.attributes, self.reader);
        if is_first {
            if let Some(saved) = Link::of(interface).filter(|_| !is_new).and_then(|link| self.restored.remove(&link))
                && let Some(reading) = reading
            {
                stream.resume(&saved, &clip(&reading.counters), self.options.attributes);
            }
            if let Some(reading) = reading.filter(|reading| is_new && reading.base != Counters::default()) {
                stream.base(clip(&reading.base));
            }
            let values = reading.filter(|reading| reading.base == Counters::default());
            let values = values.map(|reading| clip(&reading.counters));
            let since = nanos(interface.since);
            let from = |from: &&Departed| values.is_some_and(|values| from.is_same(since, &values));
            let mut departed = interface.mac.and_then(|mac| self.departed.get(&mac)).into_iter().flatten();
            if let Some(from) = departed.find(from) {
                stream.arrive(from);
            }
        }
        stream.round = self.round;
        let counted = stream.advance(clip(&reading?.counters), now);
        // Scrapers confirm nothing, and `Deltas` keep undelivered values themselves.
        if self.reader != Reader::Totals {
            stream.deliver();
        }
        Some(counted)
    }
}

/// Reads on where an interface exists and is not exported in this round; drops the others.
fn skip_rest<const N: usize>(
    streams: &mut HashMap<LinkKey, Stream<N>>,
    round: u64,
    now: Nanos,
    values: impl Fn(&InterfaceId) -> Option<[u64; N]>,
) {
    streams.retain(|_, stream| {
        if stream.round == round {
            return true;
        }
        let values = values(&stream.id);
        values.into_iter().for_each(|values| stream.skip(values, now));
        values.is_some()
    });
}

/// Counters in the range of OTLP's integers.
fn clip(counters: &Counters) -> [u64; COUNTERS] {
    in_range(values(counters))
}

/// Values modulo 2^63, the range of OTLP's signed integers.
fn in_range<const N: usize>(values: [u64; N]) -> [u64; N] {
    values.map(|value| value & i64::MAX.unsigned_abs())
}

fn is_new(synced: Option<SystemTime>, interface: &Interface) -> bool {
    synced.is_some_and(|synced| interface.since >= synced)
}

/// Samples without counters, group by group; the newest of several interfaces with one name in a group.
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
        samples.push(Sample { interface: interface.clone(), counted: None, bandwidth: None, ending: None });
        group.samples.end = samples.len();
    }
    Points { groups, samples, ..Points::default() }
}

#[cfg(test)]
mod tests;
