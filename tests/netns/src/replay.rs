use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use iface_core::{Event, EventKind, Interface, InterfaceId, NetnsId};

/// The interfaces according to a stream of events, with checks of the contract of an informer.
///
/// A stream that breaks the contract panics with the event.
#[derive(Debug, Default)]
pub struct Replay {
    live: BTreeMap<InterfaceId, Arc<Interface>>,
    by_index: BTreeMap<(NetnsId, u32), InterfaceId>,
    ended: HashSet<InterfaceId>,
    history: Vec<Event>,
    synced: bool,
}

impl Replay {
    /// Applies the next event.
    pub fn apply(&mut self, event: Event) {
        match &event {
            Event::Added(interface) => self.added(interface),
            Event::Updated(interface, changes) => {
                let before = self.live.insert(interface.id, interface.clone());
                let Some(before) = before else { panic!("Updated without Added: {interface:?}") };
                let differ = before.changes_to(interface);
                assert!(!changes.is_empty(), "Updated says that nothing changed: {interface:?}");
                assert!(changes.contains(differ), "{changes:?} leaves out some of {differ:?}: {interface:?}");
                assert_eq!(before.key(), interface.key(), "Updated changes the key");
                assert_eq!(before.since, interface.since, "Updated changes the time of birth");
            }
            Event::Deleted(interface, _) => {
                let before = self.live.remove(&interface.id);
                assert!(before.is_some(), "Deleted without Added, or twice: {interface:?}");
                self.by_index.remove(&(interface.netns.id, interface.ifindex));
                self.ended.insert(interface.id);
            }
            Event::Synced => {
                assert!(!self.synced, "Synced came twice");
                self.synced = true;
            }
        }
        self.history.push(event);
    }

    fn added(&mut self, interface: &Arc<Interface>) {
        assert!(!self.ended.contains(&interface.id), "an id was used again: {interface:?}");
        assert!(!self.live.contains_key(&interface.id), "Added twice: {interface:?}");
        if let Some(other) = self.by_index.insert((interface.netns.id, interface.ifindex), interface.id) {
            panic!("{interface:?} was added over {:?}, which lives", self.live.get(&other));
        }
        self.live.insert(interface.id, interface.clone());
    }

    /// Whether `Synced` has come.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// All current interfaces.
    pub fn interfaces(&self) -> impl Iterator<Item = &Arc<Interface>> {
        self.live.values()
    }

    /// The interfaces of a place: `host`, or a namespace's name.
    pub fn at<'a>(&'a self, place: &'a str) -> impl Iterator<Item = &'a Arc<Interface>> {
        self.interfaces().filter(move |interface| is_at(interface, place))
    }

    /// The interface with this name at a place.
    #[must_use]
    pub fn find(&self, place: &str, name: &str) -> Option<&Arc<Interface>> {
        self.interfaces().find(|interface| interface.name == name && is_at(interface, place))
    }

    /// Every event so far.
    #[must_use]
    pub fn history(&self) -> &[Event] {
        &self.history
    }

    /// The events of all interfaces with this name at a place, in order.
    #[must_use]
    pub fn story(&self, place: &str, name: &str) -> Vec<EventKind> {
        let named = |interface: &Interface| interface.name == name && is_at(interface, place);
        self.history
            .iter()
            .filter(|event| event.interface().is_some_and(|interface| named(interface)))
            .map(Event::kind)
            .collect()
    }

    /// One line per interface, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        let line = |i: &Arc<Interface>| format!("  {}/{}: {} {}", i.netns.place, i.ifindex, i.name, i.oper_state);
        self.interfaces().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn is_at(interface: &Interface, place: &str) -> bool {
    match interface.netns.name() {
        None => interface.netns.place.to_string() == place,
        Some(name) => *name == *place,
    }
}
