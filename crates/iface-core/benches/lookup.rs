//! Time per lookup: `cargo bench -p iface-core --bench lookup`.
#![allow(missing_docs)]

use std::collections::HashMap;
use std::hint::black_box;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use foldhash::fast::RandomState;
use futures_core::Stream;
use futures_util::stream;
use iface_core::{
    Answer, Confidence, Event, IfName, Interface, InterfaceId, Lookup, LookupOptions, MacAddr, Netns, NetnsId,
    NetnsName, OperState, Place, Registerer,
};

fn mac(number: u32) -> MacAddr {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddr::from([0x0a, 0x58, a, b, c, d])
}

fn interface(number: u32, netns: u32, ifindex: u32) -> Arc<Interface> {
    let place = match netns {
        0 => Place::Host,
        n => Place::Named(NetnsName::new(format!("cni-{n:08x}-5b3c-4d0e-9a51-0242ac120002"))),
    };
    let netns = Netns::new(NetnsId(u64::from(netns)), place);
    let id = InterfaceId(NonZeroU64::MIN.saturating_add(u64::from(number)));
    let mut interface = Interface::new(id, Arc::new(netns), ifindex, IfName::new("eth0").unwrap_or_default());
    interface.mac = Some(mac(number));
    interface.oper_state = OperState::Up;
    Arc::new(interface)
}

/// `count` interfaces of one namespace with different ifindexes.
fn one_namespace(count: u32) -> Vec<Arc<Interface>> {
    (0..count).map(|n| interface(n, 0, n + 1)).collect()
}

/// `count` namespaces with a single interface each, ifindex 2.
fn same_number(count: u32) -> Vec<Arc<Interface>> {
    (0..count).map(|n| interface(n, n + 1, 2)).collect()
}

fn settings() -> LookupOptions {
    let mut options = LookupOptions::default();
    options.preferred = "0c=eth0".parse().unwrap_or_default();
    options.kernel = Some(Box::new(|_| None));
    options
}

/// A lookup with these interfaces.
fn knowing(interfaces: &[Arc<Interface>]) -> Lookup {
    let events = stream::iter(interfaces.iter().cloned().map(Event::Added));
    let mut registerer = Registerer::with_options(events, settings());
    drain(&mut registerer);
    registerer.lookup()
}

fn drain(events: &mut (impl Stream<Item = Event> + Unpin)) {
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(_)) = Pin::new(&mut *events).poll_next(&mut context) {}
}

/// Looks up all interfaces in another order than the order of creation.
fn ask(
    interfaces: &[Arc<Interface>],
    times: u64,
    mut answer: impl FnMut(u32, Option<&MacAddr>) -> Option<Answer>,
) -> Duration {
    let questions: Vec<_> = (0..interfaces.len())
        .map(|n| &interfaces[n * 7919 % interfaces.len()])
        .map(|interface| (interface.ifindex, interface.mac))
        .collect();
    let mut turn = questions.iter().cycle();
    let start = Instant::now();
    for _ in 0..times {
        if let Some((ifindex, mac)) = turn.next() {
            black_box(answer(black_box(*ifindex), mac.as_ref()));
        }
    }
    start.elapsed()
}

fn sizes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("name_for_index_and_mac");
    for count in [1, 100, 1_000, 10_000] {
        let interfaces = one_namespace(count);
        each_way(&mut group, &format!("{count} numbers"), &interfaces);
    }
    let interfaces = same_number(1_000);
    each_way(&mut group, "1000 namespaces, all number 2", &interfaces);
    let lookup = knowing(&interfaces);
    for (case, asked) in [("preferred", [0x0c; 6]), ("guess", [0x0e; 6])] {
        let mac = MacAddr::from(asked);
        group.bench_function(BenchmarkId::new("1000 namespaces, all number 2", case), |bencher| {
            bencher.iter(|| lookup.name_for_index_and_mac(black_box(2), Some(black_box(&mac))));
        });
    }
    group.bench_function("unknown number, asked before", |bencher| {
        bencher.iter(|| lookup.name_for_index_and_mac(black_box(77), Some(black_box(&mac(1)))));
    });
    group.finish();
}

/// By a lookup, by a reader, and, as the floor, by an unshared map.
fn each_way(group: &mut BenchmarkGroup<'_, WallTime>, case: &str, interfaces: &[Arc<Interface>]) {
    let lookup = knowing(interfaces);
    group.bench_function(BenchmarkId::new(case, "lookup"), |bencher| {
        bencher.iter_custom(|times| ask(interfaces, times, |n, mac| lookup.name_for_index_and_mac(n, mac)));
    });
    let mut reader = reading(&lookup);
    group.bench_function(BenchmarkId::new(case, "reader"), |bencher| {
        bencher.iter_custom(|times| ask(interfaces, times, &mut reader));
    });
    let mut own = own_map(interfaces);
    group.bench_function(BenchmarkId::new(case, "own map"), |bencher| {
        bencher.iter_custom(|times| ask(interfaces, times, &mut own));
    });
}

