//! Counters that explain errors and drops: [`Detail`], [`CounterDetails`].

/// A counter of `struct rtnl_link_stats64` (`linux/if_link.h`) beyond [`Counters`](crate::Counters), in the order of
/// the structure.
///
/// The meaning is the driver's: a packet with an error can be counted by several of them, or by none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Detail {
    /// Received multicast packets.
    Multicast,
    /// Collisions while transmitting.
    Collisions,
    /// Received packets of invalid length.
    RxLengthErrors,
    /// Received packets that did not fit into the buffers of the host.
    RxOverErrors,
    /// Received packets with a wrong checksum (CRC).
    RxCrcErrors,
    /// Received packets with a misaligned frame.
    RxFrameErrors,
    /// Overflows of the receiver's FIFO.
    RxFifoErrors,
    /// Packets that the device dropped for want of a buffer of the host.
    RxMissedErrors,
    /// Aborted transmissions.
    TxAbortedErrors,
    /// Transmissions that failed for the loss of the carrier.
    TxCarrierErrors,
    /// Underruns of the transmitter's FIFO.
    TxFifoErrors,
    /// Errors of the heartbeat, on old half-duplex Ethernet.
    TxHeartbeatErrors,
    /// Transmissions that collided too late.
    TxWindowErrors,
    /// Received compressed packets.
    RxCompressed,
    /// Transmitted compressed packets.
    TxCompressed,
    /// Received packets that nothing wanted, as on an inactive member of a bond (Linux 4.6).
    RxNohandler,
    /// Received packets with the MAC address of another host (Linux 5.19).
    RxOtherhostDropped,
}

impl Detail {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Multicast,
        Self::Collisions,
        Self::RxLengthErrors,
        Self::RxOverErrors,
        Self::RxCrcErrors,
        Self::RxFrameErrors,
        Self::RxFifoErrors,
        Self::RxMissedErrors,
        Self::TxAbortedErrors,
        Self::TxCarrierErrors,
        Self::TxFifoErrors,
        Self::TxHeartbeatErrors,
        Self::TxWindowErrors,
        Self::RxCompressed,
        Self::TxCompressed,
        Self::RxNohandler,
        Self::RxOtherhostDropped,
    ];
}

/// The value of each [`Detail`] since the creation of the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterDetails {
    values: [u64; Detail::ALL.len()],
    known: u8,
}

impl CounterDetails {
    /// Values in the order of [`Detail::ALL`]; a kernel older than a counter does not have the last ones.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = u64>) -> Self {
        let mut details = Self::default();
        for (value, read) in details.values.iter_mut().zip(values) {
            *value = read;
            details.known += 1;
        }
        details
    }

    /// The value; `None` where the kernel does not have the counter.
    #[must_use]
    pub fn get(&self, detail: Detail) -> Option<u64> {
        let place = detail as usize;
        (place < usize::from(self.known)).then(|| self.values[place])
    }

    /// All values, zero where the kernel does not have the counter.
    #[must_use]
    pub fn values(&self) -> [u64; Detail::ALL.len()] {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_kernels_lack_last_counters() {
        assert!(Detail::ALL.iter().enumerate().all(|(place, detail)| *detail as usize == place));
        let details = CounterDetails::new(1..=16);
        assert_eq!(details.get(Detail::Multicast), Some(1));
        assert_eq!(details.get(Detail::RxNohandler), Some(16));
        assert_eq!(details.get(Detail::RxOtherhostDropped), None);
        assert_eq!(CounterDetails::new(0..30).get(Detail::RxOtherhostDropped), Some(16));
    }
}
