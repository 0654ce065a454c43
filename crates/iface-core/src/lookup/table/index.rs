//! Open-addressed index from the keys of one kind to slots.

use std::sync::atomic::{AtomicU32, Ordering};

use super::yield_point;

/// Free places of a new index beyond its capacity.
const SPARE: usize = 16;

/// Leads from the keys of one kind to slots: open-addressed, with linear probing.
///
/// Each kind has a separate index, so that lookups of one kind touch, and keep in the CPU's caches,
/// only places of this kind.
#[derive(Debug)]
pub(super) struct Index {
    places: Box<[AtomicU32]>,
}

/// The first free place for a key, if any.
pub(super) struct Absent(pub(super) Option<usize>);

impl Index {
    /// An index for this number of keys, and some more.
    pub(super) fn with_room(keys: usize) -> Self {
        let places = (keys + SPARE) * 4 / 3;
        Self { places: (0..places).map(|_| AtomicU32::new(Entry::EMPTY.0)).collect() }
    }

    /// Whether another key would make searches long, with this number of places in use now or before.
    pub(super) fn is_full(&self, touched: usize) -> bool {
        (touched + 1) * 8 > self.places.len() * 7
    }

    /// Finds the place of a slot that matches the key, in at most one round.
    #[inline(always)]
    pub(super) fn probe<T>(&self, hash: u64, fits: impl Fn(usize) -> Option<T>) -> Result<(usize, Entry, T), Absent> {
        let mut free = None;
        // The high half picks the place by multiplication, for any length.
        let mut at = (((hash >> 32) * self.places.len() as u64) >> 32) as usize;
        for _ in 0..self.places.len() {
            yield_point();
            let entry = self.entry(at);
            match entry.slot() {
                Some(slot) if entry.may_have(hash) => {
                    if let Some(found) = fits(slot) {
                        return Ok((at, entry, found));
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

    #[inline(always)]
    pub(super) fn entry(&self, at: usize) -> Entry {
        Entry(self.places[at].load(Ordering::Acquire))
    }

    pub(super) fn set(&self, at: usize, entry: Entry) {
        yield_point();
        self.places[at].store(entry.0, Ordering::Release);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

/// A place of an index: the number of a slot plus one (22 bits), whether no other interface has the
/// key (1 bit), and the low bits of the key's hash (9 bits).
///
/// 32 bits, because an interface is in about five places.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u32);

impl Entry {
    /// Never used: ends the search for a key.
    pub(super) const EMPTY: Self = Self(0);
    /// Used before: a search continues.
    pub(super) const VACATED: Self = Self(1);
    /// Largest number of slots.
    pub(super) const SLOTS: usize = (1 << 22) - 1;
    const SLOT_SHIFT: u32 = 10;
    const ALONE: u32 = 1 << 9;
    const TAG: u32 = Self::ALONE - 1;

    pub(super) fn new(slot: u32, alone: bool, hash: u64) -> Self {
        let alone = if alone { Self::ALONE } else { 0 };
        Self((slot + 1) << Self::SLOT_SHIFT | alone | hash as u32 & Self::TAG)
    }

    #[inline(always)]
    pub(super) fn slot(self) -> Option<usize> {
        (self.0 >> Self::SLOT_SHIFT).checked_sub(1).map(|slot| slot as usize)
    }

    fn may_have(self, hash: u64) -> bool {
        (self.0 ^ hash as u32) & Self::TAG == 0
    }

    pub(super) fn is_alone(self) -> bool {
        self.0 & Self::ALONE != 0
    }

    pub(super) fn with_alone(self, slot: u32, alone: bool) -> Self {
        Self::new(slot, alone, u64::from(self.0 & Self::TAG))
    }
}
