//! Finds a process of each pod by its cgroup, and reads the counters of its namespace.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::counters::{Texts, Values};
use crate::cgroup::pod_of_process;
use crate::proc::pids;

/// Least time between two looks at all processes, each of which reads a file of every process.
const RESCAN: Duration = Duration::from_secs(15);

/// Memory for a text, bytes; `netstat` has some 5,000.
const TEXT: usize = 16 << 10;

/// Memory for a path, bytes: `/proc/4194304/net/stat/nf_conntrack`.
const PATH: usize = 48;

/// A pod to find a process of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `metadata.uid`.
    pub uid: String,
    /// Interfaces that the namespace of the pod has.
    pub interfaces: HashSet<Vec<u8>>,
}

/// One known process of each pod.
#[derive(Debug)]
pub struct Processes {
    proc: PathBuf,
    known: HashMap<String, Known>,
    scanned: Option<Instant>,
    /// Memory for the texts of one namespace, used again for the next.
    texts: Texts,
}

/// A process of a pod.
#[derive(Clone, Copy, Debug)]
struct Known {
    pid: u32,
    /// Inode of `/proc/PID/net/snmp`, which procfs assigns once for each network namespace.
    inode: u64,
}

impl Default for Processes {
    fn default() -> Self {
        Self::new("/proc")
    }
}

impl Processes {
    /// Processes below this directory, usually `/proc`.
    pub fn new(proc: impl Into<PathBuf>) -> Self {
        Self { proc: proc.into(), known: HashMap::new(), scanned: None, texts: Texts::default() }
    }

    /// The counters of each pod, by uid. Pods without a visible process are left out.
    ///
    /// Blocks while files are read: some 100 µs for each pod, and more when a pod is new.
    pub fn read(&mut self, pods: &[Wanted]) -> HashMap<String, Values> {
        let limit = fs::read_to_string(self.proc.join("sys/net/netfilter/nf_conntrack_max")).ok();
        let limit = limit.and_then(|text| text.trim().parse().ok());
        let mut texts = Texts { limit, ..std::mem::take(&mut self.texts) };
        let known = std::mem::take(&mut self.known);
        let mut found = HashMap::with_capacity(pods.len());
        let mut values = HashMap::with_capacity(pods.len());
        for pod in pods {
            let Some(known) = known.get(&pod.uid).copied() else { continue };
            if self.is_of(known.pid, pod) && self.read_texts(known, &mut texts) {
                found.insert(pod.uid.clone(), known);
                values.insert(pod.uid.clone(), texts.values());
            }
        }
        let is_due = self.scanned.is_none_or(|scanned| scanned.elapsed() >= RESCAN);
        if found.len() < pods.len() && is_due {
            self.scanned = Some(Instant::now());
            self.find(pods, &mut found);
            for (uid, known) in &found {
                if !values.contains_key(uid) && self.read_texts(*known, &mut texts) {
                    values.insert(uid.clone(), texts.values());
                }
            }
        }
        (self.known, self.texts) = (found, texts);
        values
    }

    /// Whether any process of another pod than the agent's is visible.
    #[must_use]
    pub fn sees_pods(&self) -> bool {
        let own = fs::read_to_string(self.proc.join("self/cgroup")).ok().and_then(|text| pod_of_process(&text));
        pids(&self.proc).unwrap_or_default().into_iter().any(|pid| self.uid(pid).is_some_and(|uid| Some(uid) != own))
    }

    /// Looks at all processes, in the order of their PIDs: the process that holds a pod's namespace is the oldest.
    fn find(&self, pods: &[Wanted], found: &mut HashMap<String, Known>) {
        let missing: HashMap<_, _> =
            pods.iter().filter(|pod| !found.contains_key(&pod.uid)).map(|pod| (pod.uid.as_str(), pod)).collect();
        for pid in pids(&self.proc).unwrap_or_default() {
            let pod = self.uid(pid).and_then(|uid| missing.get(uid.as_str()).copied());
            let Some(pod) = pod.filter(|pod| !found.contains_key(&pod.uid)) else { continue };
            // The inode first: a process that enters another namespace meanwhile is noticed by the next look.
            let Some(inode) = self.inode(pid).filter(|_| self.has(pid, &pod.interfaces)) else { continue };
            found.insert(pod.uid.clone(), Known { pid, inode });
        }
    }

    /// A PID can be reused.
    fn is_of(&self, pid: u32, pod: &Wanted) -> bool {
        self.uid(pid).as_ref() == Some(&pod.uid)
    }

    fn inode(&self, pid: u32) -> Option<u64> {
        Some(fs::metadata(self.path(pid, "net/snmp")).ok()?.ino())
    }

    fn uid(&self, pid: u32) -> Option<String> {
        let mut text = String::new();
        read_whole(&mut File::open(self.path(pid, "cgroup")).ok()?, &mut text).then(|| pod_of_process(&text))?
    }

    /// Whether the namespace of the process has all of these interfaces: a pod's process can have made a namespace of
    /// its own.
    fn has(&self, pid: u32, interfaces: &HashSet<Vec<u8>>) -> bool {
        let Ok(text) = fs::read(self.path(pid, "net/dev")) else { return false };
        let names: HashSet<_> = text.split(|byte| *byte == b'\n').filter_map(device).collect();
        interfaces.iter().all(|name| names.contains(name.as_slice()))
    }

