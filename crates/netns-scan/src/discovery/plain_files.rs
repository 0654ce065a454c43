//! Plain files over which a namespace may still be mounted. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::names::Name;

/// Time that a plain file may wait for its namespace before a fault is reported.
///
/// 17 s were seen while the kernel took another namespace down.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Waiting files to look at after each change of mounts. The sweep looks at the rest: a runtime that
/// crashed can leave thousands of files, and a busy node changes mounts a hundred times a second.
const AT_ONCE: usize = 128;

/// Plain files in the directories of names.
#[derive(Debug, Default)]
pub(super) struct PlainFiles {
    /// Every file, with the time of the first look; `None` once the file is left over.
    files: BTreeMap<Name, Option<Instant>>,
    /// Files that still wait, in order of the first look.
    waiting: BTreeSet<(Instant, Name)>,
}

impl PlainFiles {
    /// Records a plain file; returns whether the file is left over.
    pub(super) fn add(&mut self, name: &Name, now: Instant) -> bool {
        match self.files.get(name) {
            Some(since) => since.is_none(),
            None => {
                self.files.insert(name.clone(), Some(now));
                self.waiting.insert((now, name.clone()));
                false
            }
        }
    }

    /// Forgets a file that was deleted or has become a namespace.
    pub(super) fn remove(&mut self, name: &Name) {
        if let Some((name, Some(since))) = self.files.remove_entry(name) {
            self.waiting.remove(&(since, name));
        }
    }

    /// The files to look at after a change of mounts: the youngest that wait.
    pub(super) fn youngest(&self) -> Vec<Name> {
        self.waiting.iter().rev().take(AT_ONCE).map(|(_, name)| name.clone()).collect()
    }

    /// Every file.
    pub(super) fn all(&self) -> Vec<Name> {
        self.files.keys().cloned().collect()
    }

    /// Files of a directory.
    pub(super) fn of_directory(&self, directory: usize) -> impl Iterator<Item = Name> {
        self.files.keys().filter(move |(of, _)| *of == directory).cloned()
    }

    /// Takes the files that have waited too long; from now on each is left over.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<Name> {
        let mut late = Vec::new();
        while self.waiting.first().is_some_and(|(since, _)| *since + PATIENCE <= now) {
            let Some((_, name)) = self.waiting.pop_first() else { break };
            self.files.insert(name.clone(), None);
            late.push(name);
        }
        late
    }

    /// Time at which [`take_late`](Self::take_late) returns the next file.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.first().map(|(since, _)| *since + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use iface_core::NetnsName;

    use super::*;

    fn name(text: impl ToString) -> Name {
        (0, NetnsName::new(text.to_string()))
    }

    /// However many files are left over, a change of mounts costs a bounded number of looks.
    #[test]
    fn only_the_youngest_are_looked_at() {
        let (mut files, start) = (PlainFiles::default(), Instant::now());
        for number in 0..10_000 {
            assert!(!files.add(&name(number), start + Duration::from_millis(number)));
        }
        assert_eq!((files.youngest().len(), files.youngest()[0].clone()), (AT_ONCE, name(9_999)));
        assert_eq!(files.take_late(start + PATIENCE + Duration::from_millis(9_997)).len(), 9_998);
        assert_eq!(files.youngest(), [name(9_999), name(9_998)]);
        assert!(files.add(&name(0), start), "left over");
        assert_eq!(files.all().len(), 10_000);
    }

    #[test]
    fn a_removed_file_starts_again() {
        let (mut files, start) = (PlainFiles::default(), Instant::now());
        files.add(&name("a"), start);
        assert_eq!(files.deadline(), Some(start + PATIENCE));
        files.remove(&name("a"));
        assert_eq!((files.deadline(), files.all()), (None, vec![]));
        files.add(&name("a"), start + PATIENCE);
        assert_eq!(files.take_late(start + PATIENCE), []);
        assert_eq!(files.take_late(start + PATIENCE * 2), [name("a")]);
        files.remove(&name("a"));
        assert!(!files.add(&name("a"), start + PATIENCE * 2), "waits again");
    }
}
