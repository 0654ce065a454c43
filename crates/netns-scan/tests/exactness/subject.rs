use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::Stream;
use iface_core::{Event, Place};
use netns_scan::{EngineChoice, Handle, Poller, Status, WatchOptions, Watcher};
use netns_testbed::{LinkTruth, Netns, NetnsDir, Observer, Replay, Throttle, links_inside, scaled};

/// Time after the last change until all events must be right.
pub(crate) const EXACT: Duration = Duration::from_secs(1);

/// Time in which the kernel comes to rest.
const REST: Duration = Duration::from_secs(20);

/// Often enough that a poll falls into every test.
const PERIOD: Duration = Duration::from_millis(50);

/// An informer under test, over an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Watcher(EngineChoice),
    Poller(EngineChoice),
    /// A watcher whose threads run a tenth of the time.
    Throttled(EngineChoice),
}

use EngineChoice::{Nsid, Setns};

impl Subject {
    pub(crate) const WATCHERS: [Self; 2] = [Self::Watcher(Nsid), Self::Watcher(Setns)];
    pub(crate) const ALL: [Self; 4] =
        [Self::Watcher(Nsid), Self::Watcher(Setns), Self::Poller(Nsid), Self::Poller(Setns)];
    pub(crate) const THROTTLED: [Self; 2] = [Self::Throttled(Nsid), Self::Throttled(Setns)];

    /// Starts the informer on the standard directory; no event is read yet.
    pub(crate) fn start(self) -> Observer<Informer> {
        self.start_with(vec!["/run/netns".into()], |_| {})
    }

    /// Starts the informer on these directories with changed settings.
    pub(crate) fn start_with(self, dirs: Vec<PathBuf>, change: impl FnOnce(&mut WatchOptions)) -> Observer<Informer> {
        let (Self::Watcher(engine) | Self::Poller(engine) | Self::Throttled(engine)) = self;
        let mut settings = WatchOptions { dirs, find_mounted: false, engine, ..WatchOptions::default() };
        change(&mut settings);
        let informer = match self {
            Self::Watcher(_) => Watcher::start(settings).map(Informer::Watcher),
            Self::Poller(_) => Poller::start(settings, PERIOD).map(Informer::Poller),
            Self::Throttled(_) => {
                Watcher::start(settings).map(|watcher| Informer::Throttled(Throttle::threads_named("netns-"), watcher))
            }
        };
        Observer::new(informer.unwrap_or_else(|error| panic!("{self} does not start: {error}")))
    }

    /// Starts it and reads the first scan.
    pub(crate) fn synced(self) -> Observer<Informer> {
        let mut observer = self.start();
        observer.synced();
        observer
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Watcher(Nsid) => f.write_str("watcher-nsid"),
            Self::Watcher(_) => f.write_str("watcher-setns"),
            Self::Poller(Nsid) => f.write_str("poller-nsid"),
            Self::Poller(_) => f.write_str("poller-setns"),
            Self::Throttled(Nsid) => f.write_str("throttled-nsid"),
            Self::Throttled(_) => f.write_str("throttled-setns"),
        }
    }
}

/// A running subject.
#[derive(Debug)]
pub(crate) enum Informer {
    Watcher(Watcher),
    Poller(Poller),
    /// Ends the throttle first.
    Throttled(#[expect(dead_code, reason = "held for its drop")] Throttle, Watcher),
}

impl Informer {
    pub(crate) fn handle(&self) -> Handle {
        match self {
            Self::Watcher(watcher) | Self::Throttled(_, watcher) => watcher.handle(),
            Self::Poller(poller) => poller.handle(),
        }
    }
}

impl Stream for Informer {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        match self.get_mut() {
            Self::Watcher(watcher) | Self::Throttled(_, watcher) => Pin::new(watcher).poll_next(context),
            Self::Poller(poller) => Pin::new(poller).poll_next(context),
        }
    }
}

/// Every link by place, namespace identity and ifindex.
pub(crate) type World = BTreeMap<(String, u64, u32), LinkTruth>;

