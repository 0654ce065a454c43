//! Public front: options, `Watcher`, `Poller` and `Handle`.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use iface_core::{CounterDetails, Event, InterfaceId};

use crate::worker::event_channel::EventChannel;
use crate::worker::scanner::Scanner;
use crate::{Error, Reading, Status, Stopped, Tallies};

/// Options of a [`Watcher`] or [`Poller`]. New fields are no breaking change: end a literal with
/// `..WatchOptions::default()`.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Directories of namespace names. A directory may be missing at the start, and come and go.
    pub dirs: Vec<PathBuf>,
    /// Follow every further directory in which a namespace is mounted, as `/proc/self/mountinfo` shows.
    /// The first namespace of such a directory is found within some seconds, the others at once.
    pub find_mounted: bool,
    /// Follow namespaces without a name, too, as soon as they have an nsid in the host's namespace: a
    /// veth between the two is enough. Only with the nsid engine. When a name appears, the interfaces are
    /// renamed; a namespace that outlives its last name by half a second is found again without a name.
    pub find_unnamed: bool,
    /// Find namespaces by their processes, too, in this `/proc`: those that have neither a name nor a veth.
    /// All processes are looked at once a second, less often where there are many.
    pub proc: Option<PathBuf>,
    /// Engine to reach into namespaces.
    pub engine: EngineChoice,
    /// Read [`Handle::details`] with the counters. Costs about 200 bytes for each interface.
    pub details: bool,
    /// Receive buffer of each socket for notifications, in bytes, limited to `net.core.rmem_max`
    /// without CAP_NET_ADMIN. The kernel reserves no memory: the size bounds the unread messages.
    pub receive_buffer: usize,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            dirs: vec!["/var/run/netns".into()],
            find_mounted: true,
            find_unnamed: true,
            proc: None,
            engine: EngineChoice::Auto,
            details: false,
            receive_buffer: 8 << 20,
        }
    }
}

/// Engine to reach into namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The best engine that kernel and capabilities allow: nsid, else setns, else the own namespace only.
    #[default]
    Auto,
    /// Enter each namespace for a socket of its own (CAP_SYS_ADMIN).
    Setns,
    /// Receive notifications of all namespaces by nsid (CAP_NET_ADMIN and CAP_NET_BROADCAST, Linux 5.0).
    Nsid,
}

/// Follows every interface of every namespace by notifications of the kernel.
///
/// An [`Informer`](iface_core::Informer): a stream of events for any async runtime. A watcher owns
/// one operating system thread (two with the setns engine), which receives notifications whether
/// the stream is read or not. The stream ends only after the thread, for instance by a panic. Dropping
/// the watcher stops the thread and closes all sockets.
#[derive(Debug)]
pub struct Watcher(Running);

/// As [`Watcher`], but lists all namespaces each period instead of receiving notifications.
///
/// Names are followed all the same: a new namespace is listed at once, and a namespace without a
/// name is closed at once. A period longer than the clock counts never passes; a period below a
/// millisecond is a millisecond.
#[derive(Debug)]
pub struct Poller(Running);

/// A shorter period would only keep a processor busy.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// Handle to a running [`Watcher`] or [`Poller`]. Cheap to clone; keeps no thread running.
#[derive(Clone, Debug)]
pub struct Handle(Arc<EventChannel>);

impl Watcher {
    /// Starts to watch. The links of the own namespace are listed inside the call, some milliseconds.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] when the own namespace cannot be listed, or when the requested engine does not
    /// work on this host; [`Error::Resource`] when an inotify instance, a socket or a thread is not
    /// available.
    pub fn start(settings: WatchOptions) -> Result<Self, Error> {
        Running::start(settings, None).map(Self)
    }

    /// Returns a handle for requests while the thread runs.
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
        Running::start(settings, Some(period.max(SHORTEST_PERIOD))).map(Self)
    }

    /// Returns a handle for requests while the thread runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(self.0.0.clone())
    }
}

impl Handle {
    /// Reads the counters of every interface in one pass.
    ///
    /// `reuse` is cleared and filled; passing the same vector again saves allocations. A namespace
    /// deleted during the pass is left out. A request during a pass joins the pass, so some readings can
    /// be older than the request, by less than a pass. Dropping the future discards the readings, not the pass.
    ///
    /// # Errors
    ///
    /// [`Stopped`] once the watcher has terminated.
    pub fn counters(
        &self,
        reuse: Vec<Reading>,
    ) -> impl Future<Output = Result<Vec<Reading>, Stopped>> + Send + 'static {
        let answer = self.0.request(reuse);
        async move { answer?.await.map_err(|_| Stopped) }
    }

    /// The counters that explain errors and drops, as the last complete pass of [`counters`](Self::counters) read them.
    ///
    /// Empty without [`WatchOptions::details`].
    #[must_use]
    pub fn details(&self) -> Arc<HashMap<InterfaceId, CounterDetails>> {
        self.0.details()
    }

    /// Present status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// Follows changes of the status: faults that come and go, and the end of the first scan.
    ///
    /// The first item is the present status. A slow reader gets the latest status only, and each of
    /// several streams gets all changes.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use netns_scan::{WatchOptions, Watcher};
    ///
    /// # futures_executor::block_on(async {
    /// let watcher = Watcher::start(WatchOptions::default())?;
    /// let mut changes = watcher.handle().status_changes();
    /// while let Some(status) = changes.next().await {
    ///     for fault in &status.faults {
    ///         eprintln!("{}: {}", fault.subject.display(), fault.error);
    ///     }
    ///     if status.synced {
    ///         break;
    ///     }
    /// }
    /// # Ok::<_, netns_scan::Error>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn status_changes(&self) -> StatusChanges {
        StatusChanges { reader: self.0.add_status_reader(), channel: self.0.clone(), seen: None }
    }

    /// Counts since the start.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        self.0.tallies()
    }
}

/// Stream of the [`Status`] after each change of its faults or of `synced`; see [`Handle::status_changes`].
///
/// Ends when the watcher or poller has terminated. Keeps no thread running.
#[derive(Debug)]
pub struct StatusChanges {
    channel: Arc<EventChannel>,
    reader: u64,
    /// Number of changes up to the last item.
    seen: Option<u64>,
}

impl Stream for StatusChanges {
    type Item = Status;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Status>> {
        let this = self.get_mut();
        let next = this.channel.poll_status(this.reader, this.seen, context);
        next.map(|next| {
            let (changes, status) = next?;
            this.seen = Some(changes);
            Some(status)
        })
    }
}

impl Drop for StatusChanges {
    fn drop(&mut self) {
        self.channel.remove_status_reader(self.reader);
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

/// The scanning thread; dropping the value stops the thread.
#[derive(Debug)]
struct Running(Arc<EventChannel>);

impl Running {
    fn start(settings: WatchOptions, poll: Option<Duration>) -> Result<Self, Error> {
        let scanner = Scanner::new(&settings, poll)?;
        let channel = scanner.channel();
        // Nobody joins the thread: a system call may block on a lock of the kernel.
        std::thread::Builder::new()
            .name("netns-scan".into())
            .stack_size(512 * 1024)
            .spawn(move || scanner.run())
            .map_err(|source| Error::Resource {
                what: "start a thread",
                remedy: "see the limits on processes (ulimit -u, pids.max)",
                source,
            })?;
        Ok(Self(channel))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
    }
}
