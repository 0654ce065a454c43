//! The skeleton of a program that attaches something to every interface that can pass packets.
//!
//! `cargo run -p netns-scan --example attach [NAME|/REGEX/]…`
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::error::Error;

use futures_executor::block_on_stream;
use iface_core::{Event, Filter, InformerExt, Interface, InterfaceId, Registerer};
use netns_scan::{WatchOptions, Watcher};

/// Stands for what a real program attaches; dropping it detaches.
struct Attachment(String);

impl Attachment {
    fn to(interface: &Interface) -> Self {
        let attached = Self(format!("{}/{}", interface.netns.place, interface.name));
        println!("attach {}", attached.0);
        attached
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        println!("detach {}", self.0);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let names: Vec<_> = std::env::args().skip(1).collect();
    let none: &[&str] = &[];
    let filter = Filter::from_words(&names, &["lo"], none)?;
    let watcher = Watcher::start(WatchOptions::default())?;
    // The registerer knows every interface; only those that are up and wanted are attached to.
    let registerer = Registerer::new(watcher);
    let lookup = registerer.lookup();
    let mut attached: HashMap<InterfaceId, Attachment> = HashMap::new();
    for event in block_on_stream(registerer.filtered(filter).up_only()) {
        match event {
            Event::Added(interface) => drop(attached.insert(interface.id, Attachment::to(&interface))),
            Event::Deleted(interface, _) => drop(attached.remove(&interface.id)),
            Event::Updated(..) => {}
            Event::Synced => println!("{} of {} interfaces attached to", attached.len(), lookup.len()),
        }
    }
    Ok(())
}
