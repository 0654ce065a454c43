use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use iface_core::EventKind;
use netns_testbed::{LinkChange, NetnsDir, Rtnl, Test, Veth, tests};
use nix::mount::{MntFlags, umount2};

use crate::subject::{EXACT, Subject, assert_exact};

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    let subjects = Subject::ALL.into_iter().chain(Subject::THROTTLED);
    tests![subjects;
        equal_index_and_mac_stay_apart,
        two_names_for_one_namespace_are_one,
        a_name_of_the_host_adds_nothing,
        an_unlinked_namespace_is_let_go,
        a_moved_link_is_followed_and_back,
        a_reused_ifindex_is_another_interface,
        a_reused_name_is_another_namespace,
        other_user_namespaces_are_reached,
        a_remounted_name_is_another_namespace,
        equal_names_stay_apart,
    ]
}

/// Two interfaces with one ifindex and MAC address, in two namespaces, are two interfaces.
fn equal_index_and_mac_stay_apart(subject: Subject) {
    let dir = NetnsDir::standard();
    let (blue, green) = (dir.add("blue"), dir.add("green"));
    for netns in [&blue, &green] {
        let rtnl = netns.rtnl();
        rtnl.add_veth("eth0", "other", None);
        rtnl.set("eth0", LinkChange::Mac([2, 0, 0, 0, 0, 1]));
    }
    let mut observer = subject.synced();
    let keys = |replay: &netns_testbed::Replay, place| {
        replay.find(place, "eth0").map(|interface| (interface.ifindex, interface.mac))
    };
    assert_eq!(keys(observer.replay(), "blue"), keys(observer.replay(), "green"));
    blue.delete();
    observer.until("blue is gone", EXACT, |replay| replay.at("blue").count() == 0);
    assert!(keys(observer.replay(), "green").is_some());
    assert_exact(&mut observer, [&green]);
    assert_eq!(observer.replay().story("green", "eth0"), [EventKind::Added]);
}

fn two_names_for_one_namespace_are_one(subject: Subject) {
    let dir = NetnsDir::standard();
    let first = dir.add("first");
    first.rtnl().add_veth("eth0", "other", None);
    let mut observer = subject.synced();
    let second = dir.alias("second", first.path());
    observer
        .never("the second name adds nothing", Duration::from_millis(300), |replay| replay.interfaces().count() != 4);
    let identity = first.identity();
    first.delete();
    observer.until("it goes by its other name", EXACT, |replay| {
        replay.at("second").count() == 3 && replay.at("first").count() == 0
    });
    assert!(observer.replay().at("second").all(|interface| interface.netns.inode() == Some(identity.1)));
    drop(second);
    observer.until("it has no name", EXACT, |replay| replay.interfaces().count() == 1);
    assert_exact(&mut observer, []);
}

/// A name of the host's own namespace adds no interface, and removes none at its end.
fn a_name_of_the_host_adds_nothing(subject: Subject) {
    let dir = NetnsDir::standard();
    let before = dir.alias("host-before", "/proc/self/ns/net".as_ref());
    Rtnl::new().add_veth("a", "b", None);
    let mut observer = subject.synced();
    let later = dir.alias("host-later", "/proc/self/ns/net".as_ref());
    observer.never("nothing is there twice", Duration::from_millis(300), |replay| replay.interfaces().count() != 3);
    assert_eq!(observer.replay().at("host").count(), 3);
    drop((before, later));
    observer
        .never("nothing goes with the names", Duration::from_millis(300), |replay| replay.interfaces().count() != 3);
    Rtnl::new().delete("a");
    assert_exact(&mut observer, []);
}

/// A namespace that lives on without a name is closed, and is another namespace under its next name.
fn an_unlinked_namespace_is_let_go(subject: Subject) {
    let dir = NetnsDir::standard();
    let pod = dir.add("pod");
    let veth = Veth::up("host0", &pod, "eth0");
    let mut observer = subject.synced();
    let (process, identity) = (pod.hold(), pod.identity());
    pod.delete();
    observer.until("what has no name is gone", EXACT, |replay| replay.at("pod").count() == 0);
    assert!(observer.replay().find("host", veth.host()).is_some(), "it lives, and so does the host's end");
    let path = PathBuf::from(format!("/proc/self/fd/{}", process.as_raw_fd()));
    let back = dir.alias("back", &path);
    observer.until("it has a name again", EXACT, |replay| replay.at("back").count() == 2);
    assert!(observer.replay().at("back").all(|interface| interface.netns.inode() == Some(identity.1)));
    assert_eq!(observer.replay().story("pod", "eth0").last(), Some(&EventKind::Deleted));
    drop((back, process));
    observer.until("both ends are gone", EXACT, |replay| replay.interfaces().count() == 1);
    assert_exact(&mut observer, []);
}

