//! Counters of an interface, and their sums and differences.

use std::time::SystemTime;

/// Traffic of an interface since its creation, from the side of the interface.
///
/// The 64-bit counters of `struct rtnl_link_stats64` (`linux/if_link.h`) with a metric. Counters
/// start at zero with the interface and only grow, unless a driver resets counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Into the interface.
    pub receive: Direction,
    /// Out of the interface.
    pub transmit: Direction,
    /// Number of changes of the carrier (`IFLA_CARRIER_CHANGES`).
    pub carrier_changes: u32,
}

impl Counters {
    /// Counters without changes of the carrier.
    #[must_use]
    pub fn new(receive: Direction, transmit: Direction) -> Self {
        Self { receive, transmit, carrier_changes: 0 }
    }

    /// With this number of changes of the carrier.
    #[must_use]
    pub fn with_carrier_changes(self, carrier_changes: u32) -> Self {
        Self { carrier_changes, ..self }
    }
}

/// [`Counters`] of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Direction {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets with errors.
    pub errors: u64,
    /// Dropped packets.
    pub dropped: u64,
}

impl Direction {
    /// Bytes and packets, all of them delivered.
    #[must_use]
    pub fn new(bytes: u64, packets: u64) -> Self {
        Self { bytes, packets, errors: 0, dropped: 0 }
    }

    /// With these packets lost.
    #[must_use]
    pub fn lost(self, errors: u64, dropped: u64) -> Self {
        Self { errors, dropped, ..self }
    }
}

impl Counters {
    /// Counters since an earlier reading; zero where a counter went back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            receive: self.receive.since(earlier.receive),
            transmit: self.transmit.since(earlier.transmit),
            carrier_changes: self.carrier_changes.saturating_sub(earlier.carrier_changes),
        }
    }

    /// The sum of each counter, at most `u64::MAX`.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            receive: self.receive.with(other.receive, u64::saturating_add),
            transmit: self.transmit.with(other.transmit, u64::saturating_add),
            carrier_changes: self.carrier_changes.saturating_add(other.carrier_changes),
        }
    }

    /// The larger value of each counter: the later of two readings without a reset between.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            receive: self.receive.max(other.receive),
            transmit: self.transmit.max(other.transmit),
            carrier_changes: self.carrier_changes.max(other.carrier_changes),
        }
    }
}

impl Direction {
    fn since(self, earlier: Self) -> Self {
        self.with(earlier, u64::saturating_sub)
    }

    fn max(self, other: Self) -> Self {
        self.with(other, u64::max)
    }

    fn with(self, other: Self, join: fn(u64, u64) -> u64) -> Self {
        Self {
            bytes: join(self.bytes, other.bytes),
            packets: join(self.packets, other.packets),
            errors: join(self.errors, other.errors),
            dropped: join(self.dropped, other.dropped),
        }
    }
}

/// The account of an interface that left its namespace or was deleted, in [`Event::Deleted`](crate::Event::Deleted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FinalCounters {
    /// The last counters, as the kernel counts since the creation of the link.
    pub last: Counters,
    /// The counters of a link that moved in, at its arrival in the namespace; else zero.
    pub base: Counters,
    /// Time of the end, by the wall clock.
    pub ended: SystemTime,
}

impl FinalCounters {
    /// Final counters without a base.
    #[must_use]
    pub fn new(last: Counters, ended: SystemTime) -> Self {
        Self { last, base: Counters::default(), ended }
    }

    /// With the counters at the arrival of the link.
    #[must_use]
    pub fn with_base(self, base: Counters) -> Self {
        Self { base, ..self }
    }

    /// Traffic between arrival or creation and the end.
    #[must_use]
    pub fn carried(&self) -> Counters {
        self.last.since(self.base)
    }

    /// Whether anything was [carried](Self::carried); a change of the carrier is no traffic.
    #[must_use]
    pub fn has_traffic(&self) -> bool {
        let Counters { receive, transmit, .. } = self.carried();
        receive != Direction::default() || transmit != Direction::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A NIC moved into a pod with bytes of the host; a counter below its base counts as zero.
    #[test]
    fn carried_excludes_the_base() {
        let base = Counters::new(Direction::new(1_000, 10), Direction::new(500, 5).lost(2, 0)).with_carrier_changes(3);
        let last = Counters::new(Direction::new(1_070, 11), Direction::new(500, 6).lost(1, 4)).with_carrier_changes(4);
        let carried = FinalCounters::new(last, SystemTime::UNIX_EPOCH).with_base(base).carried();
        assert_eq!(carried.receive, Direction::new(70, 1));
        assert_eq!(carried.transmit, Direction::new(0, 1).lost(0, 4));
        assert_eq!(carried.carrier_changes, 1);
        assert_eq!(base.max(last).transmit, Direction::new(500, 6).lost(2, 4));
    }
}
