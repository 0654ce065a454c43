//! The last change of every interface, in order. Pure.
//!
//! A reader is a position in the log, so a slow reader costs nothing and misses nothing: changes of one interface merge
//! in the log, and the reader finds the last of them. The log holds the existing interfaces and a limited number of
//! deleted ones.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::interface::{Event, Interface};
use iface_core::{Changes, FinalCounters, InterfaceId};

/// Deleted interfaces that are kept for readers behind. A reader further behind has to start again.
const DELETED: usize = 4096;
/// Separate changes kept for an interface; earlier changes merge.
const HISTORY: usize = 4;

/// Changes of interfaces, numbered in order.
#[derive(Debug)]
pub(super) struct Log {
    entries: BTreeMap<u64, Entry>,
    places: HashMap<InterfaceId, u64>,
    /// Numbers of entries that were deleted interfaces at the time.
    deleted: VecDeque<u64>,
    /// Number of the last change.
    last: u64,
    /// No deletion with a greater number is forgotten.
    horizon: u64,
    synced: bool,
}

#[derive(Debug)]
struct Entry {
    interface: Arc<Interface>,
    time: SystemTime,
    added: u64,
    is_deleted: bool,
    /// Final counters, once deleted.
    counters: Option<Arc<FinalCounters>>,
    history: Vec<(u64, Changes)>,
}

/// The position of a reader, and the interfaces known to the reader.
#[derive(Debug)]
pub(super) struct Position {
    at: u64,
    /// Deletions up to here concern no interface that the reader knows.
    base: u64,
    /// The number of the last change that the reader knows of each interface.
    known: BTreeMap<InterfaceId, u64>,
    synced: bool,
}

/// A line for a reader.
#[derive(Clone, Debug)]
pub struct Line {
    /// The reader has everything up to this number after the line.
    pub seq: u64,
    /// The event, seen from this reader.
    pub event: Event,
    /// Time of the change.
    pub time: SystemTime,
    /// Earlier changes that merged into the event.
    pub merged: u64,
}

/// The next step of a reader.
#[derive(Debug)]
pub(super) enum Step {
    Line(Line),
    /// Everything is read.
    Wait,
    /// Deletions are forgotten that the reader has not read.
    Behind,
}

impl Position {
    /// The number up to which everything is read.
    pub(super) fn seq(&self) -> u64 {
        self.at
    }
}

impl Log {
    /// An empty log. Numbers begin with the time, so that a number of an earlier run is known as such.
    pub(super) fn new(now: SystemTime) -> Self {
        let micros = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        // Exact in JSON until the year 2255.
        let last = u64::try_from(micros).unwrap_or(0);
        Self {
            entries: BTreeMap::new(),
            places: HashMap::new(),
            deleted: VecDeque::new(),
            last,
            horizon: last,
            synced: false,
        }
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Appends an event.
    pub(super) fn push(&mut self, event: &Event, time: SystemTime) {
        let Some(interface) = event.interface() else {
            self.synced = true;
            return;
        };
        self.last += 1;
        let seq = self.last;
        let before = self.places.insert(interface.id, seq).and_then(|place| self.entries.remove(&place));
        // After a change of the filter, an interface returns with the same id.
        let changes = match event {
            Event::Updated(_, changes) => *changes,
            _ if before.is_some() => Changes::ALL,
            _ => Changes::default(),
        };
        let (added, mut history) = before.map_or((seq, Vec::new()), |entry| (entry.added, entry.history));
        if history.len() == HISTORY {
            let (_, oldest) = history.remove(0);
            history[0].1 = history[0].1.union(oldest);
        }
        history.push((seq, changes));
        let (is_deleted, counters) = match event {
            Event::Deleted(_, counters) => (true, counters.clone()),
            _ => (false, None),
        };
        self.entries.insert(seq, Entry { interface: interface.clone(), time, added, is_deleted, counters, history });
        if is_deleted {
            self.deleted.push_back(seq);
            self.forget();
        }
    }

    fn forget(&mut self) {
        while self.deleted.len() > DELETED
            && let Some(seq) = self.deleted.pop_front()
        {
            // An interface that has returned has another place by now.
            if let Some(entry) = self.entries.remove(&seq) {
                self.places.remove(&entry.interface.id);
                self.horizon = seq;
            }
        }
    }

    /// The position of a reader that knows nothing.
    pub(super) fn start(&self) -> Position {
        Position { at: 0, base: self.last, known: BTreeMap::new(), synced: false }
    }

    /// The position of a reader with this last number and selection; `None` for a number of another run, or from
    /// before a forgotten deletion.
    pub(super) fn resume(&self, seq: u64, select: impl Fn(&Interface) -> bool) -> Option<Position> {
        if !(self.horizon..=self.last).contains(&seq) {
            return None;
        }
        let may_be_known = |(place, entry): &(&u64, &Entry)| match **place <= seq {
            true => !entry.is_deleted && select(&entry.interface),
            // The interface may have been selected before the change.
            false => entry.added <= seq,
        };
        let known = self.entries.iter().filter(may_be_known).map(|(place, entry)| {
            let read = if *place <= seq { *place } else { 0 };
            (entry.interface.id, read)
        });
        Some(Position { at: seq, base: seq, known: known.collect(), synced: false })
    }

    /// Moves a reader by one line.
    pub(super) fn next(&self, position: &mut Position, select: impl Fn(&Interface) -> bool) -> Step {
        if !self.synced {
            return Step::Wait;
        }
        if self.horizon > position.at.max(position.base) {
            return Step::Behind;
        }
        for (&seq, entry) in self.entries.range(position.at + 1..) {
            position.at = seq;
            if let Some((event, merged)) = entry.seen_from(seq, position, &select) {
                return Step::Line(Line { seq, event, time: entry.time, merged });
            }
        }
        position.at = self.last;
        if position.synced {
            return Step::Wait;
        }
        position.synced = true;
        Step::Line(Line { seq: self.last, event: Event::Synced, time: SystemTime::UNIX_EPOCH, merged: 0 })
    }
}

impl Entry {
    fn seen_from(
        &self,
        seq: u64,
        position: &mut Position,
        select: impl Fn(&Interface) -> bool,
    ) -> Option<(Event, u64)> {
        let id = self.interface.id;
        let is_wanted = !self.is_deleted && select(&self.interface);
        let read = if is_wanted { position.known.insert(id, seq) } else { position.known.remove(&id) };
        let unread = self.history.iter().filter(|(at, _)| read.is_none_or(|read| *at > read));
        let merged = (unread.clone().count() as u64).saturating_sub(1);
        let event = match (read, is_wanted) {
            (None, false) => return None,
            (None, true) => Event::Added(self.interface.clone()),
            (Some(_), false) => Event::Deleted(self.interface.clone(), self.counters.clone()),
            (Some(_), true) => {
                let changes = unread.map(|(_, changes)| *changes).fold(Changes::default(), Changes::union);
                Event::Updated(self.interface.clone(), changes)
            }
        };
        Some((event, merged))
    }
}

#[cfg(test)]
mod tests;
