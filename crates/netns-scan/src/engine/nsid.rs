use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use iface_core::{Counters, InterfaceId, LowerPlace, NetnsId};

use super::{Engine, Sockets, TURN, Unusable, Wanted, incomplete, most_queued, uninterrupted};
use crate::Reading;
use crate::discovery::nsfs::{self, OWN};
use crate::netlink::dump::{Change, Dump};
use crate::netlink::message::{Body, Link, PairEnd, Request, parse};
use crate::netlink::socket::{BUFFER_LEN, Groups, Incoming, Received, RequestError, RouteSocket};
use crate::state::{Pair, PairPlace, State};

/// One socket in the host's namespace for the notifications of every namespace with an nsid.
///
/// No namespace is entered, and no file or socket keeps a namespace alive. An nsid given
/// to a namespace stays until the namespace dies.
pub(crate) struct NsidEngine {
    /// Receives notifications only, never replies, so that notifications stay in order.
    events: RouteSocket,
    /// Sends requests, and joins no group.
    requests: RouteSocket,
    host: NetnsId,
    /// The host's nsid in its own namespace, in its messages once assigned.
    host_nsid: i32,
    by_nsid: BTreeMap<i32, NetnsId>,
    by_id: BTreeMap<NetnsId, i32>,
    /// Namespaces during their dump, with the notifications received meanwhile.
    dumps: BTreeMap<NetnsId, Dump>,
    needs_resync: BTreeSet<NetnsId>,
    /// Namespaces with a released nsid since the last call of `read`.
    dead: Vec<NetnsId>,
    /// Datagrams in a full queue.
    most_queued: usize,
    buffer: Box<[u8]>,
    replies: Box<[u8]>,
}

