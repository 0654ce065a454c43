//! The interface: identity, key, and the properties that rtnetlink reports.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use ipnet::IpNet;

use crate::{Changes, Extras, IfName, Lower, MacAddr, Netns, NetnsId, Parent, Place, Underlay};

/// Number of one existence of an interface under one name, from `Added` to `Deleted`.
///
/// Ifindexes, names and MAC addresses are reused; ids are never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceId(pub NonZeroU64);

/// Namespace, ifindex and name of an interface.
///
/// The name is part of the key: a rename is a `Deleted` of the old key and an `Added` of the new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceKey {
    /// Network namespace of the interface.
    pub netns: NetnsId,
    /// Index of the interface in the namespace.
    pub ifindex: u32,
    /// Name of the interface.
    pub name: IfName,
}

/// A network interface of one namespace.
///
/// Later versions may add fields: build an interface with [`Interface::new`] and set fields afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface<O = ()> {
    /// Number of this existence of the interface.
    pub id: InterfaceId,
    /// Network namespace of the interface.
    pub netns: Arc<Netns>,
    /// Index of the interface in the namespace.
    pub ifindex: u32,
    /// Name of the interface.
    pub name: IfName,
    /// Link-layer address; tun, WireGuard and ipip have none.
    pub mac: Option<MacAddr>,
    /// Link kind: veth, bridge, tun…; `None` for hardware and loopback.
    pub kind: Option<Kind>,
    /// Operational state (`IFLA_OPERSTATE`).
    pub oper_state: OperState,
    /// Administrative state (`IFF_UP`).
    pub admin_up: bool,
    /// Maximum transmission unit, bytes.
    pub mtu: u32,
    /// Addresses with their prefix lengths, sorted, each once.
    pub addresses: Box<[IpNet]>,
    /// The peer of a veth, if the peer is in a known namespace.
    pub peer: Option<Box<Peer>>,
    /// Ifindex of the bridge, bond or VRF in the same namespace that the interface belongs to (`IFLA_MASTER`).
    pub master: Option<u32>,
    /// Properties that few interfaces have: see [`lower`](Self::lower), [`alias`](Self::alias),
    /// [`alt_names`](Self::alt_names), [`underlay`](Self::underlay) and [`parent`](Self::parent).
    pub extras: Option<Box<Extras>>,
    /// The owner, set by programs that know owners; the informers of netns-scan set none.
    pub owner: Option<Arc<O>>,
    /// Time of the creation, or of the first dump for an older interface; a rename keeps the time.
    pub since: SystemTime,
}

