//! Callbacks of the admin server and of the agent's own metrics.

use std::sync::Arc;

use netns_scan::{Fault, FaultKind, Handle, Status};
use tokio::sync::watch;

use super::collector::{SeriesCount, Shared};
use super::readings::LastReadings;
use super::scraper::Scrapes;
use crate::admin::Handles;
use crate::feed::{Feed, FeedCounts};
use crate::metrics::own::Observed;
use crate::owner::{FOREIGN, OwnerStatus};
use crate::pipeline::Pipeline;

/// Source of the agent's own metrics; it answers at once.
pub(super) fn observer(
    pipeline: &Pipeline,
    count: watch::Receiver<SeriesCount>,
    feed: Arc<Feed>,
) -> impl Fn() -> Observed + Send + Sync + 'static {
    let (handle, owners) = (pipeline.handle().clone(), pipeline.owners().clone());
    move || observe(&handle, &owners.borrow(), *count.borrow(), feed.counts())
}

fn observe(handle: &Handle, owners: &OwnerStatus, count: SeriesCount, feed: FeedCounts) -> Observed {
    let (status, tallies) = (handle.status(), handle.tallies());
    Observed {
        unread: tallies.unread,
        merged: tallies.merged,
        overruns: tallies.overruns,
        resyncs: tallies.resyncs,
        malformed: tallies.malformed,
        namespaces: status.namespaces as u64,
        interfaces: status.interfaces as u64,
        leaked: owners.tallies.leaked,
        api_failures: owners.tallies.pod_faults,
        api_faults: u64::from(owners.pod_fault.is_some()) + u64::from(owners.foreign_pods),
        faults: status.faults.len() as u64,
        cni_refused: owners.tallies.refused_files,
        conflicts: owners.tallies.conflicts,
        series: count.series as u64,
        overflow: count.overflow as u64,
        duplicates: count.duplicates as u64,
        feed,
    }
}

/// Callbacks of the admin server.
pub(super) fn handles(shared: &Shared, pipeline: &Pipeline, scrapes: Scrapes) -> Handles {
    let (handle, owners, settled) = (shared.handle.clone(), pipeline.owners().clone(), shared.settled.clone());
    let (shown, known) = (shared.clone(), shared.clone());
    let readings = Arc::new(LastReadings::new(shared.handle.clone()));
    Handles {
        ready: Box::new(move || {
            let waits = Waits { for_scan: !settled.is_synced(), for_pods: settled.awaits_pods() };
            ready(waits, &handle.status(), &owners.borrow())
        }),
        interfaces: Box::new(move || shown.interfaces()),
        lookup: Box::new(move |wanted| known.find(wanted)),
        counters: Box::new(move || {
            let readings = readings.clone();
            Box::pin(async move { readings.get().await })
        }),
        node: shared.identity.node.clone(),
        feed: shared.feed.clone(),
        metrics: Box::new(move |format| scrapes.page(format)),
    }
}

/// The events that readiness waits for.
#[derive(Clone, Copy, Debug)]
struct Waits {
    for_scan: bool,
    for_pods: bool,
}

/// The agent is ready once all interfaces are known and nothing that the agent itself lacks hides namespaces. An API
/// server that does not answer delays readiness for a bounded time: a rollout must not stop for an outage.
fn ready(waits: Waits, status: &Status, owners: &OwnerStatus) -> Result<Option<String>, String> {
    if waits.for_scan {
        return Err("the first scan of namespaces is not done".to_owned());
    }
    let without_pods = (owners.pods_listed == Some(false)).then(|| {
        let why = owners.pod_fault.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("the first list of pods is not here{why}")
    });
    if let Some(why) = without_pods.clone().filter(|_| waits.for_pods) {
        return Err(why);
    }
    // A left-over name hides nothing, and a pod must not make the agent unready by the names of its links.
    // Nor does a namespace that somebody made without a name.
    let is_tolerable = |kind| matches!(kind, FaultKind::Name | FaultKind::Incomplete | FaultKind::Unnamed);
    let text = |fault: &Fault| format!("{}: {}", fault.subject.display(), fault.error);
    match status.faults.iter().find(|fault| !is_tolerable(fault.kind)) {
        Some(fault) => Err(text(fault)),
        None => {
            let foreign = || owners.foreign_pods.then(|| FOREIGN.to_owned());
            let of_pods = without_pods.or_else(|| owners.pod_fault.clone()).or_else(foreign);
            Ok(of_pods.or_else(|| status.faults.first().map(text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use netns_scan::EngineKind;

    use super::*;

    fn status(faults: Vec<Fault>) -> Status {
        let mut status = Status::new(EngineKind::Nsid, String::new());
        (status.synced, status.faults) = (true, faults);
        status
    }

    #[test]
    fn readiness_needs_scan_list_and_full_view() {
        let none = OwnerStatus::default();
        let waits = Waits { for_scan: false, for_pods: false };
        let ready = |faults, owners| super::ready(waits, &status(faults), owners);
        assert_eq!(ready(Vec::new(), &none), Ok(None));
        let scan = Waits { for_scan: true, ..waits };
        assert!(super::ready(scan, &status(Vec::new()), &none).unwrap_err().contains("first scan"));
        let fault = |kind| Fault::new(kind, "/run/netns/a", "too many open files");
        for tolerable in [FaultKind::Name, FaultKind::Incomplete, FaultKind::Unnamed] {
            let noted = ready(vec![fault(tolerable)], &none).unwrap();
            assert_eq!(noted.as_deref(), Some("/run/netns/a: too many open files"));
        }
        assert!(ready(vec![fault(FaultKind::Namespace)], &none).unwrap_err().contains("/run/netns/a: too many"));
    }

    #[test]
    fn api_server_delays_readiness_for_some_time() {
        let fault =
            |listed| OwnerStatus { pods_listed: Some(listed), pod_fault: Some("403".into()), ..OwnerStatus::default() };
        let ready = |for_pods, owners| ready(Waits { for_scan: false, for_pods }, &status(Vec::new()), &owners);
        assert!(ready(true, fault(false)).unwrap_err().contains("pods is not here: 403"));
        assert!(ready(false, fault(false)).unwrap().unwrap().contains("pods is not here: 403"));
        assert_eq!(ready(false, fault(true)).unwrap().as_deref(), Some("403"));
        let foreign = OwnerStatus { pods_listed: Some(true), foreign_pods: true, ..OwnerStatus::default() };
        assert_eq!(ready(false, foreign).unwrap().as_deref(), Some(FOREIGN));
    }
}
