//! Lets the events of a flood merge before they are read.
//!
//! Unread events of an interface are merged (`crates/netns-scan/src/worker/event_channel.rs`), so a link that changes as
//! fast as possible costs one event per pause in place of one per change.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep_until};

const WINDOW: Duration = Duration::from_millis(100);
/// Events per [`WINDOW`] that are read at once. Starting or deleting ten pods at once takes fewer.
const MANY: u32 = 200;
/// Far below the time in which a pod starts.
const PAUSE: Duration = Duration::from_millis(10);

/// The rate of events.
#[derive(Debug)]
pub(super) struct Flood {
    since: Instant,
    events: u32,
}

impl Flood {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), events: 0 }
    }

    /// The next event, after a pause where no event is waiting and many were read just before.
    ///
    /// Cancellation loses nothing, if it loses nothing of `next`.
    pub(super) async fn next<T>(&mut self, mut next: impl AsyncFnMut() -> T) -> T {
        let event = match next().now_or_never() {
            Some(event) => event,
            None => {
                self.pause().await;
                next().await
            }
        };
        let now = Instant::now();
        if now >= self.since + WINDOW {
            (self.since, self.events) = (now, 0);
        }
        self.events += 1;
        event
    }

    async fn pause(&self) {
        let now = Instant::now();
        if self.events > MANY && now < self.since + WINDOW {
            sleep_until(now + PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::Notify;

    use super::*;

    /// A reader that is woken by each change of one interface reads a few merged events per window.
    #[tokio::test(start_paused = true)]
    async fn flood_of_one_interface_is_merged() {
        let (changes, changed) = (Cell::new(0_u64), Notify::new());
        let pod = async {
            loop {
                tokio::time::sleep_until(Instant::now() + Duration::from_millis(1)).await;
                for _ in 0..20 {
                    changes.set(changes.get() + 1);
                    changed.notify_one();
                    tokio::task::yield_now().await;
                }
            }
        };
        let mut read = (0, 0);
        let agent = async {
            let mut flood = Flood::new();
            loop {
                let merged = flood.next(async || {
                    while changes.get() == 0 {
                        changed.notified().await;
                    }
                    changes.take()
                });
                read = (read.0 + 1, read.1 + merged.await);
            }
        };
        let second = Instant::now() + Duration::from_secs(1);
        let _ = tokio::time::timeout_at(second, async { tokio::join!(pod, agent) }).await;
        assert!(read.1 > 15_000 && read.0 < 3_000, "{read:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_events_are_read_at_once() {
        let (start, mut flood) = (Instant::now(), Flood::new());
        for _ in 0..100_000 {
            flood.next(async || ()).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
