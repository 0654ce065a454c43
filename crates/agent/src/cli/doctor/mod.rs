//! `doctor`: checks kernel, capabilities, mounts, API access and the OTLP endpoint.

mod check;
mod records;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use iface_core::Netns;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use self::check::{
    Check, Outcome, PodsHere, capabilities, cni_cache, engine, kernel, mounts, namespaces, node_name, processes,
    unnamed,
};
use self::records::container_records;
use super::terminal::Terminal;
use crate::admin::Reviews;
use crate::causes::chain;
use crate::config::{Authorization, Config};
use crate::export::otlp::Exporter;
use crate::export::settings::Signal;
use crate::owner::ApiServer;
use crate::owner::holders::Holders;
use crate::pipeline::Pipeline;
use crate::printable::Printable;
use crate::protocol::Processes;

/// Time limit of each check. Checks that wait run at the same time, so that `doctor` takes less than 5 s.
const ANSWER: Duration = Duration::from_millis(4500);

pub(super) const EXAMPLES: &str = "\
The exit code is 1 where a precondition does not hold. Run it with the settings
of the agent it is about.

Examples:
  netns-agent doctor
  netns-agent doctor --config /etc/netns-agent/config.yaml
  netns-agent doctor --otlp-endpoint http://localhost:4317";

/// Prints what was found, a precondition a line.
///
/// # Errors
/// When a precondition does not hold, or `out` cannot be written.
pub async fn run(config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let colour = Terminal::detect().colour;
    let mut bad = 0;
    for check in checks(config).await {
        bad += usize::from(check.is_bad());
        out.write_all(text(&check, colour).as_bytes())?;
    }
    out.flush()?;
    match bad {
        0 => Ok(()),
        1 => bail!("1 precondition does not hold, see above"),
        _ => bail!("{bad} preconditions do not hold, see above"),
    }
}

async fn checks(config: &Config) -> Vec<Check> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let mut checks = vec![kernel(&read("/proc/sys/kernel/osrelease")), capabilities(&read("/proc/self/status"))];
    let ((seen, here), api, otlp, admin, tokens) =
        tokio::join!(seeing(config), listed_pods(config), otlp(config), admin_address(config), scrapers_tokens(config));
    checks.extend(seen);
    let holders = |netns: &Netns| Holders::find(Path::new("/proc"), netns.file).to_string();
    let api = api.map_or_else(|check| check, |(node, pods)| node_name(&node, &pods, &here, holders));
    checks.extend([api, otlp, admin]);
    checks.extend(tokens);
    checks.extend(config.export.protocol_stats.then(protocol_stats));
    checks
}

fn protocol_stats() -> Check {
    const SUBJECT: &str = "protocol counters";
    if Processes::default().sees_pods() {
        return Check::ok(SUBJECT, "processes of pods are visible");
    }
    Check::bad(
        SUBJECT,
        "no process of a pod is visible",
        "run the agent in the PID namespace of the node (hostPID: true), or set --protocol-stats false",
    )
}

async fn seeing(config: &Config) -> (Vec<Check>, PodsHere) {
    let nothing = |check| (vec![check], PodsHere::default());
    // The API server has a check of its own.
    let mut alone = config.clone();
    alone.watch_pods = false;
    let mut pipeline = match Pipeline::start(&alone).await {
        Ok(pipeline) => pipeline,
        Err(error) => return nothing(Check::bad("engine", format!("{error:#}"), "try --engine auto")),
    };
    let settled = timeout(ANSWER, pipeline.settle()).await;
    let settled = settled.unwrap_or_else(|_| Err(anyhow!("the first listing did not finish in {ANSWER:?}")));
    if let Err(error) = settled {
        return nothing(Check::bad("namespaces", format!("{error:#}"), "look at the kernel's log"));
    }
    let status = pipeline.handle().status();
    let mut checks = vec![engine(&status)];
    checks.extend(namespaces(&status));
    checks.push(unnamed(&status, config.scan.find_unnamed));
    let proc = config.scan.proc.as_deref();
    let second = proc.and_then(|proc| fs::read_to_string(proc.join("2/comm")).ok());
    checks.push(processes(proc, second.as_deref()));
    let mounted = netns_scan::mounted_directories().unwrap_or_default();
    let dirs = followed(&config.scan.dirs, config.scan.find_mounted, &mounted);
    checks.extend(dirs.iter().map(|dir| mounts(dir, netns_scan::propagation(dir))));
    checks.extend(unfollowed(&dirs, &mounted));
    let caches = &config.cni_cache_dirs;
    let is_missing = |dir: &PathBuf| fs::metadata(dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let missing = caches.iter().all(is_missing);
    checks.push(cni_cache(caches, missing, status.namespaces, &pipeline.owners().borrow()));
    checks.extend(container_records(&config.container_dirs));
    (checks, pods_here(&pipeline, status.namespaces))
}

fn pods_here(pipeline: &Pipeline, namespaces: usize) -> PodsHere {
    let interfaces = pipeline.lookup().interfaces();
    let inside = interfaces.iter().filter(|interface| !interface.netns.is_host());
    let pods = inside.filter_map(|interface| Some((interface.owner.as_ref()?.pod()?, interface.netns.clone())));
    let pods = pods.map(|(pod, netns)| ((pod.namespace.clone(), pod.name.clone()), netns)).collect();
    PodsHere { pods, namespaces: namespaces.saturating_sub(1) }
}

/// The directories that the agent follows.
fn followed(configured: &[PathBuf], find_mounted: bool, mounted: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut dirs = configured.to_vec();
    for dir in mounted.iter().filter(|_| find_mounted) {
        if !dirs.iter().any(|known| is_same(known, dir)) {
            dirs.push(dir.clone());
        }
    }
    dirs
}

/// A check for each directory in which namespaces are mounted and that the agent does not follow.
fn unfollowed(followed: &[PathBuf], mounted: &BTreeSet<PathBuf>) -> Vec<Check> {
    let unknown = mounted.iter().filter(|dir| !followed.iter().any(|known| is_same(known, dir)));
    let how = |dir: &PathBuf| {
        let dir = dir.display();
        Check::off("mounts", format!("{dir}: namespaces are mounted here; --netns-dir {dir}, or auto, follows them"))
    };
    unknown.map(how).collect()
}

/// Whether two paths lead to one directory, as `/run` and `/var/run` do.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other || fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(other).is_ok_and(|other| one == other))
}

