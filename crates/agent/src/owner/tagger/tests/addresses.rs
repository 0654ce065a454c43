//! Pod addresses as evidence.

use super::*;

/// Other pods come and go, more than the memory holds.
fn churn(tagger: &mut Tagger) {
    for number in 0..5000 {
        let path: Arc<Path> = Path::new("churn").into();
        let pod = pod(&format!("job-{number}"), Some(&format!("job-{number}")));
        tagger.file(&path, file("cni-job", &pod, 200, "podnet"));
        tagger.file_gone(&path);
    }
}

/// After these inputs the interface has no owner; then a pod claims 10.0.0.1 and becomes the owner.
fn tags_only_a_new_claim(inputs: impl IntoIterator<Item = Input>, interface: &Interface) {
    let (mut tagger, mut reader) = after(inputs);
    assert_eq!(reader.owner(interface), None);
    give(&mut tagger, applied(record("new", "u2", "10.0.0.1")));
    reader.read(&mut tagger);
    assert_eq!(reader.owner(interface), by("u2", Source::PodIp));
}

#[test]
fn address_counts_after_synced() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let (mut tagger, mut reader) = after([added(&eth0), applied(record("web", "u1", "10.0.0.1"))]);
    assert_eq!(reader.owner(&eth0), None);
    give(&mut tagger, synced());
    reader.read(&mut tagger);
    assert_eq!(reader.owner(&eth0), by("u1", Source::PodIp));
}

#[test]
fn ended_and_host_network_pods_claim_nothing() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    for (life, addresses) in [(Life::Terminated, 1), (Life::Terminating, 1), (Life::Live, 0)] {
        let mut record = PodRecord { life, ..record("web", "u1", "10.0.0.1") };
        record.addresses.truncate(addresses);
        let (_, reader) = after([added(&eth0), synced(), applied(record)]);
        assert_eq!(reader.owner(&eth0), None, "{life:?}");
    }
}

#[test]
fn terminating_pod_keeps_its_namespace() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let live = record("web", "u1", "10.0.0.1");
    for life in [Life::Terminating, Life::Terminated] {
        let ending = PodRecord { life, ..live.clone() };
        let (_, reader) = after([added(&eth0), synced(), applied(live.clone()), applied(ending)]);
        assert_eq!(reader.owner(&eth0), by("u1", Source::PodIp));
    }
}

#[test]
fn reused_address_leaves_the_old_pod() {
    let (old, new) = (netns(1, "a"), netns(2, "b"));
    let before = interface(1, &old, "eth0", 7, "10.0.0.1/24");
    let now = interface(2, &new, "eth0", 8, "10.0.0.1/24");
    let inputs = [
        added(&before),
        synced(),
        applied(record("old", "u1", "10.0.0.1")),
        Input::Event(Event::Deleted(before.clone(), None)),
        added(&now),
    ];
    tags_only_a_new_claim(inputs, &now);
}

#[test]
fn late_claim_spares_the_successor() {
    let before = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let now = interface(2, &netns(2, "b"), "eth0", 8, "10.0.0.1/24");
    let late = applied(record("old", "u1", "10.0.0.1"));
    let inputs = [synced(), added(&before), Input::Event(Event::Deleted(before.clone(), None)), added(&now), late];
    tags_only_a_new_claim(inputs, &now);
}

#[test]
fn early_rename_keeps_the_pod() {
    let a = netns(1, "a");
    let lo = interface(1, &a, "lo", 0, "127.0.0.1/8");
    let before = interface(2, &a, "tmp", 7, "10.0.0.1/24");
    let now = interface(3, &a, "eth0", 7, "10.0.0.1/24");
    let pods = applied(record("web", "u1", "10.0.0.1"));
    let (_, reader) = after([synced(), added(&lo), added(&before), deleted(&before), added(&now), pods]);
    assert_eq!(reader.owner(&now), by("u1", Source::PodIp));
}

