use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use netns_testbed::{LinkChange, Netns, NetnsDir, Replay, Rtnl, Test, figure, tests};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::subject::{EXACT, Subject, assert_exact};

/// Histories times the longest of them: some more than 10,000 steps a run.
const HISTORIES: u32 = 96;
const STEPS: std::ops::Range<usize> = 80..140;

/// Sixteen digits of a seed, to make a failure happen again.
const SEED: &str = "NETNS_MODEL_SEED";

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    tests![random_histories_end_where_ip_does].into_iter().map(|test| test.limit(Duration::from_secs(600)))
}

/// One step of a history. Numbers choose among what exists at that time, whatever it is.
#[derive(Clone, Copy, Debug)]
enum Step {
    AddNetns,
    DeleteNetns(u8),
    /// A veth between two places.
    AddVeth(u8, u8),
    AddBridge(u8),
    AddTunnel(u8),
    /// Another far end of a tunnel.
    Remote(u8, u8),
    DeleteLink(u8),
    Up(u8, bool),
    Mtu(u8, u16),
    Mac(u8, u8),
    Rename(u8),
    Move(u8, u8),
    AddAddress(u8, u8),
    /// One of three addresses with one of three peers: added, or removed where present.
    TogglePeer(u8, u8, u8),
    /// Into a bridge of the same place.
    Join(u8, u8),
    Alias(u8, u8),
    AltName(u8),
    /// Lets every informer's consumer read what there is.
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::AddNetns),
        2 => any::<u8>().prop_map(Step::DeleteNetns),
        6 => any::<(u8, u8)>().prop_map(|(a, b)| Step::AddVeth(a, b)),
        2 => any::<u8>().prop_map(Step::AddBridge),
        2 => any::<u8>().prop_map(Step::AddTunnel),
        2 => any::<(u8, u8)>().prop_map(|(link, end)| Step::Remote(link, end)),
        2 => any::<u8>().prop_map(Step::DeleteLink),
        4 => any::<(u8, bool)>().prop_map(|(link, up)| Step::Up(link, up)),
        3 => (any::<u8>(), 1_280..1_500_u16).prop_map(|(link, mtu)| Step::Mtu(link, mtu)),
        2 => any::<(u8, u8)>().prop_map(|(link, end)| Step::Mac(link, end)),
        3 => any::<u8>().prop_map(Step::Rename),
        3 => any::<(u8, u8)>().prop_map(|(link, to)| Step::Move(link, to)),
        3 => any::<(u8, u8)>().prop_map(|(link, end)| Step::AddAddress(link, end)),
        3 => (any::<u8>(), 0..3_u8, 0..3_u8).prop_map(|(link, own, peer)| Step::TogglePeer(link, own, peer)),
        3 => any::<(u8, u8)>().prop_map(|(link, bridge)| Step::Join(link, bridge)),
        1 => any::<(u8, u8)>().prop_map(|(link, text)| Step::Alias(link, text)),
        1 => any::<u8>().prop_map(Step::AltName),
        2 => Just(Step::Read),
    ]
}

/// Runs the same random histories under both engines and both informers at the same time.
fn random_histories_end_where_ip_does() {
    let seed = seed();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: HISTORIES, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let steps = Cell::new(0);
    let histories = proptest::collection::vec(step(), STEPS);
    let result = TestRunner::new_with_rng(config, rng).run(&histories, |history| {
        run(&history);
        steps.set(steps.get() + history.len());
        Ok(())
    });
    match result {
        Ok(()) => figure(format_args!("{} steps in {HISTORIES} histories", steps.get())),
        Err(TestError::Fail(why, history)) => {
            panic!("{SEED}={seed:016x} makes it happen again: {why}\nafter these {} steps: {history:?}", history.len())
        }
        Err(TestError::Abort(why)) => panic!("{SEED}={seed:016x}: {why}"),
    }
}

fn seed() -> u64 {
    match std::env::var(SEED) {
        Ok(text) => u64::from_str_radix(&text, 16).unwrap_or_else(|e| panic!("{SEED}={text}: {e}")),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    }
}

fn run(history: &[Step]) {
    let mut model = Model { dir: NetnsDir::standard(), netns: Vec::new(), links: Vec::new(), made: 0 };
    let mut observers = Subject::ALL.map(|subject| (subject, subject.start()));
    for step in history {
        match step {
            Step::Read => observers.iter_mut().for_each(|(_, observer)| _ = observer.read_for(Duration::ZERO)),
            step => model.take(*step),
        }
    }
    for (subject, observer) in &mut observers {
        observer.synced();
        assert_exact(observer, &model.netns);
        if !observer.is_within(EXACT, |replay| model.strangers(replay).is_empty()) {
            panic!("{subject}: ends without their peer: {:#?}", model.strangers(observer.replay()));
        }
    }
    model.clear();
    for (_, observer) in &mut observers {
        observer.until("everything is gone", 2 * EXACT, |replay| replay.interfaces().count() == 1);
    }
}

