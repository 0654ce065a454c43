//! Hands each event to the log, the event export and the agent's own metrics.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Level;

use super::endings::Endings;
use super::limit::{LINES, Limiter, RECORDS};
use super::untagged;
use crate::export::events::EventSender;
use crate::feed::Feed;
use crate::interface::{Event, Interface};
use crate::metrics::own::OwnMetrics;
use crate::pipeline::Pipeline;

/// The last stage of the pipeline.
pub(super) struct EventSink {
    own: Arc<OwnMetrics>,
    synced: watch::Sender<Option<SystemTime>>,
    logs: Option<EventSender>,
    /// Readers of `/v1/watch`, where a server answers them.
    feed: Option<Arc<Feed>>,
    lines: Limiter,
    records: Limiter,
    ended: Endings,
}

impl EventSink {
    pub(super) fn new(
        own: Arc<OwnMetrics>,
        synced: watch::Sender<Option<SystemTime>>,
        logs: Option<EventSender>,
        feed: Option<Arc<Feed>>,
        ended: Endings,
    ) -> Self {
        Self { own, synced, logs, feed, lines: Limiter::new(LINES), records: Limiter::new(RECORDS), ended }
    }

    pub(super) fn take(&mut self, event: &Event, pipeline: &Pipeline) {
        let now = SystemTime::now();
        self.own.event(event.kind());
        if let Some(feed) = &self.feed {
            feed.push(event, now);
        }
        if !self.record(event, now) {
            self.own.event_logs_dropped(1);
        }
        if let Event::Deleted(interface, Some(counters)) = event
            && pipeline.metrics_filter().allows(interface)
        {
            self.ended.push(interface, counters, *self.synced.borrow(), &self.own);
        }
        if *event == Event::Synced {
            self.synced.send_replace(Some(now));
            log_synced(pipeline);
        }
        let synced = self.is_synced();
        if let Some(interface) = event.interface()
            && is_logged(level(event, synced))
            && self.lines.allows(interface, Instant::now())
        {
            log(event, interface, synced);
        }
    }

    /// Reports omitted lines and records, once a minute at most.
    ///
    /// Cancellation loses nothing.
    pub(super) async fn report_omissions(&mut self) {
        let (kind, omitted) = tokio::select! {
            omitted = self.lines.report() => ("log lines", omitted),
            omitted = self.records.report() => ("event records", omitted),
        };
        let pod = omitted.pod;
        tracing::warn!(
            event.name = "interface.events_omitted",
            count = omitted.count,
            pod,
            "{kind} about interfaces were omitted in the last minute; pod is the one with most of them"
        );
    }

    fn is_synced(&self) -> bool {
        self.synced.borrow().is_some()
    }

    /// Whether the event was queued for export, or is not to be exported.
    fn record(&mut self, event: &Event, now: SystemTime) -> bool {
        let synced = self.is_synced();
        let Some(logs) = &mut self.logs else { return true };
        // Interfaces that exist at the start are not the work of a pod that misbehaves.
        let allowed =
            !synced || event.interface().is_none_or(|interface| self.records.allows(interface, Instant::now()));
        allowed && logs.push(event, now)
    }
}

fn log_synced(pipeline: &Pipeline) {
    let status = pipeline.handle().status();
    let untagged = untagged::count(pipeline.lookup(), pipeline.filter());
    tracing::info!(
        event.name = "agent.synced",
        namespaces = status.namespaces,
        interfaces = status.interfaces,
        untagged,
        "everything that exists is known"
    );
    if let Some(unseen) = pipeline.unseen() {
        tracing::warn!(event.name = "agent.unseen", "{unseen}");
    }
}

/// Additions and deletions are of interest to everybody; interfaces that existed at the start and updates only where a
/// fault is sought.
fn level(event: &Event, synced: bool) -> Level {
    match event {
        Event::Added(_) if !synced => Level::DEBUG,
        Event::Updated(..) => Level::DEBUG,
        Event::Added(_) | Event::Deleted(..) | Event::Synced => Level::INFO,
    }
}

fn is_logged(level: Level) -> bool {
    if level == Level::INFO { tracing::enabled!(Level::INFO) } else { tracing::enabled!(Level::DEBUG) }
}

fn log(event: &Event, interface: &Interface, synced: bool) {
    let (netns, name) = (&interface.netns.place, interface.name);
    let pod = interface.owner.as_ref().map(ToString::to_string);
    match event {
        Event::Added(_) if !synced => {
            tracing::debug!(event.name = "interface.found", %netns, interface = %name, pod, "found");
        }
        Event::Added(_) => tracing::info!(event.name = "interface.added", %netns, interface = %name, pod, "added"),
        Event::Updated(_, changes) => {
            tracing::debug!(event.name = "interface.updated", %netns, interface = %name, pod, ?changes, "updated");
        }
        Event::Deleted(..) => {
            tracing::info!(event.name = "interface.deleted", %netns, interface = %name, pod, "deleted");
        }
        Event::Synced => {}
    }
}
