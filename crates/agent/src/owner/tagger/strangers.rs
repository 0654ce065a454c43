//! CNI results that are no pods', as the API server does not know their pods.
//!
//! Every pod but a static one is known to the API server before its sandbox is made, and the kubelet registers static
//! pods. Containers of other programs can have results that look like a pod's. A result with a uid is a pod's: the pod
//! is gone, and has left its namespace over. Without a uid, neither is certain, and a wrong pod is worse than none.

use std::collections::{BTreeSet, VecDeque};

use crate::interface::Pod;
use iface_core::NetnsId;

use super::Tagger;
use crate::owner::pod::PodName;

/// Number of remembered names.
const MOST: usize = 512;

/// Names in results without a uid that the API server has not known for longer than a grace.
#[derive(Debug, Default)]
pub(super) struct Strangers(VecDeque<PodName>);

impl Strangers {
    pub(super) fn contains(&self, pod: &Pod) -> bool {
        pod.uid.is_none() && !self.0.is_empty() && self.0.contains(&pod.into())
    }

    /// The API server knows the pod now; returns whether the name was a stranger's.
    pub(super) fn remove(&mut self, pod: &Pod) -> bool {
        let before = self.0.len();
        if before > 0 {
            let name = PodName::from(pod);
            self.0.retain(|stranger| *stranger != name);
        }
        self.0.len() < before
    }

    fn insert(&mut self, pod: &Pod) {
        if self.contains(pod) {
            return;
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(pod.into());
    }
}

impl Tagger {
    /// Whether nothing but a CNI result without a uid speaks for the pod of a namespace.
    pub(in crate::owner) fn is_strange(&self, id: NetnsId) -> bool {
        let decision = self.spaces.get(&id).and_then(|space| space.decision.as_ref());
        decision.is_some_and(|one| one.pod.uid.is_none() && !one.registered)
    }

    /// Takes the pods of namespaces back until the API server knows the pods.
    pub(in crate::owner) fn disown(&mut self, strange: BTreeSet<NetnsId>) {
        for id in &strange {
            let decision = self.spaces.get(id).and_then(|space| space.decision.as_ref());
            decision.into_iter().for_each(|decision| self.strangers.insert(&decision.pod));
        }
        self.settle(strange);
    }
}
