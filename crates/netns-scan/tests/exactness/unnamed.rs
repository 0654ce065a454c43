//! Namespaces without a name, found by their nsid.

use std::thread;
use std::time::Duration;

use iface_core::EventKind;
use netns_scan::EngineChoice::{Nsid, Setns};
use netns_scan::FaultKind;
use netns_testbed::{Footprint, Netns, NetnsDir, Replay, Rtnl, Test, Veth, tests};

use crate::pods;
use crate::subject::{EXACT, Subject, assert_exact, stands, told};

const WATCHER: [Subject; 1] = [Subject::Watcher(Nsid)];
const ALL: [Subject; 2] = [Subject::Watcher(Nsid), Subject::Poller(Nsid)];

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    let watcher = tests![WATCHER;
        unnamed_churn_with_20_alive_is_exact,
        unnamed_churn_with_5_alive_is_exact,
        unnamed_churn_with_1_alive_is_exact,
        a_new_link_is_added_once,
        overrun_hides_no_namespace,
    ];
    let all = tests![ALL;
        a_thousand_unnamed_are_found,
        namespaces_behind_namespaces_are_found,
        a_name_renames_what_is_followed,
        an_outlived_name_leaves_the_namespace,
        nothing_unnamed_is_kept_alive,
        names_alone_are_followed_on_request,
    ];
    let setns = tests![[Subject::Watcher(Setns), Subject::Poller(Setns)]; names_only_is_one_fault];
    let throttled = tests![[Subject::Throttled(Nsid)]; unnamed_churn_with_5_alive_is_exact];
    let again = tests![[Subject::Watcher(Nsid), Subject::Poller(Nsid), Subject::Throttled(Nsid)];
        one_nsid_again_and_again,
    ];
    watcher.map(|test| test.limit(Duration::from_secs(120))).chain(all).chain(throttled).chain(again).chain(setns)
}

/// A namespace without a name and its veth, whose host end has the number in its name.
fn pod(number: usize) -> Netns {
    let pod = Netns::unnamed();
    Rtnl::new().add_veth(&format!("host{number}"), "eth0", Some(pod.path()));
    pod
}

fn a_thousand_unnamed_are_found(subject: Subject) {
    let before: Vec<Netns> = (0..500).map(pod).collect();
    let mut observer = subject.synced();
    let found = observer.replay().interfaces().count();
    assert_eq!(found, 1 + 500 * 3, "all that existed come before Synced");
    let after: Vec<Netns> = (500..1000).map(pod).collect();
    observer.until("all are found", EXACT, |replay| replay.interfaces().count() == 1 + 1000 * 3);
    assert_exact(&mut observer, before.iter().chain(&after));
    drop((before, after));
    observer.until("all are gone", Duration::from_secs(20), |replay| replay.interfaces().count() == 1);
}

fn unnamed_churn_with_20_alive_is_exact(subject: Subject) {
    churn(subject, 20);
}

fn unnamed_churn_with_5_alive_is_exact(subject: Subject) {
    churn(subject, 5);
}

fn unnamed_churn_with_1_alive_is_exact(subject: Subject) {
    churn(subject, 1);
}

/// Makes and deletes 500 namespaces with a veth each as fast as the kernel can.
fn churn(subject: Subject, alive: usize) {
    let first = pod(1000);
    let mut observer = subject.synced();
    let running = Footprint::now();
    let window = thread::scope(|scope| {
        let churner = scope.spawn(|| pods::churn(alive, pod));
        while !churner.is_finished() {
            observer.read_for(Duration::from_millis(10));
        }
        churner.join().unwrap()
    });
    assert_exact(&mut observer, window.iter().chain([&first]));
    drop(window);
    let gone = |replay: &Replay| replay.interfaces().count() == 4;
    observer.until("only the first is left", Duration::from_secs(10), gone);
    assert_exact(&mut observer, [&first]);
    running.restored_within(EXACT);
}

fn one_nsid_again_and_again(subject: Subject) {
    let mut observer = subject.synced();
    for round in 0..6 {
        let last = pods::made_again(&mut observer, round, Netns::unnamed);
        observer.until("the others are gone", Duration::from_secs(10), |replay| replay.interfaces().count() == 6);
        assert_exact(&mut observer, &last);
        drop(last);
        observer.until("all are gone", Duration::from_secs(10), |replay| replay.interfaces().count() == 1);
    }
}

/// Each link of an unnamed namespace is added once, and not deleted meanwhile.
fn a_new_link_is_added_once(subject: Subject) {
    pods::assert_added_once(&mut subject.synced(), |_| Netns::unnamed());
}

/// A router namespace behind a namespace behind the host's, with no link to the host's.
fn namespaces_behind_namespaces_are_found(subject: Subject) {
    let far = Netns::unnamed();
    let near = Netns::unnamed();
    near.rtnl().add_veth("down0", "up0", Some(far.path()));
    let mut observer = subject.synced();
    assert_eq!(observer.replay().interfaces().count(), 1, "nothing leads there");
    Rtnl::new().add_veth("host0", "eth0", Some(near.path()));
    observer.until("both are found", EXACT, |replay| replay.interfaces().count() == 6);
    let later = Netns::unnamed();
    far.rtnl().add_veth("down1", "up1", Some(later.path()));
    observer.until("a later one, too", EXACT, |replay| replay.interfaces().count() == 9);
    assert_exact(&mut observer, [&near, &far, &later]);
    let up = observer.replay().find(&later.place(), "up1").map(|up| up.peer.clone());
    let peer = up.flatten().map(|peer| peer.netns.place.to_string());
    assert_eq!(peer, Some(far.place()));
}

