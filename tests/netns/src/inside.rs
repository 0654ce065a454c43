use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;

use nix::sched::CloneFlags;

/// Runs `work` on a thread inside the network namespace at the path `netns`.
///
/// The thread has left the namespace and closed its fd before the return, so only the result
/// of `work` can keep the namespace alive.
#[track_caller]
pub fn inside<T: Send>(netns: &Path, work: impl FnOnce() -> T + Send) -> T {
    on_own_thread(|| {
        enter(netns);
        let done = work();
        enter(Path::new("/proc/self/ns/net"));
        done
    })
}

/// `/proc/self` belongs to the main thread, and the main thread never leaves the test's own namespace.
pub(crate) fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let done = thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn enter(netns: &Path) {
    let file = File::open(netns).unwrap_or_else(|e| panic!("cannot open the namespace {}: {e}", netns.display()));
    #[expect(clippy::disallowed_methods, reason = "this is the testbed's one place that enters a namespace")]
    nix::sched::setns(file.as_fd(), CloneFlags::CLONE_NEWNET)
        .unwrap_or_else(|e| panic!("cannot enter the namespace {}: {e}", netns.display()));
}
