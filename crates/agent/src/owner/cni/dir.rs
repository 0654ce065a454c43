//! Follows a directory of CNI cache files by inotify(7).
//!
//! The directory may be missing or unreadable, and may be removed or replaced later: then the
//! nearest existing parent is watched until the path changes. A timer is used only without file descriptors
//! or memory: no notification announces their return.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{File, ReadDir};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::inotify::{AddWatchFlags, InotifyEvent, WatchDescriptor};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::debug;

use crate::inotify::Watches;
use crate::owner::cni::file::{FileReader, Target};
use crate::owner::cni::left_over::Spaces;
use crate::owner::cni::result::{Attachment, Refusal};
use crate::owner::kube::Selection;

/// A change in the directory.
#[derive(Debug)]
pub enum CniChange {
    /// A file is new or has new content.
    Read(Arc<Path>, Box<Attachment>),
    /// A file has no usable content; its earlier content is void.
    Refused(Arc<Path>, Refusal),
    /// A file is deleted.
    Gone(Arc<Path>),
    /// Number of further files about namespaces that do not exist; they had no effect before either.
    LeftOver(u64),
    /// All existing files have been reported. Comes again after lost events.
    Listed,
    /// The directory and its files can be read again.
    Available,
    /// The directory cannot be read now, with the reason; repeated when the reason changes.
    Unavailable(Unavailable),
}

/// Error of reading a CNI cache.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the CNI cache {} {}", .dir.display(), hint(*.errno))]
pub struct Unavailable {
    /// The directory.
    pub dir: PathBuf,
    /// Error of the kernel.
    pub errno: Errno,
}

fn hint(errno: Errno) -> String {
    match errno {
        Errno::ENOENT => {
            "does not exist (yet): no runtime has run a CNI plugin here, or the directory above it is not \
                          mounted from the host"
                .to_owned()
        }
        Errno::EACCES | Errno::EPERM => {
            "may not be read: its files are root's; run as uid 0 or with CAP_DAC_READ_SEARCH".to_owned()
        }
        Errno::ENOSPC => "cannot be watched: raise fs.inotify.max_user_watches".to_owned(),
        Errno::EMFILE => "cannot be read for now: too many open files; raise RLIMIT_NOFILE".to_owned(),
        Errno::ENOTDIR => "is no directory; set --cni-cache-dir".to_owned(),
        other => format!("cannot be read: {}", other.desc()),
    }
}

const FILES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE);
const SELF: AddWatchFlags = AddWatchFlags::IN_MOVE_SELF.union(AddWatchFlags::IN_DELETE_SELF);
/// An event that may make an unreachable directory reachable.
const WAY: AddWatchFlags = AddWatchFlags::IN_CREATE.union(AddWatchFlags::IN_MOVED_TO).union(AddWatchFlags::IN_ATTRIB);

/// Time of the next listing after a lack of file descriptors or memory.
const RETRY: Duration = Duration::from_secs(1);
/// Most files of a list to read at once: other inputs must not wait for hundreds of thousands of files.
const BATCH: u64 = 256;

/// An endless stream of changes in one directory of the CNI cache.
#[derive(Debug)]
pub struct CniDir {
    dir: PathBuf,
    inotify: Watches,
    /// The directory itself, while existing.
    watched: Option<WatchDescriptor>,
    above: Vec<WatchDescriptor>,
    /// Files with an effect; other files need no memory.
    known: BTreeSet<Arc<Path>>,
    /// The rest of a list of all files, and the known files that the list has not named yet.
    listing: Option<Listing>,
    to_read: VecDeque<Arc<Path>>,
    to_say: VecDeque<CniChange>,
    reader: FileReader,
    /// Whether files about namespaces that do not exist are left over.
    skip_left_over: bool,
    selection: Selection,
    unavailable: Option<Errno>,
    retry: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Listing {
    entries: Option<ReadDir>,
    /// The directory. A directory that takes its place in between is listed again.
    dir: Option<File>,
    unnamed: BTreeSet<Arc<Path>>,
    /// The namespaces at the begin of the list; a file about a later namespace is announced by inotify.
    spaces: Spaces,
}

impl Listing {
    fn new(entries: Option<ReadDir>, unnamed: BTreeSet<Arc<Path>>) -> Self {
        Self { entries, dir: None, unnamed, spaces: Spaces::default() }
    }
}

impl CniDir {
    /// Starts to follow `dir`; needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When the kernel refuses an inotify instance (`fs.inotify.max_user_instances`, open files). An
    /// unreadable directory is not an error, but [`CniChange::Unavailable`].
    pub fn new(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let mut this = Self {
            dir: dir.into(),
            inotify: Watches::new()?,
            watched: None,
            above: Vec::new(),
            known: BTreeSet::new(),
            listing: None,
            to_read: VecDeque::new(),
            to_say: VecDeque::new(),
            reader: FileReader::default(),
            skip_left_over: false,
            selection: Selection::default(),
            unavailable: None,
            retry: None,
        };
        this.arm();
        Ok(this)
    }

