//! Sums at a receiver that identifies streams by all attributes, as the OTLP data model does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use iface_core::{CounterDetails, Extras, FinalCounters, IfName, NetnsName, Place};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{DataPointFlags, Metric, NumberDataPoint, metric, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::bytes::BytesMut;

use super::*;
use crate::export::entity::Entities;
use crate::export::resource::Identity;
use crate::interface::{Interface, Owner, Pod, Workload, WorkloadKind};
use crate::metrics::catalog::Measure;
use crate::metrics::delta::Deltas;
use crate::metrics::points::{Nanos, Options, Reader, Temporality};
use crate::metrics::series::Accumulator;
use crate::testing::{at, changed, container_interface, eth0, id, interface, pod, pod_interface, reading};

/// Adds up what `eth0` received, by streams.
#[derive(Default)]
struct Receiver {
    streams: HashMap<String, (Nanos, u64)>,
    sum: u64,
    /// Streams with an end: a point without a value.
    ended: usize,
}

impl Receiver {
    fn receive(&mut self, body: &[u8]) {
        let request = ExportMetricsServiceRequest::decode(body).unwrap();
        for resource in request.resource_metrics {
            let attributes = format!("{:?}", resource.resource);
            for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let Some(metric::Data::Sum(sum)) = metric.data else { panic!("only sums") };
                assert!(sum.data_points.iter().all(|point| point.start_time_unix_nano <= point.time_unix_nano));
                let receives = |point: &&NumberDataPoint| format!("{:?}", point.attributes).contains("receive");
                for point in sum.data_points.iter().filter(receives).filter(|_| metric.name.ends_with(".io")) {
                    let stream = format!("{attributes} {} {:?}", metric.name, point.attributes);
                    self.add(stream, point, sum.aggregation_temporality == 1);
                }
            }
        }
    }

    fn add(&mut self, stream: String, point: &NumberDataPoint, is_delta: bool) {
        if point.flags & DataPointFlags::NoRecordedValueMask as u32 != 0 {
            assert_eq!(point.value, None);
            self.ended += usize::from(self.streams.remove(&stream).is_some());
            return;
        }
        let Some(number_data_point::Value::AsInt(value)) = point.value else { panic!("an integer") };
        let (start, value) = (point.start_time_unix_nano, value.cast_unsigned());
        let before = self.streams.insert(stream, (start, value));
        self.sum += match before {
            _ if is_delta => value,
            Some((before_start, before)) if before_start == start => value - before,
            // The base of a stream with an unknown start.
            _ if start == point.time_unix_nano => 0,
            _ => value,
        };
    }
}

/// An agent, the kernel's counter and a receiver.
struct Node {
    accumulator: Accumulator,
    deltas: Option<Deltas>,
    temporality: Temporality,
    receiver: Receiver,
    kernel: u64,
    seconds: u64,
}

impl Node {
    fn both() -> [Self; 2] {
        [Temporality::Cumulative, Temporality::Delta].map(|temporality| {
            let mut node = Self {
                accumulator: Accumulator::default(),
                deltas: None,
                temporality,
                receiver: Receiver::default(),
                kernel: 57_000_000,
                seconds: 100,
            };
            node.restart();
            node
        })
    }

    /// The agent starts, long after its interfaces.
    fn restart(&mut self) {
        self.restart_with(Options::default());
    }

    fn restart_with(&mut self, options: Options) {
        let reader = match self.temporality {
            Temporality::Cumulative => Reader::Totals,
            Temporality::Delta => Reader::Deltas,
        };
        self.accumulator = Accumulator::for_reader(reader, options);
        self.accumulator.synced(at(self.seconds));
        self.deltas = (self.temporality == Temporality::Delta).then(Deltas::default);
    }

    /// An interval later and 1,000 bytes further, the interface is exported.
    fn export(&mut self, interface: &Arc<Interface>, arrives: bool) {
        self.seconds += 10;
        self.export_at(interface, arrives, self.seconds);
    }

    fn export_at(&mut self, interface: &Arc<Interface>, arrives: bool, seconds: u64) {
        self.kernel += 1_000;
        let reading = reading(interface.id.0.get(), self.kernel);
        let points = self.accumulator.collect([interface], &[reading], at(seconds));
        self.deliver(points, arrives);
    }

    /// An interval later, nothing exists.
    fn export_nothing(&mut self, arrives: bool) {
        self.seconds += 10;
        let points = self.accumulator.collect([], &[], at(self.seconds));
        self.deliver(points, arrives);
    }

