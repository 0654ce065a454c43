//! The CNI cache as evidence for the pod of a namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use crate::interface::{Interface, Pod, Source};
use iface_core::{MacAddr, Netns, NetnsId, NetnsName, NsFile};

use crate::owner::cni::clues::Clues;
use crate::owner::cni::network::{Match, Network};
use crate::owner::cni::result::{Attachment, Evidence, is_random_uuid};
use crate::owner::index::remove_value;
use crate::owner::kube::multus::NetworkStatus;
use crate::owner::pod::same_pod;

/// Attachments by the name of their namespace.
///
/// A file is bound to the first matching namespace, and proves nothing about a later namespace with
/// the same name.
#[derive(Debug, Default)]
pub(in crate::owner) struct Attachments {
    files: BTreeMap<Arc<Path>, File>,
    by_netns: BTreeMap<NetnsName, BTreeSet<Arc<Path>>>,
    /// Files by the namespace at their path, which may be known by another name.
    by_space: BTreeMap<NsFile, BTreeSet<Arc<Path>>>,
    /// Files without a name of a namespace or with another name, by the namespace that was found for each.
    found: BTreeMap<NetnsId, BTreeSet<Arc<Path>>>,
    clues: Clues,
    /// Number of CNI results that are proven to belong to a namespace, or were before the namespace ended.
    proven: usize,
    /// Number of records of container runtimes.
    records: usize,
}

/// A file.
#[derive(Debug)]
pub(in crate::owner) struct File {
    pub(in crate::owner) attachment: Attachment,
    bound: Option<Bound>,
}

/// The namespace of a file.
#[derive(Clone, Copy, Debug)]
pub(in crate::owner) struct Bound {
    pub(in crate::owner) id: NetnsId,
    pub(in crate::owner) cookie: Option<NonZeroU64>,
}

impl From<&Netns> for Bound {
    fn from(netns: &Netns) -> Self {
        Self { id: netns.id, cookie: netns.cookie }
    }
}

impl File {
    /// Binds the file; returns 1 for a CNI result that had no namespace before.
    fn bind(&mut self, netns: Bound) -> usize {
        usize::from(self.bound.replace(netns).is_none() && !self.attachment.is_record())
    }

    /// Whether the file can be about the namespace: unbound, or bound to the namespace under an earlier id.
    pub(in crate::owner) fn may_bind(&self, netns: Bound) -> bool {
        let returned = |bound: Bound| bound.id != netns.id && bound.cookie.is_some() && bound.cookie == netns.cookie;
        self.bound.is_none_or(returned)
    }
}

/// Namespaces in the content of a file, now or before.
#[derive(Debug, Default)]
pub(in crate::owner) struct Touched {
    pub(in crate::owner) names: Vec<NetnsName>,
    /// Namespaces at the paths in a new file.
    pub(in crate::owner) spaces: Vec<NsFile>,
    pub(in crate::owner) found: Vec<NetnsId>,
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
    /// Adds a file's content; returns the namespaces in the new and the old content.
    pub(in crate::owner) fn insert(&mut self, path: Arc<Path>, attachment: Attachment) -> Touched {
        if self.files.get(&path).is_some_and(|known| known.attachment == attachment) {
            return Touched::default();
        }
        let mut touched = self.remove(&path);
        if let Some(netns) = &attachment.netns {
            touched.names.push(netns.clone());
            self.by_netns.entry(netns.clone()).or_default().insert(path.clone());
        }
        if let Some(space) = attachment.space {
            touched.spaces.push(space);
            self.by_space.entry(space).or_default().insert(path.clone());
        }
        self.clues.insert(&path, &attachment);
        self.records += usize::from(attachment.is_record());
        self.files.insert(path, File { attachment, bound: None });
        touched
    }

    /// Removes a file; returns its namespace.
    pub(in crate::owner) fn remove(&mut self, path: &Path) -> Touched {
        let mut touched = Touched::default();
        let Some(file) = self.files.remove(path) else { return touched };
        self.clues.remove(path, &file.attachment);
        let is_record = file.attachment.is_record();
        self.records -= usize::from(is_record);
        if let Some(space) = file.attachment.space {
            remove_value(&mut self.by_space, &space, path);
        }
        if let Some(netns) = file.attachment.netns {
            remove_value(&mut self.by_netns, &netns, path);
            touched.names.push(netns);
        }
        if let Some(bound) = file.bound {
            self.proven -= usize::from(!is_record);
            remove_value(&mut self.found, &bound.id, path);
            touched.found.push(bound.id);
        }
        touched
    }

