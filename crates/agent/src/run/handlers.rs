//! Callbacks of the admin server and of the agent's own metrics.

use netns_scan::{Fault, FaultKind, Handle, Status};
use tokio::sync::watch;

use super::collector::{SeriesCount, Shared};
use super::scraper::Scrapes;
use crate::admin::Handles;
use crate::metrics::own::Observed;
use crate::owner::OwnerStatus;
use crate::pipeline::Pipeline;

/// Source of the agent's own metrics; it answers at once.
pub(super) fn observer(
    pipeline: &Pipeline,
    count: watch::Receiver<SeriesCount>,
) -> impl Fn() -> Observed + Send + Sync + 'static {
    let (handle, owners) = (pipeline.handle().clone(), pipeline.owners().clone());
    move || observe(&handle, &owners.borrow(), *count.borrow())
}

fn observe(handle: &Handle, owners: &OwnerStatus, count: SeriesCount) -> Observed {
    let (status, tallies) = (handle.status(), handle.tallies());
    Observed {
        unread: tallies.unread,
        merged: tallies.merged,
        overruns: tallies.overruns,
        resyncs: tallies.resyncs,
        malformed: tallies.malformed,
        namespaces: status.namespaces as u64,
        interfaces: status.interfaces as u64,
        untagged: owners.tallies.untagged,
        faults: status.faults.len() as u64,
        cni_refused: owners.tallies.refused_files,
        ip_conflicts: owners.tallies.conflicts,
        series: count.series as u64,
        overflow: count.overflow as u64,
        duplicates: count.duplicates as u64,
    }
}

/// Callbacks of the admin server.
pub(super) fn handles(shared: &Shared, pipeline: &Pipeline, scrapes: Scrapes) -> Handles {
    let (handle, owners, settled) = (shared.handle.clone(), pipeline.owners().clone(), shared.settled.clone());
    let (shown, known) = (shared.clone(), shared.clone());
    Handles {
        ready: Box::new(move || ready(settled.is_synced(), &handle.status(), &owners.borrow())),
        interfaces: Box::new(move || shown.interfaces()),
        lookup: Box::new(move |wanted| known.find(wanted)),
        metrics: Box::new(move |format| scrapes.page(format)),
    }
}

/// The agent is ready once all interfaces are known and nothing that the agent itself lacks hides namespaces.
fn ready(synced: bool, status: &Status, owners: &OwnerStatus) -> Result<Option<String>, String> {
    if !synced {
        return Err("the first scan of namespaces is not done".to_owned());
    }
    if owners.pods_listed == Some(false) {
        let why = owners.pod_fault.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        return Err(format!("the first list of pods is not here{why}"));
    }
    // A left-over name hides nothing, and a pod must not make the agent unready by the names of its links.
    let is_tolerable = |kind| matches!(kind, FaultKind::Name | FaultKind::Incomplete);
    let text = |fault: &Fault| format!("{}: {}", fault.subject.display(), fault.error);
    match status.faults.iter().find(|fault| !is_tolerable(fault.kind)) {
        Some(fault) => Err(text(fault)),
        None => Ok(status.faults.first().map(text)),
    }
}

#[cfg(test)]
mod tests {
    use netns_scan::EngineKind;

    use super::*;

    fn status(faults: Vec<Fault>) -> Status {
        Status { engine: EngineKind::Nsid, reason: String::new(), synced: true, namespaces: 1, interfaces: 1, faults }
    }

    #[test]
    fn readiness_needs_scan_list_and_full_view() {
        let none = OwnerStatus::default();
        assert_eq!(ready(true, &status(Vec::new()), &none), Ok(None));
        assert!(ready(false, &status(Vec::new()), &none).unwrap_err().contains("first scan"));
        let asked = OwnerStatus { pods_listed: Some(false), pod_fault: Some("403".into()), ..none.clone() };
        assert!(ready(true, &status(Vec::new()), &asked).unwrap_err().contains("pods is not here: 403"));
        let fault = |kind| Fault { kind, subject: "/run/netns/a".into(), error: "too many open files".into() };
        for tolerable in [FaultKind::Name, FaultKind::Incomplete] {
            let noted = ready(true, &status(vec![fault(tolerable)]), &none).unwrap();
            assert_eq!(noted.as_deref(), Some("/run/netns/a: too many open files"));
        }
        assert!(
            ready(true, &status(vec![fault(FaultKind::Namespace)]), &none)
                .unwrap_err()
                .contains("/run/netns/a: too many")
        );
    }
}
