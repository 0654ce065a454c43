//! The agent's view of itself, kept by the OpenTelemetry SDK.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use iface_core::{Counters, EventKind};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality};

use crate::feed::FeedCounts;
use crate::metrics::catalog::{self, Instrument, OwnMetric, keys};
use crate::metrics::points::{Nanos, nanos};
use crate::owner::tagger::conflict::{ConflictCounts, ConflictKind};

/// Bounds of durations, seconds: from a node with few pods to a receiver at its timeout.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Values read from the rest of the agent. Counts are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Unread events.
    pub unread: u64,
    /// Events merged with a later event of the same interface.
    pub merged: u64,
    /// Overruns of netlink receive queues.
    pub overruns: u64,
    /// Namespaces dumped again.
    pub resyncs: u64,
    /// Malformed messages.
    pub malformed: u64,
    /// Watched namespaces.
    pub namespaces: u64,
    /// Known interfaces.
    pub interfaces: u64,
    /// Namespaces whose pod the API server no longer knows.
    pub leaked: u64,
    /// Failed requests to the API server.
    pub api_failures: u64,
    /// Present faults of the API server's pods.
    pub api_faults: u64,
    /// Namespaces and directories with a fault.
    pub faults: u64,
    /// Refused CNI result files.
    pub cni_refused: u64,
    /// Contradictions between sources of owners.
    pub conflicts: ConflictCounts,
    /// Exported series of interfaces.
    pub series: u64,
    /// Series left out because of the limit.
    pub overflow: u64,
    /// Series left out because a newer interface has the name.
    pub duplicates: u64,
    /// Readers of `/v1/watch`.
    pub feed: FeedCounts,
}

/// Outcome of an export.
#[derive(Clone, Copy, Debug)]
pub struct Exported {
    /// `metrics` or `logs`.
    pub signal: &'static str,
    /// Duration with retries.
    pub took: Duration,
    /// Accepted items.
    pub accepted: usize,
    /// Rejected items.
    pub rejected: usize,
    /// Requests sent again.
    pub retries: u32,
    /// The value of `error.type`, when something did not arrive.
    pub failure: Option<&'static str>,
}

/// The agent's own metrics.
#[derive(Debug)]
pub struct OwnMetrics {
    reader: Reader,
    started: Instant,
    /// When `started` was, according to the wall clock.
    start: AtomicU64,
    // Ends the pipeline behind the reader when dropped.
    _provider: SdkMeterProvider,
    events: Counter<u64>,
    collect_duration: Histogram<f64>,
    export_duration: Histogram<f64>,
    export_failures: Counter<u64>,
    export_retries: Counter<u64>,
    export_items: Counter<u64>,
    export_rejected: Counter<u64>,
    event_logs_dropped: Counter<u64>,
    ended_dropped: Counter<u64>,
    kept_back: Counter<u64>,
}

impl OwnMetrics {
    /// `observe` is called for each metric, and `untagged`, the number of untagged interfaces, once each time the
    /// metrics are read. Both must not block.
    #[must_use]
    pub fn new(
        observe: impl Fn() -> Observed + Send + Sync + 'static,
        untagged: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let reader = Reader(Arc::new(ManualReader::builder().build()));
        let provider = SdkMeterProvider::builder()
            .with_reader(reader.clone())
            .with_resource(Resource::builder_empty().build())
            .build();
        let meter = provider.meter(env!("CARGO_PKG_NAME"));
        let observe = Arc::new(observe);
        observe_all(&meter, &observe);
        observe_conflicts(&meter, move || observe());
        up_down_counter(&meter, &catalog::UNTAGGED, untagged);
        Self {
            events: counter(&meter, &catalog::EVENTS),
            collect_duration: histogram(&meter, &catalog::COLLECT_DURATION),
            export_duration: histogram(&meter, &catalog::EXPORT_DURATION),
            export_failures: counter(&meter, &catalog::EXPORT_FAILURES),
            export_retries: counter(&meter, &catalog::EXPORT_RETRIES),
            export_items: counter(&meter, &catalog::EXPORT_ITEMS),
            export_rejected: counter(&meter, &catalog::EXPORT_REJECTED),
            event_logs_dropped: counter(&meter, &catalog::EVENT_LOGS_DROPPED),
            ended_dropped: counter(&meter, &catalog::ENDED_DROPPED),
            kept_back: counter(&meter, &catalog::KEPT_BACK),
            reader,
            started: Instant::now(),
            start: AtomicU64::new(nanos(SystemTime::now())),
            _provider: provider,
        }
    }

