//! Changes of slots and indexes while readers never wait.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::key::{KINDS, Keys};
use super::{Absent, Entry, Key, Row, Shared, Table, yield_point};
use crate::{Event, Interface, InterfaceId, Place};

/// Least number of slots; a smaller table would soon be replaced.
const MIN_SLOTS: usize = 16;

/// The only writer of the table.
#[derive(Debug)]
pub(crate) struct Writer<O = ()> {
    shared: Arc<Shared<O>>,
    table: Arc<Table<O>>,
    /// Keys shared by several interfaces, by kind and place: the slots, the best first.
    several: HashMap<KeyPlace, Vec<u32>>,
    /// Freed slots.
    free: Vec<u32>,
    /// The first slot never used.
    fresh: usize,
    /// Usage of each index.
    used: [Used; KINDS],
}

/// The kind of a key and the place in the kind's index.
type KeyPlace = (usize, usize);

/// Usage of an index.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    /// Places in use.
    now: usize,
    /// Places in use now or before.
    ever: usize,
}

impl<O> Writer<O> {
    pub(crate) fn new(shared: Arc<Shared<O>>) -> Self {
        let table = shared.table.load_full();
        Self { shared, table, several: HashMap::new(), free: Vec::new(), fresh: 0, used: Default::default() }
    }

    /// Applies an event to the table.
    pub(crate) fn apply(&mut self, event: &Event<O>) {
        match event {
            Event::Added(interface) | Event::Updated(interface, _) => self.put(interface),
            Event::Deleted(interface, _) => self.delete(interface.id),
            Event::Synced => {}
        }
    }

    fn put(&mut self, new: &Arc<Interface<O>>) {
        let Some((slot, old)) = self.known(new.id) else {
            if self.shared.len() < Entry::SLOTS {
                self.changing(|writer| writer.add(new));
                self.shared.len.fetch_add(1, Ordering::Relaxed);
            }
            return;
        };
        if rank(&old) != rank(new) {
            return self.changing(|writer| {
                writer.remove(slot, &old);
                writer.add(new);
            });
        }
        let shared = self.shared.clone();
        let [before, after] = [&old, new].map(|interface| Key::all_of(interface, &shared.preferred));
        if before == after {
            return self.table.set_row(slot, Some(new.clone()));
        }
        self.changing(|writer| writer.rekey(slot, new, &before, &after));
    }

    fn delete(&mut self, id: InterfaceId) {
        let Some((slot, old)) = self.known(id) else { return };
        self.changing(|writer| writer.remove(slot, &old));
        let len = self.shared.len.fetch_sub(1, Ordering::Relaxed) - 1;
        let slots = self.table.rows.len();
        if slots > MIN_SLOTS && len < slots / 4 {
            self.changing(Self::rebuild);
        }
    }

    /// Marks the table as being changed, for readers to repeat their lookups.
    fn changing(&mut self, change: impl FnOnce(&mut Self)) {
        let epoch = self.shared.epoch.load(Ordering::Relaxed);
        yield_point();
        self.shared.epoch.store(epoch + 1, Ordering::Release);
        change(self);
        yield_point();
        self.shared.epoch.store(epoch + 2, Ordering::Release);
    }

    fn hash(&self, key: &Key<'_>) -> u64 {
        self.shared.hasher.hash(key)
    }

    fn probe(&self, key: &Key<'_>, hash: u64) -> Result<(usize, Entry, Row<O>), Absent> {
        self.table.probe(key, hash)
    }

    /// The place of a key in the indexes.
    fn place(&self, key: &Key<'_>) -> Option<KeyPlace> {
        self.probe(key, self.hash(key)).ok().map(|(at, ..)| (key.kind(), at))
    }

    fn known(&self, id: InterfaceId) -> Option<(u32, Arc<Interface<O>>)> {
        let key = Key::Id(id);
        let (_, entry, row) = self.probe(&key, self.hash(&key)).ok()?;
        Some((entry.slot()? as u32, row.clone()?))
    }

    fn add(&mut self, new: &Arc<Interface<O>>) {
        if self.is_full() || (self.free.is_empty() && self.fresh == self.table.rows.len()) {
            self.rebuild();
        }
        self.settle(new);
    }

