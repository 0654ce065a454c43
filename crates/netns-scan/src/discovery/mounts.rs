//! Mounts of nsfs and their propagation, from `/proc/self/mountinfo`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Effect of mounts made elsewhere, such as by a container runtime on the node, on a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Mounts arrive: the mount of the directory is shared, or a slave of a shared mount.
    Arrive,
    /// Mounts never arrive: the directory is a private bind mount, as a container's volume without propagation.
    Volume,
    /// Mounts do not arrive, but the directory is not a volume either: namespaces are made in this mount namespace.
    Private,
}

/// Returns the effect of mounts made elsewhere on a directory (`proc_pid_mountinfo(5)`).
///
/// # Errors
///
/// When the directory is missing, or `/proc` does not name the mount of the directory.
pub fn propagation(directory: &Path) -> io::Result<Propagation> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(directory)?;
    // Looked up by id: a path can have several mounts, all covered but the last.
    let info = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    let table = fs::read_to_string("/proc/thread-self/mountinfo")?;
    number.and_then(|number| of_mount(number.trim(), &table)).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn of_mount(number: &str, mountinfo: &str) -> Option<Propagation> {
    let mut fields =
        mountinfo.lines().map(|line| line.split(' ')).find(|fields| fields.clone().next() == Some(number))?;
    // Mount id, parent, device, root within the file system, mount point, options, tags.
    let root = fields.nth(3)?;
    let mut tags = fields.skip(2).take_while(|tag| *tag != "-");
    Some(if tags.any(|tag| tag.starts_with("shared:") || tag.starts_with("master:")) {
        Propagation::Arrive
    } else if root == "/" {
        Propagation::Private
    } else {
        Propagation::Volume
    })
}

/// The directories in which network namespaces are mounted, from `/proc/self/mountinfo`.
///
/// # Errors
///
/// When the table of mounts cannot be read.
pub fn mounted_directories() -> io::Result<BTreeSet<PathBuf>> {
    let table = fs::read("/proc/self/mountinfo")?;
    Ok(namespaces(&table).filter_map(|path| path.parent().map(ToOwned::to_owned)).collect())
}

/// The paths at which network namespaces are mounted, from the text of `/proc/PID/mountinfo`.
pub(super) fn namespaces(mountinfo: &[u8]) -> impl Iterator<Item = PathBuf> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ').skip(3);
        let (root, path) = (fields.next()?, fields.next()?);
        root.starts_with(b"net:[").then(|| PathBuf::from(OsString::from_vec(unescaped(path))))
    })
}

/// A path of `mountinfo`, in which white space and backslashes are written as three octal digits.
fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = &after[3..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
        25 30 0:23 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n\
        42 25 0:23 /netns /run/netns rw - tmpfs tmpfs rw\n\
        43 25 0:23 /netns /run/netns ro master:5 propagate_from:2 - tmpfs tmpfs rw\n\
        250 30 0:24 / /run rw - tmpfs shared:1 rw\n";

    #[test]
    fn shared_and_slave_mounts_arrive() {
        for (number, expected) in [
            ("25", Some(Propagation::Arrive)),
            ("42", Some(Propagation::Volume)),
            ("43", Some(Propagation::Arrive)),
            ("250", Some(Propagation::Private)),
            ("2", None),
        ] {
            assert_eq!(of_mount(number, TABLE), expected, "{number}");
        }
    }

    #[test]
    fn mounted_namespaces_are_listed() {
        let table = b"370 25 0:4 net:[4026532189] /run/docker/netns/f9fb rw shared:5 - nsfs nsfs rw\n\
            371 25 0:4 net:[4026532190] /run/a\\040b/c\\134 rw - nsfs nsfs rw\n\
            372 25 0:4 mnt:[4026532191] /run/snapd/ns/x.mnt rw - nsfs nsfs rw\n\
            25 30 0:23 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n\n";
        let paths: Vec<_> = namespaces(table).collect();
        assert_eq!(paths, [Path::new("/run/docker/netns/f9fb"), Path::new("/run/a b/c\\")]);
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        assert!(propagation(Path::new("/")).is_ok());
        assert_eq!(propagation(Path::new("/nowhere")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
