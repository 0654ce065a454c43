//! Every export costs the same memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
// A global allocator needs unsafe code.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use netns_agent::export::otlp::Batches;
use netns_agent::export::resource::Identity;
use netns_agent::interface::Interface;
use netns_agent::metrics::delta::Deltas;
use netns_agent::metrics::series::Accumulator;
use netns_agent::testing::{at, pod, pod_interface, reading};
use prost::bytes::BytesMut;

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicIsize = AtomicIsize::new(0);

fn live(change: isize) {
    LIVE.fetch_add(change, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged; only counts are kept.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        live(layout.size().cast_signed());
        // SAFETY: the caller meets the conditions of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        live(-layout.size().cast_signed());
        // SAFETY: the pointer came from `alloc` above with the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of each of ten exports, and bytes held after it.
fn exports(mut deltas: Option<Deltas>) -> Vec<(usize, isize)> {
    let pods: Vec<_> = (0..100).map(|number| pod(&format!("web-{number}"))).collect();
    let interfaces: Vec<Arc<Interface>> =
        pods.iter().zip(1..).map(|(pod, number)| pod_interface(number, "eth0", pod, at(1))).collect();
    let identity = Identity::default();
    let mut accumulator = Accumulator::default();
    let mut buffer = BytesMut::new();
    let mut export = |round: u64| {
        let before = CALLS.load(Ordering::Relaxed);
        let readings: Vec<_> = (1..=100).map(|number| reading(number, 1_000 * round)).collect();
        let mut points = accumulator.collect(&interfaces, &readings, at(round));
        if let Some(deltas) = &mut deltas {
            // The receiver is away: nothing is delivered.
            deltas.convert(&mut points);
        }
        let mut batches = Batches::new(&points, &identity);
        while batches.next(&mut buffer).is_some() {}
        CALLS.load(Ordering::Relaxed) - before
    };
    let mut seen = Vec::with_capacity(10);
    for round in 10..20 {
        let calls = export(round);
        seen.push((calls, LIVE.load(Ordering::Relaxed)));
    }
    seen
}

// A single test, because the counts are global to the process.
#[test]
fn exports_allocate_the_same() {
    for deltas in [None, Some(Deltas::default())] {
        let seen = exports(deltas);
        let (first, later) = seen[2..].split_first().unwrap();
        assert!(later.iter().all(|round| round == first), "{seen:?}");
    }
}
