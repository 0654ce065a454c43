use std::fmt;
use std::num::NonZeroU64;

use crate::NetnsName;

/// What makes a network namespace the one it is.
///
/// `nsfs` gives each namespace a (device, inode), see `ioctl_nsfs(2)`; the inode number is
/// given out again once its namespace is dead, so a generation tells the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetnsId {
    /// `st_dev` of the nsfs file.
    pub dev: u64,
    /// `st_ino` of the nsfs file.
    pub inode: u64,
    /// Counts up with each namespace an informer meets; never reused by one informer.
    pub generation: u64,
}

/// A network namespace as it is known by now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Netns {
    /// Its identity.
    pub id: NetnsId,
    /// Where it was found.
    pub place: Place,
    /// Id of the namespace that the kernel never reuses until reboot: `SO_NETNS_COOKIE` of
    /// `socket(7)`, and `bpf_get_netns_cookie` in eBPF programs. `None` before Linux 6.18, and where
    /// the source of the namespace tells no cookie.
    pub cookie: Option<NonZeroU64>,
}

/// Where a namespace is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// It is the informer's own: the node's, in a pod with `hostNetwork`.
    Host,
    /// It has a name in a directory of namespaces.
    Named(NetnsName),
}

impl Netns {
    /// Whether this is the host's namespace.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.place == Place::Host
    }

    /// Its name; the host's namespace has none.
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
