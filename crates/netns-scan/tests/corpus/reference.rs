//! Comparison of this crate's message reader with the full parser of `netlink-packet-route`.
//!
//! Shared with the exactness suite and the fuzz target `netlink_differential`.

use std::net::IpAddr;
use std::panic::catch_unwind;

use iface_core::{Counters, Direction, IfName, Kind, Lower, LowerPlace, MacAddr, OperState, Parent, Underlay};
use ipnet::IpNet;
use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoGeneve, InfoGre, InfoGre6, InfoIpTunnel, InfoVti, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo,
    LinkLayerType, LinkMessage as ReferenceLink, Prop, Stats64,
};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::stats::{StatsAttribute, StatsMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netns_scan::netlink::message::{Address, Body, GoneLink, Link, Pair, PairPlace, parse};

/// A decoded message.
#[derive(Debug, PartialEq)]
enum Content {
    Link(Option<Box<Link>>, Option<Counters>),
    NoLink(GoneLink),
    Address(bool, Address),
    Nsid(bool, i32),
    Stats(u32, Counters),
    End(i32),
    Other,
}

/// Compares both readings of every message in a datagram; returns the number of compared messages.
///
/// A message that one of the readers refuses is not compared: the full parser refuses names that
/// are not UTF-8, this crate refuses counters and names of a wrong length.
///
/// # Panics
///
/// When the two readings of a message differ.
pub(crate) fn compare(datagram: &[u8]) -> usize {
    let mut compared = 0;
    let mut rest = datagram;
    while let Ok(buffer) = NetlinkBuffer::new_checked(rest) {
        let message = &rest[..buffer.length() as usize];
        if let (Some(own), Some(reference)) = (own(message), reference(message)) {
            assert_eq!(own, reference, "own reading and reference differ for {message:?}");
            compared += 1;
        }
        rest = rest.get(message.len().next_multiple_of(4)..).unwrap_or_default();
    }
    compared
}

fn own(message: &[u8]) -> Option<Content> {
    Some(match parse(message).next()?.ok()?.body {
        Body::NewLink(link) => Content::Link(link.link().ok()?.map(Box::new), link.counters().ok()?),
        Body::DelLink(gone) => Content::NoLink(gone),
        Body::NewAddress(address) => Content::Address(true, address),
        Body::DelAddress(address) => Content::Address(false, address),
        Body::NewNsid(nsid) => Content::Nsid(true, nsid),
        Body::DelNsid(nsid) => Content::Nsid(false, nsid),
        Body::Stats { ifindex, counters, .. } => Content::Stats(ifindex, counters),
        Body::End(result) => Content::End(result),
        Body::Other => Content::Other,
    })
}

/// `None` where the full parser refuses the message, or panics on it.
fn reference(message: &[u8]) -> Option<Content> {
    let message = catch_unwind(|| NetlinkMessage::<RouteNetlinkMessage>::deserialize(message)).ok()?.ok()?;
    let message = match message.payload {
        NetlinkPayload::Done(done) => return Some(Content::End(done.code)),
        NetlinkPayload::Error(error) => return Some(Content::End(error.code.map_or(0, i32::from))),
        NetlinkPayload::InnerMessage(message) => message,
        _ => return Some(Content::Other),
    };
    match message {
        RouteNetlinkMessage::NewLink(link) if is_link(&link) => {
            Some(Content::Link(read_link(&link)?.map(Box::new), counters(&link)))
        }
        RouteNetlinkMessage::DelLink(link) if is_link(&link) => Some(Content::NoLink(read_gone(&link))),
        RouteNetlinkMessage::NewAddress(address) => read_address(true, &address),
        RouteNetlinkMessage::DelAddress(address) => read_address(false, &address),
        RouteNetlinkMessage::NewNsId(nsid) => Some(read_nsid(true, &nsid)),
        RouteNetlinkMessage::DelNsId(nsid) => Some(read_nsid(false, &nsid)),
        RouteNetlinkMessage::NewStats(stats) => Some(read_stats(&stats)),
        _ => Some(Content::Other),
    }
}

fn is_link(link: &ReferenceLink) -> bool {
    link.header.interface_family == AddressFamily::Unspec
}

/// `None` for a name that an `IfName` cannot hold.
fn read_link(message: &ReferenceLink) -> Option<Option<Link>> {
    use LinkLayerType::{Ip6gre, Ipgre, Sit, Tunnel, Tunnel6};
    let is_tunnel = matches!(message.header.link_layer_type, Tunnel | Tunnel6 | Sit | Ipgre | Ip6gre);
    let (mut name, mut mtu, mut mac, mut kind) = (None, None, None, None);
    let (mut oper_state, mut below, mut nsid, mut carrier_changes) = (OperState::Unknown, 0, None, 0);
    let (mut master, mut alias, mut alt_names) = (None, None, Box::default());
    let (mut bus, mut device, mut ends) = (None, None, Ends::default());
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(IfName::new(text(value))?),
            LinkAttribute::Mtu(value) => mtu = Some(*value),
            LinkAttribute::Address(value) if !is_tunnel => mac = MacAddr::new(value),
            LinkAttribute::OperState(value) => oper_state = OperState::from_kernel((*value).into()),
            LinkAttribute::Link(value) => below = *value,
            LinkAttribute::Controller(value) => master = Some(*value).filter(|ifindex| *ifindex != 0),
            LinkAttribute::IfAlias(value) => alias = Some(text(value)).filter(|alias| !alias.is_empty()).map(Box::from),
            LinkAttribute::PropList(props) => alt_names = props.iter().filter_map(alt_name).take(16).collect(),
            LinkAttribute::LinkNetNsId(value) => nsid = Some(*value),
            LinkAttribute::CarrierChanges(value) => carrier_changes = *value,
            LinkAttribute::LinkInfo(infos) => (kind, ends) = (infos.iter().find_map(info_kind), tunnel_ends(infos)),
            LinkAttribute::ParentDevName(value) => device = Some(text(value)),
            LinkAttribute::ParentDevBusName(value) => bus = Some(text(value)),
            _ => {}
        }
    }
    let (Some(name), Some(mtu)) = (name, mtu) else { return Some(None) };
    let has_no_link = |kind: &Kind| ["vxlan", "geneve", "wireguard", "bareudp", "gtp", "ppp"].contains(&kind.as_str());
    let below = if kind.as_ref().is_some_and(has_no_link) { ends.link } else { below };
    let paired = kind.as_ref().is_some_and(|kind: &Kind| ["veth", "netkit", "vxcan"].contains(&kind.as_str()));
    Some(Some(Link {
        ifindex: message.header.index,
        name,
        mac,
        kind,
        oper_state,
        admin_up: message.header.flags.contains(LinkFlags::Up),
        mtu,
        pair: (paired && below != 0)
            .then(|| Pair { ifindex: below, place: nsid.map_or(PairPlace::Here, PairPlace::Nsid) }),
        master,
        lower: (!paired && below != 0)
            .then(|| Lower::new(below, nsid.map_or(LowerPlace::Same, |_| LowerPlace::Elsewhere))),
        lower_nsid: nsid.filter(|_| !paired && below != 0),
        alias,
        alt_names,
        underlay: ends.underlay(),
        parent: bus.zip(device).map(|(bus, device)| Box::new(Parent::new(bus, device))),
        carrier_changes,
        counters: counters(message),
    }))
}

