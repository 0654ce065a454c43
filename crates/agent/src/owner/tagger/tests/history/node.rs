//! The node: pods, runtime, kubelet, API server and kernel, and the part known to the agent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use crate::interface::{Event, Interface};
use iface_core::{InterfaceId, Netns, NetnsId, Place};
use ipnet::IpNet;

use super::boxes::Container;
use super::made::{attachment, interface, interfaces, ips, named, netns, netns_name};
use super::{FileTime, NetnsNaming, Step};
use crate::owner::cni::result::Attachment;
use crate::owner::pod::{Life, PodChange, PodRecord};
use crate::owner::process::look::{Look, Sought};
use crate::owner::tagger::Tagger;

/// Few addresses, for frequent reuse.
const ADDRESSES: u8 = 5;

/// The real state of a pod.
#[derive(Clone, Debug)]
pub(super) struct Real {
    pub(super) uid: Arc<str>,
    pub(super) name: String,
    pub(super) address: u8,
    pub(super) file: Option<Attachment>,
    /// Present or future path of the file.
    pub(super) path: Arc<Path>,
    pub(super) file_time: FileTime,
    pub(super) netns: Arc<Netns>,
    pub(super) interfaces: Vec<Arc<Interface>>,
    pub(super) stage: Stage,
    ending: bool,
    pub(super) stolen: bool,
    /// Whether the runtime draws random names for namespaces.
    pub(super) random: bool,
    /// Whether the pod has changed what its file and the API server tell of it.
    pub(super) altered: bool,
    /// Addresses that the pod has taken away from its interface.
    pub(super) lost: Box<[IpNet]>,
    /// A pod whose namespace a process of this pod is in.
    pub(super) visits: Option<usize>,
    /// Whether the pod has made a namespace of its own.
    pub(super) has_nested: bool,
    created: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Running,
    Completed,
    /// The runtime has released the address.
    TornDown,
    Dead,
}

pub(super) enum FileEvent {
    Written(Arc<Path>, Box<Attachment>),
    Removed(Arc<Path>),
}

#[derive(Default)]
pub(super) struct Node {
    clock: u64,
    /// Whether the kernel tells cookies of namespaces.
    cookies: bool,
    pub(super) pods: Vec<Real>,
    /// The uid of the pod of every namespace that ever existed.
    pub(super) namespaces: BTreeMap<NetnsId, Arc<str>>,
    pub(super) files: BTreeMap<Arc<Path>, Attachment>,
    /// Updates under way: from the kubelet to the API server, from the API server to the agent, and so on.
    pub(super) unreported: VecDeque<PodChange>,
    pub(super) api: BTreeMap<Arc<str>, PodRecord>,
    pub(super) untold: VecDeque<PodChange>,
    pub(super) api_away: bool,
    pub(super) kernel: VecDeque<Event>,
    pub(super) unread: VecDeque<FileEvent>,
    pub(super) tagger: Tagger,
    pub(super) said: BTreeMap<InterfaceId, Arc<Interface>>,
    /// Containers of other programs, by their names.
    pub(super) boxes: BTreeMap<Arc<str>, Container>,
    /// Addresses of deleted namespaces without a known pod.
    pub(super) haunted: BTreeSet<IpAddr>,
    /// A look at processes under way.
    pub(super) look: Option<(Sought, Look)>,
}

