//! Reads one file of the CNI result cache: from bytes to an [`Attachment`] or a [`Refusal`].
//!
//! containerd and CRI-O write a file at the end of each CNI ADD and remove the file
//! at CNI DEL. libcni writes `netns` since 1.2; before, only the result's `interfaces[].sandbox`
//! names the namespace.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::SystemTime;

use crate::cgroup::pod_of;
use crate::interface::{Interface, Pod, Source};
use crate::owner::cni::clues::Clue;
use crate::owner::cni::format::{CachedInfo, CapabilityArgs, CniInterface, CniResult};
use crate::owner::kube::annotations::Annotations;
use crate::owner::kube::multus::NetworkStatus;
use crate::owner::kube::selection::Selection;
use iface_core::{IfName, MacAddr, NetnsName, NsFile};
use ipnet::IpNet;
use serde_json::error::Category;

/// Size limit of a file, bytes; real files have a few thousand.
pub const MAX_FILE: u64 = 1 << 20;

/// The only kind of file of libcni so far.
const KIND: &str = "cniCacheV1";

/// The network name of multus' own generated configuration.
///
/// A file of multus itself; the network is in the files of the delegate plugins.
const MULTUS_OWN: &str = "multus-cni-network";

/// One pod interface on one CNI network, as recorded by the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The kind of the file: a CNI result, or the record of a container runtime.
    pub source: Source,
    /// The name of the network namespace, if the file has the path of a named namespace.
    pub netns: Option<NetnsName>,
    /// The pod in the CNI arguments, without workload and attributes of the API server.
    pub pod: Arc<Pod>,
    /// The interface's name in the namespace.
    pub interface: IfName,
    /// The network, except multus' own.
    pub network: Option<Arc<str>>,
    /// Link-layer addresses of the created interfaces in the namespace.
    pub macs: Vec<MacAddr>,
    /// Names of the created interfaces outside the namespace: bridges and host ends of veths.
    pub ends: Vec<IfName>,
    /// Whether multus delegated the attachment: the file then names the real network.
    pub delegated: bool,
    /// Addresses of the pod, without the addresses of `lo`.
    pub addresses: Vec<IpAddr>,
    /// Time of the last change of the file, if known.
    pub written: Option<SystemTime>,
    /// Annotations of the pod that containerd hands to plugins, until the reader selects attributes.
    pub(in crate::owner) annotations: Annotations,
    /// Networks in these annotations.
    pub(in crate::owner) networks: Vec<NetworkStatus>,
    /// The namespace at the path, if the path leads to a namespace: the namespace may be known by another name.
    pub(in crate::owner) space: Option<NsFile>,
    /// The path of the namespace.
    pub(in crate::owner) path: Option<Box<Path>>,
}

/// Evidence of an interface about an attachment with the name of its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::owner) enum Evidence {
    /// Proof: the attachment belongs to this namespace.
    For,
    /// The name matches but not the address: the file is older than the namespace.
    Against,
    /// No evidence.
    Neither,
}

impl Attachment {
    /// Properties of interfaces that can prove the file without the name of a namespace, or where the name alone
    /// proves nothing and the addresses inside may be gone.
    pub(in crate::owner) fn clues(&self) -> impl Iterator<Item = Clue> {
        // A path that leads nowhere from here can be a name in a directory that is not mounted here.
        let nameless = self.netns.is_none() || (self.space.is_none() && self.path.is_some());
        let ends = self.ends.iter().filter(move |_| nameless || !self.is_proven_by_name()).map(|end| Clue::End(*end));
        let macs = self.macs.iter().filter(move |_| nameless).map(|mac| Clue::Mac(*mac));
        ends.chain(macs).chain(self.addresses.iter().filter(move |_| nameless).map(|address| Clue::Address(*address)))
    }

