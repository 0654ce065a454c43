//! The CNI cache as evidence: which pod the files say a namespace belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::interface::{Interface, Pod};
use iface_core::{IfName, NetnsId, NetnsName};

use crate::owner::cni::result::{Attachment, Evidence};
use crate::owner::pod::same_pod;

/// Attachments by the name of their namespace.
///
/// A file is bound to the first namespace that it fits, and says nothing about another one that
/// gets the same name later.
#[derive(Debug, Default)]
pub(in crate::owner) struct Attachments {
    files: BTreeMap<Arc<Path>, File>,
    by_netns: BTreeMap<NetnsName, BTreeSet<Arc<Path>>>,
}

#[derive(Debug)]
struct File {
    attachment: Attachment,
    bound: Option<NetnsId>,
}

/// What the files say of one namespace.
#[derive(Debug, Default)]
pub(in crate::owner) struct Testimony<'a> {
    /// Attachments proven to be about this very namespace.
    pub(in crate::owner) proven: Vec<&'a Attachment>,
    /// Attachments that name it and nothing shows yet, or ever, that they mean it.
    pub(in crate::owner) unproven: Vec<&'a Attachment>,
}

impl Attachments {
    /// Takes a file's content in; the names of the namespaces that it speaks of now and before.
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

    /// Forgets a file; the name of the namespace it spoke of.
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

    /// Holds an interface of a named namespace against the files of that name.
    pub(in crate::owner) fn see(&mut self, interface: &Interface) -> Seen {
        let mut seen = Seen::default();
        let paths = interface.netns.name().and_then(|name| self.by_netns.get(name));
        for path in paths.into_iter().flatten() {
            let Some(file) = self.files.get_mut(path).filter(|file| file.bound.is_none()) else { continue };
            match file.attachment.evidence(interface) {
                Evidence::For => {
                    file.bound = Some(interface.netns.id);
                    seen.bound = true;
                }
                Evidence::Against => seen.refuted.push(path.clone()),
                Evidence::Neither => {}
            }
        }
        seen
    }

    /// Everything the files of this name say about this namespace.
    pub(in crate::owner) fn about(&self, id: NetnsId, name: &NetnsName) -> Testimony<'_> {
        let mut testimony = Testimony::default();
        for path in self.by_netns.get(name).into_iter().flatten() {
            let Some(file) = self.files.get(path) else { continue };
            match file.bound {
                Some(bound) if bound == id => testimony.proven.push(&file.attachment),
                Some(_) => {}
                None => testimony.unproven.push(&file.attachment),
            }
        }
        testimony
    }

    pub(in crate::owner) fn len(&self) -> usize {
        self.files.len()
    }
}

/// What came of showing the files an interface.
#[derive(Debug, Default)]
pub(in crate::owner) struct Seen {
    /// A file is now known to be about the interface's namespace.
    pub(in crate::owner) bound: bool,
    /// These files name the interface, but it is not theirs.
    pub(in crate::owner) refuted: Vec<Arc<Path>>,
}

impl<'a> Testimony<'a> {
    /// The one pod that is proven, or the two that contradict each other.
    pub(in crate::owner) fn pod(&self) -> Result<Option<&'a Arc<Pod>>, [&'a Arc<Pod>; 2]> {
        let mut pods = self.proven.iter().map(|attachment| &attachment.pod);
        let Some(mut first) = pods.next() else { return Ok(None) };
        for other in pods {
            if !same_pod(first, other) {
                return Err([first, other]);
            }
            // A file with the uid says more than one without.
            if first.uid.is_none() {
                first = other;
            }
        }
        Ok(Some(first))
    }

    /// A pod other than `pod` that a file gives this namespace's name, proven or not.
    pub(in crate::owner) fn other_than(&self, pod: &Pod) -> Option<&'a Arc<Pod>> {
        self.all().map(|attachment| &attachment.pod).find(|other| !same_pod(other, pod))
    }

    /// The addresses all of the pod's attachments gave it.
    pub(in crate::owner) fn addresses(&self) -> Vec<IpAddr> {
        self.proven.iter().flat_map(|attachment| attachment.addresses.iter().copied()).collect()
    }

    /// The network the files name for an interface of this pod; none where they differ. What multus
    /// delegated comes before what the runtime asked multus for.
    ///
    /// That a file of the same pod is unproven is no matter here: the namespace is proven to be the
    /// pod's, and an interface enslaved to a bond has lost the address its file knows.
    pub(in crate::owner) fn network(&self, pod: &Pod, interface: &IfName) -> Option<Arc<str>> {
        let all: Vec<_> = self.all().collect();
        let fits = |one: &&&Attachment| one.interface == *interface && same_pod(&one.pod, pod);
        let delegated = all.iter().filter(fits).any(|one| one.delegated && one.network.is_some());
        let best = all.iter().filter(fits).filter(|one| one.delegated == delegated);
        let mut networks = best.filter_map(|one| one.network.as_ref());
        let first = networks.next()?;
        networks.all(|other| other == first).then(|| first.clone())
    }

    fn all(&self) -> impl Iterator<Item = &'a Attachment> {
        self.proven.iter().chain(&self.unproven).copied()
    }
}
