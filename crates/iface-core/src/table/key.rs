use std::hash::{BuildHasher, Hasher as _};

use foldhash::fast::RandomState;

use crate::{IfName, Interface, InterfaceId, MacAddr, NetnsRef, Preferred};

/// What an interface can be found by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    Id(InterfaceId),
    Ifindex(u32),
    IfindexMac(u32, &'a MacAddr),
    /// Only for names that a rule prefers.
    IfindexName(u32, &'a IfName),
    Netns(NetnsRef<'a>, u32),
    Name(&'a IfName),
    Mac(&'a MacAddr),
}

/// Most keys that one interface has.
pub(super) const KEYS: usize = 8;

/// The keys of one interface.
pub(super) type Keys<'a> = [Option<Key<'a>>; KEYS];

impl<'a> Key<'a> {
    pub(super) fn all_of(interface: &'a Interface, preferred: &Preferred) -> Keys<'a> {
        let Interface { id, netns, ifindex, name, mac, .. } = interface;
        let mac = mac.as_ref();
        [
            Some(Self::Id(*id)),
            Some(Self::Ifindex(*ifindex)),
            mac.map(|mac| Self::IfindexMac(*ifindex, mac)),
            preferred.prefers(name).then_some(Self::IfindexName(*ifindex, name)),
            Some(Self::Netns(NetnsRef::Id(netns.id), *ifindex)),
            Some(Self::Netns(NetnsRef::from(&netns.place), *ifindex)),
            Some(Self::Name(name)),
            mac.map(Self::Mac),
        ]
    }

    #[inline(always)]
    pub(super) fn fits(&self, interface: &Interface) -> bool {
        match *self {
            Self::Id(id) => interface.id == id,
            Self::Ifindex(ifindex) => interface.ifindex == ifindex,
            Self::IfindexMac(ifindex, mac) => interface.ifindex == ifindex && interface.mac.as_ref() == Some(mac),
            Self::IfindexName(ifindex, name) => interface.ifindex == ifindex && interface.name == *name,
            Self::Netns(netns, ifindex) => interface.ifindex == ifindex && netns.is(&interface.netns),
            Self::Name(name) => interface.name == *name,
            Self::Mac(mac) => interface.mac.as_ref() == Some(mac),
        }
    }
}

/// Hashes keys with a seed of its own: names and MAC addresses are chosen by whoever runs a pod.
#[derive(Debug, Default)]
pub(super) struct Hasher(RandomState);

impl Hasher {
    /// The low three bits tell the kind of key.
    #[inline(always)]
    pub(super) fn hash(&self, key: &Key<'_>) -> u64 {
        let mut state = self.0.build_hasher();
        let kind = match *key {
            Key::Id(id) => {
                state.write_u64(id.0.get());
                0
            }
            Key::Ifindex(ifindex) => {
                state.write_u32(ifindex);
                1
            }
            Key::IfindexMac(ifindex, mac) => {
                state.write_u32(ifindex);
                state.write(mac.as_bytes());
                2
            }
            Key::IfindexName(ifindex, name) => {
                state.write_u32(ifindex);
                state.write(name.as_bytes());
                3
            }
            Key::Netns(NetnsRef::Id(netns), ifindex) => {
                state.write_u32(ifindex);
                state.write_u64(netns.dev);
                state.write_u64(netns.inode);
                state.write_u64(netns.generation);
                4
            }
            Key::Netns(NetnsRef::Host, ifindex) => {
                state.write_u32(ifindex);
                5
            }
            Key::Netns(NetnsRef::Named(name), ifindex) => {
                state.write_u32(ifindex);
                state.write(name);
                5
            }
            Key::Name(name) => {
                state.write(name.as_bytes());
                6
            }
            Key::Mac(mac) => {
                state.write(mac.as_bytes());
                7
            }
        };
        // The kind goes into the high half too: the bits that choose where to look.
        state.write_u8(kind);
        state.finish() & !7 | u64::from(kind)
    }
}
