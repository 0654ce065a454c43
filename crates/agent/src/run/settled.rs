//! Whether enough is known for a first export.

use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::owner::OwnerStatus;

/// Longest time after the start of the agent that a first export waits for the API server.
const FIRST_PODS: Duration = Duration::from_secs(10);

/// Longest time after the start of the agent that readiness waits for the API server: longer than a start of an API
/// server, and short enough for a rollout to go on while the API server refuses the agent.
const READY: Duration = Duration::from_secs(30);

/// Follows the first scan of namespaces and the first list of pods.
///
/// Before the scan, missing interfaces would look deleted. Before the list of pods, series lack their workload
/// and labels and would continue under other attributes a moment later.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    synced: watch::Receiver<Option<SystemTime>>,
    owners: watch::Receiver<OwnerStatus>,
    start: Instant,
}

impl Settled {
    /// Counts the time from now on.
    pub(super) fn new(synced: watch::Receiver<Option<SystemTime>>, owners: watch::Receiver<OwnerStatus>) -> Self {
        Self { synced, owners, start: Instant::now() }
    }

    /// Whether series can be exported now.
    pub(super) fn is_settled(&self) -> bool {
        let has_pods = || has_pods(&self.owners.borrow()) || Instant::now() >= self.start + FIRST_PODS;
        self.is_synced() && has_pods()
    }

    /// Whether readiness waits for the first list of pods.
    pub(super) fn awaits_pods(&self) -> bool {
        !has_pods(&self.owners.borrow()) && Instant::now() < self.start + READY
    }

    /// Whether everything that existed at the start is known.
    pub(super) fn is_synced(&self) -> bool {
        self.synced_at().is_some()
    }

    /// Time at which everything that existed at the start was known.
    pub(super) fn synced_at(&self) -> Option<SystemTime> {
        *self.synced.borrow()
    }

    /// Returns when series can be exported; `false` where the first scan will never end.
    ///
    /// Cancellation loses nothing.
    pub(super) async fn wait(&self) -> bool {
        self.wait_for_pods(FIRST_PODS).await
    }

    /// Returns when readiness waits no longer; `false` where the first scan will never end.
    ///
    /// Cancellation loses nothing.
    pub(super) async fn ready(&self) -> bool {
        self.wait_for_pods(READY).await
    }

    async fn wait_for_pods(&self, limit: Duration) -> bool {
        let (mut synced, mut owners) = (self.synced.clone(), self.owners.clone());
        if synced.wait_for(Option::is_some).await.is_err() {
            return false;
        }
        // Neither a late API server nor the end of the owners' stream keeps counters back.
        let _ = timeout_at(self.start + limit, owners.wait_for(has_pods)).await;
        true
    }
}

fn has_pods(owners: &OwnerStatus) -> bool {
    owners.pods_listed != Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    fn status(pods_listed: Option<bool>) -> OwnerStatus {
        OwnerStatus { pods_listed, ..OwnerStatus::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn first_export_waits_for_pods() {
        let (_scan, synced) = watch::channel(Some(at(1)));
        let (list, owners) = watch::channel(status(Some(false)));
        let settled = Settled::new(synced, owners);
        assert!(!settled.is_settled());
        let start = Instant::now();
        let listing = async {
            tokio::time::sleep_until(start + Duration::from_secs(3)).await;
            list.send_replace(status(Some(true)));
        };
        let (is_settled, ()) = tokio::join!(settled.wait(), listing);
        assert!(is_settled && settled.is_settled());
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_absent_api_server_delays_it_once() {
        let (_scan, synced) = watch::channel(Some(at(1)));
        let (_list, owners) = watch::channel(status(Some(false)));
        let settled = Settled::new(synced, owners);
        let start = Instant::now();
        assert!(settled.wait().await && settled.wait().await && settled.is_settled());
        assert_eq!(start.elapsed(), FIRST_PODS);
        assert!(settled.awaits_pods());
        assert!(settled.ready().await);
        assert_eq!(start.elapsed(), READY);
        assert!(!settled.awaits_pods(), "readiness does not wait forever");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_exported_before_the_scan() {
        let (scan, synced) = watch::channel(None);
        let (_list, owners) = watch::channel(status(None));
        let settled = Settled::new(synced, owners);
        tokio::time::sleep_until(Instant::now() + 2 * FIRST_PODS).await;
        assert!(!settled.is_settled());
        drop(scan);
        assert!(!settled.wait().await);
    }
}
