//! A real receiver gets the measurements over every protocol.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use netns_agent::export::events;
use netns_agent::export::otlp::{Exporter, Failure};
use netns_agent::export::resource::Identity;
use netns_agent::export::settings::Signal;
use netns_agent::interface::Event;
use netns_agent::testing::{at, pod, pod_interface};
use netns_testbed::{Rotel, Verbosity};

use crate::certificates::Authority;
use crate::made::{LIMIT, export, exporter, settings, two_interfaces};

const PATIENCE: Duration = Duration::from_secs(5);

/// Exports two interfaces and checks rotel's output.
async fn arrives(rotel: &Rotel, variables: &[(&str, &str)]) {
    let report = export(&mut exporter(variables), &two_interfaces(), PATIENCE).await;
    assert_eq!((report.failure, report.rejected, report.accepted), (None, 0, 18), "nine points each");
    // Rotel has answered: its lines can be awaited without running anything else.
    let node = rotel.until("k8s.node.network.interface.up").join("\n");
    assert!(node.contains("-> k8s.node.name: Str(node-1)"), "{node}");
    let pod = rotel.until("k8s.pod.network.interface.up").join("\n");
    let expected = [
        "Resource SchemaURL: https://opentelemetry.io/schemas/1.44.0",
        "-> k8s.pod.uid: Str(uid-web)",
        "-> k8s.pod.name: Str(web)",
        "-> k8s.namespace.name: Str(default)",
        "InstrumentationScope netns-agent 0.1.0",
        "-> Name: k8s.pod.network.io",
        "-> Unit: By",
        "-> IsMonotonic: true",
        "-> AggregationTemporality: AGGREGATION_TEMPORALITY_CUMULATIVE",
        "-> network.interface.name: Str(eth0)",
        "-> network.io.direction: Str(receive)",
        "StartTimestamp: 100000000000",
        "Timestamp: 160000000000",
        "Value: 123456789",
        "-> Name: k8s.pod.network.packet.count",
        "Value: 12345678",
    ];
    // This rotel reads integers of protobuf only; the unit tests of JSON check them.
    let is_json = variables.contains(&("PROTOCOL", "http/json"));
    for line in expected.into_iter().filter(|line| !(is_json && line.starts_with("Value"))) {
        assert!(pod.contains(line), "{line}\nnot in\n{pod}");
    }
}

#[tokio::test]
async fn over_grpc() {
    let rotel = Rotel::start(Verbosity::Detailed);
    let endpoint = format!("http://{}", rotel.grpc);
    arrives(&rotel, &[("ENDPOINT", &endpoint), ("PROTOCOL", "grpc")]).await;
    arrives(&rotel, &[("ENDPOINT", &endpoint), ("PROTOCOL", "grpc"), ("COMPRESSION", "gzip")]).await;
}

#[tokio::test]
async fn over_http() {
    let rotel = Rotel::start(Verbosity::Detailed);
    let endpoint = format!("http://{}", rotel.http);
    arrives(&rotel, &[("ENDPOINT", &endpoint)]).await;
    let full = format!("{endpoint}/v1/metrics");
    arrives(&rotel, &[("METRICS_ENDPOINT", &full), ("COMPRESSION", "gzip")]).await;
    let json = [("ENDPOINT", &*endpoint), ("PROTOCOL", "http/json")];
    arrives(&rotel, &json).await;
    arrives(&rotel, &[&json[..], &[("COMPRESSION", "gzip")]].concat()).await;
}

#[tokio::test]
async fn over_tls_with_client_certificate() {
    let (rotel, authority) = (Rotel::start(Verbosity::Detailed), Authority::new());
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| authority.path(name));
    let files = [("CERTIFICATE", &*ca), ("CLIENT_CERTIFICATE", &*cert), ("CLIENT_KEY", &*key)];
    for (receiver, protocol) in [(rotel.grpc, "grpc"), (rotel.http, "http/protobuf")] {
        let (address, _tls) = authority.in_front_of(receiver).await;
        let endpoint = format!("https://{address}");
        let how = [("ENDPOINT", &*endpoint), ("PROTOCOL", protocol)];
        arrives(&rotel, &[&how[..], &files[..]].concat()).await;

        let unknown = Authority::new();
        let unknown_ca = unknown.path("ca.pem");
        let with_unknown_ca = [&how[..], &[("CERTIFICATE", &*unknown_ca)], &files[1..]].concat();
        let without_client = [&how[..], &files[..1]].concat();
        for wrong in [with_unknown_ca, without_client] {
            let report = export(&mut exporter(&wrong), &two_interfaces(), Duration::from_millis(100)).await;
            assert!(matches!(report.failure, Some(Failure::Unreachable(_))), "{protocol}: {:?}", report.failure);
        }
    }
}

#[tokio::test]
async fn invalid_certificate_file_is_named() {
    let settings = settings(Signal::Metrics, &[("ENDPOINT", "https://127.0.0.1:1"), ("CERTIFICATE", "/dev/null")]);
    let error = Exporter::new(Signal::Metrics, settings, Arc::default()).expect_err("no certificate");
    assert!(error.to_string().starts_with("/dev/null: holds no certificate"), "{error}");
}

#[tokio::test]
async fn events_arrive_as_logs() {
    let rotel = Rotel::start(Verbosity::Detailed);
    for (receiver, protocol) in [(rotel.grpc, "grpc"), (rotel.http, "http/protobuf"), (rotel.http, "http/json")] {
        let settings = settings(Signal::Logs, &[("ENDPOINT", &format!("http://{receiver}")), ("PROTOCOL", protocol)]);
        let exporter = Exporter::new(Signal::Logs, settings, Arc::new(Identity::default())).expect("an exporter");
        let (mut sender, log) = events::channel(exporter);
        assert!(sender.push(&Event::Added(pod_interface(1, "eth0", &pod(protocol), at(1))), SystemTime::now()));
        drop(sender);
        let mut accepted = 0;
        let sending = log.run(PATIENCE, std::future::pending(), |report, _| accepted += report.accepted);
        tokio::time::timeout(LIMIT, sending).await.expect("ends when all is sent");
        assert_eq!(accepted, 1);
        let printed = rotel.until("interface eth0 added").join("\n");
        assert!(printed.contains(&format!("uid-{protocol}")), "{printed}");
    }
}
