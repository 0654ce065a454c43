//! Pairs of links that are the two ends of a veth.
//!
//! A peer is emitted only when both ends agree, so that a stale message of one end, or a
//! reused nsid or ifindex, never joins links of different pairs.
//!
//! A move of one end is announced in the two namespaces of the move only, and leaves the claim of
//! the other end stale. Ends with a contradicted or abandoned claim are therefore asked for again.

use std::ops::RangeInclusive;

use iface_core::{Interface, NetnsId, Peer};

use super::{Known, LinkId, State};
use crate::netlink::message::{Link, Pair, PairPlace};

impl State {
    /// A link's claim about its peer, confirmed if the peer claims the same.
    pub(crate) fn settled_pair(&self, id: NetnsId, ifindex: u32) -> Option<Pair> {
        self.known((id, ifindex)).filter(|known| known.interface.peer.is_some())?.pair
    }

    /// A link's claim about its peer.
    pub(crate) fn pair(&self, id: NetnsId, ifindex: u32) -> Option<Pair> {
        self.known((id, ifindex))?.pair
    }

    /// Ends whose peer is to be requested from the kernel.
    pub(crate) fn take_doubtful(&mut self) -> Vec<LinkId> {
        let mut doubtful = std::mem::take(&mut self.doubtful);
        let suspects = std::mem::take(&mut self.suspects);
        doubtful.extend(suspects.into_iter().filter(|key| self.other_end(*key).is_none()));
        doubtful.sort_unstable();
        doubtful.dedup();
        doubtful.retain(|key| self.known(*key).is_some());
        doubtful
    }

    /// Applies the reply about the peer of an end.
    ///
    /// The reply may be newer than the notifications, so only the peer is applied, and
    /// nothing at all where the link is another by now.
    pub(super) fn complete_pair(&mut self, id: NetnsId, link: &Link) {
        let key = (id, link.ifindex);
        if self.known(key).is_some_and(|known| known.interface.name == link.name) {
            self.set_pair(key, link.pair);
        }
    }

    /// Doubts the claim of an end whose peer is in a namespace that was not found.
    pub(super) fn doubt_unplaced(&mut self, id: NetnsId, ifindex: u32) {
        let key = (id, ifindex);
        let pair = self.known(key).and_then(|known| known.pair);
        if pair.is_some_and(|pair| matches!(pair.place, PairPlace::Elsewhere { .. })) && self.other_end(key).is_none() {
            self.doubtful.push(key);
        }
    }

    /// Number of the host's links whose peer is in a namespace that is not followed.
    pub(crate) fn unplaced_ends(&self) -> usize {
        let links = self.namespaces.get(&self.host).into_iter().flat_map(|host| &host.links);
        let is_elsewhere =
            |known: &Known| known.pair.is_some_and(|pair| !matches!(pair.place, PairPlace::Here | PairPlace::Host));
        let unplaced =
            links.filter(|(ifindex, known)| is_elsewhere(known) && self.other_end((self.host, **ifindex)).is_none());
        unplaced.count()
    }

    /// Doubts the claims about a link that leaves its namespace.
    pub(super) fn doubt_peer(&mut self, key: LinkId) {
        self.doubt_claims(key..=key);
        self.doubtful.extend(self.other_end(key));
    }

    /// Doubts all claims about links that are gone.
    pub(super) fn doubt_claims(&mut self, gone: RangeInclusive<LinkId>) {
        let claims: Vec<LinkId> = self.claims.range(gone).flat_map(|(_, claims)| claims).copied().collect();
        for claim in claims {
            // The namespace of the peer was found out for the link that is gone.
            let pair = self.known(claim).and_then(|known| known.pair);
            if let Some(Pair { ifindex, place: PairPlace::In { nsid, .. } }) = pair {
                self.claim(claim, Some(Pair { ifindex, place: PairPlace::Elsewhere { nsid } }));
            }
            self.doubtful.push(claim);
        }
    }

    /// Doubts each claim that a changed claim contradicts.
    fn doubt_contradictions(&mut self, key: LinkId) {
        let Some(pair) = self.known(key).and_then(|known| known.pair) else { return };
        if let Some(named) = self.named_link(key, pair) {
            match self.known(named) {
                Some(_) if !self.may_name(named, key) => self.doubtful.push(named),
                // Older than a move of the named link, or newer than its arrival.
                None => self.suspects.push(key),
                _ => {}
            }
            // Only one of several claims can be true.
            let others = self.claims.get(&named).into_iter().flatten();
            self.doubtful.extend(others.filter(|other| **other != key));
        }
        let ignored = |claim: &&LinkId| !self.may_name(key, **claim);
        let ignored: Vec<LinkId> = self.claims.get(&key).into_iter().flatten().filter(ignored).copied().collect();
        if !ignored.is_empty() {
            self.doubtful.push(key);
            self.doubtful.extend(ignored);
        }
    }

    /// Namespaces with a link that could be the peer, according to both ends.
    pub(crate) fn candidates(&self, id: NetnsId, ifindex: u32) -> Vec<NetnsId> {
        let key = (id, ifindex);
        let Some(Pair { ifindex: other, place: PairPlace::Elsewhere { .. } }) =
            self.known(key).and_then(|known| known.pair)
        else {
            return Vec::new();
        };
        self.namespaces().filter(|netns| self.is_mutual(key, (*netns, other))).collect()
    }

