use std::fs;
use std::time::{Duration, Instant};

use crate::limits::scaled;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Kernel resources of this process, for comparison before and after an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Open file descriptors.
    pub fds: usize,
    /// Threads.
    pub threads: usize,
}

impl Footprint {
    /// The current resources.
    #[must_use]
    pub fn now() -> Self {
        // The count always includes the fd of the directory itself.
        Self { fds: entries("/proc/self/fd"), threads: entries("/proc/self/task") }
    }

    /// Waits until the process holds no more than `self`; a joined thread stays listed for a moment.
    #[track_caller]
    pub fn restored_within(self, limit: Duration) {
        let (start, limit) = (Instant::now(), scaled(limit));
        loop {
            let now = Self::now();
            if now.fds <= self.fds && now.threads <= self.threads {
                return;
            }
            assert!(start.elapsed() < limit, "after {limit:?} {now:?} is held, {self:?} before");
            std::thread::yield_now();
        }
    }
}

/// Current resources of another process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Resident memory, bytes, with mapped files such as the program itself.
    pub resident: u64,
    /// Resident memory without mapped files, bytes.
    pub anonymous: u64,
    /// Peak of resident memory, bytes.
    pub peak: u64,
    /// Open file descriptors.
    pub fds: usize,
    /// Threads.
    pub threads: usize,
    /// CPU time of all threads since the start.
    pub cpu: Duration,
}

impl Usage {
    /// The resources of a process by pid (proc_pid_status(5), clock_getcpuclockid(3)).
    #[track_caller]
    #[must_use]
    pub fn of(process: u32) -> Self {
        let path = format!("/proc/{process}/status");
        let status = fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {path}: {e}"));
        let kibibytes = |key: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_suffix(" kB"));
            let value = value.and_then(|value| value.trim().parse::<u64>().ok());
            value.unwrap_or_else(|| panic!("{path} does not say {key}")) * 1024
        };
        let clock = clock_getcpuclockid(Pid::from_raw(process.cast_signed())).and_then(clock_gettime);
        Self {
            resident: kibibytes("VmRSS:"),
            anonymous: kibibytes("RssAnon:"),
            peak: kibibytes("VmHWM:"),
            fds: entries(&format!("/proc/{process}/fd")),
            threads: entries(&format!("/proc/{process}/task")),
            cpu: clock.unwrap_or_else(|e| panic!("cannot read the clock of process {process}: {e}")).into(),
        }
    }
}

/// Resident memory of this process, bytes (proc_pid_statm(5)).
#[must_use]
pub fn resident_bytes() -> u64 {
    const PAGE: u64 = 4096;
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_else(|e| panic!("cannot read /proc/self/statm: {e}"));
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_else(|| panic!("/proc/self/statm is not what it was: {statm:?}")) * PAGE
}

fn entries(path: &str) -> usize {
    fs::read_dir(path).unwrap_or_else(|e| panic!("cannot list {path}: {e}")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_usage_counts_agree() {
        let start = Usage::of(std::process::id());
        let memory: Vec<u8> = (0..=u8::MAX).cycle().take(8 << 20).collect();
        let now = Usage::of(std::process::id());
        assert!(now.anonymous >= start.anonymous + memory.len() as u64, "{start:?} {now:?}");
        assert!(now.peak >= now.resident && now.resident > now.anonymous && now.cpu > start.cpu, "{start:?} {now:?}");
        let own = Footprint::now();
        // Another thread of the tests may start or end meanwhile.
        assert!(now.fds.abs_diff(own.fds) <= 2 && now.threads.abs_diff(own.threads) <= 2, "{now:?} {own:?}");
    }
}
