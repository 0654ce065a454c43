//! Containers of users' own podman ("rootless"), by the processes of conmon.
//!
//! A user's podman keeps its records in the user's home, and names its namespaces in a mount namespace of its own.
//! Its conmon is visible to all: the command line names the container, and the child is the container's first
//! process. A user can write any command line, so a container counts only where the kernel says that the namespace
//! of the child is owned by the same user, see [`UserNetns`]: users name namespaces of their own and no others. No
//! file of a user is read.
//!
//! A thread looks at all processes once a second. Users can make many processes, but no notification of them waits in a
//! queue, and the thread rests for fifty times as long as a look has taken.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use futures_core::Stream;
use iface_core::NsFile;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::interface::Runtime;
use crate::owner::container::conmon::{self, Conmon};
use crate::owner::container::dir::ContainerChange;
use crate::owner::container::record::{Claim, Record, Subject};
use crate::owner::container::user_netns::UserNetns;
use crate::proc::pids;

/// Most processes of conmon of one user; others of the user are not used.
const MAX_OF_USER: usize = 1024;

/// Shortest and longest pause between two looks.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Longest wait for the first look; the kernel may let a look at a hostile process wait.
const FIRST: Duration = Duration::from_secs(2);

/// An endless stream of the containers of users. Dropping the stream ends its thread.
#[derive(Debug)]
pub struct UserContainers {
    changes: UnboundedReceiver<ContainerChange>,
    _stop: mpsc::Sender<()>,
}

impl UserContainers {
    /// Follows the processes of a `/proc`, and has looked once on return.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(proc: PathBuf) -> io::Result<Self> {
        let (sender, changes) = unbounded_channel();
        let (stop, stopped) = mpsc::channel();
        let (first, looked) = mpsc::channel();
        thread::Builder::new()
            .name("podman-users".into())
            .stack_size(128 << 10)
            .spawn(move || follow(Looks::new(proc), &sender, &stopped, first))?;
        // The other end is dropped after the first look.
        let _ = looked.recv_timeout(FIRST);
        Ok(Self { changes, _stop: stop })
    }
}

impl Stream for UserContainers {
    type Item = ContainerChange;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ContainerChange>> {
        self.changes.poll_recv(cx)
    }
}

