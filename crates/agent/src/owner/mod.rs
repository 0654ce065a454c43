//! Which pod an interface belongs to.

mod attachments;
pub mod cni_cache;
pub mod cni_dir;
pub mod multus;
pub mod notice;
pub mod pod;
mod pod_ip;
pub mod tagged;
pub mod tagger;
mod verdict;

pub use tagged::{OwnerStatus, OwnerTallies, Sources, Tagged};
pub use tagger::Tagger;
