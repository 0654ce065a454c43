//! Progress of each namespace: to be opened, followed, or failed with a retry of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use iface_core::NetnsId;

use crate::Fault;
use crate::retry::{RETRY, longer};

/// Shortest time between two resynchronisations of one namespace: a namespace that overruns the
/// queue all the time must not take the turns of the others.
const RESYNC_INTERVAL: Duration = Duration::from_millis(100);
/// Shortest time between two resynchronisations as a multiple of the time that the last one took.
const RESYNC_SHARE: u32 = 10;
/// Longest time until the next resynchronisation: lost notifications are made good within a second.
const RESYNC_LONGEST: Duration = Duration::from_millis(500);

/// Progress of one namespace.
#[derive(Debug)]
enum Progress {
    /// Waits in the queue. `before` is the fault of the last attempt.
    ToOpen { before: Option<(Fault, Duration)> },
    /// Open in the engine.
    Followed,
    /// Not visible. Without `retry` no attempt can succeed with the present privileges.
    Failed { fault: Fault, retry: Option<(Instant, Duration)> },
}

/// Every namespace with a name, and its progress. Pure.
#[derive(Debug, Default)]
pub(super) struct Roster {
    namespaces: BTreeMap<NetnsId, Progress>,
    /// Namespaces in state `ToOpen` in order of arrival, and closed ones not yet skipped.
    queue: VecDeque<NetnsId>,
    retries: BTreeSet<(Instant, NetnsId)>,
    faults_changed: bool,
    /// Earliest times of the next resynchronisations, as far as they are to come.
    resynced: BTreeMap<NetnsId, Instant>,
}

impl Roster {
    /// Queues a namespace. A namespace that is queued or followed already stays as it is.
    pub(super) fn add(&mut self, id: NetnsId) {
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.namespaces.entry(id) {
            vacant.insert(Progress::ToOpen { before: None });
            self.queue.push_back(id);
        }
    }

    /// Forgets a closed namespace.
    pub(super) fn remove(&mut self, id: NetnsId) {
        let progress = self.namespaces.remove(&id);
        if let Some(Progress::Failed { retry: Some((at, _)), .. }) = &progress {
            self.retries.remove(&(*at, id));
        }
        self.faults_changed |= !matches!(progress, None | Some(Progress::Followed | Progress::ToOpen { before: None }));
    }

    /// Takes the next namespaces to open, at most `most`.
    pub(super) fn next_to_open(&mut self, most: usize) -> Vec<NetnsId> {
        let slice = self.queue.drain(..self.queue.len().min(most));
        let waits = |id: &NetnsId| matches!(self.namespaces.get(id), Some(Progress::ToOpen { .. }));
        let slice = slice.filter(waits).collect();
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        slice
    }

    /// Whether no namespace waits to be opened.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Records that a namespace is open, or listed without a fault.
    pub(super) fn followed(&mut self, id: NetnsId) {
        let Some(progress) = self.namespaces.get_mut(&id) else { return };
        match std::mem::replace(progress, Progress::Followed) {
            Progress::Followed | Progress::ToOpen { before: None } => {}
            Progress::ToOpen { before: Some(_) } => self.faults_changed = true,
            Progress::Failed { retry, .. } => {
                self.faults_changed = true;
                if let Some((at, _)) = retry {
                    self.retries.remove(&(at, id));
                }
            }
        }
    }

    /// Records a failure and schedules the next attempt; returns whether the fault is new.
    pub(super) fn failed(&mut self, id: NetnsId, fault: Fault, now: Instant) -> bool {
        let before = match self.namespaces.remove(&id) {
            Some(Progress::ToOpen { before }) => before,
            Some(Progress::Failed { fault, retry }) => {
                if let Some((at, _)) = retry {
                    self.retries.remove(&(at, id));
                }
                retry.map(|(_, pause)| (fault, pause))
            }
            Some(Progress::Followed) | None => None,
        };
        let pause = before.as_ref().map_or(RETRY.0, |(_, pause)| longer(*pause));
        let is_new = before.is_none_or(|(before, _)| before != fault);
        self.retries.insert((now + pause, id));
        self.namespaces.insert(id, Progress::Failed { fault, retry: Some((now + pause, pause)) });
        self.faults_changed = true;
        is_new
    }

    /// Records that no engine reaches a namespace.
    pub(super) fn unreachable(&mut self, id: NetnsId, fault: Fault) {
        self.namespaces.insert(id, Progress::Failed { fault, retry: None });
        self.faults_changed = true;
    }

