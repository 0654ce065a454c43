//! Owners of interfaces: pods, their workloads, and the evidence for them.

use std::fmt;
use std::sync::Arc;

/// The pod an interface belongs to, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The pod.
    pub pod: Arc<Pod>,
    /// What the answer rests on.
    pub source: Source,
    /// The CNI network this interface is attached to, where a source names it.
    pub network: Option<Arc<str>>,
    /// Which end of the pod's link this interface is.
    pub end: End,
}

/// A pod, as far as its interfaces need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Pod name.
    pub name: String,
    /// `metadata.uid`; a static pod has the uid of its mirror once the API server names it.
    /// `None` where a runtime leaves it out of the CNI arguments and no API server is asked.
    pub uid: Option<String>,
    /// The workload that made it, where the API server says so.
    pub workload: Option<Workload>,
    /// Labels and annotations asked for, as attribute keys and values, sorted by key.
    pub attributes: Vec<(String, String)>,
}

/// The controller a person would name when asked what a pod is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
}

/// Kinds of workload that OpenTelemetry's conventions have a resource attribute for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkloadKind {
    /// A Deployment, behind its ReplicaSet.
    Deployment,
    /// A ReplicaSet that no Deployment made.
    ReplicaSet,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
    /// A Job that no CronJob made.
    Job,
    /// A CronJob, behind its Job.
    CronJob,
}

/// What an owner's name rests on, best first.
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
