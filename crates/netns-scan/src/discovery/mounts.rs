use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

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
    fn a_missing_directory_is_an_error() {
        assert!(propagation(Path::new("/")).is_ok());
        assert_eq!(propagation(Path::new("/nowhere")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
