//! Resource usage of the own process.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};

use crate::export::prometheus::Process;
use crate::metrics::points::Nanos;

/// Resource usage now; `start` is the start time of the process.
pub(super) fn read(start: Nanos) -> Process {
    let micros = |time: TimeVal| Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or_default());
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // The listing has the descriptor of the directory itself, too.
    let open = fs::read_dir("/proc/self/fd").ok().map(|fds| (fds.count() as u64).saturating_sub(1));
    Process {
        cpu: usage.map(|usage| micros(usage.user_time()) + micros(usage.system_time())),
        open_fds: open,
        max_fds: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
        virtual_memory: field(&status, "VmSize").map(|kib| kib * 1024),
        resident_memory: field(&status, "VmRSS").map(|kib| kib * 1024),
        threads: field(&status, "Threads"),
        start: Some(start),
    }
}

/// A number in the text of `/proc/PID/status`; sizes are in KiB.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_fields_are_found() {
        let status = "Name:\tx\nVmSize:\t   13712 kB\nVmRSS:\t    4380 kB\nThreads:\t3\n";
        assert_eq!(
            ["VmSize", "VmRSS", "Threads", "Vm"].map(|name| field(status, name)),
            [Some(13712), Some(4380), Some(3), None]
        );
    }

    /// Every value is known on Linux.
    #[test]
    fn own_process_is_complete() {
        let process = read(5);
        let Process { cpu, open_fds, max_fds, virtual_memory, resident_memory, threads, start } = process;
        assert!(cpu > Some(Duration::ZERO), "{process:?}");
        assert!(open_fds >= Some(3) && open_fds <= max_fds, "{process:?}");
        assert!(resident_memory > Some(1 << 20) && resident_memory < virtual_memory, "{process:?}");
        assert!(threads >= Some(1) && start == Some(5), "{process:?}");
    }
}
