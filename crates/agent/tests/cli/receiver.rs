//! A real OTLP receiver, and what it says it received.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use crate::program::Running;

/// A running rotel; ends when dropped.
pub(crate) struct Receiver {
    /// For gRPC.
    pub(crate) endpoint: String,
    running: Running,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let [grpc, http] = [free(), free()].map(|listener| listener.local_addr().unwrap().to_string());
        let mut command = Command::new(program());
        command.args([
            "start",
            "--exporter",
            "blackhole",
            "--debug-log",
            "metrics",
            "--debug-log-verbosity",
            "detailed",
        ]);
        command.args(["--otlp-grpc-endpoint", &grpc, "--otlp-http-endpoint", &http]);
        let running = Running::start(command, false);
        running.until(|line| line.contains("Starting Rotel"));
        Self { endpoint: format!("http://{grpc}"), running }
    }

    /// The latest `k8s.pod.network.io` by pod uid and direction, once they fit.
    pub(crate) fn pod_bytes(&self, fits: impl Fn(&Bytes) -> bool) -> Bytes {
        let mut reading = Reading::default();
        self.running.until(|line| reading.take(line) && fits(&reading.bytes));
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

fn program() -> PathBuf {
    let venv = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/venv/lib"));
    let mut versions = std::fs::read_dir(&venv).into_iter().flatten().flatten();
    versions
        .find_map(|python| Some(python.path().join("site-packages/rotel/rotel-agent")).filter(|path| path.is_file()))
        .unwrap_or_else(|| panic!("no rotel below {}: run tests/tools.sh once", venv.display()))
}
