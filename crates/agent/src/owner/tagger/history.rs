//! A small node with a runtime, a kubelet and an API server, each late in its own way: whatever
//! happens on it, the tagger never says a wrong pod, and says the right one in the end.
//!
//! What is late: files come after their interfaces or never, stay when their namespace is gone or go before
//! it; the kubelet tells the API server later, the API server tells the agent later still or is away.
//! What is not: the kernel tells of interfaces and of files that are written before the API server
//! tells of addresses, as the kubelet needs both first, and when the agent starts anew the cache is read
//! first and the kubelet has told what happened. Without that nobody could tell a
//! pod from its predecessor by address alone; `docs/identity.md` says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use iface_core::{End, Event, IfName, Interface, InterfaceId, Netns, NetnsId, NetnsName, OperState, Peer, Place, Pod};
use proptest::prelude::*;

use super::super::cni_cache::Attachment;
use super::super::pod::{Life, PodChange, PodRecord};
use super::Tagger;

/// Few, so that they are used again and again.
const ADDRESSES: u8 = 5;
const NAMES: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A pod starts: which name, when its file comes, whether its namespace's name was used before.
    Start {
        name: usize,
        file: FileTime,
        reuse_name: bool,
    },
    /// A pod's containers end by themselves.
    Complete(usize),
    /// Somebody deletes a pod.
    Delete(usize),
    /// The runtime takes a pod's namespace down, with its file or without.
    TearDown {
        pod: usize,
        keep_file: bool,
    },
    /// A namespace whose pod is gone dies at last.
    Die(usize),
    /// A pod with CAP_NET_ADMIN takes another's address.
    Steal {
        thief: usize,
        victim: usize,
    },
    WriteLateFile(usize),
    KubeletReports,
    ApiServerTells,
    ApiServerGoes,
    ApiServerComes,
    KernelTells,
    FileIsRead,
    AgentRestarts(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileTime {
    Now,
    Late,
    Never,
}

fn step() -> impl Strategy<Value = Step> {
    let any_pod = 0usize..8;
    let file = prop_oneof![3 => Just(FileTime::Now), 2 => Just(FileTime::Late), 2 => Just(FileTime::Never)];
    prop_oneof![
        4 => (0..NAMES, file, any::<bool>())
            .prop_map(|(name, file, reuse_name)| Step::Start { name, file, reuse_name }),
        2 => any_pod.clone().prop_map(Step::Complete),
        2 => any_pod.clone().prop_map(Step::Delete),
        4 => (any_pod.clone(), any::<bool>()).prop_map(|(pod, keep_file)| Step::TearDown { pod, keep_file }),
        3 => any_pod.clone().prop_map(Step::Die),
        1 => (any_pod.clone(), any_pod.clone()).prop_map(|(thief, victim)| Step::Steal { thief, victim }),
        2 => any_pod.prop_map(Step::WriteLateFile),
        6 => Just(Step::KubeletReports),
        6 => Just(Step::ApiServerTells),
        1 => Just(Step::ApiServerGoes),
        1 => Just(Step::ApiServerComes),
        12 => Just(Step::KernelTells),
        5 => Just(Step::FileIsRead),
        1 => any::<u64>().prop_map(Step::AgentRestarts),
    ]
}

/// A pod as it really is.
#[derive(Clone, Debug)]
struct Real {
    uid: Arc<str>,
    name: String,
    address: u8,
    file: Option<Attachment>,
    /// Where its file is, or is to be.
    path: Arc<Path>,
    file_time: FileTime,
    netns: Arc<Netns>,
    interfaces: Vec<Arc<Interface>>,
    stage: Stage,
    ending: bool,
    stolen: bool,
    created: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    Completed,
    /// The runtime has given its address back.
    TornDown,
    Dead,
}

enum FileEvent {
    Written(Arc<Path>, Attachment),
    Removed(Arc<Path>),
}

#[derive(Default)]
struct Node {
    clock: u64,
    pods: Vec<Real>,
    files: BTreeMap<Arc<Path>, Attachment>,
    /// What the kubelet has not told the API server, the API server not the agent, and so on.
    unreported: VecDeque<PodChange>,
    api: BTreeMap<Arc<str>, PodRecord>,
    untold: VecDeque<PodChange>,
    api_away: bool,
    kernel: VecDeque<Event>,
    unread: VecDeque<FileEvent>,
    tagger: Tagger,
    said: BTreeMap<InterfaceId, Arc<Interface>>,
    /// Addresses of namespaces that died before anybody knew whose they were.
    haunted: BTreeSet<IpAddr>,
}

impl Node {
    fn new() -> Self {
        let mut node = Self::default();
        node.tagger.event(Event::Synced);
        node
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Start { name, file, reuse_name } => self.start(name, file, reuse_name),
            Step::Complete(pod) => {
                self.change(pod, |pod| (pod.stage == Stage::Running).then(|| pod.stage = Stage::Completed).is_some())
            }
            Step::Delete(pod) => self.change(pod, |pod| !std::mem::replace(&mut pod.ending, true)),
            Step::TearDown { pod, keep_file } => self.tear_down(pod, keep_file),
            Step::Die(pod) => self.die(pod),
            Step::Steal { thief, victim } => self.steal(thief, victim),
            Step::WriteLateFile(pod) => self.write_late_file(pod),
            Step::KubeletReports => self.kubelet_reports(),
            Step::ApiServerTells => self.api_server_tells(),
            Step::ApiServerGoes => self.api_away = true,
            Step::ApiServerComes => self.api_server_comes(),
            Step::KernelTells => self.kernel_tells(),
            Step::FileIsRead => self.file_is_read(),
            Step::AgentRestarts(order) => self.agent_restarts(order),
        }
    }

    fn start(&mut self, name: usize, file_time: FileTime, reuse_name: bool) {
        let taken: Vec<u8> =
            self.pods.iter().filter(|pod| pod.stage < Stage::TornDown).map(|pod| pod.address).collect();
        let Some(address) = (1..=ADDRESSES).find(|address| !taken.contains(address)) else { return };
        let name = format!("web-{name}");
        // As in a StatefulSet: a name is used again, but not by two at once.
        if self.pods.iter().any(|pod| pod.name == name && pod.stage < Stage::TornDown) {
            return;
        }
        let number = self.tick();
        let dead = self.pods.iter().find(|pod| pod.stage == Stage::Dead).map(|pod| pod.netns.place.clone());
        let place =
            dead.filter(|_| reuse_name).unwrap_or_else(|| Place::Named(NetnsName::new(format!("cni-{number}"))));
        let netns = Arc::new(Netns { id: NetnsId { dev: 4, inode: 100 + number, generation: number }, place });
        let uid: Arc<str> = format!("uid-{number}").into();
        let interfaces = interfaces(&netns, number, address);
        let file = attachment(&uid, &name, &netns, &interfaces[1]);
        let pod = Real {
            path: Path::new(&format!("podnet-{number}-eth0")).into(),
            file: (file_time != FileTime::Never).then_some(file),
            created: number as i64 / 2,
            stage: Stage::Running,
            ending: false,
            stolen: false,
            uid,
            name,
            address,
            file_time,
            netns,
            interfaces,
        };
        self.kernel.extend(pod.interfaces.iter().cloned().map(Event::Added));
        if file_time == FileTime::Now {
            self.write(&pod);
        }
        self.pods.push(pod);
        self.report(self.pods.len() - 1);
    }

    fn write(&mut self, pod: &Real) {
        let Some(file) = &pod.file else { return };
        self.files.insert(pod.path.clone(), file.clone());
        self.unread.push_back(FileEvent::Written(pod.path.clone(), file.clone()));
    }

    fn write_late_file(&mut self, pod: usize) {
        let late = self.pods.get_mut(pod).filter(|pod| pod.stage == Stage::Running && pod.file_time == FileTime::Late);
        let Some(pod) = late else { return };
        pod.file_time = FileTime::Now;
        let pod = pod.clone();
        self.write(&pod);
    }

    fn change(&mut self, pod: usize, change: impl FnOnce(&mut Real) -> bool) {
        if self.pods.get_mut(pod).is_some_and(change) {
            self.report(pod);
        }
    }

    /// The kubelet will tell the API server how the pod is now.
    fn report(&mut self, pod: usize) {
        let version = self.tick();
        let pod = &self.pods[pod];
        self.unreported.push_back(PodChange::Applied(record(pod, version)));
    }

    fn tear_down(&mut self, pod: usize, keep_file: bool) {
        let ended = |pod: &&mut Real| pod.stage == Stage::Completed || (pod.ending && pod.stage < Stage::TornDown);
        let Some(real) = self.pods.get_mut(pod).filter(|pod| ended(pod)) else { return };
        real.stage = Stage::TornDown;
        let (path, ending) = (real.path.clone(), real.ending);
        if !keep_file && self.files.remove(&path).is_some() {
            self.unread.push_back(FileEvent::Removed(path));
        }
        self.report(pod);
        if ending {
            self.unreported.push_back(PodChange::Deleted(self.pods[pod].uid.clone()));
        }
    }

    fn die(&mut self, pod: usize) {
        let Some(real) = self.pods.get_mut(pod).filter(|pod| pod.stage == Stage::TornDown) else { return };
        real.stage = Stage::Dead;
        self.kernel.extend(real.interfaces.drain(..).map(Event::Deleted));
    }

    /// Only pods the CNI cache knows, for without it a thief cannot be told from its victim.
    fn steal(&mut self, thief: usize, victim: usize) {
        let Some(address) = self.pods.get(victim).filter(|_| thief != victim).map(|pod| pod.address) else { return };
        let honest = |pod: &&mut Real| pod.stage == Stage::Running && pod.file_time == FileTime::Now && !pod.stolen;
        let Some(pod) = self.pods.get_mut(thief).filter(honest) else { return };
        pod.stolen = true;
        let number = self.tick();
        let pod = &mut self.pods[thief];
        let taken = interface(&pod.netns, number * 10 + 5, "stolen", number, Some(address));
        pod.interfaces.push(taken.clone());
        self.kernel.push_back(Event::Added(taken));
    }

    fn kubelet_reports(&mut self) {
        let Some(change) = self.unreported.pop_front() else { return };
        match &change {
            PodChange::Applied(record) => drop(self.api.insert(record.uid.clone(), record.clone())),
            PodChange::Deleted(uid) => drop(self.api.remove(uid)),
            PodChange::Listed(_) => unreachable!("only the API server lists"),
        }
        self.untold.push_back(change);
    }

    fn api_server_tells(&mut self) {
        if self.api_away {
            return;
        }
        let Some(change) = self.untold.pop_front() else { return };
        self.all_from_kernel();
        self.all_files();
        self.tagger.pod(change);
        self.read();
    }

    fn api_server_comes(&mut self) {
        if std::mem::take(&mut self.api_away) {
            self.untold.clear();
            self.untold.push_back(PodChange::Listed(self.api.values().cloned().collect()));
        }
    }

    fn kernel_tells(&mut self) {
        let Some(event) = self.kernel.pop_front() else { return };
        if let Event::Deleted(last) = &event
            && self.said.get(&last.id).is_some_and(|said| said.owner.is_none())
        {
            self.haunted.extend(last.addresses.iter().map(|net| net.addr()));
        }
        self.tagger.event(event);
        self.read();
    }

    fn all_from_kernel(&mut self) {
        while !self.kernel.is_empty() {
            self.kernel_tells();
        }
    }

    fn all_files(&mut self) {
        while !self.unread.is_empty() {
            self.file_is_read();
        }
    }

    fn file_is_read(&mut self) {
        match self.unread.pop_front() {
            Some(FileEvent::Written(path, file)) => self.tagger.file(&path, file),
            Some(FileEvent::Removed(path)) => self.tagger.file_gone(&path),
            None => {}
        }
        self.read();
    }

    /// Everything anew, the sources in an order of their own.
    fn agent_restarts(&mut self, order: u64) {
        while !self.unreported.is_empty() {
            self.kubelet_reports();
        }
        self.tagger = Tagger::default();
        self.said.clear();
        self.kernel.clear();
        self.unread = self.files.iter().map(|(path, file)| FileEvent::Written(path.clone(), file.clone())).collect();
        self.all_files();
        self.api_away = false;
        self.untold = [PodChange::Listed(self.api.values().cloned().collect())].into();
        let mut interfaces: VecDeque<_> =
            self.pods.iter().flat_map(|pod| pod.interfaces.iter().cloned().map(Event::Added)).collect();
        let by = (order % 7) as usize % interfaces.len().max(1);
        interfaces.rotate_left(by);
        interfaces.push_back(Event::Synced);
        // Pods before, between or after.
        let mut pods = self.untold.pop_front();
        for (at, event) in interfaces.into_iter().enumerate() {
            if at as u64 == order % 11
                && let Some(change) = pods.take()
            {
                self.tagger.pod(change);
            }
            self.tagger.event(event);
            self.read();
        }
        self.untold.extend(pods);
    }

    /// Follows what the tagger says, and holds each word against the truth.
    fn read(&mut self) {
        let events: Vec<Event> = self.tagger.events().collect();
        for event in events {
            match event {
                Event::Added(now) | Event::Updated(now, _) => {
                    self.check(&now);
                    self.said.insert(now.id, now);
                }
                Event::Deleted(last) => drop(self.said.remove(&last.id)),
                Event::Synced => {}
            }
        }
    }

    fn check(&self, interface: &Interface) {
        let Some(owner) = &interface.owner else { return };
        let netns = interface.peer.as_ref().map_or(interface.netns.id, |peer| peer.netns.id);
        let real = self.pods.iter().find(|pod| pod.netns.id == netns).unwrap();
        assert_eq!(owner.pod.uid.as_deref(), Some(&*real.uid), "{} of {netns:?}", interface.name);
        assert_eq!(owner.end, if interface.netns.is_host() { End::Host } else { End::Pod });
    }

    /// Nothing happens any more, and everybody tells everything.
    fn settle(&mut self) {
        for pod in 0..self.pods.len() {
            self.tear_down(pod, false);
            self.die(pod);
        }
        self.all_from_kernel();
        self.all_files();
        self.api_server_comes();
        while !(self.unreported.is_empty() && self.untold.is_empty()) {
            self.kubelet_reports();
            self.api_server_tells();
        }
    }

    /// Whether an address alone cannot tell: a thief has one, it was that of a pod that nobody knew while it
    /// lived, so that what comes from the API server may be about that one, or an old file contradicts.
    fn is_uncertain(&self, pod: &Real) -> bool {
        let thief = |other: &Real| other.stolen && other.stage == Stage::Running;
        let contradicts = |file: &Attachment| Some(&file.netns) == pod.netns.name();
        self.pods.iter().any(thief) || self.haunted.contains(&ip(pod.address)) || self.files.values().any(contradicts)
    }

    fn check_all_tagged(&self) {
        for pod in self.pods.iter().filter(|pod| pod.stage == Stage::Running) {
            if pod.file_time != FileTime::Now && self.is_uncertain(pod) {
                continue;
            }
            for interface in &pod.interfaces {
                let owner = self.said[&interface.id].owner.as_ref();
                let uid = owner.and_then(|owner| owner.pod.uid.as_deref());
                assert_eq!(uid, Some(&*pod.uid), "{} of {pod:?}", interface.name);
            }
        }
        let alive = self.pods.iter().map(|pod| pod.interfaces.len()).sum::<usize>();
        assert_eq!(self.said.len(), alive);
        assert_eq!(self.tagger.interfaces.len(), alive);
        let spaces = self.pods.iter().filter(|pod| !pod.interfaces.is_empty()).count();
        assert_eq!(self.tagger.spaces.keys().filter(|id| id.inode != 1).count(), spaces);
    }
}

