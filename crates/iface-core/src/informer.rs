use futures_core::Stream;

use crate::Event;

/// A source of events about interfaces.
///
/// The stream starts with an [`Event::Added`] for every interface that exists, then
/// [`Event::Synced`] once, then changes as they happen. What a slow reader has not read yet is
/// merged, so memory is bounded by what exists and never by how much happened.
///
/// Ends only when the source cannot go on. Dropping it stops everything behind it; an event that
/// was taken out of the stream is delivered, one that was not is forgotten.
pub trait Informer<O = ()>: Stream<Item = Event<O>> + Send + Unpin {}

impl<O, S: Stream<Item = Event<O>> + Send + Unpin + ?Sized> Informer<O> for S {}
