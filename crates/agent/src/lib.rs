//! The parts of `netns-agent`, a library so that tests and benches can reach them.
//!
//! Everything a user needs is the program; this crate promises no stable API.

pub mod export;
pub mod metrics;
#[doc(hidden)]
pub mod testing;
pub mod view;
