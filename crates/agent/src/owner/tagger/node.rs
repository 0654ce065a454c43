//! Comparison of the API server's pods with the pods of this node's namespaces.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::interface::Pod;
use iface_core::{Netns, NetnsId};

use super::Tagger;

/// A comparison of the API server's pods with the pods of this node's namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::owner) enum SameNode {
    /// There is nothing to compare.
    Unknown,
    /// A pod of a namespace here is known to the API server.
    Yes,
    /// All pods of the namespaces here are unknown to the API server.
    No,
}

impl Tagger {
    /// Namespaces of pods that the API server does not know; none if the API server's pods are another node's.
    pub(in crate::owner) fn orphans(&self) -> BTreeSet<NetnsId> {
        if self.same_node() == SameNode::No {
            return BTreeSet::new();
        }
        let is_orphan = |pod: &Pod| match pod.uid.as_deref() {
            Some(uid) => self.pods.get(uid).is_none() && self.pods.same(pod).next().is_none(),
            None => self.pods.same(pod).next().is_none(),
        };
        let spaces = self.spaces.iter();
        spaces
            .filter(|(_, space)| space.decision.as_ref().is_some_and(|one| is_orphan(&one.pod)))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Marks the namespaces that have outlived their pods, and no others.
    pub(in crate::owner) fn mark_leaked(&mut self, leaked: BTreeSet<NetnsId>) {
        let changed: Vec<_> = self.leaked.symmetric_difference(&leaked).copied().collect();
        self.leaked = leaked;
        changed.into_iter().for_each(|id| self.refresh(id));
    }

    /// The pod of a namespace, and the namespace.
    pub(in crate::owner) fn named_pod(&self, id: NetnsId) -> Option<(Arc<Netns>, Arc<Pod>)> {
        let space = self.spaces.get(&id)?;
        let inside = space.interfaces.first().and_then(|inside| self.interfaces.get(inside))?;
        Some((inside.netns.clone(), space.decision.as_ref()?.pod.clone()))
    }

    /// Compares the pods of a complete list.
    pub(in crate::owner) fn same_node(&self) -> SameNode {
        if self.tagged.keys().any(|name| self.pods.uids_named(name).next().is_some()) {
            return SameNode::Yes;
        }
        // A namespace without an owner need not be a pod's, but each node has some pods at the API server.
        let is_empty = self.pods() == 0 && self.untagged() > 0;
        if is_empty || !self.tagged.is_empty() { SameNode::No } else { SameNode::Unknown }
    }
}
