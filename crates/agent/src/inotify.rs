//! One inotify(7) instance for all readers of a runtime.
//!
//! The kernel limits the instances of a user (`fs.inotify.max_user_instances`, usually 128), and all programs
//! of root on a node share them.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, Id};

/// Unread events of one reader; as many as the kernel keeps by default.
const MOST_UNREAD: usize = 16_384;

/// Adds flags to those of an existing watch. `nix` has no name for it.
const MASK_ADD: AddWatchFlags = AddWatchFlags::from_bits_retain(nix::libc::IN_MASK_ADD);

/// Watches of files and directories of one reader.
#[derive(Debug)]
pub(crate) struct Watches {
    shared: Arc<Shared>,
    reader: u64,
}

/// An instance with the watches of its readers.
#[derive(Debug)]
struct Shared {
    fd: AsyncFd<Instance>,
    readers: Arc<Mutex<Readers>>,
    /// Wakes all readers.
    waker: Waker,
}

#[derive(Debug)]
struct Instance(Inotify);

impl AsRawFd for Instance {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[derive(Debug, Default)]
struct Readers {
    last: u64,
    queues: BTreeMap<u64, Queue>,
    /// Readers of each watch, with their flags: the kernel has one watch a file, with the flags of all.
    watches: BTreeMap<WatchDescriptor, BTreeMap<u64, AddWatchFlags>>,
}

#[derive(Debug, Default)]
struct Queue {
    unread: VecDeque<InotifyEvent>,
    waker: Option<Waker>,
}

/// Wakes every reader: a descriptor wakes only its last task.
struct WakeAll(Arc<Mutex<Readers>>);

impl Wake for WakeAll {
    fn wake(self: Arc<Self>) {
        let wakers: Vec<Waker> = lock(&self.0).queues.values_mut().filter_map(|queue| queue.waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Instances of the runtimes of this process: a descriptor belongs to the runtime that polls it.
static INSTANCES: Mutex<Vec<(Id, Weak<Shared>)>> = Mutex::new(Vec::new());

/// A panic elsewhere leaves the data whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watches {
    /// Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When the kernel refuses an instance (`fs.inotify.max_user_instances`, open files).
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = Handle::current().id();
        let mut instances = lock(&INSTANCES);
        instances.retain(|(_, shared)| shared.strong_count() > 0);
        let known = instances.iter().find(|(id, _)| *id == runtime).and_then(|(_, shared)| shared.upgrade());
        let shared = match known {
            Some(shared) => shared,
            None => {
                let shared = Arc::new(Shared::new()?);
                instances.push((runtime, Arc::downgrade(&shared)));
                shared
            }
        };
        let reader = lock(&shared.readers).add();
        Ok(Self { shared, reader })
    }

    /// Watches a path; a path with a watch gets these flags instead.
    pub(crate) fn add(&self, path: &Path, flags: AddWatchFlags) -> Result<WatchDescriptor, Errno> {
        let mut readers = lock(&self.shared.readers);
        // The flags of other readers stay. Those that this reader no longer wants are left out of its events.
        let watch = self.shared.fd.get_ref().0.add_watch(path, flags | MASK_ADD)?;
        readers.watches.entry(watch).or_default().insert(self.reader, flags);
        Ok(watch)
    }

    /// Ends a watch; the kernel has ended the watch of a removed path already.
    pub(crate) fn remove(&self, watch: WatchDescriptor) {
        let mut readers = lock(&self.shared.readers);
        readers.remove(self.reader, watch, &self.shared.fd.get_ref().0);
    }

    /// The next events, at least one. Cancellation loses no event.
    pub(crate) async fn events(&self) -> Vec<InotifyEvent> {
        poll_fn(|cx| self.poll_events(cx)).await
    }

    /// As [`events`](Self::events), for a stream.
    pub(crate) fn poll_events(&self, cx: &mut Context<'_>) -> Poll<Vec<InotifyEvent>> {
        loop {
            if let Some(events) = lock(&self.shared.readers).take(self.reader, cx.waker()) {
                return Poll::Ready(events);
            }
            let mut all = Context::from_waker(&self.shared.waker);
            // Only a runtime in shutdown fails, and then nothing is polled again.
            let Poll::Ready(Ok(mut ready)) = self.shared.fd.poll_read_ready(&mut all) else { return Poll::Pending };
            if let Ok(Ok(events)) = ready.try_io(|instance| Ok(instance.get_ref().0.read_events()?)) {
                let wakers = lock(&self.shared.readers).distribute(events);
                wakers.into_iter().for_each(Waker::wake);
            }
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        let mut readers = lock(&self.shared.readers);
        let watches: Vec<WatchDescriptor> = readers.watches.keys().copied().collect();
        for watch in watches {
            readers.remove(self.reader, watch, &self.shared.fd.get_ref().0);
        }
        readers.queues.remove(&self.reader);
    }
}

impl Shared {
    fn new() -> io::Result<Self> {
        let instance = Instance(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?);
        #[expect(deprecated, reason = "its successor is unsafe, and `Instance` owns the descriptor that it names")]
        let fd = AsyncFd::new(instance)?;
        let readers = Arc::default();
        let waker = Waker::from(Arc::new(WakeAll(Arc::clone(&readers))));
        Ok(Self { fd, readers, waker })
    }
}

impl Readers {
    fn add(&mut self) -> u64 {
        self.last += 1;
        self.queues.insert(self.last, Queue::default());
        self.last
    }

    fn remove(&mut self, reader: u64, watch: WatchDescriptor, inotify: &Inotify) {
        let Some(readers) = self.watches.get_mut(&watch) else { return };
        if readers.remove(&reader).is_some() && readers.is_empty() {
            self.watches.remove(&watch);
            let _ = inotify.rm_watch(watch);
        }
    }

    /// The unread events of a reader; without any, the reader waits.
    fn take(&mut self, reader: u64, waker: &Waker) -> Option<Vec<InotifyEvent>> {
        let queue = self.queues.get_mut(&reader)?;
        if queue.unread.is_empty() {
            queue.waker = Some(waker.clone());
            return None;
        }
        Some(queue.unread.drain(..).collect())
    }

    /// Gives each reader its events; returns the wakers of readers with new events.
    fn distribute(&mut self, events: Vec<InotifyEvent>) -> Vec<Waker> {
        let to_all = AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_UNMOUNT;
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                self.queues.values_mut().for_each(|queue| queue.push(&event));
                continue;
            }
            for (reader, flags) in self.watches.get(&event.wd).into_iter().flatten() {
                if event.mask.intersects(*flags | to_all)
                    && let Some(queue) = self.queues.get_mut(reader)
                {
                    queue.push(&event);
                }
            }
            if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                self.watches.remove(&event.wd);
            }
        }
        self.queues
            .values_mut()
            .filter(|queue| !queue.unread.is_empty())
            .filter_map(|queue| queue.waker.take())
            .collect()
    }
}

