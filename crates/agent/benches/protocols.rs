//! The cost of `--protocol-stats`: CPU time for the counters of one pod.
//!
//! `cargo bench -p netns-agent --bench protocols [-- PODS]` (default 200; no root needed)
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command};

use netns_agent::protocol::{Processes, Wanted};
use netns_testbed::{NetnsDir, Rtnl};
use nix::time::{ClockId, clock_gettime};

/// Readings in one figure.
const READINGS: u32 = 20;
/// Figures; the least is the cost without neighbours on the CPU.
const FIGURES: usize = 10;

fn main() {
    let argument = std::env::args().skip(1).find(|argument| argument != "--bench");
    let count: u32 = argument.map_or(200, |argument| argument.parse().expect("a number of pods"));
    netns_testbed::enter_sandbox().unwrap_or_else(|error| panic!("{error}"));
    Rtnl::new().up(&["lo"]);
    let dir = NetnsDir::standard();
    let proc = tempfile::tempdir().unwrap();
    let mut sleeping = Vec::new();
    let mut pods = Vec::new();
    for number in 0..count {
        let netns = dir.add(&format!("pod{number}"));
        let uid = format!("00000000-0000-4000-8000-{number:012}");
        let child = netns.inside(|| Command::new("sleep").arg("600").spawn().unwrap());
        let folder = proc.path().join(child.id().to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("cgroup"), format!("0::/kubepods/pod{uid}/x\n")).unwrap();
        symlink(format!("/proc/{}/net", child.id()), folder.join("net")).unwrap();
        pods.push(Wanted { uid, interfaces: HashSet::from([b"lo".to_vec()]) });
        sleeping.push((Killed(child), netns));
    }
    let mut processes = Processes::new(proc.path());
    assert_eq!(processes.read(&pods).len(), pods.len(), "a process of each pod is found");
    let mut figures: Vec<f64> = (0..FIGURES).map(|_| figure(&mut processes, &pods)).collect();
    figures.sort_unstable_by(f64::total_cmp);
    println!("{count} pods: {:.0} µs of CPU a pod, median {:.0} µs", figures[0], figures[FIGURES / 2]);
}

/// CPU time, µs per pod.
fn figure(processes: &mut Processes, pods: &[Wanted]) -> f64 {
    let cpu = || {
        let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap();
        time.tv_sec() as f64 * 1e6 + time.tv_nsec() as f64 / 1e3
    };
    let before = cpu();
    (0..READINGS).for_each(|_| drop(processes.read(pods)));
    (cpu() - before) / f64::from(READINGS) / pods.len() as f64
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
