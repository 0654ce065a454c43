//! Directories of names, followed by inotify and by the mount table.

mod links;
mod members;
mod mounted;
mod report;
mod watch;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use iface_core::{Netns, NetnsId, NetnsName, Place};
use nix::errno::Errno;
use nix::sys::inotify::{InitFlags, Inotify, WatchDescriptor};
use nix::time::{ClockId, clock_gettime};

use self::mounted::Table;
use self::report::unreadable;
use self::watch::{Touched, identity};
use crate::discovery::faults::{Faults, Subject};
use crate::discovery::names::{Change, Name, Names, PROCESSES};
use crate::discovery::nsfs::{Found, Sight, look};
use crate::discovery::plain_files::PlainFiles;
use crate::discovery::processes::Processes;
use crate::{Fault, FaultKind};

/// Pause between a change of mounts and a look at every name: no notification tells of an unmounted
/// name whose file stays.
const SWEEP_AFTER: Duration = Duration::from_secs(1);

/// Sweeps may take this part of a processor: the pause is so many times the processor time of the
/// last sweep, but not longer than [`SWEEP_WITHIN`].
const SWEEP_SHARE: u32 = 50;
const SWEEP_WITHIN: Duration = Duration::from_secs(10);

/// A symbolic link to `/proc/PID/ns/net` has no mount, and no notification tells that the process
/// terminated: such names are looked at this often, so that no engine keeps the namespace for long.
const LINKS_EVERY: Duration = Duration::from_millis(250);

/// The directories of names, followed by inotify and by the mount table.
#[derive(Debug)]
pub(crate) struct Directories {
    all: Vec<Directory>,
    find_mounted: bool,
    inotify: Inotify,
    /// Readable with `POLLPRI` after each change of mounts (`proc_pid_mountinfo(5)`).
    mounts: File,
    names: Names,
    plain: PlainFiles,
    processes: Option<Processes>,
    sweep: Option<Instant>,
    /// Pause before the next sweep.
    pause: Duration,
    table: Table,
    /// Names that are symbolic links to a namespace, and when they are looked at again.
    links: BTreeSet<Name>,
    links_due: Option<Instant>,
    links_seen: bool,
    faults: Faults,
    warnings: u64,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    origin: Origin,
    watch: Option<WatchDescriptor>,
    /// Directory that the path led to when watched; `None` where an ancestor is watched instead.
    identity: Option<(u64, u64)>,
    missing_reported: bool,
}

/// The reason to follow a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Named in the settings.
    Configured,
    /// A namespace is mounted in the directory. Other files there are nobody's fault.
    Mounted,
    /// No reason any more: the place is free for another directory.
    Unused,
}

