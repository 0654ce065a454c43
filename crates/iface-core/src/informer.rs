//! The trait of a stream of events that begins with all existing interfaces.

use futures_core::Stream;

use crate::Event;

/// A source of events about interfaces.
///
/// The stream starts with an [`Event::Added`] for every interface that exists, then
/// [`Event::Synced`] once, then all changes. Unread events of a slow reader are merged, so memory is
/// bounded by the number of interfaces, never by the number of changes.
///
/// The stream ends only when the source cannot continue. Dropping an informer stops its threads and
/// sockets; unread events are lost.
pub trait Informer<O = ()>: Stream<Item = Event<O>> + Send + Unpin {}

impl<O, S: Stream<Item = Event<O>> + Send + Unpin + ?Sized> Informer<O> for S {}