/// Namespaces and links, as far as the choice of the next step needs them.
struct Model {
    dir: NetnsDir,
    netns: Vec<Netns>,
    links: Vec<Link>,
    made: usize,
}

#[derive(Clone, Debug)]
struct Link {
    name: String,
    /// A namespace's name, `None` for the test's own.
    place: Option<String>,
    /// The number of the veth whose end it is: both go together.
    pair: usize,
    /// Addresses with their peers.
    peers: BTreeSet<(u8, u8)>,
    kind: LinkKind,
    /// The namespace whose end is a tunnel's end, too: where the tunnel was made.
    home: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkKind {
    Veth,
    Bridge,
    Tunnel,
}

impl Model {
    fn take(&mut self, step: Step) {
        self.made += 1;
        match step {
            Step::Read => {}
            Step::AddNetns => {
                // Few names, so that they are used again and again.
                let name = format!("ns{}", self.made % 8);
                if self.netns.iter().all(|netns| netns.name() != name) {
                    self.netns.push(self.dir.add(&name));
                }
            }
            Step::DeleteNetns(n) => self.delete_netns(n),
            Step::AddVeth(a, b) => self.add_veth(a, b),
            Step::AddBridge(at) => {
                let name = format!("br{}", self.made);
                let place = self.place(at);
                self.rtnl(place.as_deref()).add_link("bridge", &name);
                self.push(name, place, LinkKind::Bridge);
            }
            Step::AddTunnel(at) => {
                let (name, id) = (format!("vx{}", self.made), self.made as u32);
                let place = self.place(at);
                self.rtnl(place.as_deref()).add_vxlan(&name, id, [[192, 0, 2, 1], [192, 0, 2, 2]], 0);
                self.push(name, place, LinkKind::Tunnel);
            }
            Step::Remote(n, end) => {
                let tunnels = || self.links.iter().filter(|link| link.kind == LinkKind::Tunnel);
                if let Some(link) = tunnels().nth(usize::from(n) % tunnels().count().max(1)) {
                    self.rtnl(link.place.as_deref()).set(&link.name, LinkChange::Remote([192, 0, 2, end.max(1)]));
                }
            }
            Step::DeleteLink(n) => {
                if let Some(link) = self.link(n) {
                    self.rtnl(link.place.as_deref()).delete(&link.name);
                    self.links.retain(|other| other.pair != link.pair);
                }
            }
            Step::Up(n, up) => self.set(n, LinkChange::Up(up)),
            Step::Mtu(n, mtu) => self.set(n, LinkChange::Mtu(mtu.into())),
            Step::Mac(n, end) => self.set(n, LinkChange::Mac([2, 0, 0, 0, 0, end])),
            Step::Rename(n) => {
                let name = format!("if{}", self.made);
                self.set(n, LinkChange::Name(&name));
                if let Some(index) = self.choose(n) {
                    self.links[index].name = name;
                }
            }
            Step::Move(n, to) => self.move_link(n, to),
            Step::TogglePeer(n, own, peer) => self.toggle_peer(n, own, peer),
            Step::Join(n, bridge) => self.join(n, bridge),
            Step::Alias(n, text) => self.set(n, LinkChange::Alias(&format!("{}", text % 3))),
            Step::AltName(n) => {
                if let Some(link) = self.link(n) {
                    self.rtnl(link.place.as_deref()).add_alt_name(&link.name, &format!("also{}", self.made));
                }
            }
            Step::AddAddress(n, end) => {
                if let Some(link) = self.link(n) {
                    let net = format!("10.{}.{}.{end}/24", self.made / 250, self.made % 250).parse().unwrap();
                    self.rtnl(link.place.as_deref()).add_address(&link.name, net);
                }
            }
        }
    }

    fn push(&mut self, name: String, place: Option<String>, kind: LinkKind) {
        let home = place.clone().filter(|_| kind == LinkKind::Tunnel);
        self.links.push(Link { name, place, pair: self.made, peers: BTreeSet::new(), kind, home });
    }

    /// Ends of veths whose peer is not told, each with the other end.
    fn strangers(&self, replay: &Replay) -> Vec<String> {
        let place = |link: &Link| link.place.clone().unwrap_or_else(|| "host".to_owned());
        let peer = |link: &Link| replay.find(&place(link), &link.name).and_then(|interface| interface.peer.clone());
        let is = |peer: &iface_core::Peer, other: &Link| {
            peer.name == *other.name && peer.netns.place.to_string() == place(other)
        };
        let ends = self.links.iter().flat_map(|link| {
            let others = self.links.iter().filter(|other| other.pair == link.pair && other.name != link.name);
            others.map(move |other| (link, other))
        });
        let strangers = ends.filter(|(link, other)| !peer(link).is_some_and(|peer| is(&peer, other)));
        strangers
            .map(|(link, other)| {
                let ends = [link, other].map(|end| format!("{}/{}", place(end), end.name));
                format!("{} is the peer of {}; told is {:?}", ends[1], ends[0], peer(link).map(|peer| peer.name))
            })
            .collect()
    }

