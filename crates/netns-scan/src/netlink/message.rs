//! Reading of rtnetlink messages: datagrams to values. Pure.
//!
//! Headers and attributes are read in place, straight from the receive buffer, through the buffers
//! of `netlink-packet-core` and `netlink-packet-route`. Their full parsers allocate every attribute
//! of a message and refuse interface names that are not UTF-8, so attributes are decoded here.

mod attributes;
mod link;
mod link_info;
mod request;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use iface_core::{CounterDetails, Counters, Direction};
use ipnet::IpNet;
use libc::{IFA_ADDRESS, IFA_LOCAL, RTM_DELADDR, RTM_DELLINK, RTM_DELNSID, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNSID};
use netlink_packet_core::{
    DoneBuffer, ErrorBuffer, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NlaBuffer, NlasIterator,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressHeader;
use netlink_packet_route::nsid::NsidHeader;
use netlink_packet_route::stats::StatsHeader;

use self::attributes::Attributes;
pub use self::link::{GoneLink, Link, LinkMessage, Pair, PairPlace};
pub use self::request::Request;
use super::missing::{IFLA_STATS_LINK_64, NETNSA_NSID, RTM_NEWSTATS};

/// `struct ifaddrmsg`.
const ADDRESS_LEN: usize = size_of::<netlink_packet_route::address::AddressMessageBuffer>();
/// `struct rtgenmsg`, padded.
const NSID_LEN: usize = size_of::<netlink_packet_route::nsid::NsidMessageBuffer>();
/// `struct if_stats_msg`.
const STATS_LEN: usize = size_of::<netlink_packet_route::stats::StatsMessageBuffer>();

/// A datagram, message or attribute that no kernel writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed netlink message: {0}")]
pub struct Malformed(&'static str);

/// One message of a datagram.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// Sequence number of the request that caused the message. A notification carries the sequence
    /// number of the request that made the change, whichever process and namespace sent it.
    pub seq: u32,
    /// Port of the socket that sent the request, under the same rule as `seq`.
    pub port: u32,
    /// `NLM_F_DUMP_INTR`: the dumped objects changed during the dump, so entries may be missing.
    pub interrupted: bool,
    /// Content of the message.
    pub body: Body<'a>,
}

/// Content of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// `RTM_NEWLINK`: a link exists or changed.
    NewLink(LinkMessage<'a>),
    /// `RTM_DELLINK`: a link left its namespace or was deleted.
    DelLink(GoneLink),
    /// `RTM_NEWADDR`: a link has an address.
    NewAddress(Address),
    /// `RTM_DELADDR`: an address was removed from a link.
    DelAddress(Address),
    /// `RTM_NEWNSID`: a namespace has this nsid in the socket's namespace.
    NewNsid(i32),
    /// `RTM_DELNSID`: the namespace with this nsid was deleted.
    DelNsid(i32),
    /// `RTM_NEWSTATS`: counters of a link.
    Stats {
        /// Index of the link.
        ifindex: u32,
        /// Counters without carrier changes, which the message does not carry.
        counters: Counters,
        /// The other counters, not yet decoded.
        details: RawDetails<'a>,
    },
    /// End of a dump or acknowledgement of a request: 0 or a negative errno.
    End(i32),
    /// Any other message.
    Other,
}

/// Content of `RTM_NEWADDR` and `RTM_DELADDR`.
///
/// A link has an address once for each of its values: Linux tells two IPv4 addresses of a link
/// apart by the peer's address, too (`ip address add 10.0.0.1 peer 10.0.0.2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Index of the link.
    pub ifindex: u32,
    /// Local address with its prefix length.
    pub net: IpNet,
    /// The peer's IPv4 address on a point-to-point link. The peer of an IPv6 address may change
    /// while the address stays, and is left out.
    pub peer: Option<Ipv4Addr>,
}

impl Address {
    /// The lowest of a link's addresses, present or not.
    pub(crate) fn first_of(ifindex: u32) -> Self {
        Self { ifindex, net: IpNet::default(), peer: None }
    }
}

/// Iterator over the messages of one datagram; ends after the first malformed message.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

/// Splits a datagram into messages.
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
        let message = NetlinkBuffer::new_checked(self.rest).map_err(|_| Malformed("length outside the datagram"))?;
        self.rest = self.rest.get(align(message.length() as usize)..).unwrap_or_default();
        Ok(Message {
            seq: message.sequence_number(),
            port: message.port_number(),
            interrupted: message.flags() & NLM_F_DUMP_INTR != 0,
            body: body(message.message_type(), message.payload())?,
        })
    }
}