/// A name is found after its namespace: the interfaces are renamed, and never there twice.
fn a_name_renames_what_is_followed(subject: Subject) {
    let dir = NetnsDir::standard();
    let pod = pod(0);
    let mut observer = subject.synced();
    let place = pod.place();
    let identity = observer.replay().find(&place, "eth0").unwrap().netns.id;
    let pod = pod.named(&dir, "blue");
    observer.until("the name is told", EXACT, |replay| replay.find("blue", "eth0").is_some());
    assert_exact(&mut observer, [&pod]);
    let eth0 = observer.replay().find("blue", "eth0").unwrap();
    assert_eq!((eth0.netns.id, eth0.netns.inode()), (identity, Some(pod.identity().1)));
    assert_eq!(observer.replay().story(&place, "eth0"), [EventKind::Added, EventKind::Deleted]);
    let peer = |replay: &Replay| Some(replay.find("host", "host0")?.peer.as_ref()?.netns.place.to_string());
    observer.until("the peer has the name, too", EXACT, |replay| peer(replay).as_deref() == Some("blue"));
    drop(pod);
    observer.until("all is gone", EXACT, |replay| replay.interfaces().count() == 1);
}

/// A namespace loses its name, and a process inside keeps it alive.
fn an_outlived_name_leaves_the_namespace(subject: Subject) {
    let dir = NetnsDir::standard();
    let pod = dir.add("blue");
    let _veth = Veth::up("host0", &pod, "eth0");
    let mut observer = subject.synced();
    let pod = pod.nameless();
    observer.until("the name is gone", EXACT, |replay| replay.at("blue").count() == 0);
    let place = pod.place();
    observer.until("the namespace is not", EXACT * 2, |replay| replay.at(&place).count() == 2);
    assert_exact(&mut observer, [&pod]);
    let again = pod.named(&dir, "green");
    observer.until("it has a name again", EXACT, |replay| replay.at("green").count() == 2);
    assert_exact(&mut observer, [&again]);
}

/// The namespace dies with its last process: its veth is gone at once.
fn nothing_unnamed_is_kept_alive(subject: Subject) {
    let mut observer = subject.synced();
    for number in 0..20 {
        let pod = pod(number);
        observer.until("the pod is found", EXACT, |replay| replay.interfaces().count() == 4);
        let links = Rtnl::listening_to_links();
        let host = Rtnl::new().index_of(&format!("host{number}")).unwrap();
        drop(pod);
        links.until_deleted(host, Duration::from_millis(500));
        observer.until("and its end", EXACT, |replay| replay.interfaces().count() == 1);
    }
}

/// Assigned and released nsids can be lost in an overrun.
fn overrun_hides_no_namespace(subject: Subject) {
    let dead: Vec<Netns> = (0..20).map(pod).collect();
    let mut observer = subject.start_with(vec!["/run/netns".into()], |settings| settings.receive_buffer = 1 << 12);
    observer.synced();
    let rtnl = Rtnl::new();
    rtnl.add_veth("noise", "more", None);
    let flood = || {
        let rtnl = Rtnl::new();
        (0..20).for_each(|_| rtnl.flood("noise", 1_000));
    };
    let alive = thread::scope(|scope| {
        let noise = scope.spawn(flood);
        drop(dead);
        let alive: Vec<Netns> = (100..140).map(pod).collect();
        noise.join().unwrap();
        alive
    });
    assert_exact(&mut observer, &alive);
    assert!(observer.informer().handle().tallies().overruns > 0, "no overrun");
}

/// Without the search, only names count.
fn names_alone_are_followed_on_request(subject: Subject) {
    let dir = NetnsDir::standard();
    let _unnamed = pod(0);
    let mut observer = subject.start_with(vec!["/run/netns".into()], |settings| settings.find_unnamed = false);
    observer.synced();
    let _later = pod(1);
    let named = dir.add("blue");
    observer.until("the name is found", EXACT, |replay| replay.at("blue").count() == 1);
    assert_eq!(told(observer.replay()).keys().filter(|(place, ..)| place.starts_with("nsid:")).count(), 0);
    assert_exact(&mut observer, [&named]);
}

/// With the setns engine, namespaces without a name are one fault, as long as there are any.
fn names_only_is_one_fault(subject: Subject) {
    let dir = NetnsDir::standard();
    let named = dir.add("blue");
    let _veth = Veth::up("host0", &named, "eth0");
    let mut unnamed: Vec<Netns> = (1..4).map(pod).collect();
    let observer = subject.synced();
    let faults = observer.informer().handle().status().faults;
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    assert!(fault.kind == FaultKind::Unnamed && fault.error.contains("peers of 3 of"), "{fault:?}");
    assert!(["the nsid engine", "--proc"].iter().all(|cure| fault.error.contains(cure)), "{fault:?}");
    unnamed.push(pod(4));
    stands(&observer, "four peers in one fault", |status| {
        status.faults.iter().any(|one| one.error.contains("of 4 of"))
    });
    drop(unnamed);
    stands(&observer, "without a fault", |status| status.faults.is_empty());
}
