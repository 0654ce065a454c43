//! The engine for kernels before 5.0: a socket in every namespace.

mod asleep;
mod connection;
mod listing;
mod peers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use iface_core::{CounterDetails, Counters, NetnsId};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use self::asleep::Asleep;
use self::connection::{Connection, Notifications, Unplaced};
use super::learned::{Finding, Learned, ListError};
use super::{Engine, Opened, Sockets, TURN, Wanted, most_queued};
use crate::discovery::nsfs::{self, OWN};
use crate::engine::netns_thread::NetnsThread;
use crate::netlink::dump::Change;
use crate::netlink::message::{Body, Link, Request, parse};
use crate::netlink::socket::{BUFFER_LEN, Groups, Received, RequestError, Route, RouteSocket};
use crate::state::{Counted, State};

/// A socket in every namespace, opened by a thread that enters the namespace.
///
/// A socket keeps its namespace alive, and is closed on the removal of the namespace's name. A
/// poller keeps no socket between two requests, so that no deletion waits for a poller. Nor does a watcher
/// in a namespace without a mount, which ends with its process.
pub(crate) struct SetnsEngine<S = RouteSocket> {
    thread: NetnsThread<S>,
    sockets: Sockets,
    epoll: Epoll,
    home: File,
    host: NetnsId,
    connections: BTreeMap<u64, Connection<S>>,
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
    /// With the host's namespace open and listed.
    pub(crate) fn new(sockets: Sockets, known: &State) -> io::Result<(Self, Learned)> {
        let open: fn() -> io::Result<RouteSocket> = match sockets.notified {
            true => || RouteSocket::open(Groups::INTERFACES),
            false => || RouteSocket::open(Groups::NONE),
        };
        let mut engine = Self::over(open, sockets, known.host())?;
        let mut learned = Learned::default();
        if let Some(file) = known.file(NetnsId::HOST) {
            let host = Wanted { id: NetnsId::HOST, file, path: OWN.into(), is_mounted: true };
            engine.connect(&host, open()?, known, &mut learned)?;
        }
        Ok((engine, learned))
    }
}

impl<S: Route + 'static> SetnsEngine<S> {
    fn over(open: fn() -> io::Result<S>, sockets: Sockets, host: NetnsId) -> io::Result<Self> {
        Ok(Self {
            thread: NetnsThread::new(open),
            sockets,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            home: File::open(OWN)?,
            host,
            connections: BTreeMap::new(),
            tokens: BTreeMap::new(),
            asleep: BTreeMap::new(),
            passing: Vec::new(),
            next_token: 0,
            needs_resync: BTreeSet::new(),
            unplaced: BTreeMap::new(),
            most_queued: most_queued(sockets.receive_buffer),
            buffer: vec![0; BUFFER_LEN].into(),
        })
    }

    fn connect(&mut self, wanted: &Wanted, socket: S, known: &State, learned: &mut Learned) -> io::Result<()> {
        // A second socket would outlive the first one's close and keep the namespace alive.
        if self.tokens.contains_key(&wanted.id) || self.is_asleep(wanted.id) {
            return Ok(());
        }
        let id = wanted.id;
        self.insert(wanted.clone(), socket, None)?;
        match self.list_open(id, known, learned) {
            // The next listing reports the fault; until then a part is better than nothing.
            Err(ListError::CutShort) => _ = self.needs_resync.insert(id),
            Err(ListError::Failed(error)) => {
                self.close(id);
                return Err(error);
            }
            Err(ListError::Interrupted(_)) | Ok(()) => {}
        }
        Ok(())
    }

    fn insert(&mut self, wanted: Wanted, socket: S, host_nsid: Option<i32>) -> io::Result<()> {
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

    /// Receives at most this number of datagrams of a socket, and after an overrun all: the kernel
    /// reports no further loss, and queues nothing, before the queue is empty.
    fn drain(&mut self, token: u64, mut most: usize, known: &State, learned: &mut Learned) {
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
        self.take_in(token, notifications, known, learned);
    }

    /// Adds the notifications of a socket to the findings.
    fn take_in(&mut self, token: u64, mut notifications: Notifications, known: &State, learned: &mut Learned) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let id = connection.wanted.id;
        let is_far = |change: &Change| matches!(change, Change::Link(link) if link.is_far());
        if notifications.changes.iter().any(is_far) {
            connection.learn_host_nsid(self.host, &self.home, &mut self.buffer, &mut notifications);
        }
        learned.malformed += notifications.malformed;
        learned.overruns += notifications.overruns;
        if notifications.overruns > 0 {
            self.needs_resync.insert(id);
        }
        for mut change in notifications.changes {
            if let Change::Link(link) = &mut change {
                let unplaced = connection.locate(self.host, link);
                // Once is enough: a peer unknown now is found when the peer appears.
                if !known.pair(id, link.ifindex).zip(link.pair).is_some_and(|(known, now)| known.names_as(now)) {
                    self.unplaced.extend(unplaced);
                }
            }
            learned.change(known, id, change);
        }
    }
}

