use std::collections::HashMap;

use iface_core::{Changes, Kind, MacAddr};
use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::netlink::message::PairPlace;

const HOST: NetnsId = NetnsId(1);

fn netns(inode: u64) -> NetnsId {
    NetnsId(inode)
}

fn place(name: &str) -> Place {
    Place::Named(iface_core::NetnsName::new(name))
}

fn named(inode: u64, name: &str) -> Netns {
    Netns::new(netns(inode), place(name))
}

fn link(ifindex: u32, name: &str) -> Link {
    let (mac, kind) = (Some(MacAddr::from([2, 0, 0, 0, 0, 1])), Some(Kind::new("veth")));
    Link { mac, kind, ..Link::plain(ifindex, name) }
}

/// A veth whose message names this peer in another namespace.
fn end(ifindex: u32, name: &str, peer: u32) -> Link {
    Link { pair: Some(Pair { ifindex: peer, place: PairPlace::Nsid(0) }), ..link(ifindex, name) }
}

fn put(state: &mut State, id: NetnsId, link: Link, pair: Option<Pair>) {
    state.apply(id, Change::Link(Link { pair, ..link }));
}

/// The events since the last call, as words.
fn said(state: &mut State) -> Vec<String> {
    let mut events = state.take_events();
    let word = |event: Event| {
        let interface = event.interface().map(|i| format!(" {}/{}", i.netns.place, i.name)).unwrap_or_default();
        let what = match &event {
            Event::Updated(_, changes) => changes.names().map(|name| format!(" {name}")).collect(),
            _ => String::new(),
        };
        format!("{}{interface}{what}", event.kind())
    };
    std::iter::from_fn(|| events.pop()).map(word).collect()
}

/// `since` stays.
#[test]
fn a_rename_is_deleted_then_added() {
    let mut state = State::new(HOST);
    put(&mut state, HOST, link(2, "old"), None);
    let Some(Event::Added(old)) = state.take_events().pop() else { panic!("no Added") };
    state.now += std::time::Duration::from_secs(1);
    put(&mut state, HOST, link(2, "new"), None);
    let mut events = state.take_events();
    assert_eq!(events.pop(), Some(Event::Deleted(old.clone(), None)));
    let Some(Event::Added(new)) = events.pop() else { panic!("no Added") };
    assert_eq!((new.name.to_string(), new.since), ("new".into(), old.since));
    assert_ne!(new.id, old.id);
}

#[test]
fn only_what_differs_is_an_update() {
    let mut state = State::new(HOST);
    put(&mut state, HOST, link(2, "eth0"), None);
    said(&mut state);
    put(&mut state, HOST, link(2, "eth0"), None);
    assert_eq!(said(&mut state), Vec::<String>::new());
    put(&mut state, HOST, Link { mac: None, mtu: 9000, ..link(2, "eth0") }, None);
    assert_eq!(said(&mut state), ["Updated host/eth0 mac mtu"]);
    let address = Address { ifindex: 2, net: "10.0.0.1/24".parse().unwrap(), peer: None };
    state.apply(HOST, Change::Address(address));
    state.apply(HOST, Change::Address(address));
    assert_eq!(said(&mut state), ["Updated host/eth0 addresses"]);
}

#[test]
fn virtual_function_is_looked_up_once() {
    let mut state = State::new(HOST);
    state.physical_function = |device| (device == "0000:3b:02.1").then(|| "0000:3b:00.0".into());
    let on = |bus, device| Some(Box::new(Parent::new(bus, device)));
    let nic = || Link { parent: on("pci", "0000:3b:02.1"), kind: None, ..link(2, "eth0") };
    put(&mut state, HOST, nic(), None);
    put(&mut state, HOST, Link { parent: on("virtio", "0000:3b:02.1"), kind: None, ..link(3, "eth1") }, None);
    said(&mut state);
    let functions: Vec<_> = state.links(HOST).map(|it| it.parent().unwrap().physical_function.clone()).collect();
    assert_eq!(functions, [Some("0000:3b:00.0".into()), None]);
    state.physical_function = |device| panic!("{device} is looked up again");
    put(&mut state, HOST, Link { mtu: 9000, ..nic() }, None);
    assert_eq!(said(&mut state), ["Updated host/eth0 mtu"]);
}