    /// The interface is deleted, 1,000 bytes after the last export.
    fn end(&mut self, interface: &Arc<Interface>) {
        self.kernel += 1_000;
        let counters = reading(interface.id.0.get(), self.kernel).counters;
        self.accumulator.end(interface, &FinalCounters::new(counters, at(self.seconds + 5)));
    }

    fn deliver(&mut self, mut points: Points, arrives: bool) {
        if let Some(deltas) = &mut self.deltas {
            deltas.convert(&mut points);
        }
        if !arrives {
            return;
        }
        let (mut buffer, identity) = (BytesMut::new(), Identity::default());
        let Some(batch) = Batches::new(&points, &identity).next(&mut buffer) else { return };
        self.receiver.receive(&buffer);
        let samples = [batch.samples];
        self.deltas.iter_mut().for_each(|deltas| deltas.delivered(&points, &samples));
        self.accumulator.delivered(&points, &samples);
    }

    fn sum(&self) -> (Temporality, u64) {
        (self.temporality, self.receiver.sum)
    }

    fn expect(&self, sum: u64) {
        assert_eq!(self.sum(), (self.temporality, sum));
    }
}

/// The pod `web` before and after the API server answers.
fn late_workload() -> [Arc<Interface>; 2] {
    let mut described = Pod::clone(&pod("web"));
    described.workload = Some(Workload { kind: WorkloadKind::Deployment, name: "web".into() });
    [pod("web"), Arc::new(described)].map(|pod| pod_interface(1, "eth0", &pod, at(1)))
}

fn labelled(value: &str) -> Arc<Interface> {
    let attributes = vec![("k8s.pod.label.tier".to_owned(), value.to_owned())];
    pod_interface(1, "eth0", &Arc::new(Pod { attributes, ..Pod::clone(&pod("web")) }), at(1))
}

/// The last bytes of a deleted interface arrive once, after the receiver was away; then the stream ends.
#[test]
fn last_traffic_arrives_once() {
    for mut node in Node::both() {
        let interface = pod_interface(1, "eth0", &pod("web"), at(1));
        node.export(&interface, true);
        node.export(&interface, true);
        node.end(&interface);
        node.export_nothing(false);
        node.expect(1_000);
        node.export_nothing(true);
        node.expect(2_000);
        assert_eq!(node.receiver.ended, 0);
        (0..3).for_each(|_| node.export_nothing(true));
        node.expect(2_000);
        assert_eq!(node.receiver.ended, 1);
    }
}

/// A pod that lived between two exports is counted in full.
#[test]
fn short_life_arrives_in_full() {
    for mut node in Node::both() {
        let before = node.kernel;
        let interface = pod_interface(1, "eth0", &pod("job"), at(node.seconds + 1));
        node.end(&interface);
        (0..3).for_each(|_| node.export_nothing(true));
        node.expect(before + 1_000);
    }
}

#[test]
fn ten_restarts_count_nothing_twice() {
    for mut node in Node::both() {
        let [late, described] = late_workload();
        for _ in 0..10 {
            node.restart();
            for interface in [&late, &late, &described, &described] {
                node.export(interface, true);
            }
        }
        // The first point of each run is its base; three intervals follow.
        node.expect(10 * 3_000);
    }
}

#[test]
fn new_pods_count_from_zero() {
    for mut node in Node::both() {
        node.kernel = 0;
        let [late, described] = late_workload().map(|interface| {
            let mut interface = Interface::clone(&interface);
            interface.since = at(105);
            Arc::new(interface)
        });
        node.export(&late, true);
        node.export(&described, true);
        // The API server restarts and loses the workload for a moment.
        node.export(&late, true);
        node.export(&described, true);
        node.expect(4_000);
    }
}

#[test]
fn relabelling_counts_each_byte_once() {
    for mut node in Node::both() {
        for label in ["a", "b", "a", "b", "b", "c"] {
            node.export(&labelled(label), true);
        }
        node.expect(5_000);
    }
}

#[test]
fn namespace_becomes_a_pod() {
    for mut node in Node::both() {
        let [late, described] = late_workload();
        let nobody = changed(&late, |interface| interface.owner = None);
        for interface in [&nobody, &nobody, &late, &described, &nobody] {
            node.export(interface, true);
        }
        node.expect(4_000);
    }
}

