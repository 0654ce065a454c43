//! Addresses of links.

use iface_core::NetnsId;
use ipnet::IpNet;

use super::State;
use crate::netlink::message::Address;

/// Addresses beside a link's message.
pub(super) enum Addresses {
    /// A notification of the link: no addresses.
    Unchanged,
    /// A dump that changes interrupted: addresses may be missing.
    Some,
    /// A whole dump.
    All(Vec<Address>),
}

impl Addresses {
    pub(super) fn all(self) -> Option<Vec<Address>> {
        match self {
            Self::Unchanged | Self::Some => None,
            Self::All(addresses) => Some(addresses),
        }
    }
}

impl State {
    /// Adds or removes an address of a link; [`State::readdress`] tells of it.
    pub(super) fn set_address(&mut self, id: NetnsId, address: Address, exists: bool) {
        let key = (id, address.ifindex);
        let Some(known) = self.known_mut(key) else { return };
        match (known.addresses.binary_search(&address), exists) {
            (Err(place), true) => known.addresses.insert(place, address),
            (Ok(place), false) => _ = known.addresses.remove(place),
            _ => return,
        }
        if self.readdressed.last() != Some(&key) {
            self.readdressed.push(key);
        }
    }

    /// Stages the changed addresses.
    pub(super) fn readdress(&mut self) {
        let mut readdressed = std::mem::take(&mut self.readdressed);
        readdressed.sort_unstable();
        readdressed.dedup();
        for key in readdressed {
            let Some(known) = self.known(key) else { continue };
            let nets = nets(&known.addresses);
            if known.interface.addresses != nets {
                self.update(key, |interface| interface.addresses = nets);
            }
        }
    }
}

/// Sorted addresses without their peers, and so without duplicates.
pub(super) fn nets(addresses: &[Address]) -> Box<[IpNet]> {
    let mut nets: Vec<IpNet> = addresses.iter().map(|address| address.net).collect();
    nets.dedup();
    nets.into()
}
