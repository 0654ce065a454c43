//! Interfaces, files and pods as the runtime makes them.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::interface::{Interface, Pod, Source};
use iface_core::{IfName, InterfaceId, Kind, MacAddr, Netns, NetnsId, NetnsName, NsFile, Peer, Place};
use ipnet::IpNet;

use crate::owner::cni::result::Attachment;

/// A new name, or one that is never used again.
pub(super) fn netns_name(number: u64, random: bool) -> Place {
    Place::Named(NetnsName::new(if random {
        format!("cni-{number:08x}-5b7a-4a55-9f2e-5b8c5b2f9a10")
    } else {
        format!("cni-{number}")
    }))
}

/// A namespace as a kernel with or without cookies shows it.
pub(super) fn netns(id: NetnsId, place: Place, inode: u64, cookie: Option<NonZeroU64>) -> Arc<Netns> {
    Arc::new(Netns::new(id, place).with_file(NsFile { dev: 4, inode }).with_cookie(cookie))
}

/// A result as of a bridge, or as Calico writes it, without the namespace.
pub(super) fn attachment(uid: &str, name: &str, interfaces: &[Arc<Interface>], nameless: bool) -> Attachment {
    let [_, eth0, end, ..] = interfaces else { unreachable!("each pod has three") };
    Attachment {
        source: Source::CniCache,
        netns: eth0.netns.name().filter(|_| !nameless).cloned(),
        pod: named(uid, name),
        interface: eth0.name,
        network: Some("podnet".into()),
        macs: eth0.mac.into_iter().filter(|_| !nameless).collect(),
        ends: vec![end.name],
        written: Some(eth0.since + Duration::from_secs(1)),
        addresses: eth0.addresses.iter().map(|net| net.addr()).collect(),
        delegated: false,
        annotations: Default::default(),
        networks: Vec::new(),
        space: None,
        path: None,
    }
}

/// `lo`, `eth0` and its host end; every second address comes with one of IPv6.
pub(super) fn interfaces(netns: &Arc<Netns>, number: u64, address: u8) -> Vec<Arc<Interface>> {
    let host = Arc::new(Netns::new(NetnsId::HOST, Place::Host));
    let eth0 = interface(netns, number * 10 + 1, "eth0", number, Some(address));
    let mut end = interface(&host, number * 10 + 2, &format!("veth{number}"), 0, None);
    let peer = Peer::new(netns.clone(), eth0.ifindex, eth0.name);
    Arc::make_mut(&mut end).peer = Some(peer.into());
    vec![interface(netns, number * 10, "lo", 0, None), eth0, end]
}

pub(super) fn interface(netns: &Arc<Netns>, id: u64, name: &str, mac: u64, address: Option<u8>) -> Arc<Interface> {
    let id_of = InterfaceId(NonZeroU64::new(id).unwrap());
    let mut interface = Interface::new(id_of, netns.clone(), id as u32, IfName::new(name).unwrap());
    interface.mac = Some(mac_of(mac));
    interface.addresses = address.map(nets).unwrap_or_default();
    interface.since = UNIX_EPOCH + Duration::from_secs(id * 10);
    if name != "lo" {
        interface.kind = Some(Kind::new("veth"));
    }
    Arc::new(interface)
}

pub(super) fn mac_of(number: u64) -> MacAddr {
    let bytes = number.to_be_bytes();
    [2, 0, bytes[4], bytes[5], bytes[6], bytes[7]].into()
}

fn nets(address: u8) -> Box<[IpNet]> {
    ips(address).into_iter().map(IpNet::from).collect()
}

/// The addresses of the pod with this number.
pub(super) fn ips(address: u8) -> Vec<IpAddr> {
    let second = address.is_multiple_of(2).then(|| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(address)]));
    [ip(address)].into_iter().chain(second).collect()
}

pub(super) fn ip(address: u8) -> IpAddr {
    [10, 0, 0, address].into()
}

pub(super) fn named(uid: &str, name: &str) -> Arc<Pod> {
    Arc::new(Pod {
        namespace: "shop".into(),
        name: name.to_owned(),
        uid: Some(uid.to_owned()),
        workload: None,
        attributes: Vec::new(),
    })
}
