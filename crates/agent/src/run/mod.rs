//! The program that runs on a node: everything is built here, supervised, and ended in order.

mod collector;
mod handlers;
mod memory;
mod reload;
mod scraper;
mod sender;
mod supervisor;

use std::sync::Arc;
use std::time::SystemTime;

use crate::interface::Event;
use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::collector::{Collector, SeriesCount, Shared};
use self::reload::Reload;
use self::sender::{Sender, exported};
pub(crate) use self::supervisor::Stop;
use self::supervisor::Supervisor;
use crate::admin;
use crate::config::{Config, ConfigSources};
use crate::export::events::{self, EventSender};
use crate::export::otlp::Exporter;
use crate::export::resource::Identity;
use crate::export::settings::Signal;
use crate::metrics::own::OwnMetrics;
use crate::pipeline::Pipeline;

/// Runs until SIGTERM or SIGINT, then sends everything a last time.
///
/// # Errors
/// When something it cannot go on without cannot be started, fails or ends.
pub async fn run(sources: &ConfigSources, config: &Config) -> anyhow::Result<()> {
    let mut supervisor = Supervisor::new()?;
    let mut reload = Reload::new(sources)?;
    let mut pipeline = Pipeline::start(config).await?;
    let (synced, was_synced) = watch::channel(None);
    let shared = shared(config, &pipeline, was_synced);
    let logs = start_export(config, &shared, &mut supervisor)?;
    start_admin(config, &shared, &pipeline, &mut supervisor).await?;
    announce(config, &pipeline);
    let mut sink = EventSink { own: shared.own.clone(), synced, logs };
    let ended = loop {
        tokio::select! {
            event = pipeline.next() => sink.take(&event?, &pipeline),
            ended = supervisor.ended() => break ended,
            config = reload.next() => pipeline.reload(&config),
        }
    };
    // No more events are taken, so event logs end when what waits is sent. The watcher lives on
    // until the last counters are read.
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
        identity: Arc::new(Identity { node, attributes: config.export.otlp.attributes.clone() }),
        synced,
        count,
    }
}

fn hostname() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok()
}

/// Starts what sends; where events are to be sent, they go into what is returned.
fn start_export(config: &Config, shared: &Shared, supervisor: &mut Supervisor) -> anyhow::Result<Option<EventSender>> {
    let export = &config.export;
    if let Some(settings) = export.otlp.metrics.clone() {
        let exporter = Exporter::new(Signal::Metrics, settings, shared.identity.clone())?;
        let collector = Collector::new(shared.clone(), export.options.clone());
        let sender = Sender::new(collector, exporter, export.interval, config.shutdown_grace);
        supervisor.start("metrics export", sender.run(supervisor.stopping()));
    }
    let Some(settings) = export.otlp.logs.clone().filter(|_| export.events) else { return Ok(None) };
    let (sender, exporter) = events::channel(Exporter::new(Signal::Logs, settings, shared.identity.clone())?);
    let (own, interval) = (shared.own.clone(), export.interval);
    supervisor.start("event export", async move {
        exporter.run(interval, |report, took| exported(&own, Signal::Logs, report, took)).await;
        Ok(())
    });
    Ok(Some(sender))
}

async fn start_admin(
    config: &Config,
    shared: &Shared,
    pipeline: &Pipeline,
    supervisor: &mut Supervisor,
) -> anyhow::Result<()> {
    let Some(address) = config.admin_address else { return Ok(()) };
    let refused = || format!("cannot listen on {address}: end what does, or choose another --admin-address");
    let listener = TcpListener::bind(address).await.with_context(refused)?;
    let collector = Collector::new(shared.clone(), config.export.options.clone());
    let (scrapes, scraper) = scraper::channel(collector, config.export.shows_interfaces());
    let router = admin::router(handlers::handles(shared, pipeline, scrapes));
    supervisor.start("metrics page", scraper.run());
    let mut stop = supervisor.stopping();
    supervisor.start("admin server", async move {
        Ok(admin::serve(listener, router, async move { stop.asked().await }).await?)
    });
    Ok(())
}

/// What is to be known of a start: how it sees, where it tells.
fn announce(config: &Config, pipeline: &Pipeline) {
    let status = pipeline.handle().status();
    tracing::info!(event.name = "engine.chosen", engine = status.engine.as_str(), "{}", status.reason);
    match &config.export.otlp.metrics {
        Some(otlp) => {
            tracing::info!(event.name = "export.otlp", endpoint = %otlp.endpoint, interval = ?config.export.interval, "metrics are sent with OTLP")
        }
        None => tracing::info!(event.name = "export.none", "nothing is sent with OTLP: no --otlp-endpoint"),
    }
    if let Some(address) = config.admin_address {
        tracing::info!(event.name = "admin.listening", %address, interfaces = config.export.shows_interfaces(), "metrics are served at http://{address}/metrics");
    }
}

/// Where events go.
struct EventSink {
    own: Arc<OwnMetrics>,
    synced: watch::Sender<Option<SystemTime>>,
    logs: Option<EventSender>,
}

impl EventSink {
    fn take(&mut self, event: &Event, pipeline: &Pipeline) {
        let now = SystemTime::now();
        self.own.event(event.kind());
        if self.logs.as_ref().is_some_and(|logs| !logs.push(event, now)) {
            self.own.event_logs_dropped(1);
        }
        if *event == Event::Synced {
            self.synced.send_replace(Some(now));
            let status = pipeline.handle().status();
            let untagged = pipeline.owners().borrow().tallies.untagged;
            tracing::info!(
                event.name = "synced",
                namespaces = status.namespaces,
                interfaces = status.interfaces,
                untagged,
                "everything that exists is known"
            );
            if let Some(unseen) = pipeline.unseen() {
                tracing::warn!(event.name = "unseen", "{unseen}");
            }
        }
        log(event, self.synced.borrow().is_some());
    }
}

/// A line for what happens; what existed at the start is only of interest when something is sought.
fn log(event: &Event, synced: bool) {
    let Some(interface) = event.interface() else { return };
    let (netns, name) = (&interface.netns.place, interface.name);
    let pod = interface.owner.as_ref().map(|owner| format!("{}/{}", owner.pod.namespace, owner.pod.name));
    match event {
        Event::Added(_) if !synced => {
            tracing::debug!(event.name = "interface.found", %netns, interface = %name, pod, "found");
        }
        Event::Added(_) => tracing::info!(event.name = "interface.added", %netns, interface = %name, pod, "added"),
        Event::Updated(_, changes) => {
            tracing::info!(event.name = "interface.updated", %netns, interface = %name, pod, ?changes, "updated");
        }
        Event::Deleted(_) => {
            tracing::info!(event.name = "interface.deleted", %netns, interface = %name, pod, "deleted")
        }
        Event::Synced => {}
    }
}
