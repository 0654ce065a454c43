use std::collections::{BTreeMap, HashMap};

use crate::{Event, InterfaceId};

/// Events a consumer has not read yet, merged per interface.
///
/// `Added` then `Deleted` cancel out, several `Updated` become one, so what is held is bounded by
/// what exists plus what the reader still believes to exist. Order is that of each interface's
/// first unread event; per interface it is always kept.
#[derive(Debug, Default)]
pub struct Coalesce {
    unread: BTreeMap<u64, Event>,
    place: HashMap<InterfaceId, u64>,
    next: u64,
    merged: u64,
}

impl Coalesce {
    /// Takes one more event in.
    pub fn push(&mut self, event: Event) {
        let Some(id) = event.interface().map(|interface| interface.id) else {
            self.append(event);
            return;
        };
        let Some(&place) = self.place.get(&id) else {
            let place = self.append(event);
            self.place.insert(id, place);
            return;
        };
        self.merged += 1;
        let Some(earlier) = self.unread.get_mut(&place) else { return };
        match merge(earlier, event) {
            Some(event) => *earlier = event,
            None => {
                self.unread.remove(&place);
                self.place.remove(&id);
            }
        }
    }

    /// Takes the oldest event out.
    pub fn pop(&mut self) -> Option<Event> {
        let (_, event) = self.unread.pop_first()?;
        if let Some(interface) = event.interface() {
            self.place.remove(&interface.id);
        }
        Some(event)
    }

    /// How many events are unread.
    #[must_use]
    pub fn len(&self) -> usize {
        self.unread.len()
    }

    /// Whether nothing is unread.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// How many events were merged into an earlier one so far.
    #[must_use]
    pub fn merged(&self) -> u64 {
        self.merged
    }

    fn append(&mut self, event: Event) -> u64 {
        let place = self.next;
        self.next += 1;
        self.unread.insert(place, event);
        place
    }
}

/// One event that says what both said, or none when they cancel out.
fn merge(earlier: &Event, later: Event) -> Option<Event> {
    match (earlier, later) {
        (Event::Added(_), Event::Deleted(_)) => None,
        (Event::Added(_), Event::Updated(now, _)) => Some(Event::Added(now)),
        (Event::Updated(_, before), Event::Updated(now, changes)) => Some(Event::Updated(now, before.union(changes))),
        (_, later) => Some(later),
    }
}
