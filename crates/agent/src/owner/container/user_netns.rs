//! A network namespace that the kernel says is a user's.
//!
//! The owner of a network namespace is the user namespace in which it was made (`network_namespaces(7)`), and the owner
//! of a user namespace is the user who made it (`user_namespaces(7)`): `NS_GET_USERNS` and `NS_GET_OWNER_UID` of
//! `ioctl_nsfs(2)`.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use iface_core::NsFile;

/// The uid that stands for all uids without a mapping into the agent's user namespace, `user_namespaces(7)`.
const OVERFLOW: &str = "/proc/sys/kernel/overflowuid";

/// A network namespace of a user, with a process inside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserNetns {
    file: NsFile,
    process: PathBuf,
    uid: u32,
}

impl UserNetns {
    /// The namespace of a process, such as `/proc/77`, if the namespace is the user's.
    ///
    /// The namespace stays open for the time of the call, so file and owner are of the same namespace.
    pub fn of(process: PathBuf, uid: u32) -> Option<Self> {
        let netns = File::open(process.join("ns/net")).ok()?;
        let owner = ioctl::owner(netns.as_fd())?;
        let metadata = netns.metadata().ok()?;
        let file = NsFile { dev: metadata.dev(), inode: metadata.ino() };
        (owner == uid && is_mapped(uid)).then_some(Self { file, process, uid })
    }

    /// The file of the namespace.
    #[must_use]
    pub fn file(&self) -> NsFile {
        self.file
    }

    /// Whether the process is in the namespace still: the kernel gives the inode of an ended namespace to the next one.
    pub(in crate::owner) fn is_current(&self) -> bool {
        Self::of(self.process.clone(), self.uid).as_ref() == Some(self)
    }

    /// A namespace without a process, for tests.
    #[cfg(test)]
    pub(in crate::owner) fn fake(file: NsFile) -> Self {
        Self { file, process: "/nowhere".into(), uid: 1000 }
    }
}

fn is_mapped(uid: u32) -> bool {
    let overflow = fs::read_to_string(OVERFLOW).ok().and_then(|text| text.trim().parse().ok());
    uid != overflow.unwrap_or(65_534)
}

/// Requests of `ioctl_nsfs(2)`, `linux/nsfs.h`.
#[allow(unsafe_code, reason = "no crate wraps these requests")]
mod ioctl {
    use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

    nix::ioctl_none!(ns_get_userns, 0xb7, 1);
    nix::ioctl_read_bad!(ns_get_owner_uid, nix::request_code_none!(0xb7, 4), u32);

    /// The uid of the user namespace that owns a namespace. The kernel refuses user namespaces that are neither the
    /// agent's nor below.
    pub(super) fn owner(namespace: BorrowedFd<'_>) -> Option<u32> {
        // SAFETY: the descriptor is open for the time of the call, and NS_GET_USERNS takes no pointer.
        let userns = unsafe { ns_get_userns(namespace.as_raw_fd()) }.ok()?;
        // SAFETY: NS_GET_USERNS returns a new descriptor, which nothing else owns.
        let userns = unsafe { OwnedFd::from_raw_fd(userns) };
        let mut uid = 0;
        // SAFETY: the descriptor is open, and NS_GET_OWNER_UID writes the uid_t behind the pointer.
        unsafe { ns_get_owner_uid(userns.as_raw_fd(), &raw mut uid) }.ok()?;
        Some(uid)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Neither a plain file nor a namespace of another type has an owner that proves anything.
    #[test]
    fn only_namespaces_have_owners() {
        let process = tempfile::tempdir().unwrap();
        fs::create_dir(process.path().join("ns")).unwrap();
        let netns = process.path().join("ns/net");
        fs::write(&netns, "").unwrap();
        let own = fs::metadata(process.path()).unwrap().uid();
        assert_eq!(UserNetns::of(process.path().into(), own), None);
        fs::remove_file(&netns).unwrap();
        symlink("/nowhere", &netns).unwrap();
        assert_eq!(UserNetns::of(process.path().into(), own), None);
    }

    /// All users without a mapping have this uid.
    #[test]
    fn unmapped_users_are_nobody() {
        let overflow = fs::read_to_string(OVERFLOW).unwrap().trim().parse().unwrap();
        assert!(!is_mapped(overflow) && is_mapped(0) && is_mapped(1000));
    }
}
