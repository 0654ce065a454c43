//! A real OTLP receiver that prints what it receives.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::made::LIMIT;

/// A running rotel; ends when dropped.
pub(crate) struct Rotel {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Rotel {
    pub(crate) async fn start() -> Self {
        let [grpc, http] = free_ports();
        let mut child = Command::new(program())
            .args(["start", "--exporter", "blackhole", "--debug-log", "metrics", "--debug-log", "logs"])
            .args(["--debug-log-verbosity", "detailed"])
            .args(["--otlp-grpc-endpoint", &grpc.to_string(), "--otlp-http-endpoint", &http.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("rotel starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut rotel = Self { grpc, http, lines, _child: child };
        rotel.until("Starting Rotel").await;
        rotel
    }

    /// The lines up to and with the first that contains `text`.
    pub(crate) async fn until(&mut self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        let read = async {
            while let Some(line) = self.lines.next_line().await.expect("text") {
                let found = line.contains(text);
                seen.push(line);
                if found {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(LIMIT, read).await;
        assert!(matches!(found, Ok(true)), "rotel did not print {text:?} but\n{}", seen.join("\n"));
        seen
    }
}

fn program() -> PathBuf {
    let venv = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/venv/lib"));
    let mut versions = std::fs::read_dir(&venv).into_iter().flatten().flatten();
    versions
        .find_map(|python| Some(python.path().join("site-packages/rotel/rotel-agent")).filter(|path| path.is_file()))
        .unwrap_or_else(|| panic!("no rotel below {}: run tests/tools.sh once", venv.display()))
}

fn free_ports() -> [SocketAddr; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("its address"))
}
