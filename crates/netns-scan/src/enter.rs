//! The one thread, and the one file, that enters other namespaces.
#![allow(clippy::disallowed_methods)]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::netns::{self, NsFile, OWN};

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
    thread: Option<Link<T>>,
}

struct Link<T> {
    targets: SyncSender<Vec<Target>>,
    results: Receiver<Vec<io::Result<T>>>,
}

impl<T: Send + 'static> Enter<T> {
    pub(crate) fn new(work: Work<T>) -> Self {
        Self { work, thread: None }
    }

    /// Does the work in each target; one result a target, in order.
    ///
    /// # Errors
    ///
    /// When no thread can be started or the one there was has ended.
    pub(crate) fn run(&mut self, targets: Vec<Target>) -> io::Result<Vec<io::Result<T>>> {
        let link = match self.thread.take() {
            Some(link) => link,
            None => start(self.work)?,
        };
        let ended = || io::Error::other("the thread that enters namespaces has ended");
        link.targets.send(targets).map_err(|_| ended())?;
        let results = link.results.recv().map_err(|_| ended())?;
        self.thread = Some(link);
        Ok(results)
    }
}

/// Whether namespaces may be entered at all (CAP_SYS_ADMIN): enters the own one.
pub(crate) fn is_allowed() -> bool {
    let enter_own = || File::open(OWN).is_ok_and(|own| setns(own, CloneFlags::CLONE_NEWNET).is_ok());
    thread::scope(|scope| scope.spawn(enter_own).join().unwrap_or(false))
}

fn start<T: Send + 'static>(work: Work<T>) -> io::Result<Link<T>> {
    let (targets, inbox) = sync_channel::<Vec<Target>>(0);
    let (outbox, results) = sync_channel(0);
    thread::Builder::new().name("netns-enter".into()).stack_size(128 * 1024).spawn(move || {
        let Ok(home) = File::open(OWN) else { return };
        for batch in inbox {
            let done = batch.iter().map(|(path, expected)| inside(path, *expected, work)).collect();
            // A thread outside its own namespace must not live on, and must not open anything more.
            let back = setns(&home, CloneFlags::CLONE_NEWNET);
            if outbox.send(done).is_err() || back.is_err() {
                return;
            }
        }
    })?;
    Ok(Link { targets, results })
}

fn inside<T>(path: &Path, expected: NsFile, work: Work<T>) -> io::Result<T> {
    setns(netns::open(path, expected)?, CloneFlags::CLONE_NEWNET)?;
    work()
}
