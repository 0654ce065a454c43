//! Unread events, merged per interface, so that a slow reader costs bounded memory.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Changes, Event, InterfaceId};

/// Most unread existences kept for their final counters.
const MOST_ACCOUNTS: usize = 1024;

/// Unread events of a consumer, merged per interface.
///
/// `Added` then `Deleted` cancel out and several `Updated` become one, so memory is bounded by the
/// existing interfaces plus the interfaces not yet `Deleted` for the reader. An unread existence that carried
/// something keeps both events for its final counters, up to 1,024 such existences. Interfaces come in order
/// of their first unread events; the order per interface is always kept.
#[derive(Debug)]
pub struct Coalesce<O = ()> {
    unread: BTreeMap<u64, Event<O>>,
    place: BTreeMap<InterfaceId, u64>,
    /// Places of `Deleted` whose `Added` is unread.
    accounts: BTreeSet<u64>,
    next: u64,
    merged: u64,
}

impl<O> Default for Coalesce<O> {
    fn default() -> Self {
        Self { unread: BTreeMap::new(), place: BTreeMap::new(), accounts: BTreeSet::new(), next: 0, merged: 0 }
    }
}

impl<O> Coalesce<O> {
    /// Adds an event.
    pub fn push(&mut self, event: Event<O>) {
        let Some(id) = event.interface().map(|interface| interface.id) else {
            self.append(event);
            return;
        };
        let Some(&place) = self.place.get(&id) else {
            let place = self.append(event);
            self.place.insert(id, place);
            return;
        };
        let Some(earlier) = self.unread.get_mut(&place) else { return };
        if has_account(earlier, &event) && self.accounts.len() < MOST_ACCOUNTS {
            self.place.remove(&id);
            let place = self.append(event);
            self.accounts.insert(place);
            return;
        }
        self.merged += 1;
        match merge(earlier, event) {
            Some(event) => *earlier = event,
            None => {
                self.unread.remove(&place);
                self.place.remove(&id);
            }
        }
    }

    /// Removes the oldest event.
    pub fn pop(&mut self) -> Option<Event<O>> {
        let (place, event) = self.unread.pop_first()?;
        self.accounts.remove(&place);
        if let Some(interface) = event.interface() {
            self.place.remove(&interface.id);
        }
        Some(event)
    }

    /// Number of unread events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.unread.len()
    }

    /// Whether all events are read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// Number of events merged into an earlier event so far.
    #[must_use]
    pub fn merged(&self) -> u64 {
        self.merged
    }

    fn append(&mut self, event: Event<O>) -> u64 {
        let place = self.next;
        self.next += 1;
        self.unread.insert(place, event);
        place
    }
}

/// Whether an unread existence ends that has carried something.
fn has_account<O>(earlier: &Event<O>, later: &Event<O>) -> bool {
    matches!((earlier, later), (Event::Added(_), Event::Deleted(_, Some(counters))) if counters.has_traffic())
}