/// The output of `ip` in these namespaces and in the test's own.
pub(crate) fn world<'a>(namespaces: impl IntoIterator<Item = &'a Netns>) -> World {
    let mut world = World::new();
    let own = links_inside(None).into_iter();
    world.extend(own.map(|(ifindex, link)| ((Place::Host.to_string(), 0, ifindex), link)));
    for netns in namespaces {
        let links = links_inside(Some(netns)).into_iter();
        let (place, inode) = (netns.place(), netns.known_inode());
        world.extend(links.map(|(ifindex, link)| ((place.clone(), inode, ifindex), link)));
    }
    world
}

/// The same as an informer's events tell it.
pub(crate) fn told(replay: &Replay) -> World {
    let key = |interface: &iface_core::Interface| {
        let inode = if interface.netns.is_host() { 0 } else { interface.netns.inode().unwrap_or_default() };
        (interface.netns.place.to_string(), inode, interface.ifindex)
    };
    replay.interfaces().map(|interface| (key(interface), LinkTruth::from(&**interface))).collect()
}

/// Reads until the events add up to what `ip` shows, within [`EXACT`].
///
/// The kernel itself goes on for a while after the last request, taking namespaces down and
/// working out operational states: `ip` runs again as long as the output changes.
#[track_caller]
pub(crate) fn assert_exact<'a>(
    observer: &mut Observer<Informer>,
    namespaces: impl IntoIterator<Item = &'a Netns> + Clone,
) {
    let start = Instant::now();
    loop {
        let truth = world(namespaces.clone());
        if observer.is_within(EXACT, |replay| is_so(&truth, &told(replay))) {
            return;
        }
        let still = world(namespaces.clone());
        assert!(start.elapsed() < scaled(REST), "the kernel does not come to rest");
        if still == truth {
            panic!("{EXACT:?} after the last change: {}", difference(&truth, &told(observer.replay())));
        }
    }
}

fn is_so(truth: &World, told: &World) -> bool {
    let pairs = truth.iter().zip(told);
    truth.len() == told.len() && { pairs }.all(|((a, link), (b, told))| a == b && link.allows(told))
}

/// Ghosts, missing links and stale links.
fn difference(truth: &World, told: &World) -> String {
    let ghosts: Vec<_> = told.iter().filter(|(key, _)| !truth.contains_key(*key)).collect();
    let missing: Vec<_> = truth.iter().filter(|(key, _)| !told.contains_key(*key)).collect();
    let stale: Vec<_> = truth
        .iter()
        .filter_map(|(key, link)| told.get(key).filter(|told| !link.allows(told)).map(|told| (key, link, told)))
        .collect();
    format!("ghosts {ghosts:#?}\nmissing {missing:#?}\nstale (key, is, told) {stale:#?}")
}

/// Waits until the informer follows so many namespaces, without reading an event.
#[track_caller]
pub(crate) fn follows(observer: &Observer<Informer>, namespaces: usize) {
    stands(observer, &format!("{namespaces} namespaces"), |status| status.namespaces == namespaces);
}

/// Waits until this many interfaces are known, without reading an event.
pub(crate) fn knows(observer: &Observer<Informer>, interfaces: usize) {
    stands(observer, &format!("{interfaces} interfaces"), |status| status.interfaces == interfaces);
}

/// Waits until the status is so, without reading an event.
pub(crate) fn stands(observer: &Observer<Informer>, what: &str, so: impl Fn(&Status) -> bool) {
    let handle = observer.informer().handle();
    let start = Instant::now();
    while !so(&handle.status()) {
        assert!(start.elapsed() < scaled(REST), "not {what}: {:?}", handle.status());
        std::thread::yield_now();
    }
}

/// Namespaces with these names.
pub(crate) fn add_all(dir: &NetnsDir, prefix: &str, count: usize) -> Vec<Netns> {
    (0..count).map(|n| dir.add(&format!("{prefix}{n}"))).collect()
}
