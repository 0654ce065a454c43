//! A small node with a runtime, a kubelet and an API server, each late in its own way: in any history,
//! the tagger never emits a wrong pod, and emits the right pod in the end.
//!
//! Late: files come after their interfaces or never, stay after their namespace or are deleted before;
//! the kubelet updates the API server later, and the API server the agent later still or never.
//! Not late: notifications of interfaces and files come before the addresses of the API server, as the
//! kubelet needs both first; a restarted agent reads the cache first, after the kubelet's updates, and finds the
//! addresses of pods that no file names; a sandbox is made again between two updates that the agent receives.
//! Otherwise an address alone could not distinguish a pod from its predecessor; see
//! `docs/identity.md`.

mod agent;
mod boxes;
mod changes;
mod made;
mod node;
mod processes;
mod records;

use crate::interface::{End, Interface, Source};
use iface_core::NetnsId;
use proptest::prelude::*;

use self::made::ips;
use self::node::{Node, Real, Stage};

/// Few names, for frequent reuse.
const NAMES: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A pod starts: its name, the delay of its file, whether the file names the namespace, and the kind of the
    /// namespace's name.
    Start {
        name: usize,
        file: FileTime,
        nameless: bool,
        netns: NetnsNaming,
    },
    /// A program other than Kubernetes starts a container, with a CNI result that looks like a pod's.
    StartBox(NetnsNaming),
    /// The API server has not known the pods of some results for longer than the grace.
    GracePasses,
    /// A pod's containers exit.
    Complete(usize),
    /// A user deletes a pod.
    Delete(usize),
    /// The runtime deletes a pod's namespace, with or without its file.
    TearDown {
        pod: usize,
        keep_file: bool,
    },
    /// The namespace of a deleted pod dies.
    Die(usize),
    /// The runtime makes the sandbox of a running pod again, with the same address.
    MakeAgain(usize),
    /// The names of a namespace go and come back.
    LoseName(usize),
    /// A pod with CAP_NET_ADMIN takes another's address.
    Steal {
        thief: usize,
        victim: usize,
    },
    /// The addresses of a pod go, or come back.
    FlapAddress(usize),
    /// A pod renames its interface.
    Rename(usize),
    /// A pod changes its link-layer address.
    ChangeMac(usize),
    /// A namespace is known by a second name from now on.
    SecondName(usize),
    /// The record of a container claims a pod's namespace.
    RecordContainer(usize),
    /// A runtime has a record of the pod's sandbox, wherever the other sources are.
    RecordSandbox(usize),
    RemoveRecord(usize),
    /// A process of one pod enters the namespace of another, or leaves.
    Visit {
        visitor: usize,
        visited: usize,
    },
    /// A pod makes a namespace of its own, or ends it.
    Nest(usize),
    LookBegins,
    LookEnds,
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

/// Names of namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NetnsNaming {
    /// The name of a dead pod's namespace, if there is one.
    Reused,
    New,
    /// A random UUID.
    Random,
    /// No name that is visible to the agent.
    Hidden,
}

