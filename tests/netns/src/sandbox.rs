use std::fmt;
use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

/// Moves this process into new user, mount and network namespaces.
///
/// `unshare(2)` refuses a new user namespace to a process of several threads, so call `enter` first
/// in `main`. Afterwards the process is root in the namespaces, `/run` is empty and private, and `lo` of the
/// new network namespace is the only visible interface.
///
/// [`Suite`](crate::Suite) calls `enter` for each test; benchmarks call `enter` themselves.
///
/// # Errors
///
/// When user namespaces are forbidden, or a namespace cannot be set up.
pub fn enter() -> Result<(), Error> {
    let (uid, gid) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).map_err(Error::Unshare)?;
    // user_namespaces(7): without CAP_SETGID outside, a gid map needs setgroups denied first.
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", &format!("0 {gid} 1"))?;
    // Later mounts on either side stay invisible to the other.
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(|e| Error::Mount("/", e))?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=0755"))
        .map_err(|e| Error::Mount("/run", e))?;
    Ok(())
}

fn write(path: &'static str, text: &str) -> Result<(), Error> {
    fs::write(Path::new(path), text).map_err(|source| Error::Map(path, source))
}

/// A failure to set up the sandbox; a test must not continue without a sandbox.
#[derive(Debug)]
pub enum Error {
    /// `unshare(2)` was refused.
    Unshare(Errno),
    /// A file of the user namespace's mapping could not be written.
    Map(&'static str, std::io::Error),
    /// Something could not be mounted.
    Mount(&'static str, Errno),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALLOW: &str = "allow user namespaces for this user (sysctl user.max_user_namespaces > 0, \
             kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; in a container a \
             seccomp profile that lets unshare through), or run the tests as root";
        match self {
            Self::Unshare(errno) => write!(f, "cannot make a user namespace for the test: {errno}: {ALLOW}"),
            Self::Map(path, source) => write!(f, "cannot write {path} of the test's user namespace: {source}: {ALLOW}"),
            Self::Mount(path, errno) => {
                write!(f, "cannot mount over {path} in the test's mount namespace: {errno}: {ALLOW}")
            }
        }
    }
}