impl Directories {
    /// Begins to follow these directories; no path need exist. With `find_mounted`, directories in
    /// which a namespace is mounted are followed, too.
    pub(crate) fn new(paths: &[PathBuf], find_mounted: bool, names: Names) -> io::Result<Self> {
        Ok(Self {
            all: paths.iter().map(|path| Directory::new(path.clone(), Origin::Configured)).collect(),
            find_mounted,
            inotify: Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?,
            mounts: File::open("/proc/self/mountinfo")?,
            names,
            plain: PlainFiles::default(),
            processes: None,
            sweep: None,
            pause: SWEEP_AFTER,
            table: Table::new(Instant::now()),
            links: BTreeSet::new(),
            links_due: None,
            links_seen: false,
            faults: Faults::default(),
            warnings: 0,
        })
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn names_mut(&mut self) -> &mut Names {
        &mut self.names
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
        if *directory == PROCESSES {
            return self.member_path(name);
        }
        self.all[*directory].path.join(OsStr::from_bytes(name.as_bytes()))
    }

    /// A namespace as outputs name it: the path where the name alone could mean another namespace.
    pub(crate) fn netns(&self, id: NetnsId) -> Option<Netns> {
        let (file, cookie) = (self.names.file(id)?, self.names.cookie(id));
        if id == NetnsId::HOST {
            return Some(Netns::new(id, Place::Host).with_file(file).with_cookie(cookie));
        }
        let name = self.names.primary(id)?;
        if name.0 == PROCESSES {
            return Some(Netns::new(id, Place::Inode(file.inode)).with_file(file).with_cookie(cookie));
        }
        let printed = match self.names.is_ambiguous(id) {
            true => NetnsName::new(self.path(name).as_os_str().as_bytes()),
            false => name.1.clone(),
        };
        Some(Netns::new(id, Place::Named(printed)).with_file(file).with_cookie(cookie))
    }

    /// Time at which [`catch_up`](Self::catch_up) has work, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let processes = self.processes.as_ref().map(Processes::due);
        let due =
            [self.sweep, self.table.due(), self.plain.deadline(), self.links_due, self.faults.deadline(), processes];
        due.into_iter().flatten().min()
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
        self.follow_mounted(&mut changes);
        self.list_processes(&mut changes);
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
        self.sweep.get_or_insert(now + self.pause);
        let mut changes = Vec::new();
        for directory in 0..self.all.len() {
            let Directory { path, identity: before, origin, .. } = &self.all[directory];
            if *origin != Origin::Unused && *before != identity(path) {
                self.watch(directory);
                self.list_directory(directory, &mut changes);
            }
        }
        for name in self.plain.youngest() {
            self.look_at(name, &mut changes);
        }
        // Other directories wait until the names that are found by now are opened.
        if self.find_mounted {
            self.table.changed();
        }
        changes
    }

    /// Does what is due by now: see [`deadline`](Self::deadline).
    pub(crate) fn catch_up(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.sweep.is_some_and(|due| due <= now) {
            self.sweep(now, &mut changes);
        }
        if self.table.due().is_some_and(|due| due <= now) {
            self.read_table(now, &mut changes);
        }
        if self.links_due.is_some_and(|due| due <= now) {
            self.links_due = Some(now + LINKS_EVERY);
            self.links_seen = true;
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
        self.read_processes(now, &mut changes);
        self.report_left_over(now);
        changes
    }

    /// Looks at every name again.
    fn sweep(&mut self, now: Instant, changes: &mut Vec<Change>) {
        let start = cpu_time();
        self.sweep = None;
        for index in 0..self.all.len() {
            // Without a watch, nothing tells of new names.
            if self.all[index].watch.is_none() {
                self.watch(index);
                self.list_directory(index, changes);
            }
        }
        let mut names: Vec<Name> = (0..self.all.len()).flat_map(|index| self.names.of_directory(index)).collect();
        names.extend(self.plain.all());
        for name in names {
            self.look_at(name, changes);
        }
        self.read_table(now, changes);
        self.pause = (cpu_time().saturating_sub(start) * SWEEP_SHARE).clamp(SWEEP_AFTER, SWEEP_WITHIN);
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

    fn list_directory(&mut self, index: usize, changes: &mut Vec<Change>) {
        let mut gone: BTreeSet<Name> = self.names.of_directory(index).into_iter().collect();
        gone.extend(self.plain.of_directory(index));
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
                there = self.mounted_in(index);
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
        if name.0 == PROCESSES {
            return self.observe_member(name);
        }
        // The namespaces of all processes are behind one mount, so a symbolic link proves nothing.
        let known = self.names.seen(name).filter(|_| !self.links.contains(name));
        let found = look(&self.path(name), known);
        if !matches!(found, Ok(Found::PlainFile)) {
            self.plain.remove(name);
        }
        let mut sight = None;
        match found {
            // The fault of a left-over file remains as long as the file does.
            Ok(Found::PlainFile) if self.plain.add(name, Instant::now()) => {}
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
}

/// Processor time of this thread.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Into::into)
}

#[cfg(test)]
mod tests;
