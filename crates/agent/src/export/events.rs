//! Interface events as OTLP log records.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// Most events that wait for a receiver; later ones are dropped. Interfaces that existed at the start are
/// not counted: their number has no limit, and they are in memory anyway.
pub const WAITING: usize = 4096;

/// Records in one request.
const BATCH: usize = 512;

/// An event, the time it was emitted, and if it takes room in the queue.
#[derive(Debug)]
struct Queued {
    event: Event,
    at: Nanos,
    limited: bool,
}

/// Takes events without waiting.
#[derive(Debug)]
pub struct EventSender {
    queue: mpsc::UnboundedSender<Queued>,
    waiting: Arc<AtomicUsize>,
    synced: bool,
}

impl EventSender {
    /// Queues the event; returns `false` where the queue is full and the event dropped.
    pub fn push(&mut self, event: &Event, at: SystemTime) -> bool {
        if event.interface().is_none() {
            self.synced |= *event == Event::Synced;
            return true;
        }
        let limited = self.synced;
        if limited && self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.queue.send(Queued { event: event.clone(), at: nanos(at), limited }).is_ok()
    }
}

/// Sends the events of an [`EventSender`].
#[derive(Debug)]
pub struct EventExporter {
    events: mpsc::UnboundedReceiver<Queued>,
    waiting: Arc<AtomicUsize>,
    exporter: Exporter,
}

/// Makes a queue of events and both its ends; `exporter` is for logs.
#[must_use]
pub fn channel(exporter: Exporter) -> (EventSender, EventExporter) {
    let (queue, events) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (EventSender { queue, waiting: waiting.clone(), synced: false }, EventExporter { events, waiting, exporter })
}

impl EventExporter {
    /// Sends until the sender is dropped and the queue is empty, or `give_up` is ready. Returns how many
    /// events are lost.
    ///
    /// A refused batch is dropped; a batch without an answer is sent again until it is delivered. `report` is
    /// called after each try, which takes `patience` at most. Cancelling drops the queue.
    pub async fn run(
        mut self,
        patience: Duration,
        give_up: impl Future<Output = ()>,
        report: impl FnMut(&Report, Duration),
    ) -> usize {
        let mut batch = Vec::with_capacity(BATCH);
        tokio::select! {
            () = self.send(&mut batch, patience, report) => {}
            () = give_up => {}
        }
        batch.len() + self.events.len()
    }

    async fn send(&mut self, batch: &mut Vec<Queued>, patience: Duration, mut report: impl FnMut(&Report, Duration)) {
        while self.events.recv_many(batch, BATCH).await > 0 {
            let limited = batch.iter().filter(|queued| queued.limited).count();
            self.waiting.fetch_sub(limited, Ordering::Relaxed);
            let body = encode(batch, self.exporter.identity());
            loop {
                let start = Instant::now();
                let mut outcome = Report::default();
                let arrived = self.exporter.deliver(body.clone(), batch.len(), start + patience, &mut outcome).await;
                report(&outcome, start.elapsed());
                if arrived || matches!(outcome.failure, Some(Failure::Refused(_))) {
                    break;
                }
                // A receiver can fail at once: wait before the next try.
                tokio::time::sleep_until(start + patience).await;
            }
            batch.clear();
        }
    }
}

fn encode(batch: &[Queued], identity: &Identity) -> Bytes {
    let mut groups: Vec<(Subject, Vec<LogRecord>)> = Vec::new();
    let mut numbers = HashMap::new();
    for Queued { event, at, .. } in batch {
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
    let (kind, changes) = match event {
        Event::Added(_) => ("added", Changes::default()),
        Event::Updated(_, changes) => ("updated", *changes),
        Event::Deleted(..) => ("deleted", Changes::default()),
        Event::Synced => ("synced", Changes::default()),
    };
    let mut attributes: Vec<_> =
        Attributes::default().of_info(interface).map(|(key, value)| key_value(key, &value)).collect();
    attributes.push(key_value(keys::OPER_STATE, interface.oper_state.as_str()));
    if !changes.is_empty() {
        attributes.push(changed(changes));
    }
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: SeverityNumber::Info.into(),
        severity_text: "INFO".to_owned(),
        event_name: format!("{}interface.{kind}", Scope::of(interface).prefix()),
        body: Some(text(format!("interface {} {kind}", interface.name))),
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
    use crate::export::settings::{OtlpSettings, Overrides, Signal, otlp};
    use crate::testing::{at, eth0, pod, pod_interface};

    #[test]
    fn records_have_their_owners_resource() {
        let web = pod_interface(2, "eth0", &pod("web"), at(1));
        let events = [
            Event::Added(web.clone()),
            Event::Added(eth0(1, at(1))),
            Event::Updated(web, Changes::MAC.union(Changes::MTU)),
        ];
        let batch: Vec<_> = events.into_iter().map(|event| Queued { event, at: 5, limited: true }).collect();
        let request = ExportLogsServiceRequest::decode(encode(&batch, &Identity::default())).unwrap();
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
    /// 5,000 interfaces existed before the receiver could be reached.
    #[test]
    fn existing_interfaces_fill_no_queue() {
        let settings = settings("http://127.0.0.1:1");
        let (mut sender, exporter) = channel(Exporter::new(Signal::Logs, settings, Arc::default()).unwrap());
        let event = Event::Added(eth0(1, at(1)));
        assert!((0..5_000).all(|_| sender.push(&event, at(2))));
        assert!(sender.push(&Event::Synced, at(3)));
        assert!((0..WAITING).all(|_| sender.push(&event, at(4))));
        assert!(!sender.push(&event, at(5)), "full");
        assert_eq!(exporter.events.len(), 5_000 + WAITING);
    }

    fn settings(endpoint: &str) -> OtlpSettings {
        let environment = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| endpoint.to_owned());
        otlp(Signal::Logs, &environment, &Overrides::default()).unwrap().unwrap()
    }
}
