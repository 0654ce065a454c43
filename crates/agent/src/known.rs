//! What is known by now: events, applied.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use iface_core::{Event, Interface, InterfaceId, MacAddr, Place};

/// The interfaces that exist; all clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<RwLock<BTreeMap<InterfaceId, Arc<Interface>>>>);

/// An interface and how sure it is that it was meant.
pub type Answer = (Arc<Interface>, &'static str);

impl Known {
    /// Applies an event.
    pub fn apply(&self, event: &Event) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Added(interface) | Event::Updated(interface, _) => {
                known.insert(interface.id, interface.clone());
            }
            Event::Deleted(interface) => {
                known.remove(&interface.id);
            }
            Event::Synced => {}
        }
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn interfaces(&self) -> Vec<Arc<Interface>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The one with this number in this namespace.
    #[must_use]
    pub fn in_netns(&self, netns: &str, ifindex: u32) -> Option<Answer> {
        let is_meant = |place: &Place| match place {
            Place::Host => netns == "host",
            Place::Named(name) => *name == *netns,
        };
        let mut all = self.interfaces().into_iter().rev();
        all.find(|one| one.ifindex == ifindex && is_meant(&one.netns.place)).map(|one| (one, "exact"))
    }

    /// The one with this number; of several the one with this MAC address, else the host's, else
    /// that of the namespace whose name comes first.
    #[must_use]
    pub fn for_index_and_mac(&self, ifindex: u32, mac: Option<&MacAddr>) -> Option<Answer> {
        let mut all = self.interfaces();
        all.retain(|one| one.ifindex == ifindex);
        let alone = all.len() == 1;
        if !alone && all.iter().any(|one| mac.is_some() && one.mac.as_ref() == mac) {
            all.retain(|one| one.mac.as_ref() == mac);
            let certainty = if all.len() == 1 { "exact" } else { "guess" };
            return best(all).map(|one| (one, certainty));
        }
        best(all).map(|one| (one, if alone { "exact" } else { "guess" }))
    }
}

fn best(all: Vec<Arc<Interface>>) -> Option<Arc<Interface>> {
    all.into_iter().min_by(|a, b| (&a.netns.place, a.netns.id).cmp(&(&b.netns.place, b.netns.id)))
}