#[test]
fn another_kind_is_another_existence() {
    let mut state = State::new(HOST);
    put(&mut state, HOST, link(2, "eth0"), None);
    let Some(Event::Added(old)) = state.take_events().pop() else { panic!("no Added") };
    put(&mut state, HOST, Link { kind: Some(Kind::new("dummy")), ..link(2, "eth0") }, None);
    let mut events = state.take_events();
    assert_eq!(events.pop(), Some(Event::Deleted(old.clone(), None)));
    let Some(Event::Added(new)) = events.pop() else { panic!("no Added") };
    assert_ne!(new.id, old.id);
}

/// An address with two peers stays until the kernel has deleted both.
#[test]
fn address_outlives_one_of_two_peers() {
    let mut state = State::new(HOST);
    put(&mut state, HOST, link(2, "ppp0"), None);
    said(&mut state);
    let to = |last: u8| Address {
        ifindex: 2,
        net: "10.0.0.1/32".parse().unwrap(),
        peer: (last != 1).then(|| [10, 0, 0, last].into()),
    };
    let mut apply = |change| {
        state.apply(HOST, change);
        said(&mut state)
    };
    assert_eq!(apply(Change::Address(to(2))), ["Updated host/ppp0 addresses"]);
    assert_eq!(apply(Change::Address(to(3))), Vec::<String>::new());
    assert_eq!(apply(Change::Address(to(1))), Vec::<String>::new());
    assert_eq!(apply(Change::NoAddress(to(2))), Vec::<String>::new());
    assert_eq!(apply(Change::NoAddress(to(1))), Vec::<String>::new());
    assert_eq!(apply(Change::NoAddress(to(3))), ["Updated host/ppp0 addresses"]);
}

/// Interfaces inside are deleted, their peers outside lose the peer.
#[test]
fn closing_a_namespace_deletes_and_unpairs() {
    let mut state = State::new(HOST);
    state.open(named(7, "blue"));
    state.learn(Finding::Nsid(netns(7), 3));
    put(&mut state, HOST, link(9, "veth9"), Some(Pair { ifindex: 2, place: PairPlace::Nsid(3) }));
    put(&mut state, netns(7), link(2, "eth0"), Some(Pair { ifindex: 9, place: PairPlace::Host }));
    let mut events = state.take_events();
    let peers: Vec<_> = std::iter::from_fn(|| events.pop())
        .map(|event| event.interface().and_then(|i| i.peer.as_ref().map(|peer| peer.name.to_string())))
        .collect();
    assert_eq!(peers, [Some("eth0".to_owned()), Some("veth9".to_owned())], "added together with the peer");
    state.close(netns(7));
    assert_eq!(said(&mut state), ["Deleted blue/eth0", "Updated host/veth9 peer"]);
}

/// Only one end knows the nsid of the other.
#[test]
fn a_claim_finds_the_peer() {
    let mut state = State::new(HOST);
    state.open(named(7, "blue"));
    put(&mut state, netns(7), link(2, "eth0"), Some(Pair { ifindex: 9, place: PairPlace::Host }));
    said(&mut state);
    put(&mut state, HOST, link(9, "veth9"), Some(Pair { ifindex: 2, place: PairPlace::Elsewhere { nsid: 0 } }));
    assert_eq!(said(&mut state), ["Added host/veth9", "Updated blue/eth0 peer"]);
}

/// Only while the link is the same.
#[test]
fn half_a_pair_is_completed_once() {
    let mut state = State::new(HOST);
    for (ifindex, name) in [(8, "first"), (9, "second")] {
        put(&mut state, HOST, link(ifindex, name), None);
        put(&mut state, HOST, link(ifindex, name), None);
    }
    put(&mut state, HOST, Link { kind: Some(Kind::new("dummy")), ..link(2, "eth0") }, None);
    assert_eq!(state.take_doubtful(), [(HOST, 8), (HOST, 9)]);
    assert_eq!(state.take_doubtful(), []);
    said(&mut state);
    let names = |ifindex| Some(Pair { ifindex, place: PairPlace::Here });
    state.complete_pair(HOST, &Link { pair: names(9), ..link(8, "first") });
    state.complete_pair(HOST, &Link { pair: names(8), ..link(9, "another") });
    assert_eq!(said(&mut state), Vec::<String>::new(), "the second's number is another's by now");
    state.complete_pair(HOST, &Link { pair: names(8), ..link(9, "second") });
    assert_eq!(said(&mut state), ["Updated host/first peer", "Updated host/second peer"]);
}

