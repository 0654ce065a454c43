//! Series of interfaces that ended: exported once more with the final counters, then ended for the receiver.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use iface_core::{FinalCounters, IfName, InterfaceId};

use super::stream::{Stream, StreamIdentity};
use super::{Accumulator, clip, is_new};
use crate::interface::Interface;
use crate::metrics::catalog::COUNTERS;
use crate::metrics::points::{
    Counted, Ending, Group, Nanos, Points, Reader, Sample, Subject, SubjectKey, link_key, nanos,
};

/// Most ended interfaces that wait for a receiver or a scraper; the oldest are dropped first.
pub const MOST_ENDED: usize = 10_000;

/// An ended interface, until the last points have arrived: 10,000 of them may wait.
#[derive(Debug)]
pub(super) struct Ended {
    interface: Arc<Interface>,
    values: [u64; COUNTERS],
    starts: Starts,
    complete: bool,
    ending: Ending,
    taken: Instant,
}

/// The moment each value counts from: the same for all, unless a driver was reset.
#[derive(Debug)]
enum Starts {
    Same(Nanos),
    Each(Box<[Nanos; COUNTERS]>),
}

impl Ended {
    fn new(interface: &Arc<Interface>, counted: &Counted, ended: Nanos) -> Self {
        let Counted { values, starts, complete } = *counted;
        let is_same = starts.iter().all(|start| *start == starts[0]);
        Self {
            interface: interface.clone(),
            values,
            starts: if is_same { Starts::Same(starts[0]) } else { Starts::Each(Box::new(starts)) },
            complete,
            ending: Ending::Final(ended),
            taken: Instant::now(),
        }
    }

    fn sample(&self) -> Sample {
        let starts = match &self.starts {
            Starts::Same(start) => [*start; COUNTERS],
            Starts::Each(starts) => **starts,
        };
        Sample {
            interface: self.interface.clone(),
            counted: Some(Counted { values: self.values, starts, complete: self.complete }),
            bandwidth: None,
            ending: Some(self.ending),
        }
    }

    /// Identifies the series of an owner.
    fn series(&self) -> (SubjectKey<'_>, IfName) {
        (SubjectKey::of(&self.interface), self.interface.name)
    }
}

impl Accumulator {
    /// Takes the final counters of a deleted interface, to be exported with the next points.
    ///
    /// An interface that was never exported and carried nothing makes no series, such as a link that a CNI plugin moves
    /// or renames at once; neither does an interface younger than the minimum age. Returns the number of ended
    /// interfaces dropped for the limit.
    pub fn end(&mut self, interface: &Arc<Interface>, counters: &FinalCounters) -> usize {
        let key = link_key(interface);
        let is_new = is_new(self.synced, interface);
        let stream = match self.streams.remove(&key) {
            Some(stream) if stream.id == interface.id => Some(stream),
            Some(other) => {
                self.streams.insert(key, other);
                None
            }
            None => None,
        };
        let carried = clip(&counters.carried());
        let lived = counters.ended.duration_since(interface.since).unwrap_or_default();
        let is_short = is_new && lived >= self.options.min_age && carried.iter().any(|value| *value > 0);
        let mut stream = match stream {
            Some(stream) => stream,
            None if is_short => {
                let identity = StreamIdentity::new(&Subject::of(interface), interface);
                let mut stream = Stream::new(identity, true);
                stream.base(clip(&counters.base));
                stream
            }
            None => return 0,
        };
        let (counted, time) = stream.end(clip(&counters.last), nanos(counters.ended));
        self.departures.extend(stream.departed());
        self.end_details(interface, time);
        self.ended.push_back(Ended::new(interface, &counted, time));
        let excess = self.ended.len().saturating_sub(MOST_ENDED);
        if excess > 0 {
            self.ended.drain(..excess);
            self.forget_ended_details();
        }
        excess
    }

    /// Drops the ended interfaces taken in before `oldest`, which nobody has scraped; returns their number.
    pub fn expire_ended(&mut self, oldest: Instant) -> usize {
        let expired = self.ended.iter().take_while(|ended| ended.taken < oldest).count();
        self.ended.drain(..expired);
        if self.ended.is_empty() {
            self.ended.shrink_to_fit();
        }
        if expired > 0 {
            self.forget_ended_details();
        }
        expired
    }

    /// Adds the ended interfaces to the points.
    pub(super) fn add_ended(&self, points: &mut Points) {
        match self.reader {
            _ if self.ended.is_empty() => {}
            Reader::Page => self.join_ended(points),
            Reader::Totals | Reader::Deltas => self.prepend_ended(points),
        }
    }

