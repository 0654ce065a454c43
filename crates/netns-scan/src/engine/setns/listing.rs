//! Dumps of a namespace over its socket.

use iface_core::NetnsId;

use super::SetnsEngine;
use super::connection::Notifications;
use crate::engine::learned::{Learned, ListError};
use crate::engine::uninterrupted;
use crate::netlink::dump::{Change, Dump};
use crate::netlink::message::Request;
use crate::netlink::socket::{Incoming, Incomplete, RequestError, Route};
use crate::state::State;

impl<S: Route + 'static> SetnsEngine<S> {
    /// Lists a namespace with an open socket.
    pub(super) fn list_open(&mut self, id: NetnsId, known: &State, learned: &mut Learned) -> Result<(), ListError> {
        let Some(&token) = self.tokens.get(&id) else { return Ok(()) };
        // An overrun ends with an empty queue: an earlier dump could hide another overrun.
        let result = uninterrupted(|| {
            self.drain(token, self.most_queued, known, learned);
            self.list_once(token, known, learned)
        });
        match result {
            Err(ListError::Interrupted(_)) => _ = self.needs_resync.insert(id),
            _ => _ = self.needs_resync.remove(&id),
        }
        result
    }

    /// One attempt to list a namespace.
    pub(super) fn list_once(&mut self, token: u64, known: &State, learned: &mut Learned) -> Result<(), ListError> {
        let Some(connection) = self.connections.get_mut(&token) else { return Ok(()) };
        let id = connection.wanted.id;
        let mut dump = Dump::default();
        let (mut overrun, mut partial) = (false, None);
        for request in [Request::list_links(None), Request::list_addresses(None)] {
            let result = connection.socket.ask(request, &mut self.buffer, |incoming| {
                let (body, is_reply) = match incoming {
                    Incoming::Reply(body) => (body, true),
                    Incoming::Notification(body) => (body, false),
                    Incoming::Overrun => return overrun = true,
                };
                match Change::of(body) {
                    Ok(Some(change)) if is_reply => dump.dumped(change),
                    Ok(Some(change)) => dump.notified(change),
                    Ok(None) => {}
                    Err(_) => learned.malformed += 1,
                }
            });
            match result {
                Err(error) if error.keeps_objects() => partial = Some(error),
                result => result?,
            }
        }
        if overrun {
            learned.overruns += 1;
            partial = Some(RequestError::Incomplete(Incomplete::Overrun));
        }
        let mut later = Notifications::default();
        let mut listing = dump.settle(partial.is_none(), learned.ifindexes(known, id), |ifindex| {
            let request = Request::get_link(None, ifindex);
            !matches!(connection.ask(request, &mut self.buffer, &mut later, |_| {}), Err(RequestError::Failed(_)))
        });
        if listing.links.iter().any(|listed| listed.link.is_far()) {
            connection.learn_host_nsid(self.host, &self.home, &mut self.buffer, &mut later);
        }
        self.unplaced
            .extend(listing.links.iter_mut().filter_map(|listed| connection.locate(self.host, &mut listed.link)));
        let is_complete = listing.is_complete;
        learned.listing(known, id, listing);
        if later.overruns > 0 {
            partial = Some(RequestError::Incomplete(Incomplete::Overrun));
        }
        self.take_in(token, later, known, learned);
        match partial {
            Some(error) => Err(error.into()),
            None if is_complete => Ok(()),
            None => Err(ListError::CutShort),
        }
    }
}
