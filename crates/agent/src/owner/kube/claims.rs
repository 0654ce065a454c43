//! The ResourceClaims of Dynamic Resource Allocation, from the API server.

use std::time::Duration;

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use kube::runtime::watcher;
use kube::{Api, Client};

use crate::causes::distinct;
use crate::owner::claim::{ClaimChange, ClaimEvent, ClaimRecord};
use crate::owner::kube::api_claim::{ApiClaim, Version};
use crate::owner::kube::follow::{Change, Failure, Follow, status_code};
use crate::owner::kube::watch::too_slow;

/// Versions with `status.devices[].networkData`, the best first: GA, and since Kubernetes 1.33 and 1.32.
const VERSIONS: [&str; 3] = ["v1", "v1beta2", "v1beta1"];

/// Time between two requests to an API server without ResourceClaims, or which forbids them: an administrator has to
/// change the cluster in between.
const SELDOM: Duration = Duration::from_secs(10 * 60);

/// Follows the claims; records are trimmed for `node`.
pub(super) fn follow(client: Client, node: String, list_timeout: Duration) -> impl Stream<Item = ClaimEvent> + Send {
    let watch = Watch { follow: Follow::new(client, list_timeout), node, version: 0 };
    stream::unfold(watch, |mut watch| async { Some((watch.next().await, watch)) })
}

struct Watch {
    follow: Follow<ApiClaim, ClaimRecord>,
    node: String,
    /// The version that is asked for, in [`VERSIONS`].
    version: usize,
}

impl Watch {
    async fn next(&mut self) -> ClaimEvent {
        loop {
            let version = Version(VERSIONS.get(self.version).copied().unwrap_or(VERSIONS[0]));
            let begin = |client: &Client, initial_list: super::initial_list::InitialList| {
                let config = initial_list.apply(watcher::Config::default());
                watcher::watcher(Api::all_with(client.clone(), &version), config).boxed()
            };
            let node = &self.node;
            match self.follow.next(begin, |claim| claim.into_record(node)).await {
                Ok(Change::Applied(record)) => return ClaimEvent::Change(ClaimChange::Applied(record)),
                Ok(Change::Listed(records)) => return ClaimEvent::Change(ClaimChange::Listed(records)),
                Ok(Change::Deleted(claim)) => {
                    if let Some(uid) = claim.uid() {
                        return ClaimEvent::Change(ClaimChange::Deleted(uid));
                    }
                }
                Err(Failure::Slow(limit)) => return ClaimEvent::Fault(too_slow(limit)),
                Err(Failure::Request(error)) => {
                    if let Some(event) = self.failed(&error) {
                        return event;
                    }
                }
            }
        }
    }

    /// The event of a failed request; `None` if another version is to be tried.
    fn failed(&mut self, error: &watcher::Error) -> Option<ClaimEvent> {
        match status_code(error) {
            Some(404) if self.version + 1 < VERSIONS.len() => {
                self.version += 1;
                self.follow.list_after(Duration::ZERO);
                None
            }
            Some(404) => {
                self.version = 0;
                self.follow.list_after(SELDOM);
                Some(ClaimEvent::Unused("the API server has no ResourceClaims (resource.k8s.io)".to_owned()))
            }
            Some(401 | 403) => {
                self.follow.list_after(SELDOM);
                let how = "allow the service account to list and watch resourceclaims of resource.k8s.io (ClusterRole)";
                Some(ClaimEvent::Unused(format!("the API server does not show ResourceClaims: {how}")))
            }
            _ => Some(ClaimEvent::Fault(format!("cannot ask the API server for ResourceClaims: {}", distinct(error)))),
        }
    }
}
