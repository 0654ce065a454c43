//! Index of files that their namespace's name does not prove, by what can prove them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use iface_core::{IfName, MacAddr};

use crate::owner::cni::result::Attachment;
use crate::owner::index::remove_value;

/// A property of an interface that a file may mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::owner) enum Clue {
    /// The name of a host end.
    End(IfName),
    /// A link-layer address inside.
    Mac(MacAddr),
    /// An address inside.
    Address(IpAddr),
}

/// Files by their clues.
#[derive(Debug, Default)]
pub(in crate::owner) struct Clues(BTreeMap<Clue, BTreeSet<Arc<Path>>>);

impl Clues {
    pub(in crate::owner) fn insert(&mut self, path: &Arc<Path>, attachment: &Attachment) {
        for clue in attachment.clues() {
            self.0.entry(clue).or_default().insert(path.clone());
        }
    }

    pub(in crate::owner) fn remove(&mut self, path: &Path, attachment: &Attachment) {
        for clue in attachment.clues() {
            remove_value(&mut self.0, &clue, path);
        }
    }

    /// Files that mention one of the clues.
    pub(in crate::owner) fn about(&self, clues: impl IntoIterator<Item = Clue>) -> BTreeSet<Arc<Path>> {
        clues.into_iter().filter_map(|clue| self.0.get(&clue)).flatten().cloned().collect()
    }

    pub(in crate::owner) fn all(&self) -> BTreeSet<Arc<Path>> {
        self.0.values().flatten().cloned().collect()
    }
}
