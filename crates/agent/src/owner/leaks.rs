//! Tells of namespaces that have outlived their pods: a runtime whose CNI DEL fails, or a process that holds on.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use iface_core::NetnsId;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::owner::tagger::Tagger;

/// Time between two comparisons.
const PERIOD: Duration = Duration::from_secs(30);

/// Time after which a namespace without a pod is leaked. A forced deletion removes the pod from the API server at
/// once, and its containers have 30 s by default to end.
const GRACE: Duration = Duration::from_secs(5 * 60);

/// Compares the namespaces with the pods of the API server.
#[derive(Debug, Default)]
pub(super) struct Leaks {
    /// Runs after the first list of pods.
    timer: Option<Pin<Box<Sleep>>>,
    /// Namespaces whose pod the API server does not know, and since when.
    orphans: BTreeMap<NetnsId, Instant>,
    reported: BTreeSet<NetnsId>,
    /// Whether the last request to the API server failed: a new pod is not known yet.
    is_failing: bool,
}

/// Result of a comparison.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Namespaces that are leaked since this comparison.
    pub(super) new: Vec<NetnsId>,
    /// Leaked namespaces.
    pub(super) all: BTreeSet<NetnsId>,
    /// Namespaces whose pod the API server has never known, with no evidence of a pod but a CNI result without uid.
    pub(super) strangers: BTreeSet<NetnsId>,
}

impl Leaks {
    /// A list of pods is complete.
    pub(super) fn listed(&mut self) {
        self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now())));
    }

    /// A request to the API server failed: the grace begins anew once the API server answers.
    pub(super) fn failed(&mut self) {
        self.is_failing = true;
        self.orphans.retain(|id, _| self.reported.contains(id));
    }

    /// The API server answers.
    pub(super) fn answered(&mut self) {
        self.is_failing = false;
    }

    /// Ready after each comparison.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, tagger: &Tagger) -> Poll<Found> {
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        let now = Instant::now();
        timer.as_mut().reset(now + PERIOD);
        let orphans = tagger.orphans();
        self.orphans.retain(|id, _| orphans.contains(id));
        for id in orphans.into_iter().filter(|_| !self.is_failing) {
            self.orphans.entry(id).or_insert(now);
        }
        let past_grace = self.orphans.iter().filter(|(_, since)| now - **since >= GRACE).map(|(id, _)| *id);
        let (strangers, leaked): (BTreeSet<_>, BTreeSet<_>) = past_grace.partition(|id| tagger.is_strange(*id));
        let new = leaked.difference(&self.reported).copied().collect();
        self.reported = leaked;
        Poll::Ready(Found { new, all: self.reported.clone(), strangers })
    }
}