fn record(pod: &Real, version: u64) -> PodRecord {
    let life = match pod.stage {
        Stage::Running if pod.ending => Life::Terminating,
        Stage::Running => Life::Live,
        _ => Life::Over,
    };
    let named = named(&pod.uid, &pod.name);
    PodRecord {
        pod: named.clone(),
        named,
        uid: pod.uid.clone(),
        version: Some(version),
        created: pod.created,
        addresses: vec![ip(pod.address)],
        life,
        networks: Vec::new(),
    }
}

fn ip(address: u8) -> IpAddr {
    [10, 0, 0, address].into()
}

fn named(uid: &str, name: &str) -> Arc<Pod> {
    Arc::new(Pod {
        namespace: "shop".into(),
        name: name.to_owned(),
        uid: Some(uid.to_owned()),
        workload: None,
        attributes: Vec::new(),
    })
}

fn attachment(uid: &str, name: &str, netns: &Netns, eth0: &Interface) -> Attachment {
    Attachment {
        netns: netns.name().unwrap().clone(),
        pod: named(uid, name),
        interface: eth0.name,
        network: Some("podnet".into()),
        macs: eth0.mac.into_iter().collect(),
        addresses: eth0.addresses.iter().map(|net| net.addr()).collect(),
        delegated: false,
    }
}

