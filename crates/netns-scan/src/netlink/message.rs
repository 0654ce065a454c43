//! Netlink messages: bytes to values, and requests to bytes. Pure.
//!
//! Layouts and numbers are those of `linux/netlink.h`, `linux/rtnetlink.h`, `linux/if_link.h`,
//! `linux/if_addr.h` and `linux/net_namespace.h`; `libc` has the numbers it knows. Attributes are
//! read in place, straight from the receive buffer.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use iface_core::{Counters, Direction, IfName, Kind, MacAddr, OperState};
use ipnet::IpNet;
use libc::{
    AF_INET, AF_INET6, AF_UNSPEC, IFA_ADDRESS, IFA_LOCAL, IFF_UP, IFLA_ADDRESS, IFLA_CARRIER_CHANGES, IFLA_IFNAME,
    IFLA_INFO_KIND, IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MTU, IFLA_OPERSTATE, IFLA_STATS64, NLM_F_ACK,
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, RTM_DELADDR, RTM_DELLINK, RTM_GETADDR,
    RTM_GETLINK, RTM_NEWADDR, RTM_NEWLINK,
};

const RTM_NEWNSID: u16 = 88;
const RTM_DELNSID: u16 = 89;
const RTM_GETNSID: u16 = 90;
const RTM_NEWSTATS: u16 = 92;
const RTM_GETSTATS: u16 = 94;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_TARGET_NETNSID: u16 = 46;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
const IFA_TARGET_NETNSID: u16 = 10;
const IFLA_STATS_LINK_64: u16 = 1;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

/// An attribute's number; the two bits above say how its value is encoded.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// `struct nlmsghdr`.
const HEADER_LEN: usize = 16;
/// `struct ifinfomsg`.
const LINK_LEN: usize = 16;
/// `struct ifaddrmsg`.
const ADDRESS_LEN: usize = 8;
/// `struct rtgenmsg`, padded.
const NSID_LEN: usize = 4;
/// `struct if_stats_msg`.
const STATS_LEN: usize = 12;

/// Device types (`linux/if_arp.h`) whose "hardware address" is an IP address of the tunnel.
const TUNNELS: [u16; 5] = [768, 769, 776, 778, 823];

/// Link kinds that come in pairs: `IFLA_LINK` names the other end, not a device below.
const PAIRED: [&str; 3] = ["veth", "netkit", "vxcan"];

/// The bytes are not what the kernel writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed netlink message: {0}")]
pub struct Malformed(&'static str);

/// One message of a datagram.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// The number and the socket's port of the request it answers. A notification has those of
    /// whatever request caused the change, so only both together tell an answer.
    pub seq: u32,
    /// See `seq`.
    pub port: u32,
    /// `NLM_F_DUMP_INTR`: the dump this is part of missed something.
    pub interrupted: bool,
    /// What it says.
    pub body: Body<'a>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// A link exists, like this.
    NewLink(LinkMessage<'a>),
    /// A link is gone from its namespace.
    DelLink {
        /// Its number.
        ifindex: u32,
    },
    /// A link has this address.
    NewAddress(Address),
    /// A link no longer has this address.
    DelAddress(Address),
    /// A namespace has this number here.
    NewNsid(i32),
    /// The namespace with this number is dead.
    DelNsid(i32),
    /// A link's counters.
    Stats {
        /// Its number.
        ifindex: u32,
        /// The counters; carrier changes are not among them.
        counters: Counters,
    },
    /// The end of a dump or the answer to a request: 0 or a negative errno.
    End(i32),
    /// Something this program does not need.
    Other,
}

/// `RTM_NEWLINK`, its attributes not yet looked into.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkMessage<'a> {
    /// The link's number.
    pub ifindex: u32,
    device_type: u16,
    flags: u32,
    attributes: &'a [u8],
}

/// A link as one `RTM_NEWLINK` describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Its number.
    pub ifindex: u32,
    /// Its name.
    pub name: IfName,
    /// Its link-layer address, if it has one.
    pub mac: Option<MacAddr>,
    /// What made it.
    pub kind: Option<Kind>,
    /// What it can do now.
    pub oper_state: OperState,
    /// What the administrator asked for.
    pub admin_up: bool,
    /// Bytes.
    pub mtu: u32,
    /// The other end of a pair.
    pub pair: Option<PairEnd>,
    /// How often the carrier came or went.
    pub carrier_changes: u32,
}

