//! Requests stay small and complete for any number of interfaces.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use iface_core::Place;
use netns_agent::export::otlp::LARGEST;
use netns_agent::interface::Interface;
use netns_agent::testing::{at, interface, pod, pod_interface};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use crate::faulty::{Faulty, Received};
use crate::made::{collect, export, exporter};

/// Identities of the points.
fn points(received: &[Received]) -> Vec<String> {
    let metrics = received.iter().flat_map(|received| &received.request.resource_metrics).flat_map(|resource| {
        let attributes = resource.resource.iter().flat_map(|resource| &resource.attributes);
        let uid = attributes
            .filter(|attribute| attribute.key == "k8s.pod.uid")
            .map(|uid| format!("{uid:?}"))
            .collect::<String>();
        resource.scope_metrics.iter().flat_map(|scope| &scope.metrics).map(move |metric| (uid.clone(), metric))
    });
    metrics
        .flat_map(|(resource, metric)| {
            let Some(Data::Sum(sum)) = &metric.data else { panic!("only sums: {metric:?}") };
            sum.data_points.iter().map(move |point| format!("{resource} {} {:?}", metric.name, point.attributes))
        })
        .collect()
}

async fn all_arrive(interfaces: &[Arc<Interface>]) {
    let readings: Vec<_> = interfaces.iter().map(|interface| (interface.id.0.get(), 1)).collect();
    let made = collect(interfaces, &readings);
    let receiver = Faulty::start(true, []).await;
    let mut exporter = exporter(&[("ENDPOINT", &format!("http://{}", receiver.address)), ("PROTOCOL", "grpc")]);
    let report = export(&mut exporter, &made, Duration::from_secs(20)).await;
    assert_eq!((&report.failure, report.accepted), (&None, interfaces.len() * 9));
    let covered: usize = report.delivered.iter().map(ExactSizeIterator::len).sum();
    assert_eq!(covered, interfaces.len(), "every interface is delivered once");
    let received = receiver.received();
    assert!(received.len() > 1);
    assert!(received.iter().all(|received| received.bytes <= LARGEST));
    let points = points(&received);
    let different: HashSet<_> = points.iter().collect();
    assert_eq!((points.len(), different.len()), (interfaces.len() * 9, interfaces.len() * 9), "each point once");
}

#[tokio::test]
async fn large_resources_are_split() {
    let of_the_host = |number| Arc::new(interface(number, format!("veth{number}"), Place::Host, at(1)));
    all_arrive(&(1..=10_000).map(of_the_host).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn huge_attributes_are_split_too() {
    let mut huge = netns_agent::interface::Pod::clone(&pod("huge"));
    huge.attributes.push(("k8s.pod.annotation.all".into(), "x".repeat(1_700_000)));
    let huge = Arc::new(huge);
    all_arrive(
        &(1..=2_000).map(|number| pod_interface(number, format!("net{number}"), &huge, at(1))).collect::<Vec<_>>(),
    )
    .await;
}

#[tokio::test]
async fn each_pod_is_a_resource() {
    let pods: Vec<_> = (0..1_000).map(|number| pod(&format!("web-{number}"))).collect();
    let two = |(pod, number)| {
        [("eth0", number), ("net1", number + 1)].map(|(name, number)| pod_interface(number, name, pod, at(1)))
    };
    all_arrive(&pods.iter().zip((1..).step_by(2)).flat_map(two).collect::<Vec<_>>()).await;
}