#[test]
fn deleted_unknown_namespace_is_remembered() {
    let (before, now) = (
        interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24"),
        interface(2, &netns(2, "b"), "eth0", 8, "10.0.0.1/24"),
    );
    let (mut tagger, mut reader) = after([synced()]);
    for number in 0..4096 {
        let inputs = [added(&before), deleted(&before), applied(record("job", &format!("job-{number}"), "10.0.0.1"))];
        let gone = Input::Pod(PodChange::Deleted(format!("job-{number}").into()));
        inputs.into_iter().chain([gone]).for_each(|input| give(&mut tagger, input));
        reader.read(&mut tagger);
    }
    // The next is unknown as well, and another evicts the first.
    let other = interface(3, &netns(3, "c"), "eth0", 9, "10.0.0.2/24");
    for input in [added(&before), deleted(&before), added(&other), deleted(&other), added(&now)] {
        give(&mut tagger, input);
    }
    give(&mut tagger, applied(record("late", "u1", "10.0.0.1")));
    reader.read(&mut tagger);
    assert_eq!(reader.owner(&now), None);
}

#[test]
fn placed_pod_stays_placed() {
    let (before, now) = (
        interface(1, &netns(1, "cni-a"), "eth0", 7, "10.0.0.1/24"),
        interface(2, &netns(2, "b"), "eth0", 8, "10.0.0.1/24"),
    );
    let file = Input::File("f", file("cni-a", &pod("old", Some("u1")), 7, "podnet"));
    let (mut tagger, mut reader) = after([synced(), added(&before), file, applied(record("old", "u1", "10.0.0.1"))]);
    churn(&mut tagger);
    for input in [Input::Gone("f"), deleted(&before), added(&now)] {
        give(&mut tagger, input);
    }
    reader.read(&mut tagger);
    assert_eq!(reader.owner(&now), None, "the API server still shows the old pod with this address");
}

#[test]
fn forgotten_place_restores_no_owner() {
    let (fake, real) = (netns(1, "a"), netns(2, "b"));
    let taken = interface(1, &fake, "eth0", 7, "10.0.0.1/24");
    let file = Input::File("f", file("b", &pod("web", Some("u1")), 8, "podnet"));
    let inputs = [synced(), added(&taken), applied(record("web", "u1", "10.0.0.1")), file];
    let (mut tagger, mut reader) = after(inputs.into_iter().chain([added(&interface(2, &real, "eth0", 8, ""))]));
    assert_eq!(reader.owner(&taken), None);
    churn(&mut tagger);
    let more = interface(1, &fake, "eth0", 7, "10.0.0.1/16");
    give(&mut tagger, Input::Event(Event::Updated(more, iface_core::Changes::ADDRESSES)));
    let again = PodRecord { created: 1, ..record("web", "u1", "10.0.0.1") };
    give(&mut tagger, applied(again));
    reader.read(&mut tagger);
    assert_eq!(reader.owner(&taken), None);
}

#[test]
fn second_address_ends_with_its_namespace() {
    let before = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let now = interface(2, &netns(2, "b"), "eth0", 8, "fd00::1/64");
    let mut both = record("old", "u1", "10.0.0.1");
    both.addresses.push("fd00::1".parse().unwrap());
    let (_, reader) = after([synced(), added(&before), applied(both), deleted(&before), added(&now)]);
    assert_eq!(reader.owner(&now), None, "it is used again, and the API server still shows the old pod");
}

#[test]
fn one_address_in_two_namespaces_tags_neither() {
    let one = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let two = interface(2, &netns(2, "b"), "eth0", 8, "10.0.0.1/24");
    let pods = applied(record("web", "u1", "10.0.0.1"));
    for inputs in permutations(&[added(&one), added(&two), pods]) {
        let (tagger, reader) = after([synced()].into_iter().chain(inputs));
        assert_eq!((reader.owner(&one), reader.owner(&two)), (None, None));
        assert!(tagger.conflicts().total() > 0);
    }
}

#[test]
fn copy_on_the_host_is_ignored() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let copy = interface(2, &host(), "eni0", 8, "10.0.0.1/24");
    let pods = applied(record("web", "u1", "10.0.0.1"));
    for inputs in permutations(&[added(&eth0), added(&copy), pods, synced()]) {
        let (mut tagger, mut reader) = after(inputs);
        assert_eq!((reader.owner(&eth0), reader.owner(&copy)), (by("u1", Source::PodIp), None));
        give(&mut tagger, deleted(&copy));
        reader.read(&mut tagger);
        assert_eq!(reader.owner(&eth0), by("u1", Source::PodIp));
    }
}