/// A link moved to another namespace, and back, is followed.
fn a_moved_link_is_followed_and_back(subject: Subject) {
    let dir = NetnsDir::standard();
    let (blue, green) = (dir.add("blue"), dir.add("green"));
    let _veth = Veth::new("host0", &blue, "eth0");
    let mut observer = subject.synced();
    for _ in 0..3 {
        blue.rtnl().set("eth0", LinkChange::Netns(green.path()));
        observer.until("it is in green", EXACT, |replay| {
            replay.find("green", "eth0").is_some() && replay.find("blue", "eth0").is_none()
        });
        green.rtnl().set("eth0", LinkChange::Netns(blue.path()));
        observer.until("it is in blue", EXACT, |replay| {
            replay.find("blue", "eth0").is_some() && replay.find("green", "eth0").is_none()
        });
    }
    assert_exact(&mut observer, [&blue, &green]);
    let moves = observer.replay().story("green", "eth0");
    let count = |kind| moves.iter().filter(|one| **one == kind).count();
    assert_eq!((count(EventKind::Added), count(EventKind::Deleted)), (3, 3));
}

/// An ifindex that is used again at once belongs to another interface.
fn a_reused_ifindex_is_another_interface(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let rtnl = pod.rtnl();
    rtnl.add_link_with_index("bridge", "br0", 77);
    let mut observer = subject.synced();
    let first = observer.replay().find("pod", "br0").unwrap().id;
    for round in 1..=5 {
        rtnl.delete(&format!("br{}", round - 1));
        rtnl.add_link_with_index("bridge", &format!("br{round}"), 77);
    }
    observer.until("the last is there", EXACT, |replay| replay.find("pod", "br5").is_some());
    assert_exact(&mut observer, [&pod]);
    let last = observer.replay().find("pod", "br5").unwrap();
    assert_eq!(last.ifindex, 77);
    assert_ne!(last.id, first);
    assert_eq!(observer.replay().story("pod", "br0").last(), Some(&EventKind::Deleted));
}

/// A name that is used ten times is ten namespaces.
fn a_reused_name_is_another_namespace(subject: Subject) {
    let dir = NetnsDir::standard();
    let mut observer = subject.synced();
    let mut pod = dir.add("pod");
    for _ in 0..9 {
        pod.rtnl().add_veth("eth0", "other", None);
        pod.delete();
        pod = dir.add("pod");
    }
    pod.rtnl().add_veth("last", "other", None);
    observer.until("the last is there", EXACT, |replay| replay.find("pod", "last").is_some());
    assert_exact(&mut observer, [&pod]);
    // Now with time to see each of them.
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..10 {
        pod.delete();
        observer.until("it is gone", EXACT, |replay| replay.at("pod").count() == 0);
        pod = dir.add("pod");
        observer.until("its successor is there", EXACT, |replay| replay.at("pod").count() == 1);
        met.extend(observer.replay().at("pod").map(|interface| interface.netns.id));
    }
    assert_eq!(met.len(), 10, "each is another: {met:?}");
    assert_exact(&mut observer, [&pod]);
}

/// A namespace that another user namespace owns is reached.
fn other_user_namespaces_are_reached(subject: Subject) {
    let dir = NetnsDir::standard();
    let mut observer = subject.synced();
    let mut child = Command::new("unshare")
        .args(["--user", "--net", "--map-root-user", "sh", "-c", "ip link add name br0 type bridge; echo; read end"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let pod = dir.alias("pod", &PathBuf::from(format!("/proc/{}/ns/net", child.id())));
    observer.until("its bridge is seen", EXACT, |replay| replay.find("pod", "br0").is_some());
    drop(child.stdin.take());
    child.wait().unwrap();
    drop(pod);
    observer.until("it is gone", EXACT, |replay| replay.at("pod").count() == 0);
}

/// A namespace mounted over the file of its predecessor is another namespace: the file is never
/// unlinked, and inode and nsid are often equal.
fn a_remounted_name_is_another_namespace(subject: Subject) {
    let dir = NetnsDir::standard();
    let mut pod = dir.add("pod");
    let mut observer = subject.synced();
    for round in 0..5 {
        let bridge = format!("br{round}");
        pod.rtnl().add_link("bridge", &bridge);
        observer.until("the bridge is there", EXACT, |replay| replay.find("pod", &bridge).is_some());
        umount2(pod.path(), MntFlags::MNT_DETACH).unwrap();
        pod = pod.mount_again();
        // No name tells of a change of mounts: the next sweep finds the difference.
        observer.until("the bridge is gone", 5 * EXACT, |replay| {
            replay.find("pod", &bridge).is_none() && replay.find("pod", "lo").is_some()
        });
        assert_exact(&mut observer, [&pod]);
    }
}

/// Two directories with one name, and a namespace called `host`, have different printed names.
fn equal_names_stay_apart(subject: Subject) {
    let (one, two) = (NetnsDir::standard(), NetnsDir::at("/run/other"));
    let _second = two.add("blue");
    let mut observer = subject.start_with(vec![one.path().into(), two.path().into()], |_| {});
    observer.synced();
    assert_eq!(observer.replay().at("blue").count(), 1);
    let (first, _host) = (one.add("blue"), one.add("host"));
    first.rtnl().add_link("bridge", "br0");
    observer.until("each has a name of its own", EXACT, |replay| {
        let count = |place| replay.at(place).count();
        (count("blue"), count("/run/other/blue"), count("/run/netns/host"), count("host")) == (2, 1, 1, 1)
    });
    first.delete();
    observer.until("the path is needed no longer", EXACT, |replay| {
        replay.at("blue").count() == 1 && replay.at("/run/other/blue").count() == 0
    });
}
