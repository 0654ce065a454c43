//! Pods from the API server: their addresses, labels, workload, networks and devices.

pub(in crate::owner) mod annotations;
mod api_claim;
mod api_pod;
mod claims;
mod follow;
mod glob;
mod initial_list;
pub mod multus;
mod pace;
pub mod selection;
pub mod watch;
mod workload;

pub use selection::Selection;
pub use watch::ApiServer;
