//! The pod or container that owns each interface.
//!
//! Sources report evidence: [`cni`] reads the CNI result cache, [`kube`] the API server, [`container`] the records of
//! container runtimes, `process` the processes inside. The [`tagger`] decides, and [`WithOwners`] adds the decision to the events of an informer.

pub mod claim;
pub mod cni;
pub mod container;
pub(crate) mod holders;
mod index;
pub mod kube;
mod leaks;
pub mod model;
mod node_check;
pub mod pod;
mod process;
mod sources;
mod status;
pub mod tagger;
pub mod with_owners;

pub(crate) use cni::result::is_sandbox_name;
pub use kube::{ApiServer, Selection};
pub use sources::OwnerSources;
pub use status::{OwnerStatus, OwnerTallies};
pub use tagger::Tagger;
pub use with_owners::{FOREIGN, WithOwners};
