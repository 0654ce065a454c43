use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwapAny;

use super::key::{KEYS, Keys};
use super::{Absent, Entry, Key, Shared, Table, step};
use crate::{Event, Interface, InterfaceId, Place};

/// Fewest slots of a table; a smaller one would only be made again soon.
const MIN_SLOTS: usize = 16;

/// The one that changes the table.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    table: Arc<Table>,
    /// By its place, each key that several interfaces have: their slots, the best first.
    several: HashMap<usize, Vec<u32>>,
    /// Slots that were given back.
    free: Vec<u32>,
    /// The first slot that was never given out.
    fresh: usize,
    /// Places in use, and those that are or were.
    places: usize,
    touched: usize,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let table = shared.table.load_full();
        Self { shared, table, several: HashMap::new(), free: Vec::new(), fresh: 0, places: 0, touched: 0 }
    }

    /// Makes lookups answer as after this event.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Added(interface) | Event::Updated(interface, _) => self.put(interface),
            Event::Deleted(interface) => self.delete(interface.id),
            Event::Synced => {}
        }
    }

    fn put(&mut self, new: &Arc<Interface>) {
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
            return self.table.set_slot(slot, Some(new.clone()));
        }
        self.changing(|writer| writer.rekey(slot, new, &before, &after));
    }

    fn delete(&mut self, id: InterfaceId) {
        let Some((slot, old)) = self.known(id) else { return };
        self.changing(|writer| writer.remove(slot, &old));
        let len = self.shared.len.fetch_sub(1, Ordering::Relaxed) - 1;
        let slots = self.table.slots.len();
        if slots > MIN_SLOTS && len < slots / 4 {
            self.changing(Self::rebuild);
        }
    }

    /// Tells readers that what they find meanwhile may be half of a change.
    fn changing(&mut self, change: impl FnOnce(&mut Self)) {
        let epoch = self.shared.epoch.load(Ordering::Relaxed);
        step();
        self.shared.epoch.store(epoch + 1, Ordering::Release);
        change(self);
        step();
        self.shared.epoch.store(epoch + 2, Ordering::Release);
    }

    fn known(&self, id: InterfaceId) -> Option<(u32, Arc<Interface>)> {
        let key = Key::Id(id);
        let (_, entry, row) = self.table.probe(&key, self.shared.hasher.hash(&key)).ok()?;
        Some((entry.slot()? as u32, row.clone()?))
    }

    fn add(&mut self, new: &Arc<Interface>) {
        if self.is_full() || (self.free.is_empty() && self.fresh == self.table.slots.len()) {
            self.rebuild();
        }
        self.settle(new);
    }

    /// Adds where there is room.
    fn settle(&mut self, new: &Arc<Interface>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh as u32 - 1
        });
        self.table.set_slot(slot, Some(new.clone()));
        let shared = self.shared.clone();
        for key in Key::all_of(new, &shared.preferred).iter().flatten() {
            self.enter(key, slot);
        }
    }

    fn remove(&mut self, slot: u32, old: &Interface) {
        let shared = self.shared.clone();
        for key in Key::all_of(old, &shared.preferred).iter().flatten() {
            self.leave(key, slot);
        }
        self.table.set_slot(slot, None);
        self.free.push(slot);
    }

    /// Changes an interface's keys. It is found by the old ones up to the moment it changes and by
    /// the new ones from then on, so that a reader needs no second look.
    fn rekey(&mut self, slot: u32, new: &Arc<Interface>, before: &Keys<'_>, after: &Keys<'_>) {
        if self.is_full() {
            self.rebuild();
            // Its slot is another now, and there is room.
            let Some((slot, _)) = self.known(new.id) else { return };
            return self.rekey(slot, new, before, after);
        }
        // Once it has changed, its old keys no longer lead to it.
        let place = |key: &Key<'_>| self.table.probe(key, self.shared.hasher.hash(key)).ok().map(|(at, ..)| at);
        let gone = before.iter().flatten().filter(|key| !after.contains(&Some(**key)));
        let places: Vec<usize> = gone.filter_map(place).collect();
        for key in after.iter().flatten().filter(|key| !before.contains(&Some(**key))) {
            self.enter(key, slot);
        }
        self.table.set_slot(slot, Some(new.clone()));
        for at in places {
            self.leave_place(at, slot);
        }
    }

    /// Makes the slot's interface one of those with the key.
    fn enter(&mut self, key: &Key<'_>, slot: u32) {
        let hash = self.shared.hasher.hash(key);
        let (at, entry) = match self.table.probe(key, hash) {
            Ok((at, entry, _)) => (at, entry),
            Err(Absent(Some(at))) => {
                let unused = self.table.places[at].load(Ordering::Relaxed) == Entry::EMPTY.0;
                self.touched += usize::from(unused);
                self.places += 1;
                return self.table.set_place(at, Entry::new(slot, true, hash));
            }
            Err(Absent(None)) => unreachable!("an eighth of all places is free"),
        };
        let Some(first) = entry.slot() else { return };
        let table = &self.table;
        let slots = self.several.entry(at).or_insert_with(|| vec![first as u32]);
        let position = slots.partition_point(|other| table.ranks_before(*other, slot));
        if slots.len() == slots.capacity() {
            // Doubling would leave more room unused than an interface may cost.
            slots.reserve_exact(slots.len() / 8 + 1);
        }
        slots.insert(position, slot);
        self.table.set_place(at, entry.with_alone(slots[0], false));
    }

    /// Makes the slot's interface none of those with the key.
    fn leave(&mut self, key: &Key<'_>, slot: u32) {
        if let Ok((at, ..)) = self.table.probe(key, self.shared.hasher.hash(key)) {
            self.leave_place(at, slot);
        }
    }

    /// The same, where the key's place is known.
    fn leave_place(&mut self, at: usize, slot: u32) {
        let entry = Entry(self.table.places[at].load(Ordering::Relaxed));
        let Some(slots) = self.several.get_mut(&at) else {
            self.places -= 1;
            return self.table.set_place(at, Entry::VACATED);
        };
        let table = &self.table;
        let position = slots.partition_point(|other| table.ranks_before(*other, slot));
        slots.remove(position);
        let (best, alone) = (slots[0], slots.len() == 1);
        if alone {
            self.several.remove(&at);
        } else if slots.len() < slots.capacity() / 4 {
            slots.shrink_to(slots.len() * 2);
        }
        self.table.set_place(at, entry.with_alone(best, alone));
    }

    /// Whether the places of one more interface would make searches long.
    fn is_full(&self) -> bool {
        (self.touched + KEYS) * 8 > self.table.places.len() * 7
    }

    /// Makes a table of the right size with what is there, and hands it to the readers.
    fn rebuild(&mut self) {
        let mut rows: Vec<_> = self.table.slots.iter().filter_map(ArcSwapAny::load_full).collect();
        // In order of rank each joins the end of its group.
        rows.sort_unstable_by(|a, b| rank(a).cmp(&rank(b)));
        let slots = (rows.len() + rows.len() / 8 + 1).clamp(MIN_SLOTS, Entry::SLOTS);
        let places = (self.places + 2 * KEYS) * 4 / 3;
        self.table = Arc::new(Table::with_room(slots, places));
        self.several = HashMap::new();
        self.free = Vec::new();
        (self.fresh, self.places, self.touched) = (0, 0, 0);
        for row in &rows {
            self.settle(row);
        }
        step();
        self.shared.table.store(self.table.clone());
    }
}

impl Table {
    fn ranks_before(&self, slot: u32, other: u32) -> bool {
        let [slot, other] = [slot, other].map(|slot| self.slots[slot as usize].load());
        slot.as_deref().map(rank) < other.as_deref().map(rank)
    }
}

/// Which of several interfaces with one key is the best, as a total order: the host's, then by the
/// namespace's name, then by number; of two existences of one, the newer.
fn rank(interface: &Interface) -> (&Place, u32, Reverse<InterfaceId>) {
    (&interface.netns.place, interface.ifindex, Reverse(interface.id))
}
