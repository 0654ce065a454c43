//! CNI files as evidence.

use super::*;

#[test]
fn file_names_pod_and_network() {
    let a = netns(1, "cni-a");
    let (lo, eth0) = (interface(1, &a, "lo", 0, "127.0.0.1/8"), interface(2, &a, "eth0", 7, "10.0.0.1/24"));
    let file = file("cni-a", &pod("web", Some("u1")), 7, "podnet");
    let (tagger, reader) = after([Input::File("f", file), added(&lo), added(&eth0)]);
    assert_eq!(reader.owner(&lo), by("u1", Source::CniCache));
    assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
    assert_eq!((reader.network(&lo), reader.network(&eth0)), (None, Some("podnet".into())));
    assert_eq!((tagger.untagged(), tagger.conflicts().total()), (0, 0));
}

#[test]
fn late_interface_comes_with_its_owner() {
    let eth0 = interface(2, &netns(1, "cni-a"), "eth0", 7, "");
    let mut tagger = Tagger::default();
    give(&mut tagger, Input::File("f", file("cni-a", &pod("web", Some("u1")), 7, "podnet")));
    give(&mut tagger, added(&eth0));
    let events: Vec<Event> = tagger.events().collect();
    assert!(matches!(events.as_slice(), [Event::Added(one)] if one.owner.is_some()), "{events:?}");
}

#[test]
fn stale_file_names_no_owner() {
    let old = file("cni-a", &pod("old", Some("u0")), 3, "podnet");
    let eth0 = interface(2, &netns(1, "cni-a"), "eth0", 7, "");
    let (tagger, reader) = after([Input::File("f", old), added(&eth0), synced()]);
    assert_eq!(reader.owner(&eth0), None);
    assert_eq!((tagger.untagged(), tagger.conflicts().total()), (1, 1));
}

#[test]
fn loopback_file_proves_nothing() {
    for name in ["cni-a", RANDOM] {
        let lo = interface(1, &netns(1, name), "lo", 0, "127.0.0.1/8");
        let mut old = file(name, &pod("old", Some("u0")), 0, "cni-loopback");
        (old.interface, old.macs) = (lo.name, Vec::new());
        let (mut tagger, mut reader) = after([Input::File("f", old), added(&lo)]);
        assert_eq!(reader.owner(&lo), None);
        give(&mut tagger, added(&interface(2, &lo.netns, "eth0", 7, "")));
        give(&mut tagger, Input::File("g", file(name, &pod("web", Some("u1")), 7, "podnet")));
        reader.read(&mut tagger);
        assert_eq!(reader.owner(&lo), by("u1", Source::CniCache), "its own file decides");
    }
}

#[test]
fn file_is_bound_to_one_namespace() {
    let (first, second) = (netns(1, "cni-a"), netns(2, "cni-a"));
    let (before, now) = (interface(1, &first, "eth0", 7, ""), interface(2, &second, "eth0", 7, ""));
    let file = Input::File("f", file("cni-a", &pod("web", Some("u1")), 7, "podnet"));
    let (_, reader) = after([file, added(&before), Input::Event(Event::Deleted(before.clone(), None)), added(&now)]);
    assert_eq!(reader.owner(&now), None);
}

/// A random name that goes and comes back is the same namespace, in whatever order the events come.
#[test]
fn returned_random_name_keeps_its_pod() {
    let before = interface(1, &netns(1, RANDOM), "eth0", 7, "10.0.0.1/24");
    let now = interface(2, &netns(2, RANDOM), "eth0", 7, "10.0.0.1/24");
    let file = Input::File("f", file(RANDOM, &pod("web", Some("u1")), 7, "podnet"));
    for inputs in [[deleted(&before), added(&now)], [added(&now), deleted(&before)]] {
        let (_, reader) = after([file.clone(), added(&before)].into_iter().chain(inputs));
        assert_eq!(reader.owner(&now), by("u1", Source::CniCache));
        assert_eq!(reader.network(&now).as_deref(), Some("podnet"));
    }
}

