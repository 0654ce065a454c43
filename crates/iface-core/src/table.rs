//! The table behind [`Lookup`](crate::Lookup): one writer, readers that never wait.
//!
//! An interface has one slot. A hash index leads from each [`Key`] to the slot of the best
//! interface with that key. The writer changes slots and index in place, one atomic store at a
//! time, in an order that keeps this true at every instant: *a place of the index that is in use
//! names a slot that holds an interface with the place's key*. Growing and shrinking make a new
//! table; readers of the old one still find what was true when it was replaced.
mod key;
mod step;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};

use crate::{Interface, Preferred};

pub(crate) use key::Key;
pub(crate) use writer::Writer;

use key::Hasher;
use step::step;

/// How often a reader looks at most when the writer is at work while it looks.
///
/// The limit is what bounds a read: beside a writer that never rests, the last look's answer counts.
const LOOKS: usize = 4;

/// An interface as it was when it was read.
pub(crate) type Row = Guard<Option<Arc<Interface>>>;

/// What the writer and all readers have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    table: ArcSwap<Table>,
    /// Odd while the writer changes what a lookup could find.
    epoch: AtomicU64,
    len: AtomicUsize,
    hasher: Hasher,
    preferred: Preferred,
}

impl Shared {
    pub(crate) fn new(preferred: Preferred) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::with_room(0, 0)),
            epoch: AtomicU64::new(0),
            len: AtomicUsize::new(0),
            hasher: Hasher::default(),
            preferred,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn preferred(&self) -> &Preferred {
        &self.preferred
    }

    /// The best interface with this key.
    #[inline(always)]
    pub(crate) fn find(&self, key: &Key<'_>) -> Option<Hit> {
        self.settled(|view| match view.find(key) {
            Some(hit) => ControlFlow::Break(Some(hit)),
            None => ControlFlow::Continue(None),
        })
    }

    /// Looks until `look` breaks with an answer that holds whatever the writer did meanwhile, or
    /// continues with one while the writer did nothing.
    #[inline(always)]
    pub(crate) fn settled<T>(&self, look: impl Fn(&View<'_>) -> ControlFlow<T, T>) -> T {
        let mut looks = 0;
        loop {
            step();
            let before = self.epoch.load(Ordering::Acquire);
            step();
            let table = self.table.load();
            let answer = match look(&View { table: &table, hasher: &self.hasher }) {
                ControlFlow::Break(answer) => return answer,
                ControlFlow::Continue(answer) => answer,
            };
            step();
            let quiet = before.is_multiple_of(2) && self.epoch.load(Ordering::Acquire) == before;
            looks += 1;
            if quiet || looks == LOOKS {
                return answer;
            }
        }
    }

    /// Visits every interface that exists throughout the call, once.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Arc<Interface>)) {
        step();
        let table = self.table.load();
        for slot in &table.slots {
            step();
            if let Some(interface) = &*slot.load() {
                visit(interface);
            }
        }
    }
}

/// What one look at the table sees.
pub(crate) struct View<'a> {
    table: &'a Table,
    hasher: &'a Hasher,
}

impl View<'_> {
    /// The best interface with this key.
    #[inline(always)]
    pub(crate) fn find(&self, key: &Key<'_>) -> Option<Hit> {
        let (_, entry, row) = self.table.probe(key, self.hasher.hash(key)).ok()?;
        Some(Hit { row, alone: entry.is_alone() })
    }
}

/// What a key led to.
pub(crate) struct Hit {
    pub(crate) row: Row,
    /// No other interface has this key.
    pub(crate) alone: bool,
}

/// Slots, and an open-addressed index into them with linear probing.
#[derive(Debug)]
struct Table {
    slots: Box<[ArcSwapOption<Interface>]>,
    places: Box<[AtomicU32]>,
}

/// Where a key would go: the first place free for it, when there is one.
struct Absent(Option<usize>);

impl Table {
    fn with_room(slots: usize, places: usize) -> Self {
        Self {
            slots: (0..slots).map(|_| ArcSwapOption::empty()).collect(),
            places: (0..places).map(|_| AtomicU32::new(Entry::EMPTY.0)).collect(),
        }
    }

    /// Finds the key's place in at most one round of the index.
    #[inline(always)]
    fn probe(&self, key: &Key<'_>, hash: u64) -> Result<(usize, Entry, Row), Absent> {
        let mut free = None;
        // The high half picks the place by multiplication, so that any length will do.
        let mut at = (((hash >> 32) * self.places.len() as u64) >> 32) as usize;
        for _ in 0..self.places.len() {
            step();
            let entry = Entry(self.places[at].load(Ordering::Acquire));
            match entry.slot() {
                Some(slot) if entry.may_have(hash) => {
                    step();
                    let row = self.slots[slot].load();
                    if row.as_deref().is_some_and(|interface| key.fits(interface)) {
                        return Ok((at, entry, row));
                    }
                }
                Some(_) => {}
                None => {
                    free = free.or(Some(at));
                    if entry == Entry::EMPTY {
                        break;
                    }
                }
            }
            at = if at + 1 == self.places.len() { 0 } else { at + 1 };
        }
        Err(Absent(free))
    }

    fn set_place(&self, at: usize, entry: Entry) {
        step();
        self.places[at].store(entry.0, Ordering::Release);
    }

    fn set_slot(&self, slot: u32, interface: Option<Arc<Interface>>) {
        step();
        self.slots[slot as usize].store(interface);
    }
}

/// What a place of the index holds: a slot's number plus one (22 bits), whether its interface is
/// the only one with the key (1 bit), and the low bits of the key's hash (9 bits), which start with
/// the kind of key: an interface has one key of a kind, so the two together name the key.
///
/// 32 bits because an interface is in about five places.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry(u32);

impl Entry {
    /// Never used: a key that is not found up to here is not in the index.
    const EMPTY: Self = Self(0);
    /// Used before: a search goes on.
    const VACATED: Self = Self(1);
    /// How many slots can be told apart.
    const SLOTS: usize = (1 << 22) - 1;
    const SLOT_SHIFT: u32 = 10;
    const ALONE: u32 = 1 << 9;
    const TAG: u32 = Self::ALONE - 1;

    fn new(slot: u32, alone: bool, hash: u64) -> Self {
        let alone = if alone { Self::ALONE } else { 0 };
        Self((slot + 1) << Self::SLOT_SHIFT | alone | hash as u32 & Self::TAG)
    }

    fn slot(self) -> Option<usize> {
        (self.0 >> Self::SLOT_SHIFT).checked_sub(1).map(|slot| slot as usize)
    }

    fn may_have(self, hash: u64) -> bool {
        (self.0 ^ hash as u32) & Self::TAG == 0
    }

    fn is_alone(self) -> bool {
        self.0 & Self::ALONE != 0
    }

    fn with_alone(self, slot: u32, alone: bool) -> Self {
        Self::new(slot, alone, u64::from(self.0 & Self::TAG))
    }
}