    /// An interface event was handled.
    pub fn event(&self, kind: EventKind) {
        let kind = match kind {
            EventKind::Added => "added",
            EventKind::Updated => "updated",
            EventKind::Deleted => "deleted",
            EventKind::Synced => return,
        };
        self.events.add(1, &[KeyValue::new(keys::EVENT_KIND, kind)]);
    }

    /// All counters were read once.
    pub fn collected(&self, took: Duration) {
        self.collect_duration.record(took.as_secs_f64(), &[]);
    }

    /// An export ended.
    pub fn exported(&self, export: Exported) {
        let signal = [KeyValue::new(keys::SIGNAL, export.signal)];
        self.export_duration.record(export.took.as_secs_f64(), &signal);
        self.export_items.add(export.accepted as u64, &signal);
        self.export_rejected.add(export.rejected as u64, &signal);
        self.export_retries.add(u64::from(export.retries), &signal);
        if let Some(failure) = export.failure {
            let [signal] = signal;
            self.export_failures.add(1, &[signal, KeyValue::new(keys::ERROR_TYPE, failure)]);
        }
    }

    /// Counts ended interfaces whose final counters were dropped before their export.
    pub fn ended_dropped(&self, number: u64) {
        self.ended_dropped.add(number, &[]);
    }

    /// Counts the traffic of an interface that was too young to be reported.
    pub fn kept_back(&self, carried: Counters) {
        for (direction, counted) in [("receive", carried.receive), ("transmit", carried.transmit)] {
            self.kept_back.add(counted.bytes, &[KeyValue::new(keys::DIRECTION, direction)]);
        }
    }

    /// Counts events dropped before their export.
    pub fn event_logs_dropped(&self, number: u64) {
        self.event_logs_dropped.add(number, &[]);
    }

    /// The start time of every series, for points at `time`.
    ///
    /// The start time changes only when the wall clock was set back before it; then the start of the agent by
    /// the new clock takes its place.
    #[must_use]
    pub fn start(&self, time: Nanos) -> Nanos {
        let start = self.start.load(Ordering::Relaxed);
        if start <= time {
            return start;
        }
        let uptime = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let start = time.saturating_sub(uptime);
        self.start.store(start, Ordering::Relaxed);
        start
    }

    /// All metrics now.
    #[must_use]
    pub fn read(&self) -> ResourceMetrics {
        let mut metrics = ResourceMetrics::default();
        // Fails only after the provider is dropped, which has the same lifetime as `self`.
        let _ = self.reader.collect(&mut metrics);
        metrics
    }
}

type Field = fn(&Observed) -> u64;

const OBSERVED: [(&OwnMetric, Field); 19] = [
    (&catalog::EVENTS_UNREAD, |o| o.unread),
    (&catalog::EVENTS_MERGED, |o| o.merged),
    (&catalog::WATCH_READERS, |o| o.feed.readers),
    (&catalog::WATCH_MERGED, |o| o.feed.merged),
    (&catalog::WATCH_BEHIND, |o| o.feed.behind),
    (&catalog::OVERRUNS, |o| o.overruns),
    (&catalog::RESYNCS, |o| o.resyncs),
    (&catalog::MALFORMED, |o| o.malformed),
    (&catalog::NAMESPACES, |o| o.namespaces),
    (&catalog::INTERFACES, |o| o.interfaces),
    (&catalog::LEAKED, |o| o.leaked),
    (&catalog::API_FAILURES, |o| o.api_failures),
    (&catalog::API_FAULTS, |o| o.api_faults),
    (&catalog::FAULTS, |o| o.faults),
    (&catalog::CNI_REFUSED, |o| o.cni_refused),
    (&catalog::IP_CONFLICTS, |o| o.conflicts.of(ConflictKind::ClaimedTwice)),
    (&catalog::SERIES, |o| o.series),
    (&catalog::SERIES_OVERFLOW, |o| o.overflow),
    (&catalog::SERIES_DUPLICATE, |o| o.duplicates),
];

