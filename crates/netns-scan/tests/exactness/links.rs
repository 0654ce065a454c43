use std::fs;
use std::net::IpAddr;
use std::path::Path;

use iface_core::{Changes, Event, EventKind, IfName, Lower, LowerPlace, OperState, Underlay};
use ipnet::IpNet;
use netns_testbed::{Bridge, LinkChange, NetnsDir, Observer, Rtnl, Test, Tun, Veth, tests};

use crate::subject::{EXACT, Informer, Subject, assert_exact};

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    tests![Subject::ALL;
        everything_that_exists_comes_first_then_synced,
        links_without_carrier_exist_at_the_start,
        links_without_carrier_appear_later,
        a_new_mac_is_an_update,
        mtu_state_and_addresses_are_updates,
        an_address_outlives_one_of_two_peers,
        secondary_addresses_end_with_the_first,
        a_rename_while_up_is_another_existence,
        a_deleted_link_is_deleted_once,
        both_ends_of_a_veth_are_peers,
        a_moved_end_keeps_its_peer,
        a_link_replaces_a_moved_peer,
        master_alias_and_alternative_names_are_updates,
        a_macvlan_names_the_link_below,
        a_tunnel_names_its_underlay,
        counters_are_those_of_the_interface,
        addresses_and_names_in_any_namespace,
    ]
}

fn everything_that_exists_comes_first_then_synced(subject: Subject) {
    let dir = NetnsDir::standard();
    let pods = crate::subject::add_all(&dir, "pod", 5);
    // Down: the kernel works out the operational state of a link that is up later, perhaps during the first scan.
    let _veths: Vec<_> = pods.iter().map(|pod| Veth::new(&format!("h-{}", pod.name()), pod, "eth0")).collect();
    let mut observer = subject.start();
    let replay = observer.synced();
    assert_eq!(replay.history().last(), Some(&Event::Synced));
    // Two interfaces in each pod, five veths and lo here.
    assert_eq!(replay.interfaces().count(), 16);
    assert!(replay.history().iter().all(|event| matches!(event.kind(), EventKind::Added | EventKind::Synced)));
    assert_exact(&mut observer, &pods);
}

fn links_without_carrier_exist_at_the_start(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let _links = (Tun::new(Some(&pod), "tun0"), Bridge::new(Some(&pod), "br0"), Veth::new("host0", &pod, "eth0"));
    let mut observer = subject.synced();
    odd_links_are_told(&mut observer);
    assert_exact(&mut observer, [&pod]);
}

fn links_without_carrier_appear_later(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let mut observer = subject.synced();
    let _links = (Tun::new(Some(&pod), "tun0"), Bridge::new(Some(&pod), "br0"), Veth::new("host0", &pod, "eth0"));
    observer.until("all are told", EXACT, |replay| replay.at("pod").count() == 4);
    odd_links_are_told(&mut observer);
    pod.rtnl().up(&["tun0", "br0", "lo"]);
    observer.until("lo is up", EXACT, |replay| replay.find("pod", "lo").is_some_and(|lo| lo.admin_up));
    assert_exact(&mut observer, [&pod]);
}

fn odd_links_are_told(observer: &mut Observer<Informer>) {
    let replay = observer.replay();
    for name in ["lo", "tun0", "br0", "eth0"] {
        let interface = replay.find("pod", name).unwrap_or_else(|| panic!("{name} is missing"));
        assert!(!interface.is_up(), "{interface:?}");
    }
    assert_eq!(replay.find("pod", "tun0").and_then(|tun| tun.mac), None);
}

fn a_new_mac_is_an_update(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let _veth = Veth::up("host0", &pod, "eth0");
    let mut observer = subject.synced();
    pod.rtnl().set("eth0", LinkChange::Mac([2, 0, 0, 0, 0, 9]));
    observer.until("the update", EXACT, |replay| {
        let mac = |event: &Event| match event {
            Event::Updated(interface, changes) => interface.name == "eth0" && changes.contains(Changes::MAC),
            _ => false,
        };
        replay.history().last().is_some_and(mac)
    });
    assert_exact(&mut observer, [&pod]);
    assert_eq!(observer.replay().story("pod", "eth0")[0], EventKind::Added);
    assert!(!observer.replay().story("pod", "eth0").contains(&EventKind::Deleted));
}

