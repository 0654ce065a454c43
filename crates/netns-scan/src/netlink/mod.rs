//! rtnetlink: sockets, messages and dumps.

pub(crate) mod dump;
pub mod message;
pub(crate) mod recvmsg;
pub(crate) mod socket;