impl Queue {
    /// Adds an event. A reader that reads nothing loses events, and is told so as by the kernel.
    fn push(&mut self, event: &InotifyEvent) {
        if self.unread.len() < MOST_UNREAD {
            self.unread.push_back(InotifyEvent { name: event.name.clone(), ..*event });
        } else if let Some(last) = self.unread.back_mut() {
            last.mask = AddWatchFlags::IN_Q_OVERFLOW;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CREATED: AddWatchFlags = AddWatchFlags::IN_CREATE;

    fn masks(events: &[InotifyEvent]) -> Vec<AddWatchFlags> {
        events.iter().map(|event| event.mask).collect()
    }

    /// Each gets the events of its own flags, and the end of a watch leaves the other's.
    #[tokio::test]
    async fn two_readers_share_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (made, gone) = (Watches::new().unwrap(), Watches::new().unwrap());
        assert!(Arc::ptr_eq(&made.shared, &gone.shared), "one instance");
        let watch = made.add(dir.path(), CREATED).unwrap();
        gone.add(dir.path(), AddWatchFlags::IN_DELETE).unwrap();
        fs::write(dir.path().join("a"), "").unwrap();
        fs::remove_file(dir.path().join("a")).unwrap();
        let (one, other) = tokio::join!(made.events(), gone.events());
        assert_eq!((masks(&one), masks(&other)), (vec![CREATED], vec![AddWatchFlags::IN_DELETE]));
        made.remove(watch);
        fs::write(dir.path().join("b"), "").unwrap();
        fs::remove_file(dir.path().join("b")).unwrap();
        assert_eq!(masks(&gone.events().await), [AddWatchFlags::IN_DELETE]);
        drop(gone);
        made.add(dir.path(), CREATED).unwrap();
        fs::write(dir.path().join("c"), "").unwrap();
        let events = made.events().await;
        assert_eq!(events.iter().filter_map(|event| event.name.clone()).collect::<Vec<_>>(), ["c"]);
    }

    /// The end of the directory ends the watches of both.
    #[tokio::test]
    async fn a_removed_directory_is_told_to_all() {
        let dir = tempfile::tempdir().unwrap();
        let both = [Watches::new().unwrap(), Watches::new().unwrap()];
        both.iter().for_each(|watches| _ = watches.add(dir.path(), CREATED).unwrap());
        drop(dir);
        for watches in &both {
            assert_eq!(masks(&watches.events().await), [AddWatchFlags::IN_IGNORED]);
        }
        assert!(lock(&both[0].shared.readers).watches.is_empty());
    }

    /// A reader that waits is woken by the events that another one reads for it.
    #[tokio::test]
    async fn each_reader_is_woken_for_its_own() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let watches = [Watches::new().unwrap(), Watches::new().unwrap()];
        for (dir, watches) in dirs.iter().zip(&watches) {
            watches.add(dir.path(), CREATED).unwrap();
        }
        let [first, second] = &watches;
        for round in 0..20 {
            let write = async {
                tokio::task::yield_now().await;
                fs::write(dirs[round % 2].path().join(round.to_string()), "").unwrap();
            };
            let read = async {
                tokio::select! {
                    events = first.events() => (0, events),
                    events = second.events() => (1, events),
                }
            };
            let ((), (reader, events)) = tokio::join!(write, read);
            assert_eq!((reader, events.len()), (round % 2, 1));
        }
    }

    /// Memory is bounded, and the loss is announced.
    #[test]
    fn a_stalled_reader_learns_of_its_loss() {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let wd = inotify.add_watch(dir.path(), CREATED).unwrap();
        let mut queue = Queue::default();
        for _ in 0..=MOST_UNREAD {
            queue.push(&InotifyEvent { wd, mask: CREATED, cookie: 0, name: None });
        }
        assert_eq!(queue.unread.len(), MOST_UNREAD);
        assert_eq!(queue.unread.back().unwrap().mask, AddWatchFlags::IN_Q_OVERFLOW);
    }
}
