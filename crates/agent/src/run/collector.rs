//! Reads all counters and joins them with their interfaces.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::interface::{Interface, Lookup};
use iface_core::{FilterHandle, FinalCounters};
use netns_scan::{Handle, Reading};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::link_speed;
use super::settled::Settled;
use crate::export::resource::Identity;
use crate::feed::Feed;
use crate::lookup::{Answer, Query, find};
use crate::metrics::clock::Clock;
use crate::metrics::own::OwnMetrics;
use crate::metrics::points::Points;
use crate::metrics::series::Accumulator;

/// Shared parts of all readers of series.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) handle: Handle,
    /// Every interface that exists.
    pub(super) lookup: Lookup,
    /// Narrows all outputs.
    pub(super) filter: FilterHandle,
    /// Narrows metrics.
    pub(super) metrics_filter: FilterHandle,
    pub(super) own: Arc<OwnMetrics>,
    pub(super) identity: Arc<Identity>,
    pub(super) settled: Settled,
    /// Events for the readers of the admin server.
    pub(super) feed: Arc<Feed>,
    pub(super) count: watch::Sender<SeriesCount>,
}

impl Shared {
    /// The interfaces to show; none before everything that existed at the start is known.
    pub(super) fn interfaces(&self) -> Vec<Arc<Interface>> {
        self.selected(&self.filter)
    }

    /// The interfaces with metrics; none before everything that existed at the start is known.
    fn measured(&self) -> Vec<Arc<Interface>> {
        self.selected(&self.metrics_filter)
    }

    fn selected(&self, filter: &FilterHandle) -> Vec<Arc<Interface>> {
        if self.settled.is_synced() { filter.select(&self.lookup) } else { Vec::new() }
    }

    /// Looks up among all interfaces; nothing is found before all are known, as no answer is exact then.
    pub(super) fn find(&self, query: &Query) -> Option<Answer> {
        self.settled.is_synced().then(|| find(&self.lookup, query))?
    }
}

/// Number of series in the last reading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeriesCount {
    pub(super) series: usize,
    pub(super) overflow: usize,
    pub(super) duplicates: usize,
}

/// A deleted interface with its final counters.
pub(super) type Ended = (Arc<Interface>, Arc<FinalCounters>);

/// Follows series from reading to reading. OTLP and scrapers have a collector each, because start and
/// base of a series depend on the reader.
pub(super) struct Collector {
    shared: Shared,
    accumulator: Accumulator,
    clock: Clock,
    /// Owners with more series than their share at the last reading.
    over_share: HashSet<String>,
    readings: Vec<Reading>,
    /// Interfaces that ended since the last reading.
    ended: Option<mpsc::Receiver<Ended>>,
}

impl Collector {
    pub(super) fn new(shared: Shared, accumulator: Accumulator) -> Self {
        Self {
            shared,
            accumulator,
            clock: Clock::default(),
            over_share: HashSet::new(),
            readings: Vec::new(),
            ended: None,
        }
    }

    /// Exports interfaces that ended a last time.
    pub(super) fn with_ended(self, ended: mpsc::Receiver<Ended>) -> Self {
        Self { ended: Some(ended), ..self }
    }

    /// Reads the counters of every interface now.
    ///
    /// # Errors
    /// Fails after the watcher has terminated.
    pub(super) async fn collect(&mut self) -> anyhow::Result<Points> {
        let start = Instant::now();
        self.readings = self.shared.handle.counters(std::mem::take(&mut self.readings)).await?;
        self.readings.shrink_to(2 * self.readings.len());
        self.shared.own.collected(start.elapsed());
        // Before the table is read: an interface is either in the table or has ended.
        self.take_ended();
        let interfaces = self.shared.measured();
        let now = SystemTime::now();
        if let Some(by) = self.clock.set_back(now, std::time::Instant::now()) {
            tracing::warn!(event.name = "clock.set_back", ?by, "the clock was set back: every series starts anew");
            self.accumulator.set_back(by);
        }
        self.accumulator.read_details(self.shared.handle.details());
        let mut points = self.accumulator.collect(&interfaces, &self.readings, now);
        link_speed::add(&mut points, Path::new(link_speed::SYSFS));
        self.warn_of_shares(&points);
        let Points { series, overflow, duplicates, .. } = points;
        self.shared.count.send_replace(SeriesCount { series, overflow, duplicates });
        Ok(points)
    }

    /// Takes in ended interfaces, and drops those that nobody has read for as long as `keep`.
    pub(super) fn expire_ended(&mut self, keep: Duration) {
        self.take_ended();
        let oldest = std::time::Instant::now().checked_sub(keep);
        let expired = oldest.map_or(0, |oldest| self.accumulator.expire_ended(oldest));
        if expired > 0 {
            self.shared.own.ended_dropped(expired as u64);
        }
    }

    /// Waits for the end of an interface, and takes it in.
    pub(super) async fn ended(&mut self) {
        let next = match &mut self.ended {
            Some(ended) => ended.recv().await,
            None => None,
        };
        match next {
            Some(first) => self.take(&[first]),
            None => std::future::pending().await,
        }
    }

    pub(super) fn accumulator(&mut self) -> &mut Accumulator {
        &mut self.accumulator
    }

    pub(super) fn take_ended(&mut self) {
        let Some(ended) = &mut self.ended else { return };
        let waiting: Vec<Ended> = std::iter::from_fn(|| ended.try_recv().ok()).collect();
        self.take(&waiting);
    }

    fn take(&mut self, ended: &[Ended]) {
        if let Some(at) = self.shared.settled.synced_at() {
            self.accumulator.synced(at);
        }
        let dropped: usize = ended.iter().map(|(interface, counters)| self.accumulator.end(interface, counters)).sum();
        if dropped > 0 {
            self.shared.own.ended_dropped(dropped as u64);
        }
    }

    /// Logs once when a pod begins to have more series than its share.
    fn warn_of_shares(&mut self, points: &Points) {
        let mut over_share = HashSet::new();
        for (owner, series) in &points.over_share {
            let owner = owner.name();
            if !self.over_share.contains(&owner) {
                tracing::warn!(
                    event.name = "series.over_share",
                    owner,
                    series,
                    "{owner} has more series than --max-series-per-pod allows: {series} are left out"
                );
            }
            over_share.insert(owner);
        }
        self.over_share = over_share;
    }

    /// Records delivered ranges of the last points.
    pub(super) fn delivered(&mut self, points: &Points, ranges: &[Range<usize>]) {
        self.accumulator.delivered(points, ranges);
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }
}
