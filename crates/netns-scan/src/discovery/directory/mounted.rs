//! Directories that are followed because a namespace is mounted in them.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use iface_core::NetnsName;

use super::watch::identity;
use super::{Directories, Directory, Origin};
use crate::discovery::mounts::namespaces;
use crate::discovery::names::{Change, Name};

/// Path of a directory that is followed no longer.
const NOWHERE: &str = "/proc/nowhere";

impl Directory {
    pub(super) fn new(path: PathBuf, origin: Origin) -> Self {
        Self { path, origin, watch: None, identity: None, missing_told: false }
    }
}

impl Directories {
    /// Follows every directory in which a namespace is mounted, and no longer the directories in which
    /// none is.
    pub(super) fn follow_mounted(&mut self, changes: &mut Vec<Change>) {
        if !self.find_mounted {
            return;
        }
        // Without the table, all directories stay as they are.
        let Ok(table) = self.mount_table() else { return };
        let mounted = by_directory(&table);
        for index in 0..self.all.len() {
            let Directory { path, origin, .. } = &self.all[index];
            if *origin == Origin::Mounted && !mounted.contains_key(path) && !is_dedicated(path) {
                self.retire(index);
                self.list_directory(index, changes);
            }
        }
        for (path, names) in mounted {
            let found = identity(&path);
            // One directory can have several paths, as /var/run and /run are one.
            match self.all.iter().position(|known| known.identity == found) {
                Some(index) if self.all[index].origin == Origin::Mounted => {
                    let names = names.into_iter().map(|name| (index, name));
                    let unseen: Vec<Name> = names.filter(|name| self.names.seen(name).is_none()).collect();
                    unseen.into_iter().for_each(|name| self.look_at(name, changes));
                }
                Some(_) => {}
                None if found.is_some() => self.follow(path, changes),
                None => {}
            }
        }
    }

    /// The names of the namespaces that are mounted in a directory, for a directory that cannot be listed.
    pub(super) fn mounted_in(&self, index: usize) -> Vec<Name> {
        let Some(directory) = identity(&self.all[index].path) else { return Vec::new() };
        let mounted = self.mount_table().map(|table| by_directory(&table)).unwrap_or_default();
        let here = mounted.into_iter().filter(|(path, _)| identity(path) == Some(directory));
        here.flat_map(|(_, names)| names).map(|name| (index, name)).collect()
    }

    /// The text of mountinfo, read through the open file: a directory may be unlistable for want of descriptors.
    fn mount_table(&self) -> io::Result<Vec<u8>> {
        let mut table = Vec::new();
        let mut part = [0; 4_096];
        loop {
            match self.mounts.read_at(&mut part, table.len() as u64)? {
                0 => return Ok(table),
                length => table.extend_from_slice(&part[..length]),
            }
        }
    }

    fn follow(&mut self, path: PathBuf, changes: &mut Vec<Change>) {
        tracing::info!(event.name = "netns.directory_found", path = %path.display(), "a namespace is mounted here");
        let directory = Directory::new(path, Origin::Mounted);
        let index = match self.all.iter().position(|known| known.origin == Origin::Unused) {
            Some(index) => {
                self.all[index] = directory;
                index
            }
            None => {
                self.all.push(directory);
                self.all.len() - 1
            }
        };
        self.watch(index);
        self.list_directory(index, changes);
    }

    /// Forgets a directory that was found; its names are gone, or looked at once more.
    pub(super) fn retire(&mut self, index: usize) {
        self.all[index].origin = Origin::Unused;
        self.all[index].identity = None;
        // Nothing exists below this path.
        self.all[index].path = PathBuf::from(NOWHERE);
        let watch = self.all[index].watch.take();
        self.remove_watch(watch);
    }
}

/// The names of all mounted namespaces by directory.
fn by_directory(mountinfo: &[u8]) -> BTreeMap<PathBuf, Vec<NetnsName>> {
    let mut directories: BTreeMap<PathBuf, Vec<NetnsName>> = BTreeMap::new();
    for path in namespaces(mountinfo) {
        if let (Some(directory), Some(name)) = (path.parent(), path.file_name()) {
            directories.entry(directory.to_owned()).or_default().push(NetnsName::new(name.as_bytes()));
        }
    }
    directories
}

/// Whether a directory is one of a runtime's: the next namespace follows, so the directory stays
/// followed without a namespace.
fn is_dedicated(path: &Path) -> bool {
    path.ends_with("netns")
}
