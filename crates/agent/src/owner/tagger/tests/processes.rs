//! Processes inside namespaces as the weakest evidence.

use iface_core::NsFile;

use super::*;
use crate::owner::process::look::{Inside, Podless};

fn file_of(number: u64) -> NsFile {
    NsFile { dev: 4, inode: 4_000 + number }
}

/// A namespace with a file.
fn space(number: u64) -> Arc<Netns> {
    Arc::new(Netns::clone(&netns(number, &format!("ns-{number}"))).with_file(file_of(number)))
}

fn eth0(number: u64, address: &str) -> Arc<Interface> {
    interface(number * 10, &space(number), "eth0", number as u8, address)
}

/// The evidence of a look about a namespace.
fn inside(number: u64, pod: &str) -> Input {
    let pod = Some(pod).filter(|pod| !pod.is_empty()).map(Arc::from);
    Input::Inside(vec![Inside { id: NetnsId(number), file: file_of(number), pod }])
}

/// The pod of the first interface, after these inputs in any order. All orders yield the same.
fn in_any_order(first: &[&Arc<Interface>], inputs: &[Input]) -> Vec<Option<(String, Source, End)>> {
    let before: Vec<_> = first.iter().map(|one| added(one)).chain([synced()]).collect();
    let mut found: Option<Vec<_>> = None;
    for order in permutations(inputs) {
        let (_, reader) = after(before.iter().cloned().chain(order.clone()));
        let owners: Vec<_> = first.iter().map(|one| reader.owner(one)).collect();
        assert_eq!(found.get_or_insert_with(|| owners.clone()), &owners, "{order:?}");
    }
    found.unwrap()
}

/// A pod without addresses, as under gVisor.
#[test]
fn processes_name_the_pod() {
    let web = eth0(1, "");
    let pod = applied(record("web", "u1", "10.0.0.1"));
    let owners = in_any_order(&[&web], &[pod.clone(), inside(1, "u1"), applied(record("db", "u2", "10.0.0.2"))]);
    assert_eq!(owners, [by("u1", Source::Process)]);
    assert_eq!(in_any_order(&[&web], &[pod.clone(), inside(1, "u9")]), [None]);
    // The pod stays without its processes and its record.
    let ended = [inside(1, ""), Input::Pod(PodChange::Deleted("u1".into()))];
    let (_, reader) = after([added(&web), synced(), pod, inside(1, "u1")].into_iter().chain(ended));
    assert_eq!(reader.owner(&web), by("u1", Source::Process));
}

#[test]
fn other_sources_win_in_any_order() {
    let web = eth0(1, "10.0.0.1/24");
    let pods = [applied(record("web", "u1", "10.0.0.1")), applied(record("db", "u2", "10.0.0.2"))];
    let by_ip = [&pods[..], &[inside(1, "u2")]].concat();
    assert_eq!(in_any_order(&[&web], &by_ip), [by("u1", Source::PodIp)]);
    let result = Input::File("web", file("ns-1", &pod("web", Some("u1")), 1, "podnet"));
    assert_eq!(in_any_order(&[&web], &[&by_ip[..], &[result]].concat()), [by("u1", Source::CniCache)]);
}

/// The address of a pod is in two namespaces.
#[test]
fn processes_decide_about_shared_addresses() {
    let (web, other) = (eth0(1, "10.0.0.1/24"), eth0(2, "10.0.0.1/24"));
    let inputs = [applied(record("web", "u1", "10.0.0.1")), inside(1, "u1"), inside(2, "")];
    assert_eq!(in_any_order(&[&web, &other], &inputs), [by("u1", Source::Process), None]);
}

#[test]
fn contradicting_addresses_leave_no_pod() {
    let mut web = (*eth0(1, "10.0.0.1/24")).clone();
    web.addresses = ["10.0.0.1/24", "10.0.0.2/24"].map(|net| net.parse().unwrap()).into();
    let pods = [applied(record("web", "u1", "10.0.0.1")), applied(record("db", "u2", "10.0.0.2"))];
    assert_eq!(in_any_order(&[&web.into()], &[&pods[..], &[inside(1, "u1")]].concat()), [None]);
}

/// Pods of the node's namespace have none of their own, nor has a pod whose containers have ended.
#[test]
fn only_running_pods_have_processes() {
    let web = eth0(1, "");
    let live = record("web", "u1", "10.0.0.1");
    let ended = |life| PodRecord { life, ..live.clone() };
    let on_host = PodRecord { host_network: true, addresses: Vec::new(), ..live.clone() };
    let mirror = PodRecord { named: pod("web", Some("hash")), ..live.clone() };
    for (record, uid, expected) in [
        (live.clone(), "u1", Some("u1")),
        (ended(Life::Terminating), "u1", Some("u1")),
        (ended(Life::Terminated), "u1", None),
        (on_host, "u1", None),
        (mirror.clone(), "hash", Some("u1")),
        (mirror, "u1", None),
    ] {
        let owners = in_any_order(&[&web], &[applied(record.clone()), inside(1, uid)]);
        assert_eq!(owners, [expected.and_then(|uid| by(uid, Source::Process))], "{record:?}");
    }
    // The author of a pod can write the annotation of a mirror.
    let forged = PodRecord { named: pod("web", Some("u-2")), ..live };
    let inputs = [applied(forged), applied(record("db", "u-2", "10.0.0.2")), inside(1, "u-2")];
    assert_eq!(in_any_order(&[&web], &inputs), [by("u-2", Source::Process)]);
}

