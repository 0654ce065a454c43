//! Contradictions between sources.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::interface::Pod;
use iface_core::{IfName, NetnsId};

/// A contradiction between sources; emitted once per namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
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
    #[error("CNI cache files give it to two pods, {} and {}; it is given to neither", PodText(.0), PodText(.1))]
    TwoPodsInCache(Arc<Pod>, Arc<Pod>),
    /// The file has no effect.
    #[error("its interface {interface} has another link-layer address than the CNI cache file {} says; the file is not used", file.display())]
    OtherAddress {
        /// The file.
        file: Arc<Path>,
        /// The interface in the file.
        interface: IfName,
    },
    /// The CNI cache wins.
    #[error("the CNI cache gives it to {}, but it was known to belong to {}; the CNI cache is believed", PodText(.0), PodText(.1))]
    CacheAgainstKnown(Arc<Pod>, Arc<Pod>),
    /// The CNI cache wins.
    #[error("the CNI cache gives it to {} although it has an address of {}; the CNI cache is believed", PodText(.0), PodText(.1))]
    CacheAgainstAddress(Arc<Pod>, Arc<Pod>),
    /// Neither pod is the owner.
    #[error("it was known to belong to {} and now has an address of {}; it is given to neither", PodText(.0), PodText(.1))]
    KnownAgainstAddress(Arc<Pod>, Arc<Pod>),
    /// Neither pod is the owner.
    #[error("it has addresses of two pods, {} and {}; it is given to neither", PodText(.0), PodText(.1))]
    TwoPodsByAddress(Arc<Pod>, Arc<Pod>),
    /// The file has no effect.
    #[error("it and another namespace both have an address of {}; by address it is given to neither", PodText(.0))]
    SharedAddress(Arc<Pod>),
    /// Neither pod is the owner.
    #[error("it has an address of {}, which the CNI cache places in another namespace; it is given to nobody", PodText(.0))]
    KnownElsewhere(Arc<Pod>),
    /// Neither pod is the owner.
    #[error("a CNI cache file that nothing proves gives it to {}, other evidence to {}; it is given to neither", PodText(.0), PodText(.1))]
    UnprovenFile(Arc<Pod>, Arc<Pod>),
    /// The newer pod wins.
    #[error("address {address} is claimed by several pods; {} is older or terminating and loses", PodText(loser))]
    ClaimedTwice {
        /// The address.
        address: IpAddr,
        /// The pod without the address.
        loser: Arc<Pod>,
    },
}

struct PodText<'a>(&'a Pod);

impl std::fmt::Display for PodText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0.namespace, self.0.name)?;
        self.0.uid.iter().try_for_each(|uid| write!(f, " ({uid})"))
    }
}