/// The union of two events, or `None` if both cancel out.
fn merge<O>(earlier: &Event<O>, later: Event<O>) -> Option<Event<O>> {
    match (earlier, later) {
        (Event::Added(_), Event::Deleted(..)) => None,
        (Event::Added(_), Event::Updated(now, _)) => Some(Event::Added(now)),
        // The interface left a narrowed stream and came back: the reader has the state before.
        (Event::Deleted(..), Event::Added(now)) => Some(Event::Updated(now, Changes::ALL)),
        (Event::Updated(_, before), Event::Updated(now, changes)) => Some(Event::Updated(now, before.union(changes))),
        (_, later) => Some(later),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use futures_util::{FutureExt, StreamExt, stream};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{history, interface, steps};
    use crate::{Counters, Direction, EventKind, FinalCounters};
    use crate::{InformerExt, Interface};
    use std::time::SystemTime;

    type State = BTreeMap<InterfaceId, Arc<Interface>>;

    /// Applies an event; panics if the event breaks the order.
    fn apply(state: &mut State, event: &Event) {
        match event {
            Event::Added(new) => assert_eq!(state.insert(new.id, new.clone()), None, "added twice"),
            Event::Updated(new, changes) => {
                let before = state.insert(new.id, new.clone()).expect("updated what is there");
                assert!(changes.contains(before.changes_to(new)), "{changes:?} leaves out a change");
            }
            Event::Deleted(old, _) => assert!(state.remove(&old.id).is_some(), "deleted what is there"),
            Event::Synced => {}
        }
    }

    /// A history with `Synced` somewhere, and the number of reads after each event.
    fn read_now_and_then() -> impl Strategy<Value = Vec<(Event, usize)>> {
        let reads = prop::collection::vec(0..3usize, 130);
        (steps(), any::<prop::sample::Index>(), reads, any::<bool>()).prop_map(|(steps, at, reads, narrow)| {
            let mut events = history(&steps);
            if narrow {
                // An interface leaves and comes back with the same id.
                events = stream::iter(events).up_only().collect().now_or_never().unwrap();
            }
            events.insert(at.index(events.len() + 1), Event::Synced);
            // Reads are rare, so that events are merged.
            events.into_iter().zip(reads.into_iter().map(|n| n.saturating_sub(1) * 2)).collect()
        })
    }

    proptest! {
        #[test]
        fn merged_events_lead_to_the_same_state(history in read_now_and_then()) {
            let (mut coalesce, mut truth, mut reader) = (Coalesce::<()>::default(), State::new(), State::new());
            for (event, reads) in history {
                apply(&mut truth, &event);
                coalesce.push(event);
                prop_assert!(coalesce.len() <= truth.len() + reader.len() + 1, "unread events are not bounded");
                for event in std::iter::from_fn(|| coalesce.pop()).take(reads) {
                    apply(&mut reader, &event);
                }
            }
            for event in std::iter::from_fn(|| coalesce.pop()) {
                apply(&mut reader, &event);
            }
            prop_assert_eq!(reader, truth);
            prop_assert!(coalesce.is_empty() && coalesce.place.is_empty());
        }

        #[test]
        fn synced_comes_once_in_order(history in read_now_and_then()) {
            let mut coalesce = Coalesce::default();
            let mut before_synced = State::new();
            let mut synced = false;
            for (event, _) in history {
                synced |= event == Event::Synced;
                match &event {
                    Event::Deleted(old, _) => drop(before_synced.remove(&old.id)),
                    event if !synced => apply(&mut before_synced, event),
                    _ => {}
                }
                coalesce.push(event);
            }
            let out: Vec<_> = std::iter::from_fn(|| coalesce.pop()).collect();
            let place = out.iter().position(|event| *event == Event::Synced).expect("it is kept");
            prop_assert_eq!(out.iter().filter(|event| **event == Event::Synced).count(), 1);
            for id in before_synced.keys() {
                let emitted = out[..place].iter().any(|event| event.interface().is_some_and(|it| it.id == *id));
                prop_assert!(emitted, "{:?} existed before Synced and is emitted after it", id);
            }
        }
    }

    /// An unread existence keeps its account, unless it carried nothing or too many wait.
    #[test]
    fn unread_existence_keeps_its_account() {
        let final_counters = |packets| {
            let counters = Counters::new(Direction::new(60 * packets, packets), Direction::default());
            Some(Arc::new(FinalCounters::new(counters, SystemTime::UNIX_EPOCH)))
        };
        let mut coalesce = Coalesce::default();
        let mut live = |number, counters| {
            let link = Arc::new(interface(number, 0, 2, "eth0", Some(1)));
            coalesce.push(Event::Added(link.clone()));
            coalesce.push(Event::Deleted(link, counters));
            coalesce.len()
        };
        // A change of the carrier alone is no traffic.
        let carrier =
            final_counters(0).map(|last| Arc::new(FinalCounters { last: last.last.with_carrier_changes(2), ..*last }));
        assert_eq!((live(1, None), live(2, carrier), live(3, final_counters(1))), (0, 0, 2));
        let accounts = MOST_ACCOUNTS as u64;
        (4..accounts + 10).for_each(|number| _ = live(number, final_counters(1)));
        assert_eq!(coalesce.len(), 2 * MOST_ACCOUNTS);
        let out: Vec<_> = std::iter::from_fn(|| coalesce.pop()).take(2).map(|event| event.kind()).collect();
        assert_eq!(out, [EventKind::Added, EventKind::Deleted]);
        while coalesce.pop().is_some() {}
        assert!(coalesce.accounts.is_empty() && coalesce.place.is_empty());
    }

    #[test]
    fn rename_is_deleted_then_added() {
        let old = Arc::new(interface(1, 0, 2, "eth0", Some(1)));
        let new = Arc::new(interface(2, 0, 2, "wan0", Some(1)));
        let mut coalesce = Coalesce::default();
        coalesce.push(Event::Updated(old.clone(), crate::Changes::MTU));
        coalesce.push(Event::Deleted(old.clone(), None));
        coalesce.push(Event::Added(new.clone()));
        let out: Vec<_> = std::iter::from_fn(|| coalesce.pop()).collect();
        assert_eq!(out, [Event::Deleted(old, None), Event::Added(new)]);
        assert_eq!(coalesce.merged(), 1);
    }
}
