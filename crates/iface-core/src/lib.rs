//! Network interfaces across network namespaces: events, filters and lookups.
//!
//! A Kubernetes node has hundreds of network namespaces, and ifindexes, names and even MAC addresses
//! of interfaces repeat. This crate has the types of interfaces and namespaces, filters, and wait-free
//! lookups. The crate makes no system calls and needs no runtime; the crate `netns-scan` emits the
//! events on Linux.
//!
//! # From events to answers
//!
//! An [`Informer`] is a stream of [`Event`]s. Adapters wrap an informer:
//!
//! - [`Registerer`] keeps a table of all interfaces and gives [`Lookup`]s to other threads:
//!   by ifindex and MAC address, by namespace, by name, by [`InterfaceId`]. A [`Reader`] is a lookup
//!   for one thread, for example for a lookup per packet.
//! - [`InformerExt::filtered`] narrows by name or address, [`InformerExt::up_only`] to interfaces that
//!   can pass packets, for programs that attach to interfaces.
//! - [`Coalesce`] merges unread events, for authors of informers.
//!
//! ```
//! use futures_util::{FutureExt, StreamExt, stream};
//! use iface_core::{Event, Filter, InformerExt, NetnsRef, Registerer, LookupOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let watcher = stream::iter([<Event>::Synced]);
//! let mut options = LookupOptions::default();
//! options.preferred = "0a:58=eth0".parse()?;
//! let registerer = Registerer::with_options(watcher, options);
//! let lookup = registerer.lookup();
//! let mut events = registerer.filtered(Filter::default()).up_only();
//! # async move {
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Added(interface) => println!("{} in {}", interface.name, interface.netns.place),
//!         Event::Synced => println!("{} interfaces, up or not", lookup.len()),
//!         Event::Updated(..) | Event::Deleted(..) => {}
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
//! An [`InterfaceId`] belongs to one existence of an interface and is never reused: use ids in joins.
//! An [`InterfaceKey`] names an interface for people; a [`NetnsId`] distinguishes namespaces with the
//! same name.
#![forbid(unsafe_code)]

mod coalesce;
mod counters;
mod details;
mod event;
mod extras;
mod filter;
mod informer;
mod interface;
mod lookup;
mod mac;
mod name;
mod netns;
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
#[cfg(test)]
mod testing;

pub use coalesce::Coalesce;
pub use counters::{Counters, Direction, FinalCounters};
pub use details::{CounterDetails, Detail};
pub use event::{Changes, Event, EventKind};
pub use extras::{Extras, Lower, LowerPlace, Parent, Underlay};
pub use filter::filtered::{FilterHandle, Filtered};
pub use filter::stream::{InformerExt, Only};
pub use filter::{Filter, FilterError, FilterErrors, HostEnds, NetnsPattern, OwnerName};
pub use informer::Informer;
pub use interface::{Interface, InterfaceId, InterfaceKey, Kind, OperState, Peer};
pub use lookup::preferred::{Preferred, PreferredError};
pub use lookup::registerer::{AskKernel, LookupOptions, Registerer};
pub use lookup::{Answer, Confidence, Found, Lookup, NetnsRef, Reader};
pub use mac::{MacAddr, ParseMacError};
pub use name::{IfName, NetnsName, ParseIfNameError};
pub use netns::{Netns, NetnsId, NsFile, Place};
