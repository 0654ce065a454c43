use std::fs;
use std::time::{Duration, Instant};

/// What this process holds of the kernel: to be the same after something as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Open file descriptors.
    pub fds: usize,
    /// Threads.
    pub threads: usize,
}

impl Footprint {
    /// As it is now.
    #[must_use]
    pub fn now() -> Self {
        // The listing's own fd is in the count, each time.
        Self { fds: entries("/proc/self/fd"), threads: entries("/proc/self/task") }
    }

    /// Waits until no more is held than this; a joined thread is listed a moment longer.
    #[track_caller]
    pub fn restored_within(self, limit: Duration) {
        let start = Instant::now();
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
