//! Network namespaces that processes are in, read from a `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Processes read in one go: notifications of the kernel wait no longer than some milliseconds.
const SLICE: usize = 512;

/// A process of each namespace.
#[derive(Debug)]
pub(super) struct Processes {
    proc: PathBuf,
    /// By the inode of the namespace; the same process as long as it stays.
    members: BTreeMap<u64, u32>,
    /// Processes that the present round has not read yet.
    left: Vec<u32>,
    round: Round,
    /// Processor time of the present round.
    spent: Duration,
    due: Instant,
}

/// One look at all processes.
#[derive(Debug, Default)]
struct Round {
    found: BTreeMap<u64, u32>,
    fault: Option<String>,
}

/// Result of a look at all processes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Namespaces without a process now.
    pub(super) left: Vec<u64>,
    /// Namespaces whose process has left, with other processes inside. Without a cookie, nothing proves
    /// that the namespace is the same.
    pub(super) passed_on: Vec<u64>,
    /// Namespaces with a process.
    pub(super) present: Vec<u64>,
    /// Reason for a lack of namespaces.
    pub(super) fault: Option<String>,
}

impl Processes {
    /// Reads a `/proc`, which can be another PID namespace's.
    pub(super) fn new(proc: PathBuf) -> Self {
        Self {
            proc,
            members: BTreeMap::new(),
            left: Vec::new(),
            round: Round::default(),
            spent: Duration::ZERO,
            due: Instant::now(),
        }
    }

    pub(super) fn proc(&self) -> &Path {
        &self.proc
    }

    /// The path of a namespace by way of one of its processes.
    pub(super) fn path(&self, inode: u64) -> PathBuf {
        // There is no process 0.
        self.namespace_of(self.members.get(&inode).copied().unwrap_or(0))
    }

    /// Time of the next look.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Adds processor time to the present round.
    pub(super) fn spend(&mut self, time: Duration) {
        self.spent += time;
    }

    /// Takes the processor time of the round, with this last part.
    pub(super) fn spent(&mut self, last: Duration) -> Duration {
        std::mem::take(&mut self.spent) + last
    }

    /// Sets the pause until the next round begins.
    pub(super) fn rest(&mut self, now: Instant, pause: Duration) {
        self.due = now + pause;
    }

    /// Reads all processes at once.
    pub(super) fn read_all(&mut self) -> Seen {
        self.left.clear();
        self.round = Round::default();
        loop {
            if let Some(seen) = self.read_some() {
                return seen;
            }
        }
    }

    /// Reads the next processes; returns the result after the last one.
    pub(super) fn read_some(&mut self) -> Option<Seen> {
        if self.left.is_empty() {
            self.round = Round::default();
            match processes(&self.proc) {
                Ok(pids) => self.left = pids,
                Err(error) => {
                    self.round.fault = Some(format!("cannot list processes: {error}; --proc must name a /proc"));
                    self.round.found = self.members.clone();
                }
            }
        }
        let slice = self.left.split_off(self.left.len().saturating_sub(SLICE));
        for pid in slice.into_iter().rev() {
            self.read(pid);
        }
        self.left.is_empty().then(|| self.end_round())
    }

    fn read(&mut self, pid: u32) {
        match fs::read_link(self.namespace_of(pid)) {
            Ok(link) => {
                let Some(inode) = link.to_str().and_then(inode) else { return };
                let is_known = self.members.get(&inode) == Some(&pid);
                let member = self.round.found.entry(inode).or_insert(pid);
                if is_known {
                    *member = pid;
                }
            }
            // Of a process that has just ended, the kernel says the same.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                if self.round.fault.is_none() && self.proc.join(pid.to_string()).exists() {
                    self.round.fault = Some(
                        "the network namespaces of some processes cannot be read; add the capability SYS_PTRACE (under \
                         AppArmor, an unconfined profile)"
                            .to_owned(),
                    );
                }
            }
            Err(_) => {}
        }
    }

    fn end_round(&mut self) -> Seen {
        let Round { found, fault } = std::mem::take(&mut self.round);
        let before = std::mem::replace(&mut self.members, found);
        let now = &self.members;
        Seen {
            left: before.keys().filter(|inode| !now.contains_key(inode)).copied().collect(),
            passed_on: now
                .iter()
                .filter(|(inode, pid)| before.get(inode).is_some_and(|before| before != *pid))
                .map(|(inode, _)| *inode)
                .collect(),
            present: now.keys().copied().collect(),
            fault,
        }
    }

    fn namespace_of(&self, pid: u32) -> PathBuf {
        self.proc.join(format!("{pid}/ns/net"))
    }
}

/// The processes of a `/proc`, the last first.
fn processes(proc: &Path) -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir(proc)? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    pids.sort_unstable_by(|one, other| other.cmp(one));
    Ok(pids)
}

/// The inode in the target of a link such as `net:[4026532461]`.
pub(super) fn inode(link: &str) -> Option<u64> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A `/proc` with these processes and inodes.
    fn proc(processes: &[(u32, u64)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        processes.iter().for_each(|(pid, inode)| add(dir.path(), *pid, *inode));
        dir
    }

    fn add(proc: &Path, pid: u32, inode: u64) {
        let ns = proc.join(format!("{pid}/ns"));
        fs::create_dir_all(&ns).unwrap();
        symlink(format!("net:[{inode}]"), ns.join("net")).unwrap();
    }

    fn end(proc: &Path, pid: u32) {
        fs::remove_dir_all(proc.join(pid.to_string())).unwrap();
    }

    #[test]
    fn a_namespace_lasts_with_its_processes() {
        let dir = proc(&[(1, 70), (5, 71), (6, 71)]);
        let mut processes = Processes::new(dir.path().into());
        let present = vec![70, 71];
        let nothing = Seen { left: vec![], passed_on: vec![], present: present.clone(), fault: None };
        assert_eq!(processes.read_all(), nothing);
        assert_eq!(processes.path(71), dir.path().join("5/ns/net"));
        add(dir.path(), 3, 71);
        assert_eq!(processes.read_all(), nothing, "the same process as long as it stays");
        assert_eq!(processes.path(71), dir.path().join("5/ns/net"));
        end(dir.path(), 5);
        assert_eq!(processes.read_all(), Seen { passed_on: vec![71], ..nothing });
        [3, 6].into_iter().for_each(|pid| end(dir.path(), pid));
        let left = Seen { left: vec![71], passed_on: vec![], present: vec![70], fault: None };
        assert_eq!(processes.read_all(), left);
        assert!(!processes.path(71).exists());
    }

    /// Thousands of processes are read in slices; a round that has not ended says nothing.
    #[test]
    fn many_processes_are_read_in_slices() {
        let count = u32::try_from(SLICE).unwrap() * 2;
        let all: Vec<(u32, u64)> = (1..=count + 1).map(|pid| (pid, u64::from(pid % 7))).collect();
        let dir = proc(&all);
        let mut processes = Processes::new(dir.path().into());
        assert_eq!((processes.read_some(), processes.read_some()), (None, None));
        assert_eq!(processes.read_some().unwrap().present, (0..7).collect::<Vec<_>>());
    }

    /// Without a list, everything stays as it was.
    #[test]
    fn a_lost_proc_is_a_fault() {
        let dir = proc(&[(1, 70)]);
        let mut processes = Processes::new(dir.path().into());
        processes.read_all();
        drop(dir);
        let seen = processes.read_all();
        assert_eq!((seen.left, seen.present), (vec![], vec![70]));
        assert!(seen.fault.unwrap().starts_with("cannot list processes: "));
    }
}
