//! Namespaces that processes alone lead to, beside those with a name.

use std::path::PathBuf;
use std::time::Instant;

use iface_core::{NetnsName, NsFile};

use super::report::unreadable;
use super::{Directories, SWEEP_AFTER, SWEEP_SHARE, SWEEP_WITHIN, cpu_time};
use crate::discovery::faults::Subject;
use crate::discovery::names::{Change, Name, PROCESSES};
use crate::discovery::nsfs::{self, Found, Sight, look};
use crate::discovery::processes::{Processes, Seen, inode};
use crate::{Fault, FaultKind};

impl Directories {
    /// Finds namespaces by their processes in this `/proc`, too.
    pub(crate) fn with_processes(mut self, proc: Option<PathBuf>) -> Self {
        self.processes = proc.map(Processes::new);
        self
    }

    /// The path of a namespace by way of a process.
    pub(super) fn member_path(&self, name: &NetnsName) -> PathBuf {
        let path = self.processes.as_ref().zip(inode_of(name)).map(|(processes, inode)| processes.path(inode));
        path.unwrap_or_default()
    }

    /// Looks at all processes.
    pub(super) fn list_processes(&mut self, changes: &mut Vec<Change>) {
        let Some(processes) = &mut self.processes else { return };
        let seen = processes.read_all();
        processes.rest(Instant::now(), SWEEP_AFTER);
        self.processes_seen(seen, changes);
    }

    /// Looks at some processes, and after the last at their namespaces.
    pub(super) fn read_processes(&mut self, now: Instant, changes: &mut Vec<Change>) {
        let start = cpu_time();
        let Some(processes) = self.processes.as_mut().filter(|processes| processes.due() <= now) else { return };
        if let Some(seen) = processes.read_some() {
            self.processes_seen(seen, changes);
            let Some(processes) = &mut self.processes else { return };
            let cost = processes.spent(cpu_time().saturating_sub(start));
            processes.rest(now, (cost * SWEEP_SHARE).clamp(SWEEP_AFTER, SWEEP_WITHIN));
        } else {
            processes.spend(cpu_time().saturating_sub(start));
        }
    }

    fn processes_seen(&mut self, seen: Seen, changes: &mut Vec<Change>) {
        let name = |inode: u64| (PROCESSES, NetnsName::new(format!("net:[{inode}]")));
        for inode in seen.left {
            self.names.forget(&name(inode), changes);
        }
        for inode in seen.passed_on {
            let name = name(inode);
            match self.names.seen(&name) {
                Some(Sight { cookie: None, .. }) => self.names.forget(&name, changes),
                // The path of the namespace is another process's.
                Some(_) => changes.extend(self.names.named_first(&name).map(|id| Change::Renamed(id, name))),
                None => {}
            }
        }
        for inode in seen.present {
            // A file keeps a namespace longer than its processes do, and says when it ends.
            match nsfs::device().is_some_and(|dev| self.names.has_file(NsFile { dev, inode })) {
                true => self.names.forget(&name(inode), changes),
                false => self.look_at(name(inode), changes),
            }
        }
        self.links_seen = true;
        self.report_processes(seen.fault);
    }

    fn report_processes(&mut self, fault: Option<String>) {
        let subject = Subject::Directory(PROCESSES);
        let Some(error) = fault else { return self.faults.cleared(&subject) };
        let Some(path) = self.processes.as_ref().map(|processes| processes.proc().to_owned()) else { return };
        let fault = Fault { kind: FaultKind::Directory, subject: path.clone(), error: error.clone() };
        if self.faults.noted(subject, fault) {
            self.warnings += 1;
            tracing::warn!(event.name = "netns.processes_failed", path = %path.display(), "{error}");
        }
    }

    /// The namespace that a process is in, if it is still the one of the name.
    pub(super) fn observe_member(&self, name: &Name) -> Option<Sight> {
        match look(&self.path(name), None) {
            Ok(Found::Namespace(sight)) => Some(sight).filter(|sight| inode_of(&name.1) == Some(sight.file.inode)),
            Ok(_) => None,
            // A lack of descriptors proves nothing; the kernel refuses access to a process that has ended.
            Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => {
                self.names.seen(name).filter(|_| unreadable(&error).0 == FaultKind::Namespace)
            }
            Err(_) => None,
        }
    }
}

fn inode_of(name: &NetnsName) -> Option<u64> {
    inode(std::str::from_utf8(name.as_bytes()).ok()?)
}
