//! The engine over nsids: one socket for the notifications of all namespaces.

mod listing;
mod number;
mod receive;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use iface_core::{Counters, InterfaceId, NetnsId};

use self::number::{ensure_nsid, list_nsids, nsid_of};
use super::{Engine, Opened, Sockets, TURN, Unusable, Wanted, most_queued, uninterrupted};
use crate::Reading;
use crate::discovery::nsfs::{self, OWN};
use crate::netlink::dump::Dump;
use crate::netlink::message::{Body, Link, Request};
use crate::netlink::socket::{BUFFER_LEN, Groups, Incoming, RequestError, RouteSocket};
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
    /// Followed namespaces without a name.
    unnamed: BTreeSet<NetnsId>,
    /// Nsids that no followed namespace has, since the last call of `take_unclaimed`; `None` without
    /// a search for namespaces without a name.
    unclaimed: Option<BTreeSet<i32>>,
    /// Whether assigned and released nsids were lost in an overrun.
    nsids_lost: bool,
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
        let groups = match sockets {
            Sockets { notified: true, .. } => Groups::INTERFACES_AND_NSIDS,
            Sockets { find_unnamed: true, .. } => Groups::NSIDS,
            _ => Groups::NONE,
        };
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
            unnamed: BTreeSet::new(),
            unclaimed: sockets.find_unnamed.then(BTreeSet::new),
            nsids_lost: false,
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
        // After the links: the kernel assigns an nsid to the namespace of each listed link's peer.
        engine.list_nsids();
        Ok(engine)
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

    /// Takes note of an nsid that the kernel announced or listed.
    fn announced(&mut self, nsid: i32) {
        if let Some(unclaimed) = &mut self.unclaimed
            && nsid >= 0
            && !self.by_nsid.contains_key(&nsid)
        {
            unclaimed.insert(nsid);
        }
    }

    /// Releases the nsid of a namespace: the kernel may assign the same nsid to another at once.
    ///
    /// `by_id` keeps the nsid until the caller of `read` has compared the namespace with its name.
    fn release(&mut self, nsid: i32) {
        if let Some(id) = self.by_nsid.remove(&nsid) {
            self.dead.push(id);
        }
        // The kernel releases an nsid before it announces the release, so the nsid may have been
        // assigned, and announced, again before.
        self.announced(nsid);
    }

    /// Compares the nsids with the kernel's list.
    fn list_nsids(&mut self) {
        if self.unclaimed.is_none() {
            return;
        }
        match list_nsids(&mut self.requests, &mut self.replies) {
            Ok(listed) => {
                let followed = self.by_nsid.keys().copied().filter(|nsid| *nsid != self.host_nsid);
                let gone: Vec<i32> = followed.filter(|nsid| !listed.contains(nsid)).collect();
                listed.into_iter().for_each(|nsid| self.announced(nsid));
                gone.into_iter().for_each(|nsid| self.release(nsid));
            }
            Err(error) => {
                tracing::warn!(
                    event.name = "netlink.nsids_failed",
                    "cannot list the nsids: {error}; they are listed again"
                );
                self.nsids_lost = true;
            }
        }
    }

    /// Follows and dumps namespaces with these nsids; returns the namespaces that failed.
    fn open_numbered<T>(&mut self, numbered: Vec<(T, NetnsId, i32)>, state: &mut State) -> Vec<(T, io::Error)> {
        for (_, id, nsid) in &numbered {
            self.follow(*id, *nsid, state);
        }
        let (mut failed, mut dumped) = (Vec::new(), Vec::new());
        for (wanted, id, _) in numbered {
            match self.dump(id, state) {
                Err(RequestError::Failed(error)) => {
                    self.close(id);
                    failed.push((wanted, error));
                }
                result => dumped.push((id, result)),
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

    fn follow(&mut self, id: NetnsId, nsid: i32, state: &mut State) {
        if let Some(before) = self.by_nsid.insert(nsid, id) {
            // Nsids are reused: the former namespace of this nsid is dead.
            self.by_id.remove(&before);
            self.dead.push(before);
        }
        self.by_id.insert(id, nsid);
        self.unclaimed.iter_mut().for_each(|unclaimed| _ = unclaimed.remove(&nsid));
        self.dumps.insert(id, Dump::default());
        state.set_nsid(id, nsid);
    }
}

impl Engine for NsidEngine {
    fn fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    fn open(&mut self, wanted: Vec<Wanted>, state: &mut State) -> Opened {
        let (mut opened, mut numbered) = (Opened::default(), Vec::new());
        for wanted in wanted {
            match ensure_nsid(&mut self.requests, &mut self.replies, &wanted.path, Some(&wanted)) {
                Ok(nsid) => numbered.push((wanted, nsid)),
                Err(error) => opened.failed.push((wanted, error)),
            }
        }
        // Messages in the queue with these nsids belong to earlier namespaces,
        // or are older than the following dump.
        self.receive_queued(state);
        let mut new: Vec<(Wanted, NetnsId, i32)> = Vec::new();
        for (wanted, nsid) in numbered {
            match self.by_nsid.get(&nsid).copied() {
                Some(known) if self.unnamed.remove(&known) => opened.known.push((wanted.id, known)),
                _ => {
                    let id = wanted.id;
                    new.push((wanted, id, nsid));
                }
            }
        }
        opened.failed.extend(self.open_numbered(new, state));
        opened
    }

    fn open_unnamed(&mut self, wanted: Vec<(NetnsId, i32)>, state: &mut State) -> Vec<(NetnsId, io::Error)> {
        self.receive_queued(state);
        self.unnamed.extend(wanted.iter().map(|(id, _)| *id));
        let numbered = wanted.into_iter().map(|(id, nsid)| (id, id, nsid)).collect();
        self.open_numbered(numbered, state)
    }

    fn take_unclaimed(&mut self) -> BTreeSet<i32> {
        self.unclaimed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn has_unclaimed(&self) -> bool {
        self.unclaimed.as_ref().is_some_and(|unclaimed| !unclaimed.is_empty())
    }

    fn follows(&self, nsid: i32) -> bool {
        self.by_nsid.contains_key(&nsid)
    }

    fn look_for_unnamed(&mut self) {
        self.list_nsids();
    }

    fn close(&mut self, id: NetnsId) -> Option<i32> {
        self.needs_resync.remove(&id);
        self.dumps.remove(&id);
        self.unnamed.remove(&id);
        let nsid = self.by_id.remove(&id)?;
        if self.by_nsid.get(&nsid) != Some(&id) {
            return None;
        }
        self.by_nsid.remove(&nsid);
        Some(nsid)
    }

    fn read(&mut self, state: &mut State) -> Vec<NetnsId> {
        self.receive_some(TURN, state);
        if std::mem::take(&mut self.nsids_lost) {
            self.list_nsids();
        }
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
