//! The types of iface-core with a pod or container as owner.

pub use crate::owner::model::{
    Container, ContainerOwner, Device, End, Owner, Pod, PodOwner, Runtime, Source, Workload, WorkloadKind,
};

/// An interface and its owner.
pub type Interface = iface_core::Interface<Owner>;
/// An event about an interface and its owner.
pub type Event = iface_core::Event<Owner>;
/// Lookups of interfaces with their owners.
pub type Lookup = iface_core::Lookup<Owner>;
/// The table of all interfaces with their owners.
pub type Registerer<I> = iface_core::Registerer<I, Owner>;
/// The events of interfaces that a filter allows, with their owners.
pub type Filtered<I> = iface_core::Filtered<I, Owner>;