fn step() -> impl Strategy<Value = Step> {
    let any_pod = 0usize..8;
    let file = prop_oneof![3 => Just(FileTime::Now), 2 => Just(FileTime::Late), 2 => Just(FileTime::Never)];
    let named = [NetnsNaming::Reused, NetnsNaming::New, NetnsNaming::Random];
    let netns_of_box = prop::sample::select(named.to_vec());
    let netns = prop::sample::select([&named[..], &[NetnsNaming::Hidden]].concat());
    prop_oneof![
        4 => (0..NAMES, file, any::<bool>(), netns)
            .prop_map(|(name, file, nameless, netns)| Step::Start { name, file, nameless, netns }),
        1 => netns_of_box.prop_map(Step::StartBox),
        1 => Just(Step::GracePasses),
        2 => any_pod.clone().prop_map(Step::Complete),
        2 => any_pod.clone().prop_map(Step::Delete),
        4 => (any_pod.clone(), any::<bool>()).prop_map(|(pod, keep_file)| Step::TearDown { pod, keep_file }),
        3 => any_pod.clone().prop_map(Step::Die),
        2 => any_pod.clone().prop_map(Step::MakeAgain),
        2 => any_pod.clone().prop_map(Step::LoseName),
        1 => (any_pod.clone(), any_pod.clone()).prop_map(|(thief, victim)| Step::Steal { thief, victim }),
        2 => any_pod.clone().prop_map(Step::FlapAddress),
        1 => any_pod.clone().prop_map(Step::Rename),
        1 => any_pod.clone().prop_map(Step::ChangeMac),
        1 => any_pod.clone().prop_map(Step::SecondName),
        2 => any_pod.clone().prop_map(Step::RecordContainer),
        2 => any_pod.clone().prop_map(Step::RecordSandbox),
        1 => any_pod.clone().prop_map(Step::RemoveRecord),
        1 => (any_pod.clone(), any_pod.clone()).prop_map(|(visitor, visited)| Step::Visit { visitor, visited }),
        1 => any_pod.clone().prop_map(Step::Nest),
        4 => Just(Step::LookBegins),
        4 => Just(Step::LookEnds),
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

/// The invariant of the interface's owner.
impl Node {
    fn check(&self, interface: &Interface) {
        let Some(owner) = &interface.owner else { return };
        let netns = match &interface.peer {
            Some(peer) => peer.netns.id,
            // A host end keeps its pod while the names of the namespace are gone.
            None if interface.netns.is_host() => {
                let has_end = |pod: &&Real| pod.interfaces.iter().any(|one| one.id == interface.id);
                let Some(pod) = self.pods.iter().find(has_end) else { return };
                pod.netns.id
            }
            None => interface.netns.id,
        };
        if owner.container().is_some() {
            let pod = self.tagger.spaces.get(&netns).and_then(|space| space.decision.as_ref());
            assert_eq!(pod, None, "a pod wins over the container of a record");
            return;
        }
        let uid = &self.namespaces[&netns];
        if let Some(real) = self.boxes.get(uid) {
            let pod = owner.pod().map(|pod| (pod.uid.as_deref(), pod.name.as_str()));
            assert_eq!(pod, Some((None, &**uid)), "{} of {netns:?}", interface.name);
            assert!(!real.is_disowned, "{} of {netns:?} is nobody's", interface.name);
            return;
        }
        assert_eq!(owner.pod().and_then(|pod| pod.uid.as_deref()), Some(&**uid), "{} of {netns:?}", interface.name);
        assert_eq!(owner.end(), if interface.netns.is_host() { End::Host } else { End::Pod });
    }

    /// Whether an address alone is ambiguous: taken by a thief, or held before by a pod unknown in its lifetime,
    /// so that a late record may concern the earlier pod.
    fn is_uncertain(&self, pod: &Real) -> bool {
        let thief = |other: &Real| other.stolen && other.stage == Stage::Running;
        self.pods.iter().any(thief) || ips(pod.address).iter().any(|ip| self.haunted.contains(ip))
    }

    fn check_all_tagged(&self) {
        for pod in self.pods.iter().filter(|pod| pod.stage == Stage::Running) {
            if pod.file_time != FileTime::Now && self.is_uncertain(pod) || pod.altered || !pod.lost.is_empty() {
                continue;
            }
            if self.boxes.contains_key(&pod.uid) {
                continue;
            }
            for interface in &pod.interfaces {
                let owner = self.said[&interface.id].owner.as_ref();
                let uid = owner.and_then(|owner| owner.pod()?.uid.as_deref());
                assert_eq!(uid, Some(&*pod.uid), "{} of {pod:?}", interface.name);
            }
        }
        let alive = self.pods.iter().map(|pod| pod.interfaces.len()).sum::<usize>();
        assert_eq!(self.said.len(), alive);
        assert_eq!(self.tagger.interfaces.len(), alive);
        let spaces = self.pods.iter().filter(|pod| !pod.interfaces.is_empty()).count();
        assert_eq!(self.tagger.spaces.keys().filter(|id| **id != NetnsId::HOST).count(), spaces);
    }
}

/// Number of random histories; `PROPTEST_CASES` sets another number.
fn histories() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(histories()))]
    #[test]
    fn no_history_yields_a_wrong_owner(
        steps in prop::collection::vec(step(), 1..150),
        cookies in any::<bool>(),
    ) {
        let mut node = Node::new(cookies);
        for step in steps {
            node.step(step);
        }
        node.settle();
        node.check_all_tagged();
    }
}

