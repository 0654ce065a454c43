//! Throughput per interface: the difference of two readings. Pure.

use std::collections::HashMap;
use std::ops::AddAssign;
use std::time::Duration;

use iface_core::{Counters, Direction, InterfaceId};
use netns_scan::Reading;
use serde::Serialize;

/// Throughput of each interface with two readings.
pub(super) type Rates = HashMap<InterfaceId, Rate>;

/// Throughput of an interface per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Rate {
    pub(super) receive: Flow,
    pub(super) transmit: Flow,
}

/// One direction's share of a [`Rate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Flow {
    pub(super) bytes: f64,
    pub(super) packets: f64,
    pub(super) errors: f64,
    pub(super) dropped: f64,
}

impl Rate {
    /// Packets dropped in both directions.
    pub(super) fn dropped(&self) -> f64 {
        self.receive.dropped + self.transmit.dropped
    }
}

impl AddAssign for Rate {
    fn add_assign(&mut self, other: Self) {
        self.receive += other.receive;
        self.transmit += other.transmit;
    }
}

impl AddAssign for Flow {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.packets += other.packets;
        self.errors += other.errors;
        self.dropped += other.dropped;
    }
}

/// Rates of the interfaces in both readings; a counter that decreased counts from zero.
pub(super) fn rates(before: &[Reading], now: &[Reading], between: Duration) -> Rates {
    let earlier: HashMap<_, _> = before.iter().map(|reading| (reading.id, reading.counters)).collect();
    let seconds = between.as_secs_f64();
    if seconds <= 0.0 {
        return HashMap::new();
    }
    let rate =
        |reading: &Reading| Some((reading.id, per_second(earlier.get(&reading.id)?, &reading.counters, seconds)));
    now.iter().filter_map(rate).collect()
}

fn per_second(before: &Counters, now: &Counters, seconds: f64) -> Rate {
    Rate {
        receive: flow(&before.receive, &now.receive, seconds),
        transmit: flow(&before.transmit, &now.transmit, seconds),
    }
}

fn flow(before: &Direction, now: &Direction, seconds: f64) -> Flow {
    let each = |before: u64, now: u64| now.checked_sub(before).unwrap_or(now) as f64 / seconds;
    Flow {
        bytes: each(before.bytes, now.bytes),
        packets: each(before.packets, now.packets),
        errors: each(before.errors, now.errors),
        dropped: each(before.dropped, now.dropped),
    }
}

/// Four digits at most, with the SI's prefix: `0`, `12`, `1.2k`, `340M`.
pub(super) fn short(number: f64) -> String {
    if number < 0.5 {
        return "0".to_owned();
    }
    let mut scaled = number;
    let mut prefixes = ["", "k", "M", "G", "T"].into_iter();
    let mut prefix = prefixes.next().unwrap_or_default();
    while scaled >= 999.5 {
        let Some(next) = prefixes.next() else { break };
        (scaled, prefix) = (scaled / 1000.0, next);
    }
    if prefix.is_empty() || scaled >= 9.95 { format!("{scaled:.0}{prefix}") } else { format!("{scaled:.1}{prefix}") }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn reading(id: u64, bytes: u64) -> Reading {
        let counters = Counters::new(Direction::new(bytes, 0), Direction::default());
        Reading::new(InterfaceId(NonZeroU64::new(id).unwrap()), counters)
    }

    #[test]
    fn a_rate_is_the_difference_a_second() {
        let rates = rates(&[reading(1, 1_000)], &[reading(1, 4_000)], Duration::from_secs(2));
        assert_eq!(rates[&InterfaceId(NonZeroU64::MIN)].receive.bytes, 1_500.0);
    }

    #[test]
    fn first_reading_and_reset_counters() {
        let rates = rates(&[reading(1, 1_000)], &[reading(1, 30), reading(2, 9)], Duration::from_secs(1));
        assert_eq!(rates.len(), 1);
        assert_eq!(rates[&InterfaceId(NonZeroU64::MIN)].receive.bytes, 30.0);
    }

    #[test]
    fn no_time_gives_no_rate() {
        assert!(rates(&[reading(1, 1)], &[reading(1, 2)], Duration::ZERO).is_empty());
    }

    #[test]
    fn a_number_is_written_short() {
        let cases = [
            (0.0, "0"),
            (0.6, "1"),
            (999.4, "999"),
            (999.6, "1.0k"),
            (12_340.0, "12k"),
            (3.4e8, "340M"),
            (2e18, "2000000T"),
        ];
        for (number, text) in cases {
            assert_eq!(short(number), text);
        }
    }
}
