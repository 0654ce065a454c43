//! Interface events as OTLP log records.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::interface::{Event, Interface};
use iface_core::Changes;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use prost::Message;
use prost::bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::export::otlp::{Exporter, Failure, Report, SCHEMA_URL, key_value, resource, scope};
use crate::export::resource::Identity;
use crate::metrics::catalog::{Scope, keys};
use crate::metrics::points::{Attributes, Nanos, Subject, SubjectKey, nanos};

/// Events that wait for a receiver; later ones are dropped.
pub const WAITING: usize = 4096;

/// Records in one request.
const BATCH: usize = 512;

/// An event and when it was heard.
#[derive(Debug)]
struct Heard {
    event: Event,
    at: Nanos,
}

/// Takes events without waiting.
#[derive(Clone, Debug)]
pub struct EventSender(mpsc::Sender<Heard>);

impl EventSender {
    /// Says whether there was room; where not, the event is dropped.
    pub fn push(&self, event: &Event, at: SystemTime) -> bool {
        event.interface().is_none() || self.0.try_send(Heard { event: event.clone(), at: nanos(at) }).is_ok()
    }
}

/// Sends what an [`EventSender`] took.
#[derive(Debug)]
pub struct EventExporter {
    events: mpsc::Receiver<Heard>,
    exporter: Exporter,
}

/// Both ends; `exporter` is of the signal logs.
#[must_use]
pub fn channel(exporter: Exporter) -> (EventSender, EventExporter) {
    let (sender, events) = mpsc::channel(WAITING);
    (EventSender(sender), EventExporter { events, exporter })
}

impl EventExporter {
    /// Sends until every sender is gone and all is sent. What a receiver refuses is not sent again;
    /// what does not arrive is, until it does. `report` hears how each try of `patience` went.
    ///
    /// Cancelling drops what waits.
    pub async fn run(mut self, patience: Duration, mut report: impl FnMut(&Report, Duration)) {
        let mut heard = Vec::with_capacity(BATCH);
        while self.events.recv_many(&mut heard, BATCH).await > 0 {
            let body = encode(&heard, self.exporter.identity());
            loop {
                let start = Instant::now();
                let mut outcome = Report::default();
                let arrived = self.exporter.deliver(body.clone(), heard.len(), start + patience, &mut outcome).await;
                report(&outcome, start.elapsed());
                if arrived || matches!(outcome.failure, Some(Failure::Refused(_))) {
                    break;
                }
                // A receiver that answers at once, and always the same, is not asked in a circle.
                tokio::time::sleep_until(start + patience).await;
            }
            heard.clear();
        }
    }
}

fn encode(heard: &[Heard], identity: &Identity) -> Bytes {
    let mut groups: Vec<(Subject, Vec<LogRecord>)> = Vec::new();
    let mut numbers = HashMap::new();
    for Heard { event, at } in heard {
        let Some(interface) = event.interface() else { continue };
        let number = *numbers.entry(SubjectKey::of(interface)).or_insert_with(|| {
            groups.push((Subject::of(interface), Vec::new()));
            groups.len() - 1
        });
        groups[number].1.push(record(event, interface, *at));
    }
    let mut body = BytesMut::new();
    for (subject, log_records) in groups {
        let logs = ResourceLogs {
            resource: Some(resource(identity, &subject)),
            scope_logs: vec![ScopeLogs { scope: Some(scope()), log_records, schema_url: SCHEMA_URL.to_owned() }],
            schema_url: SCHEMA_URL.to_owned(),
        };
        body.reserve(logs.encoded_len() + 16);
        prost::encoding::message::encode(1, &logs, &mut body);
    }
    body.freeze()
}

fn record(event: &Event, interface: &Interface, at: Nanos) -> LogRecord {
    let (what, changes) = match event {
        Event::Added(_) => ("added", Changes::default()),
        Event::Updated(_, changes) => ("updated", *changes),
        Event::Deleted(_) => ("deleted", Changes::default()),
        Event::Synced => ("synced", Changes::default()),
    };
    let all = Attributes::default().all();
    let mut attributes: Vec<_> = all.of(interface).map(|(key, value)| key_value(key, &value)).collect();
    attributes.push(key_value(keys::OPER_STATE, interface.oper_state.as_str()));
    if !changes.is_empty() {
        attributes.push(changed(changes));
    }
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: SeverityNumber::Info.into(),
        severity_text: "INFO".to_owned(),
        event_name: format!("{}interface.{what}", Scope::of(interface).prefix()),
        body: Some(text(format!("interface {} {what}", interface.name))),
        attributes,
        ..LogRecord::default()
    }
}

fn changed(changes: Changes) -> KeyValue {
    let values = changes.names().map(|name| text(name.to_owned())).collect();
    let value = AnyValue { value: Some(any_value::Value::ArrayValue(ArrayValue { values })) };
    KeyValue { key: keys::CHANGED.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn text(text: String) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text)) }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;

    use super::*;
    use crate::testing::{at, eth0, pod, pod_interface};

    #[test]
    fn each_event_is_a_record_of_its_owners_resource() {
        let web = pod_interface(2, "eth0", &pod("web"), at(1));
        let events = [
            Event::Added(web.clone()),
            Event::Added(eth0(1, at(1))),
            Event::Updated(web, Changes::MAC.union(Changes::MTU)),
        ];
        let heard: Vec<_> = events.into_iter().map(|event| Heard { event, at: 5 }).collect();
        let request = ExportLogsServiceRequest::decode(encode(&heard, &Identity::default())).unwrap();
        let names = request.resource_logs.iter().map(|logs| {
            let records = logs.scope_logs.iter().flat_map(|scope| &scope.log_records);
            records.map(|record| record.event_name.as_str()).collect::<Vec<_>>()
        });
        let pods = vec!["k8s.pod.network.interface.added", "k8s.pod.network.interface.updated"];
        assert_eq!(names.collect::<Vec<_>>(), [pods, vec!["k8s.node.network.interface.added"]]);
        let updated = &request.resource_logs[0].scope_logs[0].log_records[1];
        let changed = updated.attributes.iter().find(|attribute| attribute.key == keys::CHANGED).unwrap();
        assert_eq!(*changed, super::changed(Changes::MAC.union(Changes::MTU)));
    }
}
