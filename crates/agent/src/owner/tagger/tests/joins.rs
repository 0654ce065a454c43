//! Joins with a decision: host ends, the API server's pods, names of networks.

use super::*;
use crate::owner::kube::multus;

#[test]
fn delegated_file_wins_the_network() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "");
    let outer = file("cni-a", &pod("web", Some("u1")), 7, "k8s-pod-network");
    let delegate = Attachment { delegated: true, ..file("cni-a", &pod("web", Some("u1")), 7, "ovn") };
    for inputs in permutations(&[added(&eth0), Input::File("f", outer), Input::File("g", delegate)]) {
        let (tagger, reader) = after(inputs);
        assert_eq!(reader.network(&eth0).as_deref(), Some("ovn"));
        assert_eq!(tagger.conflicts().total(), 0);
    }
}

#[test]
fn host_end_follows_its_peer() {
    let a = netns(1, "cni-a");
    let eth0 = interface(1, &a, "eth0", 7, "");
    let mut end = interface(2, &host(), "veth1", 9, "");
    let peer = Peer::new(a.clone(), eth0.ifindex, eth0.name);
    Arc::make_mut(&mut end).peer = Some(peer.into());
    let file = Input::File("f", file("cni-a", &pod("web", Some("u1")), 7, "podnet"));
    for inputs in permutations(&[added(&eth0), added(&end), file]) {
        let (mut tagger, mut reader) = after(inputs);
        assert_eq!(reader.owner(&end), Some(("u1".into(), Source::CniCache, End::Host)));
        assert_eq!(reader.network(&end).as_deref(), Some("podnet"));
        give(&mut tagger, Input::Event(Event::Deleted(eth0.clone())));
        reader.read(&mut tagger);
        assert_eq!(reader.owner(&end), Some(("u1".into(), Source::CniCache, End::Host)));
        give(&mut tagger, Input::Event(Event::Deleted(end.clone())));
        reader.read(&mut tagger);
        assert!(reader.0.is_empty());
    }
}

#[test]
fn moved_peer_clears_the_host_end() {
    let (a, b) = (netns(1, "cni-a"), netns(2, "b"));
    let (eth0, moved) = (interface(1, &a, "eth0", 7, ""), interface(3, &b, "eth0", 7, ""));
    let end_of = |inside: &Arc<Interface>| {
        let mut end = interface(2, &host(), "veth1", 9, "");
        Arc::make_mut(&mut end).peer = Some(Peer::new(inside.netns.clone(), inside.ifindex, inside.name).into());
        end
    };
    let alone = interface(2, &host(), "veth1", 9, "");
    let updated = |end: &Arc<Interface>| Input::Event(Event::Updated(end.clone(), iface_core::Changes::PEER));
    let file = Input::File("f", file("cni-a", &pod("web", Some("u1")), 7, "podnet"));
    let end = end_of(&eth0);
    let tagged = [file, added(&eth0), added(&end)];
    for way in [vec![updated(&end_of(&moved))], vec![updated(&alone), updated(&end_of(&moved))]] {
        let (_, reader) = after(tagged.iter().cloned().chain(way));
        assert_eq!(reader.owner(&end), None);
    }
    let (_, reader) = after(tagged.iter().cloned().chain([deleted(&eth0), updated(&alone)]));
    assert_eq!(reader.owner(&end).unwrap().0, "u1", "its peer only went first");
}

#[test]
fn static_pod_has_its_mirrors_uid() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "");
    let mirror = PodRecord { named: pod("etcd", Some("hash")), ..record("etcd", "mirror", "10.0.0.1") };
    let file = Input::File("f", file("cni-a", &pod("etcd", Some("hash")), 7, "podnet"));
    for inputs in permutations(&[added(&eth0), applied(mirror), file]) {
        let (tagger, reader) = after(inputs);
        assert_eq!(reader.owner(&eth0), by("mirror", Source::CniCache));
        assert_eq!(tagger.conflicts().total(), 0);
    }
}

#[test]
fn multus_names_own_interfaces_only() {
    let (a, b) = (netns(1, "a"), netns(2, "b"));
    let (own, other) = (interface(1, &a, "net1", 7, "10.0.0.1/24"), interface(2, &b, "net1", 8, "10.0.0.2/24"));
    let networks = multus::parse(
        r#"[{"name": "shop/fast", "interface": "net1", "mac": "02:00:00:00:00:07"},
            {"name": "shop/stolen", "interface": "net1", "mac": "02:00:00:00:00:08"}]"#,
    );
    let pods = [PodRecord { networks, ..record("web", "u1", "10.0.0.1") }, record("db", "u2", "10.0.0.2")];
    let (_, reader) = after([added(&own), added(&other), Input::Pod(PodChange::Listed(pods.into())), synced()]);
    assert_eq!(reader.network(&own).as_deref(), Some("shop/fast"));
    assert_eq!((reader.owner(&other), reader.network(&other)), (by("u2", Source::PodIp), None));
}
