//! The informer that writes the table: events pass through unchanged.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::lookup::kernel::KernelNames;
use crate::lookup::table::{Shared, Writer};
use crate::{Event, IfName, Informer, Lookup, Preferred};

/// Keeps a table of the interfaces of an [`Informer`], and passes the events on.
///
/// The table has an event's interface before the stream yields the event, so the receiver of an event
/// can look up its interface. The table changes only when the stream is polled: keep polling. The
/// limit is 4 million interfaces.
///
/// Dropping the registerer drops the informer; every [`Lookup`] then keeps the last table.
#[derive(Debug)]
pub struct Registerer<I, O = ()> {
    inner: I,
    writer: Writer<O>,
    lookup: Lookup<O>,
}

/// Rules of lookups without an exact match. The default has no rule and no fallback to the kernel.
#[derive(Default)]
#[non_exhaustive]
pub struct LookupOptions {
    /// Preferred names for MAC addresses without an exact match.
    pub preferred: Preferred,
    /// Requests the name of an interface of the own namespace by ifindex from the kernel, for
    /// example with `if_indextoname(3)`. Called by the thread of a lookup, so should not block.
    pub kernel: Option<AskKernel>,
}

/// A request of a name from the kernel; see [`LookupOptions::kernel`].
pub type AskKernel = Box<dyn Fn(u32) -> Option<IfName> + Send + Sync>;

impl fmt::Debug for LookupOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupOptions")
            .field("preferred", &self.preferred)
            .field("kernel", &self.kernel.is_some())
            .finish()
    }
}

impl<O, I: Informer<O>> Registerer<I, O> {
    /// A table of the informer's interfaces.
    #[must_use]
    pub fn new(inner: I) -> Self {
        Self::with_options(inner, LookupOptions::default())
    }

    /// A table of the informer's interfaces, with rules for lookups.
    #[must_use]
    pub fn with_options(inner: I, settings: LookupOptions) -> Self {
        let shared = Arc::new(Shared::new(settings.preferred));
        let kernel = settings.kernel.map(|ask| Arc::new(KernelNames::new(ask)));
        Self { inner, writer: Writer::new(shared.clone()), lookup: Lookup { shared, kernel } }
    }

    /// A handle for lookups from any thread.
    #[must_use]
    pub fn lookup(&self) -> Lookup<O> {
        self.lookup.clone()
    }
}

impl<O, I: Informer<O>> Stream for Registerer<I, O> {
    type Item = Event<O>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<O>>> {
        let this = self.get_mut();
        let event = std::task::ready!(Pin::new(&mut this.inner).poll_next(cx));
        if let Some(event) = &event {
            this.writer.apply(event);
        }
        Poll::Ready(event)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}
