//! Finds and follows every network interface in every network namespace of a Linux host.
//!
//! [`Watcher`] is a stream of [`Event`](iface_core::Event)s for any async runtime:
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use netns_scan::{WatchOptions, Watcher};
//!
//! # async fn watch() -> Result<(), netns_scan::Error> {
//! let mut watcher = Watcher::start(WatchOptions::default())?;
//! println!("{}", watcher.handle().status().reason);
//! while let Some(event) = watcher.next().await {
//!     println!("{event:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The way of an event: `discovery` turns names in [`dirs`](WatchOptions::dirs) into namespaces, an
//! `engine` reaches into each namespace, `netlink` reads the messages, `state` holds all links and
//! emits differences, and `worker` runs the loop and passes events to the reader.

mod discovery;
mod engine;
mod error;
#[doc(hidden)]
pub mod netlink;
mod query;
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
mod retry;
mod state;
mod status;
mod watcher;
mod worker;

pub use discovery::mounts::{Propagation, mounted_directories, propagation};
pub use error::Error;
pub use query::{ips_from_interface, name_for_index};
pub use status::{EngineKind, Fault, FaultKind, Reading, Status, Stopped, Tallies};
pub use watcher::{EngineChoice, Handle, Poller, StatusChanges, WatchOptions, Watcher};
