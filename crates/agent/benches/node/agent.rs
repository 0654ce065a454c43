//! The release program, started as from the image, and its own metrics.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use netns_testbed::{Listen, Rotel, Running, Usage, Verbosity, free_ports, get};
use serde_json::Value;

/// Limit of every wait; at 10,000 namespaces the kernel needs minutes.
const LIMIT: Duration = Duration::from_secs(900);
/// From one export to the next.
const INTERVAL: &str = "5s";

/// A running agent, scraped and connected to a real receiver; terminated when dropped.
pub(crate) struct Agent {
    started: Instant,
    admin: String,
    running: Running,
    receiver: Rotel,
}

/// Time until a state is reached, and the resources used until then.
pub(crate) struct Start {
    pub(crate) ready: Duration,
    pub(crate) tagged: Duration,
    pub(crate) cpu: Duration,
}

impl Agent {
    pub(crate) fn start(engine: &str, results: &Path) -> Self {
        let receiver = Rotel::start(Verbosity::Basic);
        let [admin] = free_ports().map(|address| address.to_string());
        let endpoint = format!("http://{}", receiver.grpc);
        let mut command = Command::new(env!("CARGO_BIN_EXE_netns-agent"));
        command
            .env_clear()
            .envs(image_environment())
            .args(["run", "--engine", engine, "--log-format", "json", "--admin-address", &admin])
            .args(["--otlp-endpoint", &endpoint, "--otlp-protocol", "grpc", "--export-interval", INTERVAL])
            .args(["--prometheus-interfaces", "on", "--max-series", "1000000", "--node-name", "node-1"])
            .args(["--exclude-host-ends", "false"])
            .arg("--cni-cache-dir")
            .arg(results);
        let started = Instant::now();
        Self { started, admin, running: Running::start(command, Listen::Errors), receiver }
    }

    /// Waits until the agent knows the interfaces of this number of pods and their owners.
    pub(crate) fn until_ready(&self, pods: usize) -> Start {
        let said = self.running.until_within(LIMIT, |line| event(line) == Some("synced"));
        let known = self.started.elapsed();
        assert_eq!(get(&self.admin, "/readyz").0, "HTTP/1.1 200 OK");
        let (ready, cpu) = (self.started.elapsed(), self.usage().cpu);
        let synced: Value = serde_json::from_str(&said[said.len() - 1]).unwrap();
        // Of each pod eth0, lo and the host's end; and the host's lo.
        assert_eq!(synced["interfaces"], 3 * pods + 1, "{synced}");
        // Nothing is emitted before the CNI results are read: every known interface is tagged.
        assert_eq!(synced["untagged"], 0, "{synced}");
        Start { ready, tagged: known, cpu }
    }

    /// Waits for a complete export and scrapes once. Returns the page.
    pub(crate) fn exchange(&self) -> Page {
        self.receiver.running.until_within(LIMIT, ends_export);
        let (status, page) = get(&self.admin, "/metrics");
        assert_eq!(status, "HTTP/1.1 200 OK");
        Page(page)
    }

    /// Waits until this number of interfaces is deleted.
    pub(crate) fn until_deleted(&self, interfaces: usize) {
        let mut gone = 0;
        self.running.until_within(LIMIT, |line| {
            gone += usize::from(event(line) == Some("interface.deleted"));
            gone == interfaces
        });
        // Skip earlier requests.
        self.receiver.running.said().for_each(drop);
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.running.id())
    }
}

/// A scraped page.
pub(crate) struct Page(String);

impl Page {
    /// A value of the agent's own metrics.
    pub(crate) fn own(&self, name: &str) -> usize {
        let value = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("the page does not say {name}"))
    }
}

/// Environment variables of the image.
fn image_environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("../../../../Dockerfile").lines().filter_map(|line| line.strip_prefix("ENV ")?.split_once('='))
}

fn event(line: &str) -> Option<&str> {
    line.split_once("\"event.name\":\"")?.1.split('"').next()
}

/// Recognizes the last request of an export in the receiver's output: the agent's own metrics, of which a Resource
/// has more than any interface.
fn ends_export(line: &str) -> bool {
    let number = |key: &str| line.split_once(key)?.1.split(' ').next()?.parse::<usize>().ok();
    let (Some(resources), Some(metrics)) = (number(" resource_metrics="), number(" metrics=")) else { return false };
    metrics > 10 * resources
}
