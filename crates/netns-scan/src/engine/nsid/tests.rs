//! The engine on recorded messages of a kernel.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};

use iface_core::{Event, Netns, Place};

use super::*;
use crate::netlink::recvmsg::Datagram;
use crate::netlink::socket::{Received, Reply};

const HOST: NetnsId = NetnsId(1);
const POD: NetnsId = NetnsId(2);
/// Nsids in the recording.
const HOST_NSID: i32 = 0;
const POD_NSID: i32 = 1;

/// A pod appears, gets an address and another MTU, and ends; made by `recorded/record.py`.
const RECORDED: &str = include_str!("recorded/pod.txt");

/// Difference between the sections `appears` and `changes`.
const CHANGED: &str = "Updated nsid:1/eth0 mtu oper_state addresses with host/host0";

/// What the kernel has queued, and what it replies.
#[derive(Debug, Default)]
struct Kernel {
    queue: VecDeque<Queued>,
    /// Requests, each with the datagrams of its reply.
    replies: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

#[derive(Debug)]
enum Queued {
    /// A notification with the nsid of its namespace.
    Notified(Option<i32>, Vec<u8>),
    Overrun,
    Truncated(Option<i32>),
}

/// A socket that replays.
#[derive(Clone)]
struct Replayed {
    kernel: Arc<Mutex<Kernel>>,
    file: Arc<File>,
}

impl AsFd for Replayed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Route for Replayed {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let datagram = |nsid, len| Datagram { len, truncated: false, from_kernel: true, multicast: true, nsid };
        Ok(match self.kernel.lock().unwrap().queue.pop_front() {
            None => Received::Nothing,
            Some(Queued::Overrun) => Received::Overrun,
            Some(Queued::Truncated(nsid)) => Received::Truncated(datagram(nsid, 0)),
            Some(Queued::Notified(nsid, bytes)) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Received::Datagram(datagram(nsid, bytes.len()))
            }
        })
    }

    fn ask(
        &mut self,
        mut request: Request,
        _buffer: &mut [u8],
        mut take: impl FnMut(Incoming<'_>),
    ) -> Result<(), RequestError> {
        let kernel = self.kernel.lock().unwrap();
        let bytes = request.bytes(Reply::RECORDED.seq);
        let reply = kernel.replies.iter().find(|(asked, _)| asked == bytes);
        let (_, datagrams) = reply.unwrap_or_else(|| panic!("{request:?} is not recorded"));
        let mut reply = Reply::RECORDED;
        for datagram in datagrams {
            if reply.receive(datagram, false, &mut take)? {
                return Ok(());
            }
        }
        Err(RequestError::Incomplete(crate::netlink::socket::Incomplete::NoRoom))
    }
}

/// The engine and the state at a section of the recording.
struct Node {
    kernel: Arc<Mutex<Kernel>>,
    engine: NsidEngine<Replayed>,
    state: State,
}

impl Node {
    /// With the host's namespace listed.
    fn start() -> Self {
        let kernel = Arc::new(Mutex::new(Kernel::default()));
        let socket = Replayed { kernel: kernel.clone(), file: Arc::new(File::open("/dev/null").unwrap()) };
        let sockets = Sockets { notified: true, find_unnamed: true, receive_buffer: 1 << 20 };
        let engine = NsidEngine::over(socket.clone(), socket, HOST, HOST_NSID, sockets);
        let mut node = Self { kernel, engine, state: State::new(HOST) };
        node.section("start");
        node.list(HOST).unwrap();
        assert_eq!(node.events(), ["Added host/lo"]);
        node
    }

    /// With the pod's namespace followed.
    fn with_pod() -> Self {
        let mut node = Self::start();
        node.section("appears");
        assert_eq!(node.read().unclaimed, BTreeSet::from([POD_NSID]));
        node.state.open(Netns::new(POD, Place::Nsid(POD_NSID)));
        let (learned, failed) = node.engine.open_unnamed(vec![(POD, POD_NSID)], &node.state);
        assert!(failed.is_empty(), "{failed:?}");
        node.learn(learned);
        node
    }

    /// Queues the notifications of a section, and replies as at its end.
    fn section(&mut self, name: &str) {
        let mut kernel = self.kernel.lock().unwrap();
        kernel.replies.clear();
        let sections = RECORDED.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let section = sections.skip_while(|words| *words != ["section", name]).skip(1);
        for words in section.take_while(|words| words[0] != "section") {
            let nsid = |word: &str| (word != "host").then(|| word.parse().unwrap());
            match words[..] {
                ["notified", place, bytes] => kernel.queue.push_back(Queued::Notified(nsid(place), unhex(bytes))),
                ["replied", bytes] => kernel.replies.last_mut().unwrap().1.push(unhex(bytes)),
                ["asked", what, place, ..] => {
                    let mut request = match what {
                        "links" => Request::list_links(nsid(place)),
                        "addresses" => Request::list_addresses(nsid(place)),
                        _ => Request::get_link(nsid(place), words[3].parse().unwrap()),
                    };
                    kernel.replies.push((request.bytes(Reply::RECORDED.seq).to_vec(), Vec::new()));
                }
                _ => panic!("{words:?}"),
            }
        }
    }