fn alt_name(prop: &Prop) -> Option<Box<str>> {
    let Prop::AltIfName(name) = prop else { return None };
    Some(text(name).into())
}

fn read_gone(message: &ReferenceLink) -> GoneLink {
    let mut gone = GoneLink::unannounced(message.header.index);
    gone.counters = counters(message);
    let (mut new_nsid, mut new_ifindex) = (None, gone.ifindex);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::NewNetnsId(value) => new_nsid = Some(*value),
            LinkAttribute::NewIfIndex(value) => new_ifindex = value.cast_unsigned(),
            _ => {}
        }
    }
    gone.moved_to = new_nsid.map(|_| new_ifindex);
    gone
}

fn info_kind(info: &LinkInfo) -> Option<Kind> {
    let LinkInfo::Kind(kind) = info else { return None };
    Some(Kind::new(text(&kind.to_string())))
}

/// The underlay of a tunnel, with addresses of zeros.
#[derive(Default)]
struct Ends {
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    link: u32,
}

impl Ends {
    fn underlay(&self) -> Option<Box<Underlay>> {
        let [local, remote] =
            [self.local, self.remote].map(|address| address.filter(|address| !address.is_unspecified()));
        (local.is_some() || remote.is_some()).then(|| Box::new(Underlay::new(local, remote)))
    }
}

