//! Dumps of a namespace, merged with the notifications received meanwhile. Pure.

use std::collections::BTreeMap;

use crate::netlink::message::{Address, Body, GoneLink, Link, Malformed};

/// Links and addresses of a namespace, from a dump and the notifications since before its start.
///
/// A dump and the notifications around it arrive in no reliable order: a notification may be older
/// than the dump, or a part of the dump older than a notification. Because every change causes a
/// notification, a notification overrules the dump and the last notification is the current state.
#[derive(Debug, Default)]
pub(crate) struct Dump {
    links: BTreeMap<u32, Link>,
    addresses: Vec<Address>,
    notified_links: BTreeMap<u32, Result<Link, GoneLink>>,
    notified_addresses: BTreeMap<Address, bool>,
}

/// A dump merged with the notifications received meanwhile.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Every link of the namespace is listed or deleted; else the listing is a part of the namespace.
    pub(crate) is_complete: bool,
    /// Links that were deleted during the dump.
    pub(crate) deleted: Vec<GoneLink>,
    /// Ordered by ifindex.
    pub(crate) links: Vec<DumpedLink>,
}

/// A link with its addresses, sorted and without duplicates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DumpedLink {
    pub(crate) link: Link,
    pub(crate) addresses: Vec<Address>,
    /// Addresses notified as deleted during the dump.
    pub(crate) removed: Vec<Address>,
}

impl Dump {
    /// Adds a part of the dump.
    pub(crate) fn dumped(&mut self, part: Change) {
        match part {
            Change::Link(link) => _ = self.links.insert(link.ifindex, link),
            Change::Address(address) => self.addresses.push(address),
            Change::NoLink(_) | Change::NoAddress(_) => {}
        }
    }

    /// Adds a notification.
    pub(crate) fn notified(&mut self, change: Change) {
        let addresses = &mut self.notified_addresses;
        match change {
            Change::Link(link) => _ = self.notified_links.insert(link.ifindex, Ok(link)),
            Change::NoLink(gone) => _ = self.notified_links.insert(gone.ifindex, Err(gone)),
            Change::Address(address) => _ = addresses.insert(address, true),
            Change::NoAddress(address) => _ = addresses.insert(address, false),
        }
    }

    /// Merges the dump with the notifications.
    ///
    /// `is_whole`: nothing interrupted the dump. `known` are the links known before: a known link that is
    /// neither listed nor notified as deleted was deleted unnoticed, or follows the link that ended the dump
    /// early, as `exists` tells.
    pub(crate) fn settle(
        self,
        is_whole: bool,
        mut known: impl Iterator<Item = u32>,
        mut exists: impl FnMut(u32) -> bool,
    ) -> Listing {
        let is_complete =
            is_whole && self.is_complete() && !known.any(|ifindex| !self.mentions(ifindex) && exists(ifindex));
        Listing { is_complete, deleted: self.deleted(), links: self.finish() }
    }

    /// Merges dump and notifications; ordered by ifindex.
    pub(crate) fn finish(mut self) -> Vec<DumpedLink> {
        for (ifindex, link) in self.notified_links {
            match link {
                Ok(link) => _ = self.links.insert(ifindex, link),
                Err(_) => _ = self.links.remove(&ifindex),
            }
        }
        let mut addresses: BTreeMap<Address, bool> = self.addresses.iter().map(|address| (*address, true)).collect();
        addresses.append(&mut self.notified_addresses);
        let of_link = |ifindex, exist: bool| {
            let after = addresses.range(Address::first_of(ifindex)..);
            let own = after.take_while(|(address, _)| address.ifindex == ifindex);
            own.filter_map(|(address, exists)| (*exists == exist).then_some(*address)).collect()
        };
        let dumped = |link: Link| DumpedLink {
            addresses: of_link(link.ifindex, true),
            removed: of_link(link.ifindex, false),
            link,
        };
        self.links.into_values().map(dumped).collect()
    }
}

impl Dump {
    /// Whether the dump can be the whole namespace.
    ///
    /// The kernel ends a dump without an error at a link whose message exceeds the dump's buffer.
    /// Every namespace has `lo` with ifindex 1, and every address belongs to a link.
    fn is_complete(&self) -> bool {
        self.mentions(1) && self.addresses.iter().all(|address| self.mentions(address.ifindex))
    }

    /// Whether a link was dumped, or notified during the dump.
    fn mentions(&self, ifindex: u32) -> bool {
        self.links.contains_key(&ifindex) || self.notified_links.contains_key(&ifindex)
    }

    /// Links that were deleted during the dump.
    fn deleted(&self) -> Vec<GoneLink> {
        self.notified_links.values().filter_map(|link| link.as_ref().err()).copied().collect()
    }
}