/// Lookups in an unshared map.
fn own_map(interfaces: &[Arc<Interface>]) -> impl FnMut(u32, Option<&MacAddr>) -> Option<Answer> + use<> {
    let map: HashMap<_, _, RandomState> = interfaces.iter().map(|it| ((it.ifindex, it.mac), it.name)).collect();
    let named = |name: &IfName| Answer::new(*name, Confidence::Exact);
    move |ifindex, mac| map.get(&(ifindex, mac.copied())).map(named)
}

fn reading(lookup: &Lookup) -> impl FnMut(u32, Option<&MacAddr>) -> Option<Answer> + use<> {
    let mut reader = lookup.reader();
    move |ifindex, mac| reader.name_for_index_and_mac(ifindex, mac)
}

fn others(criterion: &mut Criterion) {
    let interfaces = one_namespace(1_000);
    let lookup = knowing(&interfaces);
    let wanted = &interfaces[500];
    let mut group = criterion.benchmark_group("others, 1000 interfaces");
    group.bench_function("get", |bencher| bencher.iter(|| lookup.get(black_box(wanted.id)).map(|found| found.mtu)));
    group.bench_function("in_netns", |bencher| {
        bencher.iter(|| lookup.in_netns(black_box(wanted.netns.id), wanted.ifindex).map(|found| found.mtu));
    });
    group.bench_function("interfaces", |bencher| bencher.iter(|| lookup.interfaces()));
    group.finish();
}

/// Nanoseconds per lookup of `readers` threads, with or without a writer.
fn together(criterion: &mut Criterion) {
    let interfaces = one_namespace(1_000);
    let mut group = criterion.benchmark_group("threads, 1000 interfaces");
    for readers in [1, 2] {
        let lookup = knowing(&interfaces);
        group.bench_function(BenchmarkId::new("readers", readers), |bencher| {
            bencher.iter_custom(|times| read(readers, &interfaces, times, || reading(&lookup)));
        });
        group.bench_function(BenchmarkId::new("own maps", readers), |bencher| {
            bencher.iter_custom(|times| read(readers, &interfaces, times, || own_map(&interfaces)));
        });
    }
    for (case, writes) in [("a writer of 100,000 events a second", true), ("a thread that writes nothing", false)] {
        group.bench_function(BenchmarkId::new("1 reader beside", case), |bencher| {
            bencher.iter_custom(|times| beside_another(writes, &interfaces, times));
        });
    }
    group.finish();
}

/// Reads beside a busy thread; a writer adds and deletes other interfaces, one every 10 µs.
fn beside_another(writes: bool, interfaces: &[Arc<Interface>], times: u64) -> Duration {
    let first = interfaces.len() as u32;
    let others: Vec<_> = (first..2 * first).map(|n| interface(n, 0, n + 1)).collect();
    let come = others.iter().cloned().map(Event::Added);
    let go = others.iter().cloned().map(|interface| Event::Deleted(interface, None));
    let start = interfaces.iter().cloned().map(Event::Added);
    let events = start.chain([Event::Synced]).chain(come.chain(go).cycle());
    let mut registerer = Registerer::with_options(stream::iter(events), settings());
    let mut context = Context::from_waker(Waker::noop());
    while Pin::new(&mut registerer).poll_next(&mut context) != Poll::Ready(Some(Event::Synced)) {}
    let lookup = registerer.lookup();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut due = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                if Instant::now() >= due {
                    due += Duration::from_micros(10);
                    if !writes {
                        continue;
                    }
                    drop(black_box(Pin::new(&mut registerer).poll_next(&mut Context::from_waker(Waker::noop()))));
                }
                std::hint::spin_loop();
            }
        });
        let took = read(1, interfaces, times, || reading(&lookup));
        stop.store(true, Ordering::Relaxed);
        took
    })
}

/// Time of the slowest thread.
fn read<A>(readers: usize, interfaces: &[Arc<Interface>], times: u64, answer: impl Fn() -> A) -> Duration
where
    A: FnMut(u32, Option<&MacAddr>) -> Option<Answer> + Send,
{
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..readers)
            .map(|_| {
                let answer = answer();
                scope.spawn(move || ask(interfaces, times, answer))
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).max().unwrap_or_default()
    })
}

criterion_group!(benches, sizes, others, together);
criterion_main!(benches);
