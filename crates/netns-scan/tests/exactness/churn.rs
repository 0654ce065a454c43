use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use iface_core::EventKind;
use netns_testbed::{Footprint, Netns, NetnsDir, Rtnl, Test, Veth, tests};
use nix::unistd::gettid;

use crate::subject::{EXACT, Subject, add_all, assert_exact};

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    let watchers = tests![Subject::WATCHERS;
        five_hundred_namespaces_with_20_alive_leave_no_ghost,
        five_hundred_namespaces_with_5_alive_leave_no_ghost,
        five_hundred_namespaces_with_2_alive_leave_no_ghost,
        five_hundred_namespaces_with_1_alive_leave_no_ghost,
        a_namespace_that_waits_for_the_end_of_a_large_one_is_found,
    ];
    let all = tests![Subject::ALL;
        five_hundred_namespaces_at_once_come_and_go,
        a_veth_made_right_after_its_namespace_is_added_once,
        nothing_is_said_while_nothing_happens,
    ];
    let throttled = tests![Subject::THROTTLED;
        five_hundred_namespaces_with_5_alive_leave_no_ghost,
        five_hundred_namespaces_at_once_come_and_go,
        a_veth_made_right_after_its_namespace_is_added_once,
    ];
    let again = tests![Subject::ALL.into_iter().chain(Subject::THROTTLED); one_name_again_and_again];
    watchers.map(|test| test.limit(Duration::from_secs(120))).chain(all).chain(throttled).chain(again)
}

fn five_hundred_namespaces_with_20_alive_leave_no_ghost(subject: Subject) {
    churn(subject, 20);
}

fn five_hundred_namespaces_with_5_alive_leave_no_ghost(subject: Subject) {
    churn(subject, 5);
}

fn five_hundred_namespaces_with_2_alive_leave_no_ghost(subject: Subject) {
    churn(subject, 2);
}

fn five_hundred_namespaces_with_1_alive_leave_no_ghost(subject: Subject) {
    churn(subject, 1);
}

/// Makes and deletes 500 namespaces with a veth each as fast as the kernel can, the informer at
/// nice 5 and the churn at nice 0, on its own thread.
fn churn(subject: Subject, alive: usize) {
    let before = Footprint::now();
    let churn = |dir: &NetnsDir| {
        let outside = Rtnl::new();
        let mut window: VecDeque<Netns> = VecDeque::new();
        for n in 0..500 {
            let pod = dir.add(&format!("pod{n}"));
            // It goes with its namespace: nobody deletes it.
            outside.add_veth(&format!("host{n}"), "eth0", Some(pod.path()));
            window.push_back(pod);
            if window.len() > alive {
                drop(window.pop_front());
            }
        }
        window
    };
    let dir = NetnsDir::standard();
    let (begin, begun) = std::sync::mpsc::sync_channel::<()>(0);
    thread::scope(|scope| {
        let dir = &dir;
        let churner = scope.spawn(move || begun.recv().map(|()| churn(dir)));
        be_nice();
        // The first namespace starts what an engine starts only when there is one.
        let first = dir.add("first");
        let mut observer = subject.synced();
        let running = Footprint::now();
        begin.send(()).unwrap();
        while !churner.is_finished() {
            observer.read_for(Duration::from_millis(10));
        }
        let window = churner.join().unwrap().unwrap();
        assert_exact(&mut observer, window.iter().chain([&first]));
        the_host_is_still_heard(&mut observer);
        drop(window);
        let gone = |replay: &netns_testbed::Replay| replay.interfaces().count() == 2;
        // The kernel takes the last namespaces down one after another.
        observer.until("only the first is left", Duration::from_secs(10), gone);
        assert_exact(&mut observer, [&first]);
        // The thread that made the churn is over.
        Footprint { threads: running.threads - 1, ..running }.restored_within(EXACT);
        drop(observer);
    });
    before.restored_within(EXACT);
}

/// A thread inherits the niceness of the one that starts it (`sched(7)`).
fn be_nice() {
    let renice = Command::new("renice").args(["-n", "5", "-p", &gettid().to_string()]).output();
    assert!(renice.unwrap().status.success(), "renice comes with util-linux");
}

fn the_host_is_still_heard(observer: &mut netns_testbed::Observer<crate::subject::Informer>) {
    Rtnl::new().add_veth("still", "here", None);
    observer.until("the host's own links are heard", EXACT, |replay| replay.find("host", "here").is_some());
    Rtnl::new().delete("still");
    observer.until("and their end", EXACT, |replay| replay.find("host", "here").is_none());
}

