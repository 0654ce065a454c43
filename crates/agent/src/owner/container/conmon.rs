//! Reads a process of conmon(8), the parent of a container's first process, from `/proc/PID`.
//!
//! podman passes id and name of the container in the command line (`libpod/oci_conmon_common.go`). Everything here is
//! the text of a user.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Size limit of a file, bytes; the command line of conmon has a few thousand.
const MAX_FILE: u64 = 64 << 10;

/// Most children of a conmon to look at; a container has one first process.
const MAX_CHILDREN: usize = 16;

/// Length of a container's id, hexadecimal digits.
const ID: usize = 64;

/// A conmon, with what its command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conmon {
    /// Uid of the process.
    pub(super) uid: u32,
    /// Start in clock ticks since boot.
    pub(super) started: u64,
    /// Id of the container.
    pub(super) id: String,
    /// Name of the container.
    pub(super) name: String,
}

/// Whether a process calls itself conmon; `None` for a process that has ended.
pub(super) fn is_conmon(process: &Path) -> Option<bool> {
    Some(read(&process.join("comm"))? == b"conmon\n")
}

/// The uid of a process; `None` where real, effective, saved and file system uid differ.
pub(super) fn uid(process: &Path) -> Option<u32> {
    let status = String::from_utf8(read(&process.join("status"))?).ok()?;
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let mut uids = uids.split_whitespace().map(str::parse::<u32>);
    let real = uids.next()?.ok()?;
    uids.all(|uid| uid == Ok(real)).then_some(real)
}

impl Conmon {
    /// Reads the process of a user.
    pub(super) fn read(process: &Path, uid: u32) -> Option<Self> {
        let words = read(&process.join("cmdline"))?;
        let mut words = words.split(|byte| *byte == 0).map(|word| std::str::from_utf8(word).unwrap_or_default());
        let (mut id, mut name) = (None, None);
        while let Some(word) = words.next() {
            match word {
                "-c" if id.is_none() => id = words.next().filter(|id| is_id(id)),
                "-n" if name.is_none() => name = words.next().filter(|name| is_name(name)),
                _ => {}
            }
        }
        Some(Self { uid, started: started(process)?, id: id?.to_owned(), name: name?.to_owned() })
    }
}

/// The processes of the container: the children of conmon, and the only ones that another conmon has not.
pub(super) fn children(process: &Path) -> Vec<PathBuf> {
    let Some((proc, pid)) = process.parent().zip(process.file_name()) else { return Vec::new() };
    let children = read(&process.join("task").join(pid).join("children")).unwrap_or_default();
    let children = String::from_utf8(children).unwrap_or_default();
    let pids = children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok());
    pids.take(MAX_CHILDREN).map(|pid| proc.join(pid.to_string())).collect()
}

/// `starttime` of `proc_pid_stat(5)`. The second field, the name of the program, may contain anything.
fn started(process: &Path) -> Option<u64> {
    let stat = read(&process.join("stat"))?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(&stat[after_name + 1..]).ok()?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

fn is_id(id: &str) -> bool {
    id.len() == ID && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The names that podman gives and accepts (`define.NameRegex`).
fn is_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=255).contains(&name.len())
        && name.bytes().all(is_inner)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Reads a file of a process; too large ones not at all.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path).ok()?.take(MAX_FILE + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 <= MAX_FILE).then_some(content)
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;

    pub(in crate::owner::container) const WEB: &str =
        "5d1f0e6b7c8a5d1f0e6b7c8a5d1f0e6b7c8a5d1f0e6b7c8a5d1f0e6b7c8a1234";

    /// Makes a process with these words in its command line.
    pub(in crate::owner::container) fn make(proc: &Path, pid: u32, comm: &str, uid: u32, words: &[&str]) -> PathBuf {
        let process = proc.join(pid.to_string());
        fs::create_dir_all(process.join("task").join(pid.to_string())).unwrap();
        fs::write(process.join("comm"), format!("{comm}\n")).unwrap();
        fs::write(process.join("status"), format!("Name:\t{comm}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")).unwrap();
        let zeros = "0 ".repeat(18);
        fs::write(process.join("stat"), format!("{pid} (a) b) S {zeros}{}\n", 1000 + pid)).unwrap();
        fs::write(process.join("cmdline"), words.join("\0") + "\0").unwrap();
        process
    }

    pub(in crate::owner::container) fn set_children(process: &Path, children: &str) {
        fs::write(process.join("task").join(process.file_name().unwrap()).join("children"), children).unwrap();
    }

    #[test]
    fn command_line_names_the_container() {
        let proc = tempfile::tempdir().unwrap();
        let words = ["/usr/bin/conmon", "--api-version", "1", "-c", WEB, "-u", WEB, "-n", "web", "-n", "late"];
        let process = make(proc.path(), 7, "conmon", 1000, &words);
        let conmon = Conmon { uid: 1000, started: 1007, id: WEB.into(), name: "web".into() };
        assert_eq!((is_conmon(&process), uid(&process)), (Some(true), Some(1000)));
        assert_eq!(Conmon::read(&process, 1000), Some(conmon));
        set_children(&process, "9 x 10 ");
        assert_eq!(children(&process), [proc.path().join("9"), proc.path().join("10")]);
        let other = make(proc.path(), 8, "conmon2", 1000, &words);
        assert_eq!((is_conmon(&other), is_conmon(&proc.path().join("1"))), (Some(false), None));
    }

    #[test]
    fn hostile_command_lines_are_refused() {
        let proc = tempfile::tempdir().unwrap();
        let large = "x".repeat(MAX_FILE as usize);
        for words in [
            &["conmon"][..],
            &["conmon", "-c", WEB, "-n"],
            &["conmon", "-c", WEB],
            &["conmon", "-n", "web"],
            &["conmon", "-c", "0a1b2c", "-n", "web"],
            &["conmon", "-c", &WEB.to_uppercase(), "-n", "web"],
            &["conmon", "-c", WEB, "-n", ""],
            &["conmon", "-c", WEB, "-n", "-web"],
            &["conmon", "-c", WEB, "-n", "shop/web"],
            &["conmon", "-c", WEB, "-n", "a\nb"],
            &["conmon", "-c", WEB, "-n", &large[..256]],
            &["conmon", "-c", WEB, "-n", "web", &large],
        ] {
            assert_eq!(Conmon::read(&make(proc.path(), 7, "conmon", 1000, words), 1000), None, "{words:?}");
        }
    }

    /// A process that is about to change its user is nobody's.
    #[test]
    fn differing_uids_are_no_user() {
        let proc = tempfile::tempdir().unwrap();
        let process = make(proc.path(), 7, "conmon", 1000, &[]);
        for uids in ["1000 0 0 0", "1000 1000 1000 0", "x", ""] {
            fs::write(process.join("status"), format!("Uid:\t{uids}\n")).unwrap();
            assert_eq!(uid(&process), None, "{uids}");
        }
    }
}