    /// Adds an interface to a table with room.
    fn settle(&mut self, new: &Arc<Interface<O>>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh as u32 - 1
        });
        self.table.set(slot, Some(new.clone()));
        let shared = self.shared.clone();
        for key in Key::all_of(new, &shared.preferred).iter().flatten() {
            self.enter(key, slot);
        }
    }

    fn remove(&mut self, slot: u32, old: &Interface<O>) {
        let shared = self.shared.clone();
        for key in Key::all_of(old, &shared.preferred).iter().flatten() {
            self.leave(key, slot);
        }
        self.table.set(slot, None);
        self.free.push(slot);
    }

    /// Changes an interface's keys. The old keys find the interface up to the moment of the change and
    /// the new keys from then on, so a reader needs no second lookup.
    fn rekey(&mut self, slot: u32, new: &Arc<Interface<O>>, before: &Keys<'_>, after: &Keys<'_>) {
        if self.is_full() {
            self.rebuild();
            // The slot is another now, and the table has room.
            let Some((slot, _)) = self.known(new.id) else { return };
            return self.rekey(slot, new, before, after);
        }
        // After the change, the old keys no longer lead to the interface.
        let gone = before.iter().flatten().filter(|key| !after.contains(&Some(**key)));
        let places: Vec<KeyPlace> = gone.filter_map(|key| self.place(key)).collect();
        for key in after.iter().flatten().filter(|key| !before.contains(&Some(**key))) {
            self.enter(key, slot);
        }
        self.table.set(slot, Some(new.clone()));
        for place in places {
            self.leave_place(place, slot);
        }
    }

    /// Adds the slot's interface to the interfaces with the key.
    fn enter(&mut self, key: &Key<'_>, slot: u32) {
        let (kind, hash) = (key.kind(), self.hash(key));
        let index = &self.table.indexes[kind];
        let (at, entry) = match self.probe(key, hash) {
            Ok((at, entry, _)) => (at, entry),
            Err(Absent(Some(at))) => {
                let Used { now, ever } = &mut self.used[kind];
                *ever += usize::from(index.entry(at) == Entry::EMPTY);
                *now += 1;
                return index.set(at, Entry::new(slot, true, hash));
            }
            Err(Absent(None)) => unreachable!("an eighth of all places is free"),
        };
        let Some(first) = entry.slot() else { return };
        let table = &self.table;
        let slots = self.several.entry((kind, at)).or_insert_with(|| vec![first as u32]);
        let position = slots.partition_point(|other| table.ranks_before(*other, slot));
        if slots.len() == slots.capacity() {
            // Doubling would leave more room unused than an interface may cost.
            slots.reserve_exact(slots.len() / 8 + 1);
        }
        slots.insert(position, slot);
        index.set(at, entry.with_alone(slots[0], false));
    }

    /// Removes the slot's interface from the interfaces with the key.
    fn leave(&mut self, key: &Key<'_>, slot: u32) {
        if let Some(place) = self.place(key) {
            self.leave_place(place, slot);
        }
    }

    /// As `remove_key`, with a known place of the key.
    fn leave_place(&mut self, place: KeyPlace, slot: u32) {
        let (kind, at) = place;
        let index = &self.table.indexes[kind];
        let Some(slots) = self.several.get_mut(&place) else {
            self.used[kind].now -= 1;
            return index.set(at, Entry::VACATED);
        };
        let table = &self.table;
        let position = slots.partition_point(|other| table.ranks_before(*other, slot));
        slots.remove(position);
        let (best, alone) = (slots[0], slots.len() == 1);
        if alone {
            self.several.remove(&place);
        } else if slots.len() < slots.capacity() / 4 {
            slots.shrink_to(slots.len() * 2);
        }
        index.set(at, index.entry(at).with_alone(best, alone));
    }

    /// Whether the keys of another interface would make searches long.
    fn is_full(&self) -> bool {
        self.table.indexes.iter().zip(&self.used).any(|(index, used)| index.is_full(used.ever))
    }

    /// Makes a table of the right size with the present interfaces, and publishes the table to readers.
    fn rebuild(&mut self) {
        let mut rows: Vec<_> = (0..self.table.rows.len()).filter_map(|slot| self.table.row(slot).clone()).collect();
        // In order of rank, each interface joins the end of its group.
        rows.sort_unstable_by(|a, b| rank(a).cmp(&rank(b)));
        let slots = (rows.len() + rows.len() / 8 + 1).clamp(MIN_SLOTS, Entry::SLOTS);
        self.table = Arc::new(Table::with_room(slots, self.used.map(|used| used.now)));
        self.several = HashMap::new();
        self.free = Vec::new();
        (self.fresh, self.used) = (0, Default::default());
        for row in &rows {
            self.settle(row);
        }
        self.shared.replace(self.table.clone());
    }
}

impl<O> Table<O> {
    fn ranks_before(&self, slot: u32, other: u32) -> bool {
        let [slot, other] = [slot, other].map(|slot| self.row(slot as usize));
        slot.as_deref().map(rank) < other.as_deref().map(rank)
    }
}

/// Rank of interfaces with the same key, a total order: the host's, then by name of the
/// namespace, then by ifindex; the newer of two existences first.
fn rank<O>(interface: &Interface<O>) -> (&Place, u32, Reverse<InterfaceId>) {
    (&interface.netns.place, interface.ifindex, Reverse(interface.id))
}
