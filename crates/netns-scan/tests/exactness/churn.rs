use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use netns_testbed::{Footprint, NetnsDir, Rtnl, Test, Veth, fewer, tests};
use nix::unistd::gettid;

use crate::pods;
use crate::subject::{EXACT, Subject, add_all, assert_exact};

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    let watchers = tests![Subject::WATCHERS;
        churn_with_20_alive_is_exact,
        churn_with_5_alive_is_exact,
        churn_with_2_alive_is_exact,
        churn_with_1_alive_is_exact,
        namespaces_behind_a_dying_one_are_found,
    ];
    let all = tests![Subject::ALL;
        many_namespaces_at_once_are_exact,
        an_immediate_veth_is_added_once,
        no_change_makes_no_event,
    ];
    let throttled = tests![Subject::THROTTLED;
        churn_with_5_alive_is_exact,
        many_namespaces_at_once_are_exact,
        an_immediate_veth_is_added_once,
    ];
    let again = tests![Subject::ALL.into_iter().chain(Subject::THROTTLED); one_name_again_and_again];
    watchers.map(|test| test.limit(Duration::from_secs(120))).chain(all).chain(throttled).chain(again)
}

fn churn_with_20_alive_is_exact(subject: Subject) {
    churn(subject, 20);
}

fn churn_with_5_alive_is_exact(subject: Subject) {
    churn(subject, 5);
}

fn churn_with_2_alive_is_exact(subject: Subject) {
    churn(subject, 2);
}

fn churn_with_1_alive_is_exact(subject: Subject) {
    churn(subject, 1);
}

/// Makes and deletes 500 namespaces with a veth each as fast as the kernel can, the informer at
/// nice 5 and the churn at nice 0, on its own thread.
fn churn(subject: Subject, alive: usize) {
    let before = Footprint::now();
    let churn = |dir: &NetnsDir| {
        let outside = Rtnl::new();
        pods::churn(alive, |number| {
            let pod = dir.add(&format!("pod{number}"));
            // The veth goes with its namespace.
            outside.add_veth(&format!("host{number}"), "eth0", Some(pod.path()));
            pod
        })
    };
    let dir = NetnsDir::standard();
    let (begin, begun) = std::sync::mpsc::sync_channel::<()>(0);
    thread::scope(|scope| {
        let dir = &dir;
        let churner = scope.spawn(move || begun.recv().map(|()| churn(dir)));
        be_nice();
        // An engine starts its second thread at the first namespace.
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

/// Five hundred namespaces come at once, and go at once.
fn many_namespaces_at_once_are_exact(subject: Subject) {
    let dir = NetnsDir::standard();
    let first = dir.add("first");
    let mut observer = subject.synced();
    let running = Footprint::now();
    let count = fewer(500);
    let pods = add_all(&dir, "pod", count);
    observer.until("all are there", EXACT, |replay| replay.interfaces().count() == count + 2);
    drop(pods);
    observer.until("all are gone", EXACT, |replay| replay.interfaces().count() == 2);
    assert_exact(&mut observer, [&first]);
    running.restored_within(EXACT);
}

/// A veth made right after its namespace is added once, and not deleted meanwhile.
fn an_immediate_veth_is_added_once(subject: Subject) {
    let dir = NetnsDir::standard();
    pods::assert_added_once(&mut subject.synced(), |number| dir.add(&format!("pod{number}")));
}

/// A script restarts a lab: one name, deleted and made again with other links each time.
fn one_name_again_and_again(subject: Subject) {
    let dir = NetnsDir::standard();
    let mut observer = subject.synced();
    for round in 0..6 {
        let last = pods::made_again(&mut observer, round, || dir.add("pod"));
        // The kernel ends the others one after another.
        observer.until("the last alone is left", EXACT, |replay| {
            replay.find("pod", &format!("b{round}-3")).is_some()
                && (replay.at("host").count(), replay.at("pod").count()) == (2, 4)
        });
        assert_exact(&mut observer, &last);
    }
}

/// While nothing changes, no event is emitted.
fn no_change_makes_no_event(subject: Subject) {
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

/// Namespaces made while the kernel destroys a large one are found.
fn namespaces_behind_a_dying_one_are_found(subject: Subject) {
    let dir = NetnsDir::standard();
    let large = dir.add("large");
    let rtnl = large.rtnl();
    let veths = fewer(3_000);
    for n in 0..veths {
        rtnl.add_veth(&format!("a{n}"), &format!("b{n}"), None);
    }
    drop(rtnl);
    let mut observer = subject.synced();
    assert_eq!(observer.replay().at("large").count(), 1 + 2 * veths);
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
