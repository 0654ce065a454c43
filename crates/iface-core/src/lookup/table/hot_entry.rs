//! Fields that most lookups read, in atomic words that can be read during a write.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::{Key, yield_point};
use crate::{IfName, Interface, MacAddr};

/// The fields of an interface that most lookups read: such lookups touch no other memory and count no
/// references. Can be read during a write.
#[derive(Debug)]
// Half a cache line, so that a read never touches two lines.
#[repr(align(32))]
pub(super) struct HotEntry {
    /// Odd during a write of the other fields.
    version: AtomicU32,
    ifindex: AtomicU32,
    mac: AtomicU64,
    name: [AtomicU64; 2],
}

/// A copy of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    ifindex: u32,
    mac: MacWord,
    pub(super) name: IfName,
}

impl HotEntry {
    pub(super) fn vacant() -> Self {
        let [first, second] = Seen::VACANT.name.to_words().map(AtomicU64::new);
        Self {
            version: AtomicU32::new(0),
            ifindex: AtomicU32::new(Seen::VACANT.ifindex),
            mac: AtomicU64::new(Seen::VACANT.mac.0),
            name: [first, second],
        }
    }

    /// `None` during a write.
    #[inline(always)]
    pub(super) fn read(&self) -> Option<Seen> {
        yield_point();
        let version = self.version.load(Ordering::Acquire);
        yield_point();
        let seen = Seen {
            ifindex: self.ifindex.load(Ordering::Relaxed),
            mac: MacWord(self.mac.load(Ordering::Relaxed)),
            name: IfName::from_words(self.name.each_ref().map(|word| word.load(Ordering::Relaxed))),
        };
        // A reader of any field written after the odd version sees the odd version below.
        fence(Ordering::Acquire);
        yield_point();
        (version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version).then_some(seen)
    }

    /// Changes the entry; `meanwhile` runs while the entry is unreadable.
    pub(super) fn write(&self, seen: Seen, meanwhile: impl FnOnce()) {
        let before = self.version.load(Ordering::Relaxed);
        yield_point();
        self.version.store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        meanwhile();
        yield_point();
        self.ifindex.store(seen.ifindex, Ordering::Relaxed);
        self.mac.store(seen.mac.0, Ordering::Relaxed);
        for (place, word) in self.name.iter().zip(seen.name.to_words()) {
            yield_point();
            place.store(word, Ordering::Relaxed);
        }
        yield_point();
        self.version.store(before.wrapping_add(2), Ordering::Release);
    }
}

impl<O> From<&Interface<O>> for Seen {
    fn from(interface: &Interface<O>) -> Self {
        let Interface { ifindex, mac, name, .. } = interface;
        Self { ifindex: *ifindex, mac: MacWord::of(mac.as_ref()), name: *name }
    }
}

impl Seen {
    /// The entry of a slot without an interface.
    pub(super) const VACANT: Self = Self { ifindex: 0, mac: MacWord::VACANT, name: IfName::EMPTY };

    /// Whether the interface has the key; `None` if the row must decide.
    #[inline(always)]
    pub(super) fn fits(&self, key: &Key<'_>) -> Option<bool> {
        match *key {
            Key::Ifindex(ifindex) => Some(self.ifindex == ifindex && self.mac != MacWord::VACANT),
            Key::IfindexMac(ifindex, mac) => {
                let mac = MacWord::of(Some(mac));
                let same = self.ifindex == ifindex && self.mac == mac;
                (!same || mac.is_whole()).then_some(same)
            }
            Key::IfindexName(ifindex, name) => {
                Some(self.ifindex == ifindex && self.name == *name && self.mac != MacWord::VACANT)
            }
            Key::Id(_) | Key::Netns(..) | Key::Name(_) | Key::Mac(_) => None,
        }
    }
}

/// A MAC address in one word: the length above the first six bytes, nearly always the whole address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MacWord(u64);

impl MacWord {
    /// Longer than any address.
    const VACANT: Self = Self(u64::MAX);
    const LEN_SHIFT: u32 = 48;

    #[inline(always)]
    fn of(mac: Option<&MacAddr>) -> Self {
        let Some(mac) = mac else { return Self(0) };
        Self(mac.first_six() | (mac.as_bytes().len() as u64) << Self::LEN_SHIFT)
    }

    /// Whether the word has all bytes of the address.
    #[inline(always)]
    fn is_whole(self) -> bool {
        self.0 >> Self::LEN_SHIFT <= 6
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{KINDS, Occupant, Row, Table};
    use super::*;
    use crate::testing;

    fn holding(interface: &Interface) -> Table {
        let table = Table::with_room(1, [0; KINDS]);
        table.set(0, Some(Arc::new(interface.clone())));
        table
    }

    /// An InfiniBand address.
    fn long(last: u8) -> MacAddr {
        let mut bytes = [7; 20];
        bytes[19] = last;
        MacAddr::new(&bytes).unwrap()
    }

    #[test]
    fn hot_entry_and_row_agree() {
        let macs =
            [None, Some(testing::mac(1)), Some(long(1)), Some(long(2)), MacAddr::new(&[10]), MacAddr::new(&[0; 6])];
        let names = ["eth0", "fifteen-bytes-x", ""].map(testing::name);
        for (mac, name) in macs.iter().flat_map(|mac| names.iter().map(move |name| (*mac, *name))) {
            let table = holding(&Interface { mac, name, ..testing::interface(1, 0, 2, "", None) });
            let keys = [2, 3].into_iter().flat_map(|ifindex| {
                let of_macs = macs.iter().flatten().map(move |mac| Key::IfindexMac(ifindex, mac));
                let of_names = names.iter().map(move |name| Key::IfindexName(ifindex, name));
                of_macs.chain(of_names).chain([Key::Ifindex(ifindex)])
            });
            for key in keys {
                let row = Row::of(&table, 0, &key).map(|row| row.as_ref().map(|interface| interface.name));
                assert_eq!(IfName::of(&table, 0, &key).map(Some), row);
            }
        }
    }

    #[test]
    fn empty_slot_has_no_key() {
        let emptied = holding(&testing::interface(1, 0, 2, "eth0", None));
        emptied.set(0, None);
        for table in [emptied, Table::with_room(1, [0; KINDS])] {
            assert_eq!(IfName::of(&table, 0, &Key::Ifindex(0)), None);
            assert_eq!(IfName::of(&table, 0, &Key::IfindexName(0, &IfName::default())), None);
        }
    }

    #[test]
    fn row_answers_during_a_write() {
        let table = holding(&testing::interface(1, 0, 2, "eth0", Some(1)));
        let three = Seen { ifindex: 3, ..Seen::VACANT };
        table.faces[0].write(three, || {
            assert_eq!(table.faces[0].read(), None);
            assert_eq!(IfName::of(&table, 0, &Key::Ifindex(2)), Some(testing::name("eth0")));
        });
        assert_eq!(table.faces[0].read(), Some(three));
    }
}
