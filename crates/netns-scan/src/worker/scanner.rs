//! The loop of the scanning thread: names to namespaces to links to events.

mod open;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use iface_core::{InterfaceId, NetnsId};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::discovery::directory::Directories;
use crate::discovery::names::{Change, Names};
use crate::discovery::nsfs::{self, Found, OWN};
use crate::engine::learned::{Learned, ListError};
use crate::engine::{self, Chosen, Engine, Sockets, Wanted};
use crate::state::State;
use crate::worker::event_channel::EventChannel;
use crate::worker::nameless_peers::NamelessPeers;
use crate::worker::pass::Pass;
use crate::worker::roster::Roster;
use crate::worker::sysfs;
use crate::worker::unnamed::Unnamed;
use crate::{EngineKind, Error, Fault, FaultKind, Reading, Status, WatchOptions};

/// Namespaces opened or read in one go; between two, received notifications are applied.
const SLICE: usize = 32;

/// Remedy where a file or socket is not available.
const LIMITS: &str = "see the limits on open files and inotify instances (ulimit -n, fs.inotify)";

/// The loop: names to namespaces to links to events.
pub(crate) struct Scanner {
    epoll: Epoll,
    channel: Arc<EventChannel>,
    directories: Directories,
    engine: Box<dyn Engine>,
    kind: EngineKind,
    state: State,
    roster: Roster,
    unnamed: Unnamed,
    /// With an engine that follows names only.
    nameless_peers: Option<NamelessPeers>,
    /// Time of the last look at new names, before the look.
    names_read: Instant,
    /// Namespaces whose nsid was released, to be compared with their names.
    dead: Vec<NetnsId>,
    pass: Option<Pass>,
    poll: Option<Poll>,
    /// When deleted ends of veths wait no longer for the last message of their peers.
    release: Option<Instant>,
    synced: bool,
    reads_details: bool,
}

/// Period and time of the next listing of everything.
struct Poll {
    period: Duration,
    /// `None` where the clock cannot name the time: the period never passes.
    next: Option<Instant>,
}

/// Source of a wake-up.
#[repr(u64)]
enum Woken {
    EventChannel,
    Engine,
    Inotify,
    Mounts,
}

impl Scanner {
    /// Opens what the loop needs, with the host's namespace already listed.
    pub(crate) fn new(settings: &WatchOptions, poll: Option<Duration>) -> Result<Self, Error> {
        let resource = |what| move |source: io::Error| Error::Resource { what, remedy: LIMITS, source };
        let Found::Namespace(host) =
            nsfs::look(OWN.as_ref(), None).map_err(resource("open the own network namespace"))?
        else {
            let source = io::ErrorKind::Unsupported.into();
            let remedy = "/proc must be mounted";
            return Err(Error::Resource { what: "identify the own network namespace", remedy, source });
        };
        let names = Names::new(host);
        let mut state = State::new(NetnsId::HOST);
        state.physical_function = sysfs::physical_function;
        let directories = Directories::new(&settings.dirs, settings.find_mounted, names);
        let directories = directories.map_err(resource("follow directories"))?.with_processes(settings.proc.clone());
        directories.netns(state.host()).into_iter().for_each(|host| state.open(host));
        let sockets = Sockets {
            notified: poll.is_none(),
            find_unnamed: settings.find_unnamed,
            receive_buffer: settings.receive_buffer,
        };
        let Chosen { engine, kind, reason, learned } = engine::choose(settings.engine, sockets, &state)?;
        let status = Status::new(kind, reason);
        let channel = Arc::new(EventChannel::new(status).map_err(resource("make an eventfd"))?);
        let epoll = epoll(&channel, &*engine, &directories).map_err(|errno| resource("make an epoll")(errno.into()))?;
        let mut scanner = Self {
            epoll,
            channel,
            directories,
            engine,
            kind,
            state,
            roster: Roster::default(),
            unnamed: Unnamed::default(),
            nameless_peers: (settings.find_unnamed && kind != EngineKind::Nsid).then(NamelessPeers::default),
            names_read: Instant::now(),
            dead: Vec::new(),
            pass: None,
            poll: poll.map(|period| Poll { period, next: Instant::now().checked_add(period) }),
            release: None,
            synced: false,
            reads_details: settings.details,
        };
        scanner.learn(learned);
        Ok(scanner)
    }

