//! Prints every interface of every network namespace, then what happens to them.
//!
//! `cargo run -p netns-scan --example watch [auto|setns|nsid [DIRECTORY]]`
#![allow(clippy::print_stdout)]

use futures_executor::block_on_stream;
use iface_core::Event;
use netns_scan::{EngineChoice, WatchOptions, Watcher};

fn main() -> Result<(), netns_scan::Error> {
    let mut settings = WatchOptions::default();
    let mut arguments = std::env::args().skip(1);
    settings.engine = match arguments.next().as_deref() {
        Some("setns") => EngineChoice::Setns,
        Some("nsid") => EngineChoice::Nsid,
        _ => EngineChoice::Auto,
    };
    settings.dirs.splice(.., arguments.next().map(Into::into).or(Some("/var/run/netns".into())));
    let watcher = Watcher::start(settings)?;
    println!("{}", watcher.handle().status().reason);
    for event in block_on_stream(watcher) {
        match event {
            Event::Synced => println!("Synced"),
            Event::Added(i) => {
                println!("Added   {}/{} {:?} {:?} {:?}", i.netns.place, i.name, i.mac, i.addresses, i.peer)
            }
            Event::Updated(i, changes) => println!(
                "Updated {}/{} {changes:?} {:?} {:?}",
                i.netns.place,
                i.name,
                i.oper_state,
                i.peer.as_ref().map(|p| (&p.netns.place, p.name))
            ),
            Event::Deleted(i, _) => println!("Deleted {}/{}", i.netns.place, i.name),
        }
    }
    Ok(())
}