    /// Takes attributes from the annotations and drops the annotations.
    pub(in crate::owner) fn select(&mut self, selection: &Selection) {
        let annotations = std::mem::take(&mut self.annotations).0;
        let attributes = selection.attributes(&BTreeMap::new(), &annotations);
        if !attributes.is_empty() {
            Arc::make_mut(&mut self.pod).attributes = attributes;
        }
    }

    /// Whether the file is the record of a container runtime, and no CNI result.
    pub(in crate::owner) fn is_record(&self) -> bool {
        self.source == Source::RuntimeRecord
    }

    fn is_proven_by_name(&self) -> bool {
        self.netns.as_ref().is_some_and(is_random_uuid)
    }

    /// Compares `interface`, in a namespace with the attachment's name, with the attachment.
    ///
    /// A random UUID in the namespace's name is proof: the pod may change its addresses, but the name is never
    /// reused. Any other name alone proves nothing, as names are reused: the link-layer address decides, or an
    /// IP address if the plugin names no link-layer address (Calico) or a shared address. A file
    /// without addresses is trusted, except containerd's own for `lo`, a match for every namespace.
    pub(in crate::owner) fn evidence(&self, interface: &Interface) -> Evidence {
        // The file of `lo` adds nothing to the pod's other files, and runtimes leave thousands over.
        if self.is_proven_by_name() && self.interface != "lo" {
            return Evidence::For;
        }
        let named = interface.name == self.interface;
        let fits = interface.mac.is_some_and(|mac| self.macs.contains(&mac));
        if fits && !has_parents_mac(interface) {
            return Evidence::For;
        }
        if !fits && !self.macs.is_empty() {
            return if named { Evidence::Against } else { Evidence::Neither };
        }
        let proven = match self.addresses.as_slice() {
            [] => named && self.macs.is_empty() && self.interface != "lo",
            addresses => interface.addresses.iter().any(|net| addresses.contains(&net.addr())),
        };
        if proven { Evidence::For } else { Evidence::Neither }
    }
}

/// Reason for a file without effect.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file could not be opened or read.
    #[error("cannot be read")]
    Unreadable(#[from] std::io::Error),
    /// The path is a directory, FIFO, symbolic link or device.
    #[error("is no regular file; remove it from the CNI cache")]
    NotAFile,
    /// Larger than [`MAX_FILE`].
    #[error("has more than {MAX_FILE} bytes, no CNI result is that large; remove it")]
    TooLarge,
    /// The content is cut off.
    #[error("ends in the middle; it is read again when its writer closes it")]
    CutOff,
    /// The content is not libcni's JSON.
    #[error("is no CNI cache file: {0}")]
    Malformed(serde_json::Error),
    /// The file has an unknown kind.
    #[error("has kind {0:?}, only {KIND:?} is understood")]
    OtherKind(String),
    /// No `K8S_POD_NAMESPACE` and `K8S_POD_NAME`: podman, nerdctl and others share the cache.
    #[error("names no pod in cniArgs; its network namespace belongs to something other than Kubernetes")]
    NoPod,
    /// `netns` and `sandbox` are paths of several namespaces.
    #[error("names several network namespaces")]
    TwoNetns,
    /// No namespace, host end or address: the result of a plugin that makes no interface, or sets up `lo`.
    #[error("names no network namespace, and no interface or address by which to find the namespace")]
    NoNetns,
    /// The namespace of the file does not exist: libcni writes a file after its namespace is made.
    #[error("is left over: the network namespace {0:?} does not exist")]
    LeftOver(NetnsName),
    /// The interface's name is empty or longer than the kernel allows.
    #[error("has the interface name {0:?}, which no interface can have")]
    BadInterfaceName(String),
}

/// Reads the whole content of one file.
///
/// # Errors
/// When the file does not name exactly one pod and one namespace; [`Refusal::CutOff`] passes when
/// the writer closes the file, other errors stay until the file changes.
pub fn parse(content: &[u8]) -> Result<Attachment, Refusal> {
    parse_existing(content, |_| true)
}

