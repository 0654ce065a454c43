//! Differences instead of totals, for receivers that ask for them.

use std::collections::HashMap;
use std::ops::Range;

use iface_core::InterfaceId;

use crate::metrics::catalog::COUNTERS;
use crate::metrics::points::{Counted, Nanos, Points, Temporality};

/// Turns cumulative points into what came since the last export that arrived.
///
/// What did not arrive is in the next difference, so nothing is queued while the receiver is
/// away; only what an interface carried that ended meanwhile is lost.
#[derive(Debug, Default)]
pub struct Deltas {
    series: HashMap<InterfaceId, Series>,
    round: u64,
}

#[derive(Debug)]
struct Series {
    last: Counted,
    /// Not delivered yet.
    pending: [u64; COUNTERS],
    /// What `pending` counts from.
    since: [Nanos; COUNTERS],
    round: u64,
}

impl Deltas {
    /// Replaces the totals in `points` by differences.
    pub fn convert(&mut self, points: &mut Points) {
        self.round += 1;
        points.temporality = Temporality::Delta;
        for sample in &mut points.samples {
            let Some(counted) = &mut sample.counted else { continue };
            let series = self.series.entry(sample.interface.id).or_insert_with(|| Series::new(counted, points.time));
            series.advance(*counted);
            series.round = self.round;
            *counted = Counted { values: series.pending, starts: series.since };
        }
        let round = self.round;
        // One that could not be read this time keeps what is pending for one more round.
        self.series.retain(|_, series| round - series.round <= 1);
        self.series.shrink_to(2 * self.series.len());
    }

    /// The samples in these ranges of `points` arrived.
    pub fn delivered(&mut self, points: &Points, ranges: &[Range<usize>]) {
        for sample in ranges.iter().flat_map(|range| &points.samples[range.clone()]) {
            if let Some(series) = self.series.get_mut(&sample.interface.id) {
                series.pending = [0; COUNTERS];
                series.since = [points.time; COUNTERS];
            }
        }
    }
}

impl Series {
    /// A value without duration is the base; any other came since its start.
    fn new(first: &Counted, now: Nanos) -> Self {
        let mut last = *first;
        for (value, start) in last.values.iter_mut().zip(first.starts) {
            if start != now {
                *value = 0;
            }
        }
        Self { last, pending: [0; COUNTERS], since: first.starts, round: 0 }
    }

    fn advance(&mut self, now: Counted) {
        for slot in 0..COUNTERS {
            let restarted = now.starts[slot] != self.last.starts[slot];
            let base = if restarted { 0 } else { self.last.values[slot] };
            self.pending[slot] += now.values[slot].saturating_sub(base);
        }
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::series::Accumulator;
    use crate::testing::{at, eth0, reading};

    fn bytes(points: &Points) -> (u64, Nanos) {
        let counted = points.samples[0].counted.unwrap();
        (counted.values[0], counted.starts[0])
    }

    #[test]
    fn what_did_not_arrive_is_in_the_next_difference() {
        let (mut totals, mut deltas) = (Accumulator::default(), Deltas::default());
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
    fn what_an_interface_carried_before_the_agent_came_is_no_difference() {
        let (mut totals, mut deltas) = (Accumulator::default(), Deltas::default());
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
}
