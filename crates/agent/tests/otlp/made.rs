//! Interfaces, points and exporters for tests.

use std::sync::Arc;
use std::time::Duration;

use netns_agent::export::otlp::{Exporter, Report};
use netns_agent::export::resource::Identity;
use netns_agent::export::settings::{OtlpSettings, Overrides, Signal, otlp};
use netns_agent::interface::Interface;
use netns_agent::metrics::points::{Options, Points};
use netns_agent::metrics::series::Accumulator;
use netns_agent::testing::{at, eth0, pod, pod_interface, reading};
use tokio::time::Instant;

/// Limit of every wait.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Settings from environment variables.
pub(crate) fn settings(signal: Signal, variables: &[(&str, &str)]) -> OtlpSettings {
    let environment = |name: &str| {
        let name = name.strip_prefix("OTEL_EXPORTER_OTLP_").unwrap_or(name);
        variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    };
    otlp(signal, &environment, &Overrides::default()).expect("settings without faults").expect("an endpoint")
}

/// An exporter of metrics.
pub(crate) fn exporter(variables: &[(&str, &str)]) -> Exporter {
    let identity = Arc::new(Identity { node: "node-1".into(), ..Identity::default() });
    Exporter::new(Signal::Metrics, settings(Signal::Metrics, variables), identity).expect("an exporter")
}

/// `eth0` of the host and of the pod `web`, which received 1,000 and 123,456,789 bytes.
pub(crate) fn two_interfaces() -> Points {
    let interfaces = [eth0(1, at(100)), pod_interface(2, "eth0", &pod("web"), at(100))];
    collect(&interfaces, &[(1, 1_000), (2, 123_456_789)])
}

pub(crate) fn collect(interfaces: &[Arc<Interface>], bytes: &[(u64, u64)]) -> Points {
    let mut accumulator =
        Accumulator::new(Options { max_series: usize::MAX, max_series_per_pod: usize::MAX, ..Options::default() });
    accumulator.synced(at(0));
    let readings: Vec<_> = bytes.iter().map(|(number, bytes)| reading(*number, *bytes)).collect();
    accumulator.collect(interfaces, &readings, at(160))
}

/// Exports, trying for as long as `patience`.
pub(crate) async fn export(exporter: &mut Exporter, points: &Points, patience: Duration) -> Report {
    let export = exporter.export(points, Instant::now() + patience);
    tokio::time::timeout(LIMIT, export).await.expect("an export ends in time")
}