impl NsidEngine {
    /// With the host's namespace listed into the state.
    pub(crate) fn new(sockets: Sockets, state: &mut State) -> Result<Self, Unusable> {
        let unusable = |why: &str| {
            let why = why.to_owned();
            move |source| Unusable { why, source }
        };
        let groups = if sockets.notified { Groups::INTERFACES_AND_NSIDS } else { Groups::NONE };
        let events = RouteSocket::open_for_all_namespaces(groups)
            .map_err(unusable("notifications of all namespaces need CAP_NET_BROADCAST"))?;
        let mut requests = RouteSocket::open(Groups::NONE).map_err(unusable("cannot open a netlink socket"))?;
        requests.check_strictly().map_err(unusable("listing by nsid needs Linux 5.0"))?;
        let mut replies: Box<[u8]> = vec![0; BUFFER_LEN].into();
        match requests.ask(Request::probe_assign(), &mut replies, |_| {}) {
            Err(RequestError::Failed(source)) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Unusable { why: "assigning an nsid needs CAP_NET_ADMIN".into(), source });
            }
            _ => {}
        }
        let host_nsid = ensure_nsid(&mut requests, &mut replies, Path::new(OWN), None)
            .map_err(unusable("the own namespace gets no nsid"))?;
        events.set_receive_buffer(sockets.receive_buffer).map_err(unusable("the receive buffer cannot be set"))?;
        let host = state.host();
        let mut engine = Self {
            events,
            requests,
            host,
            host_nsid,
            by_nsid: BTreeMap::from([(host_nsid, host)]),
            by_id: BTreeMap::from([(host, host_nsid)]),
            dumps: BTreeMap::new(),
            needs_resync: BTreeSet::new(),
            dead: Vec::new(),
            most_queued: most_queued(sockets.receive_buffer),
            buffer: vec![0; BUFFER_LEN].into(),
            replies,
        };
        match engine.list(host, state) {
            // The next listing reports the fault; until then a part is better than nothing.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => _ = engine.needs_resync.insert(host),
            result => result.map_err(unusable("cannot list the own namespace"))?,
        }
        Ok(engine)
    }

    /// Applies all notifications in the queue; later notifications may be left over.
    fn receive_queued(&mut self, state: &mut State) {
        self.receive_some(self.most_queued, state);
    }

    /// Applies at most this number of datagrams, and after an overrun all: the kernel reports no
    /// further loss, and queues nothing, before the queue is empty.
    fn receive_some(&mut self, mut most: usize, state: &mut State) {
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

    /// The present state of a link; `None` after its deletion, as the next notification will show.
    fn ask_for(&mut self, nsid: Option<i32>, ifindex: u32) -> Option<Link> {
        let mut link = None;
        let result = self.requests.ask(Request::get_link(nsid, ifindex), &mut self.replies, |incoming| {
            if let Incoming::Reply(Body::NewLink(message)) = incoming {
                link = message.link().ok().flatten();
            }
        });
        result.ok().and(link)
    }

    /// Whether a link exists, as far as the kernel does not deny its existence.
    fn exists(&mut self, id: NetnsId, ifindex: u32) -> bool {
        let Some(target) = self.target(id) else { return false };
        let result = self.requests.ask(Request::get_link(target, ifindex), &mut self.replies, |_| {});
        !matches!(result, Err(RequestError::Failed(_)))
    }

    /// The target nsid of a request; `None` for the own namespace.
    fn target(&self, id: NetnsId) -> Option<Option<i32>> {
        let nsid = self.by_id.get(&id).filter(|nsid| self.by_nsid.get(nsid) == Some(&id))?;
        Some((id != self.host).then_some(*nsid))
    }

    fn pair(&self, link: &Link) -> Option<Pair> {
        let end = link.pair?;
        let place = match end.nsid {
            None => PairPlace::Here,
            Some(nsid) if nsid == self.host_nsid => PairPlace::Host,
            Some(nsid) => PairPlace::Nsid(nsid),
        };
        Some(Pair { ifindex: end.ifindex, place })
    }

    /// Dumps a namespace into its pending dump.
    fn dump(&mut self, id: NetnsId, state: &mut State) -> Result<(), RequestError> {
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
    fn list_once(&mut self, id: NetnsId, state: &mut State) -> Result<(), RequestError> {
        // Notifications older than the dump would overrule the dump until newer ones are received.
        self.receive_queued(state);
        self.dumps.insert(id, Dump::default());
        let result = self.dump(id, state);
        self.receive_queued(state);
        self.finish(id, result, state)
    }

    /// Applies a listing with the notifications received meanwhile.
    fn finish(&mut self, id: NetnsId, dumped: Result<(), RequestError>, state: &mut State) -> Result<(), RequestError> {
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

    /// Releases the nsid of a namespace: the kernel may assign the same nsid to another at once.
    ///
    /// `by_id` keeps the nsid until the caller of `read` has compared the namespace with its name.
    fn release(&mut self, nsid: i32) {
        if let Some(id) = self.by_nsid.remove(&nsid) {
            self.dead.push(id);
        }
    }

    fn follow(&mut self, id: NetnsId, nsid: i32, state: &mut State) {
        if let Some(before) = self.by_nsid.insert(nsid, id) {
            // Nsids are reused: the former namespace of this nsid is dead.
            self.by_id.remove(&before);
            self.dead.push(before);
        }
        self.by_id.insert(id, nsid);
        self.dumps.insert(id, Dump::default());
        state.set_nsid(id, nsid);
    }
}

impl Engine for NsidEngine {
    fn fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    fn open(&mut self, wanted: Vec<Wanted>, state: &mut State) -> Vec<(Wanted, io::Error)> {
        let (mut failed, mut numbered) = (Vec::new(), Vec::new());
        for wanted in wanted {
            match ensure_nsid(&mut self.requests, &mut self.replies, &wanted.path, Some(&wanted)) {
                Ok(nsid) => numbered.push((wanted, nsid)),
                Err(error) => failed.push((wanted, error)),
            }
        }
        // Messages in the queue with these nsids belong to earlier namespaces,
        // or are older than the following dump.
        self.receive_queued(state);
        for (wanted, nsid) in &numbered {
            self.follow(wanted.id, *nsid, state);
        }
        let mut dumped = Vec::new();
        for (wanted, _) in numbered {
            match self.dump(wanted.id, state) {
                Err(RequestError::Failed(error)) => {
                    self.close(wanted.id);
                    failed.push((wanted, error));
                }
                result => dumped.push((wanted.id, result)),
            }
        }
        self.receive_queued(state);
        for (id, result) in dumped {
            let mut result = self.finish(id, result, state);
            if let Err(RequestError::Incomplete(_)) = result {
                result = uninterrupted(|| self.list_once(id, state));
            }
            if result.is_err() {
                // The next listing reports the fault; until then a part is better than nothing.
                self.needs_resync.insert(id);
            }
        }
        failed
    }

    fn close(&mut self, id: NetnsId) {
        self.needs_resync.remove(&id);
        self.dumps.remove(&id);
        if let Some(nsid) = self.by_id.remove(&id)
            && self.by_nsid.get(&nsid) == Some(&id)
        {
            self.by_nsid.remove(&nsid);
        }
    }

    fn read(&mut self, state: &mut State) -> Vec<NetnsId> {
        self.receive_some(TURN, state);
        std::mem::take(&mut self.dead)
    }

    fn is_same(&mut self, wanted: &Wanted) -> bool {
        let Some(&nsid) = self.by_id.get(&wanted.id) else { return false };
        let found = nsfs::open(&wanted.path, wanted.file)
            .and_then(|file| nsid_of(&mut self.requests, &mut self.replies, &file));
        let is_same =
            found.is_ok_and(|found| found == Some(nsid)) && self.by_nsid.get(&nsid).is_none_or(|id| *id == wanted.id);
        if is_same && self.by_nsid.insert(nsid, wanted.id).is_none() {
            // Notifications were dropped while the nsid belonged to no namespace.
            self.needs_resync.insert(wanted.id);
        }
        is_same
    }

    fn has_dead(&self) -> bool {
        !self.dead.is_empty()
    }

    fn needs_resync(&self) -> &BTreeSet<NetnsId> {
        &self.needs_resync
    }

    fn list(&mut self, id: NetnsId, state: &mut State) -> io::Result<()> {
        self.needs_resync.remove(&id);
        if self.target(id).is_none() {
            return Ok(());
        }
        match uninterrupted(|| self.list_once(id, state)) {
            Err(RequestError::Incomplete(_)) => _ = self.needs_resync.insert(id),
            result => result?,
        }
        Ok(())
    }

    fn complete_pair(&mut self, id: NetnsId, ifindex: u32, state: &mut State) {
        let Some(link) = self.target(id).and_then(|target| self.ask_for(target, ifindex)) else { return };
        state.complete_pair(id, &link, self.pair(&link));
    }

    fn read_last(&mut self, id: NetnsId, state: &mut State) {
        // The last messages of the namespace's links, or of their peers, may be in the queue.
        self.receive_queued(state);
        let (peers, others) = state.counted_by(id);
        if others {
            self.read_counters(id, state, &mut Vec::new());
        }
        for ifindex in peers {
            let mut read = None;
            let result = self.requests.ask(Request::get_stats(ifindex), &mut self.replies, |incoming| {
                if let Incoming::Reply(Body::Stats { counters, .. }) = incoming {
                    read = Some(counters);
                }
            });
            // After its deletion, the peer's last message is in the queue.
            if result.is_ok()
                && let Some(counters) = read
            {
                state.reading(self.host, ifindex, counters);
            }
        }
        self.receive_queued(state);
    }

    fn read_counters(&mut self, id: NetnsId, state: &mut State, readings: &mut Vec<Reading>) {
        let Some(target) = self.target(id) else { return };
        let before: Vec<(u32, InterfaceId)> = state.ids(id).collect();
        let mut rows: Vec<(u32, Counters)> = Vec::with_capacity(before.len());
        let request = match target {
            None => Request::list_stats(),
            Some(_) => Request::list_links(target),
        };
        let result = self.requests.ask(request, &mut self.replies, |incoming| match incoming {
            Incoming::Reply(Body::Stats { ifindex, counters }) => rows.push((ifindex, counters)),
            Incoming::Reply(Body::NewLink(message)) => {
                let counters = message.counters().ok().flatten();
                rows.extend(counters.map(|counters| (message.ifindex, counters)));
            }
            _ => {}
        });
        if let Err(RequestError::Failed(error)) = result {
            tracing::debug!(event.name = "netlink.counters_failed", "cannot read counters: {error}");
        }
        // An ifindex may have become another interface's while the counters were read: take in
        // the notifications, and keep the counters of unchanged links.
        self.receive_queued(state);
        // The nsid was released during the dump: the counters may belong to its next namespace.
        if self.target(id).is_none() {
            return;
        }
        let same = |reading: &Reading, ifindex: u32| before.binary_search(&(ifindex, reading.id)).is_ok();
        readings.extend(rows.into_iter().filter_map(|(ifindex, counters)| {
            state.reading(id, ifindex, counters).filter(|reading| same(reading, ifindex))
        }));
    }
}

/// Returns the nsid of a namespace in the host's namespace, after an assignment if necessary.
///
/// The file is open during the call only: an open file keeps the namespace alive.
fn ensure_nsid(
    requests: &mut RouteSocket,
    buffer: &mut [u8],
    path: &Path,
    expected: Option<&Wanted>,
) -> io::Result<i32> {
    let file = match expected {
        Some(wanted) => nsfs::open(path, wanted.file)?,
        None => File::open(path)?,
    };
    if let Some(nsid) = nsid_of(requests, buffer, &file)? {
        return Ok(nsid);
    }
    match requests.ask(Request::assign_nsid(file.as_raw_fd()), buffer, |_| {}) {
        // Another process was faster: a veth into the namespace is enough.
        Err(RequestError::Failed(error)) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => result?,
    }
    nsid_of(requests, buffer, &file)?.ok_or_else(|| io::Error::other("the kernel gave the namespace no nsid"))
}

fn nsid_of(requests: &mut RouteSocket, buffer: &mut [u8], file: &File) -> io::Result<Option<i32>> {
    let mut nsid = None;
    requests.ask(Request::get_nsid_of_fd(file.as_raw_fd()), buffer, |incoming| {
        if let Incoming::Reply(Body::NewNsid(number)) = incoming {
            nsid = Some(number);
        }
    })?;
    Ok(nsid.filter(|number| *number >= 0))
}
