//! Owners of interfaces: pods, their workloads, and the evidence for them.

use std::fmt;
use std::sync::Arc;

/// Owner of an interface: the pod, and the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Source of the owner.
    pub source: Source,
    /// The CNI network of the interface, if a source names a network.
    pub network: Option<Arc<str>>,
    /// End of the pod's link.
    pub end: End,
}

/// The attributes of a pod for its interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Pod name.
    pub name: String,
    /// `metadata.uid`; a static pod has the uid of its mirror, once known from the API server.
    /// `None` if the CNI arguments have no uid and no API server is configured.
    pub uid: Option<String>,
    /// The workload of the pod, if known from the API server.
    pub workload: Option<Workload>,
    /// Selected labels and annotations as attribute keys and values, sorted by key.
    pub attributes: Vec<(String, String)>,
}

/// The controller of a pod as users know the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Kind of the controller.
    pub kind: WorkloadKind,
    /// Name of the controller.
    pub name: String,
}

/// Kinds of workload with a resource attribute in OpenTelemetry's conventions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkloadKind {
    /// A Deployment, behind its ReplicaSet.
    Deployment,
    /// A ReplicaSet without a Deployment.
    ReplicaSet,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
    /// A Job without a CronJob.
    Job,
    /// A CronJob, behind its Job.
    CronJob,
}

/// Source of an owner, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A CNI result file names the pod and its namespace.
    CniCache,
    /// The API server's pod has an address of the namespace.
    PodIp,
}

/// The two ends of a pod's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// In the pod's namespace.
    Pod,
    /// The peer outside, for example `veth…` or `cali…` on the host.
    Host,
}

impl Source {
    /// The name in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CniCache => "cni-cache",
            Self::PodIp => "pod-ip",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl WorkloadKind {
    /// The kind as Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
        }
    }
}
