//! rtnetlink: sockets, messages and dumps.

pub(crate) mod dump;
pub mod message;
mod missing;
pub(crate) mod recvmsg;
#[cfg(test)]
pub(crate) mod replayed;
pub(crate) mod socket;
