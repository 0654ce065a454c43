//! Makes the page of metrics, one scrape at a time.

use std::io;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

use super::collector::Collector;
use super::protocols::Protocols;
use super::{memory, process};
use crate::admin::Page as Pending;
use crate::config::Export;
use crate::export::gzip::Compressed;
use crate::export::otlp::own_metrics;
use crate::export::prometheus::{Format, Page};
use crate::metrics::points::{Points, nanos};

/// Most waiting scrapes; further scrapes wait for room.
const WAITING: usize = 8;

struct Scrape {
    format: Format,
    page: oneshot::Sender<Result<Compressed, String>>,
}

/// Asks the [`Scraper`] for a page.
#[derive(Clone)]
pub(super) struct Scrapes(mpsc::Sender<Scrape>);

impl Scrapes {
    pub(super) fn page(&self, format: Format) -> Pending {
        let scrapes = self.0.clone();
        Box::pin(async move {
            let (page, made) = oneshot::channel();
            let stopping = |()| "the agent is stopping".to_owned();
            scrapes.send(Scrape { format, page }).await.map_err(|_| stopping(()))?;
            made.await.map_err(|_| stopping(()))?
        })
    }
}

/// Makes pages.
pub(super) struct Scraper {
    collector: Collector,
    shows_interfaces: bool,
    /// Where counters of protocols are shown.
    protocols: Option<Protocols>,
    /// Longest wait of ended interfaces for a scrape.
    keep_ended: Duration,
    scrapes: mpsc::Receiver<Scrape>,
}

/// Makes both ends of the queue.
pub(super) fn channel(collector: Collector, export: &Export) -> (Scrapes, Scraper) {
    let (sender, scrapes) = mpsc::channel(WAITING);
    let shows_interfaces = export.shows_interfaces();
    let protocols = export.protocol_stats.then(Protocols::default);
    (Scrapes(sender), Scraper { collector, shows_interfaces, protocols, keep_ended: export.keep_ended, scrapes })
}

impl Scraper {
    /// Makes pages until all [`Scrapes`] are dropped.
    ///
    /// # Errors
    /// Fails after the watcher has terminated.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        loop {
            // Nobody may ever come.
            let next = tokio::time::timeout(self.keep_ended / 4, next(&mut self.scrapes)).await;
            self.collector.expire_ended(self.keep_ended);
            let Scrape { format, page } = match next {
                Ok(Some(scrape)) => scrape,
                Ok(None) => return Ok(()),
                Err(_) => continue,
            };
            let (made, points) = self.make(format).await.context("cannot read the counters")?;
            let is_made = made.is_ok();
            // The scraper may be gone meanwhile.
            if page.send(made).is_ok()
                && is_made
                && let Some(points) = points
            {
                self.collector.delivered(&points, &[points.all()]);
            }
            memory::give_back();
        }
    }

    /// Makes a page of the points that are returned with it.
    async fn make(&mut self, format: Format) -> anyhow::Result<(Result<Compressed, String>, Option<Points>)> {
        let shows_interfaces = self.shows_interfaces && self.collector.shared().settled.is_settled();
        let mut points = if shows_interfaces { Some(self.collector.collect().await?) } else { None };
        let mut protocols = self.protocols.take();
        let shows_protocols = protocols.is_some();
        let identity = self.collector.shared().identity.clone();
        let own = own_metrics(&self.collector.shared().own, &identity);
        let start = self.collector.shared().own.start(nanos(SystemTime::now()));
        let write = move || {
            if let (Some(points), Some(protocols)) = (&mut points, &mut protocols) {
                protocols.add(points);
            }
            let process = process::read(start);
            let page = Page { points: points.as_ref(), identity: &identity, own: &own, process };
            (Compressed::new(|to| page.write(format, to)), protocols, points)
        };
        // A page of thousands of pods takes long enough to keep events waiting.
        let (written, protocols, points) = match tokio::task::spawn_blocking(write).await {
            Ok(written) => written,
            Err(error) => (Err(io::Error::other(error)), shows_protocols.then(Protocols::default), None),
        };
        self.protocols = protocols;
        Ok((written.map_err(|error| format!("the page could not be made: {error}")), points))
    }
}

/// The next scrape that somebody still waits for.
async fn next(scrapes: &mut mpsc::Receiver<Scrape>) -> Option<Scrape> {
    loop {
        let scrape = scrapes.recv().await?;
        if !scrape.page.is_closed() {
            return Some(scrape);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn given_up_scrapes_are_skipped() {
        let (sender, mut scrapes) = mpsc::channel(WAITING);
        let mut given_up = Vec::new();
        for format in [Format::Text, Format::Text, Format::OpenMetrics] {
            let (page, waiting) = oneshot::channel();
            sender.try_send(Scrape { format, page }).ok().unwrap();
            given_up.push(waiting);
        }
        let _waiting = given_up.pop();
        drop(given_up);
        assert_eq!(next(&mut scrapes).await.map(|scrape| scrape.format), Some(Format::OpenMetrics));
    }
}
