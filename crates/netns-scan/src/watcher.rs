use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use iface_core::Event;

use crate::worker::event_channel::Feed;
use crate::worker::scanner::Scanner;
use crate::{Error, Reading, Status, Stopped, Tallies};

/// What to watch, and how.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Directories of namespaces' names. They need not exist yet, and may come and go.
    pub dirs: Vec<PathBuf>,
    /// How to reach into namespaces.
    pub engine: EngineChoice,
    /// Receive buffer of each socket that hears events, bytes. Without CAP_NET_ADMIN it ends at
    /// `net.core.rmem_max`. Nothing is reserved: it bounds what the kernel may keep unread.
    pub receive_buffer: usize,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { dirs: vec!["/var/run/netns".into()], engine: EngineChoice::Auto, receive_buffer: 8 << 20 }
    }
}

/// How to reach into namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The best that kernel and capabilities allow: nsid, else setns, else the own namespace only.
    #[default]
    Auto,
    /// Enter each for a socket of its own (CAP_SYS_ADMIN).
    Setns,
    /// Hear all by their nsid (CAP_NET_ADMIN and CAP_NET_BROADCAST, Linux 5.0).
    Nsid,
}

/// Follows every interface of every namespace as the kernel tells of it.
///
/// An [`Informer`](iface_core::Informer): a stream of events for any async runtime. It owns one
/// operating system thread (two with the setns engine), which takes in what the kernel says
/// whether the stream is read or not. Dropping it stops the thread and closes everything.
#[derive(Debug)]
pub struct Watcher(Running);

/// As [`Watcher`], but lists everything each period instead of hearing of changes.
///
/// Names are followed all the same: a new namespace is listed at once, and one whose name is gone
/// is let go of at once.
#[derive(Debug)]
pub struct Poller(Running);

/// Asks a running [`Watcher`] or [`Poller`]. Cheap to clone; keeps nothing running.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Feed>);

impl Watcher {
    /// Starts to watch.
    ///
    /// # Errors
    ///
    /// When not even the own namespace can be seen, or when an engine was asked for by name that
    /// does not work here.
    pub fn start(settings: WatchOptions) -> Result<Self, Error> {
        Running::start(settings, None).map(Self)
    }

    /// For questions while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(self.0.0.clone())
    }
}

impl Poller {
    /// Starts to poll.
    ///
    /// # Errors
    ///
    /// As [`Watcher::start`].
    pub fn start(settings: WatchOptions, period: Duration) -> Result<Self, Error> {
        Running::start(settings, Some(period)).map(Self)
    }

    /// For questions while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(self.0.0.clone())
    }
}

impl Handle {
    /// Reads the counters of every interface in one pass.
    ///
    /// `reuse` is cleared and filled; hand it in again the next time, and no memory is taken from
    /// pass to pass. A namespace that dies meanwhile is left out. Dropping the future forgets the
    /// readings, not the pass.
    ///
    /// # Errors
    ///
    /// [`Stopped`] once the watcher has ended.
    pub fn counters(
        &self,
        reuse: Vec<Reading>,
    ) -> impl Future<Output = Result<Vec<Reading>, Stopped>> + Send + 'static {
        let answer = self.0.request(reuse);
        async move { answer?.await.map_err(|_| Stopped) }
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// Counts since the start.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        self.0.tallies()
    }
}

impl Stream for Watcher {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.0.poll_next(context)
    }
}

impl Stream for Poller {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.0.poll_next(context)
    }
}

/// A thread that scans, as long as this exists.
#[derive(Debug)]
struct Running(Arc<Feed>);

impl Running {
    fn start(settings: WatchOptions, poll: Option<Duration>) -> Result<Self, Error> {
        let scanner = Scanner::new(&settings, poll)?;
        let feed = scanner.feed();
        // The thread is not waited for: it may be inside the kernel, behind somebody else's lock.
        std::thread::Builder::new()
            .name("netns-scan".into())
            .stack_size(512 * 1024)
            .spawn(move || scanner.run())
            .map_err(|source| Error::Resource { what: "start a thread", source })?;
        Ok(Self(feed))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
    }
}
