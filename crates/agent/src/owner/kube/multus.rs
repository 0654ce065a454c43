//! Networks in multus' annotation of a pod.
//!
//! The format is `k8s.v1.cni.cncf.io/network-status` of the Kubernetes Network Plumbing Working
//! Group's "Network Custom Resource Definition De-facto Standard", section 5. A pod's author
//! can forge the annotation, so only names of networks of the pod's own interfaces are read.

use std::net::IpAddr;
use std::sync::Arc;

use crate::interface::Interface;
use iface_core::{IfName, MacAddr};
use serde::Deserialize;

use crate::owner::cni::network::Match;
pub use crate::owner::cni::network::Network;
use crate::owner::cni::result::address;

/// The annotation, and its name before version 1.1 of the standard.
pub const ANNOTATIONS: [&str; 2] = ["k8s.v1.cni.cncf.io/network-status", "k8s.v1.cni.cncf.io/networks-status"];

/// Size limit of the annotation, bytes; an entry has about 200.
const MAX_TEXT: usize = 64 << 10;

/// Limit of entries.
const MAX_ENTRIES: usize = 64;

/// Namespace, slash and name, each at most 253 bytes (RFC 1123 subdomain).
const MAX_NAME: usize = 253 + 1 + 253;

/// One network of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkStatus {
    network: Arc<str>,
    interface: Option<IfName>,
    mac: Option<MacAddr>,
    addresses: Box<[IpAddr]>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    interface: Option<String>,
    #[serde(default)]
    mac: Option<String>,
    #[serde(default)]
    ips: Option<Vec<String>>,
}

/// The networks in an annotation; malformed entries are ignored.
#[must_use]
pub fn parse(annotation: &str) -> Vec<NetworkStatus> {
    if annotation.len() > MAX_TEXT {
        return Vec::new();
    }
    let entries: Vec<serde_json::Value> = serde_json::from_str(annotation).unwrap_or_default();
    entries.into_iter().take(MAX_ENTRIES).filter_map(status).collect()
}

/// A complete entry: half an entry could match the wrong interface.
fn status(entry: serde_json::Value) -> Option<NetworkStatus> {
    let entry: Entry = serde_json::from_value(entry).ok()?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let ips = entry.ips.unwrap_or_default();
    Some(NetworkStatus {
        network: Some(entry.name).filter(|name| is_name(name))?.into(),
        interface: given(entry.interface).map(|name| IfName::new(name).ok_or(())).transpose().ok()?,
        mac: given(entry.mac).map(|mac| mac.parse()).transpose().ok()?,
        addresses: ips.iter().map(|ip| address(ip)).collect::<Option<_>>()?,
    })
}

/// Names of networks are RFC 1123 subdomains with an optional namespace, or a plugin's own word
/// for its default network: printable, safe for terminals and labels.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_graphic())
}

impl NetworkStatus {
    /// The agreement of the entry with an interface.
    fn fit(&self, interface: &Interface, carriers: impl Fn(MacAddr) -> usize) -> Match {
        if self.interface.is_some() || self.mac.is_some() {
            return Match::of(interface, self.mac.as_slice(), self.interface, &[], carriers);
        }
        // Addresses come late and can be added by hand, so an address decides only without other fields.
        let has = |address: &IpAddr| interface.addresses.iter().any(|net| net.addr() == *address);
        if self.addresses.iter().any(has) { Match::Name } else { Match::None }
    }

    pub(in crate::owner) fn mentions(&self, mac: MacAddr) -> bool {
        self.mac == Some(mac)
    }
}

/// The network of an interface of the pod with these networks; unknown if two entries match.
///
/// The link-layer address decides before the name; `carriers` counts the interfaces of the pod with an address.
pub fn network_of(networks: &[NetworkStatus], interface: &Interface, carriers: impl Fn(MacAddr) -> usize) -> Network {
    let entries: Vec<_> = networks.iter().map(|status| (status.fit(interface, &carriers), &status.network)).collect();
    let best = entries.iter().map(|(fit, _)| *fit).max().unwrap_or(Match::None);
    Network::from_best(best, entries.iter().filter(|(fit, _)| *fit == best).map(|(_, network)| *network))
}
