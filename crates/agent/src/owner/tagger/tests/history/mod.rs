//! A small node with a runtime, a kubelet and an API server, each late in its own way: whatever
//! happens on it, the tagger never says a wrong pod, and says the right one in the end.
//!
//! What is late: files come after their interfaces or never, stay when their namespace is gone or go before
//! it; the kubelet tells the API server later, the API server tells the agent later still or is away.
//! What is not: the kernel tells of interfaces and of files that are written before the API server
//! tells of addresses, as the kubelet needs both first, and when the agent starts anew the cache is read
//! first and the kubelet has told what happened. Without that nobody could tell a
//! pod from its predecessor by address alone; `docs/identity.md` says so.

mod node;

use crate::interface::{End, Interface};
use proptest::prelude::*;

use self::node::{Node, Real, Stage, ip};
use crate::owner::cni::result::Attachment;

/// Few, so that they are used again and again.
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

/// What must hold of it.
impl Node {
    fn check(&self, interface: &Interface) {
        let Some(owner) = &interface.owner else { return };
        let netns = interface.peer.as_ref().map_or(interface.netns.id, |peer| peer.netns.id);
        let real = self.pods.iter().find(|pod| pod.netns.id == netns).unwrap();
        assert_eq!(owner.pod.uid.as_deref(), Some(&*real.uid), "{} of {netns:?}", interface.name);
        assert_eq!(owner.end, if interface.netns.is_host() { End::Host } else { End::Pod });
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