fn mtu_state_and_addresses_are_updates(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let _veth = Veth::up("host0", &pod, "eth0");
    let mut observer = subject.synced();
    // The kernel sets the oper state up to a second later, and a poller can miss a state between two polls.
    let is_up = |replay: &netns_testbed::Replay| {
        replay.find("pod", "eth0").is_some_and(|eth0| eth0.oper_state == OperState::Up)
    };
    observer.until("the link is up", 2 * EXACT, is_up);
    let rtnl = pod.rtnl();
    let mut seen = |what, wanted: Changes| {
        observer.until(what, EXACT, |replay| {
            let of = |event: &Event| match event {
                Event::Updated(interface, changes) => interface.name == "eth0" && changes.contains(wanted),
                _ => false,
            };
            replay.history().iter().any(of)
        });
    };
    rtnl.set("eth0", LinkChange::Mtu(1_300));
    seen("the MTU", Changes::MTU);
    rtnl.add_address("eth0", "10.0.0.2/24".parse().unwrap());
    seen("the address", Changes::ADDRESSES);
    rtnl.set("eth0", LinkChange::Up(false));
    seen("the link goes down", Changes::ADMIN_UP);
    seen("the oper state", Changes::OPER_STATE);
    rtnl.up(&["eth0"]);
    rtnl.remove_address("eth0", "10.0.0.2/24".parse().unwrap());
    assert_exact(&mut observer, [&pod]);
    assert!(!observer.replay().story("pod", "eth0").contains(&EventKind::Deleted));
}

/// Linux tells two IPv4 addresses of a link apart by the peer's address, too.
fn an_address_outlives_one_of_two_peers(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let _tun = Tun::new(Some(&pod), "tun0");
    let mut observer = subject.synced();
    let (rtnl, own) = (pod.rtnl(), "10.0.0.1/32".parse().unwrap());
    let peers: [IpAddr; 2] = ["10.0.0.2".parse().unwrap(), "10.0.0.3".parse().unwrap()];
    peers.iter().for_each(|peer| rtnl.add_point_to_point("tun0", own, *peer));
    assert_exact(&mut observer, [&pod]);
    rtnl.remove_point_to_point("tun0", own, peers[0]);
    // The kernel handles one change after the other: the MTU tells that the removal is known.
    rtnl.set("tun0", LinkChange::Mtu(1_300));
    let mtu = |replay: &netns_testbed::Replay| replay.find("pod", "tun0").is_some_and(|tun| tun.mtu == 1_300);
    observer.until("the MTU", EXACT, mtu);
    assert_eq!(observer.replay().find("pod", "tun0").unwrap().addresses[..], [own]);
    rtnl.remove_point_to_point("tun0", own, peers[1]);
    assert_exact(&mut observer, [&pod]);
}

/// The kernel calls all addresses with the same peer but the first secondary, and removes them with the first unless the
/// setting `promote_secondaries` makes the next one the first.
fn secondary_addresses_end_with_the_first(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let _tun = Tun::new(Some(&pod), "tun0");
    let mut observer = subject.synced();
    let (rtnl, peer) = (pod.rtnl(), "10.0.1.1".parse().unwrap());
    let own: [IpNet; 3] = ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"].map(|net| net.parse().unwrap());
    for promote in ["1", "0"] {
        let set = |of| fs::write(format!("/proc/sys/net/ipv4/conf/{of}/promote_secondaries"), promote).unwrap();
        pod.inside(|| ["all", "tun0"].map(set));
        own.iter().for_each(|net| rtnl.add_point_to_point("tun0", *net, peer));
        assert_exact(&mut observer, [&pod]);
        rtnl.remove_point_to_point("tun0", own[0], peer);
        assert_exact(&mut observer, [&pod]);
        let left = if promote == "1" { &own[1..] } else { &[] };
        assert_eq!(observer.replay().find("pod", "tun0").unwrap().addresses[..], *left);
        left.iter().for_each(|net| _ = rtnl.remove_point_to_point_if_there("tun0", *net, peer));
    }
}

