//! The JSON contract: interfaces, events and lookups as other programs read them.
//!
//! Fields may be added, never renamed, removed or given another meaning. `docs/api.md` is generated
//! from [`document`].

pub mod document;
mod event;
mod fault;
mod interface;
mod lookup;
mod text;

pub use event::{EventView, LineView};
pub use fault::FaultView;
pub use interface::InterfaceView;
pub use lookup::LookupView;

#[cfg(test)]
pub(crate) mod tests;
