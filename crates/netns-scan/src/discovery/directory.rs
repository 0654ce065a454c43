//! Directories of names, followed by inotify and by the mount table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use iface_core::{Netns, NetnsId, NetnsName, Place};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use crate::discovery::faults::{Faults, Subject};
use crate::discovery::mounts::{Propagation, propagation};
use crate::discovery::names::{Change, Name, Names};
use crate::discovery::nsfs::{Found, Sight, look};
use crate::{Fault, FaultKind};

/// Time that a plain file may wait for its namespace before a fault is reported.
///
/// 17 s were seen while the kernel took another namespace down.
const PATIENCE: Duration = Duration::from_secs(30);

/// After a change of mounts every name is looked at again, but not more often than this: an
/// unmounted name whose file stays is the one change that nothing else tells of.
const SWEEP_AFTER: Duration = Duration::from_secs(1);

/// A symbolic link to `/proc/PID/ns/net` has no mount, and no notification tells that the process
/// terminated: such names are looked at this often, so that no engine keeps the namespace for long.
const LINKS_EVERY: Duration = Duration::from_millis(250);

/// The directories of names, followed by inotify and by the mount table.
#[derive(Debug)]
pub(crate) struct Directories {
    all: Vec<Directory>,
    inotify: Inotify,
    /// Readable with `POLLPRI` after each change of mounts (`proc_pid_mountinfo(5)`).
    mounts: File,
    names: Names,
    /// Plain files that may yet become namespaces, and since when; `None` once told about.
    waiting: BTreeMap<Name, Option<Instant>>,
    sweep: Option<Instant>,
    /// Names that are symbolic links to a namespace, and when they are looked at again.
    links: BTreeSet<Name>,
    links_due: Option<Instant>,
    faults: Faults,
    warnings: u64,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    watch: Option<WatchDescriptor>,
    /// Directory that the path led to when watched; `None` where an ancestor is watched instead.
    identity: Option<(u64, u64)>,
    missing_told: bool,
}

/// Names and directories that inotify reported.
#[derive(Default)]
struct Touched {
    names: BTreeSet<Name>,
    /// Names that were unlinked since the last read, whether they exist again or not.
    unlinked: BTreeSet<Name>,
    directories: BTreeSet<usize>,
}

impl Directories {
    /// Begins to follow these directories; none of them need exist.
    pub(crate) fn new(paths: &[PathBuf], names: Names) -> io::Result<Self> {
        let directory =
            |path: &PathBuf| Directory { path: path.clone(), watch: None, identity: None, missing_told: false };
        Ok(Self {
            all: paths.iter().map(directory).collect(),
            inotify: Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?,
            mounts: File::open("/proc/self/mountinfo")?,
            names,
            waiting: BTreeMap::new(),
            sweep: None,
            links: BTreeSet::new(),
            links_due: None,
            faults: Faults::default(),
            warnings: 0,
        })
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Count of refused files and missing directories since the start.
    pub(crate) fn warnings(&self) -> u64 {
        self.warnings
    }

    /// Readable when a directory has changed.
    pub(crate) fn inotify_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Has priority data when mounts have changed.
    pub(crate) fn mounts_fd(&self) -> BorrowedFd<'_> {
        self.mounts.as_fd()
    }

    /// The path of a name.
    pub(crate) fn path(&self, (directory, name): &Name) -> PathBuf {
        self.all[*directory].path.join(std::ffi::OsStr::from_bytes(name.as_bytes()))
    }

    /// A namespace as outputs name it: the path where the name alone could mean another namespace.
    pub(crate) fn netns(&self, id: NetnsId) -> Option<Netns> {
        let cookie = self.names.cookie(id);
        if id == self.names.host() {
            return Some(Netns { id, place: Place::Host, cookie });
        }
        let name = self.names.primary(id)?;
        let printed = match self.names.is_ambiguous(id) {
            true => NetnsName::new(self.path(name).as_os_str().as_bytes()),
            false => name.1.clone(),
        };
        Some(Netns { id, place: Place::Named(printed), cookie })
    }

