//! Memory of pods that ended while nobody received their last points; a process of its own keeps other allocations out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use iface_core::FinalCounters;
use netns_agent::interface::{Interface, Pod, Workload, WorkloadKind};
use netns_agent::metrics::points::{Options, Reader};
use netns_agent::metrics::series::Accumulator;
use netns_agent::testing::{at, changed, pod, pod_interface, reading};

const PODS: u64 = 1_000;
const LIMIT: isize = 1 << 20;

static LIVE: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; only bytes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller meets the conditions of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above with the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A pod of a Deployment with names of usual lengths, and its interface with an address of each family.
fn web(number: u64) -> Arc<Interface> {
    let mut web = Pod::clone(&pod("web"));
    web.namespace = "production-shop".into();
    web.name = format!("checkout-frontend-6c9f8b7d5-{number:05}");
    web.uid = Some(format!("0e1f9a52-7c1b-4c55-9a3e-{number:012}"));
    web.workload = Some(Workload { kind: WorkloadKind::Deployment, name: "checkout-frontend".into() });
    changed(&pod_interface(number, "eth0", &Arc::new(web), at(1)), |interface| {
        interface.addresses = ["10.244.3.17/24", "fd00:10:244::3:17/64"].map(|net| net.parse().unwrap()).into();
    })
}

/// Bytes kept of pods that ended, in all.
fn kept(accumulators: &mut [Accumulator]) -> isize {
    for accumulator in accumulators.iter_mut() {
        accumulator.synced(at(0));
    }
    let before = LIVE.load(Ordering::Relaxed);
    let lives: Vec<_> = (1..=PODS).map(web).collect();
    let readings: Vec<_> = (1..=PODS).map(|number| reading(number, 1 << 40)).collect();
    for accumulator in accumulators.iter_mut() {
        accumulator.collect(&lives, &readings, at(10));
        for (interface, reading) in lives.iter().zip(&readings) {
            accumulator.end(interface, &FinalCounters::new(reading.counters, at(12)));
        }
    }
    drop((lives, readings));
    for accumulator in accumulators.iter_mut() {
        drop(accumulator.collect([], &[], at(20)));
    }
    LIVE.load(Ordering::Relaxed) - before
}

// A single test, because the count is global to the process.
#[test]
fn thousand_ended_pods_fit_a_mebibyte() {
    let of = |readers: &[Reader]| {
        let made = readers.iter().map(|reader| Accumulator::for_reader(*reader, Options::default()));
        kept(&mut made.collect::<Vec<_>>())
    };
    let (otlp, page) = (of(&[Reader::Totals]), of(&[Reader::Page]));
    // Where both report interfaces, they share what they have in common.
    let both = of(&[Reader::Totals, Reader::Page]);
    println!("bytes of an ended pod: OTLP {}, page {}, both {}", otlp / 1_000, page / 1_000, both / 1_000);
    assert!(both < LIMIT, "{both} bytes of {PODS} pods, more than {LIMIT}");
}
