//! Series of the counters that explain errors and drops, of which nothing is kept unless they are reported.
//!
//! The rules are those of the other counters, with two exceptions. The kernel's last message about a link is not read for
//! them: the last point has the last reading, and an interface that lived between two readings has none. An interface that
//! moved in counts from the first reading in its namespace.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use iface_core::{CounterDetails, Counters, Detail, InterfaceId};
use netns_scan::Reading;

use super::stream::{Stream, StreamIdentity};
use super::{Accumulator, in_range, is_new, skip_rest};
use crate::interface::Interface;
use crate::metrics::catalog::DETAILS;
use crate::metrics::points::{Counted, LinkKey, Nanos, Points, Reader, link_key};

/// The state of every interface while details are reported.
#[derive(Debug, Default)]
pub(super) struct Details {
    read: Arc<HashMap<InterfaceId, CounterDetails>>,
    pub(super) streams: HashMap<LinkKey, Stream<DETAILS>>,
    /// Number of details that the kernel has.
    known: usize,
    /// The last points of interfaces that ended.
    ended: HashMap<InterfaceId, Counted<DETAILS>>,
}

impl Accumulator {
    /// Takes the details read with the readings of the next [`collect`](Self::collect).
    pub fn read_details(&mut self, read: Arc<HashMap<InterfaceId, CounterDetails>>) {
        self.details.read = read;
    }

    /// Joins interfaces and their details.
    pub(super) fn count_details(&mut self, points: &mut Points, readings: &HashMap<InterfaceId, &Reading>) {
        let read = std::mem::take(&mut self.details.read);
        if read.is_empty() && self.details.streams.is_empty() {
            return;
        }
        for group in &points.groups {
            for sample in &points.samples[group.samples.clone()] {
                let interface = &sample.interface;
                let Some(details) = read.get(&interface.id) else { continue };
                let reading = readings.get(&interface.id);
                let has_moved = reading.is_some_and(|reading| reading.base != Counters::default());
                let identity = StreamIdentity::new(&group.subject, interface);
                let is_known = is_new(self.synced, interface) && !has_moved;
                let streams = &mut self.details.streams;
                let stream = Stream::follow(
                    streams.entry(link_key(interface)),
                    identity,
                    is_known,
                    self.options.attributes,
                    self.reader,
                );
                stream.round = self.round;
                let counted = stream.advance(in_range(details.values()), points.time);
                if self.reader != Reader::Totals {
                    stream.deliver();
                }
                points.details.counted.insert(interface.id, counted);
            }
        }
        if let Some(any) = read.values().next() {
            self.details.known = Detail::ALL.iter().filter(|detail| any.get(**detail).is_some()).count();
        }
        points.details.known = self.details.known;
        let values = |id: &InterfaceId| read.get(id).map(|details| in_range(details.values()));
        skip_rest(&mut self.details.streams, self.round, points.time, values);
        self.details.streams.shrink_to(2 * self.details.streams.len());
    }

    /// Keeps the last reading of an interface that ended, at the time of its end.
    pub(super) fn end_details(&mut self, interface: &Interface, ended: Nanos) {
        let key = link_key(interface);
        if self.details.streams.get(&key).is_some_and(|stream| stream.id == interface.id)
            && let Some(mut stream) = self.details.streams.remove(&key)
            && let Some(values) = stream.last_values()
        {
            let (counted, _) = stream.end(values, ended);
            self.details.ended.insert(interface.id, counted);
        }
    }

    /// Adds the details of the ended interfaces to the points.
    pub(super) fn add_ended_details(&self, points: &mut Points) {
        points.details.known = self.details.known;
        points.details.counted.extend(self.details.ended.iter().map(|(id, counted)| (*id, *counted)));
    }

