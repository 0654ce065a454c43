//! The thread that scans, and the channel to its reader.

pub(crate) mod event_channel;
pub(crate) mod scanner;