/// A namespace with the cookie of a namespace that had left is the same namespace, whatever proved the pod.
#[test]
fn returned_cookie_keeps_its_pod() {
    let with_cookie = |id: u64, cookie: u64| {
        let netns = Netns::clone(&netns(id, "a")).with_cookie(NonZeroU64::new(cookie));
        interface(id, &Arc::new(netns), "eth0", 7, "10.0.0.1/24")
    };
    let (before, same, other) = (with_cookie(1, 5), with_cookie(2, 5), with_cookie(3, 6));
    let file = Input::File("f", file("a", &pod("web", Some("u1")), 7, "podnet"));
    for (proof, source) in [(applied(record("web", "u1", "10.0.0.1")), Source::PodIp), (file, Source::CniCache)] {
        let (mut tagger, mut reader) = after([synced(), added(&before), proof, deleted(&before), added(&same)]);
        assert_eq!(reader.owner(&same), by("u1", source));
        assert_eq!(reader.network(&same), (source == Source::CniCache).then(|| "podnet".into()));
        for input in [deleted(&same), added(&other)] {
            give(&mut tagger, input);
        }
        reader.read(&mut tagger);
        assert_eq!(reader.owner(&other), None, "another namespace with the name and the address");
    }
}

/// Without cookies, a host end that outlasts the names proves that the namespace is the same. A namespace that is
/// followed by its nsid in between has its inode only with the name.
#[test]
fn returned_host_end_keeps_its_pod() {
    let with_inode = |id: u64, inode: u64| {
        let file = NsFile { dev: 4, inode };
        interface(2, &Arc::new(Netns::clone(&netns(id, "a")).with_file(file)), "eth0", 7, "10.0.0.1/24")
    };
    let leads_to = |end: u64, inside: Option<&Arc<Interface>>| {
        let mut one = interface(end, &host(), "veth7", 0, "");
        Arc::make_mut(&mut one).peer =
            inside.map(|inside| Peer::new(inside.netns.clone(), inside.ifindex, inside.name).into());
        Input::Event(Event::Updated(one, iface_core::Changes::PEER))
    };
    let (before, other_inode, next) = (with_inode(1, 8), with_inode(2, 9), with_inode(4, 8));
    let mut same = with_inode(3, 8);
    Arc::make_mut(&mut same).id = InterfaceId(NonZeroU64::new(3).unwrap());
    let mut nameless = interface(4, &Arc::new(Netns::new(same.netns.id, Place::Nsid(7))), "eth0", 7, "10.0.0.1/24");
    Arc::make_mut(&mut nameless).ifindex = 2;
    let lo = interface(5, &nameless.netns, "lo", 0, "");
    let file = Input::File("f", file("a", &pod("web", Some("u1")), 7, "podnet"));
    let ended = Input::Event(Event::Deleted(interface(50, &host(), "veth7", 0, ""), None));
    for (proof, source) in [(applied(record("web", "u1", "10.0.0.1")), Source::PodIp), (file, Source::CniCache)] {
        let begin = [synced(), added(&before), leads_to(50, Some(&before)), proof];
        let lost = [deleted(&before), leads_to(50, None)];
        let begin = [&begin[..], &lost[..]].concat();
        let detour = [added(&lo), added(&nameless), leads_to(50, Some(&nameless)), deleted(&nameless)];
        for back in [
            vec![added(&same), leads_to(50, Some(&same))],
            vec![leads_to(50, Some(&same)), added(&same)],
            [&detour[..], &[added(&same), leads_to(50, Some(&same))]].concat(),
        ] {
            let (mut tagger, mut reader) = after([begin.clone(), back].concat());
            assert_eq!(reader.owner(&same), by("u1", source));
            assert_eq!(reader.network(&same), (source == Source::CniCache).then(|| "podnet".into()));
            for input in [deleted(&same), ended.clone(), added(&next), leads_to(51, Some(&next))] {
                give(&mut tagger, input);
            }
            reader.read(&mut tagger);
            assert_eq!(reader.owner(&next), None, "another namespace with the inode, the name and the addresses");
        }
        let (_, reader) = after([begin, vec![added(&other_inode), leads_to(50, Some(&other_inode))]].concat());
        assert_eq!(reader.owner(&other_inode), None, "the link was moved to another namespace");
    }
}

#[test]
fn contradictory_files_name_no_owner() {
    let a = netns(1, "cni-a");
    let eth0 = interface(1, &a, "eth0", 7, "");
    let inputs = [
        added(&eth0),
        Input::File("f", file("cni-a", &pod("web", Some("u1")), 7, "podnet")),
        Input::File("g", file("cni-a", &pod("db", Some("u2")), 7, "podnet")),
        Input::Event(Event::Updated(interface(1, &a, "eth0", 7, "10.0.0.1/24"), iface_core::Changes::ADDRESSES)),
    ];
    let (mut tagger, mut reader) = after(inputs);
    assert_eq!(reader.owner(&eth0), None);
    assert_eq!((tagger.conflicts().total(), tagger.new_conflicts().count()), (1, 1));
    give(&mut tagger, Input::Gone("g"));
    reader.read(&mut tagger);
    assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
}