fn body(kind: u16, payload: &[u8]) -> Result<Body<'_>, Malformed> {
    match kind {
        RTM_NEWLINK | RTM_DELLINK => link::read(kind, payload),
        RTM_NEWADDR | RTM_DELADDR => address(kind, payload),
        RTM_NEWNSID | RTM_DELNSID => nsid(kind, payload),
        RTM_NEWSTATS => stats(payload),
        NLMSG_DONE => {
            let done = DoneBuffer::new_checked(payload).map_err(|_| Malformed("result cut off"))?;
            Ok(Body::End(done.code()))
        }
        NLMSG_ERROR => {
            let error = ErrorBuffer::new_checked(payload).map_err(|_| Malformed("result cut off"))?;
            Ok(Body::End(error.code().map_or(0, i32::from)))
        }
        _ => Ok(Body::Other),
    }
}

fn address(kind: u16, payload: &[u8]) -> Result<Body<'_>, Malformed> {
    let header = AddressHeader::parse(payload).map_err(|_| Malformed("address cut off"))?;
    // On a point-to-point link IFA_ADDRESS is the peer's address and IFA_LOCAL the local one.
    let (mut local, mut any) = (None, None);
    for attribute in attributes(&payload[ADDRESS_LEN..]) {
        let attribute = attribute?;
        match attribute.kind() {
            IFA_LOCAL => local = ip(header.family, attribute.value()),
            IFA_ADDRESS => any = ip(header.family, attribute.value()),
            _ => {}
        }
    }
    let Some(ip) = local.or(any) else { return Ok(Body::Other) };
    let net = IpNet::new(ip, header.prefix_len).map_err(|_| Malformed("prefix length"))?;
    let peer = match any {
        Some(IpAddr::V4(peer)) if peer != ip => Some(peer),
        _ => None,
    };
    let address = Address { ifindex: header.index, net, peer };
    Ok(if kind == RTM_NEWADDR { Body::NewAddress(address) } else { Body::DelAddress(address) })
}

fn ip(family: AddressFamily, value: &[u8]) -> Option<IpAddr> {
    match family {
        AddressFamily::Inet => <[u8; 4]>::try_from(value).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        AddressFamily::Inet6 => <[u8; 16]>::try_from(value).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

fn nsid(kind: u16, payload: &[u8]) -> Result<Body<'_>, Malformed> {
    NsidHeader::parse(payload).map_err(|_| Malformed("nsid cut off"))?;
    for attribute in attributes(&payload[NSID_LEN..]) {
        let attribute = attribute?;
        if attribute.kind() == NETNSA_NSID {
            let nsid = i32_of(attribute.value())?;
            return Ok(if kind == RTM_NEWNSID { Body::NewNsid(nsid) } else { Body::DelNsid(nsid) });
        }
    }
    Ok(Body::Other)
}

fn stats(payload: &[u8]) -> Result<Body<'_>, Malformed> {
    let header = StatsHeader::parse(payload).map_err(|_| Malformed("stats cut off"))?;
    for attribute in Attributes(&payload[STATS_LEN..]) {
        if let (IFLA_STATS_LINK_64, value) = attribute? {
            let details = RawDetails(value);
            return Ok(Body::Stats { ifindex: header.ifindex, counters: link_stats64(value)?, details });
        }
    }
    Ok(Body::Other)
}

/// Reads the start of `struct rtnl_link_stats64`, which the kernel extends at its end only.
///
/// `Stats64::parse` reads a struct that is cut off as zeroes; here it is an error.
fn link_stats64(value: &[u8]) -> Result<Counters, Malformed> {
    let field = |n: usize| {
        let bytes = value.get(n * 8..n * 8 + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_ne_bytes).ok_or(Malformed("counters cut off"))
    };
    let receive = Direction::new(field(2)?, field(0)?).lost(field(4)?, field(6)?);
    let transmit = Direction::new(field(3)?, field(1)?).lost(field(5)?, field(7)?);
    Ok(Counters::new(receive, transmit))
}

/// The number of counters in front of the [`CounterDetails`].
const BASIC: usize = 8;

/// `struct rtnl_link_stats64`, for its [`CounterDetails`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawDetails<'a>(&'a [u8]);

impl RawDetails<'_> {
    /// Decodes the details. A kernel older than a counter sends a shorter structure.
    #[must_use]
    pub fn read(&self) -> CounterDetails {
        let (values, _) = self.0.as_chunks::<8>();
        CounterDetails::new(values.iter().skip(BASIC).map(|value| u64::from_ne_bytes(*value)))
    }
}

/// The attributes after a message's header, or inside a nested attribute.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = Result<NlaBuffer<&[u8]>, Malformed>> {
    NlasIterator::new(bytes).map(|attribute| attribute.map_err(|_| Malformed("attribute cut off")))
}

fn align(len: usize) -> usize {
    (len + 3) & !3
}

/// The bytes of a string up to its terminating zero.
fn text(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn u32_of(value: &[u8]) -> Result<u32, Malformed> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)).ok_or(Malformed("integer cut off"))
}

fn i32_of(value: &[u8]) -> Result<i32, Malformed> {
    value.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)).ok_or(Malformed("integer cut off"))
}
