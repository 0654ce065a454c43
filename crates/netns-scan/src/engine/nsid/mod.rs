//! The engine over nsids: one socket for the notifications of all namespaces.

mod listing;
mod number;
mod receive;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use iface_core::{CounterDetails, Counters, NetnsId};

use self::number::{ensure_nsid, list_nsids, nsid_of};
use super::learned::{Finding, Learned, ListError};
use super::{Engine, Opened, Sockets, TURN, Unusable, Wanted, most_queued, uninterrupted};
use crate::discovery::nsfs::{self, OWN};
use crate::netlink::dump::Dump;
use crate::netlink::message::{Body, Link, Request};
use crate::netlink::socket::{BUFFER_LEN, Groups, Incoming, RequestError, Route, RouteSocket};
use crate::state::{Counted, State};

/// One socket in the host's namespace for the notifications of every namespace with an nsid.
///
/// No namespace is entered, and no file or socket keeps a namespace alive. An nsid given
/// to a namespace stays until the namespace dies.
pub(crate) struct NsidEngine<S = RouteSocket> {
    /// Receives notifications only, never replies, so that notifications stay in order.
    events: S,
    /// Sends requests, and joins no group.
    requests: S,
    host: NetnsId,
    /// The host's nsid in its own namespace, in its messages once assigned.
    host_nsid: i32,
    by_nsid: BTreeMap<i32, NetnsId>,
    by_id: BTreeMap<NetnsId, i32>,
    /// Followed namespaces without a name.
    unnamed: BTreeSet<NetnsId>,
    /// Whether nsids that no followed namespace has are reported.
    find_unnamed: bool,
    /// Whether assigned and released nsids were lost in an overrun.
    nsids_lost: bool,
    /// Namespaces without a name since an overrun, until the next complete dump: the nsid may have been
    /// released and assigned to another namespace unnoticed.
    doubted: BTreeSet<NetnsId>,
    /// Namespaces during their dump, with the notifications received meanwhile.
    dumps: BTreeMap<NetnsId, Dump>,
    needs_resync: BTreeSet<NetnsId>,
    /// Datagrams in a full queue.
    most_queued: usize,
    buffer: Box<[u8]>,
    replies: Box<[u8]>,
}

impl NsidEngine {
    /// With the host's namespace listed.
    pub(crate) fn new(sockets: Sockets, known: &State) -> Result<(Self, Learned), Unusable> {
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
        let mut engine = Self::over(events, requests, known.host(), host_nsid, sockets);
        let (mut learned, listed) = engine.list(known.host(), known);
        match listed {
            // The next listing reports the fault; until then a part is better than nothing.
            Err(ListError::CutShort) => _ = engine.needs_resync.insert(engine.host),
            Err(ListError::Failed(source)) => return Err(unusable("cannot list the own namespace")(source)),
            Err(ListError::Interrupted(_)) | Ok(()) => {}
        }
        // After the links: the kernel assigns an nsid to the namespace of each listed link's peer.
        engine.list_nsids(&mut learned);
        Ok((engine, learned))
    }
}

impl<S: Route> NsidEngine<S> {
    fn over(events: S, requests: S, host: NetnsId, host_nsid: i32, sockets: Sockets) -> Self {
        Self {
            events,
            requests,
            host,
            host_nsid,
            by_nsid: BTreeMap::from([(host_nsid, host)]),
            by_id: BTreeMap::from([(host, host_nsid)]),
            unnamed: BTreeSet::new(),
            find_unnamed: sockets.find_unnamed,
            nsids_lost: false,
            doubted: BTreeSet::new(),
            dumps: BTreeMap::new(),
            needs_resync: BTreeSet::new(),
            most_queued: most_queued(sockets.receive_buffer),
            buffer: vec![0; BUFFER_LEN].into(),
            replies: vec![0; BUFFER_LEN].into(),
        }
    }

