//! Peers of the host's veths in namespaces that no name leads to, for engines that follow names only. Pure.

use std::time::{Duration, Instant};

use crate::{Fault, FaultKind};

/// Time from a change to the count: the host end of a new pod is there before the pod's namespace is followed.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);

/// One fault for all namespaces without a name: where nothing can be done, one per pod would hide the rest.
#[derive(Debug, Default)]
pub(super) struct NamelessPeers {
    /// Ends without a known peer at the last count.
    last: usize,
    /// Ends without a known peer at the last two counts.
    lasting: usize,
    due: Option<Instant>,
    fault: Option<Fault>,
    changed: bool,
}

impl NamelessPeers {
    /// Notes that links have changed.
    pub(super) fn links_changed(&mut self, now: Instant) {
        self.due.get_or_insert(now + SETTLES_WITHIN);
    }

    /// Time of the next count.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Takes in the count after the first scan.
    pub(super) fn scanned(&mut self, ends: usize) {
        self.last = ends;
        self.set(ends);
    }

    /// Takes in the count at a deadline. Only ends that were there at the previous count are reported.
    pub(super) fn counted(&mut self, ends: usize, now: Instant) {
        let lasting = ends.min(self.last);
        self.due = (ends != lasting).then_some(now + SETTLES_WITHIN);
        self.last = ends;
        self.set(lasting);
    }

    fn set(&mut self, lasting: usize) {
        if std::mem::replace(&mut self.lasting, lasting) == lasting {
            return;
        }
        self.changed = true;
        self.fault = (lasting > 0).then(|| Fault {
            kind: FaultKind::Unnamed,
            subject: "network namespaces without a name".into(),
            error: format!(
                "the peers of {lasting} of the host's veths are in network namespaces that no name leads to, and this \
                 engine follows names and processes only; use the nsid engine (it needs NET_ADMIN and NET_BROADCAST), \
                 follow their processes with --proc /proc (it needs SYS_PTRACE), or leave such namespaces out with \
                 --find-unnamed false"
            ),
        });
    }

    /// The fault, if any.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Whether [`fault`](Self::fault) differs since the last call of this method.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pod that is being started is no fault, and many pods are one.
    #[test]
    fn lasting_ends_are_one_fault() {
        let mut peers = NamelessPeers::default();
        let start = Instant::now();
        peers.links_changed(start);
        let first = peers.deadline().unwrap();
        peers.counted(2, first);
        assert!(peers.fault().is_none() && !peers.take_changed());
        let second = peers.deadline().unwrap();
        peers.counted(3, second);
        assert!(peers.fault().unwrap().error.contains("peers of 2 of"));
        let third = peers.deadline().unwrap();
        peers.counted(3, third);
        assert!(peers.take_changed() && peers.fault().unwrap().error.contains("peers of 3 of"));
        assert_eq!(peers.deadline(), None);
        peers.counted(0, third);
        assert!(peers.take_changed() && peers.fault().is_none() && peers.deadline().is_none());
    }

    /// The first scan has opened every name.
    #[test]
    fn a_first_scan_is_certain() {
        let mut peers = NamelessPeers::default();
        peers.scanned(1);
        assert!(peers.take_changed() && peers.fault().is_some());
    }
}
