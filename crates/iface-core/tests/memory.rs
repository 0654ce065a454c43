//! Memory of interfaces in the table, counted at the allocator.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::num::NonZeroU64;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, stream};
use iface_core::{
    Event, IfName, Interface, InterfaceId, Kind, Lookup, MacAddr, Netns, NetnsId, NetnsName, NsFile, Peer, Place,
    Registerer,
};

struct Counting;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to `System`; the counters are plain thread-local cells.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.set(BYTES.get() + layout.size() as isize);
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller keeps `alloc`'s contract, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Limit of bytes per interface.
const LIMIT: f64 = 335.0;

fn netns(number: u32) -> Arc<Netns> {
    let place = match number {
        0 => Place::Host,
        n => Place::Named(NetnsName::new(format!("cni-{n:08x}-5b3c-4d0e-9a51-0242ac120002"))),
    };
    let inode = u64::from(number) + 1;
    let netns = Netns::new(NetnsId(u64::from(number)), place).with_file(NsFile { dev: 4, inode });
    Arc::new(netns.with_cookie(NonZeroU64::new(inode)))
}

/// Interfaces of one pod: `lo` and `eth0` inside, the peer of `eth0` on the host.
fn pod(number: u32, host: &Arc<Netns>) -> [Interface; 3] {
    let inside = netns(number);
    let [_, a, b, c] = number.to_be_bytes();
    let with = |n: u32, netns: &Arc<Netns>, ifindex, name: String, mac, addresses: &[String]| {
        let id = InterfaceId(NonZeroU64::MIN.saturating_add(u64::from(number * 3 + n)));
        let mut interface = <Interface>::new(id, netns.clone(), ifindex, IfName::new(name).unwrap());
        interface.mac = Some(MacAddr::from(mac));
        interface.kind = (n != 0).then(|| Kind::new("veth"));
        interface.addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        interface
    };
    let linked = |mut end: Interface, other: &Interface| {
        end.peer = Some(Box::new(Peer::new(other.netns.clone(), other.ifindex, other.name)));
        end
    };
    let lo = with(0, &inside, 1, "lo".into(), [0; 6], &["127.0.0.1/8".into(), "::1/128".into()]);
    let eth0 = with(1, &inside, 2, "eth0".into(), [0x0a, 0x58, 0, a, b, c], &[format!("10.{a}.{b}.{c}/24")]);
    let veth = with(2, host, number + 10, format!("veth{number:08x}"), [0xee, 0, 0, a, b, c], &[]);
    [lo, linked(eth0.clone(), &veth), linked(veth, &eth0)]
}

/// A table of this number of pods: bytes per interface at the end, and the maximum on the way.
fn filled(pods: u32) -> (Lookup, f64) {
    let before = BYTES.get();
    let (mut known, mut dearest) = (0, 0.0_f64);
    let host = netns(0);
    let events = (1..=pods).flat_map(|number| pod(number, &host)).map(|it| Event::Added(Arc::new(it)));
    let mut registerer = Registerer::new(stream::iter(events));
    let lookup = registerer.lookup();
    while let Some(Some(event)) = registerer.next().now_or_never() {
        drop(event);
        known += 1;
        if known >= 3_000 && known % 100 == 0 {
            dearest = dearest.max((BYTES.get() - before) as f64 / f64::from(known));
        }
    }
    (lookup, dearest)
}

#[test]
fn memory_per_interface_is_bounded() {
    let size = size_of::<Interface>();
    let (lookup, dearest) = filled(4_000);
    assert_eq!(lookup.len(), 12_000);
    println!("{dearest:.0} bytes an interface at most, {size} of them the interface itself");
    assert!(dearest <= LIMIT, "{dearest:.0} bytes an interface, {size} of them the interface itself");
}

#[test]
fn a_lookup_allocates_nothing() {
    let (lookup, _) = filled(1_001);
    let ask = || {
        for last in 0..100 {
            let mac = MacAddr::from([0x0a, 0x58, 0, 0, 0, last]);
            let found = lookup.for_index_and_mac(2, Some(&mac));
            assert_eq!(found.is_some(), lookup.name_for_index_and_mac(2, None).is_some());
            let id = found.map(|found| found.id);
            assert_eq!(id.and_then(|id| lookup.get(id)).map(|found| found.id), id);
            let _ = (lookup.by_mac(&mac), lookup.in_netns("none", 2), lookup.by_name(&IfName::default()));
        }
    };
    // The first read of a thread may allocate for later reads.
    ask();
    let before = CALLS.get();
    ask();
    assert_eq!(CALLS.get(), before);
}
