//! Looks up interfaces in one thread while another follows the events.
//!
//! `cargo run -p iface-core --example lookup`. The events are made up; a program receives events
//! from `netns_scan::Watcher`.
#![allow(clippy::print_stdout)]

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use futures_util::{FutureExt, StreamExt, stream};
use iface_core::{
    Event, IfName, Interface, InterfaceId, LookupOptions, MacAddr, Netns, NetnsId, NetnsName, OperState, Place,
    Registerer,
};

fn eth0(number: u8, netns: &str) -> Arc<Interface> {
    let id = NetnsId(u64::from(number));
    let netns = Netns::new(id, Place::Named(NetnsName::new(netns)));
    let id = InterfaceId(NonZeroU64::MIN.saturating_add(number.into()));
    let mut interface = Interface::new(id, Arc::new(netns), 2, IfName::new("eth0").unwrap_or_default());
    interface.mac = Some(MacAddr::from([0x0a, 0x58, 0x0a, 0xf4, 0, number]));
    interface.oper_state = OperState::Up;
    Arc::new(interface)
}

fn main() -> Result<(), iface_core::PreferredError> {
    let events = [Event::Added(eth0(5, "blue")), Event::Added(eth0(6, "green")), Event::Synced];
    let mut options = LookupOptions::default();
    options.preferred = "0a:58=eth0".parse()?;
    let mut registerer = Registerer::with_options(stream::iter(events), options);
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

    // No future waits, so the stream needs no runtime.
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
