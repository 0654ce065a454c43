use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use iface_core::Informer;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{timeout, timeout_at};

use crate::limits::scaled;
use crate::replay::Replay;

/// A consumer of an informer that waits for expected events, each time with a limit.
///
/// The observer reads only while a method runs: between two calls the consumer is stalled.
#[derive(Debug)]
pub struct Observer<I> {
    informer: I,
    replay: Replay,
    runtime: Runtime,
}

impl<I: Informer> Observer<I> {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(informer: I) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.unwrap_or_else(|e| panic!("cannot build a runtime: {e}"));
        Self { informer, replay: Replay::default(), runtime }
    }

    /// Reads until `Synced`.
    #[track_caller]
    pub fn synced(&mut self) -> &Replay {
        self.until("the first scan is done", Duration::from_secs(10), Replay::is_synced)
    }

    /// Reads until `met` holds, checked first and after each event; panics after `limit`.
    #[track_caller]
    pub fn until(&mut self, what: &str, limit: Duration, mut met: impl FnMut(&Replay) -> bool) -> &Replay {
        let start = Instant::now();
        match self.read_until(limit, &mut met) {
            Some(true) => &self.replay,
            Some(false) => {
                panic!("the stream ended after {:?} before {what}:\n{}", start.elapsed(), self.replay.describe())
            }
            None => panic!("not within {limit:?}: {what}; what is there:\n{}", self.replay.describe()),
        }
    }

    /// `Some(false)` when the stream ended, `None` after the limit.
    fn read_until(&mut self, limit: Duration, met: &mut dyn FnMut(&Replay) -> bool) -> Option<bool> {
        let Self { informer, replay, runtime } = self;
        let read = async {
            while !met(replay) {
                match informer.next().await {
                    Some(event) => replay.apply(event),
                    None => return false,
                }
            }
            true
        };
        runtime.block_on(async { timeout(scaled(limit), read).await.ok() })
    }

    /// Reads until `met` holds; returns `false` after `limit`.
    pub fn is_within(&mut self, limit: Duration, mut met: impl FnMut(&Replay) -> bool) -> bool {
        self.read_until(limit, &mut met) == Some(true)
    }

    /// Reads for `span` and fails if `wrong` ever holds: for events that must not happen.
    #[track_caller]
    pub fn never(&mut self, what: &str, span: Duration, mut wrong: impl FnMut(&Replay) -> bool) -> &Replay {
        let Self { informer, replay, runtime } = self;
        runtime.block_on(async {
            let end = tokio::time::Instant::now() + span;
            while let Ok(next) = timeout_at(end, informer.next()).await {
                let Some(event) = next else { panic!("the stream ended; it must go on: {what}") };
                replay.apply(event);
                assert!(!wrong(replay), "{what}; the last event was {:?}", replay.history().last());
            }
        });
        &self.replay
    }

    /// Reads all events within `span`.
    pub fn read_for(&mut self, span: Duration) -> &Replay {
        self.never("", span, |_| false)
    }

    /// All events read so far.
    #[must_use]
    pub fn replay(&self) -> &Replay {
        &self.replay
    }

    /// The informer, for queries.
    #[must_use]
    pub fn informer(&self) -> &I {
        &self.informer
    }

    /// Runs a future to completion, or panics after `limit`.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, limit: Duration, future: impl Future<Output = T>) -> T {
        let done = self.runtime.block_on(async { timeout(scaled(limit), future).await });
        done.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"))
    }
}
