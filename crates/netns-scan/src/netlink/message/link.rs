//! `RTM_NEWLINK` and `RTM_DELLINK`.

use iface_core::{Counters, IfName, Kind, MacAddr, OperState};
use libc::{
    IFLA_ADDRESS, IFLA_CARRIER_CHANGES, IFLA_IFNAME, IFLA_INFO_KIND, IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO,
    IFLA_MTU, IFLA_NEW_NETNSID, IFLA_OPERSTATE, IFLA_STATS64, RTM_DELLINK,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkLayerType, LinkMessageBuffer};

use super::attributes::Attributes;
use super::{Body, Malformed, i32_of, link_stats64, text, u32_of};

/// `struct ifinfomsg`.
pub(super) const LINK_LEN: usize = size_of::<LinkMessageBuffer>();

/// Link kinds that come in pairs: `IFLA_LINK` names the peer, not a lower device.
const PAIRED: [&str; 3] = ["veth", "netkit", "vxcan"];

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
    /// Peer of a paired device.
    pub pair: Option<PairEnd>,
    /// Number of carrier changes since the link was created.
    pub carrier_changes: u32,
}

impl Link {
    /// Whether the link is a paired device whose peer the message does not name: when the kernel
    /// creates a pair, it announces the first device before the second exists.
    #[must_use]
    pub fn is_half_a_pair(&self) -> bool {
        self.pair.is_none() && self.kind.as_ref().is_some_and(comes_in_pairs)
    }
}

fn comes_in_pairs(kind: &Kind) -> bool {
    PAIRED.contains(&kind.as_str())
}

/// Peer of a paired device, as the device's `RTM_NEWLINK` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairEnd {
    /// Index of the peer in its own namespace.
    pub ifindex: u32,
    /// The nsid of the peer's namespace, seen from the namespace of the message; `None` for a peer
    /// in the same namespace.
    pub nsid: Option<i32>,
}

pub(super) fn read(kind: u16, payload: &[u8]) -> Result<Body<'_>, Malformed> {
    let header = LinkHeader::parse(payload).map_err(|_| Malformed("link cut off"))?;
    // A bridge announces its ports as links of family AF_BRIDGE, IPv6 announces its settings as links
    // of family AF_INET6: neither message means that a link appeared or disappeared.
    if header.interface_family != AddressFamily::Unspec {
        return Ok(Body::Other);
    }
    Ok(if kind == RTM_DELLINK {
        let mut moved = false;
        for attribute in Attributes(&payload[LINK_LEN..]) {
            moved |= attribute?.0 == IFLA_NEW_NETNSID;
        }
        Body::DelLink { ifindex: header.index, moved }
    } else {
        Body::NewLink(LinkMessage {
            ifindex: header.index,
            layer: header.link_layer_type,
            flags: header.flags,
            attributes: &payload[LINK_LEN..],
        })
    })
}

impl LinkMessage<'_> {
    /// Decodes the link; `None` for a message about another aspect of the link, as wireless
    /// extensions send them: such messages carry no MTU.
    ///
    /// # Errors
    ///
    /// When an attribute is cut off or too short for its type.
    pub fn link(&self) -> Result<Option<Link>, Malformed> {
        let (mut name, mut mtu, mut mac, mut kind) = (None, None, None, None);
        let (mut oper_state, mut lower, mut nsid, mut carrier_changes) = (OperState::Unknown, 0, None, 0);
        for attribute in Attributes(self.attributes) {
            let (attribute_type, value) = attribute?;
            match attribute_type {
                IFLA_IFNAME => name = Some(IfName::new(text(value)).ok_or(Malformed("interface name too long"))?),
                IFLA_MTU => mtu = Some(u32_of(value)?),
                IFLA_ADDRESS if !self.has_ip_as_address() => mac = MacAddr::new(value),
                IFLA_OPERSTATE => oper_state = OperState::from_kernel(*value.first().ok_or(Malformed("oper state"))?),
                IFLA_LINK => lower = u32_of(value)?,
                IFLA_LINK_NETNSID => nsid = Some(i32_of(value)?),
                IFLA_CARRIER_CHANGES => carrier_changes = u32_of(value)?,
                IFLA_LINKINFO => kind = info_kind(value)?,
                _ => {}
            }
        }
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
            pair: (paired && lower != 0).then_some(PairEnd { ifindex: lower, nsid }),
            carrier_changes,
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

    /// Whether the "hardware address" of the device is an IP address of its tunnel.
    fn has_ip_as_address(&self) -> bool {
        use LinkLayerType::{Ip6gre, Ipgre, Sit, Tunnel, Tunnel6};
        matches!(self.layer, Tunnel | Tunnel6 | Sit | Ipgre | Ip6gre)
    }
}

fn info_kind(nested: &[u8]) -> Result<Option<Kind>, Malformed> {
    for attribute in Attributes(nested) {
        if let (IFLA_INFO_KIND, value) = attribute? {
            return Ok(std::str::from_utf8(text(value)).ok().map(Kind::new));
        }
    }
    Ok(None)
}
