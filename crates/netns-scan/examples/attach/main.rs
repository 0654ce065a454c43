//! Attaches an eBPF program to every interface of every pod that can pass packets, with aya.
//!
//! `cargo run -p netns-scan --example attach [NAME|/REGEX/]…`
//!
//! Needs Linux 6.6 or later (tcx), `CAP_BPF` and `CAP_NET_ADMIN` in the initial user namespace to load and attach, and
//! `CAP_SYS_ADMIN` to enter namespaces: an ifindex has its meaning in the namespace of the caller.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod program;

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::thread;

use aya::programs::SchedClassifier;
use aya::programs::tc::{SchedClassifierLink, TcAttachType};
use futures_executor::block_on_stream;
use iface_core::{Event, Filter, InformerExt, Interface, Registerer};
use netns_scan::{WatchOptions, Watcher};
use nix::sched::{CloneFlags, setns};

type Fault = Box<dyn Error + Send + Sync>;

/// Identity of an interface for programs in the kernel: `bpf_get_netns_cookie` and `ifindex` of a packet. Kernels before
/// 6.18 tell no cookie; the number of discovery takes its place there.
type Key = (u64, u32);

fn key(interface: &Interface) -> Key {
    (interface.netns.cookie.map_or(interface.netns.id.0, u64::from), interface.ifindex)
}

fn main() -> Result<(), Fault> {
    let names: Vec<_> = std::env::args().skip(1).collect();
    let none: &[&str] = &[];
    let filter = Filter::from_words(&names, &["lo"], none)?;
    let mut loaded = program::load()?;
    let classifier = program::classifier(&mut loaded)?;
    // The registerer knows every interface; only those that are up and wanted are attached to.
    let registerer = Registerer::new(Watcher::start(WatchOptions::default())?);
    let lookup = registerer.lookup();
    // Dropping a link detaches the program.
    let mut attached: HashMap<Key, SchedClassifierLink> = HashMap::new();
    for event in block_on_stream(registerer.filtered(filter).up_only()) {
        match event {
            Event::Added(interface) if !interface.netns.is_host() => match attach(classifier, &interface) {
                Ok(link) => {
                    println!("attach {}/{} {:?}", interface.netns.place, interface.name, key(&interface));
                    attached.insert(key(&interface), link);
                }
                // An interface that is gone again is deleted by a later event.
                Err(error) => eprintln!("not attached: {}/{}: {error}", interface.netns.place, interface.name),
            },
            Event::Deleted(interface, _) if attached.remove(&key(&interface)).is_some() => {
                println!("detach {}/{} {:?}", interface.netns.place, interface.name, key(&interface));
            }
            Event::Synced => println!("{} of {} interfaces attached to", attached.len(), lookup.len()),
            _ => {}
        }
    }
    Ok(())
}

/// Attaches the program in the interface's namespace, on a thread that ends afterwards.
#[allow(clippy::disallowed_methods, reason = "the thread stays in the namespace until its end")]
fn attach(classifier: &mut SchedClassifier, interface: &Interface) -> Result<SchedClassifierLink, Fault> {
    let name = interface.netns.name().ok_or("the namespace has no name to enter it by")?.to_string();
    // A name of another directory than the first is a whole path.
    let netns = File::open(Path::new("/var/run/netns").join(name))?;
    let enter = move || {
        setns(netns, CloneFlags::CLONE_NEWNET)?;
        let id = classifier.attach(&interface.name.to_string(), TcAttachType::Ingress)?;
        Ok(classifier.take_link(id)?)
    };
    thread::scope(|scope| scope.spawn(enter).join().unwrap_or_else(|_| Err("the thread has panicked".into())))
}
