//! The only thread, and the only file, that enters other namespaces.
#![allow(clippy::disallowed_methods)]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use iface_core::NsFile;
use nix::sched::{CloneFlags, setns};

use crate::discovery::nsfs::{self, OWN};

/// A namespace to enter: its path, and the expected identity.
pub(crate) type Target = (PathBuf, NsFile);

/// The work inside each namespace.
type Work<T> = fn() -> io::Result<T>;

/// A thread that enters namespaces one after another and runs the same work in each.
///
/// Between two batches the thread is in its own namespace. A thread that cannot return ends,
/// and the next batch gets a new thread: no work ever runs in the wrong namespace.
pub(crate) struct NetnsThread<T> {
    work: Work<T>,
    thread: Option<Sender<Batch<T>>>,
}

struct Batch<T> {
    targets: Vec<Target>,
    results: Sender<io::Result<T>>,
}

/// Results of a batch's targets, in order, while the thread continues with the next target.
pub(crate) struct Results<T>(Receiver<io::Result<T>>);

impl<T: Send + 'static> NetnsThread<T> {
    pub(crate) fn new(work: Work<T>) -> Self {
        Self { work, thread: None }
    }

    /// Runs the work in each target, with one result each.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(crate) fn run(&mut self, targets: Vec<Target>) -> io::Result<Results<T>> {
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => start(self.work)?,
        };
        let (results, done) = channel();
        // A thread that has ended takes no batch: the missing results are reported.
        if thread.send(Batch { targets, results }).is_ok() {
            self.thread = Some(thread);
        }
        Ok(Results(done))
    }
}

impl<T> Results<T> {
    /// The next target's result.
    pub(crate) fn next(&self) -> io::Result<T> {
        self.0.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that enters namespaces has ended")))
    }
}

/// Whether namespaces may be entered at all (CAP_SYS_ADMIN): enters the own namespace.
pub(crate) fn is_allowed() -> bool {
    let enter_own = || File::open(OWN).is_ok_and(|own| setns(own, CloneFlags::CLONE_NEWNET).is_ok());
    thread::scope(|scope| scope.spawn(enter_own).join().unwrap_or(false))
}

fn start<T: Send + 'static>(work: Work<T>) -> io::Result<Sender<Batch<T>>> {
    let (batches, inbox) = channel::<Batch<T>>();
    thread::Builder::new().name("netns-enter".into()).stack_size(128 * 1024).spawn(move || {
        let Ok(home) = File::open(OWN) else { return };
        for Batch { targets, results } in inbox {
            for (path, expected) in targets {
                if results.send(inside(&path, expected, work)).is_err() {
                    // Nobody wants the rest.
                    break;
                }
            }
            // A thread outside its own namespace must end, and must open nothing more.
            if setns(&home, CloneFlags::CLONE_NEWNET).is_err() {
                return;
            }
        }
    })?;
    Ok(batches)
}

fn inside<T>(path: &Path, expected: NsFile, work: Work<T>) -> io::Result<T> {
    setns(nsfs::open(path, expected)?, CloneFlags::CLONE_NEWNET)?;
    work()
}
