//! Every packet of a pod arrives at the receiver once, however short the pod lived and however it ended.

mod ledger;
mod lives;
mod restart;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use netns_testbed::{Rotel, Rtnl, Running, Test, Verbosity, figure, tests};
use nix::sys::signal::Signal;

use self::ledger::{Ledger, Temporality};
use self::lives::{live_all, lives};
use crate::program::{Listen, command};

/// Pods in a test of the suite, and the variable with another number.
const PODS: u16 = 60;
const PODS_VARIABLE: &str = "ACCOUNT_PODS";

const ENGINES: [&str; 2] = ["nsid", "setns"];

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    let tests = tests![ENGINES;
        totals_are_exact,
        differences_are_exact,
        totals_survive_an_outage,
        totals_survive_sigkill,
    ];
    let tests = tests.chain(tests![restart::state_survives_sigkill]);
    tests.map(|test| test.limit(Duration::from_secs(120) + Duration::from_millis(400) * u32::from(pods())))
}

fn pods() -> u16 {
    env::var(PODS_VARIABLE).map_or(PODS, |number| number.parse().expect("ACCOUNT_PODS is a number"))
}

/// Folder of CNI results.
fn results() -> PathBuf {
    Rtnl::new().up(&["lo"]);
    let results = PathBuf::from("/run/cni-results");
    fs::create_dir(&results).unwrap();
    results
}

/// The agent with an export every second.
fn agent(engine: &str, receiver: &Rotel, more: &[&str]) -> Running {
    agent_for(engine, receiver.grpc, more)
}

fn agent_for(engine: &str, grpc: SocketAddr, more: &[&str]) -> Running {
    let endpoint = format!("http://{grpc}");
    let arguments = [
        &["run", "--log-format", "json", "--cni-cache-dir", "/run/cni-results", "--node-name", "node-1"][..],
        &["--engine", engine, "--export-interval", "1s", "--otlp-protocol", "grpc", "--otlp-endpoint", &endpoint],
        more,
    ];
    let running = Running::start(command(&arguments.concat()), Listen::Errors);
    running.until(|line| line.contains("\"event.name\":\"agent.synced\""));
    running
}

/// Waits until the ledger is complete; prints the pods that are not.
fn settle(ledger: &mut Ledger, receiver: &Rotel, agent: Running, engine: &str) {
    let (of, limit) = (pods(), Duration::from_secs(30));
    let expected: Vec<_> = lives(of).map(|life| (life, life.datagrams())).collect();
    let is_complete = |ledger: &Ledger| expected.iter().all(|(life, sent)| ledger.of(&life.uid()) == Some(*sent));
    let missing = |ledger: &Ledger| {
        let wrong = expected.iter().filter(|(life, sent)| ledger.of(&life.uid()) != Some(*sent));
        wrong
            .map(|(life, sent)| format!("{life} sent {sent:?}, counted {:?}", ledger.of(&life.uid())))
            .collect::<Vec<_>>()
    };
    let is_settled = ledger.read_until(receiver, limit, is_complete);
    agent.signal(Signal::SIGTERM);
    let said: Vec<String> = agent.said().filter(|line| !line.contains("INFO")).collect();
    let missing = missing(ledger);
    figure(format_args!("{engine}: {} of {of} pods counted exactly", usize::from(of) - missing.len()));
    assert!(is_settled && missing.is_empty(), "{}\n{}", missing.join("\n"), said.join("\n"));
    assert_eq!(agent.ended(), Some(0));
}

fn totals_are_exact(engine: &str) {
    let results = results();
    let receiver = Rotel::start(Verbosity::Detailed);
    let agent = agent(engine, &receiver, &[]);
    let mut ledger = Ledger::new(Temporality::Totals);
    live_all(pods(), &results, |_| {});
    settle(&mut ledger, &receiver, agent, engine);
}

fn differences_are_exact(engine: &str) {
    let results = results();
    let receiver = Rotel::start(Verbosity::Detailed);
    let agent = agent(engine, &receiver, &["--otlp-temporality-preference", "delta"]);
    let mut ledger = Ledger::new(Temporality::Differences);
    live_all(pods(), &results, |_| {});
    settle(&mut ledger, &receiver, agent, engine);
}

/// The receiver is away while half of the pods live and end.
fn totals_survive_an_outage(engine: &str) {
    let results = results();
    let receiver = Rotel::start(Verbosity::Detailed);
    let agent = agent(engine, &receiver, &[]);
    let mut ledger = Ledger::new(Temporality::Totals);
    let (grpc, http) = (receiver.grpc, receiver.http);
    let mut present = Some(receiver);
    live_all(pods(), &results, |_| {
        let receiver = present.take().unwrap();
        ledger.read_all(&receiver);
    });
    let receiver = Rotel::start_at(Verbosity::Detailed, grpc, http);
    settle(&mut ledger, &receiver, agent, engine);
}

/// SIGKILL in the middle of lives, with a state directory. What begins or ends while no agent runs is beyond any agent:
/// nothing does, but every living pod goes on to receive and transmit.
fn totals_survive_sigkill(engine: &str) {
    let results = results();
    let receiver = Rotel::start(Verbosity::Detailed);
    let grpc = receiver.grpc;
    let start = || agent_for(engine, grpc, &["--state-dir", restart::STATE, "--log-level", "debug"]);
    let mut running = Some(start());
    live_all(pods(), &results, |gate| {
        let closed = gate.write().unwrap();
        let first = running.take().unwrap();
        // Of the states to come, one can be of an export that began before, and two of pods that ended before.
        first.said().for_each(drop);
        for _ in 0..4 {
            first.until(restart::is_saved);
        }
        first.signal(Signal::SIGKILL);
        assert_eq!(first.ended(), None);
        let second = start();
        // The pods of the agent before are taken up by the first export.
        second.until(restart::is_saved);
        running = Some(second);
        drop(closed);
    });
    let mut ledger = Ledger::new(Temporality::Totals);
    settle(&mut ledger, &receiver, running.unwrap(), engine);
}