#[test]
fn two_claims_give_no_peer() {
    let mut state = State::new(HOST);
    for inode in [7, 8] {
        state.open(named(inode, &inode.to_string()));
        put(&mut state, netns(inode), link(2, "eth0"), Some(Pair { ifindex: 9, place: PairPlace::Host }));
    }
    put(&mut state, HOST, link(9, "veth9"), Some(Pair { ifindex: 2, place: PairPlace::Elsewhere { nsid: 0 } }));
    let mut events = state.take_events();
    let veth = std::iter::from_fn(|| events.pop()).filter_map(|event| event.interface().cloned()).last().unwrap();
    assert_eq!((veth.name.to_string(), veth.peer.clone()), ("veth9".into(), None));
}

#[test]
fn another_name_rekeys_every_interface() {
    let mut state = State::new(HOST);
    state.open(named(7, "blue"));
    put(&mut state, netns(7), link(1, "lo"), None);
    said(&mut state);
    state.open(named(7, "green"));
    assert_eq!(said(&mut state), ["Deleted blue/lo", "Added green/lo"]);
}

/// One end moves to another namespace, and only the moved end announces where.
#[test]
fn contradicted_and_abandoned_ends_are_doubtful() {
    let mut state = State::new(HOST);
    for (inode, nsid) in [(7, 3), (8, 4)] {
        state.open(named(inode, &inode.to_string()));
        state.learn(Finding::Nsid(netns(inode), nsid));
    }
    put(&mut state, netns(7), end(2, "eth0", 9), Some(Pair { ifindex: 9, place: PairPlace::Host }));
    put(&mut state, HOST, end(9, "veth9", 2), Some(Pair { ifindex: 2, place: PairPlace::Nsid(3) }));
    assert_eq!(state.take_doubtful(), [], "both ends agree");
    state.apply(netns(7), Change::NoLink(GoneLink::unannounced(2)));
    assert_eq!(state.take_doubtful(), [], "a deletion ends both");
    put(&mut state, netns(8), end(2, "eth0", 9), Some(Pair { ifindex: 9, place: PairPlace::Host }));
    assert_eq!(state.take_doubtful(), [(HOST, 9)]);
    state.complete_pair(
        HOST,
        &Link { pair: Some(Pair { ifindex: 2, place: PairPlace::Nsid(4) }), ..end(9, "veth9", 2) },
    );
    assert_eq!(state.take_doubtful(), []);
    assert_eq!(state.other_end((HOST, 9)), Some((netns(8), 2)));
    state.apply(HOST, Change::NoLink(GoneLink { moved_to: Some(9), ..GoneLink::unannounced(9) }));
    assert_eq!(state.take_doubtful(), [(netns(8), 2)], "the peer went somewhere else");
}

/// A namespace ends before the notification of the move out of the namespace is read.
#[test]
fn claims_about_a_closed_namespace_are_doubtful() {
    let mut state = State::new(HOST);
    for inode in [7, 8, 9] {
        state.open(named(inode, &inode.to_string()));
    }
    let elsewhere = |ifindex| Some(Pair { ifindex, place: PairPlace::Elsewhere { nsid: 0 } });
    put(&mut state, netns(7), end(2, "a", 3), elsewhere(3));
    put(&mut state, netns(8), end(3, "b", 2), elsewhere(2));
    state.place_pair((netns(7), 2), 0, netns(8));
    put(&mut state, netns(9), end(3, "b", 2), elsewhere(2));
    assert_eq!(state.candidates(netns(9), 3), [], "the claim of the other end is found out");
    state.take_doubtful();
    state.close(netns(8));
    assert_eq!(state.take_doubtful(), [(netns(7), 2)]);
    assert_eq!(state.candidates(netns(7), 2), [netns(9)]);
}