impl<S: Route + 'static> Engine for SetnsEngine<S> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    fn open(&mut self, wanted: Vec<Wanted>, known: &State) -> Opened {
        let mut opened = Opened::default();
        let targets = wanted.iter().map(|wanted| (wanted.path.clone(), wanted.file)).collect();
        let results = match self.thread.run(targets) {
            Ok(results) => results,
            Err(error) => {
                let again = || io::Error::new(error.kind(), error.to_string());
                opened.failed = wanted.into_iter().map(|wanted| (wanted, again().into())).collect();
                return opened;
            }
        };
        for wanted in wanted {
            let socket = results.next();
            if let Err(error) = socket.and_then(|socket| self.connect(&wanted, socket, known, &mut opened.learned)) {
                opened.failed.push((wanted, error.into()));
            }
        }
        self.sleep();
        opened
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

    fn read(&mut self, known: &State) -> Learned {
        let mut learned = Learned::default();
        let mut ready = [EpollEvent::empty(); 64];
        let count = self.epoll.wait(&mut ready, EpollTimeout::ZERO).unwrap_or_default();
        for event in &ready[..count] {
            self.drain(event.data(), TURN, known, &mut learned);
        }
        learned
    }

    fn read_all(&mut self, id: NetnsId, known: &State) -> Learned {
        let mut learned = Learned::default();
        // The last messages of the peers of deleted links may be in the host's queue.
        for id in [id, self.host] {
            if let Some(&token) = self.tokens.get(&id) {
                self.drain(token, self.most_queued, known, &mut learned);
            }
        }
        learned
    }

    fn place_peers(&mut self, known: &State) -> Option<Learned> {
        if self.unplaced.is_empty() {
            return None;
        }
        let mut learned = Learned::default();
        for (link, unplaced) in std::mem::take(&mut self.unplaced) {
            self.place_peer(link, unplaced, known, &mut learned);
        }
        self.sleep();
        Some(learned)
    }

    fn is_same(&mut self, wanted: &Wanted) -> bool {
        (self.tokens.contains_key(&wanted.id) || self.is_asleep(wanted.id))
            && nsfs::open(&wanted.path, wanted.file).is_ok()
    }

    fn needs_resync(&self) -> &BTreeSet<NetnsId> {
        &self.needs_resync
    }

    fn list(&mut self, id: NetnsId, known: &State) -> (Learned, Result<(), ListError>) {
        let mut learned = Learned::default();
        let listed = self.wake(id).map_err(ListError::from).and_then(|()| self.list_open(id, known, &mut learned));
        self.sleep();
        (learned, listed)
    }

    fn rename(&mut self, wanted: &Wanted) {
        self.move_to(wanted);
    }

    fn unnotified(&self) -> Vec<NetnsId> {
        if self.sockets.notified { self.asleep.keys().copied().collect() } else { Vec::new() }
    }

    fn complete_pair(&mut self, id: NetnsId, ifindex: u32, known: &State) -> Learned {
        let mut learned = Learned::default();
        // Fails where the namespace is gone, and nothing is left to complete.
        _ = self.wake(id);
        let Some(&token) = self.tokens.get(&id) else { return learned };
        let Some(connection) = self.connections.get_mut(&token) else { return learned };
        let (mut link, mut notifications): (Option<Link>, _) = (None, Notifications::default());
        let result = connection.ask(Request::get_link(None, ifindex), &mut self.buffer, &mut notifications, |body| {
            if let Body::NewLink(message) = body {
                link = message.link().ok().flatten();
            }
        });
        let reply = result.ok().and(link);
        // Older than the reply, the deletion of the link included.
        self.take_in(token, notifications, known, &mut learned);
        if let Some(mut link) = reply
            && let Some(connection) = self.connections.get_mut(&token)
        {
            let mut later = Notifications::default();
            if link.is_far() {
                connection.learn_host_nsid(self.host, &self.home, &mut self.buffer, &mut later);
            }
            let unplaced = connection.locate(self.host, &mut link);
            self.unplaced.extend(unplaced.map(|(key, unplaced)| (key, Unplaced { is_asked: true, ..unplaced })));
            learned.findings.push(Finding::Reply(id, link));
            self.take_in(token, later, known, &mut learned);
        }
        self.sleep();
        learned
    }

    fn read_last(&mut self, id: NetnsId, _counted: Counted, known: &State) -> Learned {
        // The socket keeps the namespace alive.
        if !self.tokens.contains_key(&id) {
            return Learned::default();
        }
        let (mut learned, rows) = self.read_counters(id, known, None);
        learned.counters(id, rows);
        learned
    }

    fn read_counters(
        &mut self,
        id: NetnsId,
        known: &State,
        mut details: Option<&mut Vec<(u32, CounterDetails)>>,
    ) -> (Learned, Vec<(u32, Counters)>) {
        let (mut learned, mut rows) = (Learned::default(), Vec::new());
        if let Err(error) = self.wake(id) {
            tracing::debug!(event.name = "netlink.counters_failed", "cannot read counters: {error}");
        }
        let Some(&token) = self.tokens.get(&id) else { return (learned, rows) };
        let Some(connection) = self.connections.get_mut(&token) else { return (learned, rows) };
        let mut notifications = Notifications::default();
        let result = connection.ask(Request::list_stats(), &mut self.buffer, &mut notifications, |body| {
            if let Body::Stats { ifindex, counters, details: raw } = body {
                rows.push((ifindex, counters));
                details.iter_mut().for_each(|details| details.push((ifindex, raw.read())));
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
        self.take_in(token, notifications, known, &mut learned);
        self.sleep();
        (learned, rows)
    }
}