    /// Time at which [`catch_up`](Self::catch_up) has work, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let told = self.waiting.values().filter_map(|since| since.map(|since| since + PATIENCE)).min();
        [self.sweep, told, self.links_due, self.faults.deadline()].into_iter().flatten().min()
    }

    /// Directories and names that cannot be read or followed.
    pub(crate) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.all()
    }

    /// Whether [`faults`](Self::faults) differs since the last call of this method.
    pub(crate) fn take_faults_changed(&mut self) -> bool {
        self.faults.take_changed()
    }

    /// Looks at everything.
    pub(crate) fn list(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for directory in 0..self.all.len() {
            self.watch(directory);
            self.list_directory(directory, &mut changes);
        }
        changes
    }

    /// Looks at what inotify names.
    pub(crate) fn read_inotify(&mut self) -> Vec<Change> {
        let mut touched = Touched::default();
        loop {
            match self.inotify.read_events() {
                Ok(events) => events.into_iter().for_each(|event| self.touch(event, &mut touched)),
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        let mut changes = Vec::new();
        // A namespace made again under a name often gets the same inode: only the unlink of the
        // name tells the two apart.
        for name in &touched.unlinked {
            self.names.forget(name, &mut changes);
        }
        for directory in touched.directories {
            self.watch(directory);
            self.list_directory(directory, &mut changes);
        }
        for name in touched.names {
            self.look_at(name, &mut changes);
        }
        changes
    }

    /// Looks at what a change of mounts can have changed: names that wait for theirs, and the
    /// directories themselves.
    pub(crate) fn mounts_changed(&mut self, now: Instant) -> Vec<Change> {
        self.sweep.get_or_insert(now + SWEEP_AFTER);
        let mut changes = Vec::new();
        for directory in 0..self.all.len() {
            let Directory { path, watch, identity: before, .. } = &self.all[directory];
            if watch.is_none() || *before != identity(path) {
                self.watch(directory);
                self.list_directory(directory, &mut changes);
            }
        }
        // A file that stayed plain for long is left to the sweep.
        let waiting = self.waiting.iter().filter(|(_, since)| since.is_some());
        let waiting: Vec<Name> = waiting.map(|(name, _)| name.clone()).collect();
        for name in waiting {
            self.look_at(name, &mut changes);
        }
        changes
    }

    /// Does what is due by now: see [`deadline`](Self::deadline).
    pub(crate) fn catch_up(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.sweep.is_some_and(|due| due <= now) {
            self.sweep = None;
            for directory in 0..self.all.len() {
                for name in self.names.of_directory(directory) {
                    self.look_at(name, &mut changes);
                }
            }
            let left: Vec<Name> =
                self.waiting.iter().filter(|(_, since)| since.is_none()).map(|(name, _)| name.clone()).collect();
            left.into_iter().for_each(|name| self.look_at(name, &mut changes));
        }
        if self.links_due.is_some_and(|due| due <= now) {
            self.links_due = Some(now + LINKS_EVERY);
            for name in self.links.clone() {
                self.look_at(name, &mut changes);
            }
        }
        for subject in self.faults.due(now) {
            match subject {
                Subject::Directory(directory) => {
                    self.watch(directory);
                    self.list_directory(directory, &mut changes);
                }
                Subject::Name(name) => self.look_at(name, &mut changes),
            }
        }
        let due = |since: &Option<Instant>| since.is_some_and(|since| since + PATIENCE <= now);
        let late: Vec<Name> =
            self.waiting.iter().filter(|(_, since)| due(since)).map(|(name, _)| name.clone()).collect();
        for name in late {
            self.warn_of_plain_file(name);
        }
        changes
    }

    /// Looks at a namespace's names as if for the first time: it died, so what they lead to now
    /// is another.
    pub(crate) fn reopen(&mut self, names: Vec<Name>) -> Vec<Change> {
        let mut changes = Vec::new();
        for name in &names {
            self.names.forget(name, &mut changes);
        }
        for name in names {
            self.look_at(name, &mut changes);
        }
        changes
    }

    fn touch(&self, event: InotifyEvent, touched: &mut Touched) {
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
    fn watch(&mut self, index: usize) {
        // One mask for all: adding a watch to a directory that has one replaces its mask.
        let mask = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let path = self.all[index].path.clone();
        // What appears between looking for an ancestor and watching it is seen by looking again.
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
            directory.missing_told = false;
        } else if !std::mem::replace(&mut directory.missing_told, true) {
            self.warnings += 1;
            tracing::warn!(
                event.name = "netns.directory_missing",
                path = %path.display(),
                "the directory of network namespaces does not exist; it is followed as soon as it does"
            );
        }
        if let Some(before) = before.filter(|before| !self.all.iter().any(|other| other.watch == Some(*before))) {
            // It may be gone already, and with it its watch.
            _ = self.inotify.rm_watch(before);
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

    fn list_directory(&mut self, index: usize, changes: &mut Vec<Change>) {
        let mut gone: BTreeSet<Name> = self.names.of_directory(index).into_iter().collect();
        gone.extend(self.waiting.keys().filter(|(directory, _)| *directory == index).cloned());
        gone.extend(self.faults.names_of(index));
        let mut there = Vec::new();
        let entries = fs::read_dir(&self.all[index].path).and_then(|entries| {
            for entry in entries {
                there.push((index, NetnsName::new(entry?.file_name().into_vec())));
            }
            Ok(())
        });
        match entries {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let error = format!(
                    "cannot list the directory of network namespaces: {error}; the user must be allowed to read the \
                     directory (under SELinux: seLinuxOptions.type spc_t), and the limit on open files leave room"
                );
                self.directory_failed(index, error);
            }
            _ if self.all[index].watch.is_some() || self.all[index].identity.is_none() => {
                self.faults.cleared(&Subject::Directory(index));
            }
            _ => {}
        }
        there.iter().for_each(|name| _ = gone.remove(name));
        // Deleted names come first: an inode may have moved on to a new name.
        for name in gone.into_iter().chain(there) {
            self.look_at(name, changes);
        }
    }

    fn directory_failed(&mut self, index: usize, error: String) {
        let path = self.all[index].path.clone();
        if self.faults.failed(
            Subject::Directory(index),
            Fault { kind: FaultKind::Directory, subject: path.clone(), error: error.clone() },
        ) {
            self.warnings += 1;
            tracing::warn!(event.name = "netns.directory_failed", path = %path.display(), "{error}");
        }
    }

    fn look_at(&mut self, name: Name, changes: &mut Vec<Change>) {
        let sight = self.observe(&name);
        // Without a cookie, an equal inode proves one namespace only while the other names last.
        let unproven = sight.map(|sight| self.names.unproven(&name, &sight)).unwrap_or_default();
        for other in unproven {
            let sight = self.observe(&other);
            self.names.see(other, sight, changes);
        }
        self.names.see(name, sight, changes);
    }

    /// Looks at a name, and notes what to do about the name later.
    fn observe(&mut self, name: &Name) -> Option<Sight> {
        // The namespaces of all processes are behind one mount, so a symbolic link proves nothing.
        let known = self.names.seen(name).filter(|_| !self.links.contains(name));
        let found = look(&self.path(name), known);
        match &found {
            Ok(Found::PlainFile) => _ = self.waiting.entry(name.clone()).or_insert_with(|| Some(Instant::now())),
            _ => _ = self.waiting.remove(name),
        }
        let mut sight = None;
        match found {
            // The fault of a file that stayed plain remains as long as the file does.
            Ok(Found::PlainFile) if self.waiting.get(name) == Some(&None) => {}
            Ok(Found::PlainFile) => self.faults.cleared(&Subject::Name(name.clone())),
            Ok(Found::Namespace(found)) => {
                sight = Some(found);
                self.faults.cleared(&Subject::Name(name.clone()));
            }
            Ok(Found::OtherNamespace(kind)) => {
                self.refuse(name, FaultKind::Name, format!("a namespace of type {kind}, not a network namespace"));
            }
            Ok(Found::SomethingElse) => {
                let why = "neither a network namespace nor a file that a namespace could be mounted over";
                self.refuse(name, FaultKind::Name, why.to_owned());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.faults.cleared(&Subject::Name(name.clone()));
            }
            Err(error) => {
                let (kind, cure) = unreadable(&error);
                // A lack of descriptors proves nothing about a namespace that is followed already.
                sight = self.names.seen(name).filter(|_| kind == FaultKind::Namespace);
                self.refuse(name, kind, format!("{error}{cure}"));
            }
        }
        self.note_link(name, sight.is_some());
        sight
    }

    /// Remembers whether a name is a symbolic link to a namespace.
    fn note_link(&mut self, name: &Name, is_namespace: bool) {
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

    fn warn_of_plain_file(&mut self, name: Name) {
        let why = match propagation(&self.all[name.0].path) {
            Ok(Propagation::Volume | Propagation::Private) => {
                "a plain file here, and mounts made outside this container never arrive in the directory: \
                 mount it with mountPropagation: HostToContainer"
            }
            _ => "a plain file, no namespace was mounted over it",
        };
        self.refuse(&name, FaultKind::Name, why.to_owned());
        self.waiting.insert(name, None);
    }

    fn refuse(&mut self, name: &Name, kind: FaultKind, why: String) {
        let path = self.path(name);
        let error = format!("not followed: {why}");
        if self.faults.failed(Subject::Name(name.clone()), Fault { kind, subject: path.clone(), error: error.clone() })
        {
            self.warnings += 1;
            tracing::warn!(event.name = "netns.file_refused", path = %path.display(), "{error}");
        }
    }
}

/// The kind of the fault of a name that cannot be looked at, and the remedy.
fn unreadable(error: &io::Error) -> (FaultKind, &'static str) {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => (FaultKind::Namespace, "; raise the limit on open files (ulimit -n)"),
        Some(libc::EACCES | libc::EPERM) => (
            FaultKind::Namespace,
            "; the user must be allowed to read the file (under SELinux: seLinuxOptions.type spc_t)",
        ),
        Some(libc::ENOMEM) => (FaultKind::Namespace, ""),
        _ => (FaultKind::Name, ""),
    }
}

/// Device and inode of the directory that a path leads to.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = path.metadata().ok()?;
    metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests;