    /// A bridge cannot be a port of a bridge.
    fn join(&self, n: u8, bridge: u8) {
        let Some(link) = self.link(n).filter(|link| link.kind != LinkKind::Bridge) else { return };
        let is_bridge = |other: &&Link| other.kind == LinkKind::Bridge && other.place == link.place;
        let bridges: Vec<_> = self.links.iter().filter(is_bridge).collect();
        let Some(bridge) = bridges.get(usize::from(bridge) % bridges.len().max(1)) else { return };
        let rtnl = self.rtnl(link.place.as_deref());
        let index = rtnl.index_of(&bridge.name).unwrap();
        rtnl.set(&link.name, LinkChange::Master(index));
    }

    fn delete_netns(&mut self, n: u8) {
        if self.netns.is_empty() {
            return;
        }
        let netns = self.netns.remove(usize::from(n) % self.netns.len());
        let inside = |link: &Link| [&link.place, &link.home].iter().any(|at| at.as_deref() == Some(netns.name()));
        let gone: Vec<usize> = self.links.iter().filter(|link| inside(link)).map(|link| link.pair).collect();
        self.links.retain(|link| !gone.contains(&link.pair));
        netns.delete();
    }

    fn add_veth(&mut self, a: u8, b: u8) {
        let (one, other) = (self.place(a), self.place(b));
        let names = [format!("a{}", self.made), format!("b{}", self.made)];
        let target = other.as_ref().map_or("/proc/self/ns/net".into(), |name| self.dir.path().join(name));
        self.rtnl(one.as_deref()).add_veth(&names[0], &names[1], Some(&target));
        names.into_iter().zip([one, other]).for_each(|(name, place)| self.push(name, place, LinkKind::Veth));
    }

    /// Bridges stay where they are: the kernel refuses to move them.
    fn move_link(&mut self, n: u8, to: u8) {
        let (Some(index), to) = (self.choose(n), self.place(to)) else { return };
        let link = self.links[index].clone();
        if link.place == to || link.kind == LinkKind::Bridge {
            return;
        }
        let target = to.as_ref().map_or("/proc/self/ns/net".into(), |name| self.dir.path().join(name));
        self.rtnl(link.place.as_deref()).set(&link.name, LinkChange::Netns(&target));
        self.links[index].place = to;
        // A move takes all addresses away.
        self.links[index].peers.clear();
    }

    fn toggle_peer(&mut self, n: u8, own: u8, peer: u8) {
        let Some(index) = self.choose(n) else { return };
        let link = &self.links[index];
        let (address, far) = (IpNet::new([10, 200, own, 1].into(), 32).unwrap(), [10, 201, peer, 1].into());
        let rtnl = self.rtnl(link.place.as_deref());
        match link.peers.contains(&(own, peer)) {
            // The first address with this peer may have taken the later ones along.
            true => _ = rtnl.remove_point_to_point_if_there(&link.name, address, far),
            false => rtnl.add_point_to_point(&link.name, address, far),
        }
        let peers = &mut self.links[index].peers;
        if !peers.remove(&(own, peer)) {
            peers.insert((own, peer));
        }
    }

    fn set(&self, n: u8, change: LinkChange<'_>) {
        if let Some(link) = self.link(n) {
            self.rtnl(link.place.as_deref()).set(&link.name, change);
        }
    }

    fn choose(&self, n: u8) -> Option<usize> {
        (!self.links.is_empty()).then(|| usize::from(n) % self.links.len())
    }

    fn link(&self, n: u8) -> Option<Link> {
        self.choose(n).map(|index| self.links[index].clone())
    }

    /// One of the namespaces, or the test's own.
    fn place(&self, n: u8) -> Option<String> {
        let n = usize::from(n) % (self.netns.len() + 1);
        self.netns.get(n).map(|netns| netns.name().to_owned())
    }

    fn rtnl(&self, place: Option<&str>) -> Rtnl {
        let netns = place.and_then(|name| self.netns.iter().find(|netns| netns.name() == name));
        netns.map_or_else(Rtnl::new, Netns::rtnl)
    }

    /// Ends everything. What is in a namespace, or has its other end in one, goes with it.
    fn clear(&mut self) {
        let (outside, inside): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.links).into_iter().partition(|link| link.place.is_none());
        let stays = |link: &&Link| inside.iter().all(|other| other.pair != link.pair);
        for link in outside.iter().filter(stays) {
            Rtnl::new().delete_if_there(&link.name);
        }
        self.netns.clear();
    }
}