#[test]
fn namespace_outlives_file_and_pod() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "10.0.0.1/24");
    let file = file("cni-a", &pod("web", Some("u1")), 7, "podnet");
    let deleted = Input::Pod(PodChange::Deleted("u1".into()));
    let pods = applied(record("web", "u1", "10.0.0.1"));
    let (_, reader) = after([added(&eth0), Input::File("f", file), pods, Input::Gone("f"), deleted]);
    assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
    assert_eq!(reader.network(&eth0).as_deref(), Some("podnet"));
}

#[test]
fn matching_address_adds_the_uid() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "");
    let nameless =
        Attachment { addresses: vec!["10.0.0.1".parse().unwrap()], ..file("cni-a", &pod("web-0", None), 7, "podnet") };
    for (address, uid) in [("10.0.0.1", "u1"), ("10.0.0.2", "web-0 without uid")] {
        for inputs in
            permutations(&[added(&eth0), applied(record("web-0", "u1", address)), Input::File("f", nameless.clone())])
        {
            let (_, reader) = after(inputs);
            assert_eq!(reader.owner(&eth0), by(uid, Source::CniCache));
        }
    }
}

#[test]
fn successor_takes_no_older_namespace() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "");
    let nameless =
        Attachment { addresses: vec!["10.0.0.1".parse().unwrap()], ..file("cni-a", &pod("web-0", None), 7, "podnet") };
    let deleted = Input::Pod(PodChange::Deleted("u1".into()));
    let [first, second] = ["u1", "u0"].map(|uid| applied(record("web-0", uid, "10.0.0.1")));
    let (_, reader) = after([added(&eth0), Input::File("f", nameless.clone()), first.clone(), deleted, second.clone()]);
    assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
    let (_, reader) = after([first, second, added(&eth0), Input::File("f", nameless)]);
    assert_eq!(reader.owner(&eth0), by("web-0 without uid", Source::CniCache), "either may be meant");
}

#[test]
fn file_corrects_an_address() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "");
    let [first, second] =
        [("web", "u1"), ("db", "u2")].map(|(name, uid)| file("cni-a", &pod(name, Some(uid)), 7, "podnet"));
    let (mut tagger, reader) =
        after([added(&eth0), Input::File("f", first), Input::Gone("f"), Input::File("g", second)]);
    assert_eq!(reader.owner(&eth0), by("u2", Source::CniCache));
    assert_eq!((tagger.conflicts().total(), tagger.new_conflicts().count()), (1, 1));
}

#[test]
fn parents_mac_proves_nothing() {
    let a = netns(1, "cni-a");
    let mut old = file("cni-a", &pod("old", Some("u0")), 7, "fast");
    for (kind, addresses, owner) in [
        ("ipvlan", vec!["10.0.0.9"], None),
        ("vlan", vec![], None),
        ("ipvlan", vec!["10.0.0.1"], by("u0", Source::CniCache)),
        ("macvlan", vec!["10.0.0.9"], by("u0", Source::CniCache)),
    ] {
        let mut eth0 = interface(1, &a, "eth0", 7, "10.0.0.1/24");
        Arc::make_mut(&mut eth0).kind = Some(iface_core::Kind::new(kind));
        old.addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let (_, reader) = after([added(&eth0), Input::File("f", old.clone())]);
        assert_eq!(reader.owner(&eth0), owner, "{kind} {addresses:?}");
    }
}

#[test]
fn contradictions_are_bounded() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "10.0.0.1/24");
    let thief = Input::File("f", file("cni-a", &pod("thief", Some("u9")), 7, "podnet"));
    let (mut tagger, _) = after([synced(), added(&eth0), thief]);
    for number in 0..200 {
        let uid = format!("u-{number}");
        tagger.pod(PodChange::Applied(record("victim", &uid, "10.0.0.1")));
        tagger.pod(PodChange::Deleted(uid.as_str().into()));
    }
    assert_eq!(tagger.conflicts().total(), 200, "each is another pod");
    assert!(tagger.spaces[&eth0.netns.id].reported.len() < 100);
}

