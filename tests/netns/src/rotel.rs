use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::program::{Listen, Running, free_ports};

/// How much a receiver prints of what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// A line a request, with its number of Resources.
    Basic,
    /// Every point and record.
    Detailed,
}

/// A real OTLP receiver that prints what it receives; ends when dropped.
#[derive(Debug)]
pub struct Rotel {
    /// Where it takes gRPC.
    pub grpc: SocketAddr,
    /// Where it takes HTTP.
    pub http: SocketAddr,
    /// Its lines.
    pub running: Running,
}

impl Rotel {
    /// Starts it at ports of loopback, and waits until it listens.
    #[track_caller]
    #[must_use]
    pub fn start(verbosity: Verbosity) -> Self {
        let [grpc, http] = free_ports();
        let verbosity = match verbosity {
            Verbosity::Basic => "basic",
            Verbosity::Detailed => "detailed",
        };
        let mut command = Command::new(program());
        command
            .args(["start", "--exporter", "blackhole", "--debug-log", "metrics", "--debug-log", "logs"])
            .args(["--debug-log-verbosity", verbosity])
            .args(["--otlp-grpc-endpoint", &grpc.to_string(), "--otlp-http-endpoint", &http.to_string()])
            .env("NO_COLOR", "1");
        let running = Running::start(command, Listen::Output);
        running.until(|line| line.contains("Starting Rotel"));
        Self { grpc, http, running }
    }

    /// The lines up to and with the first that contains `text`.
    #[track_caller]
    pub fn until(&self, text: &str) -> Vec<String> {
        self.running.until(|line| line.contains(text))
    }
}

fn program() -> PathBuf {
    let venv = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/venv/lib"));
    let mut versions = std::fs::read_dir(&venv).into_iter().flatten().flatten();
    versions
        .find_map(|python| Some(python.path().join("site-packages/rotel/rotel-agent")).filter(|path| path.is_file()))
        .unwrap_or_else(|| panic!("no rotel below {}: run tests/tools.sh once", venv.display()))
}