/// The node's name and the pods that the API server lists for the name, or the check that failed.
async fn listed_pods(config: &Config) -> Result<(String, BTreeSet<(String, String)>), Check> {
    const SUBJECT: &str = "API server";
    if !config.watch_pods {
        return Err(Check::off(SUBJECT, "not used; --watch-pods true gives access to workloads and labels"));
    }
    let api = match ApiServer::connect(config.kubeconfig.as_deref()).await {
        Ok(Some(api)) => api.list_timeout(ANSWER),
        Ok(None) => {
            let how = "not running in a pod; --kubeconfig FILE gives access to workloads and labels";
            return Err(Check::off(SUBJECT, how));
        }
        Err(error) => {
            return Err(Check::bad(SUBJECT, error.to_string(), "name a file that kubectl can use"));
        }
    };
    let Some(node) = config.node_name.as_deref() else {
        let why = "the node's name is not known, so its pods cannot be selected";
        return Err(Check::bad(SUBJECT, why, "set --node-name"));
    };
    let cure = "as it says; until then the CNI cache alone names pods";
    let pods = api.pod_names(node).await.map_err(|why| Check::bad(SUBJECT, why, cure))?;
    Ok((node.to_owned(), pods))
}

/// A check of the two reviews, where scrapers need tokens.
async fn scrapers_tokens(config: &Config) -> Option<Check> {
    const SUBJECT: &str = "scrapers' tokens";
    if config.metrics_authorization == Authorization::Open {
        return None;
    }
    let asked = async {
        let api = ApiServer::connect(config.kubeconfig.as_deref()).await.map_err(|error| error.to_string())?;
        Reviews::new(&api.ok_or("there is no API server to ask")?).check().await
    };
    let asked = timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(format!("no answer within {ANSWER:?}")));
    Some(match asked {
        Ok(()) => Check::ok(SUBJECT, "the API server checks them"),
        Err(why) => Check::bad(SUBJECT, why, "until then every scrape is refused; or set --metrics-authorization none"),
    })
}

async fn otlp(config: &Config) -> Check {
    const SUBJECT: &str = "OTLP endpoint";
    let Some(settings) = config.export.otlp.metrics.clone() else {
        return Check::off(SUBJECT, "nothing is sent; --otlp-endpoint http://collector:4317 sends");
    };
    let endpoint = settings.endpoint.to_string();
    let mut exporter = match Exporter::new(Signal::Metrics, settings, Arc::default()) {
        Ok(exporter) => exporter,
        Err(error) => return Check::bad(SUBJECT, chain(&error), "give --otlp-certificate and its like PEM files"),
    };
    // A request without points goes all the way: name, connection, TLS, headers.
    let report = exporter.export_resource(&ResourceMetrics::default(), Instant::now() + ANSWER).await;
    match report.failure {
        None => Check::ok(SUBJECT, format!("{endpoint} answers")),
        Some(failure) => Check::bad(
            SUBJECT,
            format!("{endpoint} {failure}"),
            "look at its address, --otlp-protocol and any network policy between",
        ),
    }
}

async fn admin_address(config: &Config) -> Check {
    const SUBJECT: &str = "admin address";
    let Some(address) = config.admin_address else {
        return Check::off(SUBJECT, "no metrics are served; --admin-address 127.0.0.1:9465 serves them");
    };
    match TcpListener::bind(address).await {
        Ok(_) => Check::ok(SUBJECT, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Check::ok(SUBJECT, format!("{address} is in use, as it is where an agent runs"))
        }
        Err(error) => Check::bad(SUBJECT, format!("{address}: {error}"), "name an address of this machine"),
    }
}

fn text(check: &Check, colour: bool) -> String {
    let (word, escape, found) = match &check.outcome {
        Outcome::Ok(found) => ("ok", "\x1b[32m", found),
        Outcome::Off(how) => ("off", "\x1b[2m", how),
        Outcome::Bad { why, .. } => ("NOT OK", "\x1b[31m", why),
    };
    let (on, off) = if colour { (escape, "\x1b[0m") } else { ("", "") };
    let line = format!("{on}{word:<6}{off}  {:<14} {}\n", check.subject, Printable(found));
    match &check.outcome {
        Outcome::Bad { cure, .. } => format!("{line}        {:<14} remedy: {}\n", "", Printable(cure)),
        Outcome::Ok(_) | Outcome::Off(_) => line,
    }
}
