//! Looks interfaces up from one thread while another follows the events.
//!
//! `cargo run -p iface-core --example lookup`. The events are made up here; a program takes them
//! from `netns_scan::Watcher`.
#![allow(clippy::print_stdout)]

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::SystemTime;

use futures_util::{FutureExt, StreamExt, stream};
use iface_core::{
    Event, IfName, Interface, InterfaceId, LookupOptions, MacAddr, Netns, NetnsId, NetnsName, OperState, Place,
    Registerer,
};

fn eth0(number: u8, netns: &str) -> Arc<Interface> {
    let id = NetnsId { dev: 4, inode: u64::from(number), generation: 1 };
    Arc::new(Interface {
        id: InterfaceId(NonZeroU64::MIN.saturating_add(number.into())),
        netns: Arc::new(Netns { id, place: Place::Named(NetnsName::new(netns)), cookie: None }),
        ifindex: 2,
        name: IfName::new("eth0").unwrap_or_default(),
        mac: Some(MacAddr::from([0x0a, 0x58, 0x0a, 0xf4, 0, number])),
        kind: None,
        oper_state: OperState::Up,
        admin_up: true,
        mtu: 1450,
        addresses: Box::default(),
        peer: None,
        owner: None,
        since: SystemTime::now(),
    })
}

fn main() -> Result<(), iface_core::PreferredError> {
    let events = [Event::Added(eth0(5, "blue")), Event::Added(eth0(6, "green")), Event::Synced];
    let settings = LookupOptions { preferred: "0a:58=eth0".parse()?, ..LookupOptions::default() };
    let mut registerer = Registerer::with_options(stream::iter(events), settings);
    let lookup = registerer.lookup();

    let (synced, wait) = mpsc::channel();
    let asking = thread::spawn(move || {
        let Ok(()) = wait.recv() else { return };
        for last in [5, 6, 7] {
            let mac = MacAddr::from([0x0a, 0x58, 0x0a, 0xf4, 0, last]);
            if let Some(found) = lookup.for_index_and_mac(2, Some(&mac)) {
                println!("2 {mac} is {}/{} ({})", found.netns.place, found.name, found.confidence);
            }
        }
    });

    // Nothing here waits, so the stream can be followed without a runtime.
    while let Some(Some(event)) = registerer.next().now_or_never() {
        println!("{}", event.kind());
        if event == Event::Synced && synced.send(()).is_err() {
            break;
        }
    }
    drop(synced);
    if asking.join().is_err() {
        println!("the asking thread failed");
    }
    Ok(())
}
