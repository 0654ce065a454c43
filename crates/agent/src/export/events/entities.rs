//! Entities of interfaces and pods over their lives, as the events `entity.state` and `entity.delete`. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use iface_core::InterfaceId;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::{info, integer, text};
use crate::export::entity::EntityId;
use crate::export::otlp::key_value;
use crate::export::resource::{Identity, container_attributes, pod_attributes};
use crate::interface::{Event, Interface, Pod};
use crate::metrics::catalog::keys;
use crate::metrics::points::{Attributes, Nanos, Subject};

/// Interfaces and pods that have an entity at present.
#[derive(Debug)]
pub(super) struct Living {
    identity: Arc<Identity>,
    interfaces: HashMap<InterfaceId, Known>,
    /// Number of interfaces behind each entity: the old sandbox of a pod can outlive the start of the new one.
    holders: HashMap<EntityId, usize>,
    /// The last described state of each pod.
    pods: HashMap<EntityId, Arc<Pod>>,
}

/// Entities of an interface.
#[derive(Debug)]
struct Known {
    interface: EntityId,
    pod: Option<EntityId>,
}

impl Living {
    pub(super) fn new(identity: Arc<Identity>) -> Self {
        Self { identity, interfaces: HashMap::new(), holders: HashMap::new(), pods: HashMap::new() }
    }

    /// Follows an event; returns the events of the entities that began, changed and ended.
    pub(super) fn follow(&mut self, event: &Event, at: Nanos) -> Vec<LogRecord> {
        let mut records = Vec::new();
        match event {
            Event::Added(interface) | Event::Updated(interface, _) => self.state(interface, at, &mut records),
            Event::Deleted(interface, _) => {
                if let Some(known) = self.interfaces.remove(&interface.id) {
                    self.leave(known, at, &mut records);
                }
            }
            Event::Synced => {}
        }
        records
    }

    fn state(&mut self, interface: &Interface, at: Nanos, records: &mut Vec<LogRecord>) {
        let subject = Subject::of(interface);
        let owner = EntityId::of_subject(&self.identity, &subject);
        let id = EntityId::of_interface(interface.name.to_string(), owner.as_ref());
        let pod = match &subject {
            Subject::Pod(pod) => Some((pod, EntityId::of_pod(pod))),
            Subject::Node | Subject::Container(_) | Subject::Netns(_) => None,
        };
        // The new holder first: an entity that stays is not deleted.
        for entity in [Some(&id), pod.as_ref().map(|(_, id)| id)].into_iter().flatten() {
            *self.holders.entry(entity.clone()).or_default() += 1;
        }
        let known = Known { interface: id.clone(), pod: pod.as_ref().map(|(_, id)| id.clone()) };
        if let Some(before) = self.interfaces.insert(interface.id, known) {
            self.leave(before, at, records);
        }
        if let Some((pod, id)) = pod
            && self.pods.get(&id).is_none_or(|known| known != pod)
        {
            self.pods.insert(id.clone(), pod.clone());
            let node = EntityId::of_node(&self.identity);
            let relations = node.map(|node| relation("scheduled_on", &node));
            let described = pod_attributes(pod).filter(|(key, _)| id.attributes.iter().all(|(known, _)| known != key));
            let described = described.map(|(key, value)| key_value(key, value)).collect();
            records.push(state(at, &id, described, relations));
        }
        let relations = owner.map(|owner| relation("part_of", &owner));
        records.push(state(at, &id, description(interface, &subject, &id), relations));
    }

    /// Takes a holder from its entities; an entity without one is deleted.
    fn leave(&mut self, Known { interface, pod }: Known, at: Nanos, records: &mut Vec<LogRecord>) {
        for id in [Some(interface), pod].into_iter().flatten() {
            let left = self.holders.get_mut(&id).map(|holders| {
                *holders -= 1;
                *holders
            });
            if left == Some(0) {
                self.holders.remove(&id);
                self.pods.remove(&id);
                records.push(info(at, "entity.delete".to_owned(), format!("{} ended", id.kind), identified(&id)));
            }
        }
    }
}

fn state(at: Nanos, id: &EntityId, description: Vec<KeyValue>, relations: Option<AnyValue>) -> LogRecord {
    let mut attributes = identified(id);
    attributes.push(pair("entity.description", map(description)));
    attributes.extend(relations.map(|relation| pair("entity.relationships", array(vec![relation]))));
    // No state is repeated: a receiver hears of each change once.
    attributes.push(integer("entity.report.interval".to_owned(), 0));
    info(at, "entity.state".to_owned(), format!("state of {}", id.kind), attributes)
}

fn identified(id: &EntityId) -> Vec<KeyValue> {
    vec![key_value("entity.type", id.kind), pair("entity.id", id_map(id))]
}

fn relation(kind: &str, to: &EntityId) -> AnyValue {
    map(vec![key_value("relationship.type", kind), key_value("entity.type", to.kind), pair("entity.id", id_map(to))])
}

fn id_map(id: &EntityId) -> AnyValue {
    map(id.attributes.iter().map(|(key, value)| key_value(key, value)).collect())
}

