//! Follows a directory of records by inotify(7).
//!
//! Containers have a directory each, which a runtime makes first and fills later, so each is watched, too. Any event
//! about a container reads all its records again. A missing directory is awaited at its nearest existing parent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use iface_core::NsFile;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InotifyEvent, WatchDescriptor};

use crate::inotify::Watches;
use crate::owner::container::oci;
use crate::owner::container::record::{self, MAX_RECORD, Names, Subject, Unclaimed};

/// Largest number of followed containers of a directory; a watch of each costs the kernel a kilobyte.
const MAX_CONTAINERS: usize = 16_384;

/// A change in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerChange {
    /// The record of a container or pod is new or has changed.
    Read(Arc<Path>, Box<Subject>),
    /// A container has no record with a namespace any more.
    Gone(Arc<Path>),
    /// The directory cannot be read, with the reason; it is read again when it or a parent changes.
    Unavailable(PathBuf, Errno),
}

const WATCHED: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE);
const SELF: AddWatchFlags = AddWatchFlags::IN_MOVE_SELF.union(AddWatchFlags::IN_DELETE_SELF);

/// An endless stream of changes in one directory of records.
#[derive(Debug)]
pub struct ContainerDir {
    dir: PathBuf,
    /// The `/proc` of the containers' processes, if the agent may read it.
    proc: Option<PathBuf>,
    inotify: Watches,
    /// The containers of the watched directories; `None` for the directory itself and for its parents.
    watches: BTreeMap<WatchDescriptor, Option<OsString>>,
    root: Option<WatchDescriptor>,
    names: Names,
    known: BTreeMap<OsString, Subject>,
    to_scan: VecDeque<OsString>,
    to_say: VecDeque<ContainerChange>,
    unavailable: Option<Errno>,
}

impl ContainerDir {
    /// Starts to follow `dir`; needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When the kernel refuses an inotify instance (`fs.inotify.max_user_instances`, open files).
    pub fn new(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let mut this = Self {
            dir: dir.into(),
            proc: None,
            inotify: Watches::new()?,
            watches: BTreeMap::new(),
            root: None,
            names: Names::default(),
            known: BTreeMap::new(),
            to_scan: VecDeque::new(),
            to_say: VecDeque::new(),
            unavailable: None,
        };
        this.arm();
        Ok(this)
    }

    /// Finds namespaces by the first processes of containers in this `/proc`.
    #[must_use]
    pub fn processes(mut self, proc: Option<PathBuf>) -> Self {
        self.proc = proc;
        self
    }

    /// The network namespace of the first process of a containerd task. The process may have ended, and its PID may be
    /// another's: only a process in the container's cgroup counts.
    fn space_of_task(&self, id: &str, task: &Path) -> Option<NsFile> {
        let pid: u32 = String::from_utf8(read(&task.join("init.pid"))?).ok()?.trim().parse().ok()?;
        let process = self.proc.as_ref()?.join(pid.to_string());
        if !fs::read_to_string(process.join("cgroup")).ok()?.contains(id) {
            return None;
        }
        let netns = fs::metadata(process.join("ns/net")).ok()?;
        Some(NsFile { dev: netns.dev(), inode: netns.ino() })
    }

    /// Watches the directory, or its nearest existing parent, and begins to read all records.
    fn arm(&mut self) {
        for old in std::mem::take(&mut self.watches).into_keys() {
            self.inotify.remove(old);
        }
        let root = self.watch(&self.dir.clone(), WATCHED | SELF, None);
        self.root = root.ok();
        for parent in self.dir.clone().ancestors().skip(1) {
            let flags = if self.root.is_some() { SELF } else { WATCHED | SELF | AddWatchFlags::IN_ATTRIB };
            let nearest = self.watch(parent, flags, None).is_ok();
            if nearest && self.root.is_none() {
                break;
            }
        }
        // Made since: no event will tell.
        if self.root.is_none() {
            self.root = self.watch(&self.dir.clone(), WATCHED | SELF, None).ok();
        }
        match root {
            Err(errno) if self.root.is_none() => self.unavailable(errno),
            _ => self.unavailable = None,
        }
        self.list();
    }

    fn watch(&mut self, dir: &Path, flags: AddWatchFlags, of: Option<&OsStr>) -> Result<WatchDescriptor, Errno> {
        let flags = flags | AddWatchFlags::IN_ONLYDIR;
        let watch = self.inotify.add(dir, flags)?;
        self.watches.insert(watch, of.map(OsStr::to_owned));
        Ok(watch)
    }

    fn unavailable(&mut self, errno: Errno) {
        if self.unavailable.replace(errno) != Some(errno) && errno != Errno::ENOENT {
            self.to_say.push_back(ContainerChange::Unavailable(self.dir.clone(), errno));
        }
    }

