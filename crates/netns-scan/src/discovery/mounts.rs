use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Whether namespaces that somebody mounts elsewhere, such as a container runtime on the node, arrive
/// in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They do: its mount is shared, or a slave of one that is.
    Arrive,
    /// They never do: it is a private bind mount, as a container's volume is without propagation.
    Volume,
    /// They do not, but it is no volume: whoever makes namespaces here makes them right here.
    Private,
}

/// How mounts made elsewhere reach a directory (`proc_pid_mountinfo(5)`).
///
/// # Errors
///
/// When the directory is not there, or `/proc` does not tell which mount it is on.
pub fn propagation(directory: &Path) -> io::Result<Propagation> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(directory)?;
    // Asked by number: on one path there may be several mounts, below others that cover them.
    let info = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    let table = fs::read_to_string("/proc/thread-self/mountinfo")?;
    number.and_then(|number| of_mount(number.trim(), &table)).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn of_mount(number: &str, mountinfo: &str) -> Option<Propagation> {
    let mut fields =
        mountinfo.lines().map(|line| line.split(' ')).find(|fields| fields.clone().next() == Some(number))?;
    // Number, parent, device, the directory of its file system that is mounted, where, options, tags.
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
    fn mounts_arrive_through_a_shared_or_slave_mount_and_never_in_a_private_volume() {
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
    fn a_directory_that_is_not_there_is_an_error() {
        assert!(propagation(Path::new("/")).is_ok());
        assert_eq!(propagation(Path::new("/nowhere")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
