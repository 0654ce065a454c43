//! Attributes of OTLP Resources.

use crate::interface::{Container, Pod, WorkloadKind};

use super::entity::Entities;
use crate::metrics::points::Subject;

/// Attributes of the agent on every Resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Name of the node.
    pub node: String,
    /// From `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`.
    pub attributes: Vec<(String, String)>,
    /// Use of entities.
    pub entities: Entities,
}

impl Identity {
    /// The attributes of the subject's Resource, each key once.
    ///
    /// `service.instance.id` differs between Resources for receivers that keep only the `service.*`
    /// attributes on a series, as Prometheus does: a pod's is its uid. For receivers that know entities, it can be the
    /// agent's.
    #[must_use]
    pub fn resource(&self, subject: &Subject) -> Vec<(String, String)> {
        let mut attributes = Vec::new();
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() && !attributes.iter().any(|(known, _)| known == key) {
                attributes.push((key.to_owned(), value.to_owned()));
            }
        };
        match subject {
            Subject::Node => {}
            Subject::Pod(pod) => pod_attributes(pod).for_each(|(key, value)| put(key, value)),
            Subject::Container(container) => container_attributes(container).for_each(|(key, value)| put(key, value)),
            Subject::Netns(netns) => put("netns.name", &netns.place.to_string()),
        }
        let is_of_all = |key: &str| is_shared(key) || (self.names_agent() && key == "service.instance.id");
        let others = self.attributes.iter().filter(|(key, _)| matches!(subject, Subject::Node) || is_of_all(key));
        others.for_each(|(key, value)| put(key, value));
        put("service.name", env!("CARGO_PKG_NAME"));
        put("service.version", env!("CARGO_PKG_VERSION"));
        put("service.instance.id", &self.instance(subject));
        put("k8s.node.name", &self.node);
        attributes
    }

    /// The name of the node as on every Resource; empty where unknown.
    #[must_use]
    pub fn node_name(&self) -> &str {
        let named = self.attributes.iter().find(|(key, value)| key == "k8s.node.name" && !value.is_empty());
        named.map_or(&self.node, |(_, value)| value)
    }

    /// Whether `service.instance.id` is the agent's on every Resource.
    fn names_agent(&self) -> bool {
        self.entities == Entities::Instead
    }

    fn instance(&self, subject: &Subject) -> String {
        match subject {
            _ if self.names_agent() => self.node.clone(),
            Subject::Node => self.node.clone(),
            Subject::Pod(pod) => pod.uid.clone().unwrap_or_else(|| format!("{}/{}", pod.namespace, pod.name)),
            Subject::Container(container) => format!("{}/{container}", self.node),
            Subject::Netns(netns) => format!("{}/{}", self.node, netns.place),
        }
    }
}

/// Attributes of a pod: its identity, workload, selected labels and annotations.
pub(super) fn pod_attributes(pod: &Pod) -> impl Iterator<Item = (&str, &str)> {
    let workload = pod.workload.as_ref().map(|workload| (workload_key(workload.kind), workload.name.as_str()));
    [
        Some(("k8s.namespace.name", pod.namespace.as_str())),
        Some(("k8s.pod.name", pod.name.as_str())),
        pod.uid.as_deref().map(|uid| ("k8s.pod.uid", uid)),
        workload,
    ]
    .into_iter()
    .flatten()
    .chain(pod.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

/// Attributes of a container that is no pod's. The id is of the named container.
pub(super) fn container_attributes(container: &Container) -> impl Iterator<Item = (&str, &str)> {
    let (image, tag) = container.image.as_deref().map_or((None, None), split_image);
    [
        Some(("container.name", container.name.as_str())),
        container.ids.first().map(|id| ("container.id", id.as_str())),
        Some(("container.runtime", container.runtime.as_str())),
        image.map(|image| ("container.image.name", image)),
        tag.map(|tag| ("container.image.tags", tag)),
    ]
    .into_iter()
    .flatten()
}

/// Name and tag of an image; a colon before a slash is a registry's port, and a digest is no tag.
fn split_image(image: &str) -> (Option<&str>, Option<&str>) {
    let named = image.split_once('@').map_or(image, |(named, _)| named);
    match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && !named.starts_with("sha256:") => (Some(name), Some(tag)),
        _ => (Some(named), None),
    }
}

fn workload_key(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Deployment => "k8s.deployment.name",
        WorkloadKind::ReplicaSet => "k8s.replicaset.name",
        WorkloadKind::StatefulSet => "k8s.statefulset.name",
        WorkloadKind::DaemonSet => "k8s.daemonset.name",
        WorkloadKind::Job => "k8s.job.name",
        WorkloadKind::CronJob => "k8s.cronjob.name",
    }
}

