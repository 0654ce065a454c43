//! The interfaces a filter allows, under a filter that can be changed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::interface::{Event, Informer, Interface};
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use iface_core::{Coalesce, Filter, InterfaceId};
use tokio::sync::watch;

/// Passes on what the filter allows. A new filter is felt at once: what it allows is `Added`, what
/// it does not is `Deleted`. Until everything that exists is known, what happens is merged, so that
/// an interface that exists at the start comes as `Added` once, with all that is known of it.
pub struct Filtered<I> {
    inner: I,
    filters: BoxStream<'static, Filter>,
    choice: Choice,
}

impl<I: Informer> Filtered<I> {
    /// Begins with the filter there is now.
    #[must_use]
    pub fn new(inner: I, mut filters: watch::Receiver<Filter>) -> Self {
        let filter = filters.borrow_and_update().clone();
        let filters = stream::unfold(filters, |mut filters| async {
            filters.changed().await.ok()?;
            let filter = filters.borrow_and_update().clone();
            Some((filter, filters))
        });
        Self { inner, filters: filters.boxed(), choice: Choice::new(filter) }
    }
}

impl<I: Informer> Stream for Filtered<I> {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = self.get_mut();
        loop {
            if let Some(event) = this.choice.next() {
                return Poll::Ready(Some(event));
            }
            if let Poll::Ready(Some(filter)) = this.filters.poll_next_unpin(cx) {
                this.choice.refilter(filter);
                continue;
            }
            match std::task::ready!(this.inner.poll_next_unpin(cx)) {
                Some(event) => this.choice.take(event),
                None => return Poll::Ready(this.choice.say.pop()),
            }
        }
    }
}

/// What exists, what of it the reader knows, and what it has to hear. Pure.
struct Choice {
    filter: Filter,
    all: BTreeMap<InterfaceId, One>,
    say: Coalesce,
    synced: bool,
}

struct One {
    interface: Arc<Interface>,
    shown: bool,
}

impl Choice {
    fn new(filter: Filter) -> Self {
        Self { filter, all: BTreeMap::new(), say: Coalesce::default(), synced: false }
    }

    fn next(&mut self) -> Option<Event> {
        if self.synced { self.say.pop() } else { None }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Synced => {
                self.synced = true;
                self.say.push(Event::Synced);
            }
            Event::Deleted(interface) => {
                if self.all.remove(&interface.id).is_some_and(|one| one.shown) {
                    self.say.push(Event::Deleted(interface));
                }
            }
            Event::Added(ref interface) | Event::Updated(ref interface, _) => {
                let allowed = self.filter.allows(interface);
                let one = One { interface: interface.clone(), shown: allowed };
                let was_shown = self.all.insert(interface.id, one).is_some_and(|before| before.shown);
                if was_shown && allowed {
                    self.say.push(event);
                } else {
                    turn(interface, was_shown, allowed).into_iter().for_each(|event| self.say.push(event));
                }
            }
        }
    }

    fn refilter(&mut self, filter: Filter) {
        self.filter = filter;
        for one in self.all.values_mut() {
            let allowed = self.filter.allows(&one.interface);
            turn(&one.interface, one.shown, allowed).into_iter().for_each(|event| self.say.push(event));
            one.shown = allowed;
        }
    }
}

/// What the reader hears when the filter's answer turns.
fn turn(interface: &Arc<Interface>, before: bool, now: bool) -> Option<Event> {
    match (before, now) {
        (false, true) => Some(Event::Added(interface.clone())),
        (true, false) => Some(Event::Deleted(interface.clone())),
        (true, true) | (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use futures_util::FutureExt as _;
    use iface_core::{Changes, IfName, OperState};

    use super::*;
    use crate::json::tests::bare;

    const NONE: [&str; 0] = [];

    fn interface(id: u64, name: &str) -> Arc<Interface> {
        let id = InterfaceId(NonZeroU64::new(id).unwrap());
        Arc::new(Interface { id, name: IfName::new(name).unwrap(), ..bare() })
    }

    fn excluding(words: &[&str]) -> Filter {
        Filter::from_words(&NONE, words, &NONE).unwrap()
    }

    #[test]
    fn a_new_filter_adds_and_deletes_at_once_and_keeps_the_rest() {
        let [eth, lo, tun] = [interface(1, "eth0"), interface(2, "lo"), interface(3, "tun0")];
        let mut events: Vec<_> = [&eth, &lo, &tun].map(|one| Event::Added(one.clone())).into();
        events.push(Event::Synced);
        let (set, filters) = watch::channel(excluding(&["lo"]));
        let mut chosen = Filtered::new(stream::iter(events).chain(stream::pending()), filters);
        let mut heard = || std::iter::from_fn(|| chosen.next().now_or_never().flatten()).collect::<Vec<_>>();
        assert_eq!(heard(), [Event::Added(eth), Event::Added(tun.clone()), Event::Synced]);
        set.send_replace(excluding(&["tun0"]));
        assert_eq!(heard(), [Event::Added(lo), Event::Deleted(tun)]);
        drop(set);
        assert_eq!(heard(), []);
    }

    #[test]
    fn an_address_that_comes_or_goes_turns_the_answer() {
        let without = interface(1, "eth0");
        let with = Arc::new(Interface { addresses: ["10.1.0.5/24".parse().unwrap()].into(), ..(*without).clone() });
        let down = Arc::new(Interface { oper_state: OperState::Down, ..(*with).clone() });
        let updated = |one: &Arc<Interface>, changes| Event::Updated(one.clone(), changes);
        let mut choice = Choice::new(Filter::from_words(&NONE, &NONE, &["10.1.0.0/16"]).unwrap());
        let history = [
            Event::Synced,
            Event::Added(without.clone()),
            updated(&with, Changes::ADDRESSES),
            updated(&down, Changes::OPER_STATE),
            updated(&without, Changes::ADDRESSES),
            Event::Deleted(without.clone()),
        ];
        let mut hear = |event| {
            choice.take(event);
            choice.next()
        };
        let heard: Vec<_> = history.into_iter().filter_map(&mut hear).collect();
        let told = [Event::Synced, Event::Added(with), updated(&down, Changes::OPER_STATE), Event::Deleted(without)];
        assert_eq!(heard, told);
    }

    #[test]
    fn what_exists_at_the_start_comes_once_with_all_that_is_known_of_it() {
        let eth = interface(1, "eth0");
        let up = Arc::new(Interface { admin_up: true, ..(*eth).clone() });
        let events = [Event::Added(eth), Event::Updated(up.clone(), Changes::ADMIN_UP), Event::Synced];
        let (_set, filters) = watch::channel(Filter::default());
        let chosen = Filtered::new(stream::iter(events), filters);
        let heard: Vec<_> = chosen.collect::<Vec<_>>().now_or_never().unwrap();
        assert_eq!(heard, [Event::Added(up), Event::Synced]);
    }
}
