//! Tests of the testbed itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use netns_testbed::{Bridge, Footprint, LinkChange, NetnsDir, Rtnl, Suite, Tun, Veth, links_inside, tests};

fn main() -> ExitCode {
    Suite::new()
        .tests(tests![
            a_test_sees_nothing_of_the_machine,
            namespaces_are_made_like_ip_netns,
            a_name_can_wait_for_its_namespace,
            a_deleted_namespace_takes_its_veth,
            links_change_as_asked,
            a_tun_has_no_link_layer_address,
            a_thousand_namespaces_take_seconds_not_minutes,
            nothing_is_left_behind,
        ])
        .main()
}

fn a_test_sees_nothing_of_the_machine() {
    let links = links_inside(None);
    assert_eq!(links.values().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["lo"]);
    assert_eq!(fs::read_dir("/run").unwrap().count(), 0);
}

fn namespaces_are_made_like_ip_netns() {
    let dir = NetnsDir::standard();
    let blue = dir.add("blue");
    let listed = std::process::Command::new("ip").args(["netns", "list"]).output().unwrap();
    assert_eq!(String::from_utf8(listed.stdout).unwrap().trim(), "blue");
    assert_ne!(blue.identity(), dir.add("green").identity());
    blue.delete();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

fn a_name_can_wait_for_its_namespace() {
    let dir = NetnsDir::at("/run/other");
    let reserved = dir.reserve("late");
    let plain = fs::metadata(dir.path().join("late")).unwrap();
    assert!(plain.is_file() && plain.len() == 0);
    let late = reserved.mount_new();
    assert_eq!(links_inside(Some(&late)).len(), 1);
}

fn a_deleted_namespace_takes_its_veth() {
    let pod = NetnsDir::standard().add("pod");
    let veth = Veth::up("host0", &pod, "eth0");
    let host = Rtnl::new();
    assert!(host.index_of(veth.host()).is_some());
    pod.delete();
    let start = Instant::now();
    while host.index_of("host0").is_some() {
        assert!(start.elapsed() < Duration::from_secs(5), "something keeps the namespace alive");
        std::thread::yield_now();
    }
}

fn links_change_as_asked() {
    let pod = NetnsDir::standard().add("pod");
    let rtnl = pod.rtnl();
    let _bridge = Bridge::new(Some(&pod), "br0");
    rtnl.add_veth("a", "b", None);
    rtnl.set("a", LinkChange::Mtu(1_280));
    rtnl.set("a", LinkChange::Mac([2, 0, 0, 0, 0, 7]));
    rtnl.set("a", LinkChange::Master(rtnl.index_of("br0").unwrap()));
    rtnl.up(&["a", "b", "br0"]);
    rtnl.set("b", LinkChange::Name("c"));
    rtnl.add_address("c", "10.1.2.3/24".parse().unwrap());
    rtnl.add_address("c", "fd00::3/64".parse().unwrap());
    rtnl.flood("c", 250);
    let links = links_inside(Some(&pod));
    let named = |name: &str| links.values().find(|link| link.name == name).unwrap();
    assert_eq!((named("a").mtu, named("a").mac.as_deref()), (1_280, Some("02:00:00:00:00:07")));
    assert_eq!((named("c").mtu, named("c").oper_state.as_str()), (1_401, "up"));
    assert!(named("c").addresses.contains(&"10.1.2.3/24".parse().unwrap()));
    assert!(named("c").addresses.contains(&"fd00::3/64".parse().unwrap()));
    assert_eq!(named("br0").kind.as_deref(), Some("bridge"));
    rtnl.remove_address("c", "10.1.2.3/24".parse().unwrap());
    rtnl.set("c", LinkChange::Netns(Path::new("/proc/self/ns/net")));
    assert!(rtnl.index_of("c").is_none());
    Rtnl::new().delete("c");
    assert!(rtnl.index_of("a").is_none());
}

fn a_tun_has_no_link_layer_address() {
    let pod = NetnsDir::standard().add("pod");
    let _tun = Tun::new(Some(&pod), "tun0");
    let links = links_inside(Some(&pod));
    let tun = links.values().find(|link| link.name == "tun0").unwrap();
    assert_eq!((tun.mac.as_deref(), tun.kind.as_deref()), (None, Some("tun")));
}

fn a_thousand_namespaces_take_seconds_not_minutes() {
    let dir = NetnsDir::standard();
    let start = Instant::now();
    let all: Vec<_> = (0..1_000).map(|n| dir.add(&format!("ns{n}"))).collect();
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    drop(all);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

fn nothing_is_left_behind() {
    let before = Footprint::now();
    let dir = NetnsDir::standard();
    let pods: Vec<_> = (0..20).map(|n| dir.add(&format!("pod{n}"))).collect();
    let veths: Vec<_> = pods.iter().map(|pod| Veth::up(&format!("h-{}", pod.name()), pod, "eth0")).collect();
    drop((veths, pods));
    before.restored_within(Duration::from_secs(1));
    assert_eq!(links_inside(None).len(), 1);
}
