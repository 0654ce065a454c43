//! Owners of interfaces: pods with their workloads, containers, and the evidence for them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use iface_core::OwnerName;

/// Owner of an interface: a pod, or a container outside Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A pod of Kubernetes.
    Pod(PodOwner),
    /// A container that is no pod's.
    Container(ContainerOwner),
}

/// A pod as owner, and the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodOwner {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Source of the owner.
    pub source: Source,
    /// The CNI network of the interface, if a source names a network; the driver of a device without a CNI network.
    pub network: Option<Arc<str>>,
    /// The device behind the interface, if a ResourceClaim names a device.
    pub device: Option<Arc<Device>>,
    /// Whether the namespace has outlived the pod: the API server does not know the pod any more.
    pub leaked: bool,
    /// End of the pod's link.
    pub end: End,
}

/// A device that Dynamic Resource Allocation gave to a pod. Driver, pool and name together are unique in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Name of the ResourceClaim, in the pod's Kubernetes namespace.
    pub claim: Arc<str>,
    /// Name of the driver.
    pub driver: Arc<str>,
    /// Pool of the device, often the name of the node.
    pub pool: String,
    /// Name of the device in the pool.
    pub name: String,
}

/// A container as owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerOwner {
    /// The container.
    pub container: Arc<Container>,
    /// The runtime's network of the interface, if the runtime's record names the network.
    pub network: Option<Arc<str>>,
    /// End of the container's link.
    pub end: End,
}

/// A container that is no pod's, as its runtime's record on disk describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Container {
    /// The runtime.
    pub runtime: Runtime,
    /// Name of the container, unique in the runtime on this node at one time.
    pub name: String,
    /// Ids of all containers with a record about the namespace, the named container's first.
    pub ids: Vec<String>,
    /// Name of the image, if recorded.
    pub image: Option<String>,
}

/// Runtimes of containers outside Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// Docker Engine.
    Docker,
    /// podman, or another program of the libpod library.
    Podman,
    /// systemd-nspawn.
    Nspawn,
    /// LXC of libvirt.
    LibvirtLxc,
    /// LXC.
    Lxc,
    /// nerdctl, with containerd.
    Nerdctl,
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
    /// The container runtime's record of the pod's sandbox names the pod and its namespace.
    RuntimeRecord,
    /// The API server's pod has an address of the namespace.
    PodIp,
    /// The processes inside the namespace are in the cgroup of the API server's pod.
    Process,
}

/// The two ends of the link of a pod or container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// In the namespace of the pod or container.
    Pod,
    /// The peer outside, for example `veth…` or `cali…` on the host.
    Host,
}

impl Owner {
    /// The pod; `None` for a container outside Kubernetes.
    #[must_use]
    pub fn pod(&self) -> Option<&Arc<Pod>> {
        match self {
            Self::Pod(owner) => Some(&owner.pod),
            Self::Container(_) => None,
        }
    }

    /// The container; `None` for a pod.
    #[must_use]
    pub fn container(&self) -> Option<&Arc<Container>> {
        match self {
            Self::Pod(_) => None,
            Self::Container(owner) => Some(&owner.container),
        }
    }

    /// The end of the owner's link.
    #[must_use]
    pub fn end(&self) -> End {
        match self {
            Self::Pod(owner) => owner.end,
            Self::Container(owner) => owner.end,
        }
    }

    /// The network of the interface, if a source names a network.
    #[must_use]
    pub fn network(&self) -> Option<&Arc<str>> {
        match self {
            Self::Pod(owner) => owner.network.as_ref(),
            Self::Container(owner) => owner.network.as_ref(),
        }
    }

    /// The device behind the interface, if a ResourceClaim names a device.
    #[must_use]
    pub fn device(&self) -> Option<&Arc<Device>> {
        match self {
            Self::Pod(owner) => owner.device.as_ref(),
            Self::Container(_) => None,
        }
    }

    /// The name of the owner's source in JSON and tables: for a container, the runtime's records.
    #[must_use]
    pub fn source(&self) -> &'static str {
        match self {
            Self::Pod(owner) => owner.source.as_str(),
            Self::Container(_) => Source::RuntimeRecord.as_str(),
        }
    }
}

/// Namespace and name of a pod, runtime and name of a container, with a slash between.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(owner) => write!(f, "{}/{}", owner.pod.namespace, owner.pod.name),
            Self::Container(owner) => owner.container.fmt(f),
        }
    }
}

/// Filters choose owners by the text in tables.
impl OwnerName for Owner {
    fn owner_name(&self) -> Cow<'_, str> {
        self.to_string().into()
    }
}

/// Driver, pool and name, with slashes between.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.driver, self.pool, self.name)
    }
}

/// Runtime and name, with a slash between.
impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.runtime.as_str(), self.name)
    }
}

impl Runtime {
    /// The name in attributes, JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Nspawn => "systemd-nspawn",
            Self::LibvirtLxc => "libvirt-lxc",
            Self::Lxc => "lxc",
            Self::Nerdctl => "nerdctl",
        }
    }
}

impl Source {
    /// The name in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CniCache => "cni-cache",
            Self::RuntimeRecord => "runtime-record",
            Self::PodIp => "pod-ip",
            Self::Process => "process",
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
