//! Counts and status of the sources of owners.

use crate::owner::tagger::conflict::ConflictCounts;

/// Counts and figures of the tagger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerTallies {
    /// CNI cache files in use now.
    pub files: u64,
    /// CNI cache files in use now that are or were proven to belong to a namespace.
    pub proven_files: u64,
    /// CNI cache files since the start that name no pod, or nothing that leads to a namespace.
    pub foreign_files: u64,
    /// CNI cache files since the start about namespaces that do not exist.
    pub left_over_files: u64,
    /// CNI cache files refused since the start, without foreign files and files left over.
    pub refused_files: u64,
    /// Pods known from the API server now.
    pub pods: u64,
    /// Failed requests to the API server since the start.
    pub pod_faults: u64,
    /// Contradictions between sources since the start.
    pub conflicts: ConflictCounts,
    /// Namespaces whose pod the API server has not known for five minutes.
    pub leaked: u64,
    /// Interfaces outside the host's namespace without an owner now.
    pub untagged: u64,
}

/// Status of the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerStatus {
    /// Counts and figures.
    pub tallies: OwnerTallies,
    /// Faults of CNI caches, one line each; empty when all are followed.
    pub cache_faults: Vec<String>,
    /// Whether the first list of pods is complete and all resulting events were read; `None` without an API server.
    pub pods_listed: Option<bool>,
    /// Fault of the last request to the API server, as a line.
    pub pod_fault: Option<String>,
    /// Whether the API server is still asked for the first list of ResourceClaims.
    pub awaits_claims: bool,
    /// Whether the first look at processes is to come or under way, for a list that is read once.
    pub awaits_processes: bool,
    /// Whether the API server's pods are another node's, as none of them has a namespace here.
    pub foreign_pods: bool,
}
