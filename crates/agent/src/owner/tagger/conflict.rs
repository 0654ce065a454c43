//! Contradictions between sources.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::interface::Pod;
use iface_core::{IfName, NetnsId};

/// A contradiction between sources; emitted once per namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct NewConflict {
    /// The namespace.
    pub netns: NetnsId,
    /// Name of the namespace.
    pub name: String,
    /// The contradiction.
    pub conflict: Conflict,
}

/// Kinds of contradictions, each with its effect on the owner.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Conflict {
    /// Neither pod is the owner.
    #[error("CNI results or runtime records give it to two pods, {} and {}; it is given to neither", PodText(.0), PodText(.1))]
    TwoPodsInCache(Arc<Pod>, Arc<Pod>),
    /// The file has no effect.
    #[error("its interface {interface} has another link-layer address than the CNI cache file {} says; the file is not used", file.display())]
    OtherAddress {
        /// The file.
        file: Arc<Path>,
        /// The interface in the file.
        interface: IfName,
    },
    /// The CNI result, or the runtime's record, wins.
    #[error("a CNI result or runtime record gives it to {}, but it was known to belong to {}; the file is believed", PodText(.0), PodText(.1))]
    CacheAgainstKnown(Arc<Pod>, Arc<Pod>),
    /// The CNI result, or the runtime's record, wins.
    #[error("a CNI result or runtime record gives it to {} although it has an address of {}; the file is believed", PodText(.0), PodText(.1))]
    CacheAgainstAddress(Arc<Pod>, Arc<Pod>),
    /// Neither pod is the owner.
    #[error("it was known to belong to {} and now has an address of {}; it is given to neither", PodText(.0), PodText(.1))]
    KnownAgainstAddress(Arc<Pod>, Arc<Pod>),
    /// Neither pod is the owner.
    #[error("it has addresses of two pods, {} and {}; it is given to neither", PodText(.0), PodText(.1))]
    TwoPodsByAddress(Arc<Pod>, Arc<Pod>),
    /// The address is evidence for neither namespace.
    #[error("it and another namespace both have an address of {}; by address it is given to neither", PodText(.0))]
    SharedAddress(Arc<Pod>),
    /// Neither pod is the owner.
    #[error("it has an address of {}, which a CNI result or runtime record places in another namespace; it is given to nobody", PodText(.0))]
    KnownElsewhere(Arc<Pod>),
    /// The other evidence wins.
    #[error("it was known to belong to {} by its processes, and other evidence places the pod in another namespace; it is given to nobody", PodText(.0))]
    ProcessElsewhere(Arc<Pod>),
    /// The file has no effect.
    #[error("a CNI cache file that nothing proves gives it to {}, other evidence to {}; the file is not used", PodText(.0), PodText(.1))]
    UnprovenFile(Arc<Pod>, Arc<Pod>),
    /// The CNI result wins.
    #[error("a record of the container runtime gives it to {}, a CNI result to {}; the CNI result is believed", PodText(.0), PodText(.1))]
    RecordAgainstCache(Arc<Pod>, Arc<Pod>),
    /// The newest pod wins; without a single newest pod, none wins.
    #[error("address {address} is claimed by several live pods; {} is not the only newest and loses", PodText(loser))]
    ClaimedTwice {
        /// The address.
        address: IpAddr,
        /// The pod without the address.
        loser: Arc<Pod>,
    },
}

/// Kinds of contradictions, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// Two results prove two pods.
    TwoResults,
    /// A result has another link-layer address than the interface.
    OtherAddress,
    /// A result names another pod than was known.
    ResultAgainstKnown,
    /// A result names another pod than an address.
    ResultAgainstAddress,
    /// An address names another pod than was known.
    KnownAgainstAddress,
    /// Addresses name two pods.
    TwoAddresses,
    /// Two namespaces have an address of one pod.
    SharedAddress,
    /// An address names a pod that a result proves to be elsewhere.
    KnownElsewhere,
    /// A result or an address places a pod elsewhere that processes have named.
    ProcessElsewhere,
    /// An unproven result names another pod.
    UnprovenResult,
    /// A record of the runtime names another pod than a result.
    RecordAgainstResult,
    /// Two live pods claim one address.
    ClaimedTwice,
}

impl ConflictKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::TwoResults,
        Self::OtherAddress,
        Self::ResultAgainstKnown,
        Self::ResultAgainstAddress,
        Self::KnownAgainstAddress,
        Self::TwoAddresses,
        Self::SharedAddress,
        Self::KnownElsewhere,
        Self::ProcessElsewhere,
        Self::UnprovenResult,
        Self::RecordAgainstResult,
        Self::ClaimedTwice,
    ];

    /// The value of the metric's attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TwoResults => "two_results",
            Self::OtherAddress => "other_mac",
            Self::ResultAgainstKnown => "result_against_known",
            Self::ResultAgainstAddress => "result_against_address",
            Self::KnownAgainstAddress => "known_against_address",
            Self::TwoAddresses => "two_addresses",
            Self::SharedAddress => "shared_address",
            Self::KnownElsewhere => "known_elsewhere",
            Self::ProcessElsewhere => "process_elsewhere",
            Self::UnprovenResult => "unproven_result",
            Self::RecordAgainstResult => "record_against_result",
            Self::ClaimedTwice => "claimed_twice",
        }
    }
}

impl Conflict {
    /// Whether the pod that a namespace was known to belong to is in another namespace.
    pub(super) fn is_misplaced(&self) -> bool {
        matches!(self, Self::KnownElsewhere(_) | Self::ProcessElsewhere(_))
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ConflictKind {
        match self {
            Self::TwoPodsInCache(..) => ConflictKind::TwoResults,
            Self::OtherAddress { .. } => ConflictKind::OtherAddress,
            Self::CacheAgainstKnown(..) => ConflictKind::ResultAgainstKnown,
            Self::CacheAgainstAddress(..) => ConflictKind::ResultAgainstAddress,
            Self::KnownAgainstAddress(..) => ConflictKind::KnownAgainstAddress,
            Self::TwoPodsByAddress(..) => ConflictKind::TwoAddresses,
            Self::SharedAddress(_) => ConflictKind::SharedAddress,
            Self::KnownElsewhere(_) => ConflictKind::KnownElsewhere,
            Self::ProcessElsewhere(_) => ConflictKind::ProcessElsewhere,
            Self::UnprovenFile(..) => ConflictKind::UnprovenResult,
            Self::RecordAgainstCache(..) => ConflictKind::RecordAgainstResult,
            Self::ClaimedTwice { .. } => ConflictKind::ClaimedTwice,
        }
    }
}

/// Numbers of contradictions by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConflictCounts([u64; ConflictKind::ALL.len()]);

impl ConflictCounts {
    pub(super) fn add(&mut self, kind: ConflictKind) {
        self.0[kind as usize] += 1;
    }

    /// The number of contradictions of one kind.
    #[must_use]
    pub fn of(&self, kind: ConflictKind) -> u64 {
        self.0[kind as usize]
    }

    /// The number of all contradictions.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

struct PodText<'a>(&'a Pod);

impl std::fmt::Display for PodText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0.namespace, self.0.name)?;
        self.0.uid.iter().try_for_each(|uid| write!(f, " ({uid})"))
    }
}
