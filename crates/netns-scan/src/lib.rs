//! Finds every network interface in every network namespace of a Linux host, and follows it.
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
//! How an event gets there, file by file: names in [`directory`](WatchOptions::dirs) become namespaces
//! (`names.rs`), an engine reaches into each (`engine/`), its netlink messages (`message.rs`) become
//! the state of every link (`state.rs`), and what differs is merged with what is not read yet and
//! handed out (`feed.rs`). `scanner.rs` is the loop around it.

mod discovery;
mod engine;
mod error;
#[doc(hidden)]
pub mod netlink;
mod query;
mod state;
mod status;
mod watcher;
mod worker;

pub use discovery::mounts::{Propagation, propagation};
pub use error::Error;
pub use query::{ips_from_interface, name_for_index};
pub use status::{EngineKind, Fault, Reading, Status, Stopped, Tallies};
pub use watcher::{EngineChoice, Handle, Poller, WatchOptions, Watcher};
