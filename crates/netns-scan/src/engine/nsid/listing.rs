//! Dumps of a namespace by its nsid.

use iface_core::NetnsId;

use super::NsidEngine;
use crate::engine::incomplete;
use crate::netlink::dump::{Change, Dump};
use crate::netlink::message::{Link, Request};
use crate::netlink::socket::{Incoming, RequestError};
use crate::state::State;

impl NsidEngine {
    /// Dumps a namespace into its pending dump.
    pub(super) fn dump(&mut self, id: NetnsId, state: &mut State) -> Result<(), RequestError> {
        let Some(target) = self.target(id) else { return Ok(()) };
        let dump = self.dumps.entry(id).or_default();
        let host_nsid = Some(self.host_nsid);
        let mut interrupted = None;
        for request in [Request::list_links(target), Request::list_addresses(target)] {
            let result = self.requests.ask(request, &mut self.replies, |incoming| {
                let (Incoming::Reply(body) | Incoming::Notification(body)) = incoming else { return };
                match Change::of(body) {
                    Ok(Some(Change::Link(mut link))) => {
                        link.locate_lower(host_nsid);
                        dump.dumped(Change::Link(link));
                    }
                    Ok(change) => change.into_iter().for_each(|change| dump.dumped(change)),
                    Err(_) => state.tallies.malformed += 1,
                }
            });
            match result {
                Err(RequestError::Incomplete(cause)) => interrupted = Some(cause),
                result => result?,
            }
        }
        interrupted.map_or(Ok(()), |cause| Err(RequestError::Incomplete(cause)))
    }

    /// One attempt to list a namespace. An interrupted dump and the notifications around it are
    /// applied as a part of the namespace.
    pub(super) fn list_once(&mut self, id: NetnsId, state: &mut State) -> Result<(), RequestError> {
        // Notifications older than the dump would overrule the dump until newer ones are received.
        self.receive_queued(state);
        self.dumps.insert(id, Dump::default());
        let result = self.dump(id, state);
        self.receive_queued(state);
        self.finish(id, result, state)
    }

    /// Applies a listing with the notifications received meanwhile.
    pub(super) fn finish(
        &mut self,
        id: NetnsId,
        dumped: Result<(), RequestError>,
        state: &mut State,
    ) -> Result<(), RequestError> {
        let dump = self.dumps.remove(&id);
        // Without its nsid, the namespace may have been listed as another one.
        let Some(dump) = dump.filter(|_| self.target(id).is_some()) else { return Ok(()) };
        if let Err(RequestError::Failed(_)) = dumped {
            return dumped;
        }
        // A link that is neither listed nor notified as deleted was deleted unnoticed, or follows
        // the link that ended the dump early.
        let unlisted: Vec<u32> =
            state.ids(id).map(|(ifindex, _)| ifindex).filter(|ifindex| !dump.mentions(*ifindex)).collect();
        let is_complete =
            dumped.is_ok() && dump.is_complete() && !unlisted.iter().any(|ifindex| self.exists(id, *ifindex));
        let deleted = dump.deleted();
        let pair = |link: &Link| self.pair(link);
        match is_complete {
            true => state.replace(id, &deleted, dump.finish(), pair),
            false => state.merge(id, &deleted, dump.finish(), pair),
        }
        dumped.and(if is_complete { Ok(()) } else { Err(RequestError::Failed(incomplete())) })
    }
}
