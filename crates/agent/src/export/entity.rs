//! Entities of OpenTelemetry's data model: objects that Resources are about, and parts of them. Pure.
//!
//! Sources: "Entity Data Model" and "Entity Events" of the OpenTelemetry specification (development), and the entities of
//! the semantic conventions. `network.interface` and `network.namespace` are ours.

use opentelemetry_proto::tonic::common::v1::EntityRef;

use super::otlp::SCHEMA_URL;
use super::resource::Identity;
use crate::interface::Pod;
use crate::metrics::catalog::keys;
use crate::metrics::points::Subject;

/// Use of entities in the export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Entities {
    /// None.
    #[default]
    Off,
    /// Resources name their entities, and entities have events, beside everything else.
    Beside,
    /// As `Beside`, and `service.instance.id` is the agent's on every Resource.
    Instead,
}

/// Type of an interface's entity.
pub(super) const INTERFACE: &str = "network.interface";
const POD: &str = "k8s.pod";
const NODE: &str = "k8s.node";
const NAMESPACE: &str = "k8s.namespace";
const CONTAINER: &str = "container";
const NETNS: &str = "network.namespace";

/// Type and identifying attributes of an entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct EntityId {
    pub(super) kind: &'static str,
    pub(super) attributes: Vec<(&'static str, String)>,
}

impl EntityId {
    fn new(kind: &'static str, attributes: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self { kind, attributes: attributes.into_iter().collect() }
    }

    /// A pod; by its name where nothing told its uid.
    pub(super) fn of_pod(pod: &Pod) -> Self {
        match &pod.uid {
            Some(uid) => Self::new(POD, [("k8s.pod.uid", uid.clone())]),
            None => Self::new(POD, [("k8s.namespace.name", pod.namespace.clone()), ("k8s.pod.name", pod.name.clone())]),
        }
    }

    /// The node; by its name where `OTEL_RESOURCE_ATTRIBUTES` has no uid. `None` without a name.
    pub(super) fn of_node(identity: &Identity) -> Option<Self> {
        let uid = identity.attributes.iter().find(|(key, value)| key == "k8s.node.uid" && !value.is_empty());
        if let Some((_, uid)) = uid {
            return Some(Self::new(NODE, [("k8s.node.uid", uid.clone())]));
        }
        let name = identity.node_name();
        (!name.is_empty()).then(|| Self::new(NODE, [("k8s.node.name", name.to_owned())]))
    }

    /// The owner of interfaces, as its Resource names it; a namespace or container by its node and name.
    pub(super) fn of_subject(identity: &Identity, subject: &Subject) -> Option<Self> {
        let node = ("k8s.node.name", identity.node_name().to_owned());
        match subject {
            Subject::Node => Self::of_node(identity),
            Subject::Pod(pod) => Some(Self::of_pod(pod)),
            Subject::Container(container) => {
                container.ids.first().map(|id| Self::new(CONTAINER, [("container.id", id.clone())]))
            }
            Subject::Netns(netns) => Some(Self::new(NETNS, [node, (keys::NETNS, netns.place.to_string())])),
        }
    }

    /// An interface: the name is unique in its owner at one time.
    pub(super) fn of_interface(name: String, owner: Option<&Self>) -> Self {
        let owner = owner.into_iter().flat_map(|owner| owner.attributes.iter().cloned());
        Self::new(INTERFACE, owner.chain([(keys::INTERFACE, name)]))
    }
}

/// The entities of a Resource with these attributes.
pub(super) fn refs(identity: &Identity, subject: &Subject, attributes: &[(String, String)]) -> Vec<EntityRef> {
    let has = |key: &str| attributes.iter().any(|(known, _)| known == key);
    let reference = |id: EntityId, description: &mut dyn Iterator<Item = &str>| {
        let id_keys: Vec<String> = id.attributes.into_iter().map(|(key, _)| key.to_owned()).collect();
        let describes = |key: &&str| has(key) && !id_keys.iter().any(|id| id == key);
        let description_keys = description.filter(describes).map(str::to_owned).collect();
        id_keys.iter().all(|key| has(key)).then(|| EntityRef {
            schema_url: SCHEMA_URL.to_owned(),
            r#type: id.kind.to_owned(),
            id_keys,
            description_keys,
        })
    };
    let mut refs = Vec::new();
    match subject {
        Subject::Node => {}
        Subject::Pod(pod) => {
            let described = pod.attributes.iter().map(|(key, _)| key.as_str());
            refs.push(reference(EntityId::of_pod(pod), &mut ["k8s.pod.name"].into_iter().chain(described)));
            let namespace = EntityId::new(NAMESPACE, [("k8s.namespace.name", pod.namespace.clone())]);
            refs.push(reference(namespace, &mut std::iter::empty()));
        }
        Subject::Container(_) => {
            let described = ["container.name", "container.runtime", "container.image.name", "container.image.tags"];
            let id = EntityId::of_subject(identity, subject);
            refs.push(id.and_then(|id| reference(id, &mut described.into_iter())));
        }
        Subject::Netns(_) => {
            let id = EntityId::of_subject(identity, subject);
            refs.push(id.and_then(|id| reference(id, &mut std::iter::empty())));
        }
    }
    let node = EntityId::of_node(identity);
    refs.push(node.and_then(|id| reference(id, &mut ["k8s.node.name"].into_iter())));
    refs.into_iter().flatten().collect()
}