fn tunnel_ends(infos: &[LinkInfo]) -> Ends {
    let mut ends = Ends::default();
    let data = infos.iter().find_map(|info| if let LinkInfo::Data(data) = info { Some(data) } else { None });
    match data {
        Some(InfoData::Vxlan(data)) => data.iter().for_each(|one| match one {
            InfoVxlan::Local(address) => ends.local = Some((*address).into()),
            InfoVxlan::Local6(address) => ends.local = Some((*address).into()),
            InfoVxlan::Group(address) => ends.remote = Some((*address).into()),
            InfoVxlan::Group6(address) => ends.remote = Some((*address).into()),
            InfoVxlan::Link(link) => ends.link = *link,
            _ => {}
        }),
        Some(InfoData::Geneve(data)) => data.iter().for_each(|one| match one {
            InfoGeneve::Local(address) => ends.local = Some((*address).into()),
            InfoGeneve::Local6(address) => ends.local = Some((*address).into()),
            InfoGeneve::Remote(address) => ends.remote = Some((*address).into()),
            InfoGeneve::Remote6(address) => ends.remote = Some((*address).into()),
            _ => {}
        }),
        Some(InfoData::GreTun(data) | InfoData::GreTap(data)) => data.iter().for_each(|one| match one {
            InfoGre::Local(address) => ends.local = Some((*address).into()),
            InfoGre::Remote(address) => ends.remote = Some((*address).into()),
            _ => {}
        }),
        Some(InfoData::GreTun6(data) | InfoData::GreTap6(data)) => data.iter().for_each(|one| match one {
            InfoGre6::Local(address) => ends.local = Some((*address).into()),
            InfoGre6::Remote(address) => ends.remote = Some((*address).into()),
            _ => {}
        }),
        Some(InfoData::IpTunnel(data)) => data.iter().for_each(|one| match one {
            InfoIpTunnel::Local(address) => ends.local = Some(*address),
            InfoIpTunnel::Remote(address) => ends.remote = Some(*address),
            _ => {}
        }),
        Some(InfoData::Vti(data)) => data.iter().for_each(|one| match one {
            InfoVti::Local(address) => ends.local = Some(*address),
            InfoVti::Remote(address) => ends.remote = Some(*address),
            _ => {}
        }),
        _ => {}
    }
    ends
}

fn text(value: &str) -> &str {
    value.split('\0').next().unwrap_or_default()
}

fn counters(message: &ReferenceLink) -> Option<Counters> {
    let (mut counters, mut changes) = (None, 0);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Stats64(stats) => counters = Some(read_counters(stats)),
            LinkAttribute::CarrierChanges(value) => changes = *value,
            _ => {}
        }
    }
    counters.map(|counters| counters.with_carrier_changes(changes))
}

fn read_counters(stats: &Stats64) -> Counters {
    let receive = Direction::new(stats.rx_bytes, stats.rx_packets).lost(stats.rx_errors, stats.rx_dropped);
    let transmit = Direction::new(stats.tx_bytes, stats.tx_packets).lost(stats.tx_errors, stats.tx_dropped);
    Counters::new(receive, transmit)
}

/// `None` for a prefix length that an `IpNet` cannot hold.
fn read_address(exists: bool, message: &AddressMessage) -> Option<Content> {
    let of_family = |address: &std::net::IpAddr| match message.header.family {
        AddressFamily::Inet => address.is_ipv4().then_some(*address),
        AddressFamily::Inet6 => address.is_ipv6().then_some(*address),
        _ => None,
    };
    let (mut local, mut any) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = of_family(address),
            AddressAttribute::Address(address) => any = of_family(address),
            _ => {}
        }
    }
    let Some(address) = local.or(any) else { return Some(Content::Other) };
    let net = IpNet::new(address, message.header.prefix_len).ok()?;
    let peer = match any {
        Some(IpAddr::V4(peer)) if peer != address => Some(peer),
        _ => None,
    };
    Some(Content::Address(exists, Address { ifindex: message.header.index, net, peer }))
}

fn read_nsid(exists: bool, message: &NsidMessage) -> Content {
    let nsid = message.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Id(nsid) => Some(*nsid),
        _ => None,
    });
    nsid.map_or(Content::Other, |nsid| Content::Nsid(exists, nsid))
}

fn read_stats(message: &StatsMessage) -> Content {
    let stats = message.attributes.iter().find_map(|attribute| match attribute {
        StatsAttribute::Link64(stats) => Some(read_counters(stats)),
        _ => None,
    });
    stats.map_or(Content::Other, |counters| Content::Stats(message.header.ifindex, counters))
}