/// Everything about an interface that does not identify it.
fn description(interface: &Interface, subject: &Subject, id: &EntityId) -> Vec<KeyValue> {
    let attributes = Attributes::default().of_info(interface);
    let attributes = attributes.filter(|(key, _)| id.attributes.iter().all(|(known, _)| known != key));
    let mut described: Vec<_> = attributes.map(|(key, value)| key_value(key, &value)).collect();
    if let Subject::Container(container) = subject {
        let names = container_attributes(container).filter(|(key, _)| matches!(*key, "container.name"));
        described.extend(names.map(|(key, value)| key_value(key, value)));
    }
    described.push(key_value(keys::OPER_STATE, interface.oper_state.as_str()));
    described.extend(interface.alias().map(|alias| key_value(keys::ALIAS, alias)));
    let addresses = interface.addresses.iter().map(|net| net.addr().to_string());
    let alt_names = interface.alt_names().map(str::to_owned);
    for (key, values) in [(keys::ADDRESSES, addresses.collect::<Vec<_>>()), (keys::ALT_NAMES, alt_names.collect())] {
        if !values.is_empty() {
            described.push(pair(key, array(values.into_iter().map(text).collect())));
        }
    }
    described
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn map(values: Vec<KeyValue>) -> AnyValue {
    AnyValue { value: Some(any_value::Value::KvlistValue(KeyValueList { values })) }
}

fn array(values: Vec<AnyValue>) -> AnyValue {
    AnyValue { value: Some(any_value::Value::ArrayValue(ArrayValue { values })) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, changed, eth0, pod, pod_interface};

    /// As text: `state k8s.pod uid-web`.
    fn told(records: &[LogRecord]) -> Vec<String> {
        records.iter().map(told_once).collect()
    }

    fn told_once(record: &LogRecord) -> String {
        let of = |key: &str| record.attributes.iter().find(|attribute| attribute.key == key);
        let id = flat(of("entity.id").unwrap().value.as_ref().unwrap());
        let kind = flat(of("entity.type").unwrap().value.as_ref().unwrap());
        format!("{} {kind} {id}", record.event_name.strip_prefix("entity.").unwrap())
    }

    fn flat(value: &AnyValue) -> String {
        match value.value.as_ref().unwrap() {
            any_value::Value::StringValue(text) => text.clone(),
            any_value::Value::IntValue(number) => number.to_string(),
            any_value::Value::ArrayValue(array) => array.values.iter().map(flat).collect::<Vec<_>>().join(","),
            any_value::Value::KvlistValue(map) => {
                map.values.iter().map(|pair| flat(pair.value.as_ref().unwrap())).collect::<Vec<_>>().join("/")
            }
            other => panic!("{other:?}"),
        }
    }

    fn living() -> Living {
        Living::new(Arc::new(Identity { node: "n1".into(), ..Identity::default() }))
    }

    #[test]
    fn entities_begin_change_and_end() {
        let mut living = living();
        let web = changed(&pod_interface(2, "eth0", &pod("web"), at(1)), |interface| {
            interface.addresses = ["10.1.0.2/24".parse().unwrap()].into();
        });
        let records = living.follow(&Event::Added(web.clone()), 5);
        assert_eq!(told(&records), ["state k8s.pod uid-web", "state network.interface uid-web/eth0"]);
        assert!(records.iter().all(|record| record.time_unix_nano == 5));
        let of = |record: &LogRecord, key: &str| {
            record.attributes.iter().find(|pair| pair.key == key).map(|pair| flat(pair.value.as_ref().unwrap()))
        };
        assert_eq!(of(&records[0], "entity.relationships").unwrap(), "scheduled_on/k8s.node/n1");
        assert_eq!(of(&records[0], "entity.description").unwrap(), "default/web");
        assert_eq!(of(&records[1], "entity.relationships").unwrap(), "part_of/k8s.pod/uid-web");
        assert!(of(&records[1], "entity.description").unwrap().ends_with("up/10.1.0.2"));
        assert_eq!(of(&records[1], "entity.report.interval").unwrap(), "0");
        let mut described = Pod::clone(&pod("web"));
        described.attributes = vec![("k8s.pod.label.app".into(), "shop".into())];
        let labelled = pod_interface(2, "eth0", &Arc::new(described), at(1));
        let records = living.follow(&Event::Updated(labelled.clone(), iface_core::Changes::MTU), 6);
        assert_eq!(told(&records), ["state k8s.pod uid-web", "state network.interface uid-web/eth0"]);
        let records = living.follow(&Event::Updated(labelled.clone(), iface_core::Changes::MTU), 6);
        assert_eq!(told(&records), ["state network.interface uid-web/eth0"], "the pod is the same");
        let ended = living.follow(&Event::Deleted(labelled, None), 7);
        assert_eq!(told(&ended), ["delete network.interface uid-web/eth0", "delete k8s.pod uid-web"]);
        assert!(living.holders.is_empty() && living.pods.is_empty() && living.interfaces.is_empty());
    }

    /// The id must not change in a life: an interface whose pod becomes known is another entity.
    #[test]
    fn late_owner_is_another_entity() {
        let mut living = living();
        let web = pod_interface(2, "eth0", &pod("web"), at(1));
        let nobody = changed(&web, |interface| interface.owner = None);
        let records = living.follow(&Event::Added(nobody), 5);
        assert_eq!(told(&records), ["state network.interface n1/cni-web/eth0"]);
        let records = living.follow(&Event::Updated(web, iface_core::Changes::OWNER), 6);
        assert_eq!(
            told(&records),
            [
                "delete network.interface n1/cni-web/eth0",
                "state k8s.pod uid-web",
                "state network.interface uid-web/eth0",
            ]
        );
        assert_eq!(told(&living.follow(&Event::Added(eth0(9, at(1))), 7)), ["state network.interface n1/eth0"]);
    }

    /// The old sandbox of a pod ends after the start of the new one.
    #[test]
    fn entity_ends_with_its_last_holder() {
        let mut living = living();
        let [old, new] = [2, 3].map(|number| pod_interface(number, "eth0", &pod("web"), at(1)));
        living.follow(&Event::Added(old.clone()), 5);
        living.follow(&Event::Added(new.clone()), 6);
        assert!(living.follow(&Event::Deleted(old, None), 7).is_empty());
        assert_eq!(living.follow(&Event::Deleted(new, None), 8).len(), 2);
    }
}