    /// Puts the ended interfaces beside the others of their pods. A page has each series once: of several interfaces with
    /// one name, the newest is shown.
    fn join_ended(&self, points: &mut Points) {
        self.add_ended_details(points);
        let samples = std::mem::take(&mut points.samples);
        let name = |sample: &Sample| sample.interface.name;
        let mut shown: HashSet<_> =
            samples.iter().map(|sample| (SubjectKey::of(&sample.interface), name(sample))).collect();
        let mut ended: HashMap<SubjectKey<'_>, Vec<&Ended>> = HashMap::new();
        for one in self.ended.iter().rev().filter(|one| shown.insert(one.series())) {
            ended.entry(one.series().0).or_default().push(one);
        }
        let mut groups = Vec::with_capacity(points.groups.len() + ended.len());
        for group in std::mem::take(&mut points.groups) {
            let live = &samples[group.samples];
            let more = live.first().and_then(|first| ended.remove(&SubjectKey::of(&first.interface)));
            let more = more.into_iter().flatten().map(Ended::sample);
            let members: Vec<Sample> = live.iter().cloned().chain(more).collect();
            groups.push((group.subject, members));
        }
        // Groups are in the order of their oldest interface, and whoever has ended is older than the living.
        let mut gone: Vec<_> = ended.into_iter().collect();
        gone.sort_unstable_by_key(|(key, _)| *key);
        let gone = gone.into_iter().map(|(_, members)| {
            (Subject::of(&members[0].interface), members.into_iter().map(Ended::sample).collect::<Vec<_>>())
        });
        for (subject, members) in gone.chain(groups) {
            let start = points.samples.len();
            points.samples.extend(members);
            points.groups.push(Group { subject, samples: start..points.samples.len() });
        }
    }

    /// Puts the ended interfaces before all others: a newer interface of the same series has later points.
    pub(super) fn prepend_ended(&self, points: &mut Points) {
        self.add_ended_details(points);
        let live: HashSet<_> =
            points.samples.iter().map(|sample| (SubjectKey::of(&sample.interface), sample.interface.name)).collect();
        // A newer interface continues the series, which does not end then.
        let continues = |ended: &&Ended| ended.ending == Ending::NoRecordedValue && live.contains(&ended.series());
        let mut samples: Vec<Sample> = self.ended.iter().filter(|ended| !continues(ended)).map(Ended::sample).collect();
        drop(live);
        samples.sort_by(|a, b| SubjectKey::of(&a.interface).cmp(&SubjectKey::of(&b.interface)));
        let same = |a: &Sample, b: &Sample| SubjectKey::of(&a.interface) == SubjectKey::of(&b.interface);
        let mut groups: Vec<Group> = Vec::new();
        let mut start = 0;
        for chunk in samples.chunk_by(same) {
            groups.push(Group { subject: Subject::of(&chunk[0].interface), samples: start..start + chunk.len() });
            start += chunk.len();
        }
        for group in &mut points.groups {
            group.samples = group.samples.start + start..group.samples.end + start;
        }
        points.groups.splice(0..0, groups);
        points.samples.splice(0..0, samples);
    }

    /// Moves ended interfaces on whose points arrived, and forgets those that are ended for the receiver.
    pub(super) fn delivered_ended(&mut self, points: &Points, ranges: &[Range<usize>]) {
        if self.ended.is_empty() {
            return;
        }
        let delivered = ranges.iter().flat_map(|range| &points.samples[range.clone()]);
        let delivered: HashSet<(InterfaceId, Ending)> =
            delivered.filter_map(|sample| Some((sample.interface.id, sample.ending?))).collect();
        let sent: HashSet<InterfaceId> =
            points.samples.iter().filter(|sample| sample.ending.is_some()).map(|sample| sample.interface.id).collect();
        let is_page = self.reader == Reader::Page;
        self.ended.retain_mut(|ended| {
            let id = ended.interface.id;
            let has_arrived = delivered.contains(&(id, ended.ending));
            match ended.ending {
                // A series that a newer interface continues is not sent, and needs no end.
                Ending::NoRecordedValue => return !has_arrived && sent.contains(&id),
                // A page without the series ends it for scrapers.
                Ending::Final(_) if has_arrived && is_page => return false,
                Ending::Final(_) if has_arrived => ended.ending = Ending::NoRecordedValue,
                Ending::Final(_) => {}
            }
            true
        });
        if self.ended.is_empty() {
            self.ended.shrink_to_fit();
        }
        self.forget_ended_details();
    }

    /// The interfaces that wait for a receiver or a scraper.
    pub(super) fn ended_ids(&self) -> impl Iterator<Item = InterfaceId> {
        self.ended.iter().map(|ended| ended.interface.id)
    }
}
