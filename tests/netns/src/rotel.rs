use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::program::{Listen, Running, free_ports};

/// Verbosity of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// One line per request, with the number of Resources.
    Basic,
    /// Every point and record.
    Detailed,
}

/// A real OTLP receiver that prints each request; killed when dropped.
#[derive(Debug)]
pub struct Rotel {
    /// gRPC endpoint.
    pub grpc: SocketAddr,
    /// HTTP endpoint.
    pub http: SocketAddr,
    /// Output lines.
    pub running: Running,
}

impl Rotel {
    /// Starts a receiver at ports of loopback and waits until the ports are open.
    #[track_caller]
    #[must_use]
    pub fn start(verbosity: Verbosity) -> Self {
        let [grpc, http] = free_ports();
        Self::start_at(verbosity, grpc, http)
    }

    /// Starts a receiver at these ports, such as those of a receiver that is gone.
    #[track_caller]
    #[must_use]
    pub fn start_at(verbosity: Verbosity, grpc: SocketAddr, http: SocketAddr) -> Self {
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

    /// The lines up to and including the first line with `text`.
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
