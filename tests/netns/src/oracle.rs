use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;

use iface_core::{Interface, LowerPlace};
use ipnet::IpNet;
use serde::Deserialize;

use crate::netns::Netns;

/// A link in the output of `ip -j -d addr`, comparable with an [`Interface`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTruth {
    /// Name.
    pub name: String,
    /// Link-layer address as text; `None` if `ip` shows none.
    pub mac: Option<String>,
    /// Link kind; `None` for a device without `IFLA_INFO_KIND`.
    pub kind: Option<String>,
    /// Operational state in lower case.
    pub oper_state: String,
    /// Whether the link is administratively up.
    pub admin_up: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// Addresses, sorted.
    pub addresses: Vec<IpNet>,
    /// Tentative addresses (RFC 4862 section 5.4): the kernel lists these addresses, but sends
    /// notifications only after duplicate address detection.
    pub tentative: Vec<IpNet>,
    /// Index of the bridge or bond that the link belongs to.
    pub master: Option<u32>,
    /// Index of the lower link of an unpaired link, and whether the lower link is in another namespace.
    pub lower: Option<(u32, bool)>,
    /// Alias.
    pub alias: Option<String>,
    /// Alternative names.
    pub alt_names: Vec<String>,
    /// Own and far address of a tunnel.
    pub underlay: [Option<IpAddr>; 2],
    /// Bus and device of hardware.
    pub parent: Option<(String, String)>,
}

impl LinkTruth {
    /// Whether an interface agrees with the link, with or without the tentative addresses. The kernel announces a new
    /// alias, alternative name or far end only while the link is up.
    #[must_use]
    pub fn allows(&self, told: &Self) -> bool {
        let (extra, sure): (Vec<_>, Vec<_>) = told.addresses.iter().partition(|net| !self.addresses.contains(net));
        let mut same = Self { addresses: sure, tentative: self.tentative.clone(), ..told.clone() };
        if !self.admin_up {
            same.alias.clone_from(&self.alias);
            same.alt_names.clone_from(&self.alt_names);
            same.underlay = self.underlay;
        }
        same == *self && extra.iter().all(|net| self.tentative.contains(net))
    }
}

impl From<&Interface> for LinkTruth {
    fn from(interface: &Interface) -> Self {
        Self {
            name: interface.name.to_string(),
            mac: interface.mac.map(|mac| mac.to_string()),
            kind: interface.kind.as_ref().map(ToString::to_string),
            oper_state: interface.oper_state.to_string(),
            admin_up: interface.admin_up,
            mtu: interface.mtu,
            addresses: interface.addresses.to_vec(),
            tentative: Vec::new(),
            master: interface.master,
            lower: interface.lower().map(|lower| (lower.ifindex, lower.place != LowerPlace::Same)),
            alias: interface.alias().map(Into::into),
            alt_names: interface.alt_names().map(Into::into).collect(),
            underlay: interface.underlay().map_or([None; 2], |underlay| [underlay.local, underlay.remote]),
            parent: interface.parent().map(|parent| (parent.bus.to_string(), parent.device.to_string())),
        }
    }
}

/// The links that `ip` shows in a namespace, by ifindex; `None` is the test's own namespace.
#[must_use]
pub fn links_inside(netns: Option<&Netns>) -> BTreeMap<u32, LinkTruth> {
    let ask = || Command::new("ip").args(["-j", "-d", "addr", "show"]).output();
    let output = netns.map_or_else(ask, |netns| netns.inside(ask));
    let output = output.unwrap_or_else(|e| panic!("cannot run ip: {e}: install iproute2"));
    assert!(output.status.success(), "ip addr failed: {}", String::from_utf8_lossy(&output.stderr));
    let links: Vec<Link> = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!("ip said what is no JSON of links: {e}: {}", String::from_utf8_lossy(&output.stdout))
    });
    let indices: BTreeMap<String, u32> = links.iter().map(|link| (link.ifname.clone(), link.ifindex)).collect();
    links.into_iter().map(|link| (link.ifindex, link.truth(&indices))).collect()
}

/// Kinds whose `IFLA_LINK` is the peer.
const PAIRED: [&str; 3] = ["veth", "netkit", "vxcan"];

#[derive(Deserialize)]
struct Link {
    ifindex: u32,
    ifname: String,
    flags: Vec<String>,
    mtu: u32,
    operstate: String,
    address: Option<String>,
    linkinfo: Option<LinkInfo>,
    addr_info: Vec<Address>,
    /// Name of the bridge or bond.
    master: Option<String>,
    /// Name of the lower link in the same namespace.
    link: Option<String>,
    /// Index of the lower link in another namespace.
    link_index: Option<u32>,
    /// Where the lower link is in another namespace.
    link_netnsid: Option<i32>,
    parentbus: Option<String>,
    parentdev: Option<String>,
    ifalias: Option<String>,
    #[serde(default)]
    altnames: Vec<String>,
}

#[derive(Default, Deserialize)]
struct LinkInfo {
    info_kind: Option<String>,
    #[serde(default)]
    info_data: InfoData,
}

/// Of a tunnel; other kinds have none of these fields.
#[derive(Default, Deserialize)]
struct InfoData {
    local: Option<String>,
    local6: Option<String>,
    remote: Option<String>,
    remote6: Option<String>,
    group: Option<String>,
    group6: Option<String>,
    /// The name that the index of the lower link has here, or `if` and the index; of a VXLAN.
    link: Option<String>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
    prefixlen: Option<u8>,
    #[serde(default)]
    tentative: bool,
}

impl Link {
    /// The link with names replaced by indices.
    fn truth(self, indices: &BTreeMap<String, u32>) -> LinkTruth {
        let link = self;
        let address = |address: &Address| IpNet::new(address.local?, address.prefixlen?).ok();
        let sorted = |tentative: bool| {
            let mut nets: Vec<IpNet> =
                link.addr_info.iter().filter(|one| one.tentative == tentative).filter_map(address).collect();
            nets.sort_unstable();
            // One address with several peers.
            nets.dedup();
            nets
        };
        let (addresses, tentative) = (sorted(false), sorted(true));
        let LinkInfo { info_kind: kind, info_data: data } = link.linkinfo.unwrap_or_default();
        // `any` stands for no address.
        let end = |texts: [&Option<String>; 4]| texts.into_iter().flatten().find_map(|text| text.parse().ok());
        let ends = [
            end([&data.local, &data.local6, &None, &None]),
            end([&data.remote, &data.remote6, &data.group, &data.group6]),
        ];
        let is_paired = kind.as_deref().is_some_and(|kind| PAIRED.contains(&kind));
        let index = |name: Option<String>| name.and_then(|name| indices.get(&name).copied());
        let below = if kind.as_deref() == Some("vxlan") {
            // Its IFLA_LINK is its own index.
            let numbered = |name: &str| name.strip_prefix("if")?.parse().ok();
            let under = data.link.and_then(|name| indices.get(&name).copied().or_else(|| numbered(&name)));
            under.map(|index| (index, link.link_netnsid.is_some()))
        } else {
            link.link_index.map(|index| (index, true)).or_else(|| Some((index(link.link)?, false)))
        };
        LinkTruth {
            name: link.ifname,
            mac: link.address,
            kind,
            master: index(link.master),
            lower: below.filter(|_| !is_paired),
            alias: link.ifalias,
            alt_names: link.altnames,
            underlay: ends,
            parent: link.parentbus.zip(link.parentdev),
            oper_state: link.operstate.to_lowercase(),
            admin_up: link.flags.iter().any(|flag| flag == "UP"),
            mtu: link.mtu,
            addresses,
            tentative,
        }
    }
}
