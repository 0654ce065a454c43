//! Directories and names that cannot be read, each with a retry of its own. Pure.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Time of the next attempt, and the pause before. Without a retry, a notification or a sweep
    /// leads to the next look.
    retry: Option<(Instant, Duration)>,
}

/// Present faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    entries: BTreeMap<Subject, Entry>,
    schedule: BTreeSet<(Instant, Subject)>,
    changed: bool,
}

impl Faults {
    /// Records a fault and schedules a retry; returns whether the fault is new and worth a log line.
    pub(super) fn failed(&mut self, subject: Subject, fault: Fault) -> bool {
        self.insert(subject, fault, Some(RETRY.0))
    }

    /// Records a fault that no retry can end.
    pub(super) fn noted(&mut self, subject: Subject, fault: Fault) -> bool {
        self.insert(subject, fault, None)
    }

    fn insert(&mut self, subject: Subject, fault: Fault, pause: Option<Duration>) -> bool {
        if self.entries.get(&subject).is_some_and(|entry| entry.fault == fault) {
            return false;
        }
        self.cleared(&subject);
        let retry = pause.map(|pause| (Instant::now() + pause, pause));
        self.schedule.extend(retry.map(|(at, _)| (at, subject.clone())));
        self.entries.insert(subject, Entry { fault, retry });
        self.changed = true;
        true
    }

    /// Removes the fault of a subject that is readable or deleted.
    pub(super) fn cleared(&mut self, subject: &Subject) {
        let Some((subject, entry)) = self.entries.remove_entry(subject) else { return };
        self.changed = true;
        if let Some((at, _)) = entry.retry {
            self.schedule.remove(&(at, subject));
        }
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
        while self.schedule.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, subject)) = self.schedule.pop_first() else { break };
            let Some(entry) = self.entries.get_mut(&subject) else { continue };
            let Some((at, pause)) = &mut entry.retry else { continue };
            *pause = longer(*pause);
            *at = now + *pause;
            due.push((*at, subject));
        }
        self.schedule.extend(due.iter().cloned());
        due.into_iter().map(|(_, subject)| subject).collect()
    }

    /// Time at which [`due`](Self::due) returns the next subject.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.schedule.first().map(|(at, _)| *at)
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

    /// Thousands of left-over files cost no timer.
    #[test]
    fn noted_faults_have_no_retry() {
        let mut faults = Faults::default();
        let fault = Fault { kind: crate::FaultKind::Name, subject: "/run/netns/a".into(), error: "plain".into() };
        let subject = Subject::Name((0, iface_core::NetnsName::new("a")));
        faults.failed(subject.clone(), Fault { error: "EMFILE".into(), ..fault.clone() });
        faults.noted(subject.clone(), fault);
        assert_eq!((faults.deadline(), faults.all().count()), (None, 1));
        faults.cleared(&subject);
        assert_eq!(faults.all().count(), 0);
    }
}
