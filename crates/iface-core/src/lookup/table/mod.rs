//! The table behind [`Lookup`](crate::Lookup): one writer, readers that never wait.
//!
//! An interface has one slot: a row with the whole interface, and a hot entry with the fields that most
//! lookups read. For each kind of [`Key`] a hash index leads to the slot of the best interface
//! with the key. The writer changes slots and indexes in place, one atomic store at a time, in an
//! order that keeps an invariant: *each used place of an index names a slot with an interface that has
//! the place's key*. Growing and shrinking make a new table; readers of the old table find the state
//! at the time of the replacement.
mod hot_entry;
mod index;
mod key;
#[cfg(test)]
mod tests;
mod writer;
mod yield_point;

use std::ops::{ControlFlow, Deref};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};

use crate::{IfName, Interface, Preferred};

pub(crate) use key::Key;
pub(crate) use writer::Writer;

use hot_entry::{HotEntry, Seen};
use index::{Absent, Entry, Index};
use key::{Hasher, KINDS};
use yield_point::yield_point;

/// Limit of attempts of a reader beside a busy writer.
///
/// The limit bounds a read: beside a writer that never rests, the result of the last attempt counts.
const LOOKS: usize = 4;

/// State shared by the writer and all readers.
#[derive(Debug)]
pub(crate) struct Shared<O = ()> {
    table: ArcSwap<Table<O>>,
    /// Number of earlier tables.
    replaced: AtomicU64,
    /// Odd while the writer changes the results of lookups.
    epoch: AtomicU64,
    len: AtomicUsize,
    hasher: Hasher,
    preferred: Preferred,
}

/// Source of a reader's table.
pub(crate) trait Tables<O> {
    /// The current table.
    fn current(&mut self, shared: &Shared<O>) -> impl Deref<Target = Arc<Table<O>>>;
}

/// Loads the table for each lookup, and keeps nothing.
pub(crate) struct LoadEachTime;

impl<O> Tables<O> for LoadEachTime {
    #[inline(always)]
    fn current(&mut self, shared: &Shared<O>) -> impl Deref<Target = Arc<Table<O>>> {
        shared.table.load()
    }
}

/// Keeps the table until the next: frequent lookups of one thread need no reference counting.
#[derive(Debug)]
pub(crate) struct CachedTable<O = ()> {
    table: Arc<Table<O>>,
    replaced: u64,
}

impl<O> Clone for CachedTable<O> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), replaced: self.replaced }
    }
}

impl<O> CachedTable<O> {
    pub(crate) fn new(shared: &Shared<O>) -> Self {
        // In this order: a table published in between is loaded by the next lookup, and not missed.
        let replaced = shared.replaced.load(Ordering::Acquire);
        Self { table: shared.table.load_full(), replaced }
    }
}

impl<O> Tables<O> for CachedTable<O> {
    #[inline(always)]
    fn current(&mut self, shared: &Shared<O>) -> impl Deref<Target = Arc<Table<O>>> {
        if shared.replaced.load(Ordering::Acquire) != self.replaced {
            *self = Self::new(shared);
        }
        &self.table
    }
}

impl<O> Shared<O> {
    pub(crate) fn new(preferred: Preferred) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::with_room(0, [0; KINDS])),
            replaced: AtomicU64::new(0),
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
    pub(crate) fn find(&self, key: &Key<'_>) -> Option<Hit<Row<O>>> {
        self.settled(&mut LoadEachTime, |view| match view.find(key) {
            Some(hit) => ControlFlow::Break(Some(hit)),
            None => ControlFlow::Continue(None),
        })
    }

    /// Repeats `look` until `look` breaks with a result that is valid beside any writer, or
    /// continues with a result while the writer was idle.
    #[inline(always)]
    pub(crate) fn settled<T>(
        &self,
        tables: &mut impl Tables<O>,
        look: impl Fn(&View<'_, O>) -> ControlFlow<T, T>,
    ) -> T {
        let mut looks = 0;
        loop {
            yield_point();
            let before = self.epoch.load(Ordering::Acquire);
            yield_point();
            let table = tables.current(self);
            let answer = match look(&View { table: &table, hasher: &self.hasher }) {
                ControlFlow::Break(answer) => return answer,
                ControlFlow::Continue(answer) => answer,
            };
            yield_point();
            let quiet = before.is_multiple_of(2) && self.epoch.load(Ordering::Acquire) == before;
            looks += 1;
            if quiet || looks == LOOKS {
                return answer;
            }
        }
    }

    /// Visits each interface that exists throughout the call, once.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Arc<Interface<O>>)) {
        yield_point();
        let table = self.table.load();
        for slot in 0..table.rows.len() {
            if let Some(interface) = &*table.row(slot) {
                visit(interface);
            }
        }
    }

    fn replace(&self, table: Arc<Table<O>>) {
        yield_point();
        self.table.store(table);
        yield_point();
        self.replaced.fetch_add(1, Ordering::Release);
    }
}

