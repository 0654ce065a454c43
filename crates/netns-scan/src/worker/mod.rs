//! The thread that scans, and the channel to its reader.

pub(crate) mod event_channel;
mod nameless_peers;
mod pass;
mod roster;
pub(crate) mod scanner;
mod sysfs;
mod unnamed;
