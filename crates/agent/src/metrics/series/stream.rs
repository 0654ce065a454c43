//! Identity, start and base of the streams of an interface at a reader.

mod saved;

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::SystemTime;

use crate::interface::Interface;
use iface_core::{InterfaceId, MacAddr};

pub(super) use self::saved::Link;
pub use self::saved::SavedStream;
use crate::metrics::catalog::COUNTERS;
use crate::metrics::points::{Attributes, Counted, LinkKey, Nanos, Reader, Subject, nanos};

/// The attributes by which a reader identifies the streams of an interface.
///
/// Two identities are equal when every exported attribute is equal: attributes of the Resource (or labels of
/// the page) and attributes of the data points. Attributes that are the same on every Resource of this agent
/// never change while the agent runs and are left out.
#[derive(Clone, Debug)]
pub(super) struct StreamIdentity {
    subject: Subject,
    interface: Arc<Interface>,
}

impl StreamIdentity {
    pub(super) fn new(subject: &Subject, interface: &Arc<Interface>) -> Self {
        Self { subject: subject.clone(), interface: interface.clone() }
    }

    /// Compares the exported attributes.
    fn is_same(&self, other: &Self, attributes: Attributes, reader: Reader) -> bool {
        if reader == Reader::Deltas {
            return true;
        }
        // Nearly every interface is unchanged since the last export and still the same allocation.
        let same_interface = Arc::ptr_eq(&self.interface, &other.interface)
            || attributes.of(&self.interface).eq(attributes.of(&other.interface));
        same_interface && self.subject.is_same(&other.subject, reader)
    }
}

/// Where the values of a stream begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The start time is true: the value is everything since then.
    Known,
    /// The interface carried an unknown part of its counters before the agent started. The first delivered
    /// point has no duration, and its value is the base of all later ones.
    Unknown,
}

/// Raw counters of the kernel and the time of reading.
#[derive(Clone, Copy, Debug)]
struct Raw<const N: usize = COUNTERS> {
    time: Nanos,
    values: [u64; N],
}

/// An interface that left its namespace, or was deleted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departed {
    last: Raw,
}

impl Departed {
    /// The kernel keeps MAC address and counters when it moves an interface. A new interface with the
    /// address of a deleted one starts at zero, below the counters of the other.
    ///
    /// `since` is the time of the new interface, whose MAC address is the same.
    pub(super) fn is_same(&self, since: Nanos, values: &[u64; COUNTERS]) -> bool {
        since >= self.last.time
            && self.last.values[0] + self.last.values[1] > 0
            && values.iter().zip(self.last.values).all(|(value, before)| *value >= before)
    }
}

/// The streams of one interface, one for each of `N` counters.
///
/// A point's value is the raw counter minus `bases`, counted from `starts`.
#[derive(Debug)]
pub(super) struct Stream<const N: usize = COUNTERS> {
    pub(super) id: InterfaceId,
    pub(super) since: SystemTime,
    pub(super) round: u64,
    identity: StreamIdentity,
    origin: Origin,
    starts: [Nanos; N],
    bases: [u64; N],
    last: Option<Raw<N>>,
    /// The last delivered reading under the present identity.
    delivered: Option<Raw<N>>,
    /// Points were interrupted, so the stream begins anew.
    restart: bool,
}

impl Stream {
    /// The MAC address and the last reading of an interface that is gone: the same interface can appear in
    /// another namespace.
    pub(super) fn departed(&self) -> Option<(MacAddr, Departed)> {
        Some((self.identity.interface.mac?, Departed { last: self.last? }))
    }

    /// Counts from the last reading in the namespace the interface came from.
    pub(super) fn arrive(&mut self, from: &Departed) {
        self.delivered = Some(from.last);
        self.restart = true;
    }

    /// Counts from the counters at the arrival of the interface in its namespace.
    pub(super) fn base(&mut self, counters: [u64; COUNTERS]) {
        self.bases = counters;
    }
}

impl<const N: usize> Stream<N> {
    /// A stream that has no points yet; `is_new` where the interface was made while the agent ran.
    pub(super) fn new(identity: StreamIdentity, is_new: bool) -> Self {
        let interface = &identity.interface;
        Self {
            id: interface.id,
            since: interface.since,
            round: 0,
            origin: if is_new { Origin::Known } else { Origin::Unknown },
            starts: [nanos(interface.since); N],
            bases: [0; N],
            last: None,
            delivered: None,
            restart: false,
            identity,
        }
    }