fn a_rename_while_up_is_another_existence(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let _veth = Veth::up("host0", &pod, "eth0");
    let mut observer = subject.synced();
    pod.rtnl().set("eth0", LinkChange::Name("net1"));
    observer.until("the new name", EXACT, |replay| replay.find("pod", "net1").is_some());
    let renames: Vec<_> = observer
        .replay()
        .history()
        .iter()
        .filter(|event| event.interface().is_some_and(|interface| interface.ifindex != 1))
        .filter(|event| matches!(event.kind(), EventKind::Deleted | EventKind::Added))
        .map(|event| (event.kind(), event.interface().map(|interface| interface.name.to_string()).unwrap()))
        .collect();
    let last_two = &renames[renames.len() - 2..];
    assert_eq!(last_two, [(EventKind::Deleted, "eth0".to_owned()), (EventKind::Added, "net1".to_owned())]);
    assert_exact(&mut observer, [&pod]);
}

fn a_deleted_link_is_deleted_once(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let veth = Veth::up("host0", &pod, "eth0");
    let mut observer = subject.synced();
    drop(veth);
    observer.until("both ends go", EXACT, |replay| {
        replay.find("pod", "eth0").is_none() && replay.find("host", "host0").is_none()
    });
    assert_exact(&mut observer, [&pod]);
    assert_eq!(observer.replay().story("pod", "eth0").last(), Some(&EventKind::Deleted));
}

/// The kernel announces the end it makes first before there is another to name.
fn both_ends_of_a_veth_are_peers(subject: Subject) {
    let dir = NetnsDir::standard();
    let (pod, other) = (dir.add("pod"), dir.add("other"));
    let _before = Veth::new("host0", &pod, "eth0");
    let mut observer = subject.synced();
    let _later = Veth::up("host1", &pod, "eth1");
    let _down = Veth::new("host2", &pod, "eth2");
    pod.rtnl().add_veth("a", "b", None);
    pod.rtnl().up(&["a", "b"]);
    pod.rtnl().add_veth("c", "d", None);
    pod.rtnl().add_veth("e", "f", Some(other.path()));
    observer.until("all ends have met", EXACT, |replay| {
        met(replay, ("host", "host0"), ("pod", "eth0"))
            && met(replay, ("host", "host1"), ("pod", "eth1"))
            && met(replay, ("host", "host2"), ("pod", "eth2"))
            && met(replay, ("pod", "a"), ("pod", "b"))
            && met(replay, ("pod", "c"), ("pod", "d"))
            && met(replay, ("pod", "e"), ("other", "f"))
    });
    pod.rtnl().set("eth1", LinkChange::Name("net1"));
    observer
        .until("the new name is known to the peer", EXACT, |replay| met(replay, ("host", "host1"), ("pod", "net1")));
    Rtnl::new().set("host1", LinkChange::Netns(pod.path()));
    observer.until("the peer has moved", EXACT, |replay| met(replay, ("pod", "host1"), ("pod", "net1")));
    pod.rtnl().delete("net1");
    observer.until("both are gone", EXACT, |replay| replay.at("pod").count() == 8);
    assert_exact(&mut observer, [&pod, &other]);
}

