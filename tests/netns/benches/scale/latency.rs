//! From a link going up to its event, beside a bare socket in the same namespace.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::StreamExt;
use iface_core::{Changes, Event};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use netns_scan::netlink::message::{Body, parse};
use netns_scan::{EngineChoice, WatchOptions, Watcher};
use netns_testbed::{LinkChange, Netns, NetnsDir};

/// Namespaces in which nothing happens.
const IDLE: usize = 500;

/// Number of state changes of the link.
const FLIPS: usize = 1_000;

pub(crate) fn compare() {
    let dir = NetnsDir::standard();
    let namespaces: Vec<Netns> = (0..=IDLE).map(|n| crate::namespace(&dir, n)).collect();
    let busy = &namespaces[IDLE / 2];
    println!("\n## From a link's change to its event, {IDLE} idle namespaces beside, {FLIPS} changes, µs\n");
    println!("| who hears it | p50 | p99 | p50 beyond the bare socket | p99 beyond |\n|---|---|---|---|---|");
    let bare = percentiles(&flip(busy, &bare_socket(busy)));
    let row = |who, (p50, p99): (f64, f64)| {
        println!("| {who} | {p50:.1} | {p99:.1} | {:.1} | {:.1} |", p50 - bare.0, p99 - bare.1);
    };
    row("a bare socket", bare);
    for (engine, name) in [(EngineChoice::Nsid, "nsid"), (EngineChoice::Setns, "setns")] {
        row(name, percentiles(&flip(busy, &watcher(busy, engine))));
    }
    crate::end(namespaces);
}

/// Changes the link repeatedly; returns the delay of each notification.
fn flip(netns: &Netns, heard: &Receiver<Instant>) -> Vec<Duration> {
    let rtnl = netns.rtnl();
    let change = |up| {
        let start = Instant::now();
        rtnl.set("eth0", LinkChange::Up(up));
        heard.recv_timeout(Duration::from_secs(5)).expect("the change is heard") - start
    };
    (0..FLIPS).map(|n| change(n % 2 == 0)).collect()
}

fn bare_socket(netns: &Netns) -> Receiver<Instant> {
    let mut socket = netns.inside(|| Socket::new(NETLINK_ROUTE).unwrap());
    socket.bind_auto().unwrap();
    socket.add_membership(1).unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let len = socket.recv(&mut &mut buffer[..], 0).unwrap();
            let now = Instant::now();
            let links =
                parse(&buffer[..len]).filter(|message| matches!(message.as_ref().unwrap().body, Body::NewLink(_)));
            if links.count() > 0 && sender.send(now).is_err() {
                return;
            }
        }
    });
    receiver
}

fn watcher(netns: &Netns, engine: EngineChoice) -> Receiver<Instant> {
    let settings = WatchOptions { dirs: vec!["/run/netns".into()], engine, ..WatchOptions::default() };
    let mut watcher = Watcher::start(settings).unwrap();
    block_on(async { while watcher.next().await != Some(Event::Synced) {} });
    let place = netns.name().to_owned();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        while let Some(event) = block_on(watcher.next()) {
            let now = Instant::now();
            if let Event::Updated(interface, changes) = event
                && changes.contains(Changes::ADMIN_UP)
                && interface.netns.place.to_string() == place
                && sender.send(now).is_err()
            {
                return;
            }
        }
    });
    receiver
}

fn percentiles(all: &[Duration]) -> (f64, f64) {
    let mut all: Vec<f64> = all.iter().map(|duration| duration.as_secs_f64() * 1e6).collect();
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all[all.len() * 99 / 100])
}