/// A pod visits another program's namespace while its own has a pod, and its own ends while the agent still looks.
#[test]
fn visited_namespaces_survive_their_visitors() {
    let start = Step::Start { name: 0, file: FileTime::Now, nameless: false, netns: NetnsNaming::New };
    let begin = [Step::StartBox(NetnsNaming::New), start, Step::SecondName(0), Step::AgentRestarts(0)];
    let visit = [Step::Visit { visitor: 1, visited: 0 }, Step::Delete(1), Step::LookBegins];
    let end = [Step::TearDown { pod: 1, keep_file: false }, Step::Die(1)];
    for looked in [&[Step::LookEnds][..], &[]] {
        let mut node = Node::new(false);
        let steps = begin.iter().chain(&visit).chain(looked).chain(&end).chain(&[Step::LookEnds]);
        steps.for_each(|step| node.step(*step));
        node.settle();
    }
}

/// The only evidence about a pod that has taken its address away; a visitor of another pod hides the pod.
#[test]
fn histories_have_owners_by_process() {
    let start = |name| Step::Start { name, file: FileTime::Never, nameless: false, netns: NetnsNaming::New };
    let visit = Step::Visit { visitor: 1, visited: 0 };
    let told = [Step::KubeletReports, Step::ApiServerTells, Step::LookBegins, Step::LookEnds];
    for (visits, expected) in [(&[visit][..], None), (&[visit, visit], Some(Source::Process))] {
        let mut node = Node::new(false);
        let begin = [start(0), Step::FlapAddress(0), start(1), Step::FlapAddress(1)];
        begin.iter().chain(visits).chain(&told[..2]).chain(&told).for_each(|step| node.step(*step));
        let owner = node.said[&node.pods[0].interfaces[0].id].owner.clone();
        assert_eq!(owner.map(|owner| owner.source()), expected.map(Source::as_str));
    }
}

/// Two pods had an address in turn, and the second takes it away before the API server tells of either: the namespace
/// that is left over of the first is not the second's.
#[test]
fn left_over_namespace_keeps_its_pod() {
    let start = |name, file| Step::Start { name, file, nameless: false, netns: NetnsNaming::New };
    let first = [start(0, FileTime::Late), Step::Complete(0), Step::TearDown { pod: 0, keep_file: false }];
    let second = [start(1, FileTime::Late), Step::FlapAddress(1), Step::MakeAgain(1)];
    let mut node = Node::new(false);
    first.into_iter().chain(second).for_each(|step| node.step(step));
    node.settle();
    node.check_all_tagged();
}

/// A pod takes another's address and has its own again when the agent restarts: the next pod with its address is not the
/// thief.
#[test]
fn address_of_a_thief_is_used_again() {
    let start = |name, nameless| Step::Start { name, file: FileTime::Now, nameless, netns: NetnsNaming::Reused };
    let theft = [start(2, false), start(0, true), Step::FlapAddress(1), Step::Steal { thief: 1, victim: 0 }];
    let next =
        [Step::AgentRestarts(0), Step::Complete(1), Step::TearDown { pod: 1, keep_file: false }, start(0, false)];
    let mut node = Node::new(false);
    theft.into_iter().chain(next).for_each(|step| node.step(step));
    node.settle();
    node.check_all_tagged();
}