fn observe_all(meter: &Meter, observe: &Arc<impl Fn() -> Observed + Send + Sync + 'static>) {
    for (metric, field) in OBSERVED {
        let observe = observe.clone();
        let read = move || field(&observe());
        if metric.instrument == Instrument::Counter {
            meter
                .u64_observable_counter(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.description)
                .with_callback(move |instrument| instrument.observe(read(), &[]))
                .build();
        } else {
            up_down_counter(meter, metric, read);
        }
    }
}

fn up_down_counter(meter: &Meter, metric: &OwnMetric, read: impl Fn() -> u64 + Send + Sync + 'static) {
    let counter = meter.i64_observable_up_down_counter(metric.name);
    counter
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |instrument| instrument.observe(i64::try_from(read()).unwrap_or(i64::MAX), &[]))
        .build();
}

fn observe_conflicts(meter: &Meter, observe: impl Fn() -> Observed + Send + Sync + 'static) {
    let metric = &catalog::OWNER_CONFLICTS;
    let counter = meter.u64_observable_counter(metric.name).with_unit(metric.unit).with_description(metric.description);
    counter
        .with_callback(move |instrument| {
            let conflicts = observe().conflicts;
            for kind in ConflictKind::ALL {
                instrument.observe(conflicts.of(kind), &[KeyValue::new(keys::CONFLICT_KIND, kind.as_str())]);
            }
        })
        .build();
}

fn counter(meter: &Meter, metric: &OwnMetric) -> Counter<u64> {
    meter.u64_counter(metric.name).with_unit(metric.unit).with_description(metric.description).build()
}

fn histogram(meter: &Meter, metric: &OwnMetric) -> Histogram<f64> {
    let histogram = meter.f64_histogram(metric.name).with_unit(metric.unit).with_description(metric.description);
    histogram.with_boundaries(BOUNDS.to_vec()).build()
}

/// A shared reader: the provider takes ownership of its reader.
#[derive(Clone, Debug)]
struct Reader(Arc<ManualReader>);

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: std::sync::Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metrics::catalog::OWN_METRICS;

    #[test]
    fn sdk_reports_the_catalog() {
        let own = OwnMetrics::new(Observed::default, || 0);
        own.event(EventKind::Added);
        own.collected(Duration::from_millis(3));
        own.event_logs_dropped(1);
        own.ended_dropped(1);
        own.kept_back(Counters::default());
        own.exported(Exported {
            signal: "metrics",
            took: Duration::from_millis(9),
            accepted: 5,
            rejected: 1,
            retries: 1,
            failure: Some("timeout"),
        });
        let read = own.read();
        let metrics: Vec<_> = read.scope_metrics().flat_map(|scope| scope.metrics()).collect();
        let names: BTreeSet<_> =
            metrics.iter().map(|metric| (metric.name(), metric.unit(), metric.description())).collect();
        let table = OWN_METRICS.iter().map(|metric| (metric.name, metric.unit, metric.description)).collect();
        assert_eq!(names, table);
        assert_eq!(metrics.len(), OWN_METRICS.len());
    }

    #[test]
    fn clock_set_back_moves_start_once() {
        let own = OwnMetrics::new(Observed::default, || 0);
        let start = own.start(nanos(SystemTime::now()));
        assert_eq!(own.start(start + 5), start);
        let moved = own.start(start - 3_600_000_000_000);
        assert!(moved <= start - 3_600_000_000_000, "no later than the point");
        assert_eq!(own.start(start - 3_500_000_000_000), moved);
    }
}
