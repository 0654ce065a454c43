//! The errors of this crate.

use std::io;
use std::path::PathBuf;

/// An error of a watcher or a query.
///
/// No error passes by itself while the program runs with the same privileges. The text of an error does not repeat
/// that of its [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The requested engine does not work here.
    #[error("the {engine} engine cannot be used: {why}")]
    Engine {
        /// Its name.
        engine: &'static str,
        /// The missing privilege or kernel feature.
        why: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refuses a resource that following directories or sockets needs.
    #[error("cannot {what}; see the limits on open files and inotify instances (ulimit -n, fs.inotify)")]
    Resource {
        /// The operation.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A namespace cannot be entered.
    #[error("cannot enter the network namespace {}; it must exist, and entering needs CAP_SYS_ADMIN", path.display())]
    Enter {
        /// Its path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Links or addresses cannot be listed.
    #[error("cannot list {what}")]
    List {
        /// Links or addresses, with their namespace.
        what: &'static str,
        /// The kernel's answer.
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

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    /// Programs print an error with its sources, so a text that repeats its source would be printed twice.
    #[test]
    fn text_does_not_repeat_the_source() {
        let source = || io::Error::from_raw_os_error(1);
        let errors = [
            Error::Engine { engine: "setns", why: "CAP_SYS_ADMIN is missing".to_owned(), source: source() },
            Error::Resource { what: "start a thread", source: source() },
            Error::Enter { path: "/run/netns/blue".into(), source: source() },
            Error::List { what: "links", source: source() },
            Error::NoInterface { name: iface_core::IfName::new("eth0").unwrap() },
        ];
        for error in errors {
            let repeats = error.source().is_some_and(|source| error.to_string().contains(&source.to_string()));
            assert!(!repeats, "{error}");
            assert_eq!(error.source().is_some(), !matches!(error, Error::NoInterface { .. }));
        }
    }
}
