//! `RTM_NEWLINK` and `RTM_DELLINK`.

use iface_core::{
    CounterDetails, Counters, IfName, Kind, Lower, LowerPlace, MacAddr, NetnsId, OperState, Parent, Underlay,
};
use libc::{
    IFLA_ADDRESS, IFLA_ALT_IFNAME, IFLA_CARRIER_CHANGES, IFLA_IFALIAS, IFLA_IFNAME, IFLA_LINK, IFLA_LINK_NETNSID,
    IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, IFLA_NEW_IFINDEX, IFLA_NEW_NETNSID, IFLA_OPERSTATE, IFLA_PARENT_DEV_BUS_NAME,
    IFLA_PARENT_DEV_NAME, IFLA_PROP_LIST, IFLA_STATS64, RTM_DELLINK,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkLayerType, LinkMessageBuffer};

use super::attributes::Attributes;
use super::link_info::{self, Info};
use super::{Body, Malformed, RawDetails, i32_of, link_stats64, text, u32_of};

/// `struct ifinfomsg`.
pub(super) const LINK_LEN: usize = size_of::<LinkMessageBuffer>();

/// Link kinds that come in pairs: `IFLA_LINK` names the peer, not a lower device.
const PAIRED: [&str; 3] = ["veth", "netkit", "vxcan"];

/// Alternative names that are kept: a pod can give an interface of its own any number of them.
const ALT_NAMES: usize = 16;

/// `RTM_NEWLINK` with its attributes not yet decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkMessage<'a> {
    /// Index of the link.
    pub ifindex: u32,
    layer: LinkLayerType,
    flags: LinkFlags,
    attributes: &'a [u8],
}

/// A link as one `RTM_NEWLINK` describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Index of the link.
    pub ifindex: u32,
    /// Name of the link.
    pub name: IfName,
    /// Link-layer address, if the link has one.
    pub mac: Option<MacAddr>,
    /// Kind of virtual device (`IFLA_INFO_KIND`).
    pub kind: Option<Kind>,
    /// Operational state (RFC 2863).
    pub oper_state: OperState,
    /// `IFF_UP`: the administrator enabled the link.
    pub admin_up: bool,
    /// Maximum transmission unit in bytes.
    pub mtu: u32,
    /// Peer of a paired device: `Here` or `Nsid` until [`Link::locate`].
    pub pair: Option<Pair>,
    /// Index of the bridge, bond or VRF that the link belongs to.
    pub master: Option<u32>,
    /// Lower device of an unpaired device: `Same` or `Elsewhere` until [`Link::locate`].
    pub lower: Option<Lower>,
    /// The nsid of the lower device's namespace; `None` for a lower device in the same namespace.
    pub lower_nsid: Option<i32>,
    /// `IFLA_IFALIAS`; other bytes than UTF-8 are replaced.
    pub alias: Option<Box<str>>,
    /// The first alternative names; other bytes than UTF-8 are replaced.
    pub alt_names: Box<[Box<str>]>,
    /// The ends of a tunnel.
    pub underlay: Option<Box<Underlay>>,
    /// The hardware, not yet with the physical function.
    pub parent: Option<Box<Parent>>,
    /// Number of carrier changes since the link was created.
    pub carrier_changes: u32,
    /// Counters at the time of the message, where the message carries them.
    pub counters: Option<Counters>,
}

#[cfg(test)]
impl Link {
    /// A link with this index and name that is up, and has nothing else.
    pub(crate) fn plain(ifindex: u32, name: &str) -> Self {
        Self {
            ifindex,
            name: IfName::new(name).unwrap(),
            mac: None,
            kind: None,
            oper_state: OperState::Up,
            admin_up: true,
            mtu: 1500,
            pair: None,
            master: None,
            lower: None,
            lower_nsid: None,
            alias: None,
            alt_names: Box::default(),
            underlay: None,
            parent: None,
            carrier_changes: 0,
            counters: None,
        }
    }
}

impl Link {
    /// Whether the link is a paired device whose peer the message does not name: when the kernel
    /// creates a pair, it announces the first device before the second exists.
    #[must_use]
    pub fn is_half_a_pair(&self) -> bool {
        self.pair.is_none() && self.kind.as_ref().is_some_and(comes_in_pairs)
    }

    /// Whether the peer or the lower device is in another namespace, as far as the message tells.
    #[must_use]
    pub fn is_far(&self) -> bool {
        self.lower_nsid.is_some() || self.pair.is_some_and(|pair| matches!(pair.place, PairPlace::Nsid(_)))
    }

