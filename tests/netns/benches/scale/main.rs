//! Speed, memory and wake-ups of a watcher beside the bare system calls.
//!
//! `cargo bench -p netns-testbed --bench scale [-- NAMESPACES…]` (default 1000; no root needed)
//!
//! Floor and watcher run in turn, each in a process of its own, in the same namespaces; medians
//! and their ratios are printed, since machines are noisy and ratios are not.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod floor;
mod latency;
mod watch;

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;

use netns_scan::{EngineChoice, WatchOptions, Watcher};
use netns_testbed::{Netns, NetnsDir, Rtnl};

/// Number of runs per measurement: fewer where a run takes many seconds.
fn rounds(namespaces: usize) -> usize {
    if namespaces > 2_000 { 3 } else { 7 }
}

/// One process's figures, by name.
pub(crate) type Figures = BTreeMap<String, f64>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("floor-nsid") => print(&floor::nsid()),
        Some("floor-setns") => print(&floor::setns()),
        Some("watch-nsid") => print(&watch::measure(EngineChoice::Nsid)),
        Some("watch-setns") => print(&watch::measure(EngineChoice::Setns)),
        _ => {
            netns_testbed::enter_sandbox().unwrap_or_else(|error| panic!("{error}"));
            let counts = arguments.iter().filter_map(|argument| argument.parse().ok());
            let mut counts: Vec<usize> = counts.collect();
            if counts.is_empty() {
                counts.push(1_000);
            }
            number_the_host();
            latency::compare();
            counts.into_iter().for_each(compare);
        }
    }
}

/// Gives the host's namespace an nsid before other namespaces exist.
///
/// As on a node whose agent starts early. The kernel searches nsids in ascending order, and
/// reports the host's nsid for every veth with a peer there.
fn number_the_host() {
    drop(Watcher::start(WatchOptions { dirs: Vec::new(), engine: EngineChoice::Nsid, ..WatchOptions::default() }));
}

/// Runs all measurements with `count` namespaces, each with `lo` and one end of a veth.
fn compare(count: usize) {
    let dir = NetnsDir::standard();
    let namespaces: Vec<Netns> = (0..count).map(|n| namespace(&dir, n)).collect();
    let rounds = rounds(count);
    println!("\n## {count} namespaces, each with lo and a veth to the host's; median of {rounds} processes\n");
    println!("| engine | figure | floor | watcher | ratio |\n|---|---|---|---|---|");
    for engine in ["nsid", "setns"] {
        let (mut floors, mut watchers) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            floors.push(child(&format!("floor-{engine}")));
            watchers.push(child(&format!("watch-{engine}")));
        }
        for name in watchers[0].keys() {
            let (watcher, floor) = (median(&watchers, name), median(&floors, name));
            let beside =
                floor.map(|floor| format!("{floor:.2} | {:.2} | {:.2}", watcher.unwrap(), watcher.unwrap() / floor));
            let alone = || format!("| {:.2} |", watcher.unwrap());
            println!("| {engine} | {name} | {} |", beside.unwrap_or_else(alone));
        }
    }
    end(namespaces);
}

pub(crate) fn namespace(dir: &NetnsDir, n: usize) -> Netns {
    let netns = dir.add(&format!("bench-{n:05}"));
    Rtnl::new().add_veth(&format!("host{n}"), "eth0", Some(netns.path()));
    netns
}

/// Deletes the namespaces and waits until the links are gone: the next measurement must not overlap with the deletion.
pub(crate) fn end(namespaces: Vec<Netns>) {
    let peers = (0..namespaces.len()).map(|n| format!("host{n}"));
    drop(namespaces);
    let rtnl = Rtnl::new();
    for peer in peers {
        while rtnl.index_of(&peer).is_some() {
            thread::yield_now();
        }
    }
}

/// Runs this program again, in the same namespaces, for one measurement.
fn child(what: &str) -> Figures {
    let output = Command::new("/proc/self/exe").arg(what).output().expect("this program runs");
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.parse().unwrap())).collect()
}

fn print(figures: &Figures) {
    figures.iter().for_each(|(name, value)| println!("{name}={value}"));
}

fn median(all: &[Figures], name: &str) -> Option<f64> {
    let mut values: Vec<f64> = all.iter().filter_map(|figures| figures.get(name).copied()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
