//! Interface events as OTLP log records.

mod entities;
mod lives;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use iface_core::Changes;
use jiff::Timestamp;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use prost::Message;
use prost::bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::entities::Living;
use self::lives::{Account, Ended, Lives};
use crate::export::entity::Entities;
use crate::export::otlp::{Exporter, Failure, Report, SCHEMA_URL, key_value, resource, scope};
use crate::export::resource::Identity;
use crate::interface::{Event, Interface};
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
    /// Accounts that the event completes.
    ended: Ended,
    /// Events of entities.
    entities: Vec<LogRecord>,
}

/// Takes events without waiting.
#[derive(Debug)]
pub struct EventSender {
    queue: mpsc::UnboundedSender<Queued>,
    waiting: Arc<AtomicUsize>,
    synced: bool,
    lives: Lives,
    entities: Option<Living>,
}

impl EventSender {
    /// Queues the event; returns `false` where the queue is full and the event dropped.
    pub fn push(&mut self, event: &Event, at: SystemTime) -> bool {
        if event.interface().is_none() {
            self.synced |= *event == Event::Synced;
            return true;
        }
        let limited = self.synced;
        // Before an event may be dropped: the account of a pod has all its interfaces.
        let ended = self.lives.follow(event, self.synced);
        let at = nanos(at);
        let entities = self.entities.as_mut().map(|living| living.follow(event, at)).unwrap_or_default();
        if limited && self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.queue.send(Queued { event: event.clone(), at, limited, ended, entities }).is_ok()
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
    let identity = exporter.identity().clone();
    let entities = (identity.entities != Entities::Off).then(|| Living::new(identity));
    (
        EventSender { queue, waiting: waiting.clone(), synced: false, lives: Lives::default(), entities },
        EventExporter { events, waiting, exporter },
    )
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
    for Queued { event, at, ended, .. } in batch {
        let Some(interface) = event.interface() else { continue };
        let number = *numbers.entry(SubjectKey::of(interface)).or_insert_with(|| {
            groups.push((Subject::of(interface), Vec::new()));
            groups.len() - 1
        });
        groups[number].1.push(record(event, interface, *at, ended.interface.as_ref()));
        groups[number].1.extend(ended.pod.as_ref().map(|account| end_of_pod(*at, account)));
    }
    let entities: Vec<_> = batch.iter().flat_map(|queued| queued.entities.iter().cloned()).collect();
    if !entities.is_empty() {
        // The agent tells of them, whomever they belong to.
        groups.push((Subject::Node, entities));
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

fn record(event: &Event, interface: &Interface, at: Nanos, account: Option<&Account>) -> LogRecord {
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
    attributes.extend(account.into_iter().flat_map(accounted));
    let name = format!("{}interface.{kind}", Scope::of(interface).prefix());
    info(at, name, format!("interface {} {kind}", interface.name), attributes)
}

/// The record of a pod's end: the sum of all its interfaces.
fn end_of_pod(at: Nanos, account: &Account) -> LogRecord {
    let name = format!("{}ended", Scope::Pod.prefix());
    info(at, name, "the last interface of the pod ended".to_owned(), accounted(account).collect())
}

fn info(at: Nanos, event_name: String, body: String, attributes: Vec<KeyValue>) -> LogRecord {
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: SeverityNumber::Info.into(),
        severity_text: "INFO".to_owned(),
        event_name,
        body: Some(text(body)),
        attributes,
        ..LogRecord::default()
    }
}

/// The attributes of an account.
fn accounted(account: &Account) -> impl Iterator<Item = KeyValue> {
    let time = |key, time| {
        let time = Timestamp::try_from(time).ok()?;
        Some(key_value(key, &time.to_string()))
    };
    let start = account.start.and_then(|start| time(keys::ACCOUNT_START, start));
    let end = time(keys::ACCOUNT_END, account.end);
    let counters = [("receive", account.carried.receive), ("transmit", account.carried.transmit)];
    let counters = counters.into_iter().flat_map(|(direction, counted)| {
        let values = [
            ("bytes", counted.bytes),
            ("packets", counted.packets),
            ("errors", counted.errors),
            ("dropped", counted.dropped),
        ];
        values.map(|(counter, value)| integer(format!("{}{direction}.{counter}", keys::ACCOUNT), value))
    });
    start.into_iter().chain(end).chain(counters)
}

fn integer(key: String, value: u64) -> KeyValue {
    let value = any_value::Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX));
    KeyValue { key, value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
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

    use iface_core::{Counters, Direction, FinalCounters};

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
        let batch: Vec<_> = events
            .into_iter()
            .map(|event| Queued { event, at: 5, limited: true, ended: Ended::default(), entities: Vec::new() })
            .collect();
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

    /// The end of an interface has its account, and the end of a pod the sum.
    #[test]
    fn ends_have_their_accounts() {
        let web = pod_interface(2, "eth0", &pod("web"), at(1));
        let counted = Counters::new(Direction::new(1_000, 10).lost(1, 2), Direction::new(500, 5));
        let ended = Event::Deleted(web.clone(), Some(Arc::new(FinalCounters::new(counted, at(61)))));
        let mut lives = Lives::default();
        let batch: Vec<_> = [Event::Added(web), ended]
            .into_iter()
            .map(|event| Queued {
                ended: lives.follow(&event, true),
                event,
                at: 5,
                limited: true,
                entities: Vec::new(),
            })
            .collect();
        let request = ExportLogsServiceRequest::decode(encode(&batch, &Identity::default())).unwrap();
        let records = &request.resource_logs[0].scope_logs[0].log_records;
        let names: Vec<_> = records.iter().map(|record| &*record.event_name).collect();
        let names_of_pod =
            ["interface.added", "interface.deleted", "ended"].map(|name| format!("k8s.pod.network.{name}"));
        assert_eq!(names, names_of_pod);
        for record in &records[1..] {
            let value = |key: &str| {
                let found =
                    record.attributes.iter().find(|attribute| attribute.key == format!("netns_agent.account.{key}"));
                found.and_then(|attribute| attribute.value.clone()?.value)
            };
            let int = |key| match value(key) {
                Some(any_value::Value::IntValue(value)) => value,
                other => panic!("{key}: {other:?}"),
            };
            assert_eq!(
                ["receive.bytes", "receive.packets", "receive.errors", "receive.dropped"].map(int),
                [1_000, 10, 1, 2]
            );
            assert_eq!(["transmit.bytes", "transmit.packets"].map(int), [500, 5]);
            assert_eq!(value("start"), Some(any_value::Value::StringValue("1970-01-01T00:00:01Z".to_owned())));
            assert_eq!(value("end"), Some(any_value::Value::StringValue("1970-01-01T00:01:01Z".to_owned())));
        }
    }

    /// Events of entities have the Resource of the agent that tells of them, beside the records of interfaces.
    #[test]
    fn entities_have_events_on_request() {
        let identity = Arc::new(Identity { node: "n1".into(), entities: Entities::Beside, ..Identity::default() });
        let exporter = Exporter::new(Signal::Logs, settings("http://127.0.0.1:1"), identity.clone()).unwrap();
        let (mut sender, mut exporter) = channel(exporter);
        let web = pod_interface(2, "eth0", &pod("web"), at(1));
        sender.push(&Event::Added(web.clone()), at(2));
        sender.push(&Event::Deleted(web, None), at(3));
        let batch: Vec<_> = std::iter::from_fn(|| exporter.events.try_recv().ok()).collect();
        let request = ExportLogsServiceRequest::decode(encode(&batch, &identity)).unwrap();
        let names = request.resource_logs.iter().map(|logs| {
            let records = logs.scope_logs.iter().flat_map(|scope| &scope.log_records);
            let kinds = logs.resource.iter().flat_map(|resource| &resource.entity_refs).map(|entity| &*entity.r#type);
            (kinds.collect::<Vec<_>>(), records.map(|record| record.event_name.as_str()).collect::<Vec<_>>())
        });
        let records = vec!["k8s.pod.network.interface.added", "k8s.pod.network.interface.deleted"];
        let entities = vec!["entity.state", "entity.state", "entity.delete", "entity.delete"];
        assert_eq!(
            names.collect::<Vec<_>>(),
            [(vec!["k8s.pod", "k8s.namespace", "k8s.node"], records), (vec!["k8s.node"], entities)]
        );
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
