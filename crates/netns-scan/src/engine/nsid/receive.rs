//! Notifications of all namespaces, in the order of the kernel.

use iface_core::{LowerPlace, NetnsId};

use super::NsidEngine;
use crate::engine::learned::Learned;
use crate::netlink::dump::Change;
use crate::netlink::message::{Body, Link, Pair, PairPlace, parse};
use crate::netlink::socket::{Received, Route};
use crate::state::State;

impl<S: Route> NsidEngine<S> {
    /// Receives all notifications in the queue; later notifications may be left over.
    pub(super) fn receive_queued(&mut self, known: &State, learned: &mut Learned) {
        self.receive_some(self.most_queued, known, learned);
    }

    /// Receives at most this number of datagrams, and after an overrun all: the kernel reports no
    /// further loss, and queues nothing, before the queue is empty.
    pub(super) fn receive_some(&mut self, mut most: usize, known: &State, learned: &mut Learned) {
        while most > 0 {
            most -= 1;
            let datagram = match self.events.receive(&mut self.buffer) {
                Ok(Received::Datagram(datagram)) => datagram,
                Ok(Received::Truncated(datagram)) => {
                    let nsid = datagram.nsid.unwrap_or(self.host_nsid);
                    self.needs_resync.extend(self.by_nsid.get(&nsid));
                    continue;
                }
                Ok(Received::Nothing) => return,
                Ok(Received::Overrun) => {
                    learned.overruns += 1;
                    self.needs_resync.extend(self.by_id.keys());
                    self.nsids_lost = true;
                    self.doubted.extend(&self.unnamed);
                    most = most.max(self.most_queued);
                    continue;
                }
                Err(error) => {
                    tracing::warn!(event.name = "netlink.receive_failed", "cannot read the netlink socket: {error}");
                    self.needs_resync.extend(self.by_id.keys());
                    return;
                }
            };
            let nsid = datagram.nsid.unwrap_or(self.host_nsid);
            let Some(&id) = self.by_nsid.get(&nsid) else { continue };
            let buffer = std::mem::take(&mut self.buffer);
            for message in parse(&buffer[..datagram.len]) {
                match message.map(|message| message.body) {
                    // Only nsids of the host's namespace count; other namespaces announce their nsids, too.
                    Ok(Body::DelNsid(nsid)) if id == self.host => self.release(nsid, learned),
                    Ok(Body::NewNsid(nsid)) if id == self.host => self.announced(nsid, learned),
                    Ok(body) => self.take(id, nsid, body, known, learned),
                    Err(_) => learned.malformed += 1,
                }
            }
            self.buffer = buffer;
        }
    }

    fn take(&mut self, id: NetnsId, nsid: i32, body: Body<'_>, known: &State, learned: &mut Learned) {
        let mut change = match Change::of(body) {
            Ok(Some(change)) => change,
            Ok(None) => return,
            Err(_) => return learned.malformed += 1,
        };
        if let Change::Link(link) = &mut change {
            if id == self.host {
                link.locate(Some(self.host_nsid));
            } else {
                link.pair = self.seen_from_host(id, nsid, link, known, learned);
                self.locate_lower(id, nsid, link, known, learned);
            }
        }
        match self.dumps.get_mut(&id) {
            Some(dump) => dump.notified(change),
            None => learned.change(known, id, change),
        }
    }

    /// The peer of a link, with an nsid of the host's namespace.
    ///
    /// A notification has the nsid of the link's own namespace; only a request
    /// from the host's namespace has the host's nsid in its reply.
    fn seen_from_host(
        &mut self,
        id: NetnsId,
        nsid: i32,
        link: &Link,
        known: &State,
        learned: &Learned,
    ) -> Option<Pair> {
        let pair = link.pair?;
        if pair.place == PairPlace::Here {
            return Some(pair);
        }
        let settled = learned.settled_pair(known, id, link.ifindex);
        let is_far = |settled: &Pair| matches!(settled.place, PairPlace::Host | PairPlace::Nsid(_));
        if let Some(settled) = settled.filter(|settled| settled.ifindex == pair.ifindex && is_far(settled)) {
            return Some(settled);
        }
        self.ask_for(Some(nsid), link.ifindex)?.pair
    }

    /// Sets the place of a notified link's lower device; as for a peer, only a reply has an nsid of the host's namespace.
    fn locate_lower(&mut self, id: NetnsId, nsid: i32, link: &mut Link, known: &State, learned: &Learned) {
        let Some(lower) = link.lower.filter(|_| link.lower_nsid.is_some()) else { return };
        let before = known.lower(id, link.ifindex).filter(|_| learned.is_settled(id, link.ifindex));
        if let Some(before) = before.filter(|it| it.ifindex == lower.ifindex && it.place != LowerPlace::Same) {
            link.lower = Some(before);
        } else if let Some(seen) = self.ask_for(Some(nsid), link.ifindex) {
            (link.lower, link.lower_nsid) = (seen.lower, seen.lower_nsid);
        }
    }
}
