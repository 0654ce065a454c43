/// What an interface has carried since it was made, from its own side.
///
/// The 64-bit counters of `struct rtnl_link_stats64` (`linux/if_link.h`) that a metric exists
/// for. They start at zero with the interface and only grow, except when a driver resets them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Into the interface.
    pub receive: Direction,
    /// Out of the interface.
    pub transmit: Direction,
    /// How often the carrier came or went (`IFLA_CARRIER_CHANGES`).
    pub carrier_changes: u32,
}

/// One direction's share of [`Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets with errors.
    pub errors: u64,
    /// Packets dropped for want of room.
    pub dropped: u64,
}
