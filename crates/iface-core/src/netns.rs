use std::fmt;
use std::num::NonZeroU64;

use crate::NetnsName;

/// Identity of a network namespace.
///
/// `nsfs` gives each namespace a (device, inode), see `ioctl_nsfs(2)`. The kernel reuses the inode number of a
/// deleted namespace, so a generation is part of the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetnsId {
    /// `st_dev` of the nsfs file.
    pub dev: u64,
    /// `st_ino` of the nsfs file.
    pub inode: u64,
    /// Number of the namespace in order of discovery; never reused by one informer.
    pub generation: u64,
}

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Netns {
    /// Identity of the namespace.
    pub id: NetnsId,
    /// Name of the namespace, or the host's.
    pub place: Place,
    /// Id of the namespace that the kernel never reuses until reboot: `SO_NETNS_COOKIE` of
    /// `socket(7)`, and `bpf_get_netns_cookie` in eBPF programs. `None` before Linux 6.18, and where
    /// the source of the namespace tells no cookie.
    pub cookie: Option<NonZeroU64>,
}

/// Place of a namespace on the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Place {
    /// The informer's own namespace: the node's, in a pod with `hostNetwork`.
    Host,
    /// A name in a directory of namespaces.
    Named(NetnsName),
}

impl Netns {
    /// A namespace without a known cookie.
    #[must_use]
    pub fn new(id: NetnsId, place: Place) -> Self {
        Self { id, place, cookie: None }
    }

    /// With the cookie, if known.
    #[must_use]
    pub fn with_cookie(self, cookie: Option<NonZeroU64>) -> Self {
        Self { cookie, ..self }
    }

    /// Whether this is the host's namespace.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.place == Place::Host
    }

    /// Name of the namespace; the host's namespace has none.
    #[must_use]
    pub fn name(&self) -> Option<&NetnsName> {
        match &self.place {
            Place::Host => None,
            Place::Named(name) => Some(name),
        }
    }
}

/// The name, or `host`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.pad("host"),
            Self::Named(name) => name.fmt(f),
        }
    }
}
