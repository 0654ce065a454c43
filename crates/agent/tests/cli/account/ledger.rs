//! Packets by pod, added up from the text of a receiver as a billing system would.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use netns_testbed::Rotel;

use crate::receiver::Place;

/// Meaning of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temporality {
    /// Everything since the start of the series.
    Totals,
    /// Everything since the last export.
    Differences,
}

/// Series of a pod: uid, direction and start time.
type Series = (String, String, String);

/// Packets of pods.
#[derive(Debug)]
pub(crate) struct Ledger {
    temporality: Temporality,
    packets: BTreeMap<Series, u64>,
    place: Place,
}

impl Ledger {
    pub(crate) fn new(temporality: Temporality) -> Self {
        Self { temporality, packets: BTreeMap::new(), place: Place::default() }
    }

    /// Packets received and transmitted by a pod.
    pub(crate) fn of(&self, uid: &str) -> Option<(u64, u64)> {
        let sum = |direction: &str| {
            let mine = self.packets.iter().filter(|((of, way, _), _)| of == uid && way == direction);
            mine.map(|(_, packets)| *packets).reduce(|a, b| a + b)
        };
        Some((sum("receive")?, sum("transmit")?))
    }

    /// Number of start times of the received packets of a pod.
    pub(crate) fn starts_of(&self, uid: &str) -> usize {
        self.packets.keys().filter(|(of, way, _)| of == uid && way == "receive").count()
    }

    /// Takes what a receiver has said so far.
    pub(crate) fn read_all(&mut self, receiver: &Rotel) {
        receiver.running.said().for_each(|line| self.take(&line));
    }

    /// Reads until the ledger fits; returns `false` after `limit`.
    pub(crate) fn read_until(&mut self, receiver: &Rotel, limit: Duration, fits: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        while !fits(self) {
            if Instant::now() > deadline {
                return false;
            }
            // The agent exports its own metrics last at each interval.
            receiver.running.until(|line| {
                self.take(line);
                line.contains("Name: netns_agent.series.overflow")
            });
        }
        true
    }

    fn take(&mut self, line: &str) {
        let value = self.place.take(line);
        let Place { uid, metric, direction, start } = &self.place;
        let (Some(value), Some(uid), "k8s.pod.network.packet.count") = (value, uid, &**metric) else { return };
        // A point without a value ends a series.
        let Ok(value) = value.parse::<u64>() else { return };
        let start = if self.temporality == Temporality::Totals { start.clone() } else { String::new() };
        let packets = self.packets.entry((uid.clone(), direction.clone(), start)).or_default();
        match self.temporality {
            Temporality::Totals => *packets = value.max(*packets),
            Temporality::Differences => *packets += value,
        }
    }
}
