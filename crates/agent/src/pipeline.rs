//! From namespaces to events that say whose interface it is.

use std::fmt;

use anyhow::{Context as _, anyhow};
use futures_util::StreamExt as _;
use iface_core::{Event, Informer};
use netns_scan::{EngineKind, Handle, Poller, Watcher};

use crate::config::{Config, Listen};

/// The events of the interfaces a configuration asks for, and a way to ask behind them.
pub struct Pipeline {
    events: Box<dyn Informer>,
    handle: Handle,
}

impl Pipeline {
    /// Starts to find and to follow. Needs a runtime; dropping it stops everything behind it.
    ///
    /// # Errors
    /// Where nothing at all could be seen.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        let (events, handle) = scan(config)?;
        Ok(Self { events, handle })
    }

    /// The next event.
    ///
    /// Cancellation loses nothing: an event is either returned or still there.
    ///
    /// # Errors
    /// When the watcher has ended, which it does only where it cannot go on.
    pub async fn next(&mut self) -> anyhow::Result<Event> {
        let ended = || anyhow!("the watcher has ended and nothing is followed any more; start the program again");
        self.events.next().await.ok_or_else(ended)
    }

    /// Reads counters and status.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What cannot be seen, in one line; `None` where all is seen.
    #[must_use]
    pub fn unseen(&self) -> Option<String> {
        let status = self.handle.status();
        if status.engine == EngineKind::Own {
            return Some(status.reason);
        }
        let (first, more) = status.faults.split_first()?;
        let rest = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
        Some(format!("not seen: {}: {}{rest}", first.subject.display(), first.error))
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("handle", &self.handle).finish_non_exhaustive()
    }
}

fn scan(config: &Config) -> anyhow::Result<(Box<dyn Informer>, Handle)> {
    let scan = config.scan.clone();
    match config.listen {
        Listen::Watch => {
            let watcher = Watcher::start(scan).context("cannot follow network namespaces")?;
            let handle = watcher.handle();
            Ok((Box::new(watcher), handle))
        }
        Listen::Poll => {
            let poller = Poller::start(scan, config.poll_period).context("cannot list network namespaces")?;
            let handle = poller.handle();
            Ok((Box::new(poller), handle))
        }
    }
}
