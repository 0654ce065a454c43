//! Counters of the kernel that explain errors and drops, with their attributes.

use iface_core::Detail;

/// A counter that explains errors or drops, and its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explained {
    detail: Detail,
    /// Direction.
    pub direction: &'static str,
    /// Type of the error.
    pub error: Option<&'static str>,
}

impl Explained {
    /// Index into the details of an interface.
    #[must_use]
    pub fn slot(&self) -> usize {
        self.detail as usize
    }
}

const fn received(detail: Detail, error: Option<&'static str>) -> Explained {
    Explained { detail, direction: "receive", error }
}

const fn transmitted(detail: Detail, error: Option<&'static str>) -> Explained {
    Explained { detail, direction: "transmit", error }
}

pub(super) const ERROR_REASONS: &[Explained] = &[
    received(Detail::RxLengthErrors, Some("length")),
    received(Detail::RxOverErrors, Some("over")),
    received(Detail::RxCrcErrors, Some("crc")),
    received(Detail::RxFrameErrors, Some("frame")),
    received(Detail::RxFifoErrors, Some("fifo")),
    received(Detail::RxMissedErrors, Some("missed")),
    transmitted(Detail::TxAbortedErrors, Some("aborted")),
    transmitted(Detail::TxCarrierErrors, Some("carrier")),
    transmitted(Detail::TxFifoErrors, Some("fifo")),
    transmitted(Detail::TxHeartbeatErrors, Some("heartbeat")),
    transmitted(Detail::TxWindowErrors, Some("window")),
];
pub(super) const MULTICAST: &[Explained] = &[received(Detail::Multicast, None)];
pub(super) const COLLISIONS: &[Explained] = &[transmitted(Detail::Collisions, None)];
pub(super) const COMPRESSED: &[Explained] =
    &[received(Detail::RxCompressed, None), transmitted(Detail::TxCompressed, None)];
pub(super) const UNHANDLED: &[Explained] = &[received(Detail::RxNohandler, None)];
pub(super) const OTHER_HOST: &[Explained] = &[received(Detail::RxOtherhostDropped, None)];
