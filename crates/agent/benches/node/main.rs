//! The whole agent on a node full of pods: time until all pods are known, memory and CPU used, memory returned.
//!
//! `cargo bench -p netns-agent --bench node [-- PODS…]` (default 110 and 1000; no root needed)
//!
//! The release program tags every interface from CNI results, sends OTLP to a real receiver and is scraped, with every
//! interface on its page.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod agent;

use std::fs;
use std::path::Path;

use netns_testbed::{NetnsDir, Pod, Rtnl, Usage};
use nix::sys::resource::{Resource, getrlimit};

use crate::agent::{Agent, Start};

/// Directory of CNI results.
const RESULTS: &str = "/run/cni-results";
/// Number of exports and scrapes to measure; the number per minute by default.
const MINUTE: usize = 4;
/// Series of an interface.
const SERIES: usize = 9;

fn main() {
    let arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut counts: Vec<u16> = arguments.map(|argument| argument.parse().expect("a number of pods")).collect();
    if counts.is_empty() {
        counts = vec![110, 1_000];
    }
    netns_testbed::enter_sandbox().unwrap_or_else(|error| panic!("{error}"));
    Rtnl::new().up(&["lo"]);
    fs::create_dir(RESULTS).unwrap();
    println!(
        "| engine | pods | ready, ms | all tagged, ms | CPU until ready, s | memory, MiB | at most | fds | threads \
         | CPU a minute, s | memory when all are gone, MiB | of an agent that saw none | ratio |"
    );
    println!("|{}", "---|".repeat(13));
    for count in counts {
        let engines = ["nsid", "setns"];
        engines.into_iter().filter(|engine| *engine == "nsid" || enough_files(count)).for_each(|engine| {
            row(engine, count, &measure(engine, count));
        });
    }
}

/// Allows the agent a socket in each namespace.
fn enough_files(count: u16) -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    hard > u64::from(count) + 64
}

/// Figures of an agent.
struct Figures {
    start: Start,
    full: Usage,
    cpu_a_minute: f64,
    emptied: Usage,
    fresh: Usage,
}

fn measure(engine: &str, count: u16) -> Figures {
    let dir = NetnsDir::standard();
    let fresh = fresh(engine);
    let pods: Vec<Pod> = (0..count).map(|n| Pod::add(&dir, Path::new(RESULTS), n, &format!("web-{n}"))).collect();
    let agent = Agent::start(engine, Path::new(RESULTS));
    let start = agent.until_ready(pods.len());
    let before = exchanged(&agent, pods.len());
    (0..MINUTE).for_each(|_| drop(agent.exchange()));
    let full = agent.usage();

    let interfaces = 2 * pods.len();
    pods.into_iter().for_each(end);
    agent.until_deleted(interfaces);
    // An export may have been under way.
    agent.exchange();
    let emptied = exchanged(&agent, 0);
    Figures { start, full, cpu_a_minute: (full.cpu - before.cpu).as_secs_f64(), emptied, fresh }
}

/// Resources used by an agent without pods.
fn fresh(engine: &str) -> Usage {
    let agent = Agent::start(engine, Path::new(RESULTS));
    agent.until_ready(0);
    exchanged(&agent, 0)
}

/// Resources used after two exports and scrapes.
fn exchanged(agent: &Agent, pods: usize) -> Usage {
    agent.exchange();
    let page = agent.exchange();
    let said = ["namespaces", "series", "series_overflow", "interfaces_untagged"]
        .map(|name| page.own(&format!("netns_agent_{name}")));
    assert_eq!(said, [pods + 1, 2 * pods * SERIES, 0, 0], "namespaces, series, left out, untagged");
    agent.usage()
}

/// Removes a pod like a runtime does; its veth is deleted with the namespace.
fn end(pod: Pod) {
    fs::remove_file(Path::new(RESULTS).join(format!("cbr0-container-{}-eth0", pod.name))).unwrap();
    pod.veth.leave();
    pod.netns.delete();
}

fn row(engine: &str, count: u16, figures: &Figures) {
    let Figures { start, full, cpu_a_minute, emptied, fresh } = figures;
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "| {engine} | {count} | {} | {} | {:.2} | {:.1} | {:.1} | {} | {} | {cpu_a_minute:.2} | {:.1} | {:.1} | {:.2} |",
        start.ready.as_millis(),
        start.tagged.as_millis(),
        start.cpu.as_secs_f64(),
        mebibytes(full.resident),
        mebibytes(full.peak),
        full.fds,
        full.threads,
        mebibytes(emptied.resident),
        mebibytes(fresh.resident),
        emptied.resident as f64 / fresh.resident as f64,
    );
}
