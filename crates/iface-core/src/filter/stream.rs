//! Narrowed streams of events under a fixed condition.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::{Event, Filter, Informer, Interface, InterfaceId, OwnerName};

/// Narrows any [`Informer`].
///
/// For the reader of the narrowed stream, an interface exists while the condition holds: `Added` comes
/// when the condition begins to hold and `Deleted` when the condition ends. Each `Added` has a
/// `Deleted`, and a returning interface keeps the same [`InterfaceId`]. `Synced` passes through.
pub trait InformerExt<O = ()>: Informer<O> + Sized {
    /// Only interfaces for which `wanted` holds.
    fn only<F: Fn(&Interface<O>) -> bool>(self, wanted: F) -> Only<Self, F> {
        Only { inner: self, wanted, shown: Shown::default() }
    }

    /// Only interfaces that [can pass packets](Interface::is_up): for programs that attach
    /// to interfaces.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use iface_core::{Event, Informer, InformerExt};
    ///
    /// async fn attach_to_all(informer: impl Informer) {
    ///     let mut up = informer.up_only();
    ///     while let Some(event) = up.next().await {
    ///         match event {
    ///             Event::Added(interface) => println!("attach to {}", interface.name),
    ///             Event::Deleted(interface, _) => println!("detach from {}", interface.name),
    ///             Event::Updated(..) | Event::Synced => {}
    ///         }
    ///     }
    /// }
    /// # use futures_util::{FutureExt, stream};
    /// # attach_to_all(stream::empty()).now_or_never().unwrap();
    /// ```
    fn up_only(self) -> Only<Self, fn(&Interface<O>) -> bool> {
        self.only(Interface::is_up)
    }

    /// Only interfaces that the filter allows; changes of addresses and owners are followed.
    fn filtered(self, filter: Filter) -> Only<Self, impl Fn(&Interface<O>) -> bool + Send + Unpin>
    where
        O: OwnerName,
    {
        self.only(move |interface| filter.allows(interface))
    }
}

impl<O, I: Informer<O>> InformerExt<O> for I {}

/// An [`Informer`] of a part of another's interfaces; see [`InformerExt`].
pub struct Only<I, F> {
    inner: I,
    wanted: F,
    shown: Shown,
}

impl<O, I: Stream<Item = Event<O>> + Unpin, F: Fn(&Interface<O>) -> bool + Unpin> Stream for Only<I, F> {
    type Item = Event<O>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<O>>> {
        let this = self.get_mut();
        loop {
            let Some(event) = std::task::ready!(Pin::new(&mut this.inner).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            let wanted = event.interface().is_some_and(|interface| (this.wanted)(interface));
            if let Some(event) = this.shown.pass(event, wanted) {
                return Poll::Ready(Some(event));
            }
        }
    }
}

impl<I: fmt::Debug, F> fmt::Debug for Only<I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Only").field("inner", &self.inner).field("shown", &self.shown.len()).finish_non_exhaustive()
    }
}

/// The interfaces `Added` and not yet `Deleted` for the reader of a narrowed stream.
#[derive(Debug, Default)]
pub(super) struct Shown(BTreeSet<InterfaceId>);

impl Shown {
    pub(super) fn contains(&self, id: InterfaceId) -> bool {
        self.0.contains(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Shows a hidden interface, or hides a shown interface.
    pub(super) fn turn<O>(&mut self, interface: Arc<Interface<O>>, wanted: bool) -> Event<O> {
        if wanted {
            self.0.insert(interface.id);
            Event::Added(interface)
        } else {
            self.0.remove(&interface.id);
            Event::Deleted(interface, None)
        }
    }

    /// The event to emit for an event of the informer; `wanted` is the present condition of the interface.
    pub(super) fn pass<O>(&mut self, event: Event<O>, wanted: bool) -> Option<Event<O>> {
        match event {
            Event::Synced => Some(event),
            Event::Deleted(interface, counters) => {
                self.0.remove(&interface.id).then_some(Event::Deleted(interface, counters))
            }
            Event::Added(interface) => wanted.then(|| self.turn(interface, true)),
            Event::Updated(interface, changes) => match (self.contains(interface.id), wanted) {
                (true, true) => Some(Event::Updated(interface, changes)),
                (false, true) | (true, false) => Some(self.turn(interface, wanted)),
                (false, false) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::{FutureExt, StreamExt, stream};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{history, steps};

    fn events_of<S: Stream<Item = Event>>(stream: S) -> Vec<Event> {
        stream.collect::<Vec<_>>().now_or_never().unwrap()
    }

    /// The interfaces after these events; panics if an event breaks the order.
    fn replay(events: &[Event]) -> BTreeMap<InterfaceId, Arc<Interface>> {
        let mut state = BTreeMap::new();
        for event in events {
            match event {
                Event::Added(new) => assert_eq!(state.insert(new.id, new.clone()), None),
                Event::Updated(new, _) => assert!(state.insert(new.id, new.clone()).is_some()),
                Event::Deleted(old, _) => assert!(state.remove(&old.id).is_some()),
                Event::Synced => {}
            }
        }
        state
    }

    proptest! {
        #[test]
        fn reader_knows_exactly_the_wanted(steps in steps(), by_address: bool) {
            let filter = Filter::from_words(&[] as &[&str], &[] as &[&str], &["10.1.0.0/16"]).unwrap();
            let wanted = |interface: &Interface| match by_address {
                true => filter.allows(interface),
                false => interface.is_up(),
            };
            let all = history(&steps);
            for until in 0..=all.len() {
                let source = stream::iter(all[..until].to_vec());
                let narrowed = match by_address {
                    true => events_of(source.filtered(filter.clone())),
                    false => events_of(source.up_only()),
                };
                let mut expected = replay(&all[..until]);
                expected.retain(|_, interface| wanted(interface));
                prop_assert_eq!(replay(&narrowed), expected);
            }
        }
    }

    #[test]
    fn synced_passes_through_in_its_place() {
        let up = Arc::new(crate::testing::interface(1, 0, 2, "eth0", None));
        let events = vec![Event::Added(up.clone()), Event::Synced, Event::Deleted(up, None)];
        assert_eq!(events_of(stream::iter(events.clone()).up_only()), events);
        assert_eq!(events_of(stream::iter(events).only(|_| false)), [Event::Synced]);
    }
}
