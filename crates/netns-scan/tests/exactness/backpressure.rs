use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::time::Duration;

use iface_core::{Event, EventKind};
use ipnet::IpNet;
use netns_testbed::{LinkChange, NetnsDir, Replay, Rtnl, Test, Tun, Veth, figure, resident_bytes, tests};

use crate::subject::{EXACT, Subject, add_all, assert_exact, follows, knows};

/// Addresses of a link that stay while others come and go.
const STABLE: u32 = 4_000;

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    let watchers = tests![Subject::WATCHERS;
        a_stalled_consumer_takes_no_memory,
        what_an_overrun_lost_is_found_again,
    ];
    let all = tests![Subject::ALL;
        three_thousand_links_outlast_a_stall,
        unread_lives_are_never_emitted,
        one_restless_namespace_delays_no_other,
    ];
    watchers.chain(all).map(|test| test.limit(Duration::from_secs(180)))
}

fn three_thousand_links_outlast_a_stall(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let rtnl = pod.rtnl();
    let mut observer = subject.synced();
    for n in 0..3_000 {
        rtnl.add_veth(&format!("a{n}"), &format!("b{n}"), None);
    }
    for n in 0..3_000 {
        rtnl.set(&format!("a{n}"), LinkChange::Mtu(1_400));
    }
    for n in 0..20 {
        rtnl.delete(&format!("a{n}"));
    }
    // The stall ends here.
    observer.until("the rest is told", EXACT, |replay| replay.at("pod").count() == 5_961);
    assert_exact(&mut observer, [&pod]);
    let _new = Veth::new("host0", &pod, "eth0");
    observer.until("something new is told", EXACT, |replay| replay.find("pod", "eth0").is_some());
}

/// The kernel marks each dump of a namespace as interrupted while its addresses change.
fn one_restless_namespace_delays_no_other(subject: Subject) {
    let dir = NetnsDir::standard();
    let (restless, calm) = (dir.add("restless"), dir.add("calm"));
    let _links = (Tun::new(Some(&restless), "tun0"), Tun::new(Some(&calm), "tun1"));
    let stable = |n: u32| IpNet::new(Ipv4Addr::from_bits(0x0a01_0000 + n).into(), 32).unwrap();
    let rtnl = restless.rtnl();
    (1..=STABLE).for_each(|n| rtnl.add_address("tun0", stable(n)));
    let churn = restless.rtnl();
    let (rest, rested) = mpsc::channel::<()>();
    let restless_thread = std::thread::spawn(move || {
        let passing: IpNet = "10.99.0.1/32".parse().unwrap();
        while rested.try_recv() == Err(mpsc::TryRecvError::Empty) {
            churn.add_address("tun0", passing);
            churn.remove_address("tun0", passing);
        }
    });
    let mut observer = subject.start();
    observer.synced();
    calm.rtnl().set("tun1", LinkChange::Mtu(1_300));
    let mtu = |replay: &Replay| replay.find("calm", "tun1").is_some_and(|tun| tun.mtu == 1_300);
    observer.until("the calm namespace's MTU", EXACT, mtu);
    observer.until("the addresses that stay", EXACT, |replay| {
        let addresses = replay.find("restless", "tun0").map(|tun| tun.addresses.clone()).unwrap_or_default();
        (1..=STABLE).all(|n| addresses.contains(&stable(n)))
    });
    drop(rest);
    restless_thread.join().unwrap();
    assert_exact(&mut observer, [&restless, &calm]);
}

fn a_stalled_consumer_takes_no_memory(subject: Subject) {
    let pod = NetnsDir::standard().add("pod");
    let _veth = Veth::up("host0", &pod, "eth0");
    let mut observer = subject.synced();
    let (inside, outside) = (pod.rtnl(), Rtnl::new());
    inside.flood("eth0", 10_000);
    let before = resident_bytes();
    for _ in 0..10 {
        inside.flood("eth0", 50_000);
        outside.flood("host0", 50_000);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 10 << 20, "{grown} bytes more are resident");
    let merged = observer.informer().handle().tallies().merged;
    assert!(merged > 0, "nothing was merged");
    assert!(observer.informer().handle().tallies().unread < 20);
    outside.set("host0", LinkChange::Mtu(1_234));
    drop(inside);
    assert_exact(&mut observer, [&pod]);
    figure(format_args!("{grown} bytes grown, {merged} events merged"));
}

fn what_an_overrun_lost_is_found_again(subject: Subject) {
    let dir = NetnsDir::standard();
    let pods = add_all(&dir, "pod", 5);
    let mut observer = subject.start_with(vec![dir.path().into()], |settings| settings.receive_buffer = 1);
    observer.synced();
    let rtnls: Vec<_> = pods.iter().map(netns_testbed::Netns::rtnl).collect();
    for round in 0..20 {
        for (n, rtnl) in rtnls.iter().enumerate() {
            rtnl.add_veth("old", "older", None);
            rtnl.flood("old", 200);
            rtnl.set("old", LinkChange::Mtu(1_300 + round));
            rtnl.set("older", LinkChange::Name(&format!("new{round}")));
            rtnl.add_address("old", format!("10.{n}.{round}.1/24").parse().unwrap());
            if round < 19 {
                rtnl.delete("old");
            }
        }
    }
    assert_exact(&mut observer, &pods);
    let tallies = observer.informer().handle().tallies();
    assert!(tallies.overruns > 0 && tallies.resyncs > 0, "no overrun was made: {tallies:?}");
    figure(format_args!("{tallies:?}"));
    drop(rtnls);
    drop(pods);
    observer.until("all are gone", EXACT, |replay| replay.interfaces().count() == 1);
}

fn unread_lives_are_never_emitted(subject: Subject) {
    let dir = NetnsDir::standard();
    let keep = dir.add("keep");
    let mut observer = subject.synced();
    for n in 0..200 {
        let pod = dir.add(&format!("pod{n}"));
        Rtnl::new().add_veth(&format!("host{n}"), "eth0", Some(pod.path()));
        follows(&observer, 3);
        pod.delete();
    }
    follows(&observer, 2);
    // The kernel takes a namespace down behind its name's back, and the host's end of the veth with it.
    knows(&observer, 2);
    let _last = Veth::new("host0", &keep, "last");
    observer.until("the last is told", EXACT, |replay| replay.find("keep", "last").is_some());
    assert_exact(&mut observer, [&keep]);
    // A link that carried something, such as the kernel's own IPv6 messages, is told for its account.
    let history = observer.replay().history();
    let has_account = |event: &&Event| matches!(event, Event::Deleted(_, Some(last)) if last.has_traffic());
    let accounts = history.iter().filter(has_account).count();
    let added = history.iter().filter(|event| event.kind() == EventKind::Added).count();
    assert!(added <= 6 + accounts, "{added} events about links that nobody could see, {accounts} accounts");
    assert!(observer.informer().handle().tallies().merged + accounts as u64 >= 200);
}