/// One of two namespaces loses the address before any claim: of two claims, either can concern the other namespace. A
/// later version of a pod that states the address again concerns a namespace with the address.
#[test]
fn first_claims_beside_a_loss_are_doubtful() {
    let one = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let two = interface(2, &netns(2, "b"), "eth0", 8, "10.0.0.1/24");
    let lost = interface(2, &two.netns, "eth0", 8, "");
    let lost = Input::Event(Event::Updated(lost, iface_core::Changes::ADDRESSES));
    let of = |uid: &str, version| PodRecord { version: Some(version), ..record(uid, uid, "10.0.0.1") };
    for loss in [lost, deleted(&two)] {
        for uids in [&["u1", "u2"][..], &["u2"]] {
            let claims = uids.iter().map(|uid| applied(of(uid, 1)));
            let (mut tagger, mut reader) =
                after([synced(), added(&one), added(&two), loss.clone()].into_iter().chain(claims));
            assert_eq!(reader.owner(&one), None, "{uids:?}");
            give(&mut tagger, applied(of("u2", 2)));
            reader.read(&mut tagger);
            assert_eq!(reader.owner(&one), by("u2", Source::PodIp), "{uids:?}");
        }
    }
}

#[test]
fn newer_claim_wins_and_counts() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let newer = PodRecord { created: 5, ..record("new", "u2", "10.0.0.1") };
    let pods = [record("old", "u1", "10.0.0.1"), newer];
    let (tagger, reader) = after([added(&eth0), Input::Pod(PodChange::Listed(pods.into())), synced()]);
    assert_eq!(reader.owner(&eth0), by("u2", Source::PodIp));
    assert_eq!(tagger.conflicts().total(), 1);
}

#[test]
fn stolen_address_changes_no_owner() {
    let (own, stolen) = (netns(1, "a"), netns(2, "b"));
    let thief = interface(1, &own, "eth0", 7, "10.0.0.9/24");
    let taken = interface(3, &own, "eth1", 9, "10.0.0.1/24");
    let victim = interface(2, &stolen, "eth0", 8, "10.0.0.1/24");
    let file = Input::File("f", file("a", &pod("thief", Some("u9")), 7, "podnet"));
    let pods = applied(record("victim", "u1", "10.0.0.1"));
    for inputs in permutations(&[added(&thief), added(&taken), added(&victim), file, pods]) {
        let (_, reader) = after([synced()].into_iter().chain(inputs));
        assert_eq!(reader.owner(&thief), by("u9", Source::CniCache));
        assert_eq!(reader.owner(&taken), by("u9", Source::CniCache));
        assert_eq!(reader.owner(&victim), None, "nothing but a disputed address speaks for the victim");
    }
}

#[test]
fn placed_pod_ignores_addresses() {
    let (real, other) = (netns(1, "a"), netns(2, "b"));
    let eth0 = interface(1, &real, "eth0", 7, "");
    let fake = interface(2, &other, "eth0", 8, "10.0.0.1/24");
    let file = Input::File("f", file("a", &pod("web", Some("u1")), 7, "podnet"));
    for inputs in permutations(&[added(&eth0), added(&fake), file, applied(record("web", "u1", "10.0.0.1"))]) {
        let (_, reader) = after([synced()].into_iter().chain(inputs));
        assert_eq!((reader.owner(&eth0), reader.owner(&fake)), (by("u1", Source::CniCache), None));
    }
}

#[test]
fn ended_pod_never_restarts() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let at = |version, life| applied(PodRecord { version, life, ..record("old", "u1", "10.0.0.1") });
    // An API server restored from a backup has lower versions; versions without numbers do not count.
    for (earlier, later) in [(Some(9), Some(3)), (None, None), (Some(3), Some(9))] {
        let (_, reader) = after([synced(), at(earlier, Life::Live), at(later, Life::Terminated), added(&eth0)]);
        assert_eq!(reader.owner(&eth0), None, "ends with version {later:?} after {earlier:?}");
        let (_, reader) = after([synced(), at(earlier, Life::Terminated), at(later, Life::Live), added(&eth0)]);
        assert_eq!(reader.owner(&eth0), None, "begins with version {later:?} after {earlier:?}");
    }
}

#[test]
fn lagging_list_revives_no_pod() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let stale = record("old", "u1", "10.0.0.1");
    let deleted = Input::Pod(PodChange::Deleted("u1".into()));
    let relisted = Input::Pod(PodChange::Listed(vec![stale.clone()]));
    let (_, reader) = after([synced(), applied(stale), deleted, relisted, added(&eth0)]);
    assert_eq!(reader.owner(&eth0), None);
}

