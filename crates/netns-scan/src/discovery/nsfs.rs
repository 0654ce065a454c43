use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statfs::{FsType, statfs};

/// `NSFS_MAGIC`, `linux/magic.h`.
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

/// The calling thread's own namespace, which is the node's in a pod with `hostNetwork`.
///
/// `/proc/1/ns/net` need not be that: with `hostPID` alone it is the machine's.
pub(crate) const OWN: &str = "/proc/thread-self/ns/net";

/// The (device, inode) of a namespace's nsfs file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NsFile {
    pub(crate) dev: u64,
    pub(crate) inode: u64,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A namespace.
    Namespace(NsFile),
    /// A plain file: a namespace may still be mounted over it.
    PlainFile,
    /// Something no namespace is mounted over.
    SomethingElse,
}

/// Looks at a path without keeping what it finds open.
pub(crate) fn look(path: &Path) -> io::Result<Found> {
    let metadata = path.metadata()?;
    Ok(if statfs(path)?.filesystem_type() == NSFS_MAGIC {
        Found::Namespace(NsFile { dev: metadata.dev(), inode: metadata.ino() })
    } else if metadata.is_file() {
        Found::PlainFile
    } else {
        Found::SomethingElse
    })
}

/// Opens the namespace that a path leads to, if it is still this one. The namespace lives at
/// least as long as the file is open: keep it as short as can be.
pub(crate) fn open(path: &Path, expected: NsFile) -> io::Result<File> {
    let file = File::open(path)?;
    match identify(&file)? {
        found if found == expected => Ok(file),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "it is not the namespace that had the name before")),
    }
}

/// The namespace an open file is, if it is one: nsfs is one device, and no other file has its number.
pub(crate) fn identify(file: &File) -> io::Result<NsFile> {
    let metadata = file.metadata()?;
    Ok(NsFile { dev: metadata.dev(), inode: metadata.ino() })
}
