//! A real OTLP receiver and its report of received points.

use std::collections::BTreeMap;

use netns_testbed::{Rotel, Verbosity};

/// A running receiver; ends when dropped.
pub(crate) struct Receiver {
    /// For gRPC.
    pub(crate) endpoint: String,
    rotel: Rotel,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let rotel = Rotel::start(Verbosity::Detailed);
        Self { endpoint: format!("http://{}", rotel.grpc), rotel }
    }

    /// The latest `k8s.pod.network.io` by pod uid and direction, once they fit.
    pub(crate) fn pod_bytes(&self, fits: impl Fn(&Bytes) -> bool) -> Bytes {
        let mut reading = Reading::default();
        self.rotel.running.until(|line| reading.take(line) && fits(&reading.bytes));
        reading.bytes
    }
}

/// Bytes by pod uid and direction.
pub(crate) type Bytes = BTreeMap<(String, String), u64>;

/// Where in the receiver's text a line is.
#[derive(Default)]
struct Reading {
    uid: Option<String>,
    metric: String,
    direction: String,
    bytes: Bytes,
}

impl Reading {
    /// Whether the line is a value.
    fn take(&mut self, line: &str) -> bool {
        let line = line.trim();
        let text = |key: &str| line.strip_prefix(key).map(|rest| rest.trim_end_matches(')').to_owned());
        if line.starts_with("Resource attributes") {
            self.uid = None;
        } else if let Some(uid) = text("-> k8s.pod.uid: Str(") {
            self.uid = Some(uid);
        } else if let Some(metric) = text("-> Name: ") {
            self.metric = metric;
        } else if let Some(direction) = text("-> network.io.direction: Str(") {
            self.direction = direction;
        } else if let (Some(value), Some(uid), "k8s.pod.network.io") = (text("Value: "), &self.uid, &*self.metric) {
            self.bytes.insert((uid.clone(), self.direction.clone()), value.parse().unwrap());
            return true;
        }
        false
    }
}