/// A notification arrives between the request that finds the peer's namespace and the next events.
#[test]
fn found_namespace_outlives_a_notification() {
    let mut state = State::new(HOST);
    for inode in [7, 8] {
        state.open(named(inode, &inode.to_string()));
    }
    let elsewhere = |ifindex| Some(Pair { ifindex, place: PairPlace::Elsewhere { nsid: 0 } });
    put(&mut state, netns(7), link(2, "a"), elsewhere(3));
    put(&mut state, netns(8), link(3, "b"), elsewhere(2));
    state.place_pair((netns(7), 2), 0, netns(8));
    put(&mut state, netns(7), Link { mtu: 1_300, ..link(2, "a") }, elsewhere(3));
    assert_eq!(state.other_end((netns(7), 2)), Some((netns(8), 3)));
    assert_eq!(state.other_end((netns(8), 3)), Some((netns(7), 2)));
}

/// A poller reads of a move and of a new link under the old ifindex at once: only the nsid of the claim differs.
#[test]
fn another_nsid_is_another_namespace() {
    let mut state = State::new(HOST);
    for inode in [7, 8, 9] {
        state.open(named(inode, &inode.to_string()));
    }
    let pair = |ifindex, nsid| Some(Pair { ifindex, place: PairPlace::Elsewhere { nsid } });
    put(&mut state, netns(7), link(2, "a"), pair(3, 0));
    put(&mut state, netns(8), link(3, "b"), pair(2, 0));
    state.place_pair((netns(7), 2), 0, netns(8));
    // Another link takes the place of `b`, which is in the third namespace now.
    put(&mut state, netns(7), link(2, "a"), pair(3, 1));
    put(&mut state, netns(8), link(3, "b"), pair(5, 1));
    put(&mut state, netns(9), link(3, "b"), pair(2, 0));
    assert_eq!(state.candidates(netns(7), 2), [netns(9)]);
    state.place_pair((netns(7), 2), 0, netns(8));
    assert_eq!(state.other_end((netns(7), 2)), None, "found out for the claim before");
    state.place_pair((netns(7), 2), 1, netns(9));
    assert_eq!(state.other_end((netns(7), 2)), Some((netns(9), 3)));
}

/// A dump from before a move is applied after the notification of the move.
#[test]
fn claim_about_an_absent_link_is_doubtful() {
    let mut state = State::new(HOST);
    for (inode, nsid) in [(7, 3), (8, 4), (9, 5)] {
        state.open(named(inode, &inode.to_string()));
        state.learn(Finding::Nsid(netns(inode), nsid));
    }
    put(&mut state, netns(9), end(3, "b", 2), Some(Pair { ifindex: 2, place: PairPlace::Nsid(3) }));
    state.take_doubtful();
    put(&mut state, netns(7), end(2, "a", 3), Some(Pair { ifindex: 3, place: PairPlace::Nsid(4) }));
    assert_eq!(state.take_doubtful(), [(netns(7), 2)]);
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Put { netns: u64, ifindex: u32, name: u8, mtu: u32, peer: Option<(u64, u32)> },
    Gone { netns: u64, ifindex: u32 },
    Address { netns: u64, ifindex: u32, last: u8, peer: Option<u8>, there: bool },
    Close { netns: u64 },
    Replace { netns: u64, links: Vec<(u32, u8, u32)> },
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    let netns = 1..4_u64;
    let ifindex = 1..5_u32;
    prop_oneof![
        6 => (netns.clone(), ifindex.clone(), 0..3_u8, 0..3_u32, proptest::option::of((1..4_u64, 1..5_u32)))
            .prop_map(|(netns, ifindex, name, mtu, peer)| Step::Put { netns, ifindex, name, mtu, peer }),
        3 => (netns.clone(), ifindex.clone()).prop_map(|(netns, ifindex)| Step::Gone { netns, ifindex }),
        3 => (netns.clone(), ifindex.clone(), 1..4_u8, proptest::option::of(4..6_u8), any::<bool>())
            .prop_map(|(netns, ifindex, last, peer, there)| Step::Address { netns, ifindex, last, peer, there }),
        1 => (2..4_u64).prop_map(|netns| Step::Close { netns }),
        1 => (netns, proptest::collection::btree_map(ifindex, (0..3_u8, 0..3_u32), 0..4))
            .prop_map(|(netns, links)| Step::Replace {
                netns,
                links: links.into_iter().map(|(ifindex, (name, mtu))| (ifindex, name, mtu)).collect(),
            }),
        2 => Just(Step::Read),
    ]
}

fn id_of(inode: u64) -> NetnsId {
    if inode == 1 { HOST } else { netns(inode) }
}