/// The kernel announces a move to the two namespaces of the move, and not to the other end.
fn a_moved_end_keeps_its_peer(subject: Subject) {
    let dir = NetnsDir::standard();
    let (a, b, c) = (dir.add("a"), dir.add("b"), dir.add("c"));
    let _veth = Veth::new("host0", &a, "eth0");
    let mut observer = subject.synced();
    let own = Path::new("/proc/self/ns/net");
    let mut moved = |from: Rtnl, name: &str, to: &Path, ends: [&str; 2]| {
        from.set(name, LinkChange::Netns(to));
        let ends = [(ends[0], "host0"), (ends[1], "eth0")];
        observer.until(&format!("{ends:?} have met"), EXACT, |replay| met(replay, ends[0], ends[1]));
    };
    moved(Rtnl::new(), "host0", b.path(), ["b", "a"]);
    moved(b.rtnl(), "host0", a.path(), ["a", "a"]);
    moved(a.rtnl(), "host0", c.path(), ["c", "a"]);
    moved(c.rtnl(), "host0", own, ["host", "a"]);
    moved(a.rtnl(), "eth0", b.path(), ["host", "b"]);
    moved(b.rtnl(), "eth0", own, ["host", "host"]);
    moved(Rtnl::new(), "eth0", c.path(), ["host", "c"]);
    // A chain of moves between two readings.
    c.rtnl().set("eth0", LinkChange::Netns(a.path()));
    Rtnl::new().set("host0", LinkChange::Netns(b.path()));
    b.rtnl().set("host0", LinkChange::Netns(c.path()));
    moved(a.rtnl(), "eth0", b.path(), ["c", "b"]);
    assert_exact(&mut observer, [&a, &b, &c]);
    c.rtnl().delete("host0");
}

/// Between two readings a peer leaves its namespace and another link arrives there, with its name and ifindex.
fn a_link_replaces_a_moved_peer(subject: Subject) {
    let dir = NetnsDir::standard();
    let a = dir.add("a");
    let places = ["b", "c", "d"].map(|name| dir.add(name));
    for (near, netns) in ["one", "two"].into_iter().zip(&places) {
        a.rtnl().add_veth(near, "far", Some(netns.path()));
    }
    let index = |place: usize| places[place].rtnl().index_of("far");
    assert_eq!(index(0), index(1), "fresh namespaces count alike");
    let mut observer = subject.synced();
    // The place of the far end of each.
    let mut far = [0, 1];
    for round in 0..6 {
        let (leaving, arriving) = (round % 2, 1 - round % 2);
        let free = 3 - far[0] - far[1];
        let left = std::mem::replace(&mut far[leaving], free);
        places[left].rtnl().set("far", LinkChange::Netns(places[free].path()));
        let from = std::mem::replace(&mut far[arriving], left);
        places[from].rtnl().set("far", LinkChange::Netns(places[left].path()));
        assert_eq!(index(far[0]), index(far[1]), "the kernel keeps a free ifindex");
        observer.until(&format!("both ends have met, round {round}"), EXACT, |replay| {
            let has_met = |(near, far): (&str, usize)| met(replay, ("a", near), (["b", "c", "d"][far], "far"));
            ["one", "two"].into_iter().zip(far).all(has_met)
        });
    }
    assert_exact(&mut observer, [&a, &places[0], &places[1], &places[2]]);
}

/// Whether two ends, each in its place, name each other.
fn met(replay: &netns_testbed::Replay, one: (&str, &str), other: (&str, &str)) -> bool {
    let is = |from: (&str, &str), to: (&str, &str)| {
        let peer = replay.find(from.0, from.1).and_then(|interface| interface.peer.clone());
        peer.is_some_and(|peer| peer.netns.place.to_string() == to.0 && peer.name == to.1)
    };
    is(one, other) && is(other, one)
}

/// A bridge port names the bridge, and no longer does once the bridge is deleted.
fn master_alias_and_alternative_names_are_updates(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let _veth = Veth::up("host0", &pod, "eth0");
    let rtnl = Rtnl::new();
    rtnl.add_link("bridge", "br0");
    let mut observer = subject.synced();
    let mut seen = |what, wanted: Changes| {
        observer.until(what, EXACT, |replay| {
            let of = |event: &Event| match event {
                Event::Updated(interface, changes) => interface.name == "host0" && changes.contains(wanted),
                _ => false,
            };
            replay.history().iter().any(of)
        });
    };
    rtnl.set("host0", LinkChange::Master(rtnl.index_of("br0").unwrap()));
    seen("the master", Changes::MASTER);
    rtnl.set("host0", LinkChange::Alias("to the pod"));
    seen("the alias", Changes::ALIAS);
    rtnl.add_alt_name("host0", "a-name-of-more-than-sixteen-bytes");
    seen("the alternative name", Changes::ALT_NAMES);
    assert_exact(&mut observer, [&pod]);
    let bridge = rtnl.index_of("br0");
    let found = observer.replay().find("host", "host0").unwrap().clone();
    assert_eq!((found.master, found.alias()), (bridge, Some("to the pod")));
    assert!(found.alt_names().eq(["a-name-of-more-than-sixteen-bytes"]));
    rtnl.delete("br0");
    rtnl.set("host0", LinkChange::Alias(""));
    observer.until("no master", EXACT, |replay| {
        replay.find("host", "host0").is_some_and(|found| found.master.is_none() && found.alias().is_none())
    });
    assert_exact(&mut observer, [&pod]);
}

