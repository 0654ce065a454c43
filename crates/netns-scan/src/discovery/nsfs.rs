//! Identity of a namespace: its nsfs file, mount and cookie.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::LazyLock;

use iface_core::NsFile;
use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxFlags, makedev, statx};

/// Device of nsfs: the kernel mounts nsfs once, so a file on another device is not a namespace.
static NSFS: LazyLock<Option<u64>> = LazyLock::new(|| Path::new(OWN).metadata().ok().map(|own| own.dev()));

/// `STATX_MNT_ID_UNIQUE`, Linux 6.8: ids of mounts that are not reused until reboot. Older kernels
/// ignore the bit.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// The calling thread's own namespace, which is the node's in a pod with `hostNetwork`.
///
/// `/proc/1/ns/net` can be another namespace: with `hostPID` alone, the path leads to the machine's.
pub(crate) const OWN: &str = "/proc/thread-self/ns/net";

/// A namespace behind a path at one time.
///
/// The kernel hands out the lowest free inode, so a namespace that is made again under its name
/// often has the inode of its predecessor. Cookie and mount tell the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) file: NsFile,
    /// `NS_GET_ID`, Linux 6.18.
    pub(crate) cookie: Option<NonZeroU64>,
    /// Mount through which the path leads; 0 where the kernel tells no mount.
    pub(crate) mount: u64,
}

impl Sight {
    /// Whether two sights of one name are sights of one namespace.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_one_mount = self.cookie.is_some() || self.mount == other.mount;
        self.file == other.file && self.cookie == other.cookie && is_one_mount
    }
}

/// The target of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A network namespace.
    Namespace(Sight),
    /// A namespace of another type, such as `uts`.
    OtherNamespace(&'static str),
    /// A plain file: a namespace may still be mounted over the file.
    PlainFile,
    /// A file over which no namespace can be mounted.
    SomethingElse,
}

impl Found {
    /// Whether the target is the namespace with this file.
    pub(crate) fn is(&self, file: NsFile) -> bool {
        matches!(self, Self::Namespace(sight) if sight.file == file)
    }
}

/// Looks at a path and keeps nothing open.
///
/// A namespace is opened for a moment unless its mount is the one of the sight `known`.
pub(crate) fn look(path: &Path, known: Option<Sight>) -> io::Result<Found> {
    let flags = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::MNT_ID | MNT_ID_UNIQUE;
    let found = statx(CWD, path, AtFlags::empty(), flags)?;
    let (file, mount) = (file_of(&found), found.stx_mnt_id);
    if FileType::from_raw_mode(found.stx_mode.into()) != FileType::RegularFile {
        return Ok(Found::SomethingElse);
    }
    if !NSFS.is_some_and(|nsfs| nsfs == file.dev) {
        return Ok(Found::PlainFile);
    }
    if let Some(known) = known.filter(|known| known.file == file && known.mount == mount && mount != 0) {
        return Ok(Found::Namespace(known));
    }
    // Non-blocking, as a pipe can have taken the place of the file.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let kind = ioctl::kind(opened.as_fd()).unwrap_or(libc::CLONE_NEWNET);
    if kind != libc::CLONE_NEWNET {
        return Ok(Found::OtherNamespace(name_of(kind)));
    }
    let found = statx(&opened, "", AtFlags::EMPTY_PATH, flags)?;
    Ok(Found::Namespace(Sight {
        file: file_of(&found),
        cookie: ioctl::cookie(opened.as_fd()),
        mount: found.stx_mnt_id,
    }))
}

/// The device of all namespaces' files.
pub(crate) fn device() -> Option<u64> {
    *NSFS
}

/// Opens the namespace that a path leads to, if the namespace is still the expected one. The
/// namespace lives at least as long as the file is open: keep the time short.
pub(crate) fn open(path: &Path, expected: NsFile) -> io::Result<File> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    match (NsFile { dev: metadata.dev(), inode: metadata.ino() }) {
        found if found == expected => Ok(file),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "another namespace has the name now")),
    }
}

fn file_of(found: &Statx) -> NsFile {
    NsFile { dev: makedev(found.stx_dev_major, found.stx_dev_minor), inode: found.stx_ino }
}

/// The name of a type of namespaces, as in `/proc/PID/ns`.
fn name_of(kind: libc::c_int) -> &'static str {
    const CLONE_NEWTIME: libc::c_int = 0x80;
    match kind {
        libc::CLONE_NEWUTS => "uts",
        libc::CLONE_NEWIPC => "ipc",
        libc::CLONE_NEWNS => "mnt",
        libc::CLONE_NEWPID => "pid",
        libc::CLONE_NEWUSER => "user",
        libc::CLONE_NEWCGROUP => "cgroup",
        CLONE_NEWTIME => "time",
        _ => "unknown",
    }
}

/// Requests of `ioctl_nsfs(2)`, `linux/nsfs.h`.
#[allow(unsafe_code, reason = "no crate wraps these requests")]
mod ioctl {
    use std::num::NonZeroU64;
    use std::os::fd::{AsRawFd, BorrowedFd};

    use nix::libc::c_int;

    nix::ioctl_none!(ns_get_nstype, 0xb7, 3);
    nix::ioctl_read!(ns_get_id, 0xb7, 13, u64);

    /// The type of a namespace as a flag of `clone(2)`.
    pub(super) fn kind(namespace: BorrowedFd<'_>) -> Option<c_int> {
        // SAFETY: the descriptor is open for the time of the call, and NS_GET_NSTYPE takes no pointer.
        unsafe { ns_get_nstype(namespace.as_raw_fd()) }.ok()
    }

    /// The id of a namespace; for a network namespace the same as `SO_NETNS_COOKIE` of its sockets.
    pub(super) fn cookie(namespace: BorrowedFd<'_>) -> Option<NonZeroU64> {
        let mut id = 0;
        // SAFETY: the descriptor is open for the time of the call, and NS_GET_ID writes the u64 behind the pointer.
        unsafe { ns_get_id(namespace.as_raw_fd(), &raw mut id) }.ok()?;
        NonZeroU64::new(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mount of a known sight saves the second look; the answer is the same.
    #[test]
    fn own_namespace_is_identified() {
        let Found::Namespace(sight) = look(Path::new(OWN), None).unwrap() else { panic!("not a namespace") };
        let metadata = Path::new(OWN).metadata().unwrap();
        assert_eq!(sight.file, NsFile { dev: metadata.dev(), inode: metadata.ino() });
        assert_eq!(look(Path::new(OWN), Some(sight)).unwrap(), Found::Namespace(sight));
    }

    #[test]
    fn other_files_are_told_apart() {
        let look = |path: &str| look(Path::new(path), None).unwrap();
        assert_eq!(look("/proc/thread-self/ns/uts"), Found::OtherNamespace("uts"));
        assert_eq!(look("/proc/self/exe"), Found::PlainFile);
        assert_eq!(look("/proc"), Found::SomethingElse);
    }
}
