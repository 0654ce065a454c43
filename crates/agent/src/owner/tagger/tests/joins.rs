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
        give(&mut tagger, Input::Event(Event::Deleted(eth0.clone(), None)));
        reader.read(&mut tagger);
        assert_eq!(reader.owner(&end), Some(("u1".into(), Source::CniCache, End::Host)));
        give(&mut tagger, Input::Event(Event::Deleted(end.clone(), None)));
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

/// A network follows the MAC address of its interface through renames, and the name where a bond shares the address.
#[test]
fn network_follows_mac_before_name() {
    let a = netns(1, "cni-a");
    let of = |path, name: &str, mac, network: &str| {
        let web = pod("web", Some("u1"));
        Input::File(path, Attachment { interface: IfName::new(name).unwrap(), ..file("cni-a", &web, mac, network) })
    };
    let files = [of("f", "net1", 1, "storage"), of("g", "net2", 2, "backup")];
    let cases = [
        // As made; swapped names; a rename; another interface under the name of a renamed one.
        (vec![("net1", 1), ("net2", 2)], vec![Some("storage"), Some("backup")]),
        (vec![("net2", 1), ("net1", 2)], vec![Some("storage"), Some("backup")]),
        (vec![("wan0", 1), ("net2", 2)], vec![Some("storage"), Some("backup")]),
        (vec![("wan0", 1), ("net1", 9)], vec![Some("storage"), None]),
        // A bond with both; a MAC address that the pod has changed.
        (vec![("bond0", 1), ("net1", 1), ("net2", 1)], vec![None, Some("storage"), Some("backup")]),
        (vec![("net1", 8), ("net2", 2)], vec![Some("storage"), Some("backup")]),
    ];
    for (interfaces, networks) in cases {
        let proof = interface(9, &a, "eth0", 2 + 40, "");
        let own = Input::File("own", file("cni-a", &pod("web", Some("u1")), 42, "podnet"));
        let interfaces: Vec<_> =
            (1..).zip(interfaces).map(|(id, (name, mac))| interface(id, &a, name, mac, "")).collect();
        for order in permutations(&interfaces.iter().map(added).collect::<Vec<_>>()) {
            let (_, reader) =
                after([added(&proof), own.clone()].into_iter().chain(files.clone()).chain(order).chain([synced()]));
            let found: Vec<_> = interfaces.iter().map(|one| reader.network(one)).collect();
            assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), networks, "{interfaces:?}");
        }
    }
}

/// An entry of multus follows the MAC address before the name, too.
#[test]
fn multus_entry_follows_mac() {
    let a = netns(1, "a");
    let networks = multus::parse(
        r#"[{"name": "shop/storage", "interface": "net1", "mac": "02:00:00:00:00:01"},
            {"name": "shop/backup", "interface": "net2", "mac": "02:00:00:00:00:02"}]"#,
    );
    let eth0 = interface(1, &a, "eth0", 7, "10.0.0.1/24");
    let (swapped, renamed) = (interface(2, &a, "net2", 1, ""), interface(3, &a, "wan0", 2, ""));
    let pods = applied(PodRecord { networks, ..record("web", "u1", "10.0.0.1") });
    for inputs in permutations(&[added(&eth0), added(&swapped), added(&renamed), pods]) {
        let (_, reader) = after([synced()].into_iter().chain(inputs));
        assert_eq!(reader.network(&swapped).as_deref(), Some("shop/storage"));
        assert_eq!(reader.network(&renamed).as_deref(), Some("shop/backup"));
    }
}

/// Plugins write addresses with and without a prefix length.
#[test]
fn multus_entry_has_an_address() {
    let a = netns(1, "a");
    let (eth0, net1) = (interface(1, &a, "eth0", 7, "10.0.0.1/24"), interface(2, &a, "net1", 8, "10.9.0.1/16"));
    for address in ["10.9.0.1", "10.9.0.1/16"] {
        let networks = multus::parse(&format!(r#"[{{"name": "shop/flat", "ips": ["{address}"]}}]"#));
        let web = applied(PodRecord { networks, ..record("web", "u1", "10.0.0.1") });
        let (_, reader) = after([synced(), added(&eth0), added(&net1), web]);
        assert_eq!(reader.network(&net1).as_deref(), Some("shop/flat"), "{address}");
        assert_eq!(reader.network(&eth0), None, "{address}");
    }
}

/// Annotations in a CNI result serve without an API server; the API server's, which are later, come first.
#[test]
fn annotations_of_files_name_networks() {
    let a = netns(1, "cni-a");
    let (eth0, net1) = (interface(1, &a, "eth0", 7, "10.0.0.1/24"), interface(2, &a, "net1", 8, ""));
    let status = |network: &str| multus::parse(&format!(r#"[{{"name": "{network}", "interface": "net1"}}]"#));
    let attributes = vec![("k8s.pod.annotation.team".to_owned(), "blue".to_owned())];
    let annotated = Arc::new(Pod { attributes: attributes.clone(), ..(*pod("web", Some("u1"))).clone() });
    let file = Attachment { networks: status("shop/old"), ..file("cni-a", &annotated, 7, "podnet") };
    let file = Input::File("f", file);
    for inputs in permutations(&[added(&eth0), added(&net1), file.clone()]) {
        let (_, reader) = after(inputs.into_iter().chain([synced()]));
        assert_eq!(reader.network(&net1).as_deref(), Some("shop/old"));
        assert_eq!(reader.network(&eth0).as_deref(), Some("podnet"));
        let owner = reader.0[&net1.id].owner.clone().unwrap();
        assert_eq!(owner.pod().unwrap().attributes, attributes);
    }
    let later = applied(PodRecord { networks: status("shop/new"), ..record("web", "u1", "10.0.0.1") });
    let (_, reader) = after([added(&eth0), added(&net1), file, later, synced()]);
    assert_eq!(reader.network(&net1).as_deref(), Some("shop/new"));
    assert!(reader.0[&net1.id].owner.clone().unwrap().pod().unwrap().attributes.is_empty());
}