    pub(crate) fn channel(&self) -> Arc<EventChannel> {
        self.channel.clone()
    }

    /// Runs until the channel is stopped.
    pub(crate) fn run(mut self) {
        let names = self.directories.list();
        self.name_changes(names);
        while !self.channel.is_stopped() {
            self.work();
            self.publish();
            self.wait();
        }
    }

    /// Waits until something happens or is due, and takes in the names.
    fn wait(&mut self) {
        let mut events = [EpollEvent::empty(); 8];
        let timeout = self.timeout();
        self.names_read = Instant::now();
        // Interrupted or not: what is due is looked at every time.
        let count = self.epoll.wait(&mut events, timeout).unwrap_or_default();
        let now = Instant::now();
        self.state.now = SystemTime::now();
        let woken = |what: Woken| {
            let what = what as u64;
            events[..count].iter().any(|event| event.data() == what)
        };
        if woken(Woken::EventChannel) {
            self.begin_pass();
        }
        // Before mounts: after an unlink, a name may lead to another namespace with the same inode.
        if woken(Woken::Inotify) || woken(Woken::Mounts) {
            let names = self.directories.read_inotify();
            self.name_changes(names);
        }
        if woken(Woken::Mounts) {
            let names = self.directories.mounts_changed(now);
            self.name_changes(names);
        }
        let names = self.directories.catch_up(now);
        self.name_changes(names);
        if self.directories.take_links_seen() {
            self.list_all(self.engine.unnotified());
        }
        self.count_nameless_peers(now);
        self.roster.retry(now);
        self.poll_again(now);
    }

    fn timeout(&self) -> EpollTimeout {
        let resync = self.roster.next_resync(self.engine.needs_resync(), Instant::now());
        let to_open = !self.roster.is_idle() || self.unnamed.is_searching(Instant::now());
        if to_open || !self.dead.is_empty() || resync.is_ok() || self.pass.is_some() {
            return EpollTimeout::ZERO;
        }
        let poll = self.poll.as_ref().and_then(|poll| poll.next);
        let (names, unnamed) = (self.directories.deadline(), self.unnamed.deadline());
        let peers = self.nameless_peers.as_ref().and_then(NamelessPeers::deadline);
        let due = [names, unnamed, peers, self.roster.deadline(), resync.err().flatten(), poll, self.release];
        let Some(due) = due.into_iter().flatten().min() else { return EpollTimeout::NONE };
        // Rounded up: a timer that ends early would only have to be set again.
        let left = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
    }

    /// One slice of everything that is to be done.
    fn work(&mut self) {
        self.read();
        self.open_some();
        self.open_unnamed();
        self.resync_some();
        self.complete_pairs();
        self.count_some();
        self.release = self.state.release_due(Instant::now());
        if self.roster.is_idle() && !self.unnamed.is_searching(Instant::now()) && !self.synced {
            self.synced = true;
            self.state.synced();
            let ends = self.state.unplaced_ends();
            self.nameless_peers.iter_mut().for_each(|peers| peers.scanned(ends));
        }
    }

    /// Applies what the engine has learned.
    fn learn(&mut self, learned: Learned) {
        let mut next = Some(learned);
        while let Some(Learned { findings, dead, unclaimed, overruns, malformed, .. }) = next {
            self.state.tallies.overruns += overruns;
            self.state.tallies.malformed += malformed;
            findings.into_iter().for_each(|finding| self.state.learn(finding));
            self.dead.extend(dead);
            self.unnamed.found(unclaimed, Instant::now());
            next = self.engine.place_peers(&self.state);
        }
    }

