//! The state of an accumulator that the next agent continues.

use std::collections::HashSet;
use std::time::SystemTime;

use super::Accumulator;
use super::stream::{SavedStream, Stream};
use crate::metrics::points::{Ending, Points, SubjectKey, nanos};

impl Accumulator {
    /// The streams to continue.
    #[must_use]
    pub fn saved(&self) -> Vec<SavedStream> {
        self.streams.values().filter_map(|stream| stream.saved(self.options.attributes)).collect()
    }

    /// Continues these streams of the agent before where their links still exist; to be called before the first
    /// [`collect`](Self::collect). `is_same` is false where the agent before said something else about itself on every
    /// Resource.
    pub fn restore(&mut self, streams: Vec<SavedStream>, is_same: bool) {
        let streams = streams.into_iter().map(|stream| if is_same { stream } else { stream.renamed() });
        self.restored = streams.map(|stream| (stream.link().clone(), stream)).collect();
    }

    /// The last points that have not arrived, and after them the ends of their series.
    #[must_use]
    pub fn pending(&self, now: SystemTime) -> [Points; 2] {
        let mut last = Points { options: self.options.clone(), time: nanos(now), ..Points::default() };
        self.prepend_ended(&mut last);
        let mut ends = last.clone();
        let live: HashSet<_> = self
            .streams
            .values()
            .map(Stream::interface)
            .map(|interface| (SubjectKey::of(interface), interface.name))
            .collect();
        for sample in &mut ends.samples {
            sample.ending = Some(Ending::NoRecordedValue);
        }
        // A newer interface continues its series.
        for group in &mut ends.groups {
            let samples = &ends.samples[group.samples.clone()];
            let goes_on =
                samples.iter().any(|sample| live.contains(&(SubjectKey::of(&sample.interface), sample.interface.name)));
            if goes_on {
                group.samples.end = group.samples.start;
            }
        }
        ends.groups.retain(|group| !group.samples.is_empty());
        [last, ends]
    }
}
