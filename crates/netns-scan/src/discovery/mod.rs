//! Network namespaces by name: directories, mounts and nsfs identities.

pub(crate) mod directory;
mod faults;
pub(crate) mod mounts;
pub(crate) mod names;
pub(crate) mod nsfs;
mod plain_files;
mod processes;
