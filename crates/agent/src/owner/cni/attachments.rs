//! The CNI cache as evidence for the pod of a namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use crate::interface::{Interface, Pod};
use iface_core::{IfName, MacAddr, Netns, NetnsId, NetnsName};

use crate::owner::cni::result::{Attachment, Evidence, is_random_uuid};
use crate::owner::pod::same_pod;

/// Attachments by the name of their namespace.
///
/// A file is bound to the first matching namespace, and proves nothing about a later namespace with
/// the same name.
#[derive(Debug, Default)]
pub(in crate::owner) struct Attachments {
    files: BTreeMap<Arc<Path>, File>,
    by_netns: BTreeMap<NetnsName, BTreeSet<Arc<Path>>>,
}

#[derive(Debug)]
struct File {
    attachment: Attachment,
    bound: Option<Bound>,
}

/// The namespace of a file.
#[derive(Clone, Copy, Debug)]
struct Bound {
    id: NetnsId,
    cookie: Option<NonZeroU64>,
}

impl File {
    /// Whether the file can be about the namespace: unbound, or bound to the namespace under an earlier id.
    fn may_bind(&self, netns: &Netns) -> bool {
        let returned = |bound: Bound| bound.id != netns.id && bound.cookie.is_some() && bound.cookie == netns.cookie;
        self.bound.is_none_or(returned)
    }
}

/// Evidence of the files about one namespace.
#[derive(Debug, Default)]
pub(in crate::owner) struct Testimony<'a> {
    /// Attachments proven to belong to the namespace.
    pub(in crate::owner) proven: Vec<&'a Attachment>,
    /// Attachments with the namespace's name, without proof.
    pub(in crate::owner) unproven: Vec<&'a Attachment>,
}

impl Attachments {
    /// Adds a file's content; returns the names of the namespaces in the new and the old content.
    pub(in crate::owner) fn insert(&mut self, path: Arc<Path>, attachment: Attachment) -> Vec<NetnsName> {
        if self.files.get(&path).is_some_and(|known| known.attachment == attachment) {
            return Vec::new();
        }
        let mut touched: Vec<_> = self.remove(&path).into_iter().collect();
        touched.push(attachment.netns.clone());
        self.by_netns.entry(attachment.netns.clone()).or_default().insert(path.clone());
        self.files.insert(path, File { attachment, bound: None });
        touched
    }

    /// Removes a file; returns the name of its namespace.
    pub(in crate::owner) fn remove(&mut self, path: &Path) -> Option<NetnsName> {
        let netns = self.files.remove(path)?.attachment.netns;
        if let Some(paths) = self.by_netns.get_mut(&netns) {
            paths.remove(path);
            if paths.is_empty() {
                self.by_netns.remove(&netns);
            }
        }
        Some(netns)
    }

    /// Compares an interface of a named namespace with the files of the same name.
    pub(in crate::owner) fn see(&mut self, interface: &Interface) -> Seen {
        let mut seen = Seen::default();
        let paths = interface.netns.name().and_then(|name| self.by_netns.get(name));
        for path in paths.into_iter().flatten() {
            let Some(file) = self.files.get_mut(path).filter(|file| file.may_bind(&interface.netns)) else {
                continue;
            };
            match file.attachment.evidence(interface) {
                Evidence::For => {
                    let Netns { id, cookie, .. } = *interface.netns;
                    file.bound = Some(Bound { id, cookie });
                    seen.proven.push(file.attachment.pod.clone());
                }
                Evidence::Against => seen.refuted.push(path.clone()),
                Evidence::Neither => {}
            }
        }
        seen
    }

    /// All evidence of the files with this name about the namespace.
    pub(in crate::owner) fn about(&self, id: NetnsId, name: &NetnsName) -> Testimony<'_> {
        let mut testimony = Testimony::default();
        for path in self.by_netns.get(name).into_iter().flatten() {
            let Some(file) = self.files.get(path) else { continue };
            match file.bound {
                Some(bound) if bound.id == id => testimony.proven.push(&file.attachment),
                Some(_) => {}
                None => testimony.unproven.push(&file.attachment),
            }
        }
        testimony
    }

    /// A namespace is deleted. A random name is never reused, so its files prove the next namespace with the name,
    /// which is the same namespace. Other names are reused: their files stay bound.
    pub(in crate::owner) fn release(&mut self, id: NetnsId, name: &NetnsName) {
        if !is_random_uuid(name) {
            return;
        }
        for path in self.by_netns.get(name).into_iter().flatten() {
            if let Some(file) = self.files.get_mut(path).filter(|file| file.bound.is_some_and(|bound| bound.id == id)) {
                file.bound = None;
            }
        }
    }

    pub(in crate::owner) fn len(&self) -> usize {
        self.files.len()
    }
}

/// The network of an interface in one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// The network.
    Named(Arc<str>),
    /// Name or address of the interface are in the source, but for another interface.
    OfAnother,
    /// The source names no network, or several.
    Unknown,
}

