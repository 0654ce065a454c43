//! The one thread, and the one file, that enters other namespaces.
#![allow(clippy::disallowed_methods)]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::discovery::nsfs::{self, NsFile, OWN};

/// A namespace to enter: its path, and which namespace it must be.
pub(crate) type Target = (PathBuf, NsFile);

/// What is done inside each.
type Work<T> = fn() -> io::Result<T>;

/// A thread that enters namespaces one after another and does the same work in each.
///
/// Between two batches it is in its own namespace. Where it cannot go back there, it ends,
/// and the next batch gets a new thread: nobody ever runs in the wrong one.
pub(crate) struct Enter<T> {
    work: Work<T>,
    thread: Option<Sender<Batch<T>>>,
}

struct Batch<T> {
    targets: Vec<Target>,
    results: Sender<io::Result<T>>,
}

/// What came of each target of a batch, in order, while the thread goes on to the next.
pub(crate) struct Results<T>(Receiver<io::Result<T>>);

impl<T: Send + 'static> Enter<T> {
    pub(crate) fn new(work: Work<T>) -> Self {
        Self { work, thread: None }
    }

    /// Has the work done in each target, with one result each.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub(crate) fn run(&mut self, targets: Vec<Target>) -> io::Result<Results<T>> {
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => start(self.work)?,
        };
        let (results, done) = channel();
        // A thread that has ended takes no batch: there are no results then, and that is told.
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

/// Whether namespaces may be entered at all (CAP_SYS_ADMIN): enters the own one.
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
            // A thread outside its own namespace must not live on, and must not open anything more.
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