fn pair_in(inode: u64, (peer_netns, ifindex): (u64, u32)) -> Pair {
    let place = match peer_netns {
        same if same == inode => PairPlace::Here,
        1 => PairPlace::Host,
        // As in the setns engine: the host's end does not know the namespace of its peer.
        other if inode == 1 => PairPlace::Elsewhere { nsid: other as i32 },
        3 => PairPlace::In { netns: netns(3), nsid: 3 },
        other => PairPlace::Nsid(other as i32),
    };
    Pair { ifindex, place }
}

proptest! {
    /// At every point, the events of a reader lead to the content of the state; a
    /// peer always exists, and agrees.
    #[test]
    fn events_replayed_are_the_state(steps in proptest::collection::vec(step(), 0..120)) {
        let mut state = State::new(HOST);
        let mut replayed: HashMap<InterfaceId, Arc<Interface>> = HashMap::new();
        for step in steps.into_iter().chain([Step::Read]) {
            if let Step::Put { netns, .. } | Step::Replace { netns, .. } = &step {
                let name = Place::Named(iface_core::NetnsName::new(netns.to_string()));
                let place = if *netns == 1 { Place::Host } else { name };
                state.open(Netns::new(id_of(*netns), place));
                state.learn(Finding::Nsid(id_of(*netns), *netns as i32));
            }
            match step {
                Step::Put { netns, ifindex, name, mtu, peer } => {
                    let link = Link { mtu, ..link(ifindex, &name.to_string()) };
                    put(&mut state, id_of(netns), link, peer.map(|peer| pair_in(netns, peer)));
                }
                Step::Gone { netns, ifindex } => {
                    state.apply(id_of(netns), Change::NoLink(GoneLink::unannounced(ifindex)));
                }
                Step::Address { netns, ifindex, last, peer, there } => {
                    let net = IpNet::new([10, 0, 0, last].into(), 24).unwrap();
                    let address = Address { ifindex, net, peer: peer.map(|last| [10, 0, 0, last].into()) };
                    let change = if there { Change::Address(address) } else { Change::NoAddress(address) };
                    state.apply(id_of(netns), change);
                }
                Step::Close { netns } => state.close(id_of(netns)),
                Step::Replace { netns, links } => {
                    let listed = |(ifindex, name, mtu): (u32, u8, u32)| DumpedLink {
                        link: Link { mtu, ..link(ifindex, &name.to_string()) },
                        addresses: Vec::new(),
                        removed: Vec::new(),
                    };
                    let links = links.into_iter().map(listed).collect();
                    state.list(id_of(netns), Listing { is_complete: true, deleted: Vec::new(), links });
                }
                Step::Read => {
                    let mut events = state.take_events();
                    while let Some(event) = events.pop() {
                        match event {
                            Event::Added(i) => prop_assert!(replayed.insert(i.id, i).is_none()),
                            Event::Updated(i, changes) => {
                                let before = replayed.insert(i.id, i.clone());
                                prop_assert_eq!(before.map(|b| b.key()), Some(i.key()));
                                prop_assert_ne!(changes, Changes::default());
                            }
                            Event::Deleted(i, _) => prop_assert!(replayed.remove(&i.id).is_some()),
                            Event::Synced => prop_assert!(false, "nobody said so"),
                        }
                    }
                    let known = state.namespaces.values().flat_map(|n| n.links.values());
                    let known: HashMap<_, _> = known.map(|k| (k.interface.id, k.interface.clone())).collect();
                    prop_assert_eq!(known.len(), state.counts().1);
                    prop_assert_eq!(&replayed, &known);
                    for interface in known.values() {
                        let told = interface.peer.as_ref().map(|peer| (peer.netns.id, peer.ifindex));
                        prop_assert_eq!(told, state.other_end((interface.netns.id, interface.ifindex)));
                        let Some(peer) = &interface.peer else { continue };
                        let other = &state.known((peer.netns.id, peer.ifindex)).expect("a peer exists").interface;
                        prop_assert_eq!((other.name, &other.netns.place), (peer.name, &peer.netns.place));
                        let back = other.peer.as_ref().map(|peer| (peer.netns.id, peer.ifindex));
                        prop_assert_eq!(back, Some((interface.netns.id, interface.ifindex)));
                    }
                }
            }
        }
    }
}
