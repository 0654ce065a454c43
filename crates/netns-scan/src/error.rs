use std::io;
use std::path::PathBuf;

/// Why something cannot be watched or looked up.
///
/// None of them passes by itself while the program runs on with the same privileges.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine asked for does not work here.
    #[error("the {engine} engine cannot be used: {why}: {source}")]
    Engine {
        /// Its name.
        engine: &'static str,
        /// What is missing.
        why: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something that is needed to follow directories or sockets cannot be had.
    #[error("cannot {what}: {source}; see the limits on open files and inotify instances (ulimit -n, fs.inotify)")]
    Resource {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A namespace cannot be entered.
    #[error("cannot enter the network namespace {}: {source}; it must exist, and entering needs CAP_SYS_ADMIN", path.display())]
    Enter {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Links or addresses cannot be listed.
    #[error("cannot list {what}: {source}")]
    List {
        /// Links or addresses, and of which namespace.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no interface with this name.
    #[error("there is no interface {name} in the namespace")]
    NoInterface {
        /// The name.
        name: iface_core::IfName,
    },
}

impl Error {
    /// Whether a privilege is missing.
    #[must_use]
    pub fn is_permission_denied(&self) -> bool {
        match self {
            Self::Engine { source, .. }
            | Self::Resource { source, .. }
            | Self::Enter { source, .. }
            | Self::List { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::NoInterface { .. } => false,
        }
    }
}