/// A namespace that the pod has made inside, or that the pod visits: the pod has its own.
#[test]
fn pod_with_another_namespace_is_there() {
    let (own, nested) = (eth0(1, "10.0.0.1/24"), eth0(2, ""));
    let web = applied(record("web", "u1", "10.0.0.1"));
    let by_ip = in_any_order(&[&own, &nested], &[web.clone(), inside(2, "u1")]);
    assert_eq!(by_ip, [by("u1", Source::PodIp), None]);
    let result = Input::File("web", file("ns-1", &pod("web", Some("u1")), 1, "podnet"));
    let by_file = in_any_order(&[&own, &nested], &[web.clone(), inside(2, "u1"), result.clone()]);
    assert_eq!(by_file, [by("u1", Source::CniCache), None]);
    // The conflict is that of a pod that was found elsewhere afterwards.
    for (inputs, expected) in [([inside(2, "u1"), result.clone()], 1), ([result, inside(2, "u1")], 0)] {
        let unlisted = PodRecord { addresses: Vec::new(), ..record("web", "u1", "10.0.0.1") };
        let before = [added(&own), added(&nested), synced(), applied(unlisted)];
        let (tagger, _) = after(before.into_iter().chain(inputs));
        assert_eq!(tagger.conflicts().of(ConflictKind::ProcessElsewhere), expected);
    }
    // The first of two that only processes name keeps the pod. At its end, only another look gives the pod to the other.
    let (first, second) = (eth0(1, ""), eth0(2, ""));
    let inputs = [added(&first), added(&second), synced(), web, inside(1, "u1"), inside(2, "u1")];
    let (mut tagger, mut reader) = after(inputs);
    assert_eq!([&first, &second].map(|one| reader.owner(one)), [by("u1", Source::Process), None]);
    for (input, expected) in [(deleted(&first), None), (inside(2, "u1"), by("u1", Source::Process))] {
        give(&mut tagger, input);
        reader.read(&mut tagger);
        assert_eq!(reader.owner(&second), expected);
    }
}

/// Veths to a pod's namespace and none to the host's.
#[test]
fn nested_namespaces_get_no_pod() {
    let (outer, mut inner) = (eth0(1, ""), (*eth0(2, "")).clone());
    inner.peer = Some(Peer::new(space(1), 11, IfName::new("docker0").unwrap()).into());
    let inner = Arc::new(inner);
    let mut end = interface(31, &host(), "veth2", 100, "");
    Arc::make_mut(&mut end).peer = Some(Peer::new(space(2), 21, IfName::new("eth1").unwrap()).into());
    let web = applied(record("web", "u1", "10.0.0.1"));
    assert_eq!(in_any_order(&[&outer, &inner], &[web.clone(), inside(2, "u1")]), [None, None]);
    let linked = [added(&outer), added(&inner), added(&end), synced(), web, inside(2, "u1")];
    assert_eq!(after(linked).1.owner(&inner), by("u1", Source::Process));
}

/// Between the look and its result, the inode can be another namespace's.
#[test]
fn evidence_of_another_inode_is_dropped() {
    let (old, new) = (eth0(1, ""), eth0(2, ""));
    let web = applied(record("web", "u1", "10.0.0.1"));
    let other = Inside { id: NetnsId(2), file: file_of(1), pod: Some("u1".into()) };
    let inputs = [added(&old), synced(), web, deleted(&old), added(&new), inside(1, "u1"), Input::Inside(vec![other])];
    assert_eq!(after(inputs).1.owner(&new), None);
}

/// The API server still states the address of the pod when the next pod has it.
#[test]
fn addresses_end_with_the_namespace() {
    let (web, next) = (eth0(1, ""), eth0(2, "10.0.0.1/24"));
    let known = [added(&web), synced(), applied(record("web", "u1", "10.0.0.1")), inside(1, "u1"), deleted(&web)];
    assert_eq!(after(known.into_iter().chain([added(&next)])).1.owner(&next), None);
    let unclaimed = PodRecord { addresses: Vec::new(), ..record("web", "u1", "10.0.0.1") };
    let before = [added(&web), synced(), applied(unclaimed), inside(1, "u1"), deleted(&web)];
    let late = [added(&next), applied(record("web", "u1", "10.0.0.1"))];
    assert_eq!(after(before.into_iter().chain(late)).1.owner(&next), None);
}

#[test]
fn namespaces_without_pods_are_sought() {
    let (web, unknown, unnamed) = (eth0(1, "10.0.0.1/24"), eth0(2, ""), {
        let netns = Arc::new(Netns::new(NetnsId(3), Place::Inode(4_003)).with_file(file_of(3)));
        interface(30, &netns, "eth0", 3, "")
    });
    let without_file = interface(40, &netns(4, "ns-4"), "eth0", 4, "");
    let on_host = Arc::new(Netns::new(NetnsId::HOST, Place::Host).with_file(file_of(0)));
    let mut inputs: Vec<_> = [&web, &unknown, &unnamed, &without_file].map(added).into();
    inputs.extend([added(&interface(50, &on_host, "eth0", 5, "")), synced()]);
    assert!(after(inputs.clone()).0.sought().podless.is_empty(), "without pods of the API server");
    inputs.push(applied(record("web", "u1", "10.0.0.1")));
    let (mut tagger, _) = after(inputs);
    let sought = tagger.sought();
    let podless = |number, is_named| (file_of(number), Podless { id: NetnsId(number), is_named });
    assert_eq!(sought.podless, BTreeMap::from([podless(2, true), podless(3, false)]));
    assert_eq!(sought.host, Some(file_of(0)));
    // The deletion of one of the two is under way.
    let twice = Arc::new(Netns::clone(&netns(6, "ns-6")).with_file(file_of(2)));
    give(&mut tagger, added(&interface(60, &twice, "eth0", 6, "")));
    assert_eq!(tagger.sought().podless, BTreeMap::from([podless(3, false)]));
}