/// A result with a stale MAC address (SR-IOV) takes nothing from the API server's answer, whichever pod the
/// result names, and still names the network of its own pod.
#[test]
fn unproven_file_leaves_the_address() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let pods = applied(record("web", "u1", "10.0.0.1"));
    for (name, uid, network) in [("web", "u1", Some("podnet")), ("db", "u2", None)] {
        let stale = Input::File("f", file("a", &pod(name, Some(uid)), 99, "podnet"));
        for inputs in permutations(&[synced(), added(&eth0), pods.clone(), stale]) {
            let (_, reader) = after(inputs);
            assert_eq!(reader.owner(&eth0), by("u1", Source::PodIp), "{name}");
            assert_eq!(reader.network(&eth0).as_deref(), network);
        }
    }
}

/// A file about a namespace that never comes leaves the addresses of its pod in use.
#[test]
fn file_without_namespace_places_nothing() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let elsewhere = Input::File("f", file("gone", &pod("web", Some("u1")), 7, "podnet"));
    for inputs in permutations(&[synced(), added(&eth0), applied(record("web", "u1", "10.0.0.1")), elsewhere]) {
        let (_, reader) = after(inputs);
        assert_eq!(reader.owner(&eth0), by("u1", Source::PodIp));
    }
}

/// A sandbox made again: the API server states the pod's address again after another namespace has the address.
#[test]
fn repeated_claim_follows_a_new_sandbox() {
    let before = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let now = interface(2, &netns(2, "b"), "eth0", 8, "10.0.0.1/24");
    let at = |version, life| applied(PodRecord { version: Some(version), life, ..record("web", "u1", "10.0.0.1") });
    let file = Input::File("f", file("a", &pod("web", Some("u1")), 7, "podnet"));
    for proof in [vec![], vec![file.clone()], vec![file, Input::Gone("f")]] {
        let first = [synced(), added(&before), at(1, Life::Live)];
        let (mut tagger, mut reader) = after(first.into_iter().chain(proof));
        for input in [deleted(&before), at(2, Life::Live), added(&now), at(2, Life::Live)] {
            give(&mut tagger, input);
        }
        reader.read(&mut tagger);
        assert_eq!(reader.owner(&now), None, "nothing was stated since the namespace has the address");
        give(&mut tagger, at(3, Life::Live));
        reader.read(&mut tagger);
        assert_eq!(reader.owner(&now), by("u1", Source::PodIp));
    }
    for life in [Life::Terminating, Life::Terminated] {
        let inputs = [synced(), added(&before), at(1, Life::Live), deleted(&before), added(&now), at(2, life)];
        let (_, reader) = after(inputs);
        assert_eq!(reader.owner(&now), None);
    }
}

/// The place of a pod lasts as long as one of its sandboxes.
#[test]
fn second_sandbox_keeps_the_place() {
    let [first, second] = [("a", 1), ("b", 2)].map(|(name, id)| interface(id, &netns(id, name), "eth0", id as u8, ""));
    let other = interface(3, &netns(3, "c"), "eth0", 9, "10.0.0.1/24");
    let of = |path, name, mac| Input::File(path, file(name, &pod("web", Some("u1")), mac, "podnet"));
    let files = [of("f", "a", 1), of("g", "b", 2)];
    let inputs = [synced(), added(&first), added(&second), applied(record("web", "u1", "10.0.0.1"))];
    let (_, reader) = after(files.into_iter().chain(inputs).chain([deleted(&first), added(&other)]));
    assert_eq!(reader.owner(&second), by("u1", Source::CniCache));
    assert_eq!(reader.owner(&other), None, "the pod is in its second sandbox");
}

/// Only an address that two live pods claim is a conflict of pod IPs.
#[test]
fn two_live_claims_are_counted() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let newer = |created| applied(PodRecord { created, ..record("new", "u2", "10.0.0.1") });
    let ending = applied(PodRecord { life: Life::Terminating, ..record("old", "u1", "10.0.0.1") });
    let old = applied(record("old", "u1", "10.0.0.1"));
    let elsewhere = Input::File("f", file("a", &pod("web", Some("u3")), 7, "podnet"));
    for (inputs, wanted) in [
        (vec![old.clone(), newer(1)], 1),
        (vec![old.clone(), newer(0)], 1),
        (vec![old.clone(), ending], 0),
        (vec![elsewhere, old], 0),
    ] {
        let (tagger, _) = after([added(&eth0)].into_iter().chain(inputs).chain([synced()]));
        assert_eq!(tagger.conflicts().of(ConflictKind::ClaimedTwice), wanted);
    }
}
