//! Pod addresses as evidence.

use super::*;

/// Other pods come and go, more than are remembered.
fn churn(tagger: &mut Tagger) {
    for number in 0..5000 {
        let path: Arc<Path> = Path::new("churn").into();
        let pod = pod(&format!("job-{number}"), Some(&format!("job-{number}")));
        tagger.file(&path, file("cni-job", &pod, 200, "podnet"));
        tagger.file_gone(&path);
    }
}

/// After these inputs nobody owns the interface; then a pod claims 10.0.0.1 and does.
fn tags_only_a_new_claim(inputs: impl IntoIterator<Item = Input>, interface: &Interface) {
    let (mut tagger, mut reader) = after(inputs);
    assert_eq!(reader.owner(interface), None);
    give(&mut tagger, applied(record("new", "u2", "10.0.0.1")));
    reader.read(&mut tagger);
    assert_eq!(reader.owner(interface), by("u2", Source::PodIp));
}

#[test]
fn an_address_of_a_live_pod_tags_its_namespace_once_all_is_known() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let (mut tagger, mut reader) = after([added(&eth0), applied(record("web", "u1", "10.0.0.1"))]);
    assert_eq!(reader.owner(&eth0), None);
    give(&mut tagger, synced());
    reader.read(&mut tagger);
    assert_eq!(reader.owner(&eth0), by("u1", Source::PodIp));
}

#[test]
fn a_pod_that_is_over_or_ending_or_on_the_hosts_network_claims_no_address() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    for (life, addresses) in [(Life::Over, 1), (Life::Terminating, 1), (Life::Live, 0)] {
        let mut record = PodRecord { life, ..record("web", "u1", "10.0.0.1") };
        record.addresses.truncate(addresses);
        let (_, reader) = after([added(&eth0), synced(), applied(record)]);
        assert_eq!(reader.owner(&eth0), None, "{life:?}");
    }
}

#[test]
fn a_pod_that_is_ending_keeps_the_namespace_it_has() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let live = record("web", "u1", "10.0.0.1");
    for life in [Life::Terminating, Life::Over] {
        let ending = PodRecord { life, ..live.clone() };
        let (_, reader) = after([added(&eth0), synced(), applied(live.clone()), applied(ending)]);
        assert_eq!(reader.owner(&eth0), by("u1", Source::PodIp));
    }
}

#[test]
fn an_address_used_again_is_not_the_old_pods_whatever_the_api_server_still_shows() {
    let (old, new) = (netns(1, "a"), netns(2, "b"));
    let before = interface(1, &old, "eth0", 7, "10.0.0.1/24");
    let now = interface(2, &new, "eth0", 8, "10.0.0.1/24");
    let inputs = [
        added(&before),
        synced(),
        applied(record("old", "u1", "10.0.0.1")),
        Input::Event(Event::Deleted(before.clone())),
        added(&now),
    ];
    tags_only_a_new_claim(inputs, &now);
}

#[test]
fn a_claim_that_comes_when_its_namespace_has_died_unseen_is_not_the_next_ones() {
    let before = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let now = interface(2, &netns(2, "b"), "eth0", 8, "10.0.0.1/24");
    let late = applied(record("old", "u1", "10.0.0.1"));
    let inputs = [synced(), added(&before), Input::Event(Event::Deleted(before.clone())), added(&now), late];
    tags_only_a_new_claim(inputs, &now);
}

#[test]
fn an_interface_that_is_renamed_before_its_pod_is_known_is_still_that_pods() {
    let a = netns(1, "a");
    let lo = interface(1, &a, "lo", 0, "127.0.0.1/8");
    let before = interface(2, &a, "tmp", 7, "10.0.0.1/24");
    let now = interface(3, &a, "eth0", 7, "10.0.0.1/24");
    let pods = applied(record("web", "u1", "10.0.0.1"));
    let (_, reader) = after([synced(), added(&lo), added(&before), deleted(&before), added(&now), pods]);
    assert_eq!(reader.owner(&now), by("u1", Source::PodIp));
}

#[test]
fn a_namespace_that_ended_unknown_is_remembered_whatever_happened_to_its_address_before() {
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
    // The next one is as unknown, and one more makes the first be forgotten.
    let other = interface(3, &netns(3, "c"), "eth0", 9, "10.0.0.2/24");
    for input in [added(&before), deleted(&before), added(&other), deleted(&other), added(&now)] {
        give(&mut tagger, input);
    }
    give(&mut tagger, applied(record("late", "u1", "10.0.0.1")));
    reader.read(&mut tagger);
    assert_eq!(reader.owner(&now), None);
}

#[test]
fn a_pod_the_cache_has_placed_is_not_found_by_address_however_many_came_after_it() {
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
fn a_pod_the_cache_placed_elsewhere_does_not_come_back_by_address_when_that_is_long_ago() {
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
fn a_pods_second_address_does_not_outlive_its_namespace() {
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
        assert!(tagger.conflicts() > 0);
    }
}

#[test]
fn of_two_live_claimants_the_newer_wins_and_it_is_counted() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let newer = PodRecord { created: 5, ..record("new", "u2", "10.0.0.1") };
    let pods = [record("old", "u1", "10.0.0.1"), newer];
    let (tagger, reader) = after([added(&eth0), Input::Pod(PodChange::Listed(pods.into())), synced()]);
    assert_eq!(reader.owner(&eth0), by("u2", Source::PodIp));
    assert_eq!(tagger.conflicts(), 1);
}

#[test]
fn a_pod_that_takes_another_pods_address_does_not_get_its_tag() {
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
fn a_pod_the_cache_places_elsewhere_is_not_found_by_address() {
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
fn a_pod_that_is_over_does_not_begin_again_whatever_version_says_so() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let at = |version, life| applied(PodRecord { version, life, ..record("old", "u1", "10.0.0.1") });
    // An API server restored from a backup counts from lower on, and one without numbers does not count.
    for (earlier, later) in [(Some(9), Some(3)), (None, None), (Some(3), Some(9))] {
        let (_, reader) = after([synced(), at(earlier, Life::Live), at(later, Life::Over), added(&eth0)]);
        assert_eq!(reader.owner(&eth0), None, "ends with version {later:?} after {earlier:?}");
        let (_, reader) = after([synced(), at(earlier, Life::Over), at(later, Life::Live), added(&eth0)]);
        assert_eq!(reader.owner(&eth0), None, "begins with version {later:?} after {earlier:?}");
    }
}

#[test]
fn a_deleted_pod_does_not_come_back_from_an_api_server_that_lags() {
    let eth0 = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let stale = record("old", "u1", "10.0.0.1");
    let deleted = Input::Pod(PodChange::Deleted("u1".into()));
    let relisted = Input::Pod(PodChange::Listed(vec![stale.clone()]));
    let (_, reader) = after([synced(), applied(stale), deleted, relisted, added(&eth0)]);
    assert_eq!(reader.owner(&eth0), None);
}
