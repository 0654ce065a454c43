//! Processes inside a network namespace, for people who look for what keeps the namespace.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use iface_core::NsFile;

use crate::printable::Printable;

/// Most processes to name in a text.
const NAMED: usize = 3;

/// Processes inside a namespace, in the order of their PIDs. Displays as the first few of them.
///
/// Only processes of the agent's own PID namespace are visible (`hostPID`), and only those that the agent may trace
/// (`ptrace(2)`: root for processes of the node, CAP_SYS_PTRACE in a pod).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holders(Vec<Holder>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    pid: u32,
    command: String,
}

impl Holders {
    /// Looks at every process below `proc`, usually `/proc`; none is found for a namespace without a known file.
    pub(crate) fn find(proc: &Path, netns: Option<NsFile>) -> Self {
        let Some(NsFile { dev, inode }) = netns else { return Self::default() };
        let entries = fs::read_dir(proc).into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_inside = |pid: &u32| {
            let inside = fs::metadata(proc.join(format!("{pid}/ns/net")));
            inside.is_ok_and(|inside| (inside.dev(), inside.ino()) == (dev, inode))
        };
        let holder = |pid| {
            let command = fs::read(proc.join(format!("{pid}/comm"))).unwrap_or_default();
            Holder { pid, command: String::from_utf8_lossy(&command).trim_end().to_owned() }
        };
        let mut holders: Vec<_> = pids.filter(is_inside).map(holder).collect();
        holders.sort_by_key(|holder| holder.pid);
        Self(holders)
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Holder { pid, command }) in self.0.iter().take(NAMED).enumerate() {
            let before = if at == 0 { "held by " } else { ", " };
            write!(f, "{before}{pid} ({})", Printable(command))?;
        }
        match self.0.len() {
            0 => f.write_str("no process inside is visible"),
            all if all > NAMED => write!(f, " and {} more", all - NAMED),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> NsFile {
        let own = fs::metadata("/proc/self/ns/net").unwrap();
        NsFile { dev: own.dev(), inode: own.ino() }
    }

    /// The test itself is inside its own namespace.
    #[test]
    fn processes_inside_are_found() {
        let inside = Holders::find(Path::new("/proc"), Some(own()));
        assert!(inside.0.iter().any(|holder| holder.pid == std::process::id()), "{inside:?}");
        let other = NsFile { inode: 1, ..own() };
        assert_eq!(Holders::find(Path::new("/proc"), Some(other)), Holders::default());
        assert_eq!(Holders::find(Path::new("/nowhere"), Some(own())).to_string(), "no process inside is visible");
    }

    #[test]
    fn first_holders_are_named() {
        let holders = |number: u32| {
            Holders((1..=number).map(|pid| Holder { pid, command: "a\u{1b}b".into() }).collect()).to_string()
        };
        assert_eq!(holders(1).matches("held by").count(), 1);
        assert!(holders(3).ends_with(')') && holders(5).ends_with(" and 2 more"), "{}", holders(5));
        assert!(!holders(2).contains('\u{1b}'), "{}", holders(2));
    }
}