/// Reads the whole content of one file, unless the path of the namespace does not exist.
pub(in crate::owner) fn parse_existing(
    content: &[u8],
    mut exists: impl FnMut(&Path) -> bool,
) -> Result<Attachment, Refusal> {
    let info: CachedInfo = serde_json::from_slice(content).map_err(|error| match error.classify() {
        Category::Eof => Refusal::CutOff,
        _ => Refusal::Malformed(error),
    })?;
    if info.kind != KIND {
        return Err(Refusal::OtherKind(info.kind.chars().take(64).collect()));
    }
    let CapabilityArgs { cgroup_path, annotations } = info.capability_args.unwrap_or_default();
    let uid = cgroup_path.as_deref().and_then(pod_of);
    let pod = pod(info.cni_args.as_deref().unwrap_or_default(), uid).ok_or(Refusal::NoPod)?;
    let interfaces = info.result.interfaces.as_slice();
    let netns = netns(info.netns.as_deref(), interfaces)?;
    if let Some(name) = &netns
        && !paths(info.netns.as_deref(), interfaces).all(|path| exists(Path::new(path)))
    {
        return Err(Refusal::LeftOver(name.clone()));
    }
    let interface = IfName::new(&info.if_name)
        .filter(|name| !name.as_bytes().is_empty())
        .ok_or_else(|| Refusal::BadInterfaceName(info.if_name.chars().take(64).collect()))?;
    // Some plugins name the namespace by the path of a process, or by a word.
    let is_inside = |one: &&CniInterface| match netns {
        Some(_) => netns_name(&one.sandbox).is_some(),
        None => !one.sandbox.is_empty(),
    };
    let macs: Vec<MacAddr> =
        interfaces.iter().filter(is_inside).filter_map(|one| one.mac.parse().ok()).filter(is_link_layer).collect();
    // Azure names the interface inside without a sandbox.
    let outside = interfaces.iter().filter(|one| one.sandbox.is_empty()).filter_map(|one| IfName::new(&one.name));
    let ends: Vec<IfName> = outside.filter(|name| *name != interface && !name.as_bytes().is_empty()).collect();
    let addresses = addresses(&info.result);
    let path = paths(info.netns.as_deref(), interfaces).next().map(|path| Path::new(path).into());
    if netns.is_none() && macs.is_empty() && ends.is_empty() && addresses.is_empty() {
        return Err(Refusal::NoNetns);
    }
    Ok(Attachment {
        source: Source::CniCache,
        macs,
        ends,
        addresses,
        written: None,
        networks: annotations.networks(),
        annotations,
        space: None,
        path,
        delegated: false,
        network: Some(info.network_name).filter(|name| !name.is_empty() && name != MULTUS_OWN).map(Into::into),
        netns,
        pod: Arc::new(pod),
        interface,
    })
}

fn pod(args: &[(String, String)], uid: Option<String>) -> Option<Pod> {
    let arg = |wanted: &str| {
        let (_, value) = args.iter().find(|(key, _)| key == wanted)?;
        (!value.is_empty()).then(|| value.clone())
    };
    let (namespace, name, uid) = (arg("K8S_POD_NAMESPACE")?, arg("K8S_POD_NAME")?, arg("K8S_POD_UID").or(uid));
    // podman writes the container's name for both, without a uid, and allows names that Kubernetes does not.
    if (uid.is_none() && namespace == name) || !is_dns_name(&namespace) || !is_dns_name(&name) {
        return None;
    }
    Some(Pod { namespace, name, uid, workload: None, attributes: Vec::new() })
}