    /// A file that can be bound to a namespace by its clues.
    pub(in crate::owner) fn get(&self, path: &Path) -> Option<&File> {
        self.files.get(path)
    }

    /// Binds a file to the namespace that its clues have proven, and that has or lacks the name in the file; returns the
    /// pod.
    pub(in crate::owner) fn bind(&mut self, path: &Arc<Path>, netns: Bound, has_name: bool) -> Option<Arc<Pod>> {
        let file = self.files.get_mut(path)?;
        self.proven += file.bind(netns);
        if !has_name {
            self.found.entry(netns.id).or_default().insert(path.clone());
        }
        Some(file.attachment.pod.clone())
    }

    /// Files about the namespace by a path, and the path.
    pub(in crate::owner) fn at(&self, space: NsFile) -> Vec<(Arc<Path>, Box<Path>)> {
        let paths = self.by_space.get(&space).into_iter().flatten();
        paths.filter_map(|path| Some((path.clone(), self.files.get(path)?.attachment.path.clone()?))).collect()
    }

    pub(in crate::owner) fn clues(&self) -> &Clues {
        &self.clues
    }

    /// Compares an interface of a named namespace with the files of the same name.
    pub(in crate::owner) fn see(&mut self, interface: &Interface) -> Seen {
        let mut seen = Seen::default();
        let netns: Bound = (&*interface.netns).into();
        let Some(name) = interface.netns.name() else { return seen };
        let by_name = self.by_netns.get(name).into_iter().flatten();
        let by_space = interface.netns.file.and_then(|file| self.by_space.get(&file)).into_iter().flatten();
        for path in by_name.chain(by_space) {
            let Some(file) = self.files.get_mut(path).filter(|file| file.may_bind(netns)) else {
                continue;
            };
            match file.attachment.evidence(interface) {
                Evidence::For => {
                    self.proven += file.bind(netns);
                    if file.attachment.netns.as_ref() != Some(name) {
                        self.found.entry(netns.id).or_default().insert(path.clone());
                    }
                    seen.proven.push(file.attachment.pod.clone());
                }
                Evidence::Against => seen.refuted.push(path.clone()),
                Evidence::Neither => {}
            }
        }
        seen
    }

    /// All evidence of the files about a namespace, with or without a name.
    pub(in crate::owner) fn about(&self, id: NetnsId, name: Option<&NetnsName>) -> Testimony<'_> {
        let mut testimony = Testimony::default();
        for path in name.and_then(|name| self.by_netns.get(name)).into_iter().flatten() {
            let Some(file) = self.files.get(path) else { continue };
            match file.bound {
                Some(bound) if bound.id == id => testimony.proven.push(&file.attachment),
                Some(_) => {}
                None => testimony.unproven.push(&file.attachment),
            }
        }
        let found = self.found.get(&id).into_iter().flatten().filter_map(|path| self.files.get(path));
        let is_elsewhere = |file: &&File| name.is_none() || file.attachment.netns.as_ref() != name;
        let found: Vec<_> = found.filter(is_elsewhere).map(|file| &file.attachment).collect();
        // Of two pods with the same host end and address, the earlier is gone and has left a file over.
        let newest = found.iter().max_by_key(|one| one.written);
        let is_newest = |one: &&Attachment| newest.is_some_and(|newest| is_of_newest(one, newest));
        testimony.proven.extend(found.iter().copied().filter(is_newest));
        testimony
    }

    /// A namespace is deleted. A random name is never reused, so its files prove the next namespace with the name,
    /// which is the same namespace. Other names are reused: their files stay bound.
    pub(in crate::owner) fn release(&mut self, id: NetnsId, name: &NetnsName, space: Option<NsFile>) {
        self.found.remove(&id);
        // The kernel reuses the inode.
        for path in space.and_then(|space| self.by_space.remove(&space)).into_iter().flatten() {
            if let Some(file) = self.files.get_mut(&path) {
                file.attachment.space = None;
            }
        }
        if !is_random_uuid(name) {
            return;
        }
        for path in self.by_netns.get(name).into_iter().flatten() {
            if let Some(file) = self.files.get_mut(path).filter(|file| file.bound.is_some_and(|bound| bound.id == id)) {
                file.bound = None;
                self.proven -= usize::from(!file.attachment.is_record());
            }
        }
    }

    /// The namespace of these files has come back under another id and, maybe, another name.
    pub(in crate::owner) fn rebind(&mut self, earlier: NetnsId, now: Bound, name: Option<&NetnsName>) {
        for (path, file) in &mut self.files {
            if file.bound.is_some_and(|bound| bound.id == earlier) {
                file.bound = Some(now);
                if file.attachment.netns.as_ref() != name || name.is_none() {
                    self.found.entry(now.id).or_default().insert(path.clone());
                }
            }
        }
    }

    pub(in crate::owner) fn proven(&self) -> usize {
        self.proven
    }

    pub(in crate::owner) fn len(&self) -> usize {
        self.files.len() - self.records
    }
}