    /// Applies the notifications of the engine, and ends the namespaces that died under their name.
    fn read(&mut self) {
        let learned = self.engine.read(&self.state);
        self.learn(learned);
        for id in std::mem::take(&mut self.dead) {
            if self.unnamed.remove(id) {
                self.end(id);
                continue;
            }
            let Some(wanted) = self.wanted(id) else { continue };
            // A number's end may be told late, when the number is another's already.
            if !self.engine.is_same(&wanted) {
                let names = self.directories.names().all(id);
                let changes = self.directories.reopen(names);
                self.name_changes(changes);
            }
        }
    }

    /// Ends a namespace; returns its nsid if the namespace may live on.
    fn end(&mut self, id: NetnsId) -> Option<i32> {
        // The last messages of the namespace's links, or of their peers, may be in the queue.
        let learned = self.engine.read_all(id, &self.state);
        self.learn(learned);
        let learned = self.engine.read_last(id, self.state.counted_by(id), &self.state);
        self.learn(learned);
        let nsid = self.engine.close(id);
        self.state.close(id);
        self.roster.remove(id);
        nsid
    }

    /// Ends a namespace that may live on without a name.
    fn end_or_outlive(&mut self, id: NetnsId) {
        let nsid = self.end(id);
        nsid.into_iter().for_each(|nsid| self.unnamed.outlived(nsid, Instant::now()));
    }

