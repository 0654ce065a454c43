//! The interfaces that a reader of events knows.

use std::collections::HashMap;
use std::sync::Arc;

use iface_core::InterfaceId;

use crate::interface::{Event, Interface};

/// Narrows events to selected interfaces such that a reader hears `Added` first and `Deleted` last of each: an interface
/// whose pod becomes known later is selected by an `Updated`.
#[derive(Debug, Default)]
pub(super) struct Shown(HashMap<InterfaceId, Arc<Interface>>);

impl Shown {
    /// The event for the reader; `None` where nothing changes for the reader.
    pub(super) fn pass(&mut self, event: Event, selects: impl Fn(&Interface) -> bool) -> Option<Event> {
        match event {
            Event::Synced => Some(Event::Synced),
            Event::Deleted(interface, counters) => {
                self.0.remove(&interface.id).map(|_| Event::Deleted(interface, counters))
            }
            Event::Added(interface) | Event::Updated(interface, _) if !selects(&interface) => {
                self.0.remove(&interface.id).map(|interface| Event::Deleted(interface, None))
            }
            Event::Added(interface) => {
                self.0.insert(interface.id, interface.clone());
                Some(Event::Added(interface))
            }
            Event::Updated(interface, changes) => match self.0.insert(interface.id, interface.clone()) {
                Some(_) => Some(Event::Updated(interface, changes)),
                None => Some(Event::Added(interface)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use iface_core::{Changes, EventKind};

    use super::*;
    use crate::testing::{at, eth0, pod, pod_interface};

    #[test]
    fn selected_interface_is_added_before_updated() {
        let (bare, web) = (eth0(1, at(1)), pod_interface(1, "eth0", &pod("web"), at(1)));
        assert_eq!(bare.id, web.id);
        let mut shown = Shown::default();
        let mut kind = |event| shown.pass(event, |one| one.owner.is_some()).map(|event| event.kind());
        assert_eq!(kind(Event::Added(bare.clone())), None);
        assert_eq!(kind(Event::Updated(web.clone(), Changes::OWNER)), Some(EventKind::Added));
        assert_eq!(kind(Event::Updated(web.clone(), Changes::MTU)), Some(EventKind::Updated));
        assert_eq!(kind(Event::Updated(bare.clone(), Changes::OWNER)), Some(EventKind::Deleted));
        assert_eq!(kind(Event::Deleted(bare, None)), None);
        assert_eq!(kind(Event::Added(web.clone())), Some(EventKind::Added));
        assert_eq!(kind(Event::Deleted(web, None)), Some(EventKind::Deleted));
        assert_eq!(kind(Event::Synced), Some(EventKind::Synced));
    }
}
