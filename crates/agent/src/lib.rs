//! The parts of `netns-agent`, a library so that tests and benches can reach them.
//!
//! Everything a user needs is the program; this crate promises no stable API.

pub mod admin;
pub mod app;
pub mod chosen;
pub mod cli;
pub mod config;
pub mod export;
pub mod logging;
pub mod metrics;
pub mod owner;
pub mod pipeline;
#[doc(hidden)]
pub mod testing;
pub mod view;