/// The view of one attempt of a lookup.
pub(crate) struct View<'a, O> {
    table: &'a Table<O>,
    hasher: &'a Hasher,
}

impl<O> View<'_, O> {
    /// The best interface with this key.
    #[inline(always)]
    pub(crate) fn find<T: Occupant<O>>(&self, key: &Key<'_>) -> Option<Hit<T>> {
        let (_, entry, found) = self.table.probe(key, self.hasher.hash(key)).ok()?;
        Some(Hit { found, alone: entry.is_alone() })
    }
}

/// The result of a key.
pub(crate) struct Hit<T> {
    pub(crate) found: T,
    /// No other interface has this key.
    pub(crate) alone: bool,
}

/// Slots and their indexes.
#[derive(Debug)]
pub(crate) struct Table<O = ()> {
    rows: Box<[ArcSwapOption<Interface<O>>]>,
    faces: Box<[HotEntry]>,
    indexes: [Index; KINDS],
}

impl<O> Table<O> {
    fn with_room(slots: usize, keys: [usize; KINDS]) -> Self {
        Self {
            rows: (0..slots).map(|_| ArcSwapOption::empty()).collect(),
            faces: (0..slots).map(|_| HotEntry::vacant()).collect(),
            indexes: keys.map(Index::with_room),
        }
    }

    #[inline(always)]
    fn probe<T: Occupant<O>>(&self, key: &Key<'_>, hash: u64) -> Result<(usize, Entry, T), Absent> {
        self.indexes[key.kind()].probe(hash, |slot| T::of(self, slot, key))
    }

    #[inline(always)]
    fn row(&self, slot: usize) -> Row<O> {
        yield_point();
        self.rows[slot].load()
    }

    /// Changes a slot's interface, atomically for every reader: during the write of the hot entry,
    /// readers use the row.
    fn set(&self, slot: u32, interface: Option<Arc<Interface<O>>>) {
        let seen = interface.as_deref().map_or(Seen::VACANT, Seen::from);
        self.faces[slot as usize].write(seen, || self.set_row(slot, interface));
    }

    /// Changes a slot's interface without a change of the hot entry.
    fn set_row(&self, slot: u32, interface: Option<Arc<Interface<O>>>) {
        yield_point();
        self.rows[slot as usize].store(interface);
    }
}

/// A value that a reader copies from a slot.
pub(crate) trait Occupant<O>: Sized {
    /// The value, if the slot's interface has the key.
    fn of(table: &Table<O>, slot: usize, key: &Key<'_>) -> Option<Self>;
}

/// An interface at the time of the read.
pub(crate) type Row<O = ()> = Guard<Option<Arc<Interface<O>>>>;

impl<O> Occupant<O> for Row<O> {
    #[inline(always)]
    fn of(table: &Table<O>, slot: usize, key: &Key<'_>) -> Option<Self> {
        let row = table.row(slot);
        row.as_deref().is_some_and(|interface| key.fits(interface)).then_some(row)
    }
}

impl<O> Occupant<O> for IfName {
    #[inline(always)]
    fn of(table: &Table<O>, slot: usize, key: &Key<'_>) -> Option<Self> {
        if let Some(seen) = table.faces[slot].read()
            && let Some(fits) = seen.fits(key)
        {
            return fits.then_some(seen.name);
        }
        Row::of(table, slot, key)?.as_deref().map(|interface| interface.name)
    }
}
