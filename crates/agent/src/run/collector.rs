//! Reads all counters and joins them with what is known of their interfaces.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::interface::{Interface, Lookup};
use iface_core::FilterHandle;
use netns_scan::{Handle, Reading};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admin::{Found, Wanted};
use crate::export::resource::Identity;
use crate::metrics::bandwidth;
use crate::metrics::own::OwnMetrics;
use crate::metrics::points::{Options, Points};
use crate::metrics::series::Accumulator;
use crate::pipeline::find;

/// What every reader of series needs.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) handle: Handle,
    /// Every interface that exists.
    pub(super) lookup: Lookup,
    /// Narrows what is exported.
    pub(super) filter: FilterHandle,
    pub(super) own: Arc<OwnMetrics>,
    pub(super) identity: Arc<Identity>,
    /// When everything that existed at the start was known.
    pub(super) synced: watch::Receiver<Option<SystemTime>>,
    pub(super) count: watch::Sender<SeriesCount>,
}

impl Shared {
    /// The interfaces to show; none before everything that existed at the start is known.
    pub(super) fn interfaces(&self) -> Vec<Arc<Interface>> {
        if self.synced.borrow().is_none() {
            return Vec::new();
        }
        self.filter.select(&self.lookup)
    }

    /// Looks up among all interfaces; nothing is found before all are known, as no answer is exact then.
    pub(super) fn find(&self, wanted: &Wanted) -> Option<Found> {
        self.synced.borrow().as_ref()?;
        find(&self.lookup, wanted)
    }
}

/// How many series of interfaces the last reading made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeriesCount {
    pub(super) series: usize,
    pub(super) overflow: usize,
    pub(super) duplicates: usize,
}

/// Follows series from reading to reading. OTLP and scrapers have one each, as a series' first
/// point is special and each must get it.
pub(super) struct Collector {
    shared: Shared,
    accumulator: Accumulator,
    readings: Vec<Reading>,
}

impl Collector {
    pub(super) fn new(shared: Shared, options: Options) -> Self {
        Self { shared, accumulator: Accumulator::new(options), readings: Vec::new() }
    }

    /// Reads the counters of every interface now.
    ///
    /// # Errors
    /// When the watcher has ended.
    pub(super) async fn collect(&mut self) -> anyhow::Result<Points> {
        let start = Instant::now();
        self.readings = self.shared.handle.counters(std::mem::take(&mut self.readings)).await?;
        self.readings.shrink_to(2 * self.readings.len());
        self.shared.own.collected(start.elapsed());
        if let Some(at) = *self.shared.synced.borrow() {
            self.accumulator.synced(at);
        }
        let interfaces = self.shared.interfaces();
        let mut points = self.accumulator.collect(&interfaces, &self.readings, SystemTime::now());
        bandwidth::add(&mut points, Path::new(bandwidth::SYSFS));
        let Points { series, overflow, duplicates, .. } = points;
        self.shared.count.send_replace(SeriesCount { series, overflow, duplicates });
        Ok(points)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }
}
