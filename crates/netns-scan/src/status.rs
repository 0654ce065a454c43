//! Status, faults, tallies and counters of a running watcher or poller.

use std::path::PathBuf;

use iface_core::{Counters, InterfaceId};

/// Engine that reaches into namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// One socket for all namespaces.
    Nsid,
    /// A socket in every namespace.
    Setns,
    /// No engine: only the own namespace is visible.
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

/// Status of a watcher or poller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Engine in use.
    pub engine: EngineKind,
    /// Reason for the engine, and the privileges for a better engine; one line for the log.
    pub reason: String,
    /// All interfaces that existed at the start are in the stream.
    pub synced: bool,
    /// Number of followed namespaces, including the host's.
    pub namespaces: usize,
    /// Number of interfaces in the followed namespaces.
    pub interfaces: usize,
    /// Directories and namespaces that are not visible now; empty when all is well. Each fault is retried.
    pub faults: Vec<Fault>,
}

impl Status {
    /// The status of a start: nothing is known beside the own namespace.
    #[must_use]
    pub fn new(engine: EngineKind, reason: String) -> Self {
        Self { engine, reason, synced: false, namespaces: 1, interfaces: 0, faults: Vec::new() }
    }
}

/// A directory or namespace that is not visible, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// Kind of the subject.
    pub kind: FaultKind,
    /// The path of the namespace or directory.
    pub subject: PathBuf,
    /// Reason and remedy.
    pub error: String,
}

impl Fault {
    /// A fault of a path.
    #[must_use]
    pub fn new(kind: FaultKind, subject: impl Into<PathBuf>, error: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), error: error.into() }
    }
}

/// Subject of a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A directory of names cannot be listed or watched, so any number of namespaces may be missing.
    Directory,
    /// A name has no network namespace behind it: a file left over by a runtime, or another kind of file.
    Name,
    /// A network namespace cannot be followed or listed.
    Namespace,
    /// The kernel lists only a part of a network namespace, and the rest stays unknown. Anybody inside
    /// can cause the fault, by links with many alternative names.
    Incomplete,
    /// Veths lead to network namespaces that no name leads to, and the engine follows names only. One fault
    /// stands for all of them.
    Unnamed,
}

impl FaultKind {
    /// Whether interfaces are missing from the events.
    #[must_use]
    pub fn hides_interfaces(self) -> bool {
        match self {
            Self::Directory | Self::Namespace | Self::Incomplete | Self::Unnamed => true,
            Self::Name => false,
        }
    }
}

/// Counts since the start, and the number of unread events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tallies {
    /// Overruns of receive queues.
    pub overruns: u64,
    /// Namespaces listed again after lost notifications.
    pub resyncs: u64,
    /// Events merged into an earlier unread event.
    pub merged: u64,
    /// Unread events now.
    pub unread: u64,
    /// Malformed netlink messages.
    pub malformed: u64,
    /// Warnings about refused files and directories.
    pub refused: u64,
}

/// The counters of one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// Interface that the counters belong to.
    pub id: InterfaceId,
    /// Counters since the creation of the link.
    pub counters: Counters,
    /// Counters at the arrival of a link that moved into its namespace while the watcher ran; else zero.
    pub base: Counters,
}

impl Reading {
    /// A reading of a link that did not move.
    #[must_use]
    pub fn new(id: InterfaceId, counters: Counters) -> Self {
        Self { id, counters, base: Counters::default() }
    }

    /// With the counters at the arrival of the link.
    #[must_use]
    pub fn with_base(self, base: Counters) -> Self {
        Self { base, ..self }
    }
}

/// Error of a request to a watcher or poller that has terminated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the watcher has terminated")]
pub struct Stopped;