/// The underlay stays where the tunnel was made; a new far end is an update.
fn a_tunnel_names_its_underlay(subject: Subject) {
    let dir = NetnsDir::standard();
    let pod = dir.add("pod");
    let veth = Veth::up("host0", &pod, "eth0");
    let (rtnl, index) = (Rtnl::new(), Rtnl::new().index_of("host0").unwrap());
    let (own, far, other) = ([192, 0, 2, 1], [192, 0, 2, 9], [192, 0, 2, 7]);
    rtnl.add_vxlan("before", 1, [own, far], index);
    let mut observer = subject.synced();
    rtnl.add_vxlan("later", 2, [own, far], 0);
    rtnl.add_vxlan("moved", 3, [own, far], index);
    rtnl.set("moved", LinkChange::Netns(pod.path()));
    let under = |place: &str, name: &str, lower, far: [u8; 4]| {
        let (place, name) = (place.to_owned(), name.to_owned());
        let underlay = Underlay::new(Some(own.into()), Some(far.into()));
        move |replay: &netns_testbed::Replay| {
            let found = replay.find(&place, &name);
            found.is_some_and(|found| found.lower() == lower && found.underlay() == Some(underlay))
        }
    };
    let on = |place| Some(Lower::new(index, place));
    observer.until("before", EXACT, under("host", "before", on(LowerPlace::Same), far));
    observer.until("later", EXACT, under("host", "later", None, far));
    observer.until("moved", EXACT, under("pod", "moved", on(LowerPlace::Host), far));
    rtnl.up(&["later"]);
    rtnl.set("later", LinkChange::Remote(other));
    observer.until("another far end", EXACT, under("host", "later", None, other));
    let is_told = |event: &Event| match event {
        Event::Updated(interface, changes) => interface.name == "later" && changes.contains(Changes::UNDERLAY),
        _ => false,
    };
    assert!(observer.replay().history().iter().any(is_told));
    assert_exact(&mut observer, [&pod]);
    drop(veth);
    observer.until("tunnels go with the link below", EXACT, |replay| {
        replay.find("host", "before").is_none() && replay.find("pod", "moved").is_none()
    });
    rtnl.delete("later");
}

/// The link below may be in the same namespace, in the host's or in a third.
fn a_macvlan_names_the_link_below(subject: Subject) {
    let dir = NetnsDir::standard();
    let (pod, other) = (dir.add("pod"), dir.add("other"));
    let veth = Veth::up("host0", &pod, "eth0");
    let (rtnl, index) = (Rtnl::new(), Rtnl::new().index_of("host0").unwrap());
    let inner = pod.rtnl().index_of("eth0").unwrap();
    rtnl.add_macvlan("before", index, Some(pod.path()));
    let mut observer = subject.synced();
    rtnl.add_macvlan("same", index, None);
    rtnl.add_macvlan("later", index, Some(pod.path()));
    pod.rtnl().add_macvlan("third", inner, Some(other.path()));
    let below = |place: &str, name: &str, lower| {
        let (place, name) = (place.to_owned(), name.to_owned());
        move |replay: &netns_testbed::Replay| {
            replay.find(&place, &name).is_some_and(|found| found.lower() == Some(lower))
        }
    };
    for (place, name, ifindex, at) in [
        ("pod", "before", index, LowerPlace::Host),
        ("host", "same", index, LowerPlace::Same),
        ("pod", "later", index, LowerPlace::Host),
        ("other", "third", inner, LowerPlace::Elsewhere),
    ] {
        observer.until(name, EXACT, below(place, name, Lower::new(ifindex, at)));
    }
    pod.rtnl().up(&["later"]);
    assert_exact(&mut observer, [&pod, &other]);
    let later = observer.replay().find("pod", "later").unwrap();
    assert_eq!(later.lower(), Some(Lower::new(index, LowerPlace::Host)), "a later notification keeps the place");
    rtnl.set("same", LinkChange::Netns(other.path()));
    observer.until("moved", EXACT, below("other", "same", Lower::new(index, LowerPlace::Host)));
    drop(veth);
    observer.until("the macvlans go with the link", EXACT, |replay| {
        ["before", "later"].iter().all(|name| replay.find("pod", name).is_none())
            && ["third", "same"].iter().all(|name| replay.find("other", name).is_none())
    });
    assert_exact(&mut observer, [&pod, &other]);
}