impl<O> Interface<O> {
    /// An interface without addresses, peer and owner, of unknown state, with an MTU of 0, made now.
    ///
    /// ```
    /// use std::{num::NonZeroU64, sync::Arc};
    /// use iface_core::{IfName, Interface, InterfaceId, Netns, NetnsId, Place};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let netns = Netns::new(NetnsId::HOST, Place::Host);
    /// let id = InterfaceId(NonZeroU64::MIN);
    /// let mut interface = <Interface>::new(id, Arc::new(netns), 2, "eth0".parse()?);
    /// interface.mac = Some("0a:58:0a:f4:00:05".parse()?);
    /// interface.mtu = 1500;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn new(id: InterfaceId, netns: Arc<Netns>, ifindex: u32, name: IfName) -> Self {
        Self {
            id,
            netns,
            ifindex,
            name,
            mac: None,
            kind: None,
            oper_state: OperState::Unknown,
            admin_up: false,
            mtu: 0,
            addresses: Box::default(),
            peer: None,
            master: None,
            extras: None,
            owner: None,
            since: SystemTime::now(),
        }
    }

    /// The alias (`ip link set alias`), for people.
    ///
    /// The kernel announces a change of the alias, or of an alternative name, only while the interface is
    /// administratively up (`netdev_state_change` of `net/core/dev.c`).
    #[must_use]
    pub fn alias(&self) -> Option<&str> {
        self.extras.as_ref()?.alias.as_deref()
    }

    /// The alternative names (`ip link property add altname`), in the order of the kernel.
    pub fn alt_names(&self) -> impl Iterator<Item = &str> {
        self.extras.iter().flat_map(|extras| &extras.alt_names).map(AsRef::as_ref)
    }

    /// The interface below a VLAN, macvlan, ipvlan or tunnel.
    #[must_use]
    pub fn lower(&self) -> Option<Lower> {
        self.extras.as_ref()?.lower
    }

    /// The ends of a tunnel in the network below.
    ///
    /// The kernel announces a change of them only while the interface is administratively up, as of the alias.
    #[must_use]
    pub fn underlay(&self) -> Option<Underlay> {
        self.extras.as_ref()?.underlay.as_deref().copied()
    }

    /// The hardware behind the interface.
    #[must_use]
    pub fn parent(&self) -> Option<&Parent> {
        self.extras.as_ref()?.parent.as_deref()
    }

    /// Namespace, ifindex and name.
    #[must_use]
    pub fn key(&self) -> InterfaceKey {
        InterfaceKey { netns: self.netns.id, ifindex: self.ifindex, name: self.name }
    }

    /// Whether the interface can pass packets, according to the kernel.
    ///
    /// The operational state is up, or the interface is administratively up and the driver reports no
    /// operational state (`lo`, tun): RFC 2863 leaves such interfaces at "unknown".
    #[must_use]
    pub fn is_up(&self) -> bool {
        match self.oper_state {
            OperState::Up => true,
            OperState::Unknown => self.admin_up,
            _ => false,
        }
    }

    /// Whether this is the host's end of a veth whose peer is in another namespace, with a name.
    ///
    /// A namespace without a name can be the one around the node, as in kind: `eth0` of such a node is a NIC.
    #[must_use]
    pub fn is_host_end(&self) -> bool {
        self.netns.is_host() && self.peer.as_ref().is_some_and(|peer| matches!(peer.netns.place, Place::Named(_)))
    }

    /// Differences between two states of one existence: `self` before, `new` after.
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
            (Changes::MASTER, self.master != new.master),
            (Changes::LOWER, self.lower() != new.lower()),
            (Changes::ALIAS, self.alias() != new.alias()),
            (Changes::ALT_NAMES, !self.alt_names().eq(new.alt_names())),
            (Changes::UNDERLAY, self.underlay() != new.underlay()),
            (Changes::PARENT, self.parent() != new.parent()),
            (Changes::OWNER, self.owner != new.owner),
        ]
        .into_iter()
        .filter_map(|(change, differs)| differs.then_some(change))
        .fold(Changes::default(), Changes::union)
    }
}

impl<O> Interface<O> {
    /// The same interface with an owner of any type, or without an owner.
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
            master: self.master,
            extras: self.extras.clone(),
            owner,
            since: self.since,
        }
    }
}

/// The peer of a veth.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Network namespace of the peer.
    pub netns: Arc<Netns>,
    /// Index of the peer in the namespace.
    pub ifindex: u32,
    /// Name of the peer.
    pub name: IfName,
}

impl Peer {
    /// A peer in a namespace.
    #[must_use]
    pub fn new(netns: Arc<Netns>, ifindex: u32, name: IfName) -> Self {
        Self { netns, ifindex, name }
    }
}

/// The kind of a virtual link (`IFLA_INFO_KIND`).
// One pointer wide, because nearly every interface has one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(Arc<Box<str>>);

/// The common kinds, shared by all interfaces.
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
    /// The kind with this name; common kinds share their memory.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        match KNOWN.iter().find(|known| known.as_str() == kind) {
            Some(known) => known.clone(),
            None => Self(Arc::new(kind.into())),
        }
    }

    /// The kernel's name of the kind.
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

impl AsRef<str> for Kind {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Kind {
    fn from(kind: &str) -> Self {
        Self::new(kind)
    }
}

/// Operational state, RFC 2863 section 3.1.14; values of `linux/if.h` (`IF_OPER_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OperState {
    /// The driver reports no state: `lo`, tun and others, up or down.
    #[default]
    Unknown,
    /// Some part is missing, for example the hardware.
    NotPresent,
    /// Cannot pass packets.
    Down,
    /// A lower link is down, for example a veth's peer.
    LowerLayerDown,
    /// In a test.
    Testing,
    /// Waits for an external event, for example 802.1X.
    Dormant,
    /// Can pass packets.
    Up,
}

impl OperState {
    /// From the value of `IFLA_OPERSTATE`; undefined values are `Unknown`.
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

    /// The state as `ip link` prints the state, in lower case.
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
