//! Namespaces to follow, with a name or without, and those that cannot be followed.

use std::collections::BTreeSet;
use std::time::Instant;

use iface_core::{Netns, NetnsId, Place};

use super::{SLICE, Scanner};
use crate::discovery::nsfs;
use crate::engine::learned::ListError;
use crate::engine::{Opened, Wanted};
use crate::{EngineKind, Fault, FaultKind};

impl Scanner {
    pub(super) fn open_some(&mut self) {
        let slice = self.roster.next_to_open(SLICE);
        let mut wanted = Vec::with_capacity(slice.len());
        for id in slice {
            // The host's namespace, and every namespace whose last listing failed, is open already.
            if self.state.place(id).is_some() {
                self.list(id);
                continue;
            }
            let Some(one) = self.wanted(id) else { continue };
            if self.kind == EngineKind::Own {
                self.unreachable(id);
                continue;
            }
            self.directories.netns(id).into_iter().for_each(|netns| self.state.open(netns));
            wanted.push(one);
        }
        if wanted.is_empty() {
            return;
        }
        let mut opened: BTreeSet<NetnsId> = wanted.iter().map(|wanted| wanted.id).collect();
        let Opened { learned, failed, known } = self.engine.open(wanted, &self.state);
        self.learn(learned);
        for (id, known) in known {
            opened.remove(&id);
            self.name_found(id, known);
        }
        for (wanted, error) in failed {
            opened.remove(&wanted.id);
            self.state.close(wanted.id);
            self.open_failed(wanted, &error);
        }
        opened.into_iter().for_each(|id| self.roster.followed(id));
    }

    /// A namespace that was followed without a name has got one: its interfaces are renamed.
    fn name_found(&mut self, id: NetnsId, known: NetnsId) {
        self.state.close(id);
        self.roster.remove(id);
        self.unnamed.remove(known);
        self.directories.names_mut().adopt(id, known);
        self.directories.netns(known).into_iter().for_each(|netns| self.state.open(netns));
    }

    /// Follows namespaces that no name leads to, once every known name has its namespace.
    pub(super) fn open_unnamed(&mut self) {
        if !self.roster.is_idle() {
            return;
        }
        let mut wanted = Vec::new();
        for nsid in self.unnamed.take_due(self.names_read, SLICE) {
            if !self.engine.follows(nsid) {
                let id = self.directories.names_mut().new_id();
                self.state.open(Netns::new(id, Place::Nsid(nsid)));
                self.unnamed.followed(id, nsid);
                wanted.push((id, nsid));
            }
        }
        if wanted.is_empty() {
            return;
        }
        let (learned, failed) = self.engine.open_unnamed(wanted, &self.state);
        self.learn(learned);
        for (id, error) in failed {
            // Usually the namespace is being destroyed: the kernel releases the nsid later.
            tracing::debug!(
                event.name = "netns.unnamed_gone",
                netns = id.0,
                "a namespace without a name is gone: {error}"
            );
            self.unnamed.remove(id);
            self.state.close(id);
        }
    }

    pub(super) fn open_failed(&mut self, wanted: Wanted, error: &ListError) {
        // The name leads elsewhere by now, or nowhere: looking again tells.
        if !nsfs::look(&wanted.path, None).is_ok_and(|found| found.is(wanted.file)) {
            let names = self.directories.names().all(wanted.id);
            let changes = self.directories.reopen(names);
            self.name_changes(changes);
            return;
        }
        let what_to_do = match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => "; raise the limit on open files (ulimit -n), or use the nsid engine",
            Some(libc::EPERM | libc::EACCES) => {
                "; the agent needs CAP_NET_ADMIN and CAP_NET_BROADCAST, or CAP_SYS_ADMIN"
            }
            _ => "",
        };
        let error_text = format!("cannot follow it: {error}{what_to_do}");
        self.try_again(wanted.id, Fault { kind: error.kind(), error: error_text, subject: wanted.path });
    }

    /// Records a fault and schedules the next attempt. A repeated fault is logged once.
    pub(super) fn try_again(&mut self, id: NetnsId, fault: Fault) {
        let Fault { subject, error, .. } = fault.clone();
        if self.roster.failed(id, fault, Instant::now()) {
            tracing::warn!(event.name = "netns.unseen", path = %subject.display(), "{error}; it is tried again");
        }
    }

    /// Without an engine that reaches the namespace, another attempt fails the same way.
    fn unreachable(&mut self, id: NetnsId) {
        if let Some(name) = self.directories.names().primary(id) {
            let error = "no engine reaches it with the privileges there are".to_owned();
            self.roster
                .unreachable(id, Fault { kind: FaultKind::Namespace, subject: self.directories.path(name), error });
        }
    }

    /// A namespace without a name cannot be listed, or only in part.
    pub(super) fn unnamed_failed(&mut self, id: NetnsId, nsid: i32, error: &ListError) {
        if let ListError::CutShort = error {
            let (subject, error) = (Place::Nsid(nsid).to_string().into(), format!("cannot follow it: {error}"));
            return self.try_again(id, Fault { kind: FaultKind::Incomplete, subject, error });
        }
        // The namespace is being destroyed; otherwise its nsid is found again.
        self.unnamed.remove(id);
        self.end_or_outlive(id);
    }
}
