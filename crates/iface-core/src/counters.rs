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
