//! The engine for kernels before 5.0: a socket in every namespace.

mod asleep;
mod connection;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use iface_core::{Counters, NetnsId};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use self::asleep::Asleep;
use self::connection::{Connection, Notifications, Unplaced, is_far};
use super::{Engine, Opened, Sockets, TURN, Wanted, incomplete, most_queued, uninterrupted};
use crate::Reading;
use crate::discovery::nsfs::{self, OWN};
use crate::engine::netns_thread::Enter;
use crate::netlink::dump::{Change, Dump};
use crate::netlink::message::{Body, Link, Request, parse};
use crate::netlink::socket::{BUFFER_LEN, Groups, Incoming, Incomplete, Received, RequestError, RouteSocket};
use crate::state::State;

/// A socket in every namespace, opened by a thread that enters the namespace.
///
/// A socket keeps its namespace alive, and is closed on the removal of the namespace's name. A
/// poller keeps no socket between two requests, so that no deletion waits for a poller. Nor does a watcher
/// in a namespace without a mount, which ends with its process.
pub(crate) struct SetnsEngine {
    enter: Enter<RouteSocket>,
    sockets: Sockets,
    epoll: Epoll,
    home: File,
    host: NetnsId,
    connections: BTreeMap<u64, Connection>,
    tokens: BTreeMap<NetnsId, u64>,
    /// Namespaces that are followed without a socket.
    asleep: BTreeMap<NetnsId, Asleep>,
    /// Tokens of sockets to close after the request.
    passing: Vec<u64>,
    next_token: u64,
    needs_resync: BTreeSet<NetnsId>,
    /// Links with a peer in another namespace than the host's: the nsid of the peer's namespace
    /// in the link's.
    unplaced: BTreeMap<(NetnsId, u32), Unplaced>,
    /// Datagrams in a full queue.
    most_queued: usize,
    buffer: Box<[u8]>,
}

impl SetnsEngine {
    /// With the host's namespace open, and listed into the state.
    pub(crate) fn new(sockets: Sockets, state: &mut State) -> io::Result<Self> {
        let open: fn() -> io::Result<RouteSocket> = match sockets.notified {
            true => || RouteSocket::open(Groups::INTERFACES),
            false => || RouteSocket::open(Groups::NONE),
        };
        let mut engine = Self {
            enter: Enter::new(open),
            sockets,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            home: File::open(OWN)?,
            host: state.host(),
            connections: BTreeMap::new(),
            tokens: BTreeMap::new(),
            asleep: BTreeMap::new(),
            passing: Vec::new(),
            next_token: 0,
            needs_resync: BTreeSet::new(),
            unplaced: BTreeMap::new(),
            most_queued: most_queued(sockets.receive_buffer),
            buffer: vec![0; BUFFER_LEN].into(),
        };
        if let Some(file) = state.file(NetnsId::HOST) {
            let host = Wanted { id: NetnsId::HOST, file, path: OWN.into(), is_mounted: true };
            engine.connect(&host, open()?, state)?;
        }
        Ok(engine)
    }

    fn connect(&mut self, wanted: &Wanted, socket: RouteSocket, state: &mut State) -> io::Result<()> {
        // A second socket would outlive the first one's close and keep the namespace alive.
        if self.tokens.contains_key(&wanted.id) || self.is_asleep(wanted.id) {
            return Ok(());
        }
        let id = wanted.id;
        self.insert(wanted.clone(), socket, None)?;
        match self.list(id, state) {
            // The next listing reports the fault; until then a part is better than nothing.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => _ = self.needs_resync.insert(id),
            result => result.inspect_err(|_| _ = self.close(id))?,
        }
        Ok(())
    }

    fn insert(&mut self, wanted: Wanted, socket: RouteSocket, host_nsid: Option<i32>) -> io::Result<()> {
        socket.set_receive_buffer(self.sockets.receive_buffer)?;
        let token = self.next_token;
        self.next_token += 1;
        if self.keeps(&wanted) {
            self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        } else {
            self.passing.push(token);
        }
        self.tokens.insert(wanted.id, token);
        self.connections.insert(token, Connection { wanted, socket, host_nsid });
        Ok(())
    }

