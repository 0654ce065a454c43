//! Threads that run a tenth of the time.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::limits;

/// Period of `cpu.max` (cgroups(7)).
const PERIOD: Duration = Duration::from_millis(100);
/// Time of each period in which the threads do not run.
const PAUSE: Duration = Duration::from_millis(90);
/// Factor of the time limits of the test.
const SLOWER: u32 = 10;

/// Lets the threads of this process whose names begin alike run 10 ms of every 100 ms, as a container
/// at its CPU limit. The time limits of the test grow with it.
///
/// No privilege is needed: each thread sleeps in the handler of a signal.
#[derive(Debug)]
pub struct Throttle {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Throttle {
    /// Begins with the threads that exist; threads started later are found at the next period.
    #[must_use]
    pub fn threads_named(prefix: &'static str) -> Self {
        limits::slow_down(SLOWER);
        install();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let cycle = move || {
            while !stopped.load(Ordering::Relaxed) {
                threads(prefix).for_each(pause);
                thread::park_timeout(PERIOD);
            }
        };
        let thread = thread::Builder::new().name("throttle".into()).spawn(cycle);
        Self { stop, thread: Some(thread.unwrap_or_else(|e| panic!("cannot start a thread: {e}"))) }
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the thread has been printed.
            _ = thread.join();
        }
    }
}

/// Thread ids of the threads with such names.
fn threads(prefix: &'static str) -> impl Iterator<Item = libc::pid_t> {
    let tasks = fs::read_dir("/proc/self/task").unwrap_or_else(|e| panic!("cannot list threads: {e}"));
    tasks.filter_map(move |task| {
        let task = task.ok()?;
        // A thread can end meanwhile.
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        task.file_name().to_str()?.parse().ok().filter(|_| name.starts_with(prefix))
    })
}

extern "C" fn sleep(_: libc::c_int) {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: PAUSE.subsec_nanos().into() };
    #[expect(unsafe_code, reason = "a handler of a signal may call nothing but async-signal-safe functions")]
    // SAFETY: nanosleep(2) is async-signal-safe, and the pointers are valid or null.
    unsafe {
        libc::nanosleep(&raw const pause, std::ptr::null_mut());
    }
}

fn install() {
    let action = SigAction::new(SigHandler::Handler(sleep), SaFlags::SA_RESTART, SigSet::empty());
    #[expect(unsafe_code, reason = "no safe function installs a handler")]
    // SAFETY: the handler only calls nanosleep(2), and nothing else uses SIGUSR2.
    let installed = unsafe { sigaction(Signal::SIGUSR2, &action) };
    installed.unwrap_or_else(|e| panic!("cannot install a handler: {e}"));
}

fn pause(thread: libc::pid_t) {
    #[expect(unsafe_code, reason = "no safe function signals a thread")]
    // SAFETY: tgkill(2) takes no pointer; a thread that ended meanwhile gets no signal.
    unsafe {
        libc::syscall(libc::SYS_tgkill, libc::c_long::from(libc::getpid()), libc::c_long::from(thread), libc::SIGUSR2);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use nix::time::{ClockId, clock_gettime};

    use super::*;

    /// A throttled thread that never waits gets a fraction of the time.
    #[test]
    fn a_throttled_thread_mostly_sleeps() {
        let spin = || {
            let start = Instant::now();
            while start.elapsed() < 5 * PERIOD {
                std::hint::spin_loop();
            }
            Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap())
        };
        let spinning = thread::Builder::new().name("spin".into()).spawn(spin).unwrap();
        let throttle = Throttle::threads_named("spin");
        let used = spinning.join().unwrap();
        drop(throttle);
        assert!(used < 3 * PERIOD, "{used:?} of {:?}", 5 * PERIOD);
    }
}
