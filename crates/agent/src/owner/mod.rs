//! Which pod an interface belongs to.
//!
//! Sources say what they see: [`cni_dir`] follows the CNI cache, [`pods`] the API server. The
//! [`tagger`] makes one answer of it, and [`Tagged`] puts that into the events of an informer.

mod api_pod;
mod attachments;
pub mod cni_cache;
pub mod cni_dir;
mod glob;
pub mod multus;
pub mod notice;
pub mod pod;
mod pod_ip;
pub mod pods;
pub mod selection;
pub mod tagged;
pub mod tagger;
mod verdict;
mod workload;

pub use pods::ApiServer;
pub use selection::Selection;
pub use tagged::{OwnerStatus, OwnerTallies, Sources, Tagged};
pub use tagger::Tagger;