fn is_of_newest(one: &Attachment, newest: &Attachment) -> bool {
    one.written >= newest.written || same_pod(&one.pod, &newest.pod)
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
    /// The pod that files of one kind prove, or two contradictory pods.
    pub(in crate::owner) fn pod(&self, source: Source) -> Result<Option<&'a Arc<Pod>>, [&'a Arc<Pod>; 2]> {
        let of_source = self.proven.iter().filter(|one| one.source == source);
        let mut pods = of_source.map(|attachment| &attachment.pod);
        let Some(mut first) = pods.next() else { return Ok(None) };
        for other in pods {
            if !same_pod(first, other) {
                return Err([first, other]);
            }
            // A file with a uid or annotations is better than a file without.
            let rank = |pod: &Pod| (pod.uid.is_some(), !pod.attributes.is_empty());
            if rank(other) > rank(first) {
                first = other;
            }
        }
        Ok(Some(first))
    }

    /// Drops the files of some pods.
    pub(in crate::owner) fn retain(&mut self, keep: impl Fn(&Pod) -> bool) {
        self.proven.retain(|attachment| keep(&attachment.pod));
        self.unproven.retain(|attachment| keep(&attachment.pod));
    }

    /// Another pod than `pod` in a file with this namespace's name, with or without proof.
    pub(in crate::owner) fn other_than(&self, pod: &Pod) -> Option<&'a Arc<Pod>> {
        self.all().map(|attachment| &attachment.pod).find(|other| !same_pod(other, pod))
    }

    /// Another pod than `pod` in a record of the runtime about this namespace.
    pub(in crate::owner) fn recorded_other_than(&self, pod: &Pod) -> Option<&'a Arc<Pod>> {
        let records = self.proven.iter().filter(|one| one.is_record());
        records.map(|record| &record.pod).find(|other| !same_pod(other, pod))
    }

    /// The addresses of all attachments of the pod.
    pub(in crate::owner) fn addresses(&self) -> Vec<IpAddr> {
        self.proven.iter().flat_map(|attachment| attachment.addresses.iter().copied()).collect()
    }

    /// The network of an interface of the pod in the files; `None` if files differ. A file of multus'
    /// delegate plugin comes before the runtime's file of multus itself.
    ///
    /// The link-layer address decides if only this interface of the namespace has the address, as pods rename and
    /// swap interfaces; otherwise the host end, then the name. `carriers` counts the interfaces of the namespace with an address.
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
        let files: Vec<_> = of_pod
            .map(|one| (one, Match::of(interface, &one.macs, Some(one.interface), &one.ends, &carriers)))
            .collect();
        let best = files.iter().map(|(_, fit)| *fit).max().unwrap_or(Match::None);
        let fits = || files.iter().filter(|(_, fit)| *fit == best).map(|(one, _)| *one);
        let delegated = fits().any(|one| one.delegated);
        let networks = fits().filter(|one| one.delegated == delegated).filter_map(|one| one.network.as_ref());
        Network::from_best(best, networks)
    }

    /// Whether the network of some interface depends on interfaces with this address.
    pub(in crate::owner) fn mentions(&self, mac: MacAddr) -> bool {
        self.all().any(|one| one.macs.contains(&mac) || one.networks.iter().any(|network| network.mentions(mac)))
    }

    /// The networks in annotations of the pod, of the first file that has any.
    pub(in crate::owner) fn annotated(&self, pod: &Pod) -> &'a [NetworkStatus] {
        let of_pod = self.all().filter(|one| same_pod(&one.pod, pod)).map(|one| &*one.networks);
        of_pod.into_iter().find(|networks| !networks.is_empty()).unwrap_or_default()
    }

    fn all(&self) -> impl Iterator<Item = &'a Attachment> {
        self.proven.iter().chain(&self.unproven).copied()
    }
}