/// The members of a bond have the bond's MAC address instead of their own, at the start in any order.
#[test]
fn bond_members_are_no_conflict() {
    let a = netns(1, "a");
    let mut bond = interface(3, &a, "bond0", 1, "10.0.0.1/24");
    Arc::make_mut(&mut bond).kind = Some(iface_core::Kind::new("bond"));
    let (net1, net2) = (interface(1, &a, "net1", 1, ""), interface(2, &a, "net2", 1, ""));
    let of = |path, name: &str, mac| {
        let web = pod("web", Some("u1"));
        let file = Attachment { interface: IfName::new(name).unwrap(), ..file("a", &web, mac, name) };
        Input::File(path, file)
    };
    let files = [of("f", "net1", 1), of("g", "net2", 2)];
    for interfaces in permutations(&[added(&bond), added(&net1), added(&net2)]) {
        let (tagger, reader) = after(files.iter().cloned().chain(interfaces).chain([synced()]));
        assert_eq!(tagger.conflicts().total(), 0);
        assert_eq!(reader.owner(&net2), by("u1", Source::CniCache));
    }
    let (tagger, _) = after(files.into_iter().chain([added(&net1), added(&net2), synced()]));
    assert_eq!(tagger.conflicts().of(ConflictKind::OtherAddress), 1, "no bond explains the address");
}

/// A file as Calico writes: no namespace, the host end, an address.
fn nameless(pod: &Arc<Pod>, ends: &[&str], address: &str) -> Attachment {
    Attachment {
        source: Source::CniCache,
        netns: None,
        macs: Vec::new(),
        ends: ends.iter().map(|end| IfName::new(end).unwrap()).collect(),
        addresses: if address.is_empty() { Vec::new() } else { vec![address.parse().unwrap()] },
        ..file("", pod, 0, "podnet")
    }
}

/// A namespace with a veth, and the host end of the veth.
fn veth(id: u64, name: &str, end: &str, address: &str) -> [Arc<Interface>; 2] {
    let netns = netns(id, name);
    let mut eth0 = interface(id * 10, &netns, "eth0", id as u8, address);
    Arc::make_mut(&mut eth0).kind = Some(iface_core::Kind::new("veth"));
    let mut end = interface(id * 10 + 1, &host(), end, 0xee, "");
    Arc::make_mut(&mut end).peer = Some(Peer::new(netns, eth0.ifindex, eth0.name).into());
    [eth0, end]
}

/// A file without a namespace is about the namespace that its host end leads to, in any order.
#[test]
fn host_end_and_address_prove() {
    let [eth0, end] = veth(1, "cni-a", "cali1", "10.0.0.1/32");
    let [other, other_end] = veth(2, "cni-b", "cali2", "10.0.0.2/32");
    let file = Input::File("f", nameless(&pod("web", Some("u1")), &["cali1"], "10.0.0.1"));
    for inputs in permutations(&[added(&eth0), added(&end), added(&other), file, synced()]) {
        let (tagger, reader) = after(inputs.into_iter().chain([added(&other_end)]));
        assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
        assert_eq!(reader.owner(&end).map(|(uid, ..)| uid), Some("u1".to_owned()));
        assert_eq!(reader.network(&eth0).as_deref(), Some("podnet"));
        assert_eq!((reader.owner(&other), tagger.conflicts().total()), (None, 0));
    }
}

/// An address or a MAC address proves a file without host end, unless two namespaces have it.
#[test]
fn single_carrier_proves() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "10.0.0.1/24");
    let twin = interface(2, &netns(2, "cni-b"), "eth0", 7, "10.0.0.1/24");
    let by_address = nameless(&pod("web", Some("u1")), &[], "10.0.0.1");
    let by_mac = Attachment { macs: eth0.mac.into_iter().collect(), ..nameless(&pod("web", Some("u1")), &[], "") };
    for file in [by_address, by_mac].map(|file| Input::File("f", file)) {
        let (_, reader) = after([file.clone(), added(&eth0), synced()]);
        assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
        let (_, reader) = after([file.clone(), added(&eth0), added(&twin), synced()]);
        assert_eq!((reader.owner(&eth0), reader.owner(&twin)), (None, None));
        let (_, reader) = after([file, added(&eth0), added(&twin), synced(), deleted(&twin)]);
        assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache), "the other carrier is gone");
    }
}

/// Properties of both file and namespace must agree, and a file says nothing about a younger namespace.
#[test]
fn left_over_nameless_file_proves_nothing() {
    let [eth0, end] = veth(1, "cni-a", "cali1", "10.0.0.1/32");
    let [bare, bare_end] = veth(1, "cni-a", "cali1", "");
    let old = |ends: &[&str], address: &str| Input::File("f", nameless(&pod("old", Some("u0")), ends, address));
    for file in [old(&["cali9"], "10.0.0.1"), old(&["cali1"], "10.0.0.9")] {
        for inputs in permutations(&[added(&eth0), added(&end), file, synced()]) {
            let (_, reader) = after(inputs);
            assert_eq!(reader.owner(&eth0), None);
        }
    }
    let at = |seconds| Some(UNIX_EPOCH + std::time::Duration::from_secs(seconds));
    for mut found in [eth0, bare] {
        Arc::make_mut(&mut found).since = at(100).unwrap();
        let end = if found.addresses.is_empty() { &bare_end } else { &end };
        for (seconds, owner) in [(50, None), (95, by("u0", Source::CniCache)), (101, by("u0", Source::CniCache))] {
            let file = nameless(&pod("old", Some("u0")), &["cali1"], "10.0.0.1");
            let file = Input::File("f", Attachment { written: at(seconds), ..file });
            let (_, reader) = after([file, synced(), added(&found), added(end)]);
            assert_eq!(reader.owner(&found), owner, "written at {seconds}");
        }
    }
}

