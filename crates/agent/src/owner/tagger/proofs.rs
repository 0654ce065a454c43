//! Comparison of namespaces with CNI files.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::interface::{Interface, Pod};
use iface_core::{NetnsId, NetnsName, NsFile};

use super::{Space, Tagger};
use crate::owner::pod::PodName;
use crate::owner::tagger::conflict::Conflict;

impl Tagger {
    /// Compares all namespaces with these names with the CNI files; returns the namespaces to decide again.
    pub(super) fn compare_named(&mut self, names: &[NetnsName]) -> BTreeSet<NetnsId> {
        let mut concerned = self.named(names);
        for id in concerned.clone() {
            for interface in self.interfaces_of(id) {
                concerned.extend(self.hold_against_files(&interface));
            }
        }
        concerned
    }

    /// Compares all namespaces with these files with the CNI files; returns the namespaces to decide again.
    pub(super) fn compare_at(&mut self, files: &[NsFile]) -> BTreeSet<NetnsId> {
        let is_there = |space: &Space| space.file.is_some_and(|file| files.contains(&file));
        let at: Vec<_> = self.spaces.iter().filter(|(_, space)| is_there(space)).map(|(id, _)| *id).collect();
        let interfaces: Vec<_> = at.into_iter().flat_map(|id| self.interfaces_of(id)).collect();
        interfaces.iter().flat_map(|interface| self.hold_against_files(interface)).collect()
    }

    /// CNI files whose path leads to a namespace that comes now, and the path: a path may have ended since.
    pub(in crate::owner) fn files_at(&self, interface: &Interface) -> Vec<(Arc<Path>, Box<Path>)> {
        if self.spaces.contains_key(&interface.netns.id) {
            return Vec::new();
        }
        interface.netns.file.map(|file| self.files.at(file)).unwrap_or_default()
    }

    /// Compares an interface with the CNI files; returns the namespaces to decide again.
    pub(super) fn hold_against_files(&mut self, interface: &Interface) -> BTreeSet<NetnsId> {
        let seen = self.files.see(interface);
        if !self.is_bonded(interface) {
            for path in seen.refuted {
                self.note(interface.netns.id, Conflict::OtherAddress { file: path, interface: interface.name });
            }
        }
        let mut concerned = BTreeSet::new();
        for pod in seen.proven {
            concerned.insert(interface.netns.id);
            concerned.extend(self.place(&pod, interface.netns.id));
        }
        concerned
    }

    /// Interfaces that existed at the start came in any order: before, a bond of an interface may be unknown.
    pub(super) fn note_other_addresses(&mut self) {
        let interfaces: Vec<_> = self.interfaces.values().filter(|one| !one.netns.is_host()).cloned().collect();
        interfaces.iter().for_each(|interface| drop(self.hold_against_files(interface)));
    }

    /// Whether the interface can have the link-layer address of a bond.
    fn is_bonded(&self, interface: &Interface) -> bool {
        let is_bond = |one: &Interface| {
            one.mac == interface.mac && one.kind.as_ref().is_some_and(|kind| matches!(kind.as_str(), "bond" | "team"))
        };
        !self.complete || self.interfaces_of(interface.netns.id).iter().any(|one| is_bond(one))
    }

    /// The pod's namespace is proven by a CNI file: addresses of the pod decide nothing while the namespace
    /// exists. Returns the namespaces to decide again.
    pub(super) fn place(&mut self, pod: &Arc<Pod>, id: NetnsId) -> BTreeSet<NetnsId> {
        let mut concerned = BTreeSet::new();
        if !self.addresses.place(pod, id) {
            return concerned;
        }
        concerned.extend(self.tagged.get(&PodName::from(pod.as_ref())).into_iter().flatten());
        for record in self.pods.same(pod) {
            self.addresses.bind_placed(&record.uid);
            concerned.extend(self.addresses.holders_for(&record.uid));
        }
        concerned
    }
}