impl Link {
    /// Whether it has another end that the message does not name: of two that are made together, the
    /// first is announced before there is a second.
    #[must_use]
    pub fn is_half_a_pair(&self) -> bool {
        self.pair.is_none() && self.kind.as_ref().is_some_and(comes_in_pairs)
    }
}

fn comes_in_pairs(kind: &Kind) -> bool {
    PAIRED.contains(&kind.as_str())
}

/// What a link says of the other end of its pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairEnd {
    /// Its number in its namespace.
    pub ifindex: u32,
    /// Its namespace's number, seen from where the message was made; `None`: the same namespace.
    pub nsid: Option<i32>,
}

/// `RTM_NEWADDR` and `RTM_DELADDR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The link that has it.
    pub ifindex: u32,
    /// The local address with its prefix length.
    pub net: IpNet,
}

/// The messages of one datagram, in order. Ends after the first that is malformed.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

/// Splits a datagram.
#[must_use]
pub fn parse(datagram: &[u8]) -> Messages<'_> {
    Messages { rest: datagram }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = self.split();
        if message.is_err() {
            self.rest = &[];
        }
        Some(message)
    }
}

impl<'a> Messages<'a> {
    fn split(&mut self) -> Result<Message<'a>, Malformed> {
        let len = u32_at(self.rest, 0).ok_or(Malformed("header cut off"))? as usize;
        if len < HEADER_LEN || len > self.rest.len() {
            return Err(Malformed("length outside the datagram"));
        }
        let (message, _) = self.rest.split_at(len);
        self.rest = self.rest.get(align(len)..).unwrap_or_default();
        let kind = u16_at(message, 4).unwrap_or_default();
        let flags = u16_at(message, 6).unwrap_or_default();
        Ok(Message {
            seq: u32_at(message, 8).unwrap_or_default(),
            port: u32_at(message, 12).unwrap_or_default(),
            interrupted: flags & NLM_F_DUMP_INTR as u16 != 0,
            body: body(kind, &message[HEADER_LEN..])?,
        })
    }
}

fn body(kind: u16, payload: &[u8]) -> Result<Body<'_>, Malformed> {
    match kind {
        RTM_NEWLINK | RTM_DELLINK => link(kind, payload),
        RTM_NEWADDR | RTM_DELADDR => address(kind, payload),
        RTM_NEWNSID | RTM_DELNSID => nsid(kind, payload),
        RTM_NEWSTATS => stats(payload),
        _ if i32::from(kind) == NLMSG_DONE || i32::from(kind) == NLMSG_ERROR => {
            u32_at(payload, 0).map(|errno| Body::End(errno as i32)).ok_or(Malformed("result cut off"))
        }
        _ => Ok(Body::Other),
    }
}

fn link(kind: u16, payload: &[u8]) -> Result<Body<'_>, Malformed> {
    let attributes = payload.get(LINK_LEN..).ok_or(Malformed("link cut off"))?;
    // A bridge tells of its ports as links of family AF_BRIDGE, IPv6 of its settings as AF_INET6:
    // neither says that a link came or went.
    if i32::from(payload[0]) != AF_UNSPEC {
        return Ok(Body::Other);
    }
    let ifindex = u32_at(payload, 4).unwrap_or_default();
    Ok(if kind == RTM_DELLINK {
        Body::DelLink { ifindex }
    } else {
        Body::NewLink(LinkMessage {
            ifindex,
            device_type: u16_at(payload, 2).unwrap_or_default(),
            flags: u32_at(payload, 8).unwrap_or_default(),
            attributes,
        })
    })
}

