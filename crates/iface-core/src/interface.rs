use std::fmt;
use std::num::NonZeroU64;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use ipnet::IpNet;

use crate::{Changes, IfName, MacAddr, Netns, NetnsId};

/// Numbers one existence of an interface under one name, from its `Added` to its `Deleted`.
///
/// Ifindexes, names and MAC addresses are reused; this is not, as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceId(pub NonZeroU64);

/// What names an interface from outside: where it is, its number and its name.
///
/// The name is part of the key: a rename is a `Deleted` of the old key and an `Added` of the new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceKey {
    /// The namespace it is in.
    pub netns: NetnsId,
    /// Its number there.
    pub ifindex: u32,
    /// Its name.
    pub name: IfName,
}

/// A network interface of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface<O = ()> {
    /// Which existence of the interface this is.
    pub id: InterfaceId,
    /// The namespace it is in.
    pub netns: Arc<Netns>,
    /// Its number there.
    pub ifindex: u32,
    /// Its name.
    pub name: IfName,
    /// Its link-layer address; tun, WireGuard and ipip have none.
    pub mac: Option<MacAddr>,
    /// What made it: veth, bridge, tun…; `None` for a device that no link kind made.
    pub kind: Option<Kind>,
    /// What it can do now (`IFLA_OPERSTATE`).
    pub oper_state: OperState,
    /// What the administrator asked for (`IFF_UP`).
    pub admin_up: bool,
    /// Maximum transmission unit, bytes.
    pub mtu: u32,
    /// Addresses with their prefix lengths, sorted, each once.
    pub addresses: Box<[IpNet]>,
    /// The other end of a veth, where it is in a known namespace.
    pub peer: Option<Box<Peer>>,
    /// The owner, for programs that know one; the informers of netns-scan leave it empty.
    pub owner: Option<Arc<O>>,
    /// When it was made, or first seen if that was before; a rename keeps it.
    pub since: SystemTime,
}

impl<O> Interface<O> {
    /// Namespace, number and name together.
    #[must_use]
    pub fn key(&self) -> InterfaceKey {
        InterfaceKey { netns: self.netns.id, ifindex: self.ifindex, name: self.name }
    }

    /// Whether it can pass packets, as far as the kernel knows.
    ///
    /// Up as the kernel says, or administratively up on a device that never tells (`lo`, tun):
    /// RFC 2863 leaves those at "unknown".
    #[must_use]
    pub fn is_up(&self) -> bool {
        match self.oper_state {
            OperState::Up => true,
            OperState::Unknown => self.admin_up,
            _ => false,
        }
    }

    /// What differs between two states of one existence: `self` before, `new` after.
    #[must_use]
    pub fn changes_to(&self, new: &Self) -> Changes
    where
        O: PartialEq,
    {
        [
            (Changes::MAC, self.mac != new.mac),
            (Changes::MTU, self.mtu != new.mtu),
            (Changes::OPER_STATE, self.oper_state != new.oper_state),
            (Changes::ADMIN_UP, self.admin_up != new.admin_up),
            (Changes::ADDRESSES, self.addresses != new.addresses),
            (Changes::PEER, self.peer != new.peer),
            (Changes::OWNER, self.owner != new.owner),
        ]
        .into_iter()
        .filter_map(|(change, differs)| differs.then_some(change))
        .fold(Changes::default(), Changes::union)
    }
}

impl<O> Interface<O> {
    /// The same interface with an owner of any type, or with none.
    #[must_use]
    pub fn with_owner<P>(&self, owner: Option<Arc<P>>) -> Interface<P> {
        let Self { id, ref netns, ifindex, name, mac, ref kind, oper_state, admin_up, mtu, .. } = *self;
        Interface {
            id,
            netns: netns.clone(),
            ifindex,
            name,
            mac,
            kind: kind.clone(),
            oper_state,
            admin_up,
            mtu,
            addresses: self.addresses.clone(),
            peer: self.peer.clone(),
            owner,
            since: self.since,
        }
    }
}

/// The other end of a veth pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The namespace it is in.
    pub netns: Arc<Netns>,
    /// Its number there.
    pub ifindex: u32,
    /// Its name there.
    pub name: IfName,
}

/// The kind of a virtual link (`IFLA_INFO_KIND`).
// One pointer wide, because nearly every interface has one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(Arc<Box<str>>);

/// The common kinds, which all interfaces share.
static KNOWN: LazyLock<[Kind; 16]> = LazyLock::new(|| {
    let kinds = [
        "veth",
        "bridge",
        "tun",
        "vlan",
        "vxlan",
        "geneve",
        "macvlan",
        "ipvlan",
        "dummy",
        "bond",
        "wireguard",
        "ipip",
        "sit",
        "gre",
        "vrf",
        "ifb",
    ];
    kinds.map(|kind| Kind(Arc::new(kind.into())))
});

impl Kind {
    /// The kind with this name; the common ones take no memory of their own.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        match KNOWN.iter().find(|known| known.as_str() == kind) {
            Some(known) => known.clone(),
            None => Self(Arc::new(kind.into())),
        }
    }

    /// The kernel's word for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Operational state, RFC 2863 section 3.1.14; numbers of `linux/if.h` (`IF_OPER_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OperState {
    /// The driver does not tell: `lo`, tun and others, up or not.
    #[default]
    Unknown,
    /// Some part is missing, for example the hardware.
    NotPresent,
    /// Cannot pass packets.
    Down,
    /// A link below it is down, for example a veth's peer.
    LowerLayerDown,
    /// In a test.
    Testing,
    /// Waits for something outside, for example 802.1X.
    Dormant,
    /// Can pass packets.
    Up,
}

impl OperState {
    /// From `IFLA_OPERSTATE`; a number the kernel does not define is `Unknown`.
    #[must_use]
    pub fn from_kernel(number: u8) -> Self {
        match number {
            1 => Self::NotPresent,
            2 => Self::Down,
            3 => Self::LowerLayerDown,
            4 => Self::Testing,
            5 => Self::Dormant,
            6 => Self::Up,
            _ => Self::Unknown,
        }
    }

    /// The word `ip link` has for it, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NotPresent => "notpresent",
            Self::Down => "down",
            Self::LowerLayerDown => "lowerlayerdown",
            Self::Testing => "testing",
            Self::Dormant => "dormant",
            Self::Up => "up",
        }
    }
}

impl fmt::Display for OperState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
