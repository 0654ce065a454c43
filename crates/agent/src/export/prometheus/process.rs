//! The metrics that every exporter has: about its process and its build.

use std::io::Write;
use std::time::Duration;

use super::text::{Labels, Type, Writer};
use crate::metrics::points::Nanos;

/// Resources that the process uses now. Unknown values are left out of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// CPU time in user and system mode.
    pub cpu: Option<Duration>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// Limit of open file descriptors.
    pub max_fds: Option<u64>,
    /// Size of the address space, bytes.
    pub virtual_memory: Option<u64>,
    /// Memory in RAM, bytes.
    pub resident_memory: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Start of the process.
    pub start: Option<Nanos>,
}

/// Writes build and process with the labels of every series.
pub(super) fn write(process: &Process, node: &Labels, writer: &mut Writer<impl Write>) {
    let mut build = node.clone();
    build.push("version", env!("CARGO_PKG_VERSION"));
    build.push("arch", std::env::consts::ARCH);
    writer.family("netns_agent_build", "", Type::Info, "Version and architecture of the agent.");
    writer.sample("netns_agent_build", "_info", &build, 1);
    if let Some(cpu) = process.cpu {
        let help = "CPU time of the agent in user and system mode.";
        writer.family("process_cpu_seconds", "seconds", Type::Counter, help);
        writer.sample("process_cpu_seconds", "_total", node, cpu.as_secs_f64());
    }
    let start = process.start.map(|start| Duration::from_nanos(start).as_secs_f64());
    let count = |number: Option<u64>| number.map(|number| number.to_string());
    for (family, unit, value, help) in [
        ("process_open_fds", "", count(process.open_fds), "Open file descriptors of the agent."),
        ("process_max_fds", "", count(process.max_fds), "Limit of open file descriptors of the agent."),
        ("process_virtual_memory_bytes", "bytes", count(process.virtual_memory), "Address space of the agent."),
        ("process_resident_memory_bytes", "bytes", count(process.resident_memory), "Memory of the agent in RAM."),
        ("process_threads", "", count(process.threads), "Threads of the agent."),
        (
            "process_start_time_seconds",
            "seconds",
            start.map(|start| start.to_string()),
            "Start of the agent, since 1970.",
        ),
    ] {
        if let Some(value) = value {
            writer.family(family, unit, Type::Gauge, help);
            writer.sample(family, "", node, value);
        }
    }
}
