//! The pods of this node, from the API server.
//!
//! List and watch as in every Kubernetes since 1.20: pages, or a streamed list where the API server has it,
//! bookmarks, relist on 410 Gone, backoff with jitter, also after a watch that ends early without an error.
//! Objects are trimmed by the parser, so large annotations of a pod are never kept.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, DefaultBackoff};
use kube::{Api, Client, Config};
use tokio::time::Instant;

use crate::owner::kube::api_pod::ApiPod;
use crate::owner::kube::initial_list::{InitialList, refuses_to_stream};
use crate::owner::kube::pace::paced;
use crate::owner::kube::selection::Selection;
use crate::owner::pod::{PodChange, PodEvent, PodRecord};

/// Pods to compare with the pods of the node's namespaces; more than a node has.
const CHECKED: u32 = 500;

/// Time limit of a page, or of the next pod of a streamed list: the API server's own limit of a request.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Time limit of a silent connection: longer than the 290 s of a watch.
const SILENCE: Duration = Duration::from_secs(300);

/// A Kubernetes API server.
#[derive(Clone)]
pub struct ApiServer {
    client: Client,
    page_timeout: Duration,
}

/// The configuration allows no request to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig file.
    #[error("cannot use the kubeconfig {path}: {cause}")]
    Kubeconfig {
        /// Path of the file.
        path: String,
        /// Fault of the file.
        cause: String,
    },
    /// The service account mounted into a pod.
    #[error("cannot use the pod's service account: {0}; set automountServiceAccountToken or --kubeconfig")]
    ServiceAccount(String),
}

impl ApiServer {
    /// The API server of a kubeconfig, else of the pod's cluster; `None` outside a cluster.
    ///
    /// The client reads changed tokens again. Needs a tokio runtime; no request is
    /// sent yet.
    ///
    /// # Errors
    /// When the kubeconfig or the service account exists and cannot be used.
    pub async fn connect(kubeconfig: Option<&Path>) -> Result<Option<Self>, ConnectError> {
        let mut config = match kubeconfig {
            Some(path) => {
                // The lines after the first show a part of the file, which may be a secret.
                let refused = |cause: String| ConnectError::Kubeconfig {
                    path: path.display().to_string(),
                    cause: cause.lines().next().unwrap_or_default().to_owned(),
                };
                let file = Kubeconfig::read_from(path).map_err(|error| refused(chain(&error)))?;
                let options = KubeConfigOptions::default();
                Config::from_custom_kubeconfig(file, &options).await.map_err(|error| refused(chain(&error)))?
            }
            None if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() => return Ok(None),
            None => Config::incluster().map_err(|error| ConnectError::ServiceAccount(chain(&error)))?,
        };
        config.read_timeout = Some(SILENCE);
        let client = Client::try_from(config).map_err(|error| ConnectError::ServiceAccount(chain(&error)))?;
        Ok(Some(Self { client, page_timeout: PAGE_TIMEOUT }))
    }

    /// The client, for requests about other things than pods.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Changes the time limit of a page of a list; a minute by default.
    #[must_use]
    pub fn page_timeout(self, page_timeout: Duration) -> Self {
        Self { page_timeout, ..self }
    }

    /// Follows the pods of a node. The stream never ends: failures are emitted and retried.
    pub fn pods(self, node: &str, selection: Selection) -> impl Stream<Item = PodEvent> + Send + use<> {
        let client = paced(&self.client);
        let watch = Watch {
            pods: None,
            initial_list: None,
            client,
            node: node.to_owned(),
            page_timeout: self.page_timeout,
            selection,
            listing: Some(Vec::new()),
            backoff: DefaultBackoff::default(),
            not_before: None,
        };
        stream::unfold(watch, |mut watch| async { Some((watch.next().await, watch)) })
    }

    /// Namespace and name of the node's pods, at most 500.
    ///
    /// # Errors
    /// A line with the failure and the remedy.
    pub async fn pod_names(&self, node: &str) -> Result<BTreeSet<(String, String)>, String> {
        let params = kube::api::ListParams::default().fields(&node_selector(node)).limit(CHECKED);
        let api: Api<ApiPod> = Api::all(self.client.clone());
        match tokio::time::timeout(self.page_timeout, api.list(&params)).await {
            Ok(Ok(pods)) => Ok(pods.items.iter().map(ApiPod::name).collect()),
            Ok(Err(error)) => Err(explain(&error)),
            Err(_) => Err(too_slow(self.page_timeout)),
        }
    }
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").finish_non_exhaustive()
    }
}

type Pods = BoxStream<'static, watcher::Result<watcher::Event<ApiPod>>>;