    /// Reads all containers again, and those that are gone.
    fn list(&mut self) {
        self.read_names();
        let mut all: BTreeSet<OsString> = self.known.keys().cloned().collect();
        match fs::read_dir(&self.dir) {
            Ok(entries) => all.extend(entries.filter_map(|entry| Some(entry.ok()?.file_name())).take(MAX_CONTAINERS)),
            Err(error) if self.root.is_some() => {
                self.unavailable(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw));
            }
            Err(_) => {}
        }
        self.to_scan = all.into_iter().collect();
    }

    /// Reads podman's names; returns whether they have changed.
    fn read_names(&mut self) -> bool {
        let names = read(&self.dir.join(NAMES)).map(|content| record::names(&content)).unwrap_or_default();
        std::mem::replace(&mut self.names, names.clone()) != names
    }

    /// Reads the records of one container.
    fn scan(&mut self, entry: OsString) {
        let path = self.dir.join(&entry);
        // Watched before the reading: a later change is an event.
        if path.is_dir() && self.watches.len() < 2 * MAX_CONTAINERS {
            for dir in [path.clone(), path.join("userdata")] {
                let _ = self.watch(&dir, WATCHED, Some(&entry));
            }
        }
        let said: Arc<Path> = path.as_path().into();
        match self.record(&entry, &path) {
            Some(record) if self.known.get(&entry) == Some(&record) => {}
            Some(record) => {
                self.to_say.push_back(ContainerChange::Read(said, Box::new(record.clone())));
                self.known.insert(entry, record);
            }
            None if self.known.remove(&entry).is_some() => self.to_say.push_back(ContainerChange::Gone(said)),
            None => {}
        }
    }

    /// The record of the first known format.
    fn record(&self, entry: &OsStr, path: &Path) -> Option<Subject> {
        let id = entry.to_str()?;
        let found = if let Some(content) = read(&path.join("config.v2.json")) {
            record::docker(&content).map(Subject::Container)
        } else if let Some(content) = read(&path.join("userdata/config.json")) {
            oci::userdata(id, &self.names, &content)
        } else if let Some(content) = read(&path.join("config.json")) {
            oci::task(id, &content, || self.space_of_task(id, path))
        } else if let Some(content) = read(&path.join("config")) {
            record::lxc(id, &content).map(Subject::Container)
        } else if entry != NAMES {
            let machine = |content: Vec<u8>| record::machine(id, &content).map(Subject::Container);
            read(path).map_or(Err(Unclaimed::NoNetns), machine)
        } else {
            Err(Unclaimed::NoNetns)
        };
        if let Err(reason @ Unclaimed::Malformed) = found {
            let path = path.display();
            tracing::debug!(event.name = "container_record.refused", record = %path, "{path} {reason}");
        }
        found.ok()
    }

    fn happened(&mut self, events: &[InotifyEvent]) {
        let ends = SELF | AddWatchFlags::IN_UNMOUNT;
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                return self.list();
            }
            let of = self.watches.get(&event.wd).cloned();
            if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                self.watches.remove(&event.wd);
            }
            let entry = match of {
                Some(Some(entry)) => entry,
                Some(None) if Some(event.wd) != self.root || event.mask.intersects(ends) => return self.arm(),
                Some(None) => match event.name.clone() {
                    Some(name) if name == NAMES && self.read_names() => {
                        self.to_scan.extend(self.known.keys().cloned());
                        continue;
                    }
                    Some(name) => name,
                    None => continue,
                },
                None => continue,
            };
            if !self.to_scan.contains(&entry) {
                self.to_scan.push_back(entry);
            }
        }
    }
}

/// Names of podman's containers.
const NAMES: &str = "containers.json";

/// Reads a file of root's, or of the agent's own user, without blocking: others could claim foreign namespaces.
fn read(path: &Path) -> Option<Vec<u8>> {
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW | nix::libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = match file {
        Ok(file) => file,
        Err(error) => {
            if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
                let path = path.display();
                tracing::debug!(event.name = "container_record.unreadable", record = %path, "{path}: {error}");
            }
            return None;
        }
    };
    let metadata = file.metadata().ok()?;
    let owners = [0, nix::unistd::geteuid().as_raw()];
    if !metadata.is_file() || !owners.contains(&metadata.uid()) {
        return None;
    }
    content(&file)
}

fn content(file: &File) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    // The file may grow during the read, so the number of read bytes counts.
    file.take(MAX_RECORD + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 <= MAX_RECORD).then_some(content)
}