    /// Forgets the details of interfaces that ended and are not kept any more.
    pub(super) fn forget_ended_details(&mut self) {
        if self.details.ended.is_empty() {
            return;
        }
        let kept: HashSet<_> = self.ended_ids().collect();
        self.details.ended.retain(|id, _| kept.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use iface_core::FinalCounters;

    use super::*;
    use crate::metrics::delta::Deltas;
    use crate::metrics::points::{Ending, Options};
    use crate::testing::{at, eth0, id, reading};

    const SECOND: Nanos = 1_000_000_000;
    const CRC: usize = Detail::RxCrcErrors as usize;

    fn details(crc: u64) -> Arc<HashMap<InterfaceId, CounterDetails>> {
        let values = Detail::ALL.map(|detail| if detail == Detail::RxCrcErrors { crc } else { 0 });
        Arc::new([(id(1), CounterDetails::new(values))].into())
    }

    fn crc(points: &Points) -> (u64, Nanos) {
        let counted = points.details.counted[&id(1)];
        (counted.values[CRC], counted.starts[CRC])
    }

    fn synced(reader: Reader) -> Accumulator {
        let mut accumulator = Accumulator::for_reader(reader, Options::default());
        accumulator.synced(at(0));
        accumulator
    }

    /// A new interface counts from its beginning, a reset from the last good reading; the last reading is exported at the
    /// end, and then forgotten.
    #[test]
    fn details_start_reset_and_end() {
        let mut accumulator = synced(Reader::Totals);
        let interface = eth0(1, at(5));
        let mut next = |errors, now| {
            accumulator.read_details(details(errors));
            let points = accumulator.collect([&interface], &[reading(1, 100)], at(now));
            accumulator.delivered(&points, &[points.all()]);
            crc(&points)
        };
        assert_eq!(next(7, 10), (7, 5 * SECOND));
        assert_eq!(next(9, 20), (9, 5 * SECOND));
        assert_eq!(next(2, 30), (2, 20 * SECOND), "a reset");
        accumulator.end(&interface, &FinalCounters::new(reading(1, 130).counters, at(35)));
        for ending in [Ending::Final(35 * SECOND), Ending::NoRecordedValue] {
            let points = accumulator.collect([], &[], at(40));
            assert_eq!((points.samples[0].ending, crc(&points)), (Some(ending), (2, 20 * SECOND)));
            accumulator.delivered(&points, &[points.all()]);
        }
        assert!(accumulator.collect([], &[], at(50)).details.counted.is_empty());
    }

    /// Traffic before the agent, or before the interface moved in, is the base of the first point.
    #[test]
    fn past_of_others_is_a_base() {
        let interface = eth0(1, at(5));
        for is_moved in [false, true] {
            let mut accumulator = Accumulator::default();
            let mut reading = reading(1, 100);
            if is_moved {
                accumulator.synced(at(0));
                reading.base = reading.counters;
            }
            for (errors, now, expected) in [(7, 10, (7, 10 * SECOND)), (9, 20, (9, 10 * SECOND))] {
                accumulator.read_details(details(errors));
                let points = accumulator.collect([&interface], &[reading], at(now));
                accumulator.delivered(&points, &[points.all()]);
                assert_eq!(crc(&points), expected);
            }
        }
    }

    #[test]
    fn undelivered_differences_stay_pending() {
        let (mut accumulator, mut deltas) = (synced(Reader::Deltas), Deltas::default());
        let interface = eth0(1, at(5));
        let mut next = |errors, now, arrives: bool| {
            accumulator.read_details(details(errors));
            let mut points = accumulator.collect([&interface], &[reading(1, 100)], at(now));
            deltas.convert(&mut points);
            if arrives {
                deltas.delivered(&points, &[points.all()]);
            }
            crc(&points).0
        };
        assert_eq!([next(7, 10, true), next(9, 20, false), next(10, 30, true), next(10, 40, true)], [7, 2, 3, 0]);
    }

    /// Without details, an interface costs what it cost before there were any.
    #[test]
    fn nothing_is_kept_unless_read() {
        let mut accumulator = synced(Reader::Totals);
        let interface = eth0(1, at(5));
        let points = accumulator.collect([&interface], &[reading(1, 100)], at(10));
        accumulator.end(&interface, &FinalCounters::new(reading(1, 130).counters, at(15)));
        assert_eq!((points.details.counted.capacity(), accumulator.details.streams.capacity()), (0, 0));
        assert_eq!(accumulator.details.ended.capacity(), 0);
        assert!(size_of::<Stream>() <= 384 && size_of::<Reading>() <= 152, "as before there were details");
    }
}
