//! Interfaces as the agent sees them: the types of iface-core with a pod as owner.

pub use iface_core::{End, Event, Informer, Interface, Lookup, Owner, Pod, Registerer, Source, Workload, WorkloadKind};
