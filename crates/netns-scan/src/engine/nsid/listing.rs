//! Dumps of a namespace by its nsid.

use iface_core::{Interface, NetnsId};

use super::NsidEngine;
use crate::engine::learned::{Learned, ListError};
use crate::netlink::dump::{Change, Dump, Listing};
use crate::netlink::message::Request;
use crate::netlink::socket::{Incoming, RequestError, Route};
use crate::state::State;

impl<S: Route> NsidEngine<S> {
    /// Dumps a namespace into its pending dump.
    pub(super) fn dump(&mut self, id: NetnsId, learned: &mut Learned) -> Result<(), RequestError> {
        let Some(target) = self.target(id) else { return Ok(()) };
        let dump = self.dumps.entry(id).or_default();
        let mut partial = None;
        for request in [Request::list_links(target), Request::list_addresses(target)] {
            let result = self.requests.ask(request, &mut self.replies, |incoming| {
                let (Incoming::Reply(body) | Incoming::Notification(body)) = incoming else { return };
                match Change::of(body) {
                    Ok(change) => change.into_iter().for_each(|change| dump.dumped(change)),
                    Err(_) => learned.malformed += 1,
                }
            });
            match result {
                Err(error) if error.keeps_objects() => partial = Some(error),
                result => result?,
            }
        }
        partial.map_or(Ok(()), Err)
    }

    /// One attempt to list a namespace. An interrupted dump and the notifications around it are
    /// a part of the namespace.
    pub(super) fn list_once(&mut self, id: NetnsId, known: &State, learned: &mut Learned) -> Result<(), ListError> {
        // Notifications older than the dump would overrule the dump until newer ones are received.
        self.receive_queued(known, learned);
        self.dumps.insert(id, Dump::default());
        let result = self.dump(id, learned);
        self.receive_queued(known, learned);
        self.settle(id, result, known, learned)
    }

    /// Adds a dump with the notifications received meanwhile to the findings.
    pub(super) fn settle(
        &mut self,
        id: NetnsId,
        dumped: Result<(), RequestError>,
        known: &State,
        learned: &mut Learned,
    ) -> Result<(), ListError> {
        let dump = self.dumps.remove(&id);
        // Without its nsid, the namespace may have been listed as another one.
        let Some(dump) = dump.filter(|_| self.target(id).is_some()) else { return Ok(()) };
        if let Err(RequestError::Failed(error)) = dumped {
            return Err(error.into());
        }
        let ifindexes = learned.ifindexes(known, id);
        let mut listing = dump.settle(dumped.is_ok(), ifindexes, |ifindex| self.exists(id, ifindex));
        listing.links.iter_mut().for_each(|listed| listed.link.locate(Some(self.host_nsid)));
        let is_complete = listing.is_complete;
        if is_complete && self.doubted.remove(&id) && is_another(known, id, &listing) {
            let nsid = self.by_id.get(&id).copied();
            nsid.into_iter().for_each(|nsid| self.release(nsid, learned));
            return Ok(());
        }
        learned.listing(known, id, listing);
        dumped?;
        if is_complete { Ok(()) } else { Err(ListError::CutShort) }
    }
}

/// Whether a dump shows another namespace than the known one: nothing but `lo` was kept.
///
/// No request leads from an nsid to the identity of its namespace. Where every link was replaced while
/// notifications were lost, the events are the same: `Deleted`, then `Added`.
fn is_another(known: &State, id: NetnsId, listing: &Listing) -> bool {
    let mut before = known.links(id).filter(|link| link.ifindex != 1).peekable();
    let is_kept = |before: &Interface| {
        let now = listing.links.iter().find(|listed| listed.link.ifindex == before.ifindex);
        now.is_some_and(|now| now.link.mac == before.mac && now.link.kind == before.kind)
    };
    before.peek().is_some() && !before.any(is_kept)
}
