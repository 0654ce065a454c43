//! Network namespaces: identity, printed place, and the references that people type.

use std::fmt;
use std::num::NonZeroU64;

use crate::NetnsName;

/// Identity of a network namespace: its number in order of discovery, never reused by one informer.
///
/// Neither a name, nor the inode, nor the nsid is an identity: the kernel reuses inodes and nsids of deleted
/// namespaces, a namespace without a name has no known inode, and a namespace can get and lose its name.
/// The host's namespace is always number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetnsId(pub u64);

impl NetnsId {
    /// The host's namespace.
    pub const HOST: Self = Self(0);
}

/// The file of a namespace in nsfs, see `ioctl_nsfs(2)`; the kernel reuses the inode after the namespace's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NsFile {
    /// `st_dev`, the same for all namespaces.
    pub dev: u64,
    /// `st_ino`, the number in `net:[4026531840]`.
    pub inode: u64,
}

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Netns {
    /// Identity of the namespace.
    pub id: NetnsId,
    /// Name of the namespace, or the substitute for a name.
    pub place: Place,
    /// File of the namespace; `None` for a namespace known by its nsid alone.
    pub file: Option<NsFile>,
    /// Id of the namespace that the kernel never reuses until reboot: `SO_NETNS_COOKIE` of
    /// `socket(7)`, and `bpf_get_netns_cookie` in eBPF programs. `None` before Linux 6.18, and where
    /// the source of the namespace tells no cookie.
    pub cookie: Option<NonZeroU64>,
}

/// Place of a namespace on the node, as all outputs print it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Place {
    /// The informer's own namespace: the node's, in a pod with `hostNetwork`.
    Host,
    /// A name in a directory of namespaces.
    Named(NetnsName),
    /// No name, but a known inode: printed as `/proc/PID/ns/net` shows it, `net:[4026532461]`.
    Inode(u64),
    /// No name and no known inode: the nsid in the host's namespace, printed as `nsid:7`. The kernel
    /// reuses the nsid after the namespace's end.
    Nsid(i32),
}

impl Netns {
    /// A namespace without a known file and cookie.
    #[must_use]
    pub fn new(id: NetnsId, place: Place) -> Self {
        Self { id, place, file: None, cookie: None }
    }

    /// With the file in nsfs.
    #[must_use]
    pub fn with_file(self, file: NsFile) -> Self {
        Self { file: Some(file), ..self }
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

    /// Name of the namespace; neither the host's namespace nor a namespace without a name has one.
    #[must_use]
    pub fn name(&self) -> Option<&NetnsName> {
        match &self.place {
            Place::Named(name) => Some(name),
            Place::Host | Place::Inode(_) | Place::Nsid(_) => None,
        }
    }

    /// The inode of the file, if known.
    #[must_use]
    pub fn inode(&self) -> Option<u64> {
        self.file.map(|file| file.inode)
    }
}

/// The name, `host`, `net:[inode]` or `nsid:number`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.pad("host"),
            Self::Named(name) => name.fmt(f),
            Self::Inode(inode) => f.pad(&format!("net:[{inode}]")),
            Self::Nsid(nsid) => f.pad(&format!("nsid:{nsid}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Width and alignment apply to every place.
    #[test]
    fn places_are_printed_padded() {
        let places = [Place::Host, Place::Named(NetnsName::new("blue")), Place::Inode(4_026_532_461), Place::Nsid(7)];
        let printed = places.map(|place| format!("{place:>18}|"));
        assert_eq!(
            printed,
            ["              host|", "              blue|", "  net:[4026532461]|", "            nsid:7|"]
        );
    }
}
