//! Measurements as data: no protocol, no input or output.
//!
//! [`catalog`] names every metric once. [`series`] gives each counter its start time and turns a
//! snapshot of interfaces and a pass of readings into [`points::Points`]; [`delta`] turns those into
//! differences for receivers with delta temporality, [`clock`] notices a clock that is set back. [`own`] holds
//! the agent's metrics about itself.

pub mod catalog;
pub mod clock;
pub mod delta;
pub mod own;
pub mod points;
pub mod series;
