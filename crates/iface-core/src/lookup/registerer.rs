use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::lookup::kernel::KernelNames;
use crate::lookup::table::{Shared, Writer};
use crate::{Event, IfName, Informer, Lookup, Preferred};

/// Keeps a table of the interfaces an [`Informer`] tells of, and passes its events on.
///
/// An event is in the table before the stream yields it, so whoever hears of an interface can
/// look it up. The table is as fresh as the stream is polled: keep polling it. Up to 4 million
/// interfaces are kept.
///
/// Dropping it drops the informer; every [`Lookup`] then stays as it was.
#[derive(Debug)]
pub struct Registerer<I, O = ()> {
    inner: I,
    writer: Writer<O>,
    lookup: Lookup<O>,
}

/// What lookups do when events do not settle the answer. The default is no rule and no kernel.
#[derive(Default)]
pub struct LookupOptions {
    /// Which name to prefer for a MAC address that no candidate has.
    pub preferred: Preferred,
    /// Asks the kernel for the name of an interface of the own namespace by its number, for
    /// example with `if_indextoname(3)`. Called by whoever looks up, so it should not block.
    pub kernel: Option<AskKernel>,
}

/// How the kernel is asked; see [`LookupOptions::kernel`].
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
    /// A table of what this informer tells.
    #[must_use]
    pub fn new(inner: I) -> Self {
        Self::with_options(inner, LookupOptions::default())
    }

    /// A table of what this informer tells, with rules for what it does not.
    #[must_use]
    pub fn with_options(inner: I, settings: LookupOptions) -> Self {
        let shared = Arc::new(Shared::new(settings.preferred));
        let kernel = settings.kernel.map(|ask| Arc::new(KernelNames::new(ask)));
        Self { inner, writer: Writer::new(shared.clone()), lookup: Lookup { shared, kernel } }
    }

    /// A handle to look interfaces up with, from any thread.
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
