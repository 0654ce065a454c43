//! Pods from the API server: their addresses, labels, workload and networks.

mod api_pod;
mod glob;
mod initial_list;
pub mod multus;
mod pace;
pub mod selection;
pub mod watch;
mod workload;

pub use selection::Selection;
pub use watch::ApiServer;
