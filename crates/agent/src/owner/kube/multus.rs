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
        addresses: ips.iter().map(|ip| ip.parse()).collect::<Result<_, _>>().ok()?,
    })
}

/// Names of networks are RFC 1123 subdomains with an optional namespace, or a plugin's own word
/// for its default network: printable, safe for terminals and labels.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_graphic())
}

impl NetworkStatus {
    /// Whether all fields of the entry match the interface, and the fields are sufficient for a match.
    fn fits(&self, interface: &Interface) -> bool {
        let name = self.interface.map(|name| name == interface.name);
        let mac = self.mac.map(|mac| Some(mac) == interface.mac);
        let has = |address: &IpAddr| interface.addresses.iter().any(|net| net.addr() == *address);
        let addresses = (!self.addresses.is_empty()).then(|| self.addresses.iter().any(has));
        // Addresses come late and can be added by hand, so an address decides only without other fields.
        match (name, mac) {
            (None, None) => addresses == Some(true),
            _ => name != Some(false) && mac != Some(false),
        }
    }
}

/// The network of an interface of the pod with these networks; `None` if two entries match.
#[must_use]
pub fn network_of(networks: &[NetworkStatus], interface: &Interface) -> Option<Arc<str>> {
    let mut fitting = networks.iter().filter(|status| status.fits(interface)).map(|status| &status.network);
    let first = fitting.next()?;
    fitting.all(|other| other == first).then(|| first.clone())
}