    /// Sets the places of the peer and of the lower device, given the nsid of the host's namespace.
    pub fn locate(&mut self, host_nsid: Option<i32>) {
        if let Some(pair) = &mut self.pair
            && host_nsid.is_some_and(|nsid| pair.place == PairPlace::Nsid(nsid))
        {
            pair.place = PairPlace::Host;
        }
        if let Some(lower) = &mut self.lower
            && self.lower_nsid.is_some_and(|nsid| host_nsid == Some(nsid))
        {
            lower.place = LowerPlace::Host;
        }
    }
}

fn comes_in_pairs(kind: &Kind) -> bool {
    PAIRED.contains(&kind.as_str())
}

/// Peer of a paired device, as the device's `RTM_NEWLINK` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Index of the peer in its own namespace.
    pub ifindex: u32,
    /// Namespace of the peer.
    pub place: PairPlace,
}

impl Pair {
    /// Whether both are what one message says of the peer: the place may have been found out since.
    #[must_use]
    pub fn names_as(self, other: Self) -> bool {
        let place = |pair: Self| match pair.place {
            PairPlace::In { nsid, .. } => PairPlace::Elsewhere { nsid },
            place => place,
        };
        (self.ifindex, place(self)) == (other.ifindex, place(other))
    }
}

/// Namespace of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairPlace {
    /// The namespace of the link.
    Here,
    /// The host's.
    Host,
    /// The namespace with this nsid: in a message, seen from the namespace of the message; later, seen
    /// from the host's namespace.
    Nsid(i32),
    /// The namespace with this nsid, seen from the namespace of the link: `netns`, as the engine has found out.
    In {
        /// Stays the namespace for as long as it exists and the link names the nsid.
        netns: NetnsId,
        /// The nsid.
        nsid: i32,
    },
    /// The namespace with this nsid, seen from the namespace of the link; known to the peer only.
    Elsewhere {
        /// The nsid.
        nsid: i32,
    },
}

pub(super) fn read(kind: u16, payload: &[u8]) -> Result<Body<'_>, Malformed> {
    let header = LinkHeader::parse(payload).map_err(|_| Malformed("link cut off"))?;
    // A bridge announces its ports as links of family AF_BRIDGE, IPv6 announces its settings as links
    // of family AF_INET6: neither message means that a link appeared or disappeared.
    if header.interface_family != AddressFamily::Unspec {
        return Ok(Body::Other);
    }
    Ok(if kind == RTM_DELLINK {
        Body::DelLink(GoneLink::read(header.index, &payload[LINK_LEN..])?)
    } else {
        Body::NewLink(LinkMessage {
            ifindex: header.index,
            layer: header.link_layer_type,
            flags: header.flags,
            attributes: &payload[LINK_LEN..],
        })
    })
}

/// A link that was deleted or left its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoneLink {
    /// Former index of the link.
    pub ifindex: u32,
    /// The last counters; those a veth receives are zero after a deletion.
    pub counters: Option<Counters>,
    /// The index in the namespace that the link moved to.
    pub moved_to: Option<u32>,
}

impl GoneLink {
    /// A link whose end no message announced.
    #[must_use]
    pub fn unannounced(ifindex: u32) -> Self {
        Self { ifindex, counters: None, moved_to: None }
    }

    fn read(ifindex: u32, attributes: &[u8]) -> Result<Self, Malformed> {
        let mut gone = Self::unannounced(ifindex);
        let (mut new_nsid, mut new_ifindex, mut carrier_changes) = (None, ifindex, 0);
        for attribute in Attributes(attributes) {
            match attribute? {
                (IFLA_STATS64, value) => gone.counters = Some(link_stats64(value)?),
                (IFLA_CARRIER_CHANGES, value) => carrier_changes = u32_of(value)?,
                (IFLA_NEW_NETNSID, value) => new_nsid = Some(i32_of(value)?),
                (IFLA_NEW_IFINDEX, value) => new_ifindex = u32_of(value)?,
                _ => {}
            }
        }
        gone.counters = gone.counters.map(|counters| counters.with_carrier_changes(carrier_changes));
        gone.moved_to = new_nsid.map(|_| new_ifindex);
        Ok(gone)
    }
}

