//! rtnetlink: sockets, messages and dumps.

pub(crate) mod dump;
pub mod message;
mod missing;
pub(crate) mod recvmsg;
pub(crate) mod socket;
