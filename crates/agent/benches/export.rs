//! Builds and encodes the export of a node with 1,000 pods of 2 interfaces: 2,000 interfaces of 9 points.
//!
//! The bound is 25 ms of one core for build and encode together.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use iface_core::FinalCounters;
use netns_agent::export::gzip::Compressed;
use netns_agent::export::otlp::Batches;
use netns_agent::export::prometheus::{Format, Page, Process};
use netns_agent::export::resource::Identity;
use netns_agent::interface::Interface;
use netns_agent::metrics::delta::Deltas;
use netns_agent::metrics::points::Points;
use netns_agent::metrics::series::Accumulator;
use netns_agent::testing::{at, pod, pod_interface, reading};
use netns_scan::Reading;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use prost::bytes::BytesMut;

fn node(name: &str, first: u64) -> (Vec<Arc<Interface>>, Vec<Reading>) {
    let pods: Vec<_> = (0..1_000).map(|number| pod(&format!("{name}-{number}"))).collect();
    let numbered = pods.iter().zip((first..).step_by(2));
    let two = |(pod, number)| {
        [("eth0", number), ("net1", number + 1)].map(|(name, number)| pod_interface(number, name, pod, at(1)))
    };
    let interfaces: Vec<_> = numbered.flat_map(two).collect();
    let readings = interfaces.iter().map(|interface| reading(interface.id.0.get(), 1 << 40)).collect();
    (interfaces, readings)
}

/// After the end of 1,000 other pods of 2 interfaces, while the receiver is away.
fn ended() -> Accumulator {
    let mut accumulator = Accumulator::default();
    accumulator.synced(at(0));
    let (interfaces, readings) = node("gone", 10_001);
    accumulator.collect(&interfaces, &readings, at(30));
    for (interface, reading) in interfaces.iter().zip(&readings) {
        accumulator.end(interface, &FinalCounters::new(reading.counters, at(40)));
    }
    accumulator
}

fn encode(points: &Points, identity: &Identity, buffer: &mut BytesMut) -> usize {
    let mut batches = Batches::new(points, identity);
    let mut bytes = 0;
    while batches.next(buffer).is_some() {
        bytes += buffer.len();
    }
    bytes
}

fn export(criterion: &mut Criterion) {
    let (interfaces, readings) = node("web", 1);
    let identity = Identity { node: "node-1".into(), ..Identity::default() };
    let mut accumulator = Accumulator::default();
    let mut buffer = BytesMut::new();
    let mut group = criterion.benchmark_group("1000 pods x 2 interfaces");
    group.measurement_time(Duration::from_secs(5)).sample_size(50);
    group.bench_function("build", |bencher| bencher.iter(|| accumulator.collect(&interfaces, &readings, at(60))));
    group.bench_function("build and encode", |bencher| {
        bencher.iter(|| encode(&accumulator.collect(&interfaces, &readings, at(60)), &identity, &mut buffer));
    });
    let points = accumulator.collect(&interfaces, &readings, at(60));
    group.bench_function("the longest batch", |bencher| {
        bencher.iter(|| Batches::new(&points, &identity).next(&mut buffer));
    });
    let mut deltas = Deltas::default();
    group.bench_function("build and encode differences", |bencher| {
        bencher.iter(|| {
            let mut points = accumulator.collect(&interfaces, &readings, at(60));
            deltas.convert(&mut points);
            encode(&points, &identity, &mut buffer)
        });
    });
    let mut away = ended();
    group.bench_function("build and encode with 1,000 ended pods", |bencher| {
        bencher.iter(|| encode(&away.collect(&interfaces, &readings, at(60)), &identity, &mut buffer));
    });
    let own = ResourceMetrics::default();
    let page = Page { points: Some(&points), identity: &identity, own: &own, process: Process::default() };
    group.bench_function("write for Prometheus", |bencher| {
        bencher.iter(|| page.write(Format::Text, &mut std::io::sink()));
    });
    group.bench_function("write for Prometheus, compressed", |bencher| {
        bencher.iter(|| Compressed::new(|to| page.write(Format::Text, to)));
    });
    group.finish();
}

criterion_group!(benches, export);
criterion_main!(benches);
