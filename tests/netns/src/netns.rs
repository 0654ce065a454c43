use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::inside::{inside, on_own_thread};
use crate::rtnl::Rtnl;

/// A directory of names of namespaces.
#[derive(Debug)]
pub struct NetnsDir {
    path: PathBuf,
}

impl NetnsDir {
    /// Where `ip netns` looks, empty and private to the test.
    #[must_use]
    pub fn standard() -> Self {
        Self::at("/run/netns")
    }

    /// Any directory; created if missing.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        Self { path }
    }

    /// Path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new namespace with this name, as `ip netns add` creates namespaces.
    #[must_use]
    pub fn add(&self, name: &str) -> Netns {
        self.reserve(name).mount_new()
    }

    /// A second name for the namespace at the path `of`.
    #[must_use]
    pub fn alias(&self, name: &str, of: &Path) -> Alias {
        let Reserved { path } = self.reserve(name);
        bind(of, &path);
        Alias { path }
    }

    /// Only the empty file, the state while `ip netns add` waits for the kernel.
    pub fn reserve(&self, name: &str) -> Reserved {
        let path = self.path.join(name);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o000)
            .open(&path)
            .unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        Reserved { path }
    }
}

/// A name without its namespace.
#[derive(Debug)]
#[must_use]
pub struct Reserved {
    path: PathBuf,
}

impl Reserved {
    /// Creates the namespace and mounts its nsfs file over the empty file.
    #[must_use]
    pub fn mount_new(self) -> Netns {
        let Self { path } = self;
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .unwrap_or_else(|e| panic!("cannot make the namespace {}: {e}", path.display()));
            bind(Path::new("/proc/thread-self/ns/net"), &path);
        });
        Netns { path, held: None }
    }

    /// Unlinks the name.
    pub fn remove(self) {
        fs::remove_file(&self.path).unwrap_or_else(|e| panic!("cannot remove {}: {e}", self.path.display()));
    }
}

/// A namespace with a name, which holds nothing open: only the name keeps the namespace alive. Or a
/// namespace without a name, alive as long as this value, as if a process were inside.
#[derive(Debug)]
pub struct Netns {
    path: PathBuf,
    held: Option<File>,
}

impl Netns {
    /// A new namespace without a name, as `unshare -n` makes namespaces.
    #[must_use]
    pub fn unnamed() -> Self {
        let file = on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|e| panic!("cannot make a namespace without a name: {e}"));
            File::open("/proc/thread-self/ns/net").unwrap_or_else(|e| panic!("cannot open the namespace: {e}"))
        });
        Self { path: format!("/proc/self/fd/{}", file.as_raw_fd()).into(), held: Some(file) }
    }

    /// The namespace as an informer prints it: its name, or its nsid in the test's own namespace.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.held {
            None => self.name().to_owned(),
            Some(file) => match Rtnl::new().nsid_of(file) {
                Some(nsid) => format!("nsid:{nsid}"),
                None => "without an nsid".to_owned(),
            },
        }
    }

    /// The inode as far as an informer knows the inode: 0 without a name.
    #[must_use]
    pub fn known_inode(&self) -> u64 {
        if self.held.is_some() { 0 } else { self.identity().1 }
    }

    /// Lets go of a namespace without a name in exchange for a name.
    #[must_use]
    pub fn named(self, dir: &NetnsDir, name: &str) -> Self {
        let Reserved { path } = dir.reserve(name);
        bind(&self.path, &path);
        Self { path, held: None }
    }

    /// Gives up the name, and keeps the namespace alive without one.
    #[must_use]
    pub fn nameless(self) -> Self {
        let file = self.hold();
        drop(self);
        Self { path: format!("/proc/self/fd/{}", file.as_raw_fd()).into(), held: Some(file) }
    }

    /// The name's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// (device, inode) of the nsfs file.
    #[must_use]
    pub fn identity(&self) -> (u64, u64) {
        identity(&self.path)
    }

    /// Runs `work` on a thread inside the namespace.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.path, work)
    }

    /// A netlink socket inside the namespace; keeps the namespace alive until dropped.
    #[must_use]
    pub fn rtnl(&self) -> Rtnl {
        self.inside(Rtnl::new)
    }

    /// An open nsfs file; keeps the namespace alive as a process inside does.
    #[must_use]
    pub fn hold(&self) -> File {
        File::open(&self.path).unwrap_or_else(|e| panic!("cannot open {}: {e}", self.path.display()))
    }

    /// Mounts a new namespace over the same file, which must have lost its mount.
    #[must_use]
    pub fn mount_again(self) -> Self {
        let path = self.path.clone();
        std::mem::forget(self);
        Reserved { path }.mount_new()
    }

    /// Unlinks the name, as `ip netns del` does.
    pub fn delete(self) {
        drop(self);
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if self.held.is_none() {
            remove_name(&self.path);
        }
    }
}

/// A second name of a namespace.
#[derive(Debug)]
pub struct Alias {
    path: PathBuf,
}

impl Alias {
    /// The name's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Alias {
    fn drop(&mut self) {
        remove_name(&self.path);
    }
}

/// (device, inode) of the nsfs file at `path`.
pub(crate) fn identity(path: &Path) -> (u64, u64) {
    let found = fs::metadata(path).unwrap_or_else(|e| panic!("cannot look at {}: {e}", path.display()));
    (found.dev(), found.ino())
}

fn bind(namespace: &Path, name: &Path) {
    let none = None::<&str>;
    mount(Some(namespace), name, none, MsFlags::MS_BIND, none)
        .unwrap_or_else(|e| panic!("cannot mount {} over {}: {e}", namespace.display(), name.display()));
}

/// Ignores a missing name: a test may have removed the directory.
fn remove_name(path: &Path) {
    let _ = umount2(path, MntFlags::MNT_DETACH);
    let _ = fs::remove_file(path);
}