impl Network {
    /// The common network of the entries with the best agreement.
    pub(in crate::owner) fn from_best<'a>(best: Match, mut networks: impl Iterator<Item = &'a Arc<str>>) -> Self {
        match (best, networks.next()) {
            (Match::None, _) | (_, None) => Self::Unknown,
            (Match::OfAnother, _) => Self::OfAnother,
            (_, Some(first)) if networks.all(|other| other == first) => Self::Named(first.clone()),
            _ => Self::Unknown,
        }
    }
}

/// Agreement of an interface with a source that names networks, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::owner) enum Match {
    /// The source is about another interface.
    None,
    /// Name or address agree, but only another interface has the address, or several have the address.
    OfAnother,
    /// The name agrees, and no single interface has the address.
    Name,
    /// Only this interface has the address.
    Mac,
    /// Only this interface has the address, and the name agrees.
    Both,
}

impl Match {
    /// Compares an interface with link-layer addresses and the name in a source; see [`Testimony::network`].
    pub(in crate::owner) fn of(
        interface: &Interface,
        macs: &[MacAddr],
        name: Option<IfName>,
        carriers: impl Fn(MacAddr) -> usize,
    ) -> Self {
        let named = name == Some(interface.name);
        let has_mac = interface.mac.is_some_and(|mac| macs.contains(&mac));
        let only = macs.iter().any(|mac| carriers(*mac) == 1 && (!has_mac || interface.mac == Some(*mac)));
        match (has_mac, only) {
            (true, true) if named => Self::Both,
            (true, true) => Self::Mac,
            (_, false) if named => Self::Name,
            (false, true) if named => Self::OfAnother,
            (true, false) => Self::OfAnother,
            _ => Self::None,
        }
    }
}

/// Result of the comparison of an interface with the files.
#[derive(Debug, Default)]
pub(in crate::owner) struct Seen {
    /// The pods of files that are now proven to belong to the interface's namespace.
    pub(in crate::owner) proven: Vec<Arc<Pod>>,
    /// Files that name the interface, but with other addresses.
    pub(in crate::owner) refuted: Vec<Arc<Path>>,
}

impl<'a> Testimony<'a> {
    /// The proven pod, or two contradictory pods.
    pub(in crate::owner) fn pod(&self) -> Result<Option<&'a Arc<Pod>>, [&'a Arc<Pod>; 2]> {
        let mut pods = self.proven.iter().map(|attachment| &attachment.pod);
        let Some(mut first) = pods.next() else { return Ok(None) };
        for other in pods {
            if !same_pod(first, other) {
                return Err([first, other]);
            }
            // A file with a uid is better than a file without.
            if first.uid.is_none() {
                first = other;
            }
        }
        Ok(Some(first))
    }

    /// Another pod than `pod` in a file with this namespace's name, with or without proof.
    pub(in crate::owner) fn other_than(&self, pod: &Pod) -> Option<&'a Arc<Pod>> {
        self.all().map(|attachment| &attachment.pod).find(|other| !same_pod(other, pod))
    }

    /// The addresses of all attachments of the pod.
    pub(in crate::owner) fn addresses(&self) -> Vec<IpAddr> {
        self.proven.iter().flat_map(|attachment| attachment.addresses.iter().copied()).collect()
    }

    /// The network of an interface of the pod in the files; `None` if files differ. A file of multus'
    /// delegate plugin comes before the runtime's file of multus itself.
    ///
    /// The link-layer address decides if only this interface of the namespace has the address, as pods rename and
    /// swap interfaces; otherwise the name. `carriers` counts the interfaces of the namespace with an address.
    ///
    /// Unproven files of the same pod count as well: the namespace is proven to belong to the pod, and an
    /// interface enslaved to a bond has lost the address in its file.
    pub(in crate::owner) fn network(
        &self,
        pod: &Pod,
        interface: &Interface,
        carriers: impl Fn(MacAddr) -> usize,
    ) -> Network {
        let of_pod = self.all().filter(|one| same_pod(&one.pod, pod) && one.network.is_some());
        let files: Vec<_> =
            of_pod.map(|one| (one, Match::of(interface, &one.macs, Some(one.interface), &carriers))).collect();
        let best = files.iter().map(|(_, fit)| *fit).max().unwrap_or(Match::None);
        let fits = || files.iter().filter(|(_, fit)| *fit == best).map(|(one, _)| *one);
        let delegated = fits().any(|one| one.delegated);
        let networks = fits().filter(|one| one.delegated == delegated).filter_map(|one| one.network.as_ref());
        Network::from_best(best, networks)
    }

    /// Whether the network of some interface depends on interfaces with this address.
    pub(in crate::owner) fn mentions(&self, mac: MacAddr) -> bool {
        self.all().any(|one| one.macs.contains(&mac))
    }

    fn all(&self) -> impl Iterator<Item = &'a Attachment> {
        self.proven.iter().chain(&self.unproven).copied()
    }
}
