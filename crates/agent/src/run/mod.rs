//! The program that runs on a node: builds all parts, supervises them and ends them in order.

mod collector;
mod endings;
mod flood;
mod handlers;
mod keeper;
mod limit;
mod link_speed;
mod memory;
mod outage;
mod process;
mod protocols;
mod readings;
mod reload;
mod scraper;
mod sender;
mod service_manager;
mod settled;
pub mod signals;
mod sink;
mod supervisor;
mod untagged;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::collector::{Collector, Ended, SeriesCount, Shared};
use self::endings::Endings;
use self::flood::Flood;
use self::keeper::Keeper;
use self::outage::Outage;
use self::reload::Reload;
use self::sender::{Sender, exported};
use self::service_manager::ServiceManager;
use self::settled::Settled;
use self::sink::EventSink;
pub(crate) use self::supervisor::Stop;
use self::supervisor::Supervisor;
use crate::admin::{self, Gate, Listener, Reviews, Socket};
use crate::config::{Authorization, Config, ConfigSources};
use crate::export::events::{self, EventSender};
use crate::export::otlp::Exporter;
use crate::export::resource::Identity;
use crate::export::settings::Signal;
use crate::feed::Feed;
use crate::metrics::own::OwnMetrics;
use crate::metrics::points::{Reader, Temporality};
use crate::metrics::series::{Accumulator, MOST_ENDED};
use crate::owner::ApiServer;
use crate::pipeline::Pipeline;
use crate::state_dir::StateDir;

/// Runs until SIGTERM or SIGINT, then exports for the last time.
///
/// # Errors
/// When a part that the agent cannot work without cannot be started, fails or ends.
pub async fn run(sources: &ConfigSources, config: &Config) -> anyhow::Result<()> {
    // Before the first further thread, which would get an arena of its own.
    memory::bound();
    let mut supervisor = Supervisor::new()?;
    let mut reload = Reload::new(sources, config)?;
    signals::unblock()?;
    let mut pipeline = Pipeline::start(config).await?;
    let (synced, was_synced) = watch::channel(None);
    let shared = shared(config, &pipeline, was_synced);
    let (logs, ended) = start_export(config, &shared, &mut supervisor)?;
    let gate = gate(config).await?;
    let on_page = start_servers(config, &shared, &pipeline, gate, &mut supervisor)?;
    announce(config, &pipeline);
    let is_read = config.admin_address.is_some() || config.admin_socket.path.is_some();
    let feed = is_read.then(|| shared.feed.clone());
    let ended = Endings::new(ended.into_iter().chain(on_page), config.export.options.min_age);
    let mut sink = EventSink::new(shared.own.clone(), synced, logs, feed, ended);
    let mut flood = Flood::new();
    let mut manager = ServiceManager::of_process();
    let ended = loop {
        tokio::select! {
            event = flood.next(async || pipeline.next().await) => sink.take(&event?, &pipeline),
            ended = supervisor.ended() => break ended,
            config = reload.next() => pipeline.reload(&config),
            () = sink.report_omissions() => {}
            () = manager.ready(&shared.settled) => {}
        }
    };
    manager.stopping();
    // Without a sink, the event export ends as soon as its queue is empty. The watcher lives on until the last
    // counters are read.
    drop(sink);
    ended?;
    supervisor.stop(config.shutdown_grace).await
}

fn shared(config: &Config, pipeline: &Pipeline, synced: watch::Receiver<Option<SystemTime>>) -> Shared {
    let count = watch::Sender::new(SeriesCount::default());
    let feed = Arc::<Feed>::default();
    let node = config.node_name.clone().or_else(hostname).unwrap_or_default();
    let (lookup, filter) = (pipeline.lookup().clone(), pipeline.filter().clone());
    let untagged = move || untagged::count(&lookup, &filter);
    Shared {
        handle: pipeline.handle().clone(),
        lookup: pipeline.lookup().clone(),
        filter: pipeline.filter().clone(),
        metrics_filter: pipeline.metrics_filter().clone(),
        own: Arc::new(OwnMetrics::new(handlers::observer(pipeline, count.subscribe(), feed.clone()), untagged)),
        settled: Settled::new(synced, pipeline.owners().clone()),
        identity: Arc::new(Identity {
            node,
            attributes: config.export.otlp.attributes.clone(),
            entities: config.export.entities,
        }),
        count,
        feed,
    }
}

fn hostname() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok()
}

/// Senders of events, and of deleted interfaces, to the exports.
type Outputs = (Option<EventSender>, Option<mpsc::Sender<Ended>>);