    fn name_changes(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Opened(id, _) => self.roster.add(id),
                Change::Renamed(id, _) => {
                    if let Some(wanted) = self.wanted(id) {
                        self.engine.rename(&wanted);
                    }
                    if self.state.place(id).is_some()
                        && let Some(netns) = self.directories.netns(id)
                    {
                        self.state.open(netns);
                    }
                }
                Change::Closed(id) => self.end_or_outlive(id),
            }
        }
    }

    /// A namespace with its primary name; `None` without a name.
    fn wanted(&self, id: NetnsId) -> Option<Wanted> {
        let names = self.directories.names();
        let (name, file) = (names.primary(id)?, names.file(id)?);
        Some(Wanted { id, file, path: self.directories.path(name), is_mounted: !self.directories.is_link(name) })
    }

    fn resync_some(&mut self) {
        for _ in 0..SLICE {
            let now = Instant::now();
            let Ok(id) = self.roster.next_resync(self.engine.needs_resync(), now) else { return };
            self.state.tallies.resyncs += 1;
            self.list(id);
            let end = Instant::now();
            self.roster.resynced(id, end, end - now);
        }
    }

    fn complete_pairs(&mut self) {
        loop {
            // A reply that changes a claim can contradict another end. Where nothing changes, the loop ends.
            let ends = self.state.take_doubtful();
            if ends.is_empty() {
                return;
            }
            for (id, ifindex) in ends {
                let learned = self.engine.complete_pair(id, ifindex, &self.state);
                self.learn(learned);
            }
        }
    }

    /// Lists a namespace again, and records the outcome.
    fn list(&mut self, id: NetnsId) {
        let (learned, listed) = self.engine.list(id, &self.state);
        self.learn(learned);
        let error = match listed {
            // The engine lists it again.
            Ok(()) | Err(ListError::Interrupted(_)) => return self.roster.followed(id),
            Err(error) => error,
        };
        if id == self.state.host() {
            return self.try_again(
                id,
                Fault { kind: FaultKind::Namespace, subject: OWN.into(), error: format!("cannot list it: {error}") },
            );
        }
        if let Some(nsid) = self.unnamed.nsid(id) {
            return self.unnamed_failed(id, nsid, &error);
        }
        let Some(wanted) = self.wanted(id) else { return };
        // The listing was incomplete, so the interfaces known so far are the better answer.
        if let ListError::Failed(_) = error {
            self.engine.close(id);
            self.state.close(id);
        }
        self.open_failed(wanted, &error);
    }

    fn count_nameless_peers(&mut self, now: Instant) {
        if let Some(peers) = &mut self.nameless_peers
            && peers.deadline().is_some_and(|due| due <= now)
        {
            peers.counted(self.state.unplaced_ends(), now);
        }
    }

    fn begin_pass(&mut self) {
        let requests = self.channel.take_requests();
        if !requests.is_empty() {
            let pass = self.pass.get_or_insert_with(|| Pass::over(self.state.namespaces().collect()));
            pass.join(requests);
        }
    }

    fn count_some(&mut self) {
        let Some(mut pass) = self.pass.take() else { return };
        for id in pass.next(SLICE) {
            let before: Vec<(u32, InterfaceId)> = self.state.ids(id).collect();
            let mut details = self.reads_details.then(Vec::new);
            let (learned, rows) = self.engine.read_counters(id, &self.state, details.as_mut());
            self.learn(learned);
            // Counters of an ifindex that has become another interface's are dropped.
            let same = |reading: &Reading, ifindex: u32| before.binary_search(&(ifindex, reading.id)).is_ok();
            let first = pass.readings().len();
            pass.readings().extend(rows.into_iter().filter_map(|(ifindex, counters)| {
                self.state.reading(id, ifindex, counters).filter(|reading| same(reading, ifindex))
            }));
            if let Some(details) = details {
                let read: HashSet<_> = pass.readings()[first..].iter().map(|reading| reading.id).collect();
                let of = |ifindex: u32| before.binary_search_by_key(&ifindex, |(ifindex, _)| *ifindex).ok();
                let known =
                    details.into_iter().filter_map(|(ifindex, details)| Some((before[of(ifindex)?].1, details)));
                pass.details().extend(known.filter(|(id, _)| read.contains(id)));
            }
        }
        if self.reads_details && pass.is_complete() {
            self.channel.set_details(std::mem::take(pass.details()));
        }
        self.pass = pass.answered();
    }

    fn poll_again(&mut self, now: Instant) {
        // New namespaces go first: a short period must not keep them waiting.
        let is_new = !self.roster.is_idle() || self.unnamed.is_searching(now);
        if is_new || self.poll.as_ref().and_then(|poll| poll.next).is_none_or(|next| next > now) {
            return;
        }
        let names = self.directories.list();
        self.name_changes(names);
        let learned = self.engine.look_for_unnamed();
        self.learn(learned);
        self.list_all(self.state.namespaces().collect());
        if let Some(poll) = &mut self.poll {
            poll.next = Instant::now().checked_add(poll.period);
        }
    }

    fn list_all(&mut self, namespaces: Vec<NetnsId>) {
        for id in namespaces {
            self.list(id);
        }
    }

    fn publish(&mut self) {
        let events = self.state.take_events();
        if let Some(peers) = self.nameless_peers.as_mut().filter(|_| !events.is_empty()) {
            peers.links_changed(Instant::now());
        }
        let tallies = crate::Tallies { refused: self.directories.warnings(), ..self.state.tallies };
        let (namespaces, interfaces) = self.state.counts();
        let peers_changed = self.nameless_peers.as_mut().is_some_and(NamelessPeers::take_changed);
        let faults_changed = self.roster.take_faults_changed() | self.directories.take_faults_changed() | peers_changed;
        let (roster, directories, synced) = (&self.roster, &self.directories, self.synced);
        let peers = self.nameless_peers.as_ref().and_then(NamelessPeers::fault);
        self.channel.publish(events, tallies, |status| {
            status.namespaces = namespaces;
            status.interfaces = interfaces;
            let synced_changed = std::mem::replace(&mut status.synced, synced) != synced;
            if faults_changed {
                status.faults = directories.faults().chain(roster.faults()).chain(peers).cloned().collect();
            }
            faults_changed || synced_changed
        });
    }
}

/// However the thread ends, the reader is told.
impl Drop for Scanner {
    fn drop(&mut self) {
        self.channel.end();
    }
}

fn epoll(channel: &EventChannel, engine: &dyn Engine, directories: &Directories) -> nix::Result<Epoll> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let readable = |what: Woken| EpollEvent::new(EpollFlags::EPOLLIN, what as u64);
    epoll.add(channel.fd(), readable(Woken::EventChannel))?;
    epoll.add(engine.fd(), readable(Woken::Engine))?;
    epoll.add(directories.inotify_fd(), readable(Woken::Inotify))?;
    epoll.add(directories.mounts_fd(), EpollEvent::new(EpollFlags::EPOLLPRI, Woken::Mounts as u64))?;
    Ok(epoll)
}
