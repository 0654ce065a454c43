//! Agreement of an interface with sources that name networks.

use std::sync::Arc;

use crate::interface::Interface;
use iface_core::{IfName, MacAddr};

/// The network of an interface in one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// The network.
    Named(Arc<str>),
    /// Name or address of the interface are in the source, but for another interface.
    OfAnother,
    /// The source names no network, or several.
    Unknown,
}

impl Network {
    /// The common network of the entries with the best agreement.
    pub(in crate::owner) fn from_best<'a>(best: Match, mut networks: impl Iterator<Item = &'a Arc<str>>) -> Self {
        match (best, networks.next()) {
            (Match::None, _) | (_, None) => Self::Unknown,
            (Match::OfAnother, _) => Self::OfAnother,
            (_, Some(first)) if networks.all(|other| other == first) => Self::Named(first.clone()),
            _ => Self::Unknown,
        }
    }
}

/// Agreement of an interface with a source that names networks, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::owner) enum Match {
    /// The source is about another interface.
    None,
    /// Name or address agree, but only another interface has the address, or several have the address.
    OfAnother,
    /// The name agrees, and no single interface has the address.
    Name,
    /// The peer on the host is the host end in the source, and no single interface has the address: KubeVirt renames
    /// the pod's interface and gives it another address.
    End,
    /// Only this interface has the address.
    Mac,
    /// Only this interface has the address, and the name agrees.
    Both,
}

impl Match {
    /// Compares an interface with link-layer addresses, name and host ends in a source; see [`Testimony::network`].
    pub(in crate::owner) fn of(
        interface: &Interface,
        macs: &[MacAddr],
        name: Option<IfName>,
        ends: &[IfName],
        carriers: impl Fn(MacAddr) -> usize,
    ) -> Self {
        let named = name == Some(interface.name);
        let has_mac = interface.mac.is_some_and(|mac| macs.contains(&mac));
        let only = macs.iter().any(|mac| carriers(*mac) == 1 && (!has_mac || interface.mac == Some(*mac)));
        let wired = interface.peer.as_ref().is_some_and(|peer| peer.netns.is_host() && ends.contains(&peer.name));
        match (has_mac, only) {
            (true, true) if named => Self::Both,
            (true, true) => Self::Mac,
            (_, false) if wired => Self::End,
            (_, false) if named => Self::Name,
            (false, true) if named => Self::OfAnother,
            (true, false) => Self::OfAnother,
            _ => Self::None,
        }
    }
}
