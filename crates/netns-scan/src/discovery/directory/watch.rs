//! Watches of the directories, or of the nearest ancestor of a missing one.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use iface_core::NetnsName;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InotifyEvent, WatchDescriptor};

use super::{Directories, Name, Origin};

/// Names and directories that inotify reported.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) names: BTreeSet<Name>,
    /// Names that were unlinked since the last read, whether they exist again or not.
    pub(super) unlinked: BTreeSet<Name>,
    pub(super) directories: BTreeSet<usize>,
}

impl Directories {
    pub(super) fn touch(&self, event: InotifyEvent, touched: &mut Touched) {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            touched.directories.extend(0..self.all.len());
            return;
        }
        let watched = self.all.iter().enumerate().filter(|(_, directory)| directory.watch == Some(event.wd));
        for (index, directory) in watched {
            match &event.name {
                Some(name) if directory.identity.is_some() => {
                    let name = (index, NetnsName::new(name.as_bytes()));
                    if event.mask.intersects(AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM) {
                        touched.unlinked.insert(name.clone());
                    }
                    touched.names.insert(name);
                }
                // The directory itself, or something in the ancestor that is watched for it.
                _ => _ = touched.directories.insert(index),
            }
        }
    }

    /// Watches a directory or, where there is none, the nearest ancestor there is.
    pub(super) fn watch(&mut self, index: usize) {
        // One mask for all: adding a watch to a directory that has one replaces its mask.
        let mask = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let path = self.all[index].path.clone();
        match self.all[index].origin {
            Origin::Mounted if !path.is_dir() => return self.retire(index),
            Origin::Unused => return,
            Origin::Configured | Origin::Mounted => {}
        }
        // A second look finds a directory made between the first look and the watch.
        let (mut watch, mut found) = (None, None);
        while found.is_none() {
            found = path.ancestors().find(|path| path.is_dir()).map(Path::to_owned);
            let Some(there) = &found else { break };
            watch = self.add_watch(index, there, mask);
            if *there != path && path.ancestors().find(|path| path.is_dir()) != Some(there) {
                found = None;
            }
        }
        let is_there = found.as_deref() == Some(&*path);
        let directory = &mut self.all[index];
        let before = std::mem::replace(&mut directory.watch, watch).filter(|before| Some(*before) != watch);
        directory.identity = if is_there { identity(&path) } else { None };
        if is_there {
            directory.missing_reported = false;
        } else if !std::mem::replace(&mut directory.missing_reported, true) {
            self.warnings += 1;
            tracing::warn!(
                event.name = "netns.directory_missing",
                path = %path.display(),
                "the directory of network namespaces does not exist; it is followed as soon as it does"
            );
        }
        self.remove_watch(before);
    }

    /// Removes a watch that no directory uses any more.
    pub(super) fn remove_watch(&mut self, watch: Option<WatchDescriptor>) {
        if let Some(watch) = watch.filter(|watch| !self.all.iter().any(|other| other.watch == Some(*watch))) {
            // Fails where the directory was deleted, and the watch with the directory.
            _ = self.inotify.rm_watch(watch);
        }
    }

    fn add_watch(&mut self, index: usize, path: &Path, mask: AddWatchFlags) -> Option<WatchDescriptor> {
        match self.inotify.add_watch(path, mask) {
            Ok(watch) => Some(watch),
            // Deleted after the lookup.
            Err(Errno::ENOENT | Errno::ENOTDIR) => None,
            Err(errno) => {
                let error = format!(
                    "cannot watch {} with inotify: {errno}; new names are found at the next change of mounts; \
                     the directory must be readable, and fs.inotify.max_user_watches leave room",
                    path.display()
                );
                self.directory_failed(index, error);
                None
            }
        }
    }
}

/// Device and inode of the directory that a path leads to.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = path.metadata().ok()?;
    metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
}
