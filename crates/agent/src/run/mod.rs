//! The program that runs on a node: builds all parts, supervises them and ends them in order.

mod collector;
mod handlers;
mod limit;
mod link_speed;
mod memory;
mod outage;
mod reload;
mod scraper;
mod sender;
mod settled;
pub mod signals;
mod sink;
mod supervisor;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use self::collector::{Collector, SeriesCount, Shared};
use self::outage::Outage;
use self::reload::Reload;
use self::sender::{Sender, exported};
use self::settled::Settled;
use self::sink::EventSink;
pub(crate) use self::supervisor::Stop;
use self::supervisor::Supervisor;
use crate::admin;
use crate::config::{Config, ConfigSources};
use crate::export::events::{self, EventSender};
use crate::export::otlp::Exporter;
use crate::export::resource::Identity;
use crate::export::settings::Signal;
use crate::metrics::own::OwnMetrics;
use crate::metrics::points::{Reader, Temporality};
use crate::metrics::series::Accumulator;
use crate::pipeline::Pipeline;
use crate::secret::Redacted;

/// Runs until SIGTERM or SIGINT, then exports for the last time.
///
/// # Errors
/// When a part that the agent cannot work without cannot be started, fails or ends.
pub async fn run(sources: &ConfigSources, config: &Config) -> anyhow::Result<()> {
    let mut supervisor = Supervisor::new()?;
    let mut reload = Reload::new(sources, config)?;
    signals::unblock()?;
    let mut pipeline = Pipeline::start(config).await?;
    let (synced, was_synced) = watch::channel(None);
    let shared = shared(config, &pipeline, was_synced);
    let logs = start_export(config, &shared, &mut supervisor)?;
    start_admin(config, &shared, &pipeline, &mut supervisor).await?;
    announce(config, &pipeline);
    let mut sink = EventSink::new(shared.own.clone(), synced, logs);
    let ended = loop {
        tokio::select! {
            event = pipeline.next() => sink.take(&event?, &pipeline),
            ended = supervisor.ended() => break ended,
            config = reload.next() => pipeline.reload(&config),
            () = sink.report_omissions() => {}
        }
    };
    // Without a sink, the event export ends as soon as its queue is empty. The watcher lives on until the last
    // counters are read.
    drop(sink);
    ended?;
    supervisor.stop(config.shutdown_grace).await
}

fn shared(config: &Config, pipeline: &Pipeline, synced: watch::Receiver<Option<SystemTime>>) -> Shared {
    let count = watch::Sender::new(SeriesCount::default());
    let node = config.node_name.clone().or_else(hostname).unwrap_or_default();
    Shared {
        handle: pipeline.handle().clone(),
        lookup: pipeline.lookup().clone(),
        filter: pipeline.filter().clone(),
        own: Arc::new(OwnMetrics::new(handlers::observer(pipeline, count.subscribe()))),
        settled: Settled::new(synced, pipeline.owners().clone()),
        identity: Arc::new(Identity { node, attributes: config.export.otlp.attributes.clone() }),
        count,
    }
}

fn hostname() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok()
}

/// Starts the exports; events to export go into the returned sender.
fn start_export(config: &Config, shared: &Shared, supervisor: &mut Supervisor) -> anyhow::Result<Option<EventSender>> {
    let export = &config.export;
    if let Some(settings) = export.otlp.metrics.clone() {
        let exporter = Exporter::new(Signal::Metrics, settings, shared.identity.clone())?;
        let reader = match exporter.settings().temporality {
            Temporality::Cumulative => Reader::Totals,
            Temporality::Delta => Reader::Deltas,
        };
        let collector = Collector::new(shared.clone(), Accumulator::for_reader(reader, export.options.clone()));
        let sender = Sender::new(collector, exporter, export.interval, last_export_grace(config.shutdown_grace));
        supervisor.start("metrics export", sender.run(supervisor.stopping()));
    }
    let Some(settings) = export.otlp.logs.clone().filter(|_| export.events) else { return Ok(None) };
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
    Ok(Some(sender))
}

/// Time limit of the last exports, which end a little before the agent has to.
fn last_export_grace(shutdown_grace: Duration) -> Duration {
    shutdown_grace.mul_f32(0.9)
}

async fn start_admin(
    config: &Config,
    shared: &Shared,
    pipeline: &Pipeline,
    supervisor: &mut Supervisor,
) -> anyhow::Result<()> {
    let Some(address) = config.admin_address else { return Ok(()) };
    let refused = || {
        format!("cannot listen on {address}; stop the program that listens there, or choose another --admin-address")
    };
    let listener = TcpListener::bind(address).await.with_context(refused)?;
    let collector =
        Collector::new(shared.clone(), Accumulator::for_reader(Reader::Page, config.export.options.clone()));
    let (scrapes, scraper) = scraper::channel(collector, config.export.shows_interfaces());
    let router = admin::router(handlers::handles(shared, pipeline, scrapes));
    supervisor.start("metrics page", scraper.run());
    let mut stop = supervisor.stopping();
    supervisor.start("admin server", async move {
        Ok(admin::serve(listener, router, async move { stop.asked().await }).await?)
    });
    Ok(())
}

/// Logs the engine and the destinations of metrics.
fn announce(config: &Config, pipeline: &Pipeline) {
    let status = pipeline.handle().status();
    tracing::info!(event.name = "engine.chosen", engine = status.engine.as_str(), "{}", status.reason);
    match &config.export.otlp.metrics {
        Some(otlp) => {
            tracing::info!(event.name = "export.enabled", endpoint = %Redacted(&otlp.endpoint), interval = ?config.export.interval, "metrics are sent with OTLP")
        }
        None => tracing::info!(event.name = "export.disabled", "nothing is sent with OTLP: no --otlp-endpoint"),
    }
    if let Some(address) = config.admin_address {
        tracing::info!(event.name = "admin.listening", %address, interfaces = config.export.shows_interfaces(), "metrics are served at http://{address}/metrics");
    }
}
