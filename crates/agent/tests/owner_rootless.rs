//! Containers of users in real user namespaces: only the kernel's word gives a namespace a name.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use iface_core::{IfName, Interface, InterfaceId, Netns, NetnsId, NsFile, Place};
use netns_agent::interface::Event;
use netns_agent::owner::{OwnerSources, WithOwners};
use netns_testbed::{Suite, tests};
use nix::sched::{CloneFlags, unshare};
use tokio::sync::mpsc;

const PROC: &str = "/run/proc";
const USER: u32 = 1000;
const LIMIT: Duration = Duration::from_secs(20);

type Incoming = iface_core::Event;

fn main() -> ExitCode {
    Suite::new()
        .tests(tests![
            own_namespace_has_the_name,
            foreign_namespaces_have_no_name,
            next_namespace_with_the_inode_has_no_name,
        ])
        .main()
}

/// Makes the test the user's: each user namespace that the test makes is the user's, and the test's own network
/// namespace is not.
fn become_user() {
    unshare(CloneFlags::CLONE_NEWUSER).unwrap();
    for map in ["uid_map", "gid_map"] {
        fs::write(Path::new("/proc/self").join(map), format!("{USER} 0 1")).unwrap();
    }
    fs::create_dir(PROC).unwrap();
}

/// A process in a network namespace of a user namespace of its own.
struct Container(Child);

impl Container {
    fn start() -> Self {
        let mut command = Command::new("unshare");
        let command = command.args(["--user", "--net", "sleep", "infinity"]).stdin(Stdio::null());
        let container = Self(command.spawn().expect("unshare runs (util-linux)"));
        while fs::read_to_string(container.process().join("comm")).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        container
    }

    fn process(&self) -> PathBuf {
        Path::new("/proc").join(self.0.id().to_string())
    }

    fn netns(&self) -> NsFile {
        file(&self.process())
    }

    fn end(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn file(process: &Path) -> NsFile {
    let netns = fs::metadata(process.join("ns/net")).unwrap();
    NsFile { dev: netns.dev(), inode: netns.ino() }
}

/// A conmon of the user `uid` whose child is the real process.
fn write_conmon(pid: u32, uid: u32, name: &str, child: u32) {
    let process = Path::new(PROC).join(pid.to_string());
    let id = format!("{pid:064x}");
    fs::create_dir_all(process.join("task").join(pid.to_string())).unwrap();
    fs::write(process.join("comm"), "conmon\n").unwrap();
    fs::write(process.join("status"), format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n")).unwrap();
    fs::write(process.join("stat"), format!("{pid} (conmon) S {}", "7 ".repeat(30))).unwrap();
    fs::write(process.join("cmdline"), ["conmon", "-c", &id, "-n", name].join("\0")).unwrap();
    fs::write(process.join("task").join(pid.to_string()).join("children"), child.to_string()).unwrap();
    let link = Path::new(PROC).join(child.to_string());
    if !link.is_symlink() {
        symlink(format!("/proc/{child}"), link).unwrap();
    }
}

fn interface(number: u64, netns: NsFile) -> Arc<Interface> {
    let netns = Netns::new(NetnsId(number), Place::Inode(netns.inode)).with_file(netns);
    Arc::new(Interface::new(InterfaceId(number.try_into().unwrap()), netns.into(), 1, IfName::new("lo").unwrap()))
}

/// The names of the owners of interfaces that are added one after another.
struct Agent {
    runtime: tokio::runtime::Runtime,
    events: mpsc::UnboundedSender<Incoming>,
    owners: WithOwners<stream::BoxStream<'static, Incoming>>,
}

impl Agent {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (events, receiver) = mpsc::unbounded_channel();
        let inner = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
        let mut sources = OwnerSources::default().processes(Some(PROC.into()));
        sources.user_containers().unwrap();
        let owners = WithOwners::new(inner.boxed(), sources);
        Self { runtime, events, owners }
    }

    fn next(&mut self) -> Event {
        let next = async { tokio::time::timeout(LIMIT, self.owners.next()).await };
        self.runtime.block_on(next).expect("no event in time").unwrap()
    }

    /// The owner with which an interface comes.
    fn add(&mut self, number: u64, netns: NsFile) -> Option<String> {
        self.events.send(Incoming::Added(interface(number, netns))).unwrap();
        let Event::Added(added) = self.next() else { panic!("not added") };
        added.owner.as_ref().map(|owner| owner.to_string())
    }

    fn delete(&mut self, number: u64, netns: NsFile) {
        self.events.send(Incoming::Deleted(interface(number, netns), None)).unwrap();
        assert!(matches!(self.next(), Event::Deleted(..)));
    }
}

fn own_namespace_has_the_name() {
    become_user();
    let container = Container::start();
    write_conmon(1_000_001, USER, "web", container.0.id());
    let mut agent = Agent::start();
    assert_eq!(agent.add(1, container.netns()).as_deref(), Some("podman/web"));
    // As after the end of the first known process inside.
    agent.delete(1, container.netns());
    assert_eq!(agent.add(2, container.netns()).as_deref(), Some("podman/web"));
    container.end();
    let Event::Updated(updated, _) = agent.next() else { panic!("not updated") };
    assert_eq!(updated.owner, None);
}

/// Another user's namespace, the node's, and one that the kernel says nothing of.
fn foreign_namespaces_have_no_name() {
    become_user();
    let (container, own) = (Container::start(), Container::start());
    write_conmon(1_000_001, USER + 1, "stolen", container.0.id());
    write_conmon(1_000_002, USER, "node", std::process::id());
    write_conmon(1_000_003, USER, "own", own.0.id());
    let mut agent = Agent::start();
    assert_eq!(agent.add(1, own.netns()).as_deref(), Some("podman/own"));
    assert_eq!(agent.add(2, container.netns()), None);
    assert_eq!(agent.add(3, file(Path::new("/proc/self"))), None);
    container.end();
    own.end();
}

/// The kernel gives the inode of a namespace to the next one before the agent looks at processes again.
fn next_namespace_with_the_inode_has_no_name() {
    become_user();
    let container = Container::start();
    let netns = container.netns();
    write_conmon(1_000_001, USER, "web", container.0.id());
    let mut agent = Agent::start();
    container.end();
    assert_eq!(agent.add(1, netns), None);
}
