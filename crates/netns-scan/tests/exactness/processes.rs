//! Namespaces that processes alone lead to.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use iface_core::EventKind;
use netns_scan::EngineChoice::{Nsid, Setns};
use netns_testbed::{NetnsDir, Observer, Test, tests};

use crate::subject::{EXACT, Informer, Subject, stands};

/// Time after which a process must have been looked at.
const FOUND: Duration = Duration::from_secs(3);

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    let watchers = [Subject::Watcher(Nsid), Subject::Watcher(Setns)];
    let all = tests![Subject::ALL;
        a_process_alone_leads_to_its_namespace,
        two_processes_share_one_namespace,
        a_name_takes_over_from_processes,
    ];
    let nsid = tests![[Subject::Watcher(Nsid)]; an_nsid_and_a_process_are_one];
    all.chain(nsid).chain(tests![watchers; an_unreadable_process_is_a_fault])
}

/// A `/proc` with chosen processes only: those of the machine are nobody's business here.
struct Proc(PathBuf);

impl Proc {
    fn new() -> Self {
        let path = PathBuf::from("/run/proc");
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn show(&self, process: &Process) {
        symlink(format!("/proc/{}", process.0.id()), self.0.join(process.0.id().to_string())).unwrap();
    }

    fn start(&self, subject: Subject) -> Observer<Informer> {
        let mut observer = subject.start_with(vec!["/run/netns".into()], |options| options.proc = Some(self.0.clone()));
        observer.synced();
        observer
    }
}

/// A process that waits, until dropped.
struct Process(Child);

impl Process {
    /// In a network namespace of its own.
    fn apart() -> Self {
        Self::run(Command::new("unshare").args(["--net", "sleep", "infinity"]))
    }

    /// In the namespace of another process.
    fn beside(other: &Self) -> Self {
        Self::run(Command::new("nsenter").arg(format!("--net={}", other.path().display())).args(["sleep", "infinity"]))
    }

    /// Returns once the process runs `sleep`.
    fn run(command: &mut Command) -> Self {
        let process = Self(command.stdin(Stdio::null()).spawn().unwrap());
        let name = format!("/proc/{}/comm", process.0.id());
        while fs::read_to_string(&name).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        process
    }

    /// Adds `later0` to the namespace, and the link's peer.
    fn add_link(&self) {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display()));
        command.args(["ip", "link", "add", "later0", "type", "veth", "peer", "name", "later1"]);
        assert!(command.status().unwrap().success());
    }

    fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }

    fn place(&self) -> String {
        format!("net:[{}]", inode(&self.path()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn inode(path: &Path) -> u64 {
    path.metadata().unwrap().ino()
}

/// Neither a name nor a veth: the namespace is found before `Synced` or later, and ends with its process.
fn a_process_alone_leads_to_its_namespace(subject: Subject) {
    let (proc, first) = (Proc::new(), Process::apart());
    proc.show(&first);
    let mut observer = proc.start(subject);
    let lo = observer.replay().find(&first.place(), "lo").unwrap();
    assert_eq!(lo.netns.inode(), Some(inode(&first.path())));
    let second = Process::apart();
    proc.show(&second);
    let place = second.place();
    observer.until("a later one is found", FOUND, |replay| replay.at(&place).count() == 1);
    second.add_link();
    observer.until("its new link, too", FOUND, |replay| replay.find(&place, "later0").is_some());
    drop(second);
    observer.until("the end of its process ends it", FOUND, |replay| replay.at(&place).count() == 0);
    assert_eq!(observer.replay().at(&first.place()).count(), 1);
}

/// The namespace lasts as long as one of its processes, and is told once.
fn two_processes_share_one_namespace(subject: Subject) {
    let (proc, first) = (Proc::new(), Process::apart());
    let second = Process::beside(&first);
    [&first, &second].into_iter().for_each(|process| proc.show(process));
    let mut observer = proc.start(subject);
    let place = first.place();
    assert_eq!(observer.replay().interfaces().count(), 2);
    drop(first);
    let third = Process::apart();
    proc.show(&third);
    let other = third.place();
    observer.until("a round has passed", FOUND, |replay| replay.at(&other).count() == 1);
    assert_eq!(observer.replay().at(&place).count(), 1);
    second.add_link();
    observer.until("the second leads there", FOUND, |replay| replay.find(&place, "later0").is_some());
    drop(second);
    observer.until("the last ends it", FOUND, |replay| replay.at(&place).count() == 0);
}

/// A name is told instead of the inode, and the namespace goes on.
fn a_name_takes_over_from_processes(subject: Subject) {
    let dir = NetnsDir::standard();
    let (proc, process) = (Proc::new(), Process::apart());
    proc.show(&process);
    let mut observer = proc.start(subject);
    let place = process.place();
    let id = observer.replay().find(&place, "lo").unwrap().netns.id;
    let name = dir.alias("blue", &process.path());
    observer.until("the name is told", EXACT, |replay| replay.find("blue", "lo").is_some());
    assert_eq!(observer.replay().find("blue", "lo").unwrap().netns.id, id);
    assert_eq!(observer.replay().interfaces().count(), 2);
    drop(name);
    observer.until("the process leads there again", FOUND, |replay| replay.at(&place).count() == 1);
    drop(process);
    observer.until("the end", FOUND, |replay| replay.interfaces().count() == 1);
}

/// A veth leads to a namespace before its process is seen: one namespace, renamed.
fn an_nsid_and_a_process_are_one(subject: Subject) {
    let (proc, process) = (Proc::new(), Process::apart());
    netns_testbed::Rtnl::new().add_veth("host0", "eth0", Some(&process.path()));
    let mut observer = proc.start(subject);
    let nsid =
        observer.replay().interfaces().find(|one| one.name.as_bytes() == b"eth0").unwrap().netns.place.to_string();
    assert!(nsid.starts_with("nsid:"), "{nsid}");
    proc.show(&process);
    let place = process.place();
    observer.until("the process is found", FOUND, |replay| replay.find(&place, "eth0").is_some());
    assert_eq!(observer.replay().interfaces().count(), 4);
    assert_eq!(observer.replay().story(&nsid, "eth0"), [EventKind::Added, EventKind::Deleted]);
    drop(process);
    observer.until("the end", EXACT, |replay| replay.interfaces().count() == 1);
}

/// A process whose namespace the kernel does not tell may be in one that is missing.
fn an_unreadable_process_is_a_fault(subject: Subject) {
    let proc = Proc::new();
    // The test's user namespace has no rights over the first process of the machine.
    symlink("/proc/1", proc.0.join("1")).unwrap();
    let observer = proc.start(subject);
    stands(&observer, "SYS_PTRACE is asked for", |status| {
        status.faults.iter().any(|fault| fault.subject == proc.0 && fault.error.contains("SYS_PTRACE"))
    });
    fs::remove_file(proc.0.join("1")).unwrap();
    stands(&observer, "without a fault", |status| status.faults.is_empty());
}