impl LinkMessage<'_> {
    /// Decodes the link; `None` for a message about another aspect of the link, as wireless
    /// extensions send them: such messages carry no MTU.
    ///
    /// # Errors
    ///
    /// When an attribute is cut off or too short for its type.
    pub fn link(&self) -> Result<Option<Link>, Malformed> {
        let (mut name, mut mtu, mut mac, mut info) = (None, None, None, Info::default());
        let (mut oper_state, mut below, mut nsid, mut carrier_changes) = (OperState::Unknown, 0, None, 0);
        let (mut master, mut alias, mut alt_names, mut counters) = (None, None, Box::default(), None);
        let (mut bus, mut device) = (None, None);
        for attribute in Attributes(self.attributes) {
            let (attribute_type, value) = attribute?;
            match attribute_type {
                IFLA_IFNAME => name = Some(IfName::new(text(value)).ok_or(Malformed("interface name too long"))?),
                IFLA_MTU => mtu = Some(u32_of(value)?),
                IFLA_ADDRESS if !self.has_ip_as_address() => mac = MacAddr::new(value),
                IFLA_OPERSTATE => oper_state = OperState::from_kernel(*value.first().ok_or(Malformed("oper state"))?),
                IFLA_LINK => below = u32_of(value)?,
                IFLA_LINK_NETNSID => nsid = Some(i32_of(value)?),
                IFLA_CARRIER_CHANGES => carrier_changes = u32_of(value)?,
                IFLA_LINKINFO => info = link_info::read(value)?,
                IFLA_MASTER => master = Some(u32_of(value)?).filter(|ifindex| *ifindex != 0),
                IFLA_IFALIAS => alias = Some(lossy(value)).filter(|alias| !alias.is_empty()),
                IFLA_PROP_LIST => alt_names = alternative_names(value)?,
                IFLA_STATS64 => counters = Some(link_stats64(value)?),
                IFLA_PARENT_DEV_NAME => device = Some(value),
                IFLA_PARENT_DEV_BUS_NAME => bus = Some(value),
                _ => {}
            }
        }
        let Info { kind, underlay, link } = info;
        let below = link.unwrap_or(below);
        let (Some(name), Some(mtu)) = (name, mtu) else { return Ok(None) };
        let paired = kind.as_ref().is_some_and(comes_in_pairs);
        Ok(Some(Link {
            ifindex: self.ifindex,
            name,
            mac,
            kind,
            oper_state,
            admin_up: self.flags.contains(LinkFlags::Up),
            mtu,
            pair: (paired && below != 0)
                .then(|| Pair { ifindex: below, place: nsid.map_or(PairPlace::Here, PairPlace::Nsid) }),
            master,
            lower: (!paired && below != 0)
                .then(|| Lower::new(below, if nsid.is_some() { LowerPlace::Elsewhere } else { LowerPlace::Same })),
            lower_nsid: nsid.filter(|_| !paired && below != 0),
            alias,
            alt_names,
            underlay,
            parent: bus.zip(device).map(|(bus, device)| Box::new(Parent::new(&lossy(bus), &lossy(device)))),
            carrier_changes,
            counters: counters.map(|counters| counters.with_carrier_changes(carrier_changes)),
        }))
    }

    /// Decodes the counters, where the message carries them.
    ///
    /// # Errors
    ///
    /// When an attribute is cut off or too short for its type.
    pub fn counters(&self) -> Result<Option<Counters>, Malformed> {
        let (mut counters, mut carrier_changes) = (None, 0);
        for attribute in Attributes(self.attributes) {
            match attribute? {
                (IFLA_STATS64, value) => counters = Some(link_stats64(value)?),
                (IFLA_CARRIER_CHANGES, value) => carrier_changes = u32_of(value)?,
                _ => {}
            }
        }
        Ok(counters.map(|counters| counters.with_carrier_changes(carrier_changes)))
    }

    /// The counters beyond [`counters`](Self::counters), where the message carries them.
    #[must_use]
    pub fn details(&self) -> Option<CounterDetails> {
        let stats = Attributes(self.attributes).find_map(|attribute| match attribute {
            Ok((IFLA_STATS64, value)) => Some(value),
            _ => None,
        });
        stats.map(|value| RawDetails(value).read())
    }

    /// Whether the "hardware address" of the device is an IP address of its tunnel.
    fn has_ip_as_address(&self) -> bool {
        use LinkLayerType::{Ip6gre, Ipgre, Sit, Tunnel, Tunnel6};
        matches!(self.layer, Tunnel | Tunnel6 | Sit | Ipgre | Ip6gre)
    }
}

fn lossy(value: &[u8]) -> Box<str> {
    String::from_utf8_lossy(text(value)).into()
}

fn alternative_names(nested: &[u8]) -> Result<Box<[Box<str>]>, Malformed> {
    let name = |attribute| match attribute {
        Ok((IFLA_ALT_IFNAME, value)) => Some(Ok(lossy(value))),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    };
    Attributes(nested).filter_map(name).take(ALT_NAMES).collect()
}
