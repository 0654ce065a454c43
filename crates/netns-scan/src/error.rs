//! Errors of watchers and queries. A message leaves out its cause: the chain of sources has it.

use std::io;
use std::path::PathBuf;

/// Errors of [`Watcher::start`](crate::Watcher::start) and of the queries.
///
/// The message of an error does not contain its [`source`](std::error::Error::source). `Engine`, `Enter` and
/// `NoInterface` stay until privileges, kernel or namespaces change. `Resource` can pass when other programs
/// free what they hold, and `List` when [`is_interrupted`](Self::is_interrupted).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The requested engine does not work on this host.
    #[error("the {engine} engine cannot be used: {why}")]
    Engine {
        /// Name of the engine.
        engine: &'static str,
        /// Missing privilege or kernel feature.
        why: String,
        /// Error of the kernel.
        source: io::Error,
    },
    /// A file, socket or thread is not available.
    #[error("cannot {what}; {remedy}")]
    Resource {
        /// Failed operation.
        what: &'static str,
        /// Limit or requirement to look at.
        remedy: &'static str,
        /// Error of the kernel.
        source: io::Error,
    },
    /// A namespace cannot be entered.
    #[error("cannot enter the network namespace {}; the path must exist, and entering needs CAP_SYS_ADMIN", path.display())]
    Enter {
        /// Path of the namespace.
        path: PathBuf,
        /// Error of the kernel.
        source: io::Error,
    },
    /// Links or addresses cannot be listed.
    #[error("cannot list {what}")]
    List {
        /// Links or addresses, and their namespace.
        what: &'static str,
        /// Error of the kernel.
        source: io::Error,
    },
    /// The namespace has no interface with this name.
    #[error("the namespace has no interface {name}")]
    NoInterface {
        /// Name of the interface.
        name: iface_core::IfName,
    },
}

impl Error {
    /// Returns whether the cause is a missing privilege.
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

    /// Returns whether changes interrupted a list of addresses or links, so that another attempt can succeed.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::List { source, .. } if source.kind() == io::ErrorKind::Interrupted)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    /// A chain of sources prints each cause once.
    #[test]
    fn messages_leave_out_their_cause() {
        let source = || io::Error::other("the cause");
        let errors = [
            Error::Engine { engine: "nsid", why: "privileges are missing".into(), source: source() },
            Error::Resource { what: "open a file", remedy: "see ulimit -n", source: source() },
            Error::Enter { path: "/run/netns/blue".into(), source: source() },
            Error::List { what: "links", source: source() },
            Error::NoInterface { name: iface_core::IfName::new("eth0").unwrap() },
        ];
        for error in errors {
            assert!(!error.to_string().contains("the cause"), "{error}");
            assert_eq!(error.source().is_some(), !matches!(error, Error::NoInterface { .. }), "{error}");
        }
    }
}
