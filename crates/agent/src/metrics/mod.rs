//! What is measured: pure data, no protocol.
//!
//! [`catalog`] names every metric once. [`series`] gives each counter its start time and turns a
//! snapshot of interfaces and a pass of readings into [`points::Points`]; [`delta`] makes
//! differences of those where a receiver wants them. [`own`] is the
//! agent's view of itself.

pub mod bandwidth;
pub mod catalog;
pub mod clock;
pub mod delta;
pub mod document;
pub mod own;
pub mod points;
pub mod series;