    /// Sets the namespace of a link's peer, unless the link names another nsid by now.
    pub(super) fn place_pair(&mut self, key: LinkId, nsid: i32, netns: NetnsId) {
        let pair = self.known(key).and_then(|known| known.pair);
        if let Some(pair) = pair.filter(|pair| pair.place == PairPlace::Elsewhere { nsid }) {
            self.set_pair(key, Some(Pair { place: PairPlace::In { netns, nsid }, ..pair }));
        }
    }

    /// Changes a link's claim about its peer.
    pub(super) fn set_pair(&mut self, key: LinkId, pair: Option<Pair>) {
        let Some(known) = self.known_mut(key) else { return };
        // A namespace that was found out stays valid until the link there is gone or the claim changes.
        if let (Some(before), Some(now)) = (known.pair, pair)
            && matches!((before.place, now.place), (PairPlace::In { .. }, PairPlace::Elsewhere { .. }))
            && before.names_as(now)
        {
            return;
        }
        if known.pair != pair {
            self.claim(key, pair);
            self.doubt_contradictions(key);
        }
    }

    fn claim(&mut self, key: LinkId, pair: Option<Pair>) {
        let Some(known) = self.known_mut(key) else { return };
        let before = std::mem::replace(&mut known.pair, pair);
        self.unclaim(key, before);
        if let Some(claimed) = self.claimed(key, pair) {
            self.claims.entry(claimed).or_default().push(key);
            self.unsettle_claim(claimed);
        }
        self.unsettled.push(key);
        let old_peer = self.known(key).and_then(|known| peer_key(&known.interface));
        let new_peer = self.other_end(key);
        self.unsettled.extend(old_peer.into_iter().chain(new_peer));
    }

    pub(super) fn unclaim(&mut self, key: LinkId, pair: Option<Pair>) {
        let Some(claimed) = self.claimed(key, pair) else { return };
        let Some(claims) = self.claims.get_mut(&claimed) else { return };
        claims.retain(|claim| *claim != key);
        if claims.is_empty() {
            self.claims.remove(&claimed);
        }
        self.unsettle_claim(claimed);
    }

    /// A changed claim affects all links with the same claim.
    fn unsettle_claim(&mut self, claimed: LinkId) {
        self.unsettled.push(claimed);
        self.unsettled.extend(self.claims.get(&claimed).into_iter().flatten());
    }

    /// The link that a claim names for as long as the claim exists. The meaning of an nsid changes.
    fn claimed(&self, key: LinkId, pair: Option<Pair>) -> Option<LinkId> {
        let pair = pair?;
        let netns = match pair.place {
            PairPlace::Here => key.0,
            PairPlace::Host => self.host,
            PairPlace::In { netns, .. } => netns,
            PairPlace::Nsid(_) | PairPlace::Elsewhere { .. } => return None,
        };
        Some((netns, pair.ifindex))
    }

    /// The link that a claim names at present.
    fn named_link(&self, key: LinkId, pair: Pair) -> Option<LinkId> {
        match pair.place {
            PairPlace::Nsid(nsid) => self.nsids.get(&nsid).map(|netns| (*netns, pair.ifindex)),
            _ => self.claimed(key, Some(pair)),
        }
    }

    /// Sets the peers of all links with possibly changed pairs.
    pub(super) fn settle(&mut self) {
        let mut unsettled = std::mem::take(&mut self.unsettled);
        unsettled.sort_unstable();
        unsettled.dedup();
        for key in unsettled {
            let other = self.other_end(key);
            if let (Some(_), Some(known)) = (other, self.known_mut(key)) {
                known.account.partner = other;
            }
            let peer = other.and_then(|other| self.peer(other));
            if self.known(key).is_some_and(|known| known.interface.peer.as_deref() != peer.as_ref()) {
                self.update(key, |interface| interface.peer = peer.map(Box::new));
            }
        }
    }

    fn peer(&self, key: LinkId) -> Option<Peer> {
        let interface = &self.known(key)?.interface;
        Some(Peer::new(interface.netns.clone(), key.1, interface.name))
    }

    /// The peer of a link, if both ends agree.
    pub(super) fn other_end(&self, key: LinkId) -> Option<LinkId> {
        self.named_end(key).filter(|other| self.named_end(*other) == Some(key))
    }

    /// The only link that the claim may mean and that may claim this link.
    fn named_end(&self, key: LinkId) -> Option<LinkId> {
        let pair = self.known(key)?.pair?;
        if matches!(pair.place, PairPlace::Elsewhere { .. }) {
            return self.only_claim(key);
        }
        self.named_link(key, pair).filter(|other| self.is_mutual(key, *other))
    }

    /// The only link that claims this link as its peer, if any.
    fn only_claim(&self, key: LinkId) -> Option<LinkId> {
        let mut mutual = self.claims.get(&key)?.iter().copied().filter(|claim| self.is_mutual(key, *claim));
        mutual.next().filter(|_| mutual.next().is_none())
    }

    fn is_mutual(&self, a: LinkId, b: LinkId) -> bool {
        self.may_name(a, b) && self.may_name(b, a)
    }

    fn may_name(&self, key: LinkId, other: LinkId) -> bool {
        let Some(pair) = self.known(key).and_then(|known| known.pair) else { return false };
        match pair.place {
            PairPlace::Elsewhere { .. } => other.0 != key.0 && pair.ifindex == other.1,
            _ => self.named_link(key, pair) == Some(other),
        }
    }
}

/// The known peer of an interface.
pub(super) fn peer_key(interface: &Interface) -> Option<LinkId> {
    interface.peer.as_ref().map(|peer| (peer.netns.id, peer.ifindex))
}