    /// Whether the process is still in its namespace; then reads the texts.
    fn read_texts(&self, known: Known, texts: &mut Texts) -> bool {
        let Ok(mut snmp) = File::open(self.path(known.pid, "net/snmp")) else { return false };
        // A process can enter another namespace.
        if !snmp.metadata().is_ok_and(|file| file.ino() == known.inode) || !read_whole(&mut snmp, &mut texts.snmp) {
            return false;
        }
        self.read_text(known.pid, "net/snmp6", &mut texts.snmp6);
        self.read_text(known.pid, "net/netstat", &mut texts.netstat);
        self.read_text(known.pid, "net/stat/nf_conntrack", &mut texts.conntrack);
        true
    }

    fn read_text(&self, pid: u32, name: &str, text: &mut String) {
        let file = File::open(self.path(pid, name));
        if !file.is_ok_and(|mut file| read_whole(&mut file, text)) {
            text.clear();
        }
    }

    fn path(&self, pid: u32, name: &str) -> PathBuf {
        let mut path = PathBuf::with_capacity(PATH);
        path.push(&self.proc);
        path.push(pid.to_string());
        path.push(name);
        path
    }
}

/// Reads a text of procfs with one system call where it fits the memory: seq_file fills the memory up to the end of the
/// text (`Documentation/filesystems/seq_file.rst` of the kernel). Whether all was read; else the text is of no use.
fn read_whole(file: &mut File, text: &mut String) -> bool {
    text.clear();
    let mut memory = [0; TEXT];
    loop {
        let Ok(count) = file.read(&mut memory) else { return false };
        let Ok(part) = std::str::from_utf8(&memory[..count]) else { return false };
        text.push_str(part);
        if count < TEXT {
            return true;
        }
    }
}

/// The name in a line of `/proc/PID/net/dev`: `  eth0: 1296 16 …`. Names have no blanks, and can have colons.
fn device(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii_start();
    let name = line.split(u8::is_ascii_whitespace).next()?;
    // A large counter follows the colon without a blank.
    let end = name.iter().rposition(|byte| *byte == b':')?;
    Some(&name[..end])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn devices_with_odd_names() {
        assert_eq!(device(b"  eth0:    1296      16"), Some(&b"eth0"[..]));
        assert_eq!(device(b"a:b:12 1"), Some(&b"a:b"[..]));
        assert_eq!(device(b"Inter-|   Receive"), None);
        assert_eq!(device(b""), None);
    }

    /// A directory like `/proc` with processes of a pod.
    fn process(proc: &Path, pid: u32, uid: &str, interfaces: &[&str], retransmits: u64) {
        let folder = proc.join(pid.to_string());
        fs::create_dir_all(folder.join("net")).unwrap();
        fs::write(folder.join("cgroup"), format!("0::/kubepods/pod{uid}/x\n")).unwrap();
        let lines: Vec<_> = interfaces.iter().map(|name| format!("  {name}: 0 0\n")).collect();
        fs::write(folder.join("net/dev"), lines.concat()).unwrap();
        fs::write(folder.join("net/snmp"), format!("Tcp: RetransSegs\nTcp: {retransmits}\n")).unwrap();
    }

    fn wanted(uid: &str) -> Wanted {
        Wanted { uid: uid.to_owned(), interfaces: HashSet::from([b"eth0".to_vec()]) }
    }

    /// Longer than the memory of one read too.
    #[test]
    fn long_texts_are_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(3 * TEXT);
        let path = folder.path().join("text");
        let mut text = "old".to_owned();
        for expected in [&long[..], &long[..TEXT], "short", ""] {
            fs::write(&path, expected).unwrap();
            assert!(read_whole(&mut File::open(&path).unwrap(), &mut text));
            assert_eq!(text, expected);
        }
        assert!(!read_whole(&mut File::open(folder.path()).unwrap(), &mut text), "a directory");
    }

    /// A process in a namespace of its own is not taken, nor a PID that belongs to another pod now.
    #[test]
    fn processes_must_match_the_pod() {
        let proc = tempfile::tempdir().unwrap();
        let (a, b, c) = (&"a".repeat(32), &"b".repeat(32), &"c".repeat(32));
        process(proc.path(), 5, a, &["lo"], 1);
        process(proc.path(), 6, a, &["lo", "eth0"], 2);
        process(proc.path(), 7, a, &["lo", "eth0"], 3);
        process(proc.path(), 8, b, &["lo", "eth0"], 4);
        let mut processes = Processes::new(proc.path());
        let retransmits = |read: &HashMap<String, Values>, uid: &str| read.get(uid).and_then(|values| values[0]);
        let pods = [wanted(a), wanted(b), wanted(c)];
        let read = processes.read(&pods);
        assert_eq!([a, b, c].map(|uid| retransmits(&read, uid)), [Some(2), Some(4), None]);
        assert!(processes.sees_pods());
        // The PID of `a` belongs to `c` now.
        process(proc.path(), 6, c, &["lo", "eth0"], 9);
        let read = processes.read(&pods);
        assert_eq!([a, b].map(|uid| retransmits(&read, uid)), [None, Some(4)], "before all are looked at again");
        processes.scanned = None;
        let read = processes.read(&pods);
        assert_eq!([a, b, c].map(|uid| retransmits(&read, uid)), [Some(3), Some(4), Some(9)]);
    }
}