fn follow(
    mut looks: Looks,
    changes: &UnboundedSender<ContainerChange>,
    stopped: &mpsc::Receiver<()>,
    first: mpsc::Sender<()>,
) {
    let mut first = Some(first);
    loop {
        let began = Instant::now();
        for change in looks.look(UserNetns::of) {
            let _ = changes.send(change);
        }
        first.take();
        let pause = (began.elapsed() * 50).clamp(PAUSE.0, PAUSE.1);
        if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// A container with a process in a namespace of its user.
#[derive(Clone, Debug)]
struct Running {
    conmon: Conmon,
    netns: UserNetns,
}

/// Looks at all processes of a `/proc`.
#[derive(Debug)]
struct Looks {
    proc: PathBuf,
    /// Processes that have been another program in two looks. A new process is its parent's program until `execve(2)`.
    others: BTreeSet<u32>,
    /// Processes that have been another program in the last look.
    fresh: BTreeSet<u32>,
    /// By the PID of conmon.
    running: BTreeMap<u32, Running>,
    /// Emitted records by the path of the conmon's process.
    known: BTreeMap<Arc<Path>, Record>,
}

impl Looks {
    fn new(proc: PathBuf) -> Self {
        Self { proc, others: BTreeSet::new(), fresh: BTreeSet::new(), running: BTreeMap::new(), known: BTreeMap::new() }
    }

    /// The changes since the last look. `prove` returns the namespace of a process if the namespace is the user's.
    fn look(&mut self, prove: impl Fn(PathBuf, u32) -> Option<UserNetns>) -> Vec<ContainerChange> {
        // Without a list, everything stays as it was.
        let Ok(processes) = pids(&self.proc) else { return Vec::new() };
        let mut of_user: BTreeMap<u32, usize> = BTreeMap::new();
        let before = std::mem::take(&mut self.running);
        for process in self.conmons(&processes) {
            let path = self.proc.join(process.to_string());
            let Some(uid) = conmon::uid(&path).filter(|uid| *uid != 0) else { continue };
            let count = of_user.entry(uid).or_default();
            *count += 1;
            if *count > MAX_OF_USER {
                continue;
            }
            let same = before.get(&process).filter(|same| same.conmon.uid == uid && same.netns.is_current());
            if let Some(running) = same.cloned().or_else(|| running(&path, uid, &prove)) {
                self.running.insert(process, running);
            }
        }
        self.compare()
    }

    /// The processes of conmon among these.
    fn conmons(&mut self, processes: &BTreeSet<u32>) -> Vec<u32> {
        self.others.retain(|process| processes.contains(process));
        let fresh = std::mem::take(&mut self.fresh);
        let mut conmons = Vec::new();
        for process in processes.difference(&self.others).copied().collect::<Vec<_>>() {
            match conmon::is_conmon(&self.proc.join(process.to_string())) {
                Some(true) => conmons.push(process),
                Some(false) if fresh.contains(&process) => _ = self.others.insert(process),
                Some(false) => _ = self.fresh.insert(process),
                None => {}
            }
        }
        conmons
    }

    /// The changes of records. New ones come first, so that a restart in the same namespace changes no owner.
    fn compare(&mut self) -> Vec<ContainerChange> {
        let now = self.records();
        let is_new = |(path, record): &(&Arc<Path>, &Record)| self.known.get(*path) != Some(*record);
        let read = |(path, record): (&Arc<Path>, &Record)| {
            ContainerChange::Read(path.clone(), Box::new(Subject::Container(record.clone())))
        };
        let mut changes: Vec<_> = now.iter().filter(is_new).map(read).collect();
        let gone = self.known.keys().filter(|path| !now.contains_key(*path));
        changes.extend(gone.cloned().map(ContainerChange::Gone));
        self.known = now;
        changes
    }

    /// A record for each namespace: of the container that was started first, whose namespace the others share.
    fn records(&self) -> BTreeMap<Arc<Path>, Record> {
        let mut first: BTreeMap<NsFile, (u32, &Running)> = BTreeMap::new();
        for (process, running) in &self.running {
            let now = first.entry(running.netns.file()).or_insert((*process, running));
            if running.conmon.started < now.1.conmon.started {
                *now = (*process, running);
            }
        }
        let record = |(process, running): (u32, &Running)| {
            let Conmon { id, name, .. } = running.conmon.clone();
            let claim = Claim::UserNetns(running.netns.clone());
            let record = Record { runtime: Runtime::Podman, name, id, image: None, claim, networks: Vec::new() };
            (self.proc.join(process.to_string()).into(), record)
        };
        first.into_values().map(record).collect()
    }
}

fn running(path: &Path, uid: u32, prove: impl Fn(PathBuf, u32) -> Option<UserNetns>) -> Option<Running> {
    let conmon = Conmon::read(path, uid)?;
    let netns = conmon::children(path).into_iter().find_map(|child| prove(child, uid))?;
    Some(Running { conmon, netns })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::conmon::tests::{WEB, make, set_children};
    use super::*;

    const USER: u32 = 1000;

    struct Scene(tempfile::TempDir);

    impl Scene {
        fn conmon(&self, pid: u32, uid: u32, name: &str, child: u32) {
            let process = make(self.0.path(), pid, "conmon", uid, &["conmon", "-c", WEB, "-n", name]);
            set_children(&process, &child.to_string());
        }

        fn end(&self, pid: u32) {
            fs::remove_dir_all(self.0.path().join(pid.to_string())).unwrap();
        }

        /// (PID of conmon, name) of each record, and `None` where a record is gone.
        fn look(&self, looks: &mut Looks) -> Vec<(u32, Option<String>)> {
            let pid = |path: Arc<Path>| path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let seen = |change| match change {
                ContainerChange::Read(path, subject) => match *subject {
                    Subject::Container(record) => (pid(path), Some(record.name)),
                    other => unreachable!("{other:?}"),
                },
                ContainerChange::Gone(path) => (pid(path), None),
                other => unreachable!("{other:?}"),
            };
            looks.look(prove).into_iter().map(seen).collect()
        }
    }

    /// The namespaces of processes up to 99 are the user's; two processes share one.
    fn prove(process: PathBuf, uid: u32) -> Option<UserNetns> {
        let pid: u64 = process.file_name()?.to_str()?.parse().ok()?;
        (uid == USER && pid < 100).then(|| UserNetns::fake(NsFile { dev: 4, inode: pid / 2 }))
    }

    fn scene() -> (Scene, Looks) {
        let scene = Scene(tempfile::tempdir().unwrap());
        let looks = Looks::new(scene.0.path().into());
        (scene, looks)
    }

    fn named(pid: u32, name: &str) -> (u32, Option<String>) {
        (pid, Some(name.to_owned()))
    }

    #[test]
    fn containers_come_and_go() {
        let (scene, mut looks) = scene();
        scene.conmon(10, USER, "web", 50);
        assert_eq!(scene.look(&mut looks), [named(10, "web")]);
        assert_eq!(scene.look(&mut looks), []);
        scene.end(10);
        scene.conmon(12, USER, "web", 51);
        assert_eq!(scene.look(&mut looks), [named(12, "web"), (10, None)]);
    }

    /// A namespace of another user, root's containers, and a container that starts.
    #[test]
    fn unproven_containers_are_not_named() {
        let (scene, mut looks) = scene();
        scene.conmon(10, USER, "foreign", 100);
        scene.conmon(11, USER + 1, "stolen", 50);
        scene.conmon(12, 0, "root", 52);
        let starting = make(scene.0.path(), 13, "conmon", USER, &["conmon", "-c", WEB, "-n", "db"]);
        assert_eq!(scene.look(&mut looks), []);
        set_children(&starting, "54");
        assert_eq!(scene.look(&mut looks), [named(13, "db")]);
    }

    #[test]
    fn first_container_owns_a_shared_namespace() {
        let (scene, mut looks) = scene();
        scene.conmon(20, USER, "infra", 50);
        scene.conmon(21, USER, "member", 51);
        assert_eq!(scene.look(&mut looks), [named(20, "infra")]);
        scene.end(20);
        assert_eq!(scene.look(&mut looks), [named(21, "member"), (20, None)]);
    }

    /// A process becomes conmon by `execve(2)`, and another program is read twice only.
    #[test]
    fn other_programs_are_left_alone() {
        let (scene, mut looks) = scene();
        make(scene.0.path(), 10, "podman", USER, &[]);
        make(scene.0.path(), 11, "sh", USER, &[]);
        assert_eq!(scene.look(&mut looks), []);
        scene.conmon(10, USER, "web", 50);
        assert_eq!(scene.look(&mut looks), [named(10, "web")]);
        assert_eq!((&looks.others, &looks.fresh), (&BTreeSet::from([11]), &BTreeSet::new()));
        scene.end(11);
        scene.look(&mut looks);
        assert!(looks.others.is_empty());
    }

    #[test]
    fn users_have_limits() {
        let (scene, mut looks) = scene();
        let most = u32::try_from(MAX_OF_USER).unwrap();
        (0..most).for_each(|number| scene.conmon(1000 + number, USER, "crowd", 100));
        scene.conmon(5000, USER, "late", 50);
        assert_eq!(scene.look(&mut looks), []);
        scene.end(1000);
        assert_eq!(scene.look(&mut looks), [named(5000, "late")]);
    }

    /// A `/proc` that cannot be listed ends nothing.
    #[test]
    fn lost_proc_changes_nothing() {
        let (scene, mut looks) = scene();
        scene.conmon(10, USER, "web", 50);
        scene.look(&mut looks);
        looks.proc = scene.0.path().join("nowhere");
        assert_eq!(looks.look(prove).len(), 0);
        assert_eq!(looks.known.len(), 1);
    }
}
