//! Events for any number of readers, each at its own speed.

mod log;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

pub use self::log::Line;
use self::log::{Log, Position, Step};
use crate::interface::{Event, Interface};

/// Readers at a time.
pub const READERS: u64 = 200;
/// Lines of one batch.
const BATCH: usize = 64;

/// Decides which interfaces a reader sees.
pub type Select = Box<dyn Fn(&Interface) -> bool + Send + Sync>;

/// All events, for readers that come and go.
#[derive(Debug)]
pub struct Feed {
    log: Mutex<Log>,
    last: watch::Sender<u64>,
    readers: AtomicU64,
    merged: AtomicU64,
    behind: AtomicU64,
}

/// Reasons to refuse a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Deletions since then are forgotten, or the number is from another run.
    #[error("the agent does not know the changes since then; start again without `resume`")]
    Forgotten,
    /// The limit of readers is reached.
    #[error("{READERS} programs read events already; end one of them, or try again later")]
    Crowded,
}

/// Counts of the readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedCounts {
    /// Present readers.
    pub readers: u64,
    /// Changes merged into a later change before a reader read them.
    pub merged: u64,
    /// Readers that were too far behind.
    pub behind: u64,
}

impl Default for Feed {
    fn default() -> Self {
        let log = Log::new(SystemTime::now());
        Self {
            last: watch::Sender::new(log.last()),
            log: Mutex::new(log),
            readers: AtomicU64::new(0),
            merged: AtomicU64::new(0),
            behind: AtomicU64::new(0),
        }
    }
}

impl Feed {
    /// Hands an event to all readers. Never waits for a reader.
    pub fn push(&self, event: &Event, time: SystemTime) {
        let last = {
            let mut log = self.log();
            log.push(event, time);
            log.last()
        };
        // `Synced` has no number, and wakes readers as well.
        self.last.send_replace(last);
    }

    /// A reader of everything that exists and all changes, or of the changes after `resume`.
    ///
    /// # Errors
    /// When the changes after `resume` are not known any more, or there are too many readers.
    pub fn subscribe(self: &Arc<Self>, resume: Option<u64>, select: Select) -> Result<Reader, Refused> {
        let position = match resume {
            None => self.log().start(),
            Some(seq) => self.log().resume(seq, &select).ok_or(Refused::Forgotten)?,
        };
        if self.readers.fetch_add(1, Ordering::Relaxed) >= READERS {
            self.readers.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::Crowded);
        }
        Ok(Reader { feed: self.clone(), position, select, last: self.last.subscribe() })
    }

    /// Counts of the readers so far.
    #[must_use]
    pub fn counts(&self) -> FeedCounts {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        FeedCounts { readers: count(&self.readers), merged: count(&self.merged), behind: count(&self.behind) }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // The log is valid after each of its methods.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader of events.
pub struct Reader {
    feed: Arc<Feed>,
    position: Position,
    select: Select,
    last: watch::Receiver<u64>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("position", &self.position).finish_non_exhaustive()
    }
}

/// Lines that a reader has not read yet.
#[derive(Debug)]
pub enum Batch {
    /// The oldest of them, none where everything is read.
    Lines(Vec<Line>),
    /// Deletions are forgotten that the reader has not read: the reader has to start again.
    Behind,
}

impl Reader {
    /// The next lines, without waiting.
    pub fn read(&mut self) -> Batch {
        self.last.borrow_and_update();
        let mut lines = Vec::new();
        let log = self.feed.log();
        while lines.len() < BATCH {
            match log.next(&mut self.position, &self.select) {
                Step::Line(line) => lines.push(line),
                Step::Wait => break,
                Step::Behind if lines.is_empty() => {
                    self.feed.behind.fetch_add(1, Ordering::Relaxed);
                    return Batch::Behind;
                }
                Step::Behind => break,
            }
        }
        self.feed.merged.fetch_add(lines.iter().map(|line| line.merged).sum(), Ordering::Relaxed);
        Batch::Lines(lines)
    }

    /// Returns when there is something to read since the last [`read`](Self::read).
    ///
    /// Cancellation loses nothing.
    pub async fn changed(&mut self) {
        if self.last.changed().await.is_err() {
            // Never: the reader holds the feed and with it the sender.
            std::future::pending().await
        }
    }

    /// The number up to which everything is read.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.position.seq()
    }

    /// The number of the last change.
    #[must_use]
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.feed.readers.fetch_sub(1, Ordering::Relaxed);
    }
}
