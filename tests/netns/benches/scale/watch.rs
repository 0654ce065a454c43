//! The watcher as a separate program uses the crate.

use std::fs;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::StreamExt;
use iface_core::Event;
use netns_scan::{EngineChoice, WatchOptions, Watcher};
use netns_testbed::{Footprint, resident_bytes};
use nix::sys::resource::{UsageWho, getrusage};

use crate::Figures;

pub(crate) fn measure(engine: EngineChoice) -> Figures {
    let (bare, bare_memory) = (Footprint::now(), resident_bytes());
    let start = Instant::now();
    let settings = WatchOptions { dirs: vec!["/run/netns".into()], engine, ..WatchOptions::default() };
    let mut watcher = Watcher::start(settings).unwrap();
    let mut interfaces = Vec::new();
    block_on(async {
        loop {
            match watcher.next().await.unwrap() {
                Event::Added(interface) => interfaces.push(interface),
                Event::Synced => break,
                _ => {}
            }
        }
    });
    let (known, cpu) = (start.elapsed(), cpu_seconds());
    assert_eq!(interfaces.len(), watcher.handle().status().interfaces);
    let (held, memory) = (Footprint::now(), resident_bytes());

    let handle = watcher.handle();
    let mut readings = block_on(handle.counters(Vec::new())).unwrap();
    let start = Instant::now();
    for _ in 0..10 {
        readings = block_on(handle.counters(readings)).unwrap();
    }
    let counted = start.elapsed() / 10;
    assert_eq!(readings.len(), interfaces.len());

    Figures::from([
        ("all interfaces known, ms".into(), known.as_secs_f64() * 1e3),
        ("one pass over all counters, ms".into(), counted.as_secs_f64() * 1e3),
        ("CPU to know all, ms".into(), cpu * 1e3),
        ("memory, MiB".into(), memory as f64 / f64::from(1 << 20)),
        ("memory beyond the bare process, MiB".into(), (memory - bare_memory) as f64 / f64::from(1 << 20)),
        ("fds".into(), (held.fds - bare.fds) as f64),
        ("threads".into(), held.threads as f64),
        ("wake-ups in 2 idle seconds".into(), wake_ups_while_idle(&mut watcher) as f64),
    ])
}

pub(crate) fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// Number of times the watcher's threads were scheduled in an idle namespace.
fn wake_ups_while_idle(watcher: &mut Watcher) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut idle =
        |span| assert!(runtime.block_on(async { tokio::time::timeout(span, watcher.next()).await }).is_err());
    // Work left over from the start ends within a second.
    idle(Duration::from_millis(1_500));
    let before = switches();
    idle(Duration::from_secs(2));
    switches() - before
}

/// Context switches of all threads but the main one (`proc_pid_status(5)`).
fn switches() -> u64 {
    let own = std::process::id().to_string();
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap());
    let others = tasks.filter(|task| task.file_name().to_str() != Some(&own));
    let count = |status: String| -> u64 {
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        lines.map(|line| line.split_whitespace().last().unwrap().parse::<u64>().unwrap()).sum()
    };
    others.map(|task| count(fs::read_to_string(task.path().join("status")).unwrap())).sum()
}