    fn queue(&mut self, queued: Queued) {
        self.kernel.lock().unwrap().queue.push_back(queued);
    }

    /// Reads what is queued; the namespaces and nsids found.
    fn read(&mut self) -> Learned {
        let learned = self.engine.read(&self.state);
        self.learn(learned)
    }

    fn list(&mut self, id: NetnsId) -> Result<(), ListError> {
        let (learned, listed) = self.engine.list(id, &self.state);
        self.learn(learned);
        listed
    }

    fn learn(&mut self, mut learned: Learned) -> Learned {
        std::mem::take(&mut learned.findings).into_iter().for_each(|finding| self.state.learn(finding));
        learned
    }

    /// The events since the last call.
    fn events(&mut self) -> Vec<String> {
        let mut events = self.state.take_events();
        let word = |event: Event| {
            let interface = event.interface().unwrap();
            let peer = interface.peer.as_ref().map(|peer| format!(" with {}/{}", peer.netns.place, peer.name));
            let changes = match &event {
                Event::Updated(_, changes) => changes.names().map(|name| format!(" {name}")).collect(),
                _ => String::new(),
            };
            let (kind, place, name) = (event.kind(), &interface.netns.place, interface.name);
            format!("{kind} {place}/{name}{changes}{}", peer.unwrap_or_default())
        };
        std::iter::from_fn(|| events.pop()).map(word).collect()
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// From the announcement of an nsid to its release, with the peers placed by nsids.
#[test]
fn a_recorded_pod_is_followed() {
    let mut node = Node::with_pod();
    assert_eq!(
        node.events(),
        ["Added host/host0 with nsid:1/eth0", "Added nsid:1/lo", "Added nsid:1/eth0 with host/host0"]
    );
    node.section("changes");
    node.read();
    assert_eq!(node.events(), [CHANGED]);
    node.section("ends");
    assert_eq!(node.read().dead, [POD]);
    assert_eq!(node.engine.target(POD), None, "the nsid may be another namespace's");
    assert_eq!(node.engine.close(POD), None);
    node.state.close(POD);
    let events = node.events();
    assert!(events.iter().all(|event| event.starts_with("Deleted")), "{events:?}");
    assert_eq!(events.len(), 3, "{events:?}");
}

/// A dump overtakes its own notifications: changes heard during the dump are the newer ones.
#[test]
fn notifications_during_a_dump_overrule_it() {
    let mut node = Node::with_pod();
    node.events();
    let earlier = std::mem::take(&mut node.kernel.lock().unwrap().replies);
    node.section("changes");
    node.kernel.lock().unwrap().replies = earlier;
    node.engine.dumps.insert(POD, Dump::default());
    let mut learned = Learned::default();
    let dumped = node.engine.dump(POD, &mut learned);
    node.engine.receive_queued(&node.state, &mut learned);
    node.engine.settle(POD, dumped, &node.state, &mut learned).unwrap();
    node.learn(learned);
    assert_eq!(node.events(), [CHANGED]);
}

/// After an overrun every namespace is listed again, and what was lost is found.
#[test]
fn an_overrun_is_made_good() {
    let mut node = Node::with_pod();
    node.events();
    node.section("changes");
    let mut kernel = node.kernel.lock().unwrap();
    kernel.queue.clear();
    kernel.queue.push_back(Queued::Overrun);
    drop(kernel);
    let mut learned = Learned::default();
    node.engine.receive_queued(&node.state, &mut learned);
    assert_eq!((learned.overruns, node.engine.needs_resync().len()), (1, 2));
    assert!(node.engine.nsids_lost, "assigned and released nsids are lost as well");
    node.list(POD).unwrap();
    assert_eq!(node.events(), [CHANGED]);
    assert_eq!(*node.engine.needs_resync(), BTreeSet::from([HOST]));
}

/// A message that is too long for the buffer says nothing about other namespaces.
#[test]
fn a_cut_message_concerns_its_namespace() {
    let mut node = Node::with_pod();
    node.queue(Queued::Truncated(Some(POD_NSID)));
    node.queue(Queued::Truncated(Some(7)));
    let learned = node.read();
    assert_eq!((learned.overruns, learned.malformed), (0, 0));
    assert_eq!(*node.engine.needs_resync(), BTreeSet::from([POD]));
}

/// Counters read while the nsid was released may be those of its next namespace.
#[test]
fn a_release_voids_counters() {
    let mut node = Node::with_pod();
    let (_, rows) = node.engine.read_counters(POD, &node.state);
    assert_eq!(rows.iter().map(|(ifindex, _)| *ifindex).collect::<Vec<_>>(), [1, 2]);
    let earlier = std::mem::take(&mut node.kernel.lock().unwrap().replies);
    node.section("ends");
    node.kernel.lock().unwrap().replies = earlier;
    let (learned, rows) = node.engine.read_counters(POD, &node.state);
    assert_eq!((learned.dead, rows), (vec![POD], vec![]));
}
