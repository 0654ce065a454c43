//! An inotify(7) instance that the runtime polls.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::unix::AsyncFd;

/// Watches of files and directories.
#[derive(Debug)]
pub(crate) struct Watches(AsyncFd<Instance>);

#[derive(Debug)]
struct Instance(Inotify);

impl AsRawFd for Instance {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watches {
    /// Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When the kernel refuses an instance (`fs.inotify.max_user_instances`, open files).
    pub(crate) fn new() -> io::Result<Self> {
        let instance = Instance(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?);
        #[expect(deprecated, reason = "its successor is unsafe, and `Instance` owns the descriptor that it names")]
        let instance = AsyncFd::new(instance)?;
        Ok(Self(instance))
    }

    /// Watches a path; a path with a watch gets these flags instead.
    pub(crate) fn add(&self, path: &Path, flags: AddWatchFlags) -> Result<WatchDescriptor, Errno> {
        self.0.get_ref().0.add_watch(path, flags)
    }

    /// Ends a watch; the kernel has ended the watch of a removed path already.
    pub(crate) fn remove(&self, watch: WatchDescriptor) {
        let _ = self.0.get_ref().0.rm_watch(watch);
    }

    /// The next events, at least one. Cancellation loses no event.
    pub(crate) async fn events(&self) -> Vec<InotifyEvent> {
        poll_fn(|cx| self.poll_events(cx)).await
    }

    /// As [`events`](Self::events), for a stream.
    pub(crate) fn poll_events(&self, cx: &mut Context<'_>) -> Poll<Vec<InotifyEvent>> {
        loop {
            // Only a runtime in shutdown fails, and then nothing is polled again.
            let Ok(mut ready) = ready!(self.0.poll_read_ready(cx)) else { return Poll::Pending };
            if let Ok(Ok(events)) = ready.try_io(|instance| Ok(instance.get_ref().0.read_events()?)) {
                return Poll::Ready(events);
            }
        }
    }
}
