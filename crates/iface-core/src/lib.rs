//! What a network interface is, across network namespaces.
#![forbid(unsafe_code)]

mod coalesce;
mod counters;
mod event;
mod filter;
mod informer;
mod interface;
mod kernel;
mod lookup;
mod mac;
mod name;
mod netns;
mod only;
mod owner;
mod preferred;
mod registerer;
#[cfg(test)]
mod sample;
mod table;

pub use coalesce::Coalesce;
pub use counters::{Counters, Direction};
pub use event::{Changes, Event, EventKind};
pub use filter::{Filter, FilterError};
pub use informer::Informer;
pub use interface::{Interface, InterfaceId, InterfaceKey, Kind, OperState, Peer};
pub use lookup::{Answer, Confidence, Found, Lookup, NetnsRef};
pub use mac::{MacAddr, ParseMacError};
pub use name::{IfName, NetnsName};
pub use netns::{Netns, NetnsId, Place};
pub use only::{InformerExt, Only};
pub use owner::{End, Owner, Pod, Source, Workload, WorkloadKind};
pub use preferred::{Preferred, PreferredError};
pub use registerer::{AskKernel, Registerer, Settings};