    /// Refuses files about namespaces that do not exist where their directory does: libcni writes a file after its
    /// namespace is made, and a runtime that crashes leaves hundreds of thousands of files over.
    #[must_use]
    pub fn skip_left_over(mut self) -> Self {
        self.skip_left_over = true;
        self
    }

    /// Makes attributes of pods from annotations that containerd writes into files.
    #[must_use]
    pub fn select(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    /// Watches the directory, or its nearest existing parent.
    fn arm(&mut self) {
        for old in self.watched.take().into_iter().chain(self.above.drain(..)) {
            self.inotify.remove(old);
        }
        let mut nearest = None;
        loop {
            match self.watch(&self.dir, FILES | SELF) {
                Ok(watched) => {
                    self.watched = Some(watched);
                    self.above = self.ancestors().filter_map(|(_, dir)| self.watch(dir, SELF).ok()).collect();
                    return self.list();
                }
                Err(errno) => self.unavailable(errno),
            }
            let found = self.ancestors().find_map(|(depth, dir)| Some((depth, self.watch(dir, WAY | SELF).ok()?)));
            self.above.extend(found.map(|(_, watch)| watch));
            // Unchanged: no race between lookup and watch.
            let depth = found.map(|(depth, _)| depth);
            if depth == nearest {
                return self.list();
            }
            nearest = depth;
        }
    }

    fn ancestors(&self) -> impl Iterator<Item = (usize, &Path)> {
        self.dir.ancestors().enumerate().skip(1)
    }

    fn watch(&self, dir: &Path, what: AddWatchFlags) -> Result<WatchDescriptor, Errno> {
        self.inotify.add(dir, what | AddWatchFlags::IN_ONLYDIR)
    }

    fn unavailable(&mut self, errno: Errno) {
        if self.unavailable.replace(errno) != Some(errno) {
            self.to_say.push_back(CniChange::Unavailable(Unavailable { dir: self.dir.clone(), errno }));
        }
    }

    /// Begins to read all existing files; files that are not there are reported as deleted at the end.
    fn list(&mut self) {
        self.retry = None;
        self.to_read.clear();
        let open = || Ok((std::fs::read_dir(&self.dir)?, File::open(&self.dir)?));
        let (entries, dir) = match self.watched.map(|_| open()).transpose() {
            Ok(opened) => opened.unzip(),
            Err(error) => return self.listing_failed(&error),
        };
        self.listing = Some(Listing { dir, ..Listing::new(entries, self.known.clone()) });
    }

    /// Reads the next files of the list, until one of them has an effect.
    fn read_listed(&mut self) -> Option<CniChange> {
        let mut left_over = 0;
        for _ in 0..BATCH {
            let Some((path, is_regular)) = self.next_listed() else { break };
            match self.read(path.into(), Some(is_regular)) {
                Some(CniChange::Refused(path, refusal @ Refusal::LeftOver(_))) => {
                    let file = path.display();
                    debug!(event.name = "cni_cache.left_over", %file, "CNI cache file {file} {refusal}");
                    left_over += 1;
                }
                Some(change) => {
                    self.to_say.push_back(change);
                    break;
                }
                None => {}
            }
        }
        (left_over > 0).then_some(CniChange::LeftOver(left_over))
    }

    /// The next file of the list, and whether the file is a regular one; at the end of the list, the missing files and
    /// the end are reported.
    fn next_listed(&mut self) -> Option<(PathBuf, bool)> {
        let listing = self.listing.as_mut()?;
        match listing.entries.as_mut().and_then(Iterator::next) {
            Some(Ok(entry)) => {
                let path = entry.path();
                listing.unnamed.remove(&*path);
                return Some((path, entry.file_type().is_ok_and(|kind| kind.is_file())));
            }
            Some(Err(error)) => {
                self.listing_failed(&error);
                return None;
            }
            None => {}
        }
        let unnamed = self.listing.take().map(|listing| listing.unnamed).unwrap_or_default();
        unnamed.iter().for_each(|path| self.forget(path));
        self.listed();
        None
    }

    /// Known files stay known if the failure passes.
    fn listing_failed(&mut self, error: &io::Error) {
        if is_passing(error) {
            self.listing = Some(Listing::new(None, BTreeSet::new()));
            return self.put_off(error);
        }
        self.unavailable(errno(error));
        self.listing = Some(Listing::new(None, self.known.clone()));
    }

    /// Known files stay known until the directory can be read again.
    fn put_off(&mut self, error: &io::Error) {
        self.unavailable(errno(error));
        self.retry.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + RETRY)));
    }

    /// All listed files have been read.
    fn listed(&mut self) {
        if self.watched.is_some() && self.retry.is_none() && self.unavailable.take().is_some() {
            self.to_say.push_back(CniChange::Available);
        }
        self.to_say.push_back(CniChange::Listed);
    }

    fn forget(&mut self, path: &Arc<Path>) {
        if self.known.remove(path) {
            self.to_say.push_back(CniChange::Gone(path.clone()));
        }
    }

    fn happened(&mut self, events: Vec<InotifyEvent>) {
        let overflow = events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW));
        let is_ours = |event: &InotifyEvent| Some(event.wd) == self.watched;
        let ends =
            |event: &InotifyEvent| event.mask.intersects(SELF | AddWatchFlags::IN_UNMOUNT | AddWatchFlags::IN_IGNORED);
        let moved = |event: &InotifyEvent| self.above.contains(&event.wd) || (is_ours(event) && ends(event));
        if events.iter().any(moved) {
            return self.arm();
        }
        if overflow {
            return self.list();
        }
        let files: Vec<_> =
            events.into_iter().filter(is_ours).filter_map(|event| Some((event.name?, event.mask))).collect();
        for (name, mask) in files {
            let path: Arc<Path> = self.dir.join(&name).into();
            if mask.intersects(AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO) {
                self.to_read.push_back(path);
            } else {
                self.to_read.retain(|waiting| *waiting != path);
                self.forget(&path);
            }
        }
    }

    /// Reads a file that was announced, or one of the list that is a regular file or not.
    fn read(&mut self, path: Arc<Path>, listed: Option<bool>) -> Option<CniChange> {
        let skips = self.skip_left_over && !self.known.contains(&path);
        let mut now = Spaces::default();
        let (target, spaces) = match (listed, self.listing.as_mut()) {
            (Some(is_regular), Some(Listing { dir: Some(dir), spaces, .. })) => {
                let name = path.file_name().map_or(&*path, Path::new);
                (Target { dir: File::as_fd(dir), path: name, is_regular }, spaces)
            }
            // Outside a list, each namespace is looked for.
            _ => (Target { dir: AT_FDCWD, path: &path, is_regular: false }, &mut now),
        };
        match self.reader.read(target, skips.then_some(spaces)) {
            Ok(mut attachment) => {
                attachment.select(&self.selection);
                self.known.insert(path.clone());
                Some(CniChange::Read(path, Box::new(attachment)))
            }
            Err(Refusal::Unreadable(error)) if error.kind() == ErrorKind::NotFound => {
                self.known.remove(&path).then_some(CniChange::Gone(path))
            }
            Err(Refusal::Unreadable(error)) if is_passing(&error) => {
                self.put_off(&error);
                None
            }
            Err(refusal) => {
                self.known.remove(&path);
                Some(CniChange::Refused(path, refusal))
            }
        }
    }
}

impl Stream for CniDir {
    type Item = CniChange;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<CniChange>> {
        loop {
            if let Some(change) = self.to_say.pop_front() {
                return Poll::Ready(Some(change));
            }
            if let Some(path) = self.to_read.pop_front() {
                match self.read(path, None) {
                    Some(change) => return Poll::Ready(Some(change)),
                    None => continue,
                }
            }
            if self.listing.is_some() {
                match self.read_listed() {
                    Some(change) => return Poll::Ready(Some(change)),
                    None => continue,
                }
            }
            if self.retry.as_mut().is_some_and(|retry| retry.as_mut().poll(cx).is_ready()) {
                self.list();
                continue;
            }
            let events = ready!(self.inotify.poll_events(cx));
            self.happened(events);
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Whether the error concerns shared resources, not the file.
fn is_passing(error: &io::Error) -> bool {
    matches!(errno(error), Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)
}
