//! Reads the OCI configuration of a container: podman's and CRI-O's `userdata/config.json`, and the `config.json` of a
//! containerd task.
//!
//! The file holds the environment of the container and all annotations of the pod; only the fields below are read, and
//! no error quotes the content. CRI-O writes the pod's names for its sandbox and for each container, whose namespace is
//! the sandbox's by path (`internal/annotations`). containerd writes the names for both as well
//! (`pkg/cri/annotations`), but only the sandbox has the path; its other containers have `/proc/PID/ns/net`.

use std::sync::Arc;

use serde::Deserialize;

use crate::interface::{Pod, Runtime, Source};
use crate::owner::cni::result::{Attachment, is_dns_name};
use crate::owner::container::record::{Claim, Names, Record, Sandbox, Subject, Unclaimed, sandbox, text};
use iface_core::{IfName, NsFile};

#[derive(Deserialize)]
struct Oci {
    annotations: Option<Annotations>,
    linux: Option<Linux>,
}

/// The used annotations of a container.
#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "io.kubernetes.pod.namespace")]
    crio_namespace: Option<String>,
    #[serde(rename = "io.kubernetes.pod.name")]
    crio_name: Option<String>,
    #[serde(rename = "io.kubernetes.pod.uid")]
    crio_uid: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-namespace")]
    cri_namespace: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-name")]
    cri_name: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-uid")]
    cri_uid: Option<String>,
    #[serde(rename = "nerdctl/name")]
    nerdctl: Option<String>,
}

impl Annotations {
    /// The pod; `None` for a container that is no pod's.
    ///
    /// # Errors
    /// Where the names are not complete, or no object of Kubernetes can have them.
    fn pod(self) -> Result<Option<Pod>, Unclaimed> {
        let crio = (self.crio_namespace, self.crio_name, self.crio_uid);
        let cri = (self.cri_namespace, self.cri_name, self.cri_uid);
        let (namespace, name, uid) = match (cri, crio) {
            ((None, None, _), (None, None, _)) => return Ok(None),
            ((Some(namespace), Some(name), uid), _) | (_, (Some(namespace), Some(name), uid)) => (namespace, name, uid),
            _ => return Err(Unclaimed::OfPod),
        };
        if !is_dns_name(&namespace) || !is_dns_name(&name) {
            return Err(Unclaimed::OfPod);
        }
        let uid = uid.as_deref().and_then(text);
        Ok(Some(Pod { namespace, name, uid, workload: None, attributes: Vec::new() }))
    }
}

#[derive(Deserialize)]
struct Linux {
    namespaces: Option<Vec<Namespace>>,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
    path: Option<String>,
}

/// Reads `userdata/config.json` of the container `id`, of CRI-O or podman.
///
/// # Errors
/// Where the record claims no namespace.
pub fn userdata(id: &str, names: &Names, content: &[u8]) -> Result<Subject, Unclaimed> {
    let Parsed { pod, network, .. } = parse(content)?;
    let claim = sandbox(network.and_then(|network| network.path).as_deref())?;
    if let Some(pod) = pod {
        return of_pod(pod, claim);
    }
    let (name, image) = names.of(id);
    let id = text(id).ok_or(Unclaimed::Malformed)?;
    Ok(Subject::Container(Record { runtime: Runtime::Podman, name, id, image, claim, networks: Vec::new() }))
}

/// Reads `config.json` of the containerd task `id`. `space` finds the network namespace of the task's first process.
///
/// nerdctl writes its labels as annotations (`pkg/labels`), and leaves it to the OCI runtime to make the namespace, which
/// has no name.
///
/// # Errors
/// Where the record claims no namespace, as for a pod's container that is not the sandbox.
pub fn task(id: &str, content: &[u8], space: impl FnOnce() -> Option<NsFile>) -> Result<Subject, Unclaimed> {
    let Parsed { pod, nerdctl, network } = parse(content)?;
    let network = network.ok_or(Unclaimed::NoNetns)?;
    if let Some(pod) = pod {
        return of_pod(pod, sandbox(network.path.as_deref())?);
    }
    let name = nerdctl.as_deref().and_then(text).filter(|_| network.path.is_none()).ok_or(Unclaimed::NoNetns)?;
    let id = text(id).ok_or(Unclaimed::Malformed)?;
    let claim = Claim::Space(space().ok_or(Unclaimed::NoNetns)?);
    Ok(Subject::Container(Record { runtime: Runtime::Nerdctl, name, id, image: None, claim, networks: Vec::new() }))
}

struct Parsed {
    pod: Option<Pod>,
    nerdctl: Option<String>,
    /// The network namespace; `None` for the host's.
    network: Option<Namespace>,
}

fn parse(content: &[u8]) -> Result<Parsed, Unclaimed> {
    let oci: Oci = serde_json::from_slice(content).map_err(|_| Unclaimed::Malformed)?;
    let mut annotations = oci.annotations.unwrap_or_default();
    let nerdctl = annotations.nerdctl.take();
    let namespaces = oci.linux.and_then(|linux| linux.namespaces).unwrap_or_default();
    let network = namespaces.into_iter().find(|namespace| namespace.kind == "network");
    Ok(Parsed { pod: annotations.pod()?, nerdctl, network })
}

fn of_pod(pod: Pod, claim: Claim) -> Result<Subject, Unclaimed> {
    match claim {
        Claim::Name(netns) => Ok(Subject::Pod(Sandbox { pod: Arc::new(pod), netns })),
        Claim::HostEnds(_) | Claim::Links(_) | Claim::Space(_) | Claim::UserNetns(_) => Err(Unclaimed::NoNetns),
    }
}

impl From<Sandbox> for Attachment {
    /// The evidence of a record: pod and random name of the namespace, and nothing about interfaces.
    fn from(sandbox: Sandbox) -> Self {
        Self {
            source: Source::RuntimeRecord,
            netns: Some(sandbox.netns),
            pod: sandbox.pod,
            interface: IfName::default(),
            network: None,
            macs: Vec::new(),
            ends: Vec::new(),
            delegated: false,
            addresses: Vec::new(),
            written: None,
            annotations: Default::default(),
            networks: Vec::new(),
            space: None,
            path: None,
        }
    }
}

#[cfg(test)]
mod tests;