/// Whether an object of Kubernetes can have the name: an RFC 1123 subdomain, at most 253 bytes.
pub(in crate::owner) fn is_dns_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let ends = [label.bytes().next(), label.bytes().next_back()];
        ends.iter().all(|end| end.is_some_and(is_inner)) && label.bytes().all(|byte| is_inner(byte) || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// The common name in `netns` and every sandbox.
fn netns(field: Option<&str>, interfaces: &[CniInterface]) -> Result<Option<NetnsName>, Refusal> {
    let mut names = paths(field, interfaces).filter_map(netns_name);
    let first = names.next();
    if names.any(|other| Some(other) != first) { Err(Refusal::TwoNetns) } else { Ok(first) }
}

/// The paths of named namespaces.
fn paths<'a>(field: Option<&'a str>, interfaces: &'a [CniInterface]) -> impl Iterator<Item = &'a str> {
    let sandboxes = interfaces.iter().map(|one| one.sandbox.as_str());
    field.into_iter().chain(sandboxes).filter(|path| netns_name(path).is_some())
}

/// The last part of a namespace's path.
///
/// `/proc/PID/ns/net` is not a lasting name, and some plugins write `0` or a bare word.
pub(super) fn netns_name(path: &str) -> Option<NetnsName> {
    let path = Path::new(path);
    if !path.is_absolute() || path.starts_with("/proc") {
        return None;
    }
    match path.components().next_back()? {
        Component::Normal(name) => Some(NetnsName::new(name.as_encoded_bytes())),
        _ => None,
    }
}

/// Kinds with the link-layer address of the lower interface by default.
pub(in crate::owner) fn has_parents_mac(interface: &Interface) -> bool {
    interface.kind.as_ref().is_some_and(|kind| matches!(kind.as_str(), "ipvlan" | "ipvtap" | "vlan"))
}

/// Ethernet has 6 bytes, EUI-64 8, IP over InfiniBand 20. The AWS VPC CNI plugin writes the number of a
/// route table into `mac` ("2" … "254"), also valid as an address.
fn is_link_layer(mac: &MacAddr) -> bool {
    let bytes = mac.as_bytes();
    matches!(bytes.len(), 6 | 8 | 20) && bytes.iter().any(|byte| *byte != 0)
}

/// Whether a container runtime has named the namespace: containerd and CRI-O by a UUID, Docker by 12 digits.
pub(crate) fn is_sandbox_name(name: &NetnsName) -> bool {
    name.as_bytes().starts_with(b"cni-") || is_short_id(name) || is_random_uuid(name)
}

/// Random names of Docker's sandboxes: the first 12 digits of their ids.
pub(in crate::owner) fn is_short_id(name: &NetnsName) -> bool {
    let name = name.as_bytes();
    name.len() == 12 && name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Random names of sandboxes, never reused: a UUID of version 4 (CRI-O), or 16 random bytes that are written like a UUID
/// after `cni-` (containerd) or `netns-` (podman).
pub(in crate::owner) fn is_random_uuid(name: &NetnsName) -> bool {
    let name = name.as_bytes();
    let prefixed = name.strip_prefix(b"cni-").or_else(|| name.strip_prefix(b"netns-"));
    let uuid = prefixed.unwrap_or(name);
    uuid.len() == 36
        && uuid.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            14 if prefixed.is_none() => *byte == b'4',
            19 if prefixed.is_none() => matches!(byte, b'8' | b'9' | b'a' | b'b'),
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

fn addresses(result: &CniResult) -> Vec<IpAddr> {
    let new = result.ips.iter().map(|ip| ip.address.as_str());
    let old = [&result.ip4, &result.ip6].into_iter().flatten().map(|ip| ip.ip.as_str());
    new.chain(old).filter_map(address).filter(|address| is_evidence(*address)).collect()
}

/// The address of a text with or without a prefix length: plugins write both in the place of either.
pub(in crate::owner) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| Some(text.parse::<IpNet>().ok()?.addr()))
}

/// Whether an address distinguishes namespaces; loopback and link-local addresses are in all namespaces.
pub(in crate::owner) fn is_evidence(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || link_local)
}

#[cfg(test)]
mod tests;
