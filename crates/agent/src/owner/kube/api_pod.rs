//! A pod in the API server's format, with the used fields only.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::interface::Pod;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::owner::kube::annotations::Annotations;
use crate::owner::kube::selection::Selection;
use crate::owner::kube::workload::{Controller, workload};
use crate::owner::pod::{Life, PodRecord};

/// The kubelet's annotation on the mirror of a static pod: the uid in the runtime.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Fields of a pod; all others are skipped by the parser.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Wire")]
pub(super) struct ApiPod {
    /// Name and version, for kube; everything else is in `meta`.
    names: ObjectMeta,
    meta: Meta,
    spec: Spec,
    status: Status,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    namespace: String,
    name: String,
    uid: String,
    resource_version: String,
    creation_timestamp: Option<jiff::Timestamp>,
    deletion_timestamp: Option<IgnoredAny>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Annotations,
    owner_references: Option<Vec<OwnerReference>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnerReference {
    api_version: String,
    kind: String,
    name: String,
    #[serde(default)]
    controller: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    host_network: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
}

#[derive(Clone, Debug, Deserialize)]
struct PodIp {
    #[serde(default)]
    ip: String,
}

impl From<Wire> for ApiPod {
    fn from(wire: Wire) -> Self {
        let Wire { metadata: meta, spec, status } = wire;
        let names = ObjectMeta {
            name: Some(meta.name.clone()),
            namespace: Some(meta.namespace.clone()),
            resource_version: Some(meta.resource_version.clone()),
            ..ObjectMeta::default()
        };
        Self { names, meta, spec, status }
    }
}

impl kube::Resource for ApiPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.names
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.names
    }
}

impl ApiPod {
    /// UID of the pod; `None` for another kind of object.
    pub(super) fn uid(&self) -> Option<Arc<str>> {
        Some(self.meta.uid.as_str()).filter(|uid| !uid.is_empty()).map(Into::into)
    }

    /// Namespace and name.
    pub(super) fn name(&self) -> (String, String) {
        (self.meta.namespace.clone(), self.meta.name.clone())
    }

    /// The record of the pod.
    pub(super) fn into_record(self, selection: &Selection) -> Option<PodRecord> {
        let uid = self.uid()?;
        let (life, addresses) = (self.life(), self.addresses());
        let host_network = self.spec.host_network == Some(true);
        let meta = self.meta;
        let labels = meta.labels.unwrap_or_default();
        let networks = meta.annotations.networks();
        let annotations = meta.annotations.0;
        let created = meta.creation_timestamp.map(jiff::Timestamp::as_second);
        let owners = meta.owner_references.unwrap_or_default();
        let controller = owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| Controller {
            api_version: &owner.api_version,
            kind: &owner.kind,
            name: &owner.name,
        });
        let hash = labels.get("pod-template-hash").map(String::as_str);
        let pod = Arc::new(Pod {
            workload: controller.and_then(|controller| workload(controller, hash, created)),
            attributes: selection.attributes(&labels, &annotations),
            namespace: meta.namespace,
            name: meta.name,
            uid: Some(meta.uid),
        });
        Some(PodRecord {
            named: match annotations.get(MIRROR) {
                Some(uid) => Arc::new(Pod { uid: Some(uid.clone()), ..Pod::clone(&pod) }),
                None => pod.clone(),
            },
            pod,
            uid,
            version: meta.resource_version.parse().ok(),
            created: created.unwrap_or_default(),
            addresses,
            host_network,
            life,
            networks,
        })
    }

    fn life(&self) -> Life {
        match self.status.phase.as_deref() {
            Some("Succeeded" | "Failed") => Life::Terminated,
            _ if self.meta.deletion_timestamp.is_some() => Life::Terminating,
            _ => Life::Live,
        }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        if self.spec.host_network == Some(true) {
            return Vec::new();
        }
        let several = self.status.pod_ips.as_deref().unwrap_or_default().iter().map(|ip| ip.ip.as_str());
        let mut addresses: Vec<IpAddr> =
            several.chain(self.status.pod_ip.as_deref()).filter_map(|ip| ip.parse().ok()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}
