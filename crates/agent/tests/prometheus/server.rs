//! A real Prometheus scrapes the agent's admin server each second.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use netns_agent::admin::{Handles, router, serve};
use netns_agent::export::gzip::Compressed;
use netns_agent::metrics::points::PageNames;
use netns_testbed::{Listen, Running, free_ports};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::page::Node;

/// Terminated when dropped.
pub(crate) struct Prometheus {
    address: SocketAddr,
    // Before its folder.
    _running: Running,
    _folder: TempDir,
    _agent: JoinSet<()>,
}

impl Prometheus {
    pub(crate) async fn start() -> Self {
        Self::start_with(PageNames::Native, "").await
    }

    /// Scrapes a page with these names; `relabelling` is YAML of the scrape configuration.
    pub(crate) async fn start_with(names: PageNames, relabelling: &str) -> Self {
        let (agent, target) = agent(names).await;
        let relabelling = relabelling.replace('\n', "\n  ");
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: netns-agent\n  static_configs: [{{targets: ['{target}']}}]\n  {relabelling}\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).expect("writes the configuration");
        let [address] = free_ports();
        let mut command = Command::new("prometheus");
        command
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path());
        Self { address, _running: Running::start(command, Listen::Output), _folder: folder, _agent: agent }
    }

    /// The first answer to a query that is not empty.
    pub(crate) async fn answer(&self, query: &str, limit: Duration) -> Result<Vec<Value>, String> {
        let mut last = "no answer".to_owned();
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        let asking = async {
            loop {
                ticks.tick().await;
                match self.query(query).await {
                    Ok(result) if !result.is_empty() => return result,
                    Ok(_) => last = "an empty answer".to_owned(),
                    Err(error) => last = error,
                }
            }
        };
        let answer = tokio::time::timeout(limit, asking).await;
        answer.map_err(|_| format!("{query}\n{last}"))
    }

    /// Whether Prometheus evaluates the query, to whatever result.
    pub(crate) async fn parses(&self, query: &str) -> Result<(), String> {
        let mut last = String::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        // Refused connections are those of a server that starts.
        for _ in 0..300 {
            ticks.tick().await;
            match self.query(query).await {
                Ok(_) => return Ok(()),
                Err(error) if error.starts_with('"') => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let uri = format!("http://{}/api/v1/query?query={}", self.address, percent_encoded(query));
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let response = client.get(uri.parse().expect("a URL")).await.map_err(|error| error.to_string())?;
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let answer: Value = serde_json::from_slice(&body).map_err(|_| String::from_utf8_lossy(&body).into_owned())?;
        answer["data"]["result"].as_array().cloned().ok_or_else(|| answer["error"].to_string())
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

async fn agent(names: PageNames) -> (JoinSet<()>, SocketAddr) {
    let node = Arc::new(Mutex::new(Node::new(names)));
    let handles = Handles {
        ready: Box::new(|| Ok(None)),
        interfaces: Box::new(Vec::new),
        lookup: Box::new(|_| None),
        counters: Box::new(|| Box::pin(std::future::ready(Err("no counters here".to_owned())))),
        node: String::new(),
        feed: Arc::default(),
        metrics: Box::new(move |format| {
            let page = node.lock().expect("the node").page(format);
            let page = Compressed::new(|to| to.write_all(page.as_bytes()));
            Box::pin(std::future::ready(page.map_err(|error| error.to_string())))
        }),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        serve(listener, None, router(handles), std::future::pending()).await.expect("serves");
    });
    (tasks, address)
}
