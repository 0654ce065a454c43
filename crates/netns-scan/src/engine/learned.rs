//! Findings of an engine, on their way to the state.

use std::collections::BTreeSet;
use std::io;

use iface_core::{Counters, NetnsId};

use crate::FaultKind;
use crate::netlink::dump::{Change, Listing};
use crate::netlink::message::{Link, Pair};
use crate::netlink::socket::{Incomplete, RequestError};
use crate::state::{LinkId, State};

/// Everything that one call of an engine has found out.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// In the order in which they apply.
    pub(crate) findings: Vec<Finding>,
    /// Namespaces whose nsid was released. Their names may lead to other namespaces by now.
    pub(crate) dead: Vec<NetnsId>,
    /// Nsids that no followed namespace has. A namespace may be dead by now.
    pub(crate) unclaimed: BTreeSet<i32>,
    /// Overruns of receive queues.
    pub(crate) overruns: u64,
    /// Malformed netlink messages.
    pub(crate) malformed: u64,
    /// Links with another pair than the state has, until the findings are applied.
    unsettled: BTreeSet<LinkId>,
}

/// One finding about a namespace or a link.
#[derive(Debug)]
pub(crate) enum Finding {
    /// A notification.
    Change(NetnsId, Change),
    /// A dump.
    Listing(NetnsId, Listing),
    /// The nsid of a namespace in the host's namespace.
    Nsid(NetnsId, i32),
    /// The reply to a request for the peer of a link.
    Reply(NetnsId, Link),
    /// The namespace of a link's peer, which has this nsid in the link's namespace.
    Peer { link: LinkId, nsid: i32, netns: NetnsId },
    /// The peer of a link is in no followed namespace, or has moved.
    NoPeer(LinkId),
    /// Counters of a link.
    Counters(LinkId, Counters),
}

impl Learned {
    /// Adds a notification about a namespace.
    pub(crate) fn change(&mut self, known: &State, id: NetnsId, change: Change) {
        match &change {
            Change::NoLink(gone) => _ = self.unsettled.insert((id, gone.ifindex)),
            Change::Link(link) => self.pair_seen(known, id, link),
            Change::Address(_) | Change::NoAddress(_) => {}
        }
        match self.findings.last_mut() {
            Some(Finding::Change(of, before)) if *of == id && change.supersedes(before) => *before = change,
            _ => self.findings.push(Finding::Change(id, change)),
        }
    }

    /// Adds a dump of a namespace.
    pub(crate) fn listing(&mut self, known: &State, id: NetnsId, listing: Listing) {
        self.unsettled.extend(listing.deleted.iter().map(|gone| (id, gone.ifindex)));
        listing.links.iter().for_each(|listed| self.pair_seen(known, id, &listed.link));
        self.findings.push(Finding::Listing(id, listing));
    }

    /// Adds a reading of counters of a namespace.
    pub(crate) fn counters(&mut self, id: NetnsId, rows: Vec<(u32, Counters)>) {
        self.findings.extend(rows.into_iter().map(|(ifindex, read)| Finding::Counters((id, ifindex), read)));
    }

    fn pair_seen(&mut self, known: &State, id: NetnsId, link: &Link) {
        if known.pair(id, link.ifindex) != link.pair {
            self.unsettled.insert((id, link.ifindex));
        }
    }

    /// A link's claim about its peer, confirmed by the peer, unless a finding changes the claim.
    pub(crate) fn settled_pair(&self, known: &State, id: NetnsId, ifindex: u32) -> Option<Pair> {
        known.settled_pair(id, ifindex).filter(|_| self.is_settled(id, ifindex))
    }

    /// Whether the state of a link's peer and of its lower device holds beside the findings.
    pub(crate) fn is_settled(&self, id: NetnsId, ifindex: u32) -> bool {
        !self.unsettled.contains(&(id, ifindex))
    }

    /// The links of a namespace, by the state and by the findings. Deleted links may be among them.
    pub(crate) fn ifindexes<'a>(&'a self, known: &'a State, id: NetnsId) -> impl Iterator<Item = u32> + 'a {
        let found = self.findings.iter().flat_map(move |finding| {
            let (change, listing) = match finding {
                Finding::Change(of, Change::Link(link)) if *of == id => (Some(link.ifindex), None),
                Finding::Listing(of, listing) if *of == id => (None, Some(&listing.links)),
                _ => (None, None),
            };
            change.into_iter().chain(listing.into_iter().flatten().map(|listed| listed.link.ifindex))
        });
        known.ids(id).map(|(ifindex, _)| ifindex).chain(found)
    }
}