/// A rename gives the interface another id and keeps the time it was made.
#[test]
fn rename_counts_each_byte_once() {
    for mut node in Node::both() {
        let before = eth0(1, at(1));
        let mut after = Interface::clone(&before);
        (after.id, after.name) = (id(2), IfName::new("net0").unwrap());
        let after = Arc::new(after);
        for interface in [&before, &before, &after, &after, &before] {
            node.export(interface, true);
        }
        node.expect(4_000);
    }
}

/// With MAC address or CNI network as attributes of every series, a change of their values is a change of identity.
#[test]
fn opt_in_attributes_identify_series() {
    for mut node in Node::both() {
        let mut options = Options::default();
        options.attributes.network = true;
        node.restart_with(options);
        let [first, _] = late_workload();
        let Owner::Pod(mut owner) = Owner::clone(first.owner.as_ref().unwrap()) else { unreachable!("a pod's") };
        owner.network = Some("other".into());
        let second = changed(&first, |interface| interface.owner = Some(Arc::new(Owner::Pod(owner))));
        for interface in [&first, &second, &first] {
            node.export(interface, true);
        }
        node.expect(2_000);
    }
}

#[test]
fn changes_while_the_receiver_is_away() {
    for mut node in Node::both() {
        let [late, described] = late_workload();
        node.export(&late, true);
        node.export(&late, false);
        node.export(&described, false);
        node.export(&labelled("a"), false);
        node.export(&labelled("a"), true);
        node.expect(4_000);
    }
}

/// The base must arrive before anything counts from it.
#[test]
fn base_is_repeated_until_delivered() {
    let [mut node, mut with_deltas] = Node::both();
    let [late, described] = late_workload();
    for node in [&mut node, &mut with_deltas] {
        node.export(&late, false);
        node.export(&described, false);
        node.export(&described, true);
        node.export(&described, true);
    }
    node.expect(1_000);
    with_deltas.expect(3_000);
}

#[test]
fn clock_set_back_counts_once() {
    for mut node in Node::both() {
        let interface = labelled("a");
        node.export(&interface, true);
        node.export(&interface, true);
        node.accumulator.set_back(Duration::from_secs(60));
        node.export_at(&interface, true, 70);
        node.export_at(&interface, true, 80);
        node.expect(3_000);
    }
}

#[test]
fn filtered_time_is_not_counted() {
    let [mut node, _] = Node::both();
    let mut interface = Interface::clone(&labelled("a"));
    interface.since = at(105);
    let interface = Arc::new(interface);
    node.kernel = 0;
    node.export(&interface, true);
    node.accumulator.collect([], &[reading(1, 2_000)], at(120));
    (node.seconds, node.kernel) = (120, 2_000);
    node.export(&interface, true);
    node.expect(2_000);
}

