//! Namespaces without a name: nsids that may belong to one, and those that are followed. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use iface_core::NetnsId;

/// Time until a namespace that lost its last name, and lives on, is followed without a name: the kernel
/// destroys a namespace some milliseconds after its name is gone.
const OUTLIVED: Duration = Duration::from_millis(500);

/// Namespaces without a name.
///
/// An nsid is followed only after the names have been read since the nsid was found: a runtime names a
/// namespace before it makes the veth that gives the namespace an nsid, so the name is known by then.
#[derive(Debug, Default)]
pub(super) struct Unnamed {
    /// Nsids without a followed namespace, and the time that the names must have been read at.
    candidates: BTreeMap<i32, Instant>,
    followed: BTreeMap<NetnsId, i32>,
}

impl Unnamed {
    /// Adds nsids that no followed namespace has.
    pub(super) fn found(&mut self, nsids: impl IntoIterator<Item = i32>, now: Instant) {
        self.candidates.extend(nsids.into_iter().map(|nsid| (nsid, now)));
    }

    /// Adds the nsid of a namespace that has lost its last name.
    pub(super) fn outlived(&mut self, nsid: i32, now: Instant) {
        self.candidates.insert(nsid, now + OUTLIVED);
    }

    /// Takes nsids found before the names were read, at most `most`.
    pub(super) fn take_due(&mut self, names_read: Instant, most: usize) -> Vec<i32> {
        let due = self.candidates.iter().filter(|(_, found)| **found <= names_read).map(|(nsid, _)| *nsid);
        let due: Vec<i32> = due.take(most).collect();
        due.iter().for_each(|nsid| _ = self.candidates.remove(nsid));
        due
    }

    /// Time at which the names are to be read for the next nsid.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.candidates.values().min().copied()
    }

    /// Whether an nsid waits for nothing but the names.
    pub(super) fn is_searching(&self, now: Instant) -> bool {
        self.candidates.values().any(|found| *found <= now)
    }

    /// Records that a namespace is followed by its nsid.
    pub(super) fn followed(&mut self, id: NetnsId, nsid: i32) {
        self.followed.insert(id, nsid);
    }

    /// The nsid of a namespace that is followed without a name.
    pub(super) fn nsid(&self, id: NetnsId) -> Option<i32> {
        self.followed.get(&id).copied()
    }

    /// Forgets a namespace that died or got a name; returns whether the namespace had none before.
    pub(super) fn remove(&mut self, id: NetnsId) -> bool {
        self.followed.remove(&id).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that existed before the nsid claims the nsid first.
    #[test]
    fn nsids_wait_for_the_names() {
        let mut unnamed = Unnamed::default();
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        unnamed.found([3, 4, 5], after(2));
        assert_eq!(unnamed.take_due(after(1), 8), [], "the names are older");
        assert_eq!((unnamed.is_searching(after(2)), unnamed.deadline()), (true, Some(after(2))));
        assert_eq!(unnamed.take_due(after(3), 2), [3, 4]);
        assert_eq!(unnamed.take_due(after(3), 2), [5]);
        assert_eq!((unnamed.is_searching(after(9)), unnamed.deadline()), (false, None));
    }

    /// A namespace usually dies with its last name, and the end of its nsid cuts the wait short.
    #[test]
    fn a_lost_name_leaves_time_to_die() {
        let mut unnamed = Unnamed::default();
        let start = Instant::now();
        unnamed.outlived(3, start);
        assert_eq!((unnamed.is_searching(start), unnamed.take_due(start, 8)), (false, vec![]));
        assert_eq!(unnamed.deadline(), Some(start + OUTLIVED));
        unnamed.found([3], start);
        assert_eq!(unnamed.take_due(start, 8), [3]);
    }
}