/// Failure of a listing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// Changes interrupted the dump: the namespace needs another listing.
    #[error("{0}")]
    Interrupted(Incomplete),
    /// The kernel ended the dump early: links are missing until the cause is removed.
    #[error(
        "the kernel's list of links is incomplete; a link with many alternative names ends the list early \
         (remove names with `ip link property del`)"
    )]
    CutShort,
    /// The kernel refused the request, or the socket failed.
    #[error("{0}")]
    Failed(#[from] io::Error),
}

impl ListError {
    /// The kind of fault that the error is.
    pub(crate) fn kind(&self) -> FaultKind {
        match self {
            Self::CutShort => FaultKind::Incomplete,
            Self::Interrupted(_) | Self::Failed(_) => FaultKind::Namespace,
        }
    }

    /// The error of the kernel, if any.
    pub(crate) fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Failed(error) => error.raw_os_error(),
            Self::Interrupted(_) | Self::CutShort => None,
        }
    }
}

impl From<RequestError> for ListError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Failed(error) => Self::Failed(error),
            RequestError::Incomplete(cause) => Self::Interrupted(cause),
            RequestError::CutShort => Self::CutShort,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::message::{GoneLink, PairPlace};

    const HOST: NetnsId = NetnsId(1);

    /// Two ends of a veth in the host's namespace.
    fn ends() -> [Link; 2] {
        let end = |ifindex, name, peer| Link {
            pair: Some(Pair { ifindex: peer, place: PairPlace::Here }),
            ..Link::plain(ifindex, name)
        };
        [end(8, "a", 9), end(9, "b", 8)]
    }

    fn settled() -> State {
        let mut state = State::new(HOST);
        for end in ends() {
            state.learn(Finding::Change(HOST, Change::Link(end)));
        }
        drop(state.take_events());
        state
    }

    /// A link made again under its ifindex may have its peer elsewhere.
    #[test]
    fn findings_unsettle_a_pair() {
        let known = settled();
        let mut learned = Learned::default();
        let [a, b] = ends();
        learned.change(&known, HOST, Change::Link(Link { mtu: 9_000, ..a.clone() }));
        assert_eq!(learned.settled_pair(&known, HOST, 8), a.pair, "another MTU");
        learned.change(&known, HOST, Change::NoLink(GoneLink::unannounced(8)));
        learned.change(&known, HOST, Change::Link(Link { pair: None, ..b.clone() }));
        learned.change(&known, HOST, Change::Link(a));
        learned.change(&known, HOST, Change::Link(b));
        assert_eq!([8, 9].map(|ifindex| learned.settled_pair(&known, HOST, ifindex)), [None; 2]);
    }

    /// Adjacent changes of one link are one finding; any other notification between keeps both.
    #[test]
    fn a_flood_of_one_link_stays_small() {
        let known = settled();
        let mut learned = Learned::default();
        let [a, b] = ends();
        let mtu = |link: &Link, mtu| Change::Link(Link { mtu, ..link.clone() });
        (0..1_000).for_each(|round| learned.change(&known, HOST, mtu(&a, round)));
        learned.change(&known, NetnsId(2), mtu(&a, 1));
        learned.change(&known, HOST, mtu(&b, 2));
        learned.change(&known, HOST, mtu(&a, 3));
        learned.change(&known, HOST, Change::NoLink(GoneLink::unannounced(8)));
        learned.change(&known, HOST, mtu(&a, 4));
        let mtus = learned.findings.iter().map(|finding| match finding {
            Finding::Change(_, Change::Link(link)) => Some(link.mtu),
            _ => None,
        });
        assert_eq!(mtus.collect::<Vec<_>>(), [Some(999), Some(1), Some(2), Some(3), None, Some(4)]);
    }

    /// A listing may leave out a link that was announced just before.
    #[test]
    fn links_are_known_from_findings() {
        let known = settled();
        let mut learned = Learned::default();
        learned.change(&known, HOST, Change::Link(Link::plain(10, "new")));
        learned.change(&known, NetnsId(2), Change::Link(Link::plain(11, "other")));
        let part = Listing { is_complete: false, deleted: Vec::new(), links: Vec::new() };
        learned.listing(&known, HOST, part);
        assert_eq!(learned.ifindexes(&known, HOST).collect::<Vec<_>>(), [8, 9, 10]);
    }
}
