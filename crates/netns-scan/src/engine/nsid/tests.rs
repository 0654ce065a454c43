//! The engine on recorded messages of a kernel.

use iface_core::{Netns, Place};

use super::*;
use crate::netlink::replayed::{Queued, Replayed, apply, events};

const HOST: NetnsId = NetnsId(1);
const POD: NetnsId = NetnsId(2);
/// Nsids in the recording.
const HOST_NSID: i32 = 0;
const POD_NSID: i32 = 1;

/// Difference between the sections `appears` and `changes`.
const CHANGED: &str = "Updated nsid:1/eth0 mtu oper_state addresses with host/host0";

/// The engine over replayed sockets, and the state.
struct Node {
    events: Replayed,
    requests: Replayed,
    engine: NsidEngine<Replayed>,
    state: State,
}

impl Node {
    /// With the host's namespace listed.
    fn start() -> Self {
        let (heard, requests) = (Replayed::new(), Replayed::new());
        let sockets = Sockets { notified: true, find_unnamed: true, receive_buffer: 1 << 20 };
        let engine = NsidEngine::over(heard.clone(), requests.clone(), HOST, HOST_NSID, sockets);
        let mut node = Self { events: heard, requests, engine, state: State::new(HOST) };
        node.requests.reply_as("host", "start");
        node.list(HOST).unwrap();
        assert_eq!(events(&mut node.state), ["Added host/lo"]);
        node
    }

    /// With the pod's namespace followed.
    fn with_pod() -> Self {
        let mut node = Self::start();
        node.enter("appears");
        assert_eq!(node.read().unclaimed, BTreeSet::from([POD_NSID]));
        node.state.open(Netns::new(POD, Place::Nsid(POD_NSID)));
        let (learned, failed) = node.engine.open_unnamed(vec![(POD, POD_NSID)], &node.state);
        assert!(failed.is_empty(), "{failed:?}");
        apply(&mut node.state, learned);
        assert_eq!(
            events(&mut node.state),
            ["Added host/host0 with nsid:1/eth0", "Added nsid:1/lo", "Added nsid:1/eth0 with host/host0"]
        );
        node
    }

    /// Queues the notifications of a section, and replies as at its end.
    fn enter(&mut self, section: &str) {
        self.events.notify("host", section);
        self.requests.reply_as("host", section);
    }

    fn read(&mut self) -> Learned {
        let learned = self.engine.read(&self.state);
        apply(&mut self.state, learned)
    }

    fn list(&mut self, id: NetnsId) -> Result<(), ListError> {
        let (learned, listed) = self.engine.list(id, &self.state);
        apply(&mut self.state, learned);
        listed
    }

    fn read_all(&mut self) {
        let learned = self.engine.read_all(POD, &self.state);
        apply(&mut self.state, learned);
    }

    /// Lists `eth0` with another MAC from now on.
    fn replace_mac(&self) {
        let mac = self.state.links(POD).find(|link| link.ifindex == 2).and_then(|link| link.mac).unwrap();
        let mut kernel = self.requests.kernel();
        for datagram in kernel.replies.iter_mut().flat_map(|(_, datagrams)| datagrams) {
            while let Some(at) = datagram.windows(6).position(|bytes| bytes == mac.as_bytes()) {
                datagram[at..at + 6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
            }
        }
    }
}

/// From the announcement of an nsid to its release, with the peers placed by nsids.
#[test]
fn a_recorded_pod_is_followed() {
    let mut node = Node::with_pod();
    node.enter("changes");
    node.read();
    assert_eq!(events(&mut node.state), [CHANGED]);
    node.enter("ends");
    assert_eq!(node.read().dead, [POD]);
    assert_eq!(node.engine.target(POD), None, "the nsid may be another namespace's");
    assert_eq!(node.engine.close(POD), None);
    node.state.close(POD);
    let events = events(&mut node.state);
    assert!(events.iter().all(|event| event.starts_with("Deleted")), "{events:?}");
    assert_eq!(events.len(), 3, "{events:?}");
}

/// Changes heard during a dump are newer than what the dump lists.
#[test]
fn notifications_during_a_dump_overrule_it() {
    let mut node = Node::with_pod();
    node.events.notify("host", "changes");
    node.engine.dumps.insert(POD, Dump::default());
    let mut learned = Learned::default();
    let dumped = node.engine.dump(POD, &mut learned);
    node.engine.receive_queued(&node.state, &mut learned);
    node.engine.settle(POD, dumped, &node.state, &mut learned).unwrap();
    apply(&mut node.state, learned);
    assert_eq!(events(&mut node.state), [CHANGED]);
}

/// After an overrun every namespace is listed again, and what was lost is found.
#[test]
fn an_overrun_is_made_good() {
    let mut node = Node::with_pod();
    node.requests.reply_as("host", "changes");
    node.events.kernel().queue.push_back(Queued::Overrun);
    let mut learned = Learned::default();
    node.engine.receive_queued(&node.state, &mut learned);
    assert_eq!((learned.overruns, node.engine.needs_resync().len()), (1, 2));
    assert!(node.engine.nsids_lost, "assigned and released nsids are lost as well");
    node.list(POD).unwrap();
    assert_eq!(events(&mut node.state), [CHANGED]);
    assert_eq!(*node.engine.needs_resync(), BTreeSet::from([HOST]));
}

/// An overrun may hide that the nsid was released and assigned again: another namespace is not the first.
#[test]
fn reused_nsid_is_found_after_an_overrun() {
    let resync = |is_replaced: bool, is_overrun: bool| {
        let mut node = Node::with_pod();
        if is_replaced {
            node.replace_mac();
        }
        node.events.kernel().queue.extend(is_overrun.then_some(Queued::Overrun));
        node.read_all();
        let (learned, listed) = node.engine.list(POD, &node.state);
        listed.unwrap();
        let learned = apply(&mut node.state, learned);
        (learned.dead, learned.unclaimed, events(&mut node.state))
    };
    let another_mac = "Updated nsid:1/eth0 mac with host/host0".to_owned();
    assert_eq!(resync(true, true), (vec![POD], BTreeSet::from([POD_NSID]), vec![]));
    assert_eq!(resync(true, false), (vec![], BTreeSet::new(), vec![another_mac]));
    assert_eq!(resync(false, true), (vec![], BTreeSet::new(), vec![]));
}

/// A message that is too long for the buffer says nothing about other namespaces.
#[test]
fn a_cut_message_concerns_its_namespace() {
    let mut node = Node::with_pod();
    let truncated = [POD_NSID, 7].map(|nsid| Queued::Truncated(Some(nsid)));
    node.events.kernel().queue.extend(truncated);
    let learned = node.read();
    assert_eq!((learned.overruns, learned.malformed), (0, 0));
    assert_eq!(*node.engine.needs_resync(), BTreeSet::from([POD]));
}

/// Counters read while the nsid was released may be those of its next namespace.
#[test]
fn a_release_voids_counters() {
    let mut node = Node::with_pod();
    let (_, rows) = node.engine.read_counters(POD, &node.state, None);
    assert_eq!(rows.iter().map(|(ifindex, _)| *ifindex).collect::<Vec<_>>(), [1, 2]);
    node.events.notify("host", "ends");
    let (learned, rows) = node.engine.read_counters(POD, &node.state, None);
    assert_eq!((learned.dead, rows), (vec![POD], vec![]));
}