impl LinkMessage<'_> {
    /// The link it describes; `None` for a message about something else of the link, as wireless
    /// extensions send it: those leave the MTU out.
    ///
    /// # Errors
    ///
    /// When an attribute is cut off or too short for its type.
    pub fn link(&self) -> Result<Option<Link>, Malformed> {
        let (mut name, mut mtu, mut mac, mut kind) = (None, None, None, None);
        let (mut oper_state, mut lower, mut nsid, mut carrier_changes) = (OperState::Unknown, 0, None, 0);
        for attribute in Attributes(self.attributes) {
            let (number, value) = attribute?;
            match number {
                IFLA_IFNAME => name = Some(IfName::new(text(value)).ok_or(Malformed("interface name too long"))?),
                IFLA_MTU => mtu = Some(u32_of(value)?),
                IFLA_ADDRESS if !TUNNELS.contains(&self.device_type) => mac = MacAddr::new(value),
                IFLA_OPERSTATE => oper_state = OperState::from_kernel(*value.first().ok_or(Malformed("oper state"))?),
                IFLA_LINK => lower = u32_of(value)?,
                IFLA_LINK_NETNSID => nsid = Some(u32_of(value)? as i32),
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
            admin_up: self.flags & IFF_UP as u32 != 0,
            mtu,
            pair: (paired && lower != 0).then_some(PairEnd { ifindex: lower, nsid }),
            carrier_changes,
        }))
    }

    /// Its counters, where the message carries them.
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
        Ok(counters.map(|counters| Counters { carrier_changes, ..counters }))
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

fn address(kind: u16, payload: &[u8]) -> Result<Body<'_>, Malformed> {
    let attributes = payload.get(ADDRESS_LEN..).ok_or(Malformed("address cut off"))?;
    let (family, prefix_len) = (i32::from(payload[0]), payload[1]);
    let ifindex = u32_at(payload, 4).unwrap_or_default();
    // On a point-to-point link IFA_ADDRESS is the far end and IFA_LOCAL the own one.
    let (mut local, mut any) = (None, None);
    for attribute in Attributes(attributes) {
        match attribute? {
            (IFA_LOCAL, value) => local = ip(family, value),
            (IFA_ADDRESS, value) => any = ip(family, value),
            _ => {}
        }
    }
    let Some(ip) = local.or(any) else { return Ok(Body::Other) };
    let net = IpNet::new(ip, prefix_len).map_err(|_| Malformed("prefix length"))?;
    let address = Address { ifindex, net };
    Ok(if kind == RTM_NEWADDR { Body::NewAddress(address) } else { Body::DelAddress(address) })
}

fn ip(family: i32, value: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => <[u8; 4]>::try_from(value).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        AF_INET6 => <[u8; 16]>::try_from(value).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

fn nsid(kind: u16, payload: &[u8]) -> Result<Body<'_>, Malformed> {
    for attribute in Attributes(payload.get(NSID_LEN..).ok_or(Malformed("nsid cut off"))?) {
        if let (NETNSA_NSID, value) = attribute? {
            let nsid = u32_of(value)? as i32;
            return Ok(if kind == RTM_NEWNSID { Body::NewNsid(nsid) } else { Body::DelNsid(nsid) });
        }
    }
    Ok(Body::Other)
}

fn stats(payload: &[u8]) -> Result<Body<'_>, Malformed> {
    let ifindex = u32_at(payload, 4).ok_or(Malformed("stats cut off"))?;
    for attribute in Attributes(payload.get(STATS_LEN..).ok_or(Malformed("stats cut off"))?) {
        if let (IFLA_STATS_LINK_64, value) = attribute? {
            return Ok(Body::Stats { ifindex, counters: link_stats64(value)? });
        }
    }
    Ok(Body::Other)
}

/// `struct rtnl_link_stats64`; it only ever grew at its end.
fn link_stats64(value: &[u8]) -> Result<Counters, Malformed> {
    let field = |n: usize| {
        let bytes = value.get(n * 8..n * 8 + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_ne_bytes).ok_or(Malformed("counters cut off"))
    };
    Ok(Counters {
        receive: Direction { packets: field(0)?, bytes: field(2)?, errors: field(4)?, dropped: field(6)? },
        transmit: Direction { packets: field(1)?, bytes: field(3)?, errors: field(5)?, dropped: field(7)? },
        carrier_changes: 0,
    })
}