struct Watch {
    client: Client,
    node: String,
    /// `None` before the first request, and before a new list.
    pods: Option<Pods>,
    /// `None` until the API server has been asked.
    initial_list: Option<InitialList>,
    page_timeout: Duration,
    selection: Selection,
    /// Pods listed so far, until the list is complete.
    listing: Option<Vec<PodRecord>>,
    backoff: DefaultBackoff,
    not_before: Option<Instant>,
}

impl Watch {
    async fn next(&mut self) -> PodEvent {
        loop {
            if let Some(instant) = self.not_before.take() {
                tokio::time::sleep_until(instant).await;
            }
            let initial_list = match self.initial_list {
                Some(known) => known,
                None => *self.initial_list.insert(InitialList::of(&self.client).await),
            };
            let next = self.pods.get_or_insert_with(|| follow(&self.client, &self.node, initial_list)).next();
            let event = match &self.listing {
                Some(_) => tokio::time::timeout(self.page_timeout, next).await,
                None => Ok(next.await),
            };
            match event {
                Ok(Some(Ok(event))) => {
                    if let Some(change) = self.take(event) {
                        return PodEvent::Change(change);
                    }
                }
                Ok(Some(Err(error))) if initial_list == InitialList::Streamed && refuses_to_stream(&error) => {
                    self.initial_list = Some(InitialList::Paged);
                    self.list_anew();
                }
                Ok(Some(Err(error))) => {
                    let gone = is_gone(&error);
                    self.back_off(gone);
                    // Expired history is not a fault: list again.
                    if !gone {
                        return PodEvent::Fault(explain_watch(&error));
                    }
                }
                // The stream of kube never ends; otherwise a new stream follows.
                Ok(None) => self.back_off(true),
                Err(_) => {
                    // A proxy that takes the streamed list for a watch sends nothing.
                    self.initial_list = Some(InitialList::Paged);
                    self.back_off(true);
                    return PodEvent::Fault(too_slow(self.page_timeout));
                }
            }
        }
    }

    fn take(&mut self, event: watcher::Event<ApiPod>) -> Option<PodChange> {
        match event {
            watcher::Event::Init => self.listing = Some(Vec::new()),
            watcher::Event::InitApply(pod) => {
                let record = pod.into_record(&self.selection);
                self.listing.get_or_insert_default().extend(record);
            }
            watcher::Event::InitDone => return Some(PodChange::Listed(self.listing.take().unwrap_or_default())),
            watcher::Event::Apply(pod) => return pod.into_record(&self.selection).map(PodChange::Applied),
            watcher::Event::Delete(pod) => return pod.uid().map(PodChange::Deleted),
        }
        None
    }

    /// Lets some time pass before the next request, from a new list if `anew`.
    fn back_off(&mut self, anew: bool) {
        self.not_before = self.backoff.next().map(|delay| Instant::now() + delay);
        if anew {
            self.list_anew();
        }
    }

    fn list_anew(&mut self) {
        self.pods = None;
        self.listing = Some(Vec::new());
    }
}

pub(super) fn follow(client: &Client, node: &str, initial_list: InitialList) -> Pods {
    let config = initial_list.apply(watcher::Config::default().fields(&node_selector(node)));
    watcher::watcher(Api::all(client.clone()), config).boxed()
}

fn node_selector(node: &str) -> String {
    format!("spec.nodeName={node}")
}

/// kube starts a new list after a 410 in the stream of a watch, but not after a 410 in reply to the
/// request of a watch.
fn is_gone(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchError(status) => status.code == 410,
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => matches!(error, kube::Error::Api(status) if status.code == 410),
        watcher::Error::NoResourceVersion => false,
    }
}

fn explain_watch(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => explain(error),
        watcher::Error::WatchError(status) => format!("the API server ended the watch of pods: {}", status.message),
        watcher::Error::NoResourceVersion => chain(error),
    }
}

/// A line with the failure and the remedy.
fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            let message = &status.message;
            format!(
                "the API server forbids it: {message}; allow the service account to list and watch pods (ClusterRole)"
            )
        }
        kube::Error::Api(status) if status.code == 401 => {
            "the API server does not accept the token; see whether the service account still exists".to_owned()
        }
        // kube's status for a message that it cannot parse.
        kube::Error::Api(status) if status.code == 0 => {
            "the API server sent an event that is not a pod's; look for a proxy before the server".to_owned()
        }
        kube::Error::SerdeError(_) => {
            "the answer is not a list of pods; look for a proxy before the API server, and check --kubeconfig"
                .to_owned()
        }
        kube::Error::Api(status) => format!("the API server answers {}: {}", status.code, status.message),
        other => format!("cannot ask the API server for pods: {}", chain(other)),
    }
}

fn too_slow(limit: Duration) -> String {
    format!("the API server did not answer within {limit:?}")
}

/// An error with its causes, each once, as many errors repeat their cause.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
