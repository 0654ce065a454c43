//! `Deleted` has the counters of the last packet.

use iface_core::{Counters, Event};
use netns_testbed::{LinkChange, NetnsDir, Observer, QuietVeth, Replay, Rtnl, Test, tests};

use crate::subject::{EXACT, Informer, Subject};

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    tests![Subject::WATCHERS;
        deletion_inside_loses_no_packet,
        deletion_outside_loses_no_packet,
        deleted_namespace_loses_no_received_packet,
        moved_link_starts_a_new_account,
    ]
}

/// Counters of an interface, according to its `Deleted`.
fn carried(replay: &Replay, place: &str, name: &str) -> Option<Counters> {
    replay.history().iter().rev().find_map(|event| match event {
        Event::Deleted(interface, Some(counters)) => {
            let is_it = interface.name == name && interface.netns.place.to_string() == place;
            is_it.then(|| counters.carried())
        }
        _ => None,
    })
}

/// Packets received and transmitted, checked against the bytes.
fn packets(observer: &mut Observer<Informer>, place: &str, name: &str) -> (u64, u64) {
    observer.until("the account", EXACT, |replay| carried(replay, place, name).is_some());
    let counters = carried(observer.replay(), place, name).unwrap();
    let (receive, transmit) = (counters.receive, counters.transmit);
    assert_eq!(receive.bytes, receive.packets * QuietVeth::DATAGRAM, "{counters:?}");
    assert_eq!(transmit.bytes, transmit.packets * QuietVeth::DATAGRAM, "{counters:?}");
    (receive.packets, transmit.packets)
}

/// CNI plugins delete the end inside; nothing was read since the traffic.
fn deletion_inside_loses_no_packet(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let veth = QuietVeth::up("host0", &pod, "eth0", 1);
    let mut observer = subject.synced();
    veth.send_in(50);
    veth.send_out(&pod, 20);
    pod.rtnl().delete("eth0");
    assert_eq!(packets(&mut observer, "pod", "eth0"), (50, 20));
    assert_eq!(packets(&mut observer, "host", "host0"), (20, 50));
}

fn deletion_outside_loses_no_packet(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let veth = QuietVeth::up("host0", &pod, "eth0", 1);
    let mut observer = subject.synced();
    veth.send_in(50);
    veth.send_out(&pod, 20);
    Rtnl::new().delete("host0");
    assert_eq!(packets(&mut observer, "pod", "eth0"), (50, 20));
    assert_eq!(packets(&mut observer, "host", "host0"), (20, 50));
}

/// The namespace dies without a message from inside. The host end's last message has the packets received inside;
/// packets transmitted inside are known from the last reading.
fn deleted_namespace_loses_no_received_packet(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let veth = QuietVeth::up("host0", &pod, "eth0", 1);
    let mut observer = subject.synced();
    veth.send_out(&pod, 20);
    let handle = observer.informer().handle();
    observer.wait("the counters", EXACT, handle.counters(Vec::new())).unwrap();
    veth.send_in(50);
    veth.pair.leave();
    pod.delete();
    assert_eq!(packets(&mut observer, "pod", "eth0"), (50, 20));
    assert_eq!(packets(&mut observer, "host", "host0"), (20, 50));
}

/// A link that moves is counted in each namespace for its packets there, as a NIC borrowed by a pod.
fn moved_link_starts_a_new_account(subject: Subject) {
    let dir = NetnsDir::standard();
    let (blue, green) = (dir.add("blue"), dir.add("green"));
    let veth = QuietVeth::up("host0", &blue, "eth0", 1);
    QuietVeth::quieten(&green);
    let mut observer = subject.synced();
    veth.send_in(50);
    blue.rtnl().set("eth0", LinkChange::Netns(green.path()));
    assert_eq!(packets(&mut observer, "blue", "eth0"), (50, 0));
    observer.until("the arrival", EXACT, |replay| replay.find("green", "eth0").is_some());
    veth.run(&green, "eth0");
    observer.until("the pair", EXACT, |replay| replay.find("green", "eth0").is_some_and(|end| end.peer.is_some()));
    veth.send_in(7);
    let handle = observer.informer().handle();
    let readings = observer.wait("the counters", EXACT, handle.counters(Vec::new())).unwrap();
    let id = observer.replay().find("green", "eth0").unwrap().id;
    let reading = readings.iter().find(|reading| reading.id == id).unwrap();
    assert_eq!((reading.counters.receive.packets, reading.base.receive.packets), (57, 50));
    veth.send_in(3);
    green.rtnl().delete("eth0");
    assert_eq!(packets(&mut observer, "green", "eth0"), (10, 0));
}
