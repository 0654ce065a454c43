//! Counters of interfaces at one time.

use std::time::SystemTime;

use iface_core::{Counters, Direction};
use netns_scan::Reading;
use serde::Serialize;

use super::text::rfc3339;

/// The answer of `/v1/counters`.
#[derive(Clone, Debug, Serialize)]
pub struct CountersView {
    time: String,
    interfaces: Vec<ReadingView>,
}

/// Counters of one interface.
#[derive(Clone, Copy, Debug, Serialize)]
struct ReadingView {
    id: u64,
    #[serde(flatten)]
    traffic: TrafficView,
}

/// Counters of both directions.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct TrafficView {
    receive: DirectionView,
    transmit: DirectionView,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct DirectionView {
    bytes: u64,
    packets: u64,
    errors: u64,
    dropped: u64,
}

impl CountersView {
    /// These readings, made at `time`.
    #[must_use]
    pub fn new<'a>(time: SystemTime, readings: impl Iterator<Item = &'a Reading>) -> Self {
        let view =
            |reading: &Reading| ReadingView { id: reading.id.0.get(), traffic: TrafficView::from(&reading.counters) };
        Self { time: rfc3339(time), interfaces: readings.map(view).collect() }
    }
}

impl From<&Counters> for TrafficView {
    fn from(counters: &Counters) -> Self {
        let view = |of: Direction| DirectionView {
            bytes: of.bytes,
            packets: of.packets,
            errors: of.errors,
            dropped: of.dropped,
        };
        Self { receive: view(counters.receive), transmit: view(counters.transmit) }
    }
}