    pub(super) fn interface(&self) -> &Interface {
        &self.identity.interface
    }

    /// The last raw counters.
    pub(super) fn last_values(&self) -> Option<[u64; N]> {
        Some(self.last?.values)
    }

    /// The last point, made of the final raw counters; no earlier than the point before.
    pub(super) fn end(&mut self, values: [u64; N], ended: Nanos) -> (Counted<N>, Nanos) {
        let time = self.last.map_or(ended, |last| last.time.max(ended));
        (self.advance(values, time), time)
    }

    /// The stream of an interface at this place, with its identity in the present export; `is_new` where the interface was
    /// made while the agent runs.
    pub(super) fn follow<'a>(
        entry: Entry<'a, LinkKey, Self>,
        identity: StreamIdentity,
        is_new: bool,
        attributes: Attributes,
        reader: Reader,
    ) -> &'a mut Self {
        let interface = &identity.interface;
        let (id, since) = (interface.id, interface.since);
        match entry {
            Entry::Vacant(entry) => entry.insert(Self::new(identity, is_new)),
            Entry::Occupied(entry) => {
                let stream = entry.into_mut();
                // A rename keeps the time an interface was made at; another interface under the same
                // ifindex has its own.
                if stream.id == id || stream.since == since {
                    stream.identify(identity, attributes, reader);
                } else {
                    *stream = Self::new(identity, is_new);
                }
                stream
            }
        }
    }

    /// Sets the identity in the present export.
    fn identify(&mut self, identity: StreamIdentity, attributes: Attributes, reader: Reader) {
        self.id = identity.interface.id;
        self.restart |= !self.identity.is_same(&identity, attributes, reader);
        self.identity = identity;
    }

    /// The next point, made of the raw counters read at `now`.
    pub(super) fn advance(&mut self, values: [u64; N], now: Nanos) -> Counted<N> {
        self.follow_resets(&values);
        if std::mem::take(&mut self.restart) {
            self.begin_anew();
        }
        self.last = Some(Raw { time: now, values });
        if self.origin == Origin::Unknown && self.delivered.is_none() {
            self.starts = [now; N];
            self.bases = [0; N];
        }
        // A point never starts after its own time, even when the clock was set back meanwhile.
        self.starts = self.starts.map(|start| start.min(now));
        let mut counted = Counted { values, starts: self.starts, complete: self.origin == Origin::Known };
        counted.values.iter_mut().zip(self.bases).for_each(|(value, base)| *value = value.saturating_sub(base));
        counted
    }

    /// Records a reading without a point, for an interface that is not exported now. Its next stream
    /// begins at the last such reading.
    pub(super) fn skip(&mut self, values: [u64; N], now: Nanos) {
        self.follow_resets(&values);
        self.last = Some(Raw { time: now, values });
        self.delivered = self.last;
        self.restart = true;
    }

    /// The last point arrived.
    pub(super) fn deliver(&mut self) {
        self.delivered = self.last;
    }

    /// Moves every time back by as much as the clock was, and begins the stream anew.
    pub(super) fn set_back(&mut self, by: Nanos, reader: Reader) {
        // A counter of the page of metrics continues, as most pages show no start times.
        if reader == Reader::Page {
            self.origin = Origin::Unknown;
            return;
        }
        self.starts = self.starts.map(|start| start.saturating_sub(by));
        for raw in [&mut self.last, &mut self.delivered].into_iter().flatten() {
            raw.time = raw.time.saturating_sub(by);
        }
        self.restart = true;
    }

    /// A counter that went back, as when a driver is reset, counts from zero since its last good reading.
    fn follow_resets(&mut self, values: &[u64; N]) {
        let Some(last) = &self.last else { return };
        for (slot, (value, before)) in values.iter().zip(last.values).enumerate() {
            if *value < before {
                self.starts[slot] = last.time;
                self.bases[slot] = 0;
                if let Some(delivered) = &mut self.delivered {
                    delivered.values[slot] = 0;
                }
            }
        }
    }

    /// Starts the stream of a new identity at the last delivered reading of the old identity, so that each
    /// byte is in exactly one stream. Where nothing arrived, nothing was counted and start and base stay.
    fn begin_anew(&mut self) {
        if let Some(delivered) = self.delivered.take() {
            self.origin = Origin::Known;
            self.bases = delivered.values;
            self.starts = self.starts.map(|start| start.max(delivered.time));
        }
    }
}
