//! The events of allowed interfaces, under a filter that can change at any time.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use atomic_waker::AtomicWaker;
use futures_core::Stream;

use crate::filter::stream::Shown;
use crate::{Coalesce, Event, Filter, Informer, Interface, Lookup, OwnerName, Registerer};

/// Emits the events of the interfaces that a filter allows; the table behind the [`Lookup`]
/// keeps every interface.
///
/// A new filter, set with a [`FilterHandle`], takes effect at once: newly allowed interfaces are
/// `Added`, no longer allowed interfaces are `Deleted`, all others stay. Each `Added` has a
/// `Deleted`, and a returning interface keeps the same [`InterfaceId`](crate::InterfaceId).
///
/// Nothing is emitted before the informer's `Synced`. An interface that exists at the start comes
/// as one `Added` with everything known by then.
///
/// ```
/// use futures_util::StreamExt;
/// use iface_core::{Event, Filter, Filtered, Registerer};
///
/// # futures_util::FutureExt::now_or_never(async {
/// # let watcher = futures_util::stream::iter(Vec::<Event>::new());
/// let registerer = Registerer::new(watcher);
/// let lookup = registerer.lookup();
/// let mut events = Filtered::new(registerer, Filter::default());
/// let filter = events.handle();
/// std::thread::spawn(move || filter.set(Filter::everything()));
/// while let Some(event) = events.next().await {
///     println!("{} ({} interfaces exist)", event.kind(), lookup.len());
/// }
/// # });
/// ```
pub struct Filtered<I, O = ()> {
    // Owned, so that the table is never ahead of the events of this stream.
    inner: Registerer<I, O>,
    lookup: Lookup<O>,
    handle: FilterHandle,
    /// The filter that `shown` and `unread` follow.
    filter: Arc<Filter>,
    shown: Shown,
    unread: Coalesce<O>,
    synced: bool,
    ended: bool,
}

impl<O: OwnerName, I: Informer<O>> Filtered<I, O> {
    /// Narrows the events of a table that holds every interface.
    #[must_use]
    pub fn new(inner: Registerer<I, O>, filter: Filter) -> Self {
        let handle = FilterHandle::new(filter);
        let (lookup, filter) = (inner.lookup(), handle.filter());
        let (shown, unread) = (Shown::default(), Coalesce::default());
        Self { inner, lookup, handle, filter, shown, unread, synced: false, ended: false }
    }

    /// A handle to the filter, for any thread.
    #[must_use]
    pub fn handle(&self) -> FilterHandle {
        self.handle.clone()
    }

    /// A handle to look up any interface, allowed or not.
    #[must_use]
    pub fn lookup(&self) -> Lookup<O> {
        self.lookup.clone()
    }

    /// Follows the handle's filter.
    fn refilter(&mut self) {
        let filter = self.handle.filter();
        if !Arc::ptr_eq(&filter, &self.filter) {
            self.filter = filter;
            if self.synced {
                self.compare();
            }
        }
    }

    /// Queues an event for each difference between the allowed interfaces of the table and the
    /// interfaces known to the reader.
    fn compare(&mut self) {
        let mut turned = Vec::new();
        self.lookup.for_each(|interface| {
            let allowed = self.filter.allows(interface);
            if allowed != self.shown.contains(interface.id) {
                turned.push((allowed, interface.clone()));
            }
        });
        // Older interfaces first, as the informer emitted them.
        turned.sort_unstable_by_key(|(_, interface)| interface.id);
        for (allowed, interface) in turned {
            self.unread.push(self.shown.turn(interface, allowed));
        }
    }

    /// Applies the informer's next event; returns the event to emit at once.
    fn take(&mut self, event: Option<Event<O>>) -> Option<Event<O>> {
        match event {
            Some(Event::Synced) => {
                self.synced = true;
                self.compare();
                self.unread.push(Event::Synced);
                None
            }
            // The comparison at `Synced` finds the interface in the table.
            Some(_) if !self.synced => None,
            Some(event) => {
                let allowed = event.interface().is_some_and(|interface| self.filter.allows(interface));
                self.shown.pass(event, allowed)
            }
            None => {
                self.ended = true;
                if !self.synced {
                    self.compare();
                }
                None
            }
        }
    }
}

impl<O: OwnerName, I: Informer<O>> Stream for Filtered<I, O> {
    type Item = Event<O>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<O>>> {
        let this = self.get_mut();
        // Registered before the filter is read, so that a filter set in between wakes the reader.
        this.handle.0.reader.register(cx.waker());
        this.refilter();
        loop {
            if let Some(event) = this.unread.pop() {
                return Poll::Ready(Some(event));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let event = std::task::ready!(Pin::new(&mut this.inner).poll_next(cx));
            if let Some(event) = this.take(event) {
                return Poll::Ready(Some(event));
            }
        }
    }
}

impl<I: fmt::Debug, O: fmt::Debug> fmt::Debug for Filtered<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filtered")
            .field("inner", &self.inner)
            .field("filter", &self.filter)
            .field("shown", &self.shown.len())
            .field("unread", &self.unread.len())
            .finish_non_exhaustive()
    }
}

/// Reads and replaces a filter, most often of a [`Filtered`] stream, from any thread.
///
/// Cheap to clone; all clones share one filter. No method waits for a lock.
#[derive(Clone)]
pub struct FilterHandle(Arc<Setting>);

struct Setting {
    filter: ArcSwap<Filter>,
    reader: AtomicWaker,
}

impl FilterHandle {
    /// A filter of its own, for outputs that read a table at their own time. The handle of a stream comes from
    /// [`Filtered::handle`].
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self(Arc::new(Setting { filter: ArcSwap::from_pointee(filter), reader: AtomicWaker::new() }))
    }

    /// Replaces the filter and wakes the stream; the next poll applies the filter.
    pub fn set(&self, filter: Filter) {
        self.0.filter.store(Arc::new(filter));
        self.0.reader.wake();
    }

    /// The current filter.
    #[must_use]
    pub fn filter(&self) -> Arc<Filter> {
        self.0.filter.load_full()
    }

    /// Whether the current filter allows the interface.
    #[must_use]
    pub fn allows<O: OwnerName>(&self, interface: &Interface<O>) -> bool {
        self.0.filter.load().allows(interface)
    }

    /// The interfaces of a table that the current filter allows, in no particular order.
    #[must_use]
    pub fn select<O: OwnerName>(&self, lookup: &Lookup<O>) -> Vec<Arc<Interface<O>>> {
        let filter = self.filter();
        let mut allowed = Vec::new();
        lookup.for_each(|interface| {
            if filter.allows(interface) {
                allowed.push(interface.clone());
            }
        });
        allowed
    }
}

impl fmt::Debug for FilterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FilterHandle").field(&self.filter()).finish()
    }
}

#[cfg(test)]
mod tests;