    /// The present state of a link, with its places seen from the host's namespace; `None` after its deletion, as the next notification will show.
    fn ask_for(&mut self, nsid: Option<i32>, ifindex: u32) -> Option<Link> {
        let mut link: Option<Link> = None;
        let result = self.requests.ask(Request::get_link(nsid, ifindex), &mut self.replies, |incoming| {
            if let Incoming::Reply(Body::NewLink(message)) = incoming {
                link = message.link().ok().flatten();
            }
        });
        let mut link = result.ok().and(link)?;
        link.locate(Some(self.host_nsid));
        Some(link)
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

    /// Takes note of an nsid that the kernel announced or listed.
    fn announced(&self, nsid: i32, learned: &mut Learned) {
        if self.find_unnamed && nsid >= 0 && !self.by_nsid.contains_key(&nsid) {
            learned.unclaimed.insert(nsid);
        }
    }

    /// Releases the nsid of a namespace: the kernel may assign the same nsid to another at once.
    ///
    /// `by_id` keeps the nsid until the namespace has been compared with its name.
    fn release(&mut self, nsid: i32, learned: &mut Learned) {
        learned.dead.extend(self.by_nsid.remove(&nsid));
        // The kernel releases an nsid before it announces the release, so the nsid may have been
        // assigned, and announced, again before.
        self.announced(nsid, learned);
    }

    /// Compares the nsids with the kernel's list.
    fn list_nsids(&mut self, learned: &mut Learned) {
        if !self.find_unnamed {
            return;
        }
        match list_nsids(&mut self.requests, &mut self.replies) {
            Ok(listed) => {
                let followed = self.by_nsid.keys().copied().filter(|nsid| *nsid != self.host_nsid);
                let gone: Vec<i32> = followed.filter(|nsid| !listed.contains(nsid)).collect();
                listed.into_iter().for_each(|nsid| self.announced(nsid, learned));
                gone.into_iter().for_each(|nsid| self.release(nsid, learned));
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
    fn open_numbered<T>(
        &mut self,
        numbered: Vec<(T, NetnsId, i32)>,
        known: &State,
        learned: &mut Learned,
    ) -> Vec<(T, ListError)> {
        for (_, id, nsid) in &numbered {
            self.follow(*id, *nsid, learned);
        }
        let (mut failed, mut dumped) = (Vec::new(), Vec::new());
        for (wanted, id, _) in numbered {
            match self.dump(id, learned) {
                Err(RequestError::Failed(error)) => {
                    self.close(id);
                    failed.push((wanted, error.into()));
                }
                result => dumped.push((id, result)),
            }
        }
        self.receive_queued(known, learned);
        for (id, result) in dumped {
            let mut result = self.settle(id, result, known, learned);
            if let Err(ListError::Interrupted(_)) = result {
                result = uninterrupted(|| self.list_once(id, known, learned));
            }
            if result.is_err() {
                // The next listing reports the fault; until then a part is better than nothing.
                self.needs_resync.insert(id);
            }
        }
        failed
    }

    fn follow(&mut self, id: NetnsId, nsid: i32, learned: &mut Learned) {
        if let Some(before) = self.by_nsid.insert(nsid, id) {
            // Nsids are reused: the former namespace of this nsid is dead.
            self.by_id.remove(&before);
            learned.dead.push(before);
        }
        self.by_id.insert(id, nsid);
        learned.unclaimed.remove(&nsid);
        self.dumps.insert(id, Dump::default());
        learned.findings.push(Finding::Nsid(id, nsid));
    }

    /// Counters of a link of the host's namespace.
    fn ask_for_counters(&mut self, ifindex: u32) -> Option<Counters> {
        let mut read = None;
        let result = self.requests.ask(Request::get_stats(ifindex), &mut self.replies, |incoming| {
            if let Incoming::Reply(Body::Stats { counters, .. }) = incoming {
                read = Some(counters);
            }
        });
        result.ok().and(read)
    }
}

impl<S: Route> Engine for NsidEngine<S> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    fn open(&mut self, wanted: Vec<Wanted>, known: &State) -> Opened {
        let (mut opened, mut numbered) = (Opened::default(), Vec::new());
        for wanted in wanted {
            match ensure_nsid(&mut self.requests, &mut self.replies, &wanted.path, Some(&wanted)) {
                Ok(nsid) => numbered.push((wanted, nsid)),
                Err(error) => opened.failed.push((wanted, error.into())),
            }
        }
        // Messages in the queue with these nsids belong to earlier namespaces,
        // or are older than the following dump.
        self.receive_queued(known, &mut opened.learned);
        let mut new: Vec<(Wanted, NetnsId, i32)> = Vec::new();
        for (wanted, nsid) in numbered {
            match self.by_nsid.get(&nsid).copied() {
                Some(before) if self.unnamed.remove(&before) => opened.known.push((wanted.id, before)),
                _ => {
                    let id = wanted.id;
                    new.push((wanted, id, nsid));
                }
            }
        }
        opened.failed.extend(self.open_numbered(new, known, &mut opened.learned));
        opened
    }

    fn open_unnamed(&mut self, wanted: Vec<(NetnsId, i32)>, known: &State) -> (Learned, Vec<(NetnsId, ListError)>) {
        let mut learned = Learned::default();
        self.receive_queued(known, &mut learned);
        self.unnamed.extend(wanted.iter().map(|(id, _)| *id));
        let numbered = wanted.into_iter().map(|(id, nsid)| (id, id, nsid)).collect();
        let failed = self.open_numbered(numbered, known, &mut learned);
        (learned, failed)
    }

    fn follows(&self, nsid: i32) -> bool {
        self.by_nsid.contains_key(&nsid)
    }

    fn look_for_unnamed(&mut self) -> Learned {
        let mut learned = Learned::default();
        self.list_nsids(&mut learned);
        learned
    }

    fn close(&mut self, id: NetnsId) -> Option<i32> {
        self.needs_resync.remove(&id);
        self.dumps.remove(&id);
        self.unnamed.remove(&id);
        self.doubted.remove(&id);
        let nsid = self.by_id.remove(&id)?;
        if self.by_nsid.get(&nsid) != Some(&id) {
            return None;
        }
        self.by_nsid.remove(&nsid);
        Some(nsid)
    }

    fn read(&mut self, known: &State) -> Learned {
        let mut learned = Learned::default();
        self.receive_some(TURN, known, &mut learned);
        if std::mem::take(&mut self.nsids_lost) {
            self.list_nsids(&mut learned);
        }
        learned
    }

    fn read_all(&mut self, _id: NetnsId, known: &State) -> Learned {
        let mut learned = Learned::default();
        self.receive_queued(known, &mut learned);
        learned
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

    fn needs_resync(&self) -> &BTreeSet<NetnsId> {
        &self.needs_resync
    }

    fn list(&mut self, id: NetnsId, known: &State) -> (Learned, Result<(), ListError>) {
        let mut learned = Learned::default();
        self.needs_resync.remove(&id);
        if self.target(id).is_none() {
            return (learned, Ok(()));
        }
        let listed = uninterrupted(|| self.list_once(id, known, &mut learned));
        if let Err(ListError::Interrupted(_)) = listed {
            self.needs_resync.insert(id);
        }
        (learned, listed)
    }

    fn complete_pair(&mut self, id: NetnsId, ifindex: u32, _known: &State) -> Learned {
        let mut learned = Learned::default();
        if let Some(link) = self.target(id).and_then(|target| self.ask_for(target, ifindex)) {
            learned.findings.push(Finding::Reply(id, link));
        }
        learned
    }

    fn read_last(&mut self, id: NetnsId, counted: Counted, known: &State) -> Learned {
        let (mut learned, rows) =
            if counted.inside { self.read_counters(id, known, None) } else { (Learned::default(), Vec::new()) };
        learned.counters(id, rows);
        for ifindex in counted.by_host {
            // After its deletion, the peer's last message is in the queue.
            let read = self.ask_for_counters(ifindex);
            learned.findings.extend(read.map(|read| Finding::Counters((self.host, ifindex), read)));
        }
        self.receive_queued(known, &mut learned);
        learned
    }

    fn read_counters(
        &mut self,
        id: NetnsId,
        known: &State,
        mut details: Option<&mut Vec<(u32, CounterDetails)>>,
    ) -> (Learned, Vec<(u32, Counters)>) {
        let mut learned = Learned::default();
        let Some(target) = self.target(id) else { return (learned, Vec::new()) };
        let mut rows: Vec<(u32, Counters)> = Vec::new();
        let request = match target {
            None => Request::list_stats(),
            Some(_) => Request::list_links(target),
        };
        let result = self.requests.ask(request, &mut self.replies, |incoming| match incoming {
            Incoming::Reply(Body::Stats { ifindex, counters, details: raw }) => {
                rows.push((ifindex, counters));
                details.iter_mut().for_each(|details| details.push((ifindex, raw.read())));
            }
            Incoming::Reply(Body::NewLink(message)) => {
                let counters = message.counters().ok().flatten();
                rows.extend(counters.map(|counters| (message.ifindex, counters)));
                if let Some(details) = &mut details {
                    details.extend(message.details().map(|read| (message.ifindex, read)));
                }
            }
            _ => {}
        });
        if let Err(RequestError::Failed(error)) = result {
            tracing::debug!(event.name = "netlink.counters_failed", "cannot read counters: {error}");
        }
        // An ifindex may have become another interface's while the counters were read: the
        // notifications tell.
        self.receive_queued(known, &mut learned);
        // The nsid was released during the dump: the counters may belong to its next namespace.
        if self.target(id).is_none() {
            rows.clear();
        }
        (learned, rows)
    }
}
