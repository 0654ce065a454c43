//! Keeps the state of the metrics export in the state directory, for the next agent.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, SystemTime};

use prost::bytes::BytesMut;
use tokio::time::Instant;

use super::collector::Collector;
use crate::export::otlp::{Batches, Exporter, Failure, Report};
use crate::export::resource::Identity;
use crate::metrics::points::Points;
use crate::state_dir::{Request, State, StateDir};

/// Time to collect ends of interfaces before a state is written.
const SAVE_AFTER: Duration = Duration::from_millis(100);

/// Writes and reads the state of one export.
pub(super) struct Keeper {
    dir: StateDir,
    agent: String,
    /// Last points of the agent before, until their delivery.
    left: Vec<Request>,
    is_failing: bool,
}

impl Keeper {
    pub(super) fn new(dir: StateDir, identity: &Identity) -> Self {
        let mut hasher = DefaultHasher::new();
        (&identity.node, &identity.attributes, identity.entities, env!("CARGO_PKG_VERSION")).hash(&mut hasher);
        Self { dir, agent: format!("{:016x}", hasher.finish()), left: Vec::new(), is_failing: false }
    }

    /// Continues the state of the agent before.
    pub(super) fn load(&mut self, collector: &mut Collector) {
        let Some(state) = self.dir.load() else { return };
        let (series, requests) = (state.streams.len(), state.requests.len());
        tracing::info!(
            event.name = "state.loaded",
            interfaces = series,
            requests,
            "the series of the agent before continue"
        );
        collector.accumulator().restore(state.streams, state.agent == self.agent);
        self.left = state.requests;
    }

    /// Sends what the agent before could not; later points of the same series follow.
    pub(super) async fn deliver(&mut self, exporter: &mut Exporter, deadline: Instant) {
        let mut report = Report::default();
        while let Some(Request { items, body }) = self.left.first().cloned() {
            let has_arrived = exporter.deliver(body, items, deadline, &mut report).await;
            if !has_arrived && !matches!(report.failure, Some(Failure::Refused(_))) {
                return;
            }
            self.left.remove(0);
        }
    }

    /// Waits for the ends of interfaces, and saves them.
    pub(super) async fn keep(&mut self, collector: &mut Collector) {
        collector.ended().await;
        // Pods often end together.
        tokio::time::sleep_until(Instant::now() + SAVE_AFTER).await;
        collector.take_ended();
        self.save(collector);
    }

    /// Writes the state; the first of several failures is logged.
    pub(super) fn save(&mut self, collector: &mut Collector) {
        let identity = collector.shared().identity.clone();
        let accumulator = collector.accumulator();
        let pending = accumulator.pending(SystemTime::now());
        let requests = self.left.iter().cloned().chain(pending.iter().flat_map(|points| requests(points, &identity)));
        let requests: Vec<_> = requests.collect();
        let number = requests.len();
        let state = State { agent: self.agent.clone(), requests, streams: accumulator.saved(), ..State::default() };
        match self.dir.save(state) {
            Ok(()) => {
                self.is_failing = false;
                tracing::debug!(event.name = "state.saved", requests = number, "the state is written");
            }
            Err(error) if !self.is_failing => {
                self.is_failing = true;
                let dir = self.dir.path().display();
                tracing::warn!(event.name = "state.unsaved", %dir, %error, "the state cannot be written: a restart would begin every series anew");
            }
            Err(_) => {}
        }
    }
}

/// The keeper's work beside a long export, if there is a keeper.
pub(super) async fn keep(keeper: Option<&mut Keeper>, collector: &mut Collector) {
    match keeper {
        Some(keeper) => keeper.keep(collector).await,
        None => std::future::pending().await,
    }
}

fn requests(points: &Points, identity: &Identity) -> Vec<Request> {
    let (mut batches, mut buffer) = (Batches::new(points, identity), BytesMut::new());
    let next = || batches.next(&mut buffer).map(|batch| (batch.points, buffer.split().freeze()));
    std::iter::from_fn(next).map(|(items, body)| Request { items, body }).collect()
}