/// Starts the exports; events to export go into the returned senders.
fn start_export(config: &Config, shared: &Shared, supervisor: &mut Supervisor) -> anyhow::Result<Outputs> {
    let export = &config.export;
    let mut ended = None;
    if let Some(settings) = export.otlp.metrics.clone() {
        let exporter = Exporter::new(Signal::Metrics, settings, shared.identity.clone())?;
        let reader = match exporter.settings().temporality {
            Temporality::Cumulative => Reader::Totals,
            Temporality::Delta => Reader::Deltas,
        };
        let (sender, receiver) = mpsc::channel(MOST_ENDED);
        ended = Some(sender);
        let collector = Collector::new(shared.clone(), Accumulator::for_reader(reader, export.options.clone()));
        let collector = collector.with_ended(receiver);
        let dir = export.state_dir.as_deref().map(StateDir::open).transpose()?;
        let keeper = dir.map(|dir| Keeper::new(dir, &shared.identity));
        let sender = Sender::new(collector, exporter, export.interval, last_export_grace(config.shutdown_grace));
        let sender = sender.with_keeper(keeper);
        supervisor.start("metrics export", sender.run(supervisor.stopping()));
    }
    let Some(settings) = export.otlp.logs.clone().filter(|_| export.events) else { return Ok((None, ended)) };
    let mut outage = Outage::new(Signal::Logs, &settings);
    let (sender, exporter) = events::channel(Exporter::new(Signal::Logs, settings, shared.identity.clone())?);
    let (own, interval, grace) = (shared.own.clone(), export.interval, last_export_grace(config.shutdown_grace));
    let mut stop = supervisor.stopping();
    supervisor.start("event export", async move {
        let give_up = async move {
            stop.asked().await;
            tokio::time::sleep_until(Instant::now() + grace).await;
        };
        let report = |report: &_, took| exported(&own, &mut outage, Signal::Logs, report, took);
        let lost = exporter.run(interval, give_up, report).await;
        if lost > 0 {
            own.event_logs_dropped(lost as u64);
            tracing::warn!(event.name = "export.events_lost", lost, "the OTLP receiver did not take the last events");
        }
        Ok(())
    });
    Ok((Some(sender), ended))
}

/// Time limit of the last exports, which end a little before the agent has to.
fn last_export_grace(shutdown_grace: Duration) -> Duration {
    shutdown_grace.mul_f32(0.9)
}

/// Starts the admin server and the metrics server, which share one reader of series; ended interfaces to show go into the
/// returned sender.
fn start_servers(
    config: &Config,
    shared: &Shared,
    pipeline: &Pipeline,
    gate: Option<Gate>,
    supervisor: &mut Supervisor,
) -> anyhow::Result<Option<mpsc::Sender<Ended>>> {
    let tls = config.metrics_tls.clone().map(admin::Tls::new).transpose()?;
    let admin = listen(config.admin_address, "admin-address")?;
    let metrics = listen(config.metrics_address, "metrics-address")?;
    let socket = config.admin_socket.options().map(|options| Socket::bind(&options)).transpose()?;
    if admin.is_none() && socket.is_none() && metrics.is_none() {
        return Ok(None);
    }
    let mut options = config.export.options.clone().for_page(config.export.prometheus_names);
    options.created = config.export.prometheus_created;
    let (ended, receiver) = mpsc::channel(MOST_ENDED);
    let collector = Collector::new(shared.clone(), Accumulator::for_reader(Reader::Page, options)).with_ended(receiver);
    let (scrapes, scraper) = scraper::channel(collector, &config.export);
    let handles = Arc::new(handlers::handles(shared, pipeline, scrapes));
    supervisor.start("metrics page", scraper.run());
    let metrics_router = match gate {
        Some(gate) => admin::guarded_router(handles.clone(), gate),
        None => admin::metrics_router(handles.clone()),
    };
    for (name, listener, tls, router) in [
        ("admin server", admin.map(Listener::Tcp), None, admin::router(handles.clone())),
        ("admin socket", socket.map(Listener::Unix), None, admin::router(handles)),
        ("metrics server", metrics.map(Listener::Tcp), tls, metrics_router),
    ] {
        let Some(listener) = listener else { continue };
        let mut stop = supervisor.stopping();
        supervisor.start(name, async move {
            Ok(admin::serve(listener, tls, router, async move { stop.asked().await }).await?)
        });
    }
    Ok(config.export.shows_interfaces().then_some(ended))
}

/// The check of scrapers' tokens, where one is wanted.
async fn gate(config: &Config) -> anyhow::Result<Option<Gate>> {
    if config.metrics_authorization == Authorization::Open {
        return Ok(None);
    }
    let api = ApiServer::connect(config.kubeconfig.as_deref()).await?;
    let api = api.context("--metrics-authorization needs an API server: run in a pod, or set --kubeconfig")?;
    Ok(Some(Gate::new(Reviews::new(&api))))
}

fn listen(address: Option<SocketAddr>, setting: &str) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let refused =
        || format!("cannot listen on {address}; stop the program that listens there, or choose another --{setting}");
    admin::bind(address).with_context(refused).map(Some)
}

/// Logs the engine and the destinations of metrics.
fn announce(config: &Config, pipeline: &Pipeline) {
    let status = pipeline.handle().status();
    tracing::info!(event.name = "engine.chosen", engine = status.engine.as_str(), "{}", status.reason);
    match &config.export.otlp.metrics {
        Some(otlp) => {
            tracing::info!(event.name = "export.enabled", endpoint = %otlp.endpoint, interval = ?config.export.interval, "metrics are sent with OTLP")
        }
        None => tracing::info!(event.name = "export.disabled", "nothing is sent with OTLP: no --otlp-endpoint"),
    }
    if let Some(address) = config.admin_address {
        tracing::info!(event.name = "admin.listening", %address, interfaces = config.export.shows_interfaces(), "metrics are served at http://{address}/metrics");
    }
    if let Some(path) = &config.admin_socket.path {
        tracing::info!(event.name = "admin.listening", socket = %path.display(), "the admin server listens on {}", path.display());
    }
    if let Some(address) = config.metrics_address {
        let scheme = if config.metrics_tls.is_some() { "https" } else { "http" };
        tracing::info!(event.name = "metrics.listening", %address, interfaces = config.export.shows_interfaces(), "metrics are served at {scheme}://{address}/metrics, without /v1/");
    }
}