fn interfaces(netns: &Arc<Netns>, number: u64, address: u8) -> Vec<Arc<Interface>> {
    let host = Arc::new(Netns { id: NetnsId { dev: 4, inode: 1, generation: 0 }, place: Place::Host });
    let eth0 = interface(netns, number * 10 + 1, "eth0", number, Some(address));
    let mut end = interface(&host, number * 10 + 2, &format!("veth{number}"), 0, None);
    let peer = Peer { netns: netns.clone(), ifindex: eth0.ifindex, name: eth0.name };
    Arc::make_mut(&mut end).peer = Some(peer.into());
    vec![interface(netns, number * 10, "lo", 0, None), eth0, end]
}

fn interface(netns: &Arc<Netns>, id: u64, name: &str, mac: u64, address: Option<u8>) -> Arc<Interface> {
    let mac = mac.to_be_bytes();
    let net = |address: u8| -> Box<[_]> { [format!("10.0.0.{address}/24").parse().unwrap()].into() };
    Arc::new(Interface {
        id: InterfaceId(NonZeroU64::new(id).unwrap()),
        netns: netns.clone(),
        ifindex: id as u32,
        name: IfName::new(name).unwrap(),
        mac: Some([2, 0, mac[4], mac[5], mac[6], mac[7]].into()),
        kind: None,
        oper_state: OperState::Up,
        admin_up: true,
        mtu: 1500,
        addresses: address.map(net).unwrap_or_default(),
        peer: None,
        owner: None,
        since: UNIX_EPOCH,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn no_history_of_a_node_gives_an_interface_to_the_wrong_pod_and_in_the_end_all_are_right(
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut node = Node::new();
        for step in steps {
            node.step(step);
        }
        node.settle();
        node.check_all_tagged();
    }
}
