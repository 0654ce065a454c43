//! Places for connections: a new connection always gets a place, at the cost of an idle connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;

/// The open connections of a server.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    clock: Arc<AtomicU64>,
    open: Mutex<BTreeMap<u64, Connection>>,
}

#[derive(Debug)]
struct Connection {
    activity: Arc<Activity>,
    task: AbortHandle,
}

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Arc<AtomicU64>,
    /// Requests whose answer has not been handed to the connection in full.
    requests: AtomicUsize,
    /// The tick of the last change of `requests`.
    changed: AtomicU64,
    /// Whether a response is [`Endless`].
    is_endless: AtomicBool,
    /// Pieces of responses that the connection has taken.
    pieces: AtomicU64,
}

/// Marks a response without an end: the connection lives for as long as the client reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endless;

/// Held while a request is answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self { most, clock: Arc::default(), open: Mutex::default() }
    }

    /// The state of a connection that is about to be served.
    pub(super) fn activity(&self) -> Arc<Activity> {
        let activity = Activity {
            clock: self.clock.clone(),
            requests: AtomicUsize::new(0),
            changed: AtomicU64::new(0),
            is_endless: AtomicBool::new(false),
            pieces: AtomicU64::new(0),
        };
        activity.touch();
        Arc::new(activity)
    }

    /// Gives the connection a place. Where none is free, the connection that has been idle for longest ends; where none
    /// is idle, the connection that has been busy for longest.
    pub(super) fn take(&self, activity: Arc<Activity>, task: AbortHandle) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, connection| !connection.task.is_finished());
        while open.len() >= self.most {
            let rank = |connection: &Connection| {
                let activity = &connection.activity;
                (activity.requests.load(Ordering::Relaxed) > 0, activity.changed.load(Ordering::Relaxed))
            };
            let Some(oldest) = open.iter().min_by_key(|(_, connection)| rank(connection)).map(|(id, _)| *id) else {
                break;
            };
            if let Some(connection) = open.remove(&oldest) {
                connection.task.abort();
            }
        }
        let id = self.clock.fetch_add(1, Ordering::Relaxed);
        open.insert(id, Connection { activity, task });
    }
}

impl Activity {
    fn touch(&self) {
        self.changed.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Marks the connection as busy until the result is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.touch();
        Busy(self.clone())
    }
}

impl Activity {
    /// Notes that a response has no end.
    pub(super) fn set_endless(&self) {
        self.is_endless.store(true, Ordering::Relaxed);
    }

    /// The number of pieces taken so far, if a response has no end.
    pub(super) fn endless_pieces(&self) -> Option<u64> {
        self.is_endless.load(Ordering::Relaxed).then(|| self.pieces.load(Ordering::Relaxed))
    }
}

impl Busy {
    /// Notes that the connection has taken another piece of the response.
    pub(super) fn took_piece(&self) {
        self.0.pieces.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.touch();
    }
}
