use std::sync::atomic::{AtomicU32, Ordering};

use super::yield_point;

/// Free places that a new index has beyond what it is made for.
const SPARE: usize = 16;

/// Leads from the keys of one kind to slots: open-addressed, with linear probing.
///
/// A kind has an index of its own so that asking for one kind of key touches, and keeps in the
/// processor's caches, only what that kind needs.
#[derive(Debug)]
pub(super) struct Index {
    places: Box<[AtomicU32]>,
}

/// Where a key would go: the first place free for it, when there is one.
pub(super) struct Absent(pub(super) Option<usize>);

impl Index {
    /// With room for this many keys, and some more.
    pub(super) fn with_room(keys: usize) -> Self {
        let places = (keys + SPARE) * 4 / 3;
        Self { places: (0..places).map(|_| AtomicU32::new(Entry::EMPTY.0)).collect() }
    }

    /// Whether one more key would make searches long, where so many places are or were in use.
    pub(super) fn is_full(&self, touched: usize) -> bool {
        (touched + 1) * 8 > self.places.len() * 7
    }

    /// Finds the place whose slot holds what the key means, in at most one round.
    #[inline(always)]
    pub(super) fn probe<T>(&self, hash: u64, fits: impl Fn(usize) -> Option<T>) -> Result<(usize, Entry, T), Absent> {
        let mut free = None;
        // The high half picks the place by multiplication, so that any length will do.
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

/// What a place of an index holds: a slot's number plus one (22 bits), whether its interface is
/// the only one with the key (1 bit), and the low bits of the key's hash (9 bits).
///
/// 32 bits because an interface is in about five places.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u32);

impl Entry {
    /// Never used: a key that is not found up to here is not in the index.
    pub(super) const EMPTY: Self = Self(0);
    /// Used before: a search goes on.
    pub(super) const VACATED: Self = Self(1);
    /// How many slots can be told apart.
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
