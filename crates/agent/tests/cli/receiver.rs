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

/// A place in the receiver's text: the last line of each kind.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) uid: Option<String>,
    pub(crate) metric: String,
    pub(crate) direction: String,
    pub(crate) start: String,
}

impl Place {
    /// Takes the next line; returns the text of a value.
    pub(crate) fn take<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let line = line.trim();
        let text = |key: &str| line.strip_prefix(key).map(|rest| rest.trim_end_matches(')'));
        if line.starts_with("Resource attributes") {
            self.uid = None;
        } else if let Some(uid) = text("-> k8s.pod.uid: Str(") {
            self.uid = Some(uid.to_owned());
        } else if let Some(metric) = text("-> Name: ") {
            metric.clone_into(&mut self.metric);
        } else if let Some(direction) = text("-> network.io.direction: Str(") {
            direction.clone_into(&mut self.direction);
        } else if let Some(start) = text("StartTimestamp: ") {
            start.clone_into(&mut self.start);
        } else {
            return text("Value: ");
        }
        None
    }
}

/// Bytes of pods, and the place of the next line.
#[derive(Default)]
struct Reading {
    place: Place,
    bytes: Bytes,
}

impl Reading {
    /// Whether the line is a value.
    fn take(&mut self, line: &str) -> bool {
        let value = self.place.take(line);
        let (Some(value), Some(uid), "k8s.pod.network.io") = (value, &self.place.uid, &*self.place.metric) else {
            return false;
        };
        self.bytes.insert((uid.clone(), self.place.direction.clone()), value.parse().unwrap());
        true
    }
}
