//! Notifications of all namespaces, in the order of the kernel.

use iface_core::{LowerPlace, NetnsId};

use super::NsidEngine;
use crate::netlink::dump::Change;
use crate::netlink::message::{Body, Link, PairEnd, parse};
use crate::netlink::socket::Received;
use crate::state::{PairPlace, State};

impl NsidEngine {
    /// Applies all notifications in the queue; later notifications may be left over.
    pub(super) fn receive_queued(&mut self, state: &mut State) {
        self.receive_some(self.most_queued, state);
    }

    /// Applies at most this number of datagrams, and after an overrun all: the kernel reports no
    /// further loss, and queues nothing, before the queue is empty.
    pub(super) fn receive_some(&mut self, mut most: usize, state: &mut State) {
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
                    state.tallies.overruns += 1;
                    self.needs_resync.extend(self.by_id.keys());
                    self.nsids_lost = true;
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
                    Ok(Body::DelNsid(nsid)) if id == self.host => self.release(nsid),
                    Ok(Body::NewNsid(nsid)) if id == self.host => self.announced(nsid),
                    Ok(body) => self.take(id, nsid, body, state),
                    Err(_) => state.tallies.malformed += 1,
                }
            }
            self.buffer = buffer;
        }
    }

    fn take(&mut self, id: NetnsId, nsid: i32, body: Body<'_>, state: &mut State) {
        let mut change = match Change::of(body) {
            Ok(Some(change)) => change,
            Ok(None) => return,
            Err(_) => return state.tallies.malformed += 1,
        };
        if let Change::Link(link) = &mut change
            && id != self.host
        {
            link.pair = self.seen_from_host(id, nsid, link, state);
            self.locate_lower(id, nsid, link, state);
        }
        match self.dumps.get_mut(&id) {
            Some(dump) => dump.notified(change),
            None => state.apply(id, change, |link| self.pair(link)),
        }
    }

    /// The peer of a link, with an nsid of the host's namespace.
    ///
    /// A notification has the nsid of the link's own namespace; only a request
    /// from the host's namespace has the host's nsid in its reply.
    fn seen_from_host(&mut self, id: NetnsId, nsid: i32, link: &Link, state: &State) -> Option<PairEnd> {
        let end = link.pair?;
        if end.nsid.is_none() {
            return Some(end);
        }
        if let Some(known) = state.settled_pair(id, link.ifindex)
            && known.ifindex == end.ifindex
        {
            match known.place {
                PairPlace::Host => return Some(PairEnd { nsid: Some(self.host_nsid), ..end }),
                PairPlace::Nsid(nsid) => return Some(PairEnd { nsid: Some(nsid), ..end }),
                PairPlace::Here | PairPlace::In(_) | PairPlace::Elsewhere => {}
            }
        }
        self.ask_for(Some(nsid), link.ifindex)?.pair
    }

    /// Sets the place of a notified link's lower device; as for a peer, only a reply has an nsid of the host's namespace.
    fn locate_lower(&mut self, id: NetnsId, nsid: i32, link: &mut Link, state: &State) {
        let Some(lower) = link.lower.filter(|_| link.lower_nsid.is_some()) else { return };
        let known = state.lower(id, link.ifindex).filter(|known| known.ifindex == lower.ifindex);
        if let Some(known) = known.filter(|known| known.place != LowerPlace::Same) {
            link.lower = Some(known);
        } else if let Some(mut seen) = self.ask_for(Some(nsid), link.ifindex) {
            seen.locate_lower(Some(self.host_nsid));
            (link.lower, link.lower_nsid) = (seen.lower, seen.lower_nsid);
        }
    }
}
