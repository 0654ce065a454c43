//! The JSON contract: interfaces, events and lookups as other programs read them.
//!
//! Fields may be added, never renamed, removed or given another meaning. `docs/api.md` is generated
//! from [`document`].

mod counters;
pub mod document;
mod event;
mod fault;
mod interface;
mod lookup;
mod node;
mod text;

pub use counters::CountersView;
pub use event::{EventView, LineView};
pub use fault::FaultView;
pub use interface::InterfaceView;
pub use lookup::LookupView;
pub use node::NodeView;

#[cfg(test)]
pub(crate) mod tests;