    /// Applies at most this number of datagrams of a socket, and after an overrun all: the kernel
    /// reports no further loss, and queues nothing, before the queue is empty.
    fn drain(&mut self, token: u64, mut most: usize, state: &mut State) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let mut notifications = Notifications::default();
        while most > 0 {
            most -= 1;
            match connection.socket.receive(&mut self.buffer) {
                Ok(Received::Datagram(datagram)) => {
                    for message in parse(&self.buffer[..datagram.len]) {
                        match message {
                            Ok(_) if !datagram.multicast => {}
                            Ok(message) => notifications.note(message.body),
                            Err(_) => notifications.malformed += 1,
                        }
                    }
                }
                Ok(Received::Nothing) => break,
                Ok(Received::Truncated(_)) => _ = self.needs_resync.insert(connection.wanted.id),
                Ok(Received::Overrun) => {
                    notifications.overruns += 1;
                    most = most.max(self.most_queued);
                }
                Err(error) => {
                    tracing::warn!(event.name = "netlink.receive_failed", "cannot read a netlink socket: {error}");
                    self.needs_resync.insert(connection.wanted.id);
                    break;
                }
            }
        }
        self.take_in(token, notifications, state);
    }

    /// Applies the notifications of a socket.
    fn take_in(&mut self, token: u64, mut notifications: Notifications, state: &mut State) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let far = |change: &Change| matches!(change, Change::Link(link) if is_far(link));
        if notifications.changes.iter().any(far) {
            connection.learn_host_nsid(self.host, &self.home, &mut self.buffer, &mut notifications);
        }
        state.tallies.malformed += notifications.malformed;
        state.tallies.overruns += notifications.overruns;
        if notifications.overruns > 0 {
            self.needs_resync.insert(connection.wanted.id);
        }
        // Once is enough: a peer unknown now is found when the peer appears.
        let far = notifications.changes.iter().filter_map(|change| match change {
            Change::Link(link) if !state.has_pair(connection.wanted.id, link) => connection.unplaced(self.host, link),
            _ => None,
        });
        self.unplaced.extend(far);
        for mut change in notifications.changes {
            if let Change::Link(link) = &mut change {
                link.locate_lower(connection.host_nsid);
            }
            state.apply(connection.wanted.id, change, |link| connection.pair(self.host, link));
        }
    }

    /// Finds peers in namespaces other than the host's.
    ///
    /// An nsid is valid only in the namespace that assigned the nsid, so each candidate
    /// is compared in the assigning namespace. The peer may have moved since a notification or a dump,
    /// so an end that no candidate fits is asked for.
    fn place_pairs(&mut self, state: &mut State) {
        while let Some(((id, ifindex), Unplaced { nsid: far, is_asked })) = self.unplaced.pop_first() {
            for candidate in state.candidates(id, ifindex) {
                let Some(file) = self.open_file(candidate) else { continue };
                // Fails where the namespace is gone, and the loop ends.
                _ = self.wake(id);
                let Some(&token) = self.tokens.get(&id) else { break };
                let Some(connection) = self.connections.get_mut(&token) else { break };
                let mut notifications = Notifications::default();
                let nsid = connection.nsid_of(&file, &mut self.buffer, &mut notifications);
                drop(file);
                if nsid == Some(far) {
                    state.place_pair(id, ifindex, candidate);
                }
                self.take_in(token, notifications, state);
            }
            if !is_asked {
                state.doubt_unplaced(id, ifindex);
            }
        }
    }

    /// Opens the file of a namespace, which keeps the namespace alive as a socket does.
    fn open_file(&self, id: NetnsId) -> Option<File> {
        let connection = self.tokens.get(&id).and_then(|token| self.connections.get(token));
        let asleep = || self.asleep.get(&id).map(|asleep| &asleep.wanted);
        let wanted = connection.map(|connection| &connection.wanted).or_else(asleep)?;
        nsfs::open(&wanted.path, wanted.file).ok()
    }

    /// One attempt to list a namespace.
    fn list_once(&mut self, token: u64, state: &mut State) -> Result<(), RequestError> {
        let Some(connection) = self.connections.get_mut(&token) else { return Ok(()) };
        let mut dump = Dump::default();
        let (mut overrun, mut interrupted) = (false, None);
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
                    Err(_) => state.tallies.malformed += 1,
                }
            });
            match result {
                Err(RequestError::Incomplete(cause)) => interrupted = Some(cause),
                result => result?,
            }
        }
        if overrun {
            state.tallies.overruns += 1;
            interrupted = Some(Incomplete::Overrun);
        }
        let mut later = Notifications::default();
        // A link that is neither listed nor notified as deleted was deleted unnoticed, or follows
        // the link that ended the dump early.
        let unlisted: Vec<u32> = state
            .ids(connection.wanted.id)
            .map(|(ifindex, _)| ifindex)
            .filter(|ifindex| !dump.mentions(*ifindex))
            .collect();
        let mut exists = |ifindex| {
            let request = Request::get_link(None, ifindex);
            !matches!(connection.ask(request, &mut self.buffer, &mut later, |_| {}), Err(RequestError::Failed(_)))
        };
        let is_complete = interrupted.is_none() && dump.is_complete() && !unlisted.into_iter().any(&mut exists);
        let deleted = dump.deleted();
        let mut listed = dump.finish();
        if listed.iter().any(|listed| is_far(&listed.link)) {
            connection.learn_host_nsid(self.host, &self.home, &mut self.buffer, &mut later);
        }
        listed.iter_mut().for_each(|listed| listed.link.locate_lower(connection.host_nsid));
        self.unplaced.extend(listed.iter().filter_map(|listed| connection.unplaced(self.host, &listed.link)));
        let pair = |link: &Link| connection.pair(self.host, link);
        match is_complete {
            true => state.replace(connection.wanted.id, &deleted, listed, pair),
            false => state.merge(connection.wanted.id, &deleted, listed, pair),
        }
        if later.overruns > 0 {
            interrupted = Some(Incomplete::Overrun);
        }
        self.take_in(token, later, state);
        match interrupted {
            Some(cause) => Err(RequestError::Incomplete(cause)),
            None if is_complete => Ok(()),
            None => Err(RequestError::Failed(incomplete())),
        }
    }
}

