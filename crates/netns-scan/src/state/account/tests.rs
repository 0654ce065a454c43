use std::time::Duration;

use iface_core::{Coalesce, Direction, Kind, MacAddr, Netns, NetnsId, Place};

use super::*;
use crate::engine::learned::Finding;
use crate::netlink::dump::{Change, DumpedLink, Listing};
use crate::netlink::message::{Pair, PairPlace};

const HOST: NetnsId = NetnsId(1);
const BLUE: NetnsId = NetnsId(7);
/// Claims of the two ends of a pair: `veth9` of the host, and `eth0` inside with ifindex 2.
const INSIDE: Pair = Pair { ifindex: 2, place: PairPlace::Nsid(3) };
const OUTSIDE: Pair = Pair { ifindex: 9, place: PairPlace::Host };

fn link(ifindex: u32, name: &str, kind: Option<&str>, counters: Option<Counters>) -> Link {
    let mac = Some(MacAddr::from([2, 0, 0, 0, 0, 1]));
    Link { mac, kind: kind.map(Kind::new), counters, ..Link::plain(ifindex, name) }
}

fn counted(receive: u64, transmit: u64) -> Counters {
    Counters::new(Direction::new(100 * receive, receive), Direction::new(100 * transmit, transmit))
}

fn gone(ifindex: u32, counters: Counters) -> Change {
    Change::NoLink(GoneLink { counters: Some(counters), ..GoneLink::unannounced(ifindex) })
}

/// A pair with an end in the host's namespace and an end in `blue`, whose events are read.
fn pair() -> State {
    let mut state = State::new(HOST);
    state.open(Netns::new(BLUE, Place::Named(iface_core::NetnsName::new("blue"))));
    state.learn(Finding::Nsid(BLUE, 3));
    state.apply(HOST, Change::Link(Link { pair: Some(INSIDE), ..link(9, "veth9", Some("veth"), None) }));
    state.apply(BLUE, Change::Link(Link { pair: Some(OUTSIDE), ..link(2, "eth0", Some("veth"), None) }));
    drop(state.take_events());
    state
}

/// The deletions among the events, with packets received and transmitted.
fn deletions(events: Coalesce) -> Vec<(String, Option<(u64, u64)>)> {
    let mut events = events;
    let deleted = |event| match event {
        Event::Deleted(interface, counters) => {
            let packets = counters.map(|of| (of.carried().receive.packets, of.carried().transmit.packets));
            Some((interface.name.to_string(), packets))
        }
        _ => None,
    };
    std::iter::from_fn(|| events.pop()).filter_map(deleted).collect()
}

fn named(name: &str, packets: (u64, u64)) -> (String, Option<(u64, u64)>) {
    (name.to_owned(), Some(packets))
}

/// `RTM_DELLINK` of each end has only its own transmit counters.
#[test]
fn two_ends_complete_each_other() {
    let mut state = pair();
    state.apply(BLUE, gone(2, counted(0, 50)));
    assert_eq!(deletions(state.take_events()), [], "the other message comes next");
    state.apply(HOST, gone(9, counted(0, 7)));
    assert_eq!(deletions(state.take_events()), [named("eth0", (7, 50)), named("veth9", (50, 7))]);
    assert!(state.departing.is_empty());
}

/// No message comes from inside a namespace that dies, before or after the host end's.
#[test]
fn closed_namespace_takes_its_peers_counters() {
    let mut state = pair();
    state.reading(HOST, 9, counted(50, 6));
    state.close(BLUE);
    assert_eq!(deletions(state.take_events()), [named("eth0", (6, 50))]);
    state.apply(HOST, gone(9, counted(0, 7)));
    assert_eq!(deletions(state.take_events()), [named("veth9", (50, 7))]);

    let mut state = pair();
    state.reading(BLUE, 2, counted(5, 40));
    state.apply(HOST, gone(9, counted(0, 7)));
    state.close(BLUE);
    assert_eq!(deletions(state.take_events()), [named("veth9", (40, 7)), named("eth0", (7, 40))]);
}

#[test]
fn missing_message_delays_no_longer_than_patience() {
    let mut state = pair();
    let start = Instant::now();
    state.apply(BLUE, gone(2, counted(0, 50)));
    assert_eq!(state.release_due(start), Some(start + PATIENCE));
    assert_eq!(deletions(state.take_events()), []);
    assert_eq!(state.release_due(start + PATIENCE + Duration::from_nanos(1)), None);
    assert_eq!(deletions(state.take_events()), [named("eth0", (0, 50))]);
}

/// The reader gets `Deleted` of the old `eth0` before `Added` of the new one.
#[test]
fn name_is_free_before_its_next_use() {
    let mut state = pair();
    state.apply(BLUE, gone(2, counted(0, 50)));
    state.apply(BLUE, Change::Link(link(3, "eth0", Some("veth"), None)));
    let mut events = state.take_events();
    let kinds: Vec<_> = std::iter::from_fn(|| events.pop()).map(|event| event.kind().as_str()).collect();
    assert_eq!(kinds, ["Deleted", "Added", "Updated"]);
}

/// A physical NIC has no peer: its own message holds everything, also after a driver's reset.
#[test]
fn link_without_peer_has_the_last_word() {
    let mut state = State::new(HOST);
    state.apply(HOST, Change::Link(link(4, "eth1", None, Some(counted(0, 0)))));
    state.reading(HOST, 4, counted(90, 90));
    drop(state.take_events());
    state.apply(HOST, gone(4, counted(3, 2)));
    assert_eq!(deletions(state.take_events()), [named("eth1", (3, 2))]);
}

/// A NIC moves in with what it carried for the host, whether its arrival is notified or dumped.
#[test]
fn moved_link_leaves_its_past() {
    for is_dumped in [false, true] {
        let mut state = pair();
        state.apply(HOST, Change::Link(link(4, "eth1", None, Some(counted(0, 0)))));
        let moved = GoneLink { ifindex: 4, counters: Some(counted(900, 800)), moved_to: Some(4) };
        state.apply(HOST, Change::NoLink(moved));
        let arrived = |counters| link(4, "net1", None, Some(counters));
        match is_dumped {
            false => state.apply(BLUE, Change::Link(arrived(counted(900, 800)))),
            true => {
                let listed =
                    DumpedLink { link: arrived(counted(903, 801)), addresses: Vec::new(), removed: Vec::new() };
                state.list(BLUE, Listing { is_complete: false, deleted: Vec::new(), links: vec![listed] });
            }
        }
        let reading = state.reading(BLUE, 4, counted(905, 802)).unwrap();
        assert_eq!(reading.base, counted(900, 800), "{is_dumped}");
        drop(state.take_events());
        state.apply(BLUE, gone(4, counted(907, 803)));
        assert_eq!(deletions(state.take_events()), [named("net1", (7, 3))]);
    }
}