impl Node {
    pub(super) fn new(cookies: bool) -> Self {
        let mut node = Self { cookies, ..Self::default() };
        node.tagger.event(Event::Synced);
        node
    }

    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A new namespace. The kernel hands out the lowest free inode.
    fn new_netns(&mut self, number: u64, place: Place) -> Arc<Netns> {
        let is_used = |inode: &u64| {
            let mut alive = self.pods.iter().filter(|pod| pod.stage != Stage::Dead);
            alive.any(|pod| pod.netns.inode() == Some(*inode))
        };
        let inode = (1..).find(|inode| !is_used(inode)).unwrap();
        netns(NetnsId(100 + number), place, inode, NonZeroU64::new(number).filter(|_| self.cookies))
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Start { name, file, nameless, netns } => self.start(name, file, nameless, netns),
            Step::StartBox(netns) => self.start_box(netns),
            Step::GracePasses => self.grace_passes(),
            Step::Complete(pod) => {
                self.change(pod, |pod| (pod.stage == Stage::Running).then(|| pod.stage = Stage::Completed).is_some())
            }
            Step::Delete(pod) => self.change(pod, |pod| !std::mem::replace(&mut pod.ending, true)),
            Step::TearDown { pod, keep_file } => self.tear_down(pod, keep_file),
            Step::Die(pod) => self.die(pod),
            Step::MakeAgain(pod) => self.make_again(pod),
            Step::LoseName(pod) => self.lose_name(pod),
            Step::Steal { thief, victim } => self.steal(thief, victim),
            Step::FlapAddress(pod) => self.flap_address(pod),
            Step::Rename(pod) => self.rename(pod),
            Step::ChangeMac(pod) => self.change_mac(pod),
            Step::SecondName(pod) => self.second_name(pod),
            Step::RecordContainer(pod) => self.record_container(pod),
            Step::RecordSandbox(pod) => self.record_sandbox(pod),
            Step::RemoveRecord(pod) => self.remove_record(pod),
            Step::Visit { visitor, visited } => self.visit(visitor, visited),
            Step::Nest(pod) => self.nest(pod),
            Step::LookBegins => self.begin_look(),
            Step::LookEnds => self.end_look(),
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

    pub(super) fn start(&mut self, name: usize, file_time: FileTime, nameless: bool, name_of: NetnsNaming) {
        let taken: Vec<u8> =
            self.pods.iter().filter(|pod| pod.stage < Stage::TornDown).map(|pod| pod.address).collect();
        let Some(address) = (1..=ADDRESSES).find(|address| !taken.contains(address)) else { return };
        let name = format!("web-{name}");
        // As in a StatefulSet: a name is reused, but never by two pods at once.
        if self.pods.iter().any(|pod| pod.name == name && pod.stage < Stage::TornDown) {
            return;
        }
        let number = self.tick();
        let random = name_of == NetnsNaming::Random;
        let dead = self.pods.iter().find(|pod| pod.stage == Stage::Dead && !pod.random).map(|pod| &pod.netns.place);
        let reused = dead.filter(|_| name_of == NetnsNaming::Reused).cloned();
        let named = reused.unwrap_or_else(|| netns_name(number, random));
        let place = if name_of == NetnsNaming::Hidden { Place::Nsid(number as i32) } else { named.clone() };
        let netns = self.new_netns(number, place);
        let uid: Arc<str> = format!("uid-{number}").into();
        self.namespaces.insert(netns.id, uid.clone());
        let interfaces = interfaces(&netns, number, address);
        let mut file = attachment(&uid, &name, &interfaces, nameless);
        if let Place::Named(name) = named
            && name_of == NetnsNaming::Hidden
            && !nameless
        {
            (file.netns, file.path) = (Some(name), Some(Path::new("/run/hidden").into()));
        }
        let pod = Real {
            path: Path::new(&format!("podnet-{number}-eth0")).into(),
            file: (file_time != FileTime::Never).then_some(file),
            created: number as i64 / 2,
            stage: Stage::Running,
            ending: false,
            stolen: false,
            altered: false,
            lost: Box::default(),
            visits: None,
            has_nested: false,
            random,
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
        self.unread.push_back(FileEvent::Written(pod.path.clone(), file.clone().into()));
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

    /// Queues an update of the pod from the kubelet to the API server.
    fn report(&mut self, pod: usize) {
        let version = self.tick();
        let pod = &self.pods[pod];
        if self.boxes.contains_key(&pod.uid) {
            return;
        }
        self.unreported.push_back(PodChange::Applied(record(pod, version)));
    }

    pub(super) fn tear_down(&mut self, pod: usize, keep_file: bool) {
        let ended = |pod: &&mut Real| pod.stage == Stage::Completed || (pod.ending && pod.stage < Stage::TornDown);
        let Some(real) = self.pods.get_mut(pod).filter(|pod| ended(pod)) else { return };
        real.stage = Stage::TornDown;
        let (path, ending) = (real.path.clone(), real.ending);
        if !keep_file && self.files.remove(&path).is_some() {
            self.unread.push_back(FileEvent::Removed(path));
        }
        self.report(pod);
        if ending && !self.boxes.contains_key(&self.pods[pod].uid) {
            self.unreported.push_back(PodChange::Deleted(self.pods[pod].uid.clone()));
        }
    }

    pub(super) fn die(&mut self, pod: usize) {
        let Some(real) = self.pods.get_mut(pod).filter(|pod| pod.stage == Stage::TornDown) else { return };
        real.stage = Stage::Dead;
        self.kernel.extend(real.interfaces.drain(..).map(|interface| Event::Deleted(interface, None)));
    }

    /// The file of the first sandbox stays; the second has a file if the first had.
    fn make_again(&mut self, pod: usize) {
        let is_box = |pod: &Real| self.boxes.contains_key(&pod.uid);
        let honest = |pod: &&Real| pod.stage == Stage::Running && !pod.stolen && !pod.ending && !is_box(pod);
        if self.api_away || self.pods.get(pod).filter(honest).is_none() {
            return;
        }
        self.all_from_kernel();
        self.tell_all();
        let number = self.tick();
        let place = netns_name(number, self.pods[pod].random);
        let netns = self.new_netns(number, place);
        let real = &mut self.pods[pod];
        self.namespaces.insert(netns.id, real.uid.clone());
        let before = std::mem::replace(&mut real.interfaces, interfaces(&netns, number, real.address));
        real.netns = netns;
        real.altered = false;
        real.lost = Box::default();
        let nameless = real.file.as_ref().map(|file| file.netns.is_none());
        real.file = nameless.map(|nameless| attachment(&real.uid, &real.name, &real.interfaces, nameless));
        real.path = Path::new(&format!("podnet-{number}-eth0")).into();
        self.kernel.extend(before.into_iter().map(|interface| Event::Deleted(interface, None)));
        self.kernel.extend(self.pods[pod].interfaces.iter().cloned().map(Event::Added));
        if self.pods[pod].file_time == FileTime::Now {
            let real = self.pods[pod].clone();
            self.write(&real);
        }
        self.all_from_kernel();
        self.report(pod);
        self.tell_all();
    }

    pub(super) fn tell_all(&mut self) {
        while !(self.unreported.is_empty() && self.untold.is_empty()) {
            self.kubelet_reports();
            self.api_server_tells();
        }
    }

    /// Only pods in the CNI cache: otherwise a thief is indistinguishable from its victim.
    fn steal(&mut self, thief: usize, victim: usize) {
        let Some(address) = self.pods.get(victim).filter(|_| thief != victim).map(|pod| pod.address) else { return };
        let boxes = &self.boxes;
        let is_pod = |pod: &Real| pod.stage == Stage::Running && !boxes.contains_key(&pod.uid);
        let honest = |pod: &&mut Real| is_pod(pod) && pod.file_time == FileTime::Now && !pod.stolen;
        let Some(pod) = self.pods.get_mut(thief).filter(honest) else { return };
        pod.stolen = true;
        let number = self.tick();
        let pod = &mut self.pods[thief];
        let taken = interface(&pod.netns, number * 10 + 5, "stolen", number, Some(address));
        pod.interfaces.push(taken.clone());
        self.kernel.push_back(Event::Added(taken));
    }

    pub(super) fn kubelet_reports(&mut self) {
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

    pub(super) fn api_server_comes(&mut self) {
        if std::mem::take(&mut self.api_away) {
            self.untold.clear();
            self.untold.push_back(PodChange::Listed(self.api.values().cloned().collect()));
        }
    }
}

fn record(pod: &Real, version: u64) -> PodRecord {
    let life = match pod.stage {
        Stage::Running if pod.ending => Life::Terminating,
        Stage::Running => Life::Live,
        _ => Life::Terminated,
    };
    let named = named(&pod.uid, &pod.name);
    PodRecord {
        uid: pod.uid.clone(),
        version: Some(version),
        created: pod.created,
        addresses: ips(pod.address),
        life,
        ..crate::testing::pod_record(named)
    }
}