impl Engine for SetnsEngine {
    fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    fn open(&mut self, wanted: Vec<Wanted>, state: &mut State) -> Opened {
        let targets = wanted.iter().map(|wanted| (wanted.path.clone(), wanted.file)).collect();
        let results = match self.enter.run(targets) {
            Ok(results) => results,
            Err(error) => {
                let again = || io::Error::new(error.kind(), error.to_string());
                let failed = wanted.into_iter().map(|wanted| (wanted, again())).collect();
                return Opened { failed, ..Opened::default() };
            }
        };
        let mut failed = Vec::new();
        for wanted in wanted {
            if let Err(error) = results.next().and_then(|socket| self.connect(&wanted, socket, state)) {
                failed.push((wanted, error));
            }
        }
        self.place_pairs(state);
        self.sleep();
        Opened { failed, ..Opened::default() }
    }

    fn close(&mut self, id: NetnsId) -> Option<i32> {
        self.needs_resync.remove(&id);
        self.asleep.remove(&id);
        if let Some(connection) = self.tokens.remove(&id).and_then(|token| self.connections.remove(&token)) {
            // A close is not enough if a child of this process has inherited the socket.
            _ = self.epoll.delete(&connection.socket);
        }
        None
    }

    fn read(&mut self, state: &mut State) -> Vec<NetnsId> {
        let mut ready = [EpollEvent::empty(); 64];
        let count = self.epoll.wait(&mut ready, EpollTimeout::ZERO).unwrap_or_default();
        for event in &ready[..count] {
            self.drain(event.data(), TURN, state);
        }
        self.place_pairs(state);
        self.sleep();
        // A socket keeps its namespace alive.
        Vec::new()
    }

    fn is_same(&mut self, wanted: &Wanted) -> bool {
        (self.tokens.contains_key(&wanted.id) || self.is_asleep(wanted.id))
            && nsfs::open(&wanted.path, wanted.file).is_ok()
    }

    fn needs_resync(&self) -> &BTreeSet<NetnsId> {
        &self.needs_resync
    }

