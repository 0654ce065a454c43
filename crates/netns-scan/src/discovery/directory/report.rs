//! Faults of directories and names: reason, remedy and log line.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use super::{Directories, Name, Origin};
use crate::discovery::faults::Subject;
use crate::discovery::mounts::{Propagation, propagation};
use crate::{Fault, FaultKind};

/// Left-over files to log one by one at a time.
const LOGGED: usize = 5;

impl Directories {
    pub(super) fn directory_failed(&mut self, index: usize, error: String) {
        let path = self.all[index].path.clone();
        if self.faults.failed(
            Subject::Directory(index),
            Fault { kind: FaultKind::Directory, subject: path.clone(), error: error.clone() },
        ) {
            self.warnings += 1;
            tracing::warn!(event.name = "netns.directory_failed", path = %path.display(), "{error}");
        }
    }

    /// Reports the plain files that have waited too long for their namespaces.
    pub(super) fn report_left_over(&mut self, now: Instant) {
        let late = self.plain.take_late(now);
        // In a directory that was found, a plain file is not a fault; mountinfo tells of a late mount.
        let is_configured = |(directory, _): &Name| self.all[*directory].origin == Origin::Configured;
        let (late, strange): (Vec<Name>, Vec<Name>) = late.into_iter().partition(is_configured);
        strange.iter().for_each(|name| self.plain.remove(name));
        let mut reasons = BTreeMap::new();
        for (count, name) in late.iter().enumerate() {
            let path = &self.all[name.0].path;
            let why = *reasons.entry(name.0).or_insert_with(|| match propagation(path) {
                Ok(Propagation::Volume | Propagation::Private) => {
                    "not followed: a plain file here, and mounts made outside this container never arrive in the \
                     directory: mount it with mountPropagation: HostToContainer"
                }
                _ => "not followed: a plain file, no namespace was mounted over it",
            });
            let fault = Fault { kind: FaultKind::Name, subject: self.path(name), error: why.to_owned() };
            if count < LOGGED {
                tracing::warn!(event.name = "netns.file_refused", path = %fault.subject.display(), "{why}");
            }
            self.warnings += 1;
            self.faults.noted(Subject::Name(name.clone()), fault);
        }
        if late.len() > LOGGED {
            let more = late.len() - LOGGED;
            tracing::warn!(event.name = "netns.file_refused", more, "not followed: {more} more plain files");
        }
    }

    pub(super) fn refuse(&mut self, name: &Name, kind: FaultKind, why: String) {
        if kind == FaultKind::Name && self.all[name.0].origin != Origin::Configured {
            return;
        }
        let path = self.path(name);
        let error = format!("not followed: {why}");
        if self.faults.failed(Subject::Name(name.clone()), Fault { kind, subject: path.clone(), error: error.clone() })
        {
            self.warnings += 1;
            tracing::warn!(event.name = "netns.file_refused", path = %path.display(), "{error}");
        }
    }
}

/// The kind of the fault of a name that cannot be looked at, and the remedy.
pub(super) fn unreadable(error: &io::Error) -> (FaultKind, &'static str) {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => (FaultKind::Namespace, "; raise the limit on open files (ulimit -n)"),
        Some(libc::EACCES | libc::EPERM) => (
            FaultKind::Namespace,
            "; the user must be allowed to read the file (under SELinux: seLinuxOptions.type spc_t)",
        ),
        Some(libc::ENOMEM) => (FaultKind::Namespace, ""),
        _ => (FaultKind::Name, ""),
    }
}
