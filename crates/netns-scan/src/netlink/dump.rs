use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::netlink::message::{Address, Body, Link};

/// A namespace's links and addresses, put together from a dump and from what was heard since
/// before it began. Pure.
///
/// A dump and the events around it come in no reliable order: an event may be older than the
/// dump, or a part of the dump older than an event. But every change makes an event, so what was
/// heard about wins over what was listed, and the last word heard is the state.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    links: BTreeMap<u32, Link>,
    addresses: Vec<Address>,
    heard_links: BTreeMap<u32, Option<Link>>,
    heard_addresses: BTreeMap<(u32, IpNet), bool>,
}

/// A link with its addresses, sorted, each once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed {
    pub(crate) link: Link,
    pub(crate) addresses: Box<[IpNet]>,
}

impl Listing {
    /// Forgets what was listed, for a dump that begins anew; what was heard stays.
    pub(crate) fn start_again(&mut self) {
        self.links.clear();
        self.addresses.clear();
    }

    /// Takes in a part of the dump.
    pub(crate) fn listed(&mut self, part: Change) {
        match part {
            Change::Link(link) => _ = self.links.insert(link.ifindex, link),
            Change::Address(address) => self.addresses.push(address),
            Change::NoLink(_) | Change::NoAddress(_) => {}
        }
    }

    /// Takes in an event.
    pub(crate) fn heard(&mut self, change: Change) {
        match change {
            Change::Link(link) => _ = self.heard_links.insert(link.ifindex, Some(link)),
            Change::NoLink(ifindex) => _ = self.heard_links.insert(ifindex, None),
            Change::Address(Address { ifindex, net }) => _ = self.heard_addresses.insert((ifindex, net), true),
            Change::NoAddress(Address { ifindex, net }) => _ = self.heard_addresses.insert((ifindex, net), false),
        }
    }

    /// What there is, by ifindex.
    pub(crate) fn finish(mut self) -> Vec<Listed> {
        for (ifindex, heard) in self.heard_links {
            match heard {
                Some(link) => _ = self.links.insert(ifindex, link),
                None => _ = self.links.remove(&ifindex),
            }
        }
        let mut addresses: BTreeMap<(u32, IpNet), bool> =
            self.addresses.iter().map(|address| ((address.ifindex, address.net), true)).collect();
        addresses.append(&mut self.heard_addresses);
        let of_link = |ifindex| {
            // All prefixes lie between those of this ifindex and the next.
            let after = addresses.range((ifindex, IpNet::default())..);
            let own = after.take_while(|((of, _), _)| *of == ifindex);
            own.filter_map(|((_, net), there)| there.then_some(*net)).collect()
        };
        self.links.into_values().map(|link| Listed { addresses: of_link(link.ifindex), link }).collect()
    }
}

impl Listing {
    /// Whether the dump can be the whole namespace.
    ///
    /// The kernel ends a dump without an error at a link whose message exceeds the dump's buffer.
    /// Every namespace has `lo` with ifindex 1, and every address belongs to a link.
    pub(crate) fn is_complete(&self) -> bool {
        self.mentions(1) && self.addresses.iter().all(|address| self.mentions(address.ifindex))
    }

    /// Whether a link was dumped, or notified during the dump.
    pub(crate) fn mentions(&self, ifindex: u32) -> bool {
        self.links.contains_key(&ifindex) || self.heard_links.contains_key(&ifindex)
    }

    /// Links that were deleted during the dump.
    pub(crate) fn deleted(&self) -> Vec<u32> {
        self.heard_links.iter().filter(|(_, link)| link.is_none()).map(|(ifindex, _)| *ifindex).collect()
    }
}

/// What one message changes in its namespace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// This link exists, like this.
    Link(Link),
    /// The link with this number is gone.
    NoLink(u32),
    /// The link has this address.
    Address(Address),
    /// The link no longer has this address.
    NoAddress(Address),
}

impl Change {
    /// The change a message tells of, if it tells of one; `Err` when it makes no sense.
    pub(crate) fn of(body: Body<'_>) -> Result<Option<Self>, crate::netlink::message::Malformed> {
        Ok(match body {
            Body::NewLink(message) => message.link()?.map(Self::Link),
            Body::DelLink { ifindex } => Some(Self::NoLink(ifindex)),
            Body::NewAddress(address) => Some(Self::Address(address)),
            Body::DelAddress(address) => Some(Self::NoAddress(address)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use iface_core::{IfName, OperState};

    use super::*;

    fn link(ifindex: u32, name: &str) -> Link {
        Link {
            ifindex,
            name: IfName::new(name).unwrap(),
            mac: None,
            kind: None,
            oper_state: OperState::Up,
            admin_up: true,
            mtu: 1500,
            pair: None,
            carrier_changes: 0,
        }
    }

    fn address(ifindex: u32, net: &str) -> Address {
        Address { ifindex, net: net.parse().unwrap() }
    }

    fn names(listing: Listing) -> Vec<String> {
        listing.finish().iter().map(|listed| listed.link.name.to_string()).collect()
    }

    #[test]
    fn a_stale_event_about_a_listed_link_is_overruled_by_the_next_event() {
        let mut listing = Listing::default();
        listing.listed(Change::Link(link(5, "new")));
        listing.heard(Change::Link(link(5, "old")));
        listing.heard(Change::NoLink(5));
        listing.heard(Change::Link(link(5, "new")));
        assert_eq!(names(listing), ["new"]);
    }

    #[test]
    fn what_was_heard_gone_is_not_brought_back_by_an_older_part_of_the_dump() {
        let mut listing = Listing::default();
        listing.heard(Change::NoLink(5));
        listing.heard(Change::NoAddress(address(6, "10.0.0.1/24")));
        listing.listed(Change::Link(link(5, "ghost")));
        listing.listed(Change::Link(link(6, "real")));
        listing.listed(Change::Address(address(6, "10.0.0.1/24")));
        let listed = listing.finish();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].link.ifindex, listed[0].addresses.len()), (6, 0));
    }

    /// A link with many alternative names ends the kernel's dump without an error.
    #[test]
    fn a_dump_cut_short_is_incomplete() {
        let mut listing = Listing::default();
        listing.listed(Change::Link(link(2, "eth0")));
        assert!(!listing.is_complete(), "no loopback");
        listing.listed(Change::Link(link(1, "lo")));
        assert!(listing.is_complete());
        listing.listed(Change::Address(address(3, "10.0.0.1/24")));
        assert!(!listing.is_complete(), "an address without its link");
        listing.heard(Change::NoLink(3));
        assert!(listing.is_complete(), "the link was deleted between the two dumps");
        assert_eq!(listing.deleted(), [3]);
    }

    #[test]
    fn each_link_gets_its_own_addresses_sorted_and_once() {
        let mut listing = Listing::default();
        for ifindex in [1, 2, 3] {
            listing.listed(Change::Link(link(ifindex, "x")));
        }
        for net in ["fe80::1/64", "10.0.0.1/8", "0.0.0.0/0"] {
            listing.listed(Change::Address(address(2, net)));
            listing.heard(Change::Address(address(2, net)));
        }
        listing.heard(Change::Address(address(9, "10.0.0.9/32")));
        let counts: Vec<usize> = listing.finish().iter().map(|listed| listed.addresses.len()).collect();
        assert_eq!(counts, [0, 3, 0]);
    }
}
