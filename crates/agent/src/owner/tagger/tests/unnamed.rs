//! Pods in namespaces without a name, as of cri-dockerd, or where the directory of names is not mounted.

use super::*;

fn nsid(number: u64) -> Arc<Netns> {
    Arc::new(Netns::new(NetnsId(number), Place::Nsid(number as i32)))
}

fn pair(netns: &Arc<Netns>, number: u64) -> (Arc<Interface>, Arc<Interface>) {
    let eth0 = interface(10 * number, netns, "eth0", number as u8, &format!("10.0.0.{number}/24"));
    let mut end = interface(10 * number + 1, &host(), &format!("veth{number}"), 100, "");
    Arc::make_mut(&mut end).peer = Some(Peer::new(netns.clone(), eth0.ifindex, eth0.name).into());
    (eth0, end)
}

fn assert_both_of_web(reader: &Reader, (eth0, end): &(Arc<Interface>, Arc<Interface>), source: Source) {
    for (one, at) in [(eth0, End::Pod), (end, End::Host)] {
        assert_eq!(reader.owner(one), Some(("u1".into(), source, at)));
    }
}

#[test]
fn address_names_the_pod() {
    let ends = pair(&nsid(1), 1);
    let web = applied(record("web", "u1", "10.0.0.1"));
    for inputs in permutations(&[web, added(&ends.0), added(&ends.1), synced()]) {
        assert_both_of_web(&after(inputs).1, &ends, Source::PodIp);
    }
}

/// A CNI result whose directory of names is not mounted here, and one that names no namespace.
#[test]
fn result_is_found_by_its_clues() {
    let ends = pair(&nsid(1), 1);
    let hidden =
        Attachment { path: Some(Path::new("/run/x").into()), ..file(RANDOM, &pod("web", Some("u1")), 1, "net") };
    let by_end = Attachment { macs: Vec::new(), ends: vec![ends.1.name], ..hidden.clone() };
    let nameless = Attachment { netns: None, path: None, ..hidden.clone() };
    for file in [hidden, by_end, nameless] {
        let inputs = [Input::File("f", file), added(&ends.0), added(&ends.1), synced()];
        for inputs in permutations(&inputs) {
            let (tagger, reader) = after(inputs);
            assert_both_of_web(&reader, &ends, Source::CniCache);
            assert_eq!(reader.network(&ends.0), Some("net".into()));
            assert_eq!((tagger.proven_files(), tagger.conflicts().total()), (1, 0));
        }
    }
}

/// Another namespace has the name of the result: an equal address proves nothing.
#[test]
fn visible_name_decides() {
    let (eth0, _) = pair(&nsid(1), 1);
    let other = interface(50, &netns(5, RANDOM), "eth0", 9, "");
    let result =
        Attachment { path: Some(Path::new("/run/x").into()), ..file(RANDOM, &pod("web", Some("u1")), 1, "net") };
    for inputs in permutations(&[added(&other), Input::File("f", result), synced()]) {
        let (_, reader) = after(inputs.into_iter().chain([added(&eth0)]));
        assert_eq!((reader.owner(&other), reader.owner(&eth0)), (by("u1", Source::CniCache), None));
    }
}

/// Two namespaces with the address of the result: neither is its namespace.
#[test]
fn ambiguous_clue_names_no_owner() {
    let (first, second) = (pair(&nsid(1), 1).0, interface(90, &nsid(9), "eth0", 1, "10.0.0.9/24"));
    let result = Attachment { netns: None, ..file(RANDOM, &pod("web", Some("u1")), 1, "net") };
    for inputs in permutations(&[added(&first), added(&second), Input::File("f", result)]) {
        let (_, reader) = after(inputs.into_iter().chain([synced()]));
        assert_eq!((reader.owner(&first), reader.owner(&second)), (None, None));
    }
}

/// A name that is found later renames the interfaces of the same namespace.
#[test]
fn later_name_keeps_the_pod() {
    let (eth0, _) = pair(&nsid(1), 1);
    let result =
        Attachment { path: Some(Path::new("/run/x").into()), ..file(RANDOM, &pod("web", Some("u1")), 1, "net") };
    let (mut tagger, mut reader) = after([Input::File("f", result), added(&eth0), synced()]);
    for (number, name) in [(21, RANDOM), (22, "blue")] {
        let mut named = interface(number, &netns(1, name), "eth0", 1, "10.0.0.1/24");
        Arc::make_mut(&mut named).ifindex = eth0.ifindex;
        let before = reader.0.values().next().unwrap().clone();
        for input in [added(&named), deleted(&before)] {
            give(&mut tagger, input);
        }
        reader.read(&mut tagger);
        assert_eq!(reader.owner(&named), by("u1", Source::CniCache));
    }
    assert_eq!(tagger.conflicts().total(), 0);
}
