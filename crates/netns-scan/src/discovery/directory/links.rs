//! Names that are symbolic links to the namespace of a process.

use std::time::Instant;

use super::{Directories, LINKS_EVERY, Name};
use crate::discovery::names::PROCESSES;

impl Directories {
    /// Whether a name is a symbolic link to a namespace.
    pub(crate) fn is_link(&self, name: &Name) -> bool {
        name.0 == PROCESSES || self.links.contains(name)
    }

    /// Whether all symbolic links were looked at since the last call of this method.
    pub(crate) fn take_links_seen(&mut self) -> bool {
        std::mem::take(&mut self.links_seen)
    }

    /// Remembers whether a name is a symbolic link to a namespace.
    pub(super) fn note_link(&mut self, name: &Name, is_namespace: bool) {
        if !is_namespace {
            self.links.remove(name);
        } else if self.path(name).is_symlink() {
            self.links.insert(name.clone());
            self.links_due.get_or_insert_with(|| Instant::now() + LINKS_EVERY);
        }
        if self.links.is_empty() {
            self.links_due = None;
        }
    }
}
