//! A pass over the counters of all namespaces, for every reader that asked before its end. Pure.

use std::collections::HashMap;

use iface_core::{CounterDetails, InterfaceId, NetnsId};

use crate::Reading;
use crate::worker::event_channel::CountersRequest;

/// A pass on its way: a reader that asks meanwhile may get what was read before it asked.
pub(super) struct Pass {
    left: Vec<NetnsId>,
    readings: Vec<Reading>,
    details: HashMap<InterfaceId, CounterDetails>,
    requests: Vec<CountersRequest>,
}

impl Pass {
    /// A pass over these namespaces, for nobody yet.
    pub(super) fn over(left: Vec<NetnsId>) -> Self {
        Self { left, readings: Vec::new(), details: HashMap::new(), requests: Vec::new() }
    }

    /// Adds readers. The pass fills the memory of the first.
    pub(super) fn join(&mut self, requests: Vec<CountersRequest>) {
        for mut request in requests {
            request.readings.clear();
            if self.readings.capacity() == 0 {
                std::mem::swap(&mut self.readings, &mut request.readings);
            }
            self.requests.push(request);
        }
    }

    /// Takes the next namespaces to read, at most `most`.
    pub(super) fn next(&mut self, most: usize) -> Vec<NetnsId> {
        self.left.split_off(self.left.len().saturating_sub(most))
    }

    pub(super) fn readings(&mut self) -> &mut Vec<Reading> {
        &mut self.readings
    }

    pub(super) fn details(&mut self) -> &mut HashMap<InterfaceId, CounterDetails> {
        &mut self.details
    }

    /// Whether every namespace was read.
    pub(super) fn is_complete(&self) -> bool {
        self.left.is_empty()
    }

    /// Answers the readers after the last namespace; else returns the pass.
    pub(super) fn answered(self) -> Option<Self> {
        if !self.is_complete() {
            return Some(self);
        }
        let mut requests = self.requests.into_iter();
        let first = requests.next();
        for mut other in requests {
            other.readings.extend_from_slice(&self.readings);
            // Who asked may have gone.
            _ = other.answer.send(other.readings);
        }
        _ = first.map(|first| first.answer.send(self.readings));
        None
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use futures_channel::oneshot;
    use iface_core::{Counters, InterfaceId};

    use super::*;

    /// A reader that asks during a pass gets the whole pass, earlier readings included.
    #[test]
    fn every_reader_gets_the_whole_pass() {
        let request = |readings| {
            let (answer, receiver) = oneshot::channel();
            (CountersRequest { readings, answer }, receiver)
        };
        let reading = |id| Reading::new(InterfaceId(NonZeroU64::new(id).unwrap()), Counters::default());
        let (first, mut first_answer) = request(vec![reading(9)]);
        let (second, mut second_answer) = request(Vec::new());
        let mut pass = Pass::over(vec![NetnsId(1), NetnsId(2), NetnsId(3)]);
        pass.join(vec![first]);
        assert_eq!(pass.next(2), [NetnsId(2), NetnsId(3)]);
        pass.readings().push(reading(1));
        let mut pass = pass.answered().unwrap();
        pass.join(vec![second]);
        assert_eq!(pass.next(2), [NetnsId(1)]);
        pass.readings().push(reading(2));
        assert!(pass.answered().is_none());
        for answer in [&mut first_answer, &mut second_answer] {
            assert_eq!(answer.try_recv().unwrap(), Some(vec![reading(1), reading(2)]));
        }
    }
}
