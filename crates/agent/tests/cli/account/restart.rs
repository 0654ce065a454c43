//! Nothing is counted twice or lost across SIGKILL, with a state directory.

use std::time::Duration;

use netns_testbed::{LinkChange, NetnsDir, QuietVeth, Rotel, Running, Verbosity, write_cni_result};
use nix::sys::signal::Signal;

use super::ledger::{Ledger, Temporality};
use super::{agent, results};

pub(super) const STATE: &str = "/run/netns-agent-state";

/// A line of the log at the level debug: what was exported so far survives the agent.
pub(super) fn is_saved(line: &str) -> bool {
    line.contains("state.saved")
}

fn start(receiver: &Rotel) -> Running {
    agent("nsid", receiver, &["--state-dir", STATE, "--log-level", "debug"])
}

/// A pod that lives on continues its series; another one ends while the receiver is away, before the kill.
pub(super) fn state_survives_sigkill() {
    let results = results();
    let dir = NetnsDir::standard();
    let receiver = Rotel::start(Verbosity::Detailed);
    let first = start(&receiver);
    let pods = ["long", "short"].map(|name| {
        let (netns, number) = (dir.add(name), if name == "long" { 300 } else { 301 });
        let host = format!("host{number}");
        let veth = QuietVeth::up(&host, &netns, "eth0", number);
        let [high, low] = u16::to_be_bytes(number);
        let mac = [0x0a, 0x58, 10, high, low, 2];
        netns.rtnl().set("eth0", LinkChange::Mac(mac));
        write_cni_result(&results, name, &netns, &host, mac, &format!("10.{high}.{low}.2/24"));
        (netns, veth)
    });
    let [(long, to_long), (short, to_short)] = pods;
    to_long.send_in(20);
    to_short.send_in(3);
    let mut ledger = Ledger::new(Temporality::Totals);
    let both = |ledger: &Ledger, long, short| {
        ledger.of("uid-of-long") == Some((long, 0)) && ledger.of("uid-of-short") == Some((short, 0))
    };
    assert!(ledger.read_until(&receiver, Duration::from_secs(20), |ledger| both(ledger, 20, 3)), "{ledger:?}");
    let (grpc, http) = (receiver.grpc, receiver.http);
    drop(receiver);
    to_short.send_in(4);
    to_long.send_in(5);
    short.rtnl().delete("eth0");
    short.delete();
    to_short.pair.leave();
    // Nothing arrives, so the last points are in the state.
    first.until(|line| is_saved(line) && !line.contains("\"requests\":0"));
    first.signal(Signal::SIGKILL);
    assert_eq!(first.ended(), None);
    to_long.send_in(6);
    let receiver = Rotel::start_at(Verbosity::Detailed, grpc, http);
    let second = start(&receiver);
    to_long.send_in(7);
    assert!(ledger.read_until(&receiver, Duration::from_secs(20), |ledger| both(ledger, 38, 7)), "{ledger:?}");
    assert_eq!(ledger.starts_of("uid-of-long"), 1, "one series: {ledger:?}");
    second.signal(Signal::SIGTERM);
    assert_eq!(second.ended(), Some(0));
    drop(long);
}