impl Stream for ContainerDir {
    type Item = ContainerChange;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ContainerChange>> {
        loop {
            if let Some(change) = self.to_say.pop_front() {
                return Poll::Ready(Some(change));
            }
            if let Some(entry) = self.to_scan.pop_front() {
                self.scan(entry);
                continue;
            }
            let events = ready!(self.inotify.poll_events(cx));
            self.happened(&events);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::{FutureExt, StreamExt};

    use super::*;

    async fn next(dir: &mut ContainerDir) -> ContainerChange {
        tokio::time::timeout(Duration::from_secs(10), dir.next()).await.unwrap().unwrap()
    }

    fn docker(name: &str, key: &str) -> String {
        let networks = serde_json::json!({"SandboxKey": format!("/var/run/docker/netns/{key}")});
        serde_json::json!({"ID": "aa", "Name": format!("/{name}"), "NetworkSettings": networks}).to_string()
    }

    /// As runtimes do: beside, and by a rename.
    fn write(path: &Path, content: &str) {
        let beside = path.with_extension("tmp");
        fs::write(&beside, content).unwrap();
        fs::rename(beside, path).unwrap();
    }

    /// The directories and the record appear late, a restart changes the sandbox, a stop empties the record.
    #[tokio::test]
    async fn container_is_followed_through_restarts() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("lib/containers");
        let mut dir = ContainerDir::new(&root).unwrap();
        assert!(dir.next().now_or_never().is_none());
        let file = root.join("aa/config.v2.json");
        for (key, claims) in [("0a1b2c3d4e5f", true), ("f5e4d3c2b1a0", true), ("", false), ("0a1b2c3d4e5f", true)] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            // Polled between: the watch of the new directory comes before or after its file.
            assert!(dir.next().now_or_never().is_none());
            write(&file, &docker("web", key));
            match next(&mut dir).await {
                ContainerChange::Read(path, subject) => {
                    let Subject::Container(record) = *subject else { unreachable!("a pod") };
                    assert!(claims && *path == *root.join("aa"));
                    let wanted = record::Claim::Name(iface_core::NetnsName::new(key));
                    assert_eq!(record.claim, wanted);
                }
                other => assert!(!claims && other == ContainerChange::Gone(root.join("aa").into()), "{other:?}"),
            }
        }
        fs::remove_dir_all(root.join("aa")).unwrap();
        assert_eq!(next(&mut dir).await, ContainerChange::Gone(root.join("aa").into()));
    }

    #[tokio::test]
    async fn late_name_of_podman_is_read() {
        let temp = tempfile::tempdir().unwrap();
        let userdata = temp.path().join("aa/userdata");
        fs::create_dir_all(&userdata).unwrap();
        let path = "/run/netns/netns-26a5a60e-766c-44c4-8125-5b68aecf097d";
        let namespaces = serde_json::json!({"linux": {"namespaces": [{"type": "network", "path": path}]}});
        fs::write(userdata.join("config.json"), namespaces.to_string()).unwrap();
        let mut dir = ContainerDir::new(temp.path()).unwrap();
        for wanted in ["aa", "web"] {
            let ContainerChange::Read(_, subject) = next(&mut dir).await else { unreachable!("no record") };
            assert!(matches!(*subject, Subject::Container(record) if record.name == wanted));
            write(&temp.path().join(NAMES), r#"[{"id": "aa", "names": ["web"]}]"#);
        }
    }

    /// Links, FIFOs, too large files and other users' files say nothing.
    #[tokio::test]
    async fn hostile_files_are_not_read() {
        let temp = tempfile::tempdir().unwrap();
        let file = |id: &str| {
            fs::create_dir(temp.path().join(id)).unwrap();
            temp.path().join(id).join("config.v2.json")
        };
        let real = temp.path().join("real");
        fs::write(&real, docker("web", "0a1b2c3d4e5f")).unwrap();
        std::os::unix::fs::symlink(&real, file("link")).unwrap();
        nix::unistd::mkfifo(&file("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let large = docker("web", "0a1b2c3d4e5f") + &" ".repeat(MAX_RECORD as usize);
        fs::write(file("large"), large).unwrap();
        let mut dir = ContainerDir::new(temp.path()).unwrap();
        assert!(dir.next().now_or_never().is_none());
    }

    /// A task of nerdctl is claimed once its process runs in the container's cgroup.
    #[tokio::test]
    async fn process_of_task_claims_its_namespace() {
        let (temp, proc) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (task, process) = (temp.path().join("aa"), proc.path().join("77"));
        fs::create_dir_all(&task).unwrap();
        fs::create_dir_all(process.join("ns")).unwrap();
        fs::write(process.join("ns/net"), "").unwrap();
        fs::write(process.join("cgroup"), "0::/other").unwrap();
        let config =
            serde_json::json!({"annotations": {"nerdctl/name": "web"}, "linux": {"namespaces": [{"type": "network"}]}});
        fs::write(task.join("config.json"), config.to_string()).unwrap();
        let mut dir = ContainerDir::new(temp.path()).unwrap().processes(Some(proc.path().into()));
        assert!(dir.next().now_or_never().is_none());
        write(&task.join("init.pid"), "77");
        assert!(dir.next().now_or_never().is_none());
        fs::write(process.join("cgroup"), "0::/system.slice/nerdctl-aa.scope").unwrap();
        write(&task.join("init.pid"), "77\n");
        let ContainerChange::Read(_, subject) = next(&mut dir).await else { unreachable!("no record") };
        let inside = fs::metadata(process.join("ns/net")).unwrap();
        let claim = record::Claim::Space(NsFile { dev: inside.dev(), inode: inside.ino() });
        assert!(matches!(*subject, Subject::Container(record) if record.claim == claim));
    }
}