    /// Queues every failed namespace whose pause has passed.
    pub(super) fn retry(&mut self, now: Instant) {
        while self.retries.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, id)) = self.retries.pop_first() else { break };
            let Some(progress) = self.namespaces.get_mut(&id) else { continue };
            if let Progress::Failed { fault, retry: Some((_, pause)) } = progress {
                *progress = Progress::ToOpen { before: Some((fault.clone(), *pause)) };
                self.queue.push_back(id);
            }
        }
    }

    /// The first namespace to resynchronise now, or else when the next one is due.
    pub(super) fn next_resync(&self, needed: &BTreeSet<NetnsId>, now: Instant) -> Result<NetnsId, Option<Instant>> {
        let mut next: Option<Instant> = None;
        for id in needed {
            match self.resynced.get(id) {
                Some(&due) if due > now => next = Some(next.map_or(due, |next| next.min(due))),
                _ => return Ok(*id),
            }
        }
        Err(next)
    }

    /// Records a resynchronisation that ended now.
    pub(super) fn resynced(&mut self, id: NetnsId, now: Instant, took: Duration) {
        if self.resynced.len() > 64 {
            self.resynced.retain(|_, due| *due > now);
        }
        let pause = (took * RESYNC_SHARE).clamp(RESYNC_INTERVAL, RESYNC_LONGEST);
        self.resynced.insert(id, now + pause);
    }

    /// Time of the next retry.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retries.first().map(|(at, _)| *at)
    }

    /// Whether [`faults`](Self::faults) differs since the last call of this method.
    pub(super) fn take_faults_changed(&mut self) -> bool {
        std::mem::take(&mut self.faults_changed)
    }

    /// Faults of every failed namespace. A namespace that is tried again keeps its fault meanwhile.
    pub(super) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.namespaces.values().filter_map(|progress| match progress {
            Progress::Failed { fault, .. } | Progress::ToOpen { before: Some((fault, _)) } => Some(fault),
            Progress::Followed | Progress::ToOpen { before: None } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NetnsId = NetnsId(1);
    const TWO: NetnsId = NetnsId(2);

    fn fault(error: &str) -> Fault {
        Fault { kind: crate::FaultKind::Namespace, subject: "/run/netns/x".into(), error: error.into() }
    }

    /// A second retry while the first still waits in the queue opened a namespace twice and leaked
    /// the first socket.
    #[test]
    fn a_retry_is_queued_once() {
        let mut roster = Roster::default();
        let start = Instant::now();
        roster.add(ONE);
        assert_eq!(roster.next_to_open(8), [ONE]);
        assert!(roster.failed(ONE, fault("EMFILE"), start));
        roster.retry(start + Duration::from_secs(2));
        roster.retry(start + Duration::from_secs(90));
        roster.add(ONE);
        assert_eq!(roster.next_to_open(8), [ONE]);
        roster.followed(ONE);
        assert_eq!((roster.next_to_open(8), roster.faults().count()), (vec![], 0));
    }

    /// Each namespace has its own pause: a namespace that never opens delays no other.
    #[test]
    fn each_namespace_has_its_own_pause() {
        let mut roster = Roster::default();
        let start = Instant::now();
        roster.add(ONE);
        roster.add(TWO);
        roster.next_to_open(8);
        let mut now = start;
        for _ in 0..8 {
            roster.failed(ONE, fault("EINVAL"), now);
            now = roster.deadline().unwrap();
            roster.retry(now);
            assert_eq!(roster.next_to_open(8), [ONE]);
        }
        assert!(!roster.failed(ONE, fault("EINVAL"), now), "the same fault is not new");
        roster.failed(TWO, fault("EMFILE"), now);
        assert_eq!(roster.deadline(), Some(now + RETRY.0));
        roster.retry(now + RETRY.0);
        assert_eq!(roster.next_to_open(8), [TWO]);
        roster.retry(now + RETRY.1);
        assert_eq!(roster.next_to_open(8), [ONE]);
    }

    #[test]
    fn resyncs_of_a_namespace_keep_an_interval() {
        let mut roster = Roster::default();
        let now = Instant::now();
        let needed = BTreeSet::from([ONE, TWO]);
        assert_eq!(roster.next_resync(&needed, now), Ok(ONE));
        roster.resynced(ONE, now, Duration::ZERO);
        assert_eq!(roster.next_resync(&needed, now), Ok(TWO));
        roster.resynced(TWO, now + RESYNC_INTERVAL / 2, Duration::ZERO);
        assert_eq!(roster.next_resync(&needed, now), Err(Some(now + RESYNC_INTERVAL)));
        assert_eq!(roster.next_resync(&needed, now + RESYNC_INTERVAL), Ok(ONE));
        assert_eq!(roster.next_resync(&BTreeSet::new(), now), Err(None));
        roster.resynced(ONE, now, Duration::from_millis(20));
        assert_eq!(roster.next_resync(&BTreeSet::from([ONE]), now), Err(Some(now + Duration::from_millis(200))));
        roster.resynced(ONE, now, Duration::from_secs(1));
        assert_eq!(roster.next_resync(&BTreeSet::from([ONE]), now), Err(Some(now + RESYNC_LONGEST)));
    }

    #[test]
    fn closed_namespaces_leave_the_queue() {
        let mut roster = Roster::default();
        let now = Instant::now();
        roster.add(ONE);
        roster.add(TWO);
        roster.remove(ONE);
        assert_eq!(roster.next_to_open(8), [TWO]);
        roster.failed(TWO, fault("EMFILE"), now);
        roster.remove(TWO);
        roster.retry(now + RETRY.1);
        assert_eq!((roster.next_to_open(8), roster.deadline()), (vec![], None));
        assert!(roster.is_idle() && roster.faults().next().is_none());
    }
}
