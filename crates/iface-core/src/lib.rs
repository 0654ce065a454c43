//! What a network interface is, across network namespaces.
//!
//! A node holds hundreds of network namespaces, and numbers, names and even MAC addresses of
//! their interfaces repeat. This crate has the nouns for that, and what every program needs that
//! follows interfaces: events, filters, and lookups that never wait. It makes no system call and
//! needs no runtime; [`netns-scan`](../netns_scan/index.html) makes the events on Linux.
//!
//! # From events to answers
//!
//! An [`Informer`] is a stream of [`Event`]s. Each part wraps one and is one:
//!
//! - [`Registerer`] keeps a table of what exists and hands out [`Lookup`]s for other threads:
//!   by number and MAC address, by namespace, by name, by [`InterfaceId`]. A [`Reader`] is one for
//!   a thread that asks for every packet.
//! - [`InformerExt::filtered`] narrows by name or address, [`InformerExt::up_only`] to what can
//!   pass packets, for programs that attach something to interfaces.
//! - [`Coalesce`] merges what a slow reader has not read, for those who write an informer.
//!
//! ```
//! use futures_util::{FutureExt, StreamExt, stream};
//! use iface_core::{Event, Filter, InformerExt, NetnsRef, Registerer, LookupOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let watcher = stream::iter([<Event>::Synced]);
//! let settings = LookupOptions { preferred: "0a:58=eth0".parse()?, ..LookupOptions::default() };
//! let registerer = Registerer::with_options(watcher, settings);
//! let lookup = registerer.lookup();
//! let mut events = registerer.filtered(Filter::default()).up_only();
//! # async move {
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Added(interface) => println!("{} in {}", interface.name, interface.netns.place),
//!         Event::Synced => println!("{} interfaces, up or not", lookup.len()),
//!         Event::Updated(..) | Event::Deleted(_) => {}
//!     }
//! }
//! assert!(lookup.in_netns(NetnsRef::Host, 1).is_none());
//! # }.now_or_never().ok_or("it does not wait")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Identity
//!
//! [`InterfaceId`] numbers one existence of an interface and is never used again: join on it.
//! [`InterfaceKey`] is what names an interface to people; [`NetnsId`] tells namespaces apart whose
//! names are the same.
#![forbid(unsafe_code)]

mod coalesce;
mod counters;
mod event;
mod filter;
mod informer;
mod interface;
mod lookup;
mod mac;
mod name;
mod netns;
#[cfg(test)]
mod testing;

pub use coalesce::Coalesce;
pub use counters::{Counters, Direction};
pub use event::{Changes, Event, EventKind};
pub use filter::filtered::{FilterHandle, Filtered};
pub use filter::stream::{InformerExt, Only};
pub use filter::{Filter, FilterError};
pub use informer::Informer;
pub use interface::{Interface, InterfaceId, InterfaceKey, Kind, OperState, Peer};
pub use lookup::preferred::{Preferred, PreferredError};
pub use lookup::registerer::{AskKernel, LookupOptions, Registerer};
pub use lookup::{Answer, Confidence, Found, Lookup, NetnsRef, Reader};
pub use mac::{MacAddr, ParseMacError};
pub use name::{IfName, NetnsName};
pub use netns::{Netns, NetnsId, Place};