/// Returns `true` for attributes of the agent that hold for the pods and interfaces of its node, too.
///
/// Attributes of the agent's own pod, container and process do not: charts put them in
/// `OTEL_RESOURCE_ATTRIBUTES` by the downward API.
fn is_shared(key: &str) -> bool {
    let of_the_agent = ["k8s.", "container.", "process.", "service.instance."];
    let of_the_place = ["k8s.cluster.", "k8s.node."];
    of_the_place.iter().any(|prefix| key.starts_with(prefix))
        || !of_the_agent.iter().any(|prefix| key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::interface::Workload;

    use super::*;
    use crate::testing::pod;

    fn get<'a>(attributes: &'a [(String, String)], key: &str) -> Option<&'a str> {
        attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    #[test]
    fn pod_resource_excludes_agents_pod() {
        let own =
            [("k8s.pod.name", "agent-x"), ("k8s.container.name", "agent"), ("k8s.cluster.name", "c1"), ("team", "t")];
        let identity = Identity {
            node: "n1".into(),
            attributes: own.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
            ..Identity::default()
        };
        let mut web = Pod::clone(&pod("web"));
        web.workload = Some(Workload { kind: WorkloadKind::Deployment, name: "web".into() });
        let attributes = identity.resource(&Subject::Pod(Arc::new(web)));
        let expected = [
            ("k8s.namespace.name", Some("default")),
            ("k8s.pod.name", Some("web")),
            ("k8s.pod.uid", Some("uid-web")),
            ("k8s.deployment.name", Some("web")),
            ("k8s.node.name", Some("n1")),
            ("k8s.cluster.name", Some("c1")),
            ("team", Some("t")),
            ("k8s.container.name", None),
            ("service.name", Some("netns-agent")),
            ("service.instance.id", Some("uid-web")),
        ];
        for (key, value) in expected {
            assert_eq!(get(&attributes, key), value, "{key}");
        }
        let own = identity.resource(&Subject::Node);
        assert_eq!((get(&own, "k8s.pod.name"), get(&own, "service.instance.id")), (Some("agent-x"), Some("n1")));
    }

    /// Where entities identify a Resource, a thousand pods are not a thousand instances of the agent.
    #[test]
    fn instance_can_be_the_agents() {
        let web = Subject::Pod(pod("web"));
        for (entities, instance) in [(Entities::Beside, "uid-web"), (Entities::Instead, "n1")] {
            let identity = Identity { node: "n1".into(), entities, ..Identity::default() };
            assert_eq!(get(&identity.resource(&web), "service.instance.id"), Some(instance));
        }
        let attributes = vec![("service.instance.id".to_owned(), "agent-7".to_owned())];
        let mut identity = Identity { node: "n1".into(), attributes, entities: Entities::Instead };
        assert_eq!(get(&identity.resource(&web), "service.instance.id"), Some("agent-7"));
        identity.entities = Entities::Off;
        assert_eq!(get(&identity.resource(&web), "service.instance.id"), Some("uid-web"));
    }

    #[test]
    fn container_resource_is_keyed_by_name() {
        let web = crate::testing::container_interface(1, "eth0", "web", "0a1b2c3d4e5f");
        let identity = Identity { node: "n1".into(), ..Identity::default() };
        let attributes = identity.resource(&Subject::of(&web));
        for (key, value) in [
            ("container.name", Some("web")),
            ("container.id", Some("id-web")),
            ("container.runtime", Some("docker")),
            ("container.image.name", Some("nginx")),
            ("container.image.tags", Some("1.27")),
            ("service.instance.id", Some("n1/docker/web")),
            ("netns.name", None),
        ] {
            assert_eq!(get(&attributes, key), value, "{key}");
        }
    }

    #[test]
    fn registry_port_is_no_tag() {
        for (image, parts) in [
            ("nginx", (Some("nginx"), None)),
            ("registry:5000/shop/web", (Some("registry:5000/shop/web"), None)),
            ("registry:5000/web:v2@sha256:aa", (Some("registry:5000/web"), Some("v2"))),
            ("sha256:aa", (Some("sha256:aa"), None)),
        ] {
            assert_eq!(split_image(image), parts, "{image}");
        }
    }
}
