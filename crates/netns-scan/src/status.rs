use std::path::PathBuf;

use iface_core::{Counters, InterfaceId};

/// What reaches into namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// One socket that hears every namespace.
    Nsid,
    /// A socket in every namespace.
    Setns,
    /// Nothing: only the own namespace is seen.
    Own,
}

impl EngineKind {
    /// `nsid`, `setns` or `own`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nsid => "nsid",
            Self::Setns => "setns",
            Self::Own => "own",
        }
    }
}

/// How a watcher or poller stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What reaches into namespaces.
    pub engine: EngineKind,
    /// Why this engine, and what to add for a better one; one line for the log.
    pub reason: String,
    /// Everything that existed at the start has been put into the stream.
    pub synced: bool,
    /// Namespaces that are followed, the host's among them.
    pub namespaces: usize,
    /// Interfaces in them.
    pub interfaces: usize,
    /// What cannot be seen now and is tried again; empty when all is well.
    pub faults: Vec<Fault>,
}

/// Something that cannot be seen, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The path of the namespace or directory.
    pub subject: PathBuf,
    /// What happened and what to do.
    pub error: String,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Receive queues that ran over.
    pub overruns: u64,
    /// Namespaces that were listed again because something was lost.
    pub resyncs: u64,
    /// Events merged into an earlier one that was not read yet.
    pub merged: u64,
    /// Events not read yet.
    pub unread: u64,
    /// Netlink messages that made no sense.
    pub malformed: u64,
    /// Files and directories that were refused with a warning.
    pub refused: u64,
}

/// The counters of one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whose they are.
    pub id: InterfaceId,
    /// What it has carried.
    pub counters: Counters,
}

/// The watcher or poller has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the watcher has ended")]
pub struct Stopped;
