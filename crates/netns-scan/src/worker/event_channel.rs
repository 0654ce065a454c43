//! Unread events, status and requests between the scanning thread and its readers.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use atomic_waker::AtomicWaker;
use futures_channel::oneshot;
use iface_core::{Coalesce, CounterDetails, Event, InterfaceId};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::{Reading, Status, Stopped, Tallies};

/// State shared by the scanning thread and its readers: unread events, requests for counters, and
/// the status. Each side holds the lock only for moving values in or out.
#[derive(Debug)]
pub(crate) struct EventChannel {
    inner: Mutex<Inner>,
    /// The reader.
    waker: AtomicWaker,
    /// The thread.
    wake: EventFd,
    stopped: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    unread: Coalesce,
    requests: Vec<CountersRequest>,
    details: Arc<HashMap<InterfaceId, CounterDetails>>,
    status: Status,
    status_readers: StatusReaders,
    tallies: Tallies,
    ended: bool,
}

/// Readers of the status that wait for the next change.
#[derive(Debug, Default)]
struct StatusReaders {
    /// Number of changes so far.
    changes: u64,
    last: u64,
    waiting: BTreeMap<u64, Waker>,
}

/// Somebody wants to know all counters.
#[derive(Debug)]
pub(crate) struct CountersRequest {
    pub(crate) readings: Vec<Reading>,
    pub(crate) answer: oneshot::Sender<Vec<Reading>>,
}

impl EventChannel {
    pub(crate) fn new(status: Status) -> io::Result<Self> {
        Ok(Self {
            inner: Mutex::new(Inner {
                unread: Coalesce::default(),
                requests: Vec::new(),
                details: Arc::default(),
                status,
                status_readers: StatusReaders::default(),
                tallies: Tallies::default(),
                ended: false,
            }),
            waker: AtomicWaker::new(),
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            stopped: AtomicBool::new(false),
        })
    }

    // The thread's side.

    /// Readable when a request has come or it is time to stop.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes in the wake-up.
    pub(crate) fn take_requests(&self) -> Vec<CountersRequest> {
        // Empty where nobody has called: then there is nothing to take, either.
        _ = self.wake.read();
        std::mem::take(&mut self.lock().requests)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Hands over events and the status; `update` returns whether readers of the status shall wake.
    pub(crate) fn publish(&self, mut events: Coalesce, tallies: Tallies, update: impl FnOnce(&mut Status) -> bool) {
        let any = !events.is_empty();
        let mut readers = BTreeMap::new();
        {
            let mut inner = self.lock();
            while let Some(event) = events.pop() {
                inner.unread.push(event);
            }
            inner.tallies = tallies;
            if update(&mut inner.status) {
                inner.status_readers.changes += 1;
                readers = std::mem::take(&mut inner.status_readers.waiting);
            }
        }
        readers.into_values().for_each(Waker::wake);
        if any {
            self.waker.wake();
        }
    }

    /// Hands over what a pass read beside the counters.
    pub(crate) fn set_details(&self, details: HashMap<InterfaceId, CounterDetails>) {
        self.lock().details = Arc::new(details);
    }

    /// The thread has come to its end.
    pub(crate) fn end(&self) {
        let readers = {
            let mut inner = self.lock();
            inner.ended = true;
            inner.requests.clear();
            std::mem::take(&mut inner.status_readers.waiting)
        };
        self.waker.wake();
        readers.into_values().for_each(Waker::wake);
    }

    // The reader's side.

    pub(crate) fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Event>> {
        if let Some(event) = self.lock().unread.pop() {
            return Poll::Ready(Some(event));
        }
        self.waker.register(context.waker());
        let mut inner = self.lock();
        match inner.unread.pop() {
            Some(event) => Poll::Ready(Some(event)),
            None if inner.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.lock().status.clone()
    }

    /// A number for another reader of the status.
    pub(crate) fn add_status_reader(&self) -> u64 {
        let mut inner = self.lock();
        inner.status_readers.last += 1;
        inner.status_readers.last
    }

    /// Forgets a reader of the status.
    pub(crate) fn remove_status_reader(&self, reader: u64) {
        self.lock().status_readers.waiting.remove(&reader);
    }

    /// The status and the number of its changes, once that number differs from `seen`.
    pub(crate) fn poll_status(
        &self,
        reader: u64,
        seen: Option<u64>,
        context: &Context<'_>,
    ) -> Poll<Option<(u64, Status)>> {
        let mut inner = self.lock();
        let changes = inner.status_readers.changes;
        if seen != Some(changes) {
            return Poll::Ready(Some((changes, inner.status.clone())));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        inner.status_readers.waiting.insert(reader, context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn tallies(&self) -> Tallies {
        let inner = self.lock();
        Tallies { merged: inner.unread.merged(), unread: inner.unread.len() as u64, ..inner.tallies }
    }

    pub(crate) fn request(&self, readings: Vec<Reading>) -> Result<oneshot::Receiver<Vec<Reading>>, Stopped> {
        let (answer, receiver) = oneshot::channel();
        {
            let mut inner = self.lock();
            if inner.ended {
                return Err(Stopped);
            }
            inner.requests.push(CountersRequest { readings, answer });
        }
        self.wake();
        Ok(receiver)
    }

    pub(crate) fn details(&self) -> Arc<HashMap<InterfaceId, CounterDetails>> {
        self.lock().details.clone()
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        // Fails only when the counter is full, and then the thread is awake already.
        _ = self.wake.write(1);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under the lock can leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