fn five_hundred_namespaces_at_once_come_and_go(subject: Subject) {
    let dir = NetnsDir::standard();
    let first = dir.add("first");
    let mut observer = subject.synced();
    let running = Footprint::now();
    let pods = add_all(&dir, "pod", 500);
    observer.until("all are there", EXACT, |replay| replay.interfaces().count() == 502);
    drop(pods);
    observer.until("all are gone", EXACT, |replay| replay.interfaces().count() == 2);
    assert_exact(&mut observer, [&first]);
    running.restored_within(EXACT);
}

fn a_veth_made_right_after_its_namespace_is_added_once(subject: Subject) {
    let dir = NetnsDir::standard();
    let mut observer = subject.synced();
    let made: Vec<_> = (0..150)
        .map(|n| {
            let pod = dir.add(&format!("pod{n}"));
            (Veth::up(&format!("host{n}"), &pod, "eth0"), pod)
        })
        .collect();
    observer.until("all are there", EXACT, |replay| replay.interfaces().count() == 451);
    assert_exact(&mut observer, made.iter().map(|(_, pod)| pod));
    for (veth, pod) in &made {
        for (place, name) in [("host", veth.host()), (pod.name(), "eth0"), (pod.name(), "lo")] {
            let story = observer.replay().story(place, name);
            let count = |kind| story.iter().filter(|one| **one == kind).count();
            assert_eq!((count(EventKind::Added), count(EventKind::Deleted)), (1, 0), "{place}/{name}: {story:?}");
        }
    }
    made.into_iter().for_each(|(veth, _)| veth.leave());
}

/// A script restarts a lab: one name, deleted and made again with other links each time. Inode and
/// nsid of the namespace are often the ones of its predecessor.
fn one_name_again_and_again(subject: Subject) {
    let dir = NetnsDir::standard();
    let mut observer = subject.synced();
    for round in 0..6 {
        let mut last = None;
        for cycle in 0..4 {
            drop(last.take());
            observer.read_for(Duration::from_millis(30));
            let pod = dir.add("pod");
            let rtnl = pod.rtnl();
            rtnl.add_link("bridge", &format!("a{round}-{cycle}"));
            Rtnl::new().add_veth(&format!("host{round}-{cycle}"), "eth0", Some(pod.path()));
            rtnl.add_link("bridge", &format!("b{round}-{cycle}"));
            last = Some(pod);
        }
        // The kernel ends the others one after another.
        observer.until("the last alone is left", EXACT, |replay| {
            replay.find("pod", &format!("b{round}-3")).is_some()
                && (replay.at("host").count(), replay.at("pod").count()) == (2, 4)
        });
        assert_exact(&mut observer, &last);
    }
}

fn nothing_is_said_while_nothing_happens(subject: Subject) {
    let dir = NetnsDir::standard();
    let pods = add_all(&dir, "pod", 30);
    let veths: Vec<_> = pods.iter().map(|pod| Veth::up(&format!("h-{}", pod.name()), pod, "eth0")).collect();
    let mut observer = subject.synced();
    assert_exact(&mut observer, &pods);
    // The last thing that happens by itself: IPv6 finds each link's own address to be unique.
    observer.until("every veth has an address", Duration::from_secs(20), |replay| {
        replay.interfaces().filter(|interface| interface.peer.is_some()).all(|veth| !veth.addresses.is_empty())
    });
    let said = observer.replay().history().len();
    observer.never("an event out of nothing", Duration::from_secs(1), |replay| replay.history().len() > said);
    let late = dir.add("late");
    observer.until("a late one is found", EXACT, |replay| replay.find("late", "lo").is_some());
    assert_exact(&mut observer, pods.iter().chain([&late]));
    veths.into_iter().for_each(Veth::leave);
}

fn a_namespace_that_waits_for_the_end_of_a_large_one_is_found(subject: Subject) {
    let dir = NetnsDir::standard();
    let large = dir.add("large");
    let rtnl = large.rtnl();
    for n in 0..3_000 {
        rtnl.add_veth(&format!("a{n}"), &format!("b{n}"), None);
    }
    drop(rtnl);
    let mut observer = subject.synced();
    assert_eq!(observer.replay().at("large").count(), 6_001);
    large.delete();
    let start = Instant::now();
    let pods: Vec<_> = (0..20)
        .map(|n| {
            let pod = dir.add(&format!("pod{n}"));
            pod.rtnl().add_veth("eth0", "other", None);
            pod
        })
        .collect();
    let waited = start.elapsed();
    observer.until("all are there", EXACT, |replay| replay.interfaces().count() == 1 + 20 * 3);
    assert_exact(&mut observer, &pods);
    assert!(Path::new("/run/netns/pod19").exists(), "made in {waited:?}");
}