/// `struct nlattr` after `struct nlattr`.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.0);
        let (Some(len), Some(number)) = (u16_at(rest, 0), u16_at(rest, 2)) else {
            return Some(Err(Malformed("attribute header cut off")));
        };
        let len = usize::from(len);
        let Some(value) = rest.get(4..len) else { return Some(Err(Malformed("attribute cut off"))) };
        self.0 = rest.get(align(len)..).unwrap_or_default();
        Some(Ok((number & NLA_TYPE_MASK, value)))
    }
}

fn align(len: usize) -> usize {
    (len + 3) & !3
}

/// Up to the terminating zero.
fn text(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u32_of(value: &[u8]) -> Result<u32, Malformed> {
    u32_at(value, 0).ok_or(Malformed("number cut off"))
}

/// A request to the kernel, ready to send but for its sequence number.
#[derive(Clone, Debug)]
pub struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: i32, fixed: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&((NLM_F_REQUEST | flags) as u16).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(fixed);
        Self(bytes)
    }

    fn with(mut self, attribute: u16, value: u32) -> Self {
        self.0.extend_from_slice(&8_u16.to_ne_bytes());
        self.0.extend_from_slice(&attribute.to_ne_bytes());
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn with_target(self, attribute: u16, nsid: Option<i32>) -> Self {
        match nsid {
            Some(nsid) => self.with(attribute, nsid as u32),
            None => self,
        }
    }

    /// Lists the links of the namespace with this number, or of the socket's own, with their counters.
    #[must_use]
    pub fn list_links(nsid: Option<i32>) -> Self {
        // No IFLA_EXT_MASK, though it could leave the counters out: with one, the kernel first
        // computes the size of every link of the socket's own namespace, for each dump.
        Self::new(RTM_GETLINK, NLM_F_DUMP, &[0; LINK_LEN]).with_target(IFLA_TARGET_NETNSID, nsid)
    }

    /// Asks for one link of the namespace with this number, or of the socket's own.
    #[must_use]
    pub fn get_link(nsid: Option<i32>, ifindex: u32) -> Self {
        let mut fixed = [0; LINK_LEN];
        fixed[4..8].copy_from_slice(&ifindex.to_ne_bytes());
        Self::new(RTM_GETLINK, NLM_F_ACK, &fixed)
            .with(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
            .with_target(IFLA_TARGET_NETNSID, nsid)
    }

    /// Lists the addresses of the namespace with this number, or of the socket's own.
    #[must_use]
    pub fn list_addresses(nsid: Option<i32>) -> Self {
        Self::new(RTM_GETADDR, NLM_F_DUMP, &[0; ADDRESS_LEN]).with_target(IFA_TARGET_NETNSID, nsid)
    }

    /// Lists the counters of the socket's own namespace.
    #[must_use]
    pub fn list_stats() -> Self {
        let mut fixed = [0; STATS_LEN];
        fixed[8..12].copy_from_slice(&(1_u32 << (IFLA_STATS_LINK_64 - 1)).to_ne_bytes());
        Self::new(RTM_GETSTATS, NLM_F_DUMP, &fixed)
    }

    /// Asks which number the namespace behind this file descriptor has here.
    #[must_use]
    pub fn get_nsid_of_fd(fd: i32) -> Self {
        Self::new(RTM_GETNSID, NLM_F_ACK, &[0; NSID_LEN]).with(NETNSA_FD, fd as u32)
    }

    /// Gives the namespace behind this file descriptor a number here, any that is free.
    #[must_use]
    pub fn assign_nsid(fd: i32) -> Self {
        const ANY: u32 = -1_i32 as u32;
        Self::new(RTM_NEWNSID, NLM_F_ACK, &[0; NSID_LEN]).with(NETNSA_FD, fd as u32).with(NETNSA_NSID, ANY)
    }

    /// A request to assign nothing: the kernel checks the privilege before it misses the rest.
    #[must_use]
    pub fn probe_assign() -> Self {
        Self::new(RTM_NEWNSID, NLM_F_ACK, &[0; NSID_LEN])
    }

    /// The bytes to send, as request number `seq`.
    pub fn bytes(&mut self, seq: u32) -> &[u8] {
        let len = self.0.len() as u32;
        self.0[0..4].copy_from_slice(&len.to_ne_bytes());
        self.0[8..12].copy_from_slice(&seq.to_ne_bytes());
        &self.0
    }
}