/// Change of a namespace by one message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// The link exists with these properties.
    Link(Link),
    /// The link was deleted, or left the namespace.
    NoLink(GoneLink),
    /// The link has the address.
    Address(Address),
    /// The link no longer has the address.
    NoAddress(Address),
}

impl Change {
    /// The change that a message reports, if any.
    pub(crate) fn of(body: Body<'_>) -> Result<Option<Self>, Malformed> {
        Ok(match body {
            Body::NewLink(message) => message.link()?.map(Self::Link),
            Body::DelLink(gone) => Some(Self::NoLink(gone)),
            Body::NewAddress(address) => Some(Self::Address(address)),
            Body::DelAddress(address) => Some(Self::NoAddress(address)),
            _ => None,
        })
    }

    /// Whether the notification right before needs no attention any more. A pod that floods the queue with changes of one
    /// link thus takes the memory of one change.
    pub(crate) fn supersedes(&self, before: &Self) -> bool {
        matches!((self, before), (Self::Link(link), Self::Link(before)) if link.ifindex == before.ifindex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deleted(ifindex: u32) -> Change {
        Change::NoLink(GoneLink::unannounced(ifindex))
    }

    fn address(ifindex: u32, net: &str) -> Address {
        Address { ifindex, net: net.parse().unwrap(), peer: None }
    }

    fn names(dump: Dump) -> Vec<String> {
        dump.finish().iter().map(|dumped| dumped.link.name.to_string()).collect()
    }

    #[test]
    fn last_notification_of_a_link_wins() {
        let mut dump = Dump::default();
        dump.dumped(Change::Link(Link::plain(5, "new")));
        dump.notified(Change::Link(Link::plain(5, "old")));
        dump.notified(deleted(5));
        dump.notified(Change::Link(Link::plain(5, "new")));
        assert_eq!(names(dump), ["new"]);
    }

    #[test]
    fn dump_revives_nothing_notified_as_deleted() {
        let mut dump = Dump::default();
        dump.notified(deleted(5));
        dump.notified(Change::NoAddress(address(6, "10.0.0.1/24")));
        dump.dumped(Change::Link(Link::plain(5, "ghost")));
        dump.dumped(Change::Link(Link::plain(6, "real")));
        dump.dumped(Change::Address(address(6, "10.0.0.1/24")));
        let dumped = dump.finish();
        assert_eq!(dumped.len(), 1);
        assert_eq!((dumped[0].link.ifindex, dumped[0].addresses.len()), (6, 0));
    }

    /// A link with many alternative names ends the kernel's dump without an error.
    #[test]
    fn a_dump_cut_short_is_incomplete() {
        let mut dump = Dump::default();
        dump.dumped(Change::Link(Link::plain(2, "eth0")));
        assert!(!dump.is_complete(), "no loopback");
        dump.dumped(Change::Link(Link::plain(1, "lo")));
        assert!(dump.is_complete());
        dump.dumped(Change::Address(address(3, "10.0.0.1/24")));
        assert!(!dump.is_complete(), "an address without its link");
        dump.notified(deleted(3));
        assert!(dump.is_complete(), "the link was deleted between the two dumps");
        assert_eq!(dump.deleted(), [GoneLink::unannounced(3)]);
    }

    /// A known link that the dump leaves out was deleted unnoticed, or the kernel ended the dump before the link.
    #[test]
    fn unlisted_links_are_asked_for() {
        let dump = || {
            let mut dump = Dump::default();
            dump.dumped(Change::Link(Link::plain(1, "lo")));
            dump.notified(deleted(4));
            dump
        };
        let settle = |is_whole, exists: &[u32]| {
            let mut asked = Vec::new();
            let listing = dump().settle(is_whole, [1, 4, 5].into_iter(), |ifindex| {
                asked.push(ifindex);
                exists.contains(&ifindex)
            });
            (listing.is_complete, asked)
        };
        assert_eq!(settle(true, &[]), (true, vec![5]));
        assert_eq!(settle(true, &[5]), (false, vec![5]));
        assert_eq!(settle(false, &[]), (false, vec![]));
        assert_eq!(dump().settle(true, [].into_iter(), |_| false).deleted, [GoneLink::unannounced(4)]);
    }

    #[test]
    fn addresses_are_grouped_without_duplicates() {
        let mut dump = Dump::default();
        for ifindex in [1, 2, 3] {
            dump.dumped(Change::Link(Link::plain(ifindex, "x")));
        }
        for net in ["fe80::1/64", "10.0.0.1/8", "0.0.0.0/0"] {
            dump.dumped(Change::Address(address(2, net)));
            dump.notified(Change::Address(address(2, net)));
        }
        dump.notified(Change::Address(address(9, "10.0.0.9/32")));
        let counts: Vec<usize> = dump.finish().iter().map(|dumped| dumped.addresses.len()).collect();
        assert_eq!(counts, [0, 3, 0]);
    }
}
