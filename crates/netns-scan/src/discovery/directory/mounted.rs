//! Directories that are followed because a namespace is mounted in them.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use iface_core::NetnsName;

use super::watch::identity;
use super::{Directories, Directory, Origin, SWEEP_SHARE, SWEEP_WITHIN, cpu_time};
use crate::discovery::mounts::namespaces;
use crate::discovery::names::{Change, Name};

/// Path of a directory that is followed no longer.
const NOWHERE: &str = "/proc/nowhere";

/// Pause between two looks at the table of mounts, if the looks are cheap.
const TABLE_AFTER: Duration = Duration::from_millis(20);

/// Times of the looks at the table of mounts. Pure.
///
/// The first namespace of a runtime brings a new directory, which only the table tells; inotify tells of the next
/// ones. The kernel writes the whole table for each look, so the pause grows with the cost.
#[derive(Debug)]
pub(super) struct Table {
    due: Option<Instant>,
    rests_until: Instant,
}

impl Table {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: None, rests_until: now }
    }

    /// Notes a change of mounts.
    pub(super) fn changed(&mut self) {
        self.due.get_or_insert(self.rests_until);
    }

    /// Time of the next look, if there was a change.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Notes a look and its processor time.
    fn seen(&mut self, now: Instant, spent: Duration) {
        self.due = None;
        self.rests_until = now + (spent * SWEEP_SHARE).clamp(TABLE_AFTER, SWEEP_WITHIN);
    }
}

impl Directory {
    pub(super) fn new(path: PathBuf, origin: Origin) -> Self {
        Self { path, origin, watch: None, identity: None, missing_reported: false }
    }
}

impl Directories {
    /// Looks at the table of mounts for other directories.
    pub(super) fn read_table(&mut self, now: Instant, changes: &mut Vec<Change>) {
        let start = cpu_time();
        self.follow_mounted(changes);
        self.table.seen(now, cpu_time().saturating_sub(start));
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// A change after a rest is looked at at once, others together after the pause, which grows with the cost.
    #[test]
    fn looks_at_table_are_paced() {
        let start = Instant::now();
        let mut table = Table::new(start);
        let changed = |table: &mut Table| {
            table.changed();
            table.due()
        };
        assert_eq!((table.due(), changed(&mut table)), (None, Some(start)));
        table.seen(start, Duration::ZERO);
        assert_eq!(table.due(), None);
        for _ in 0..2 {
            assert_eq!(changed(&mut table), Some(start + TABLE_AFTER));
        }
        let later = start + Duration::from_secs(1);
        table.seen(later, Duration::from_millis(10));
        assert_eq!(changed(&mut table), Some(later + Duration::from_millis(500)));
        table.seen(later, Duration::from_secs(9));
        assert_eq!(changed(&mut table), Some(later + SWEEP_WITHIN));
    }
}
