//! Differences instead of totals, for receivers with `delta` temporality.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use crate::interface::Interface;
use crate::metrics::catalog::{COUNTERS, DETAILS};
use crate::metrics::points::{Counted, Ending, LinkKey, Nanos, Points, Temporality, link_key};

/// Turns cumulative points into differences since the last export that arrived.
///
/// The next difference includes values that did not arrive, so nothing is queued while the receiver is
/// away; only the last traffic of interfaces that were deleted meanwhile is lost. Differences follow the
/// interface, not its name or owner, and arrive under the attributes of the export that delivers.
///
/// The totals must come from an accumulator for [`Reader::Deltas`](crate::metrics::points::Reader::Deltas).
#[derive(Debug, Default)]
pub struct Deltas {
    series: HashMap<SeriesKey, Series>,
    details: HashMap<SeriesKey, Series<DETAILS>>,
    round: u64,
}

/// Link and the time the interface was made, which a rename keeps: another interface under the same ifindex has its own.
type SeriesKey = (LinkKey, SystemTime);

#[derive(Debug)]
struct Series<const N: usize = COUNTERS> {
    last: Counted<N>,
    /// Not delivered yet.
    pending: [u64; N],
    /// Start times of `pending`.
    since: [Nanos; N],
    round: u64,
}

impl Deltas {
    /// Replaces the totals in `points` by differences.
    pub fn convert(&mut self, points: &mut Points) {
        self.round += 1;
        points.temporality = Temporality::Delta;
        let set_back = nanos_of(points.set_back);
        self.series.values_mut().for_each(|series| series.set_back(set_back));
        self.details.values_mut().for_each(|series| series.set_back(set_back));
        let (round, time) = (self.round, points.time);
        for sample in &mut points.samples {
            if sample.ending == Some(Ending::NoRecordedValue) {
                continue;
            }
            let key = series_key(&sample.interface);
            sample.counted.iter_mut().for_each(|counted| differ(&mut self.series, key, counted, round, time));
            if let Some(counted) = points.details.counted.get_mut(&sample.interface.id) {
                differ(&mut self.details, key, counted, round, time);
            }
        }
        retain_present(&mut self.series, round);
        retain_present(&mut self.details, round);
    }

    /// Records delivered ranges of samples in `points`.
    pub fn delivered(&mut self, points: &Points, ranges: &[Range<usize>]) {
        for sample in ranges.iter().flat_map(|range| &points.samples[range.clone()]) {
            let key = series_key(&sample.interface);
            self.series.get_mut(&key).into_iter().for_each(|series| series.deliver(points.time));
            self.details.get_mut(&key).into_iter().for_each(|series| series.deliver(points.time));
        }
    }
}

/// Replaces totals by the difference.
fn differ<const N: usize>(
    series: &mut HashMap<SeriesKey, Series<N>>,
    key: SeriesKey,
    counted: &mut Counted<N>,
    round: u64,
    now: Nanos,
) {
    let series = series.entry(key).or_insert_with(|| Series::new(counted, now));
    series.advance(*counted);
    series.round = round;
    *counted = Counted { values: series.pending, starts: series.since, complete: true };
}

/// An interface that could not be read keeps its pending values for another round.
fn retain_present<const N: usize>(series: &mut HashMap<SeriesKey, Series<N>>, round: u64) {
    series.retain(|_, series| round - series.round <= 1);
    series.shrink_to(2 * series.len());
}

fn series_key(interface: &Interface) -> SeriesKey {
    (link_key(interface), interface.since)
}

fn nanos_of(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl<const N: usize> Series<N> {
    /// A value without duration is the base; any other value counts since its start.
    fn new(first: &Counted<N>, now: Nanos) -> Self {
        let mut last = *first;
        for (value, start) in last.values.iter_mut().zip(first.starts) {
            if start != now {
                *value = 0;
            }
        }
        Self { last, pending: [0; N], since: first.starts, round: 0 }
    }

    fn advance(&mut self, now: Counted<N>) {
        for slot in 0..N {
            let restarted = now.starts[slot] != self.last.starts[slot];
            let base = if restarted { 0 } else { self.last.values[slot] };
            self.pending[slot] += now.values[slot].saturating_sub(base);
        }
        self.last = now;
    }

    fn deliver(&mut self, now: Nanos) {
        self.pending = [0; N];
        self.since = [now; N];
    }

    fn set_back(&mut self, by: Nanos) {
        self.since = self.since.map(|since| since.saturating_sub(by));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::points::{Options, Reader};
    use crate::metrics::series::Accumulator;
    use crate::testing::{at, eth0, reading};

    fn bytes(points: &Points) -> (u64, Nanos) {
        let counted = points.samples[0].counted.unwrap();
        (counted.values[0], counted.starts[0])
    }

    #[test]
    fn undelivered_values_stay_pending() {
        let (mut totals, mut deltas) = (Accumulator::for_reader(Reader::Deltas, Options::default()), Deltas::default());
        totals.synced(at(0));
        let interface = eth0(1, at(1));
        let mut next = |seconds, value, arrives: bool| {
            let mut points = totals.collect([&interface], &[reading(1, value)], at(seconds));
            deltas.convert(&mut points);
            if arrives {
                deltas.delivered(&points, std::slice::from_ref(&points.groups[0].samples));
            }
            bytes(&points)
        };
        let second = Duration::from_secs(1).as_nanos() as u64;
        assert_eq!(next(10, 100, true), (100, second));
        assert_eq!(next(20, 130, false), (30, 10 * second));
        assert_eq!(next(30, 135, true), (35, 10 * second));
        assert_eq!(next(40, 5, true), (5, 30 * second), "a reset counts from zero");
    }

    #[test]
    fn traffic_before_agent_is_excluded() {
        let (mut totals, mut deltas) = (Accumulator::for_reader(Reader::Deltas, Options::default()), Deltas::default());
        let interface = eth0(1, at(1));
        let mut values = [(10, 1_000), (20, 1_007)].map(|(seconds, value)| {
            let mut points = totals.collect([&interface], &[reading(1, value)], at(seconds));
            deltas.convert(&mut points);
            deltas.delivered(&points, std::slice::from_ref(&points.groups[0].samples));
            bytes(&points).0
        });
        values.sort_unstable();
        assert_eq!(values, [0, 7]);
    }

    /// The last difference of an ended interface arrives once, however often its export fails.
    #[test]
    fn last_difference_arrives_once() {
        let (mut totals, mut deltas) = (Accumulator::for_reader(Reader::Deltas, Options::default()), Deltas::default());
        totals.synced(at(0));
        let interface = eth0(1, at(1));
        let mut points = totals.collect([&interface], &[reading(1, 100)], at(10));
        deltas.convert(&mut points);
        deltas.delivered(&points, &[points.all()]);
        totals.delivered(&points, &[points.all()]);
        totals.end(&interface, &iface_core::FinalCounters::new(reading(1, 130).counters, at(12)));
        let last: Vec<_> = [false, true, true]
            .into_iter()
            .map(|arrives| {
                let mut points = totals.collect([], &[], at(20));
                deltas.convert(&mut points);
                let ranges = if arrives { vec![points.all()] } else { Vec::new() };
                deltas.delivered(&points, &ranges);
                totals.delivered(&points, &ranges);
                points
                    .samples
                    .first()
                    .filter(|sample| sample.ending != Some(Ending::NoRecordedValue))
                    .map(|_| bytes(&points).0)
            })
            .collect();
        assert_eq!(last, [Some(30), Some(30), None]);
    }
}