fn counters_are_those_of_the_interface(subject: Subject) {
    let dir = NetnsDir::standard();
    let pod = dir.add("pod");
    let _veth = Veth::up("host0", &pod, "eth0");
    let rtnl = Rtnl::new();
    rtnl.add_address("host0", "10.1.0.1/24".parse().unwrap());
    pod.rtnl().add_address("eth0", "10.1.0.2/24".parse().unwrap());
    let mut observer = subject.synced();
    let socket = std::net::UdpSocket::bind("10.1.0.1:0").unwrap();
    for _ in 0..50 {
        socket.send_to(&[0; 1_000], "10.1.0.2:9").unwrap();
    }
    assert_exact(&mut observer, [&pod]);
    let handle = observer.informer().handle();
    let readings = observer.wait("the counters", EXACT, handle.counters(Vec::new())).unwrap();
    assert_eq!(readings.len(), 4, "lo twice and both ends");
    let of = |place, name| {
        let id = observer.replay().find(place, name).unwrap().id;
        readings.iter().find(|reading| reading.id == id).unwrap().counters
    };
    let (host, inner) = (of("host", "host0"), of("pod", "eth0"));
    let dead: Vec<_> = observer.replay().at("pod").map(|interface| interface.id).collect();
    // 50 datagrams of 1,042 bytes on the wire, beside ARP and IPv6's own.
    assert!(host.transmit.bytes >= 50 * 1_042 && host.transmit.bytes < 60 * 1_042, "{host:?}");
    assert!(inner.receive.packets >= 50, "{inner:?}");
    pod.delete();
    observer.until("the pod is gone", EXACT, |replay| replay.at("pod").count() == 0);
    let readings = observer.wait("the counters", EXACT, handle.counters(readings)).unwrap();
    assert!(readings.iter().all(|reading| !dead.contains(&reading.id)), "{readings:?} with {dead:?}");
    drop(observer);
    let stopped = futures_executor::block_on(handle.counters(readings));
    assert!(stopped.is_err());
}

fn addresses_and_names_in_any_namespace(_: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let veth = Veth::new("host0", &pod, "eth0");
    pod.rtnl().add_address("eth0", "10.1.0.2/24".parse().unwrap());
    Rtnl::new().add_address("host0", "10.1.0.1/24".parse().unwrap());
    let ips = |netns: Option<&Path>, name: &str| netns_scan::ips_from_interface(netns, &IfName::new(name).unwrap());
    assert_eq!(ips(Some(pod.path()), "eth0").unwrap(), ["10.1.0.2".parse::<IpAddr>().unwrap()]);
    assert_eq!(ips(None, "host0").unwrap(), ["10.1.0.1".parse::<IpAddr>().unwrap()]);
    assert!(ips(None, "eth0").is_err(), "the pod's is not the host's");
    let index = Rtnl::new().index_of(veth.host()).unwrap();
    assert_eq!(netns_scan::name_for_index(index).unwrap(), IfName::new("host0"));
    assert_eq!(netns_scan::name_for_index(9_999).unwrap(), None);
}
