//! Whether the API server's pods are the pods of this node.

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