/// Errors by reason and addresses are series of their own, and end with the interface.
#[test]
fn details_and_addresses_have_their_attributes() {
    let opt_in = vec![Measure::ErrorReasons, Measure::Unhandled, Measure::OtherHost, Measure::Address];
    let mut accumulator = Accumulator::new(Options { opt_in, ..Options::default() });
    accumulator.synced(at(0));
    let web = changed(&pod_interface(1, "eth0", &pod("web"), at(5)), |interface| {
        interface.addresses = ["10.1.0.2/24", "fd00::2/64"].map(|net| net.parse().unwrap()).into();
        interface.extras = Extras::new(None, Some("uplink".into()), ["wan".into(), "net7".into()].into());
    });
    // A kernel before 5.19 does not count packets for other hosts.
    let read = CounterDetails::new((1..=16).map(|value| value * 10));
    accumulator.read_details(Arc::new([(id(1), read)].into()));
    let points = accumulator.collect([&web], &[reading(1, 100)], at(10));
    let of = |points: &Points| {
        let mut body = BytesMut::new();
        Batches::new(points, &Identity::default()).next(&mut body).unwrap();
        let request = ExportMetricsServiceRequest::decode(body.freeze()).unwrap();
        let metrics = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        metrics.flat_map(|scope| scope.metrics).map(|metric| (metric.name.clone(), metric)).collect::<HashMap<_, _>>()
    };
    let rows = |metrics: &HashMap<String, Metric>, suffix: &str| {
        let metric = &metrics[&format!("k8s.pod.network.interface.{suffix}")];
        let Some(metric::Data::Sum(sum)) = &metric.data else { panic!("a sum") };
        let text = |attribute: &KeyValue| match attribute.value.as_ref().unwrap().value.as_ref().unwrap() {
            any_value::Value::StringValue(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        let row = |point: &NumberDataPoint| {
            let attributes: Vec<_> = point.attributes.iter().map(text).collect();
            let Some(number_data_point::Value::AsInt(value)) = point.value else { return attributes.join(" ") };
            format!("{} {value}", attributes.join(" "))
        };
        sum.data_points.iter().map(row).collect::<Vec<_>>()
    };
    let metrics = of(&points);
    assert_eq!(
        rows(&metrics, "errors"),
        [
            "eth0 receive length 30",
            "eth0 receive over 40",
            "eth0 receive crc 50",
            "eth0 receive frame 60",
            "eth0 receive fifo 70",
            "eth0 receive missed 80",
            "eth0 transmit aborted 90",
            "eth0 transmit carrier 100",
            "eth0 transmit fifo 110",
            "eth0 transmit heartbeat 120",
            "eth0 transmit window 130",
        ]
    );
    assert_eq!(rows(&metrics, "packet.unhandled"), ["eth0 receive 160"]);
    assert!(!metrics.contains_key("k8s.pod.network.interface.packet.other_host"));
    assert_eq!(rows(&metrics, "address"), ["eth0 10.1.0.2 uplink wan,net7 1", "eth0 fd00::2 uplink wan,net7 1"]);
    accumulator.delivered(&points, &[points.all()]);
    accumulator.end(&web, &FinalCounters::new(reading(1, 130).counters, at(12)));
    let last = accumulator.collect([], &[], at(20));
    assert_eq!(rows(&of(&last), "errors").len(), 11);
    accumulator.delivered(&last, &[last.all()]);
    let ends = of(&accumulator.collect([], &[], at(30)));
    assert_eq!(rows(&ends, "packet.unhandled"), ["eth0 receive"]);
    assert_eq!(rows(&ends, "address"), ["eth0 10.1.0.2 uplink wan,net7", "eth0 fd00::2 uplink wan,net7"]);
}

/// Only where asked for; each key that an entity names is an attribute of the Resource.
#[test]
fn resources_refer_to_entities() {
    let mut described = Pod::clone(&pod("web"));
    described.attributes = vec![("k8s.pod.label.app".into(), "shop".into())];
    let web = pod_interface(2, "eth0", &Arc::new(described), at(1));
    let container = container_interface(4, "eth0", "db", "0a1b");
    let blue = Arc::new(interface(5, "tun0", Place::Named(NetnsName::new("blue")), at(1)));
    let mut accumulator = Accumulator::default();
    let interfaces = [eth0(1, at(1)), web, container, blue];
    let readings = [1, 2, 4, 5].map(|number| reading(number, 100));
    let points = accumulator.collect(&interfaces, &readings, at(10));
    let of = |identity: &Identity| {
        let mut body = BytesMut::new();
        Batches::new(&points, identity).next(&mut body).unwrap();
        let request = ExportMetricsServiceRequest::decode(body.freeze()).unwrap();
        let resources = request.resource_metrics.into_iter().map(|metrics| metrics.resource.unwrap());
        resources.map(|resource| referred(&resource)).collect::<Vec<_>>()
    };
    let mut identity = Identity { node: "n1".into(), ..Identity::default() };
    assert!(of(&identity).iter().all(Vec::is_empty));
    identity.entities = Entities::Beside;
    let node = "k8s.node k8s.node.name ()";
    let container =
        "container container.id (container.name container.runtime container.image.name container.image.tags)";
    let expected = [
        &[node][..],
        &["k8s.pod k8s.pod.uid (k8s.pod.name k8s.pod.label.app)", "k8s.namespace k8s.namespace.name ()", node],
        &[container, node],
        &["network.namespace k8s.node.name netns.name ()", node],
    ];
    assert_eq!(of(&identity), expected);
    identity.attributes = vec![("k8s.node.uid".into(), "uid-n1".into())];
    assert_eq!(of(&identity)[0], ["k8s.node k8s.node.uid (k8s.node.name)"]);
}

/// The entities of a Resource: type, identifying and describing keys.
fn referred(resource: &Resource) -> Vec<String> {
    let has = |key: &String| resource.attributes.iter().any(|attribute| attribute.key == *key);
    let refs = resource.entity_refs.iter().map(|entity| {
        assert!(entity.id_keys.iter().chain(&entity.description_keys).all(has), "{entity:?}");
        assert_eq!(entity.schema_url, SCHEMA_URL);
        format!("{} {} ({})", entity.r#type, entity.id_keys.join(" "), entity.description_keys.join(" "))
    });
    refs.collect()
}
