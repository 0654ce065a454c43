//! Keys of an interface, by kind, with their hashes.

use std::hash::{BuildHasher, Hasher as _};

use foldhash::fast::RandomState;

use crate::{IfName, Interface, InterfaceId, MacAddr, NetnsId, NetnsRef, Place, Preferred};

/// Key of an interface for a lookup.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    Id(InterfaceId),
    Ifindex(u32),
    IfindexMac(u32, &'a MacAddr),
    /// Only for names preferred by a rule.
    IfindexName(u32, &'a IfName),
    Netns(NetnsRef<'a>, u32),
    Name(&'a IfName),
    Mac(&'a MacAddr),
}

/// Kinds of keys; an interface has at most one key of each kind.
pub(super) const KINDS: usize = 10;

/// The keys of an interface by kind.
pub(super) type Keys<'a> = [Option<Key<'a>>; KINDS];

impl<'a> Key<'a> {
    pub(super) fn all_of<O>(interface: &'a Interface<O>, preferred: &Preferred) -> Keys<'a> {
        let Interface { id, netns, ifindex, name, mac, .. } = interface;
        let mac = mac.as_ref();
        [
            Some(Self::Id(*id)),
            Some(Self::Ifindex(*ifindex)),
            mac.map(|mac| Self::IfindexMac(*ifindex, mac)),
            preferred.prefers(name).then_some(Self::IfindexName(*ifindex, name)),
            Some(Self::Netns(NetnsRef::Id(netns.id), *ifindex)),
            // A namespace without a name is found by its inode below.
            (!matches!(netns.place, Place::Inode(_))).then(|| Self::Netns(NetnsRef::from(&netns.place), *ifindex)),
            Some(Self::Name(name)),
            mac.map(Self::Mac),
            netns.inode().map(|inode| Self::Netns(NetnsRef::Inode(inode), *ifindex)),
            netns.cookie.map(|cookie| Self::Netns(NetnsRef::Cookie(cookie), *ifindex)),
        ]
    }

    #[inline(always)]
    pub(super) fn kind(&self) -> usize {
        match self {
            Self::Id(_) => 0,
            Self::Ifindex(_) => 1,
            Self::IfindexMac(..) => 2,
            Self::IfindexName(..) => 3,
            Self::Netns(NetnsRef::Id(_), _) => 4,
            Self::Netns(NetnsRef::Host | NetnsRef::Named(_) | NetnsRef::Nsid(_), _) => 5,
            Self::Name(_) => 6,
            Self::Mac(_) => 7,
            Self::Netns(NetnsRef::Inode(_), _) => 8,
            Self::Netns(NetnsRef::Cookie(_), _) => 9,
        }
    }

    #[inline(always)]
    pub(super) fn fits<O>(&self, interface: &Interface<O>) -> bool {
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

/// Hashes keys with a random seed: a pod can choose names and MAC addresses.
#[derive(Debug, Default)]
pub(super) struct Hasher(RandomState);

impl Hasher {
    #[inline(always)]
    pub(super) fn hash(&self, key: &Key<'_>) -> u64 {
        let mut state = self.0.build_hasher();
        match *key {
            Key::Id(id) => state.write_u64(id.0.get()),
            Key::Ifindex(ifindex) | Key::Netns(NetnsRef::Host, ifindex) => state.write_u32(ifindex),
            Key::IfindexMac(ifindex, mac) => {
                state.write_u32(ifindex);
                state.write(mac.as_bytes());
            }
            Key::IfindexName(ifindex, name) => {
                state.write_u32(ifindex);
                state.write(name.as_bytes());
            }
            Key::Netns(NetnsRef::Id(NetnsId(number)) | NetnsRef::Inode(number), ifindex) => {
                state.write_u32(ifindex);
                state.write_u64(number);
            }
            Key::Netns(NetnsRef::Cookie(cookie), ifindex) => {
                state.write_u32(ifindex);
                state.write_u64(cookie.get());
            }
            Key::Netns(NetnsRef::Nsid(nsid), ifindex) => {
                state.write_u32(ifindex);
                state.write_i32(nsid);
            }
            Key::Netns(NetnsRef::Named(name), ifindex) => {
                state.write_u32(ifindex);
                state.write(name);
            }
            Key::Name(name) => state.write(name.as_bytes()),
            Key::Mac(mac) => state.write(mac.as_bytes()),
        }
        state.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn each_key_stands_at_its_kind() {
        let preferred: Preferred = "0a=eth0".parse().unwrap();
        for netns in [0, 1] {
            let interface = testing::interface(1, netns, 2, "eth0", Some(1));
            let kinds = Key::all_of(&interface, &preferred).map(|key| key.map(|key| key.kind()));
            assert_eq!(kinds, std::array::from_fn(Some));
        }
    }
}
