//! The engine on recorded messages of a kernel.

use iface_core::{Netns, NetnsName, NsFile, Place};

use super::*;
use crate::netlink::message::{Pair, PairPlace};
use crate::netlink::replayed::{Queued, Replayed, apply, events};

const HOST: NetnsId = NetnsId(1);
const POD: NetnsId = NetnsId(2);

/// Difference between the sections `appears` and `changes`.
const CHANGED: &str = "Updated pod/eth0 mtu addresses with host/host0";

/// The engine over a replayed socket in each namespace, and the state.
struct Node {
    pod: Replayed,
    engine: SetnsEngine<Replayed>,
    state: State,
}

impl Node {
    /// With the namespaces of host and pod listed.
    fn with_pod() -> Self {
        let (host, pod) = (Replayed::new(), Replayed::new());
        let sockets = Sockets { notified: true, find_unnamed: false, receive_buffer: 1 << 20 };
        let engine = SetnsEngine::over(|| Ok(Replayed::new()), sockets, HOST).unwrap();
        let mut node = Self { pod: pod.clone(), engine, state: State::new(HOST) };
        host.reply_as("host", "start");
        node.connect(HOST, host.clone());
        assert_eq!(events(&mut node.state), ["Added host/lo"]);
        node.state.open(Netns::new(POD, Place::Named(NetnsName::new("pod"))));
        host.notify("host", "appears");
        // Notifications of other namespaces never reach this socket.
        host.kernel().queue.retain(|queued| matches!(queued, Queued::Notified(None, _)));
        pod.reply_as("pod", "appears");
        node.connect(POD, pod);
        let learned = node.engine.read_all(HOST, &node.state);
        apply(&mut node.state, learned);
        assert_eq!(
            events(&mut node.state),
            ["Added pod/lo", "Added pod/eth0 with host/host0", "Added host/host0 with pod/eth0"]
        );
        node
    }

    fn connect(&mut self, id: NetnsId, socket: Replayed) {
        let wanted = Wanted { id, file: NsFile { dev: 4, inode: id.0 }, path: OWN.into(), is_mounted: true };
        let mut learned = Learned::default();
        self.engine.connect(&wanted, socket, &self.state, &mut learned).unwrap();
        apply(&mut self.state, learned);
    }
}

/// The peers are placed by the nsid that the host's namespace has in the pod's.
#[test]
fn a_recorded_pod_is_followed() {
    let mut node = Node::with_pod();
    node.pod.notify("pod", "changes");
    let learned = node.engine.read_all(POD, &node.state);
    apply(&mut node.state, learned);
    assert_eq!(events(&mut node.state), [CHANGED]);
}

/// Replies and notifications share the queue: changes heard during a dump are newer than what it lists.
#[test]
fn notifications_between_replies_are_kept() {
    let mut node = Node::with_pod();
    let mut learned = Learned::default();
    node.pod.notify("pod", "changes");
    let token = node.engine.tokens[&POD];
    node.engine.list_once(token, &node.state, &mut learned).unwrap();
    apply(&mut node.state, learned);
    assert_eq!(events(&mut node.state), [CHANGED]);
}

/// An overrun concerns the namespace of the socket, and lists it again.
#[test]
fn an_overrun_is_made_good() {
    let mut node = Node::with_pod();
    node.pod.reply_as("pod", "changes");
    node.pod.kernel().queue.push_back(Queued::Overrun);
    let learned = node.engine.read_all(POD, &node.state);
    assert_eq!(apply(&mut node.state, learned).overruns, 1);
    assert_eq!(*node.engine.needs_resync(), BTreeSet::from([POD]));
    let (learned, listed) = node.engine.list(POD, &node.state);
    listed.unwrap();
    apply(&mut node.state, learned);
    assert_eq!(events(&mut node.state), [CHANGED]);
    assert!(node.engine.needs_resync().is_empty());
}

/// An nsid of the pod's namespace that is not the host's may be any namespace's.
#[test]
fn an_unknown_nsid_leaves_the_peer_open() {
    let node = Node::with_pod();
    let connection = &node.engine.connections[&node.engine.tokens[&POD]];
    let end = |nsid| Link { pair: Some(Pair { ifindex: 9, place: PairPlace::Nsid(nsid) }), ..Link::plain(2, "eth0") };
    let (mut to_host, mut elsewhere) = (end(connection.host_nsid.unwrap()), end(7));
    assert!(connection.locate(HOST, &mut to_host).is_none());
    assert_eq!(to_host.pair.unwrap().place, PairPlace::Host);
    let (link, unplaced) = connection.locate(HOST, &mut elsewhere).unwrap();
    assert_eq!((link, unplaced.nsid, elsewhere.pair.unwrap().place), ((POD, 2), 7, PairPlace::Elsewhere { nsid: 7 }));
}
