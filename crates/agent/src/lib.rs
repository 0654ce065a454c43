//! The parts of `netns-agent`, a library so that tests and benches can reach them.
//!
//! Everything a user needs is the program; this crate promises no stable API.

pub mod admin;
pub mod causes;
pub mod cgroup;
pub mod cli;
pub mod config;
pub mod export;
pub mod feed;
mod inotify;
pub mod interface;
pub mod json;
pub mod logging;
pub mod lookup;
pub mod metrics;
pub mod owner;
pub mod pipeline;
pub mod printable;
mod proc;
pub mod protocol;
pub mod proxy;
pub mod random;
pub mod run;
pub mod secret;
mod state_dir;
#[doc(hidden)]
pub mod testing;
pub mod tls_provider;