/// Of two nameless files about one namespace, the newer names the pod: the other is left over.
#[test]
fn newer_nameless_file_wins() {
    let [eth0, end] = veth(1, "cni-a", "cali1", "10.0.0.1/32");
    let of = |path, uid, seconds| {
        let written = Some(UNIX_EPOCH + std::time::Duration::from_secs(seconds));
        Input::File(path, Attachment { written, ..nameless(&pod("web", Some(uid)), &["cali1"], "10.0.0.1") })
    };
    for inputs in permutations(&[added(&eth0), added(&end), of("f", "u0", 1), of("g", "u1", 2)]) {
        let (tagger, reader) = after(inputs.into_iter().chain([synced()]));
        assert_eq!((reader.owner(&eth0), tagger.conflicts().total()), (by("u1", Source::CniCache), 0));
    }
}

/// The host end proves a file whose addresses the pod has taken away, as gVisor does.
#[test]
fn host_end_proves_without_address() {
    let [eth0, end] = veth(1, "a", "cali1", "");
    let file = nameless(&pod("web", Some("u1")), &["cali1"], "10.0.0.1");
    for netns in [None, Some(NetnsName::new("a"))] {
        let file = Input::File("f", Attachment { netns, ..file.clone() });
        let (_, reader) = after([file.clone(), added(&eth0), added(&end), synced()]);
        assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
        let (_, reader) = after([synced(), added(&eth0), added(&end), file, Input::Gone("f")]);
        assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
    }
    let elsewhere = Input::File("f", Attachment { netns: Some(NetnsName::new("b")), ..file });
    let (_, reader) = after([elsewhere, added(&eth0), added(&end), synced()]);
    assert_eq!(reader.owner(&eth0), None, "the file is about another namespace");
}

const NET7: iface_core::NsFile = iface_core::NsFile { dev: 4, inode: 7 };

/// A namespace with this name and the inode 7.
fn at_inode(number: u64, name: &str) -> Arc<Netns> {
    Arc::new(Netns::new(NetnsId(number), Place::Named(NetnsName::new(name))).with_file(NET7))
}

/// A second name of a namespace proves as the first, by a random name alone or with the MAC address.
#[test]
fn second_name_proves() {
    let eth0 = interface(1, &at_inode(1, "blue"), "eth0", 7, "");
    for (name, mac, owner) in [(RANDOM, 9, Some("u1")), ("green", 7, Some("u1")), ("green", 9, None)] {
        let web = file(name, &pod("web", Some("u1")), mac, "podnet");
        let inputs = [added(&eth0), Input::File("f", Attachment { space: Some(NET7), ..web.clone() })];
        for inputs in permutations(&inputs) {
            let (mut tagger, mut reader) = after([synced()].into_iter().chain(inputs));
            assert_eq!(reader.owner(&eth0).map(|(uid, ..)| uid).as_deref(), owner, "{name} {mac}");
            give(&mut tagger, Input::Gone("f"));
            reader.read(&mut tagger);
            assert_eq!(reader.owner(&eth0).map(|(uid, ..)| uid).as_deref(), owner, "an owner outlives the file");
        }
        let (_, reader) = after([synced(), added(&eth0), Input::File("f", web)]);
        assert_eq!(reader.owner(&eth0), None, "the path leads elsewhere");
    }
}

/// The kernel reuses the inode of the namespace at a file's path.
#[test]
fn reused_inode_proves_nothing() {
    let (first, second) =
        (interface(1, &at_inode(1, "blue"), "eth0", 7, ""), interface(2, &at_inode(2, "red"), "eth0", 7, ""));
    let left_over = Attachment { space: Some(NET7), ..file(RANDOM, &pod("web", Some("u1")), 7, "podnet") };
    let (_, reader) = after([synced(), added(&first), Input::File("f", left_over), deleted(&first), added(&second)]);
    assert_eq!(reader.owner(&second), None);
}
