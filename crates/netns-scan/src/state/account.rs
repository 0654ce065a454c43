//! Counters of a link over an existence, and the last messages about links.
//!
//! `RTM_DELLINK` carries the last counters of its link, but the kernel takes a veth pair apart before it sends
//! the message: the receive counters, which the driver computes from the peer, read zero. The two ends complete
//! each other: the peer's transmit counters are this end's receive counters. Because counters only grow, the
//! largest known value of each counter is the last one, from any message or reading.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use iface_core::{Counters, Direction, Event, FinalCounters, Interface, InterfaceId, MacAddr, NetnsId};

use super::{Known, LinkId, State};
use crate::netlink::message::{GoneLink, Link};

/// Patience with the last message of the other end of a deleted veth, which the kernel sends at the same time.
const PATIENCE: Duration = Duration::from_millis(50);

/// Most links remembered between departure and arrival.
const MOST_MOVED: usize = 1024;

/// Counters of a link in its present namespace.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    /// Counters at the arrival in the namespace.
    pub(super) base: Counters,
    last: Option<Counters>,
    /// The last peer: a veth announces the loss of the peer before the deletion.
    pub(super) partner: Option<LinkId>,
}

impl Account {
    /// An account that starts with the counters at the arrival.
    pub(super) fn with_base(base: Option<Counters>) -> Self {
        Self { base: base.unwrap_or_default(), last: base, partner: None }
    }

    /// Takes a reading, or the last message of a link.
    ///
    /// A driver may have reset counters. The counters of a veth never go back; without a peer, a part reads zero.
    pub(super) fn read(&mut self, interface: &Interface, counters: Counters) {
        match &interface.kind {
            Some(kind) if kind.as_str() == "veth" => self.complete(counters),
            _ => self.last = Some(counters),
        }
    }

    /// Takes counters that may be older than the last reading, or incomplete.
    fn complete(&mut self, counters: Counters) {
        self.last = Some(self.last.map_or(counters, |last| last.max(counters)));
    }

    fn mirrored(&self) -> Option<Counters> {
        self.last.map(mirror)
    }
}

/// Counters of the other end of a pair, as far as one end knows: packets that one end transmits, the other receives.
fn mirror(counters: Counters) -> Counters {
    let delivered = |direction: Direction| Direction::new(direction.bytes, direction.packets);
    Counters::new(delivered(counters.transmit), delivered(counters.receive))
}

/// A deleted end of a pair, until the last message of the other end.
#[derive(Debug)]
pub(super) struct Departing {
    interface: Arc<Interface>,
    account: Account,
    peer: LinkId,
    ended: SystemTime,
    deadline: Option<Instant>,
}

/// A link that left a followed namespace for another one.
#[derive(Debug)]
pub(super) struct Moved {
    mac: Option<MacAddr>,
    ifindex: u32,
    counters: Counters,
}

/// Places of the last counters of a namespace's links.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Peers in the host's namespace, by ifindex.
    pub(crate) by_host: Vec<u32>,
    /// Other links than `lo` have no such peer: their counters are inside alone.
    pub(crate) inside: bool,
}

impl State {
    /// Stages `Deleted` with the final counters, at once or after the last message of the peer.
    pub(super) fn end(&mut self, key: LinkId, known: Known, gone: &GoneLink) {
        let Known { interface, mut account, .. } = known;
        gone.counters.into_iter().for_each(|counters| account.read(&interface, counters));
        if let (Some(ifindex), Some(counters)) = (gone.moved_to, gone.counters) {
            self.remember(Moved { mac: interface.mac, ifindex, counters });
        }
        let ended = self.now;
        if let Some(waiting) = self.departing.iter().position(|waiting| waiting.peer == key) {
            let mut other = self.departing.remove(waiting);
            account.mirrored().into_iter().for_each(|counters| other.account.complete(counters));
            other.account.mirrored().into_iter().for_each(|counters| account.complete(counters));
            self.stage_end(other.interface, &other.account, other.ended);
            return self.stage_end(interface, &account, ended);
        }
        let peer = account.partner.filter(|peer| *peer != key && gone.moved_to.is_none());
        let other = peer.and_then(|peer| self.known_mut(peer).filter(|other| other.account.partner == Some(key)));
        let (Some(peer), Some(other)) = (peer, other) else {
            return self.stage_end(interface, &account, ended);
        };
        let mirrored = account.mirrored();
        mirrored.into_iter().for_each(|counters| other.account.complete(counters));
        other.account.mirrored().into_iter().for_each(|counters| account.complete(counters));
        match gone.counters {
            Some(_) => self.departing.push(Departing { interface, account, peer, ended, deadline: None }),
            None => self.stage_end(interface, &account, ended),
        }
    }

    fn stage_end(&mut self, interface: Arc<Interface>, account: &Account, ended: SystemTime) {
        let counters = account.last.map(|last| FinalCounters::new(last, ended).with_base(account.base));
        self.staged.push(Event::Deleted(interface, counters.map(Arc::new)));
    }

    /// The places of the last counters of a namespace's links.
    pub(crate) fn counted_by(&self, id: NetnsId) -> Counted {
        let mut counted = Counted::default();
        for (ifindex, known) in self.namespaces.get(&id).map(|namespace| &namespace.links).into_iter().flatten() {
            match known.account.partner {
                Some((netns, peer)) if netns == self.host => counted.by_host.push(peer),
                _ => counted.inside |= *ifindex != 1,
            }
        }
        counted
    }

    /// Waits no longer for the peers of these deleted ends.
    pub(super) fn release(&mut self, is_released: impl Fn(&Interface) -> bool) {
        for waiting in std::mem::take(&mut self.departing) {
            match is_released(&waiting.interface) {
                true => self.stage_end(waiting.interface, &waiting.account, waiting.ended),
                false => self.departing.push(waiting),
            }
        }
    }

    /// Ends the waiting for peers whose last message does not come; returns when to call again.
    pub(crate) fn release_due(&mut self, now: Instant) -> Option<Instant> {
        for waiting in &mut self.departing {
            waiting.deadline.get_or_insert(now + PATIENCE);
        }
        let is_due = |waiting: &Departing| waiting.deadline.is_some_and(|deadline| deadline <= now);
        let due: Vec<InterfaceId> = self.departing.iter().filter(|w| is_due(w)).map(|w| w.interface.id).collect();
        if !due.is_empty() {
            self.release(|interface| due.contains(&interface.id));
        }
        self.departing.iter().filter_map(|waiting| waiting.deadline).min()
    }

    fn remember(&mut self, moved: Moved) {
        if self.moved.len() >= MOST_MOVED {
            self.moved.pop_front();
        }
        self.moved.push_back(moved);
    }

    /// Counters of a link at its arrival in its namespace.
    ///
    /// The first notification of a link has the counters of the arrival. A link in a dump may have carried packets since:
    /// its departure from a followed namespace has the counters.
    pub(super) fn arrival(&mut self, link: &Link, is_dumped: bool) -> Option<Counters> {
        let came_from = self.moved.iter().position(|moved| {
            let has_grown = link.counters.is_some_and(|counters| counters.max(moved.counters) == counters);
            moved.ifindex == link.ifindex && moved.mac == link.mac && has_grown
        });
        let moved = came_from.and_then(|place| self.moved.remove(place)).map(|moved| moved.counters);
        if is_dumped { moved } else { link.counters.or(moved) }
    }
}

#[cfg(test)]
mod tests;
