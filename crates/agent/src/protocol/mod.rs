//! Counters of TCP, UDP, IP and conntrack of pods, read in `/proc/PID/net` of one process of each pod.
//!
//! The kernel shows these files to every process that sees the PID: no capability is needed, and no namespace is entered.

pub mod counters;
mod processes;

pub use self::counters::Values;
pub use self::processes::{Processes, Wanted};
