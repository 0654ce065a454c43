//! The pods of this node, from the API server.
//!
//! Objects are trimmed by the parser, so large annotations of a pod are never kept.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use futures_core::Stream;
use futures_util::{StreamExt, stream};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Api, Client, Config};

use crate::causes::distinct;
use crate::owner::claim::ClaimEvent;
use crate::owner::kube::api_pod::ApiPod;
use crate::owner::kube::claims;
use crate::owner::kube::follow::{Change, Failure, Follow, Objects};
use crate::owner::kube::initial_list::InitialList;
use crate::owner::kube::pace::paced;
use crate::owner::kube::selection::Selection;
use crate::owner::pod::{PodChange, PodEvent, PodRecord};
use crate::proxy::proxy_url;
use crate::tls_provider;

/// Pods to compare with the pods of the node's namespaces; more than a node has.
const CHECKED: u32 = 500;

/// Time limit of a list, or of the next pod of a streamed one: the API server's own limit of a request.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// Time limit of a silent connection: longer than the 290 s of a watch.
const SILENCE: Duration = Duration::from_secs(300);

/// A Kubernetes API server.
#[derive(Clone)]
pub struct ApiServer {
    client: Client,
    list_timeout: Duration,
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

/// The proxy that a kubeconfig names for its current cluster.
fn proxy_of(file: &Kubeconfig) -> Option<&str> {
    let context = file.contexts.iter().find(|context| Some(&context.name) == file.current_context.as_ref())?;
    let name = &context.context.as_ref()?.cluster;
    let cluster = file.clusters.iter().find(|cluster| cluster.name == *name)?;
    cluster.cluster.as_ref()?.proxy_url.as_deref().filter(|url| !url.is_empty())
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
        let refused = |cause: String| match kubeconfig {
            // The lines after the first show a part of the file, which may be a secret.
            Some(path) => ConnectError::Kubeconfig {
                path: path.display().to_string(),
                cause: cause.lines().next().unwrap_or_default().to_owned(),
            },
            None => ConnectError::ServiceAccount(cause),
        };
        let mut config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| refused(distinct(&error)))?;
                let has_proxy = proxy_of(&file).is_some();
                let options = KubeConfigOptions::default();
                let loaded = Config::from_custom_kubeconfig(file, &options).await;
                let mut config = loaded.map_err(|error| refused(distinct(&error)))?;
                if !has_proxy {
                    // kube holds NO_PROXY against the address of the proxy, not of the API server.
                    config.proxy_url = proxy_url(&|name| std::env::var(name).ok(), &config.cluster_url);
                }
                config
            }
            None if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() => return Ok(None),
            None => Config::incluster().map_err(|error| refused(distinct(&error)))?,
        };
        if config.cluster_url.scheme_str() == Some("http") && config.proxy_url.is_none() {
            // No certificate is checked, and kube refuses a machine without any.
            config.root_cert.get_or_insert_default();
        }
        config.read_timeout = Some(SILENCE);
        tls_provider::install();
        let client = Client::try_from(config).map_err(|error| refused(distinct(&error)))?;
        Ok(Some(Self { client, list_timeout: LIST_TIMEOUT }))
    }

    /// The client, for requests about other things than pods.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Changes the time limit of a list; a minute by default.
    #[must_use]
    pub fn list_timeout(self, list_timeout: Duration) -> Self {
        Self { list_timeout, ..self }
    }

    /// Follows the pods of a node. The stream never ends: failures are emitted and retried.
    pub fn pods(self, node: &str, selection: Selection) -> impl Stream<Item = PodEvent> + Send + use<> {
        let follow = Follow::new(paced(&self.client), self.list_timeout);
        let watch = Watch { follow, node: node.to_owned(), selection };
        stream::unfold(watch, |mut watch| async { Some((watch.next().await, watch)) })
    }

    /// Follows the ResourceClaims with interfaces for pods of a node. The stream never ends: failures are emitted and
    /// retried.
    pub fn claims(self, node: &str) -> impl Stream<Item = ClaimEvent> + Send + use<> {
        claims::follow(paced(&self.client), node.to_owned(), self.list_timeout)
    }

    /// Namespace and name of the node's pods, at most 500.
    ///
    /// # Errors
    /// A line with the failure and the remedy.
    pub async fn pod_names(&self, node: &str) -> Result<BTreeSet<(String, String)>, String> {
        let params = kube::api::ListParams::default().fields(&node_selector(node)).limit(CHECKED);
        let api: Api<ApiPod> = Api::all(self.client.clone());
        match tokio::time::timeout(self.list_timeout, api.list(&params)).await {
            Ok(Ok(pods)) => Ok(pods.items.iter().map(ApiPod::name).collect()),
            Ok(Err(error)) => Err(explain(&error)),
            Err(_) => Err(too_slow(self.list_timeout)),
        }
    }
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").finish_non_exhaustive()
    }
}

struct Watch {
    follow: Follow<ApiPod, PodRecord>,
    node: String,
    selection: Selection,
}

impl Watch {
    async fn next(&mut self) -> PodEvent {
        let Self { follow, node, selection } = self;
        loop {
            let begin = |client: &Client, initial_list| pods(client, node, initial_list);
            let change = match follow.next(begin, |pod| pod.into_record(selection)).await {
                Ok(Change::Applied(record)) => Some(PodChange::Applied(record)),
                Ok(Change::Deleted(pod)) => pod.uid().map(PodChange::Deleted),
                Ok(Change::Listed(records)) => Some(PodChange::Listed(records)),
                Err(Failure::Request(error)) => return PodEvent::Fault(explain_watch(&error)),
                Err(Failure::Slow(limit)) => return PodEvent::Fault(too_slow(limit)),
            };
            if let Some(change) = change {
                return PodEvent::Change(change);
            }
        }
    }
}

pub(super) fn pods(client: &Client, node: &str, initial_list: InitialList) -> Objects<ApiPod> {
    let config = initial_list.apply(watcher::Config::default().fields(&node_selector(node)));
    watcher::watcher(Api::all(client.clone()), config).boxed()
}

fn node_selector(node: &str) -> String {
    format!("spec.nodeName={node}")
}

fn explain_watch(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => explain(error),
        watcher::Error::WatchError(status) => format!("the API server ended the watch of pods: {}", status.message),
        watcher::Error::NoResourceVersion => distinct(error),
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
        other => format!("cannot ask the API server for pods: {}", distinct(other)),
    }
}

pub(super) fn too_slow(limit: Duration) -> String {
    format!("the API server did not answer within {limit:?}")
}
