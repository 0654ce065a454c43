//! Directories and names that cannot be read, each with a retry of its own. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::names::Name;
use crate::Fault;
use crate::retry::{RETRY, longer};

/// The subject of a fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// A directory, by its index.
    Directory(usize),
    /// A name in a directory.
    Name(Name),
}

#[derive(Debug)]
struct Entry {
    fault: Fault,
    at: Instant,
    pause: Duration,
}

/// Present faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    entries: BTreeMap<Subject, Entry>,
    changed: bool,
}

impl Faults {
    /// Records a fault; returns whether the fault is new and worth a log line.
    pub(super) fn failed(&mut self, subject: Subject, fault: Fault) -> bool {
        if self.entries.get(&subject).is_some_and(|entry| entry.fault == fault) {
            return false;
        }
        self.changed = true;
        let entry = Entry { fault, at: Instant::now() + RETRY.0, pause: RETRY.0 };
        self.entries.insert(subject, entry);
        true
    }

    /// Removes the fault of a subject that is readable or deleted.
    pub(super) fn cleared(&mut self, subject: &Subject) {
        self.changed |= self.entries.remove(subject).is_some();
    }

    /// Names in a directory that have a fault.
    pub(super) fn names_of(&self, directory: usize) -> Vec<Name> {
        let names = self.entries.keys().filter_map(|subject| match subject {
            Subject::Name(name) if name.0 == directory => Some(name.clone()),
            _ => None,
        });
        names.collect()
    }

    /// Subjects to look at again now. The next pause of each is twice as long.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Subject> {
        let mut due = Vec::new();
        for (subject, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.at <= now) {
            entry.pause = longer(entry.pause);
            entry.at = now + entry.pause;
            due.push(subject.clone());
        }
        due
    }

    /// Time at which [`due`](Self::due) returns the next subject.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.entries.values().map(|entry| entry.at).min()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Fault> {
        self.entries.values().map(|entry| &entry.fault)
    }

    /// Whether a fault was added or removed since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_retried_with_growing_pauses() {
        let mut faults = Faults::default();
        let fault = Fault { kind: crate::FaultKind::Directory, subject: "/run/netns".into(), error: "EACCES".into() };
        assert!(faults.failed(Subject::Directory(0), fault.clone()));
        let first = faults.deadline().unwrap();
        assert_eq!(faults.due(first), [Subject::Directory(0)]);
        assert!(!faults.failed(Subject::Directory(0), fault), "a repeated fault is not new");
        assert_eq!(faults.deadline(), Some(first + RETRY.0 * 2));
        assert_eq!((faults.take_changed(), faults.take_changed()), (true, false));
        faults.cleared(&Subject::Directory(0));
        assert_eq!((faults.deadline(), faults.all().count(), faults.take_changed()), (None, 0, true));
    }
}