    fn list(&mut self, id: NetnsId, state: &mut State) -> io::Result<()> {
        self.wake(id)?;
        let Some(&token) = self.tokens.get(&id) else { return Ok(()) };
        // An overrun ends with an empty queue: an earlier dump could hide another overrun.
        let result = uninterrupted(|| {
            self.drain(token, self.most_queued, state);
            self.list_once(token, state)
        });
        self.sleep();
        match result {
            Err(RequestError::Incomplete(_)) => _ = self.needs_resync.insert(id),
            Err(RequestError::Failed(error)) => {
                self.needs_resync.remove(&id);
                return Err(error);
            }
            Ok(()) => _ = self.needs_resync.remove(&id),
        }
        Ok(())
    }

    fn rename(&mut self, wanted: &Wanted) {
        self.move_to(wanted);
    }

    fn unnotified(&self) -> Vec<NetnsId> {
        if self.sockets.notified { self.asleep.keys().copied().collect() } else { Vec::new() }
    }

    fn complete_pair(&mut self, id: NetnsId, ifindex: u32, state: &mut State) {
        // Fails where the namespace is gone, and nothing is left to complete.
        _ = self.wake(id);
        let Some(&token) = self.tokens.get(&id) else { return };
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let (mut link, mut notifications) = (None, Notifications::default());
        let result = connection.ask(Request::get_link(None, ifindex), &mut self.buffer, &mut notifications, |body| {
            if let Body::NewLink(message) = body {
                link = message.link().ok().flatten();
            }
        });
        let reply = result.ok().and(link);
        // Older than the reply, the deletion of the link included.
        self.take_in(token, notifications, state);
        if let Some(link) = reply
            && let Some(connection) = self.connections.get_mut(&token)
        {
            let mut later = Notifications::default();
            if is_far(&link) {
                connection.learn_host_nsid(self.host, &self.home, &mut self.buffer, &mut later);
            }
            let unplaced = connection.unplaced(self.host, &link);
            self.unplaced.extend(unplaced.map(|(key, unplaced)| (key, Unplaced { is_asked: true, ..unplaced })));
            state.complete_pair(id, &link, connection.pair(self.host, &link));
            self.take_in(token, later, state);
        }
        self.place_pairs(state);
        self.sleep();
    }

    fn read_last(&mut self, id: NetnsId, state: &mut State) {
        // The socket keeps the namespace alive.
        let Some(&token) = self.tokens.get(&id) else { return };
        self.drain(token, self.most_queued, state);
        // The last messages of the peers of deleted links may be in the host's queue.
        if let Some(&host) = self.tokens.get(&self.host) {
            self.drain(host, self.most_queued, state);
        }
        self.read_counters(id, state, &mut Vec::new());
    }

    fn read_counters(&mut self, id: NetnsId, state: &mut State, readings: &mut Vec<Reading>) {
        if let Err(error) = self.wake(id) {
            tracing::debug!(event.name = "netlink.counters_failed", "cannot read counters: {error}");
        }
        let Some(&token) = self.tokens.get(&id) else { return };
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let mut rows: Vec<(u32, Counters)> = Vec::new();
        let mut notifications = Notifications::default();
        let result = connection.ask(Request::list_stats(), &mut self.buffer, &mut notifications, |body| {
            if let Body::Stats { ifindex, counters } = body {
                rows.push((ifindex, counters));
            }
        });
        if let Err(RequestError::Failed(error)) = result {
            tracing::debug!(event.name = "netlink.counters_failed", "cannot read counters: {error}");
        }
        // The ifindex may have been reused during the dump, so these counters are dropped.
        let deleted = |change: &Change| match change {
            Change::NoLink(gone) => Some(gone.ifindex),
            _ => None,
        };
        let deleted: BTreeSet<u32> = notifications.changes.iter().filter_map(deleted).collect();
        rows.retain(|(ifindex, _)| !deleted.contains(ifindex));
        self.take_in(token, notifications, state);
        readings.extend(rows.into_iter().filter_map(|(ifindex, counters)| state.reading(id, ifindex, counters)));
        self.sleep();
    }
}
