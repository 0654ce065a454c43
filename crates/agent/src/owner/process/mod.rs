//! Processes as evidence: a namespace without a pod gets the pod in whose cgroup the processes inside are.
//!
//! [`look`] reads all processes once, and [`looks`] says when. The tagger takes the result as the weakest evidence.

pub(in crate::owner) mod look;
pub(in crate::owner) mod looks;
