//! Records of the sandboxes of pods.

use super::*;

fn sandbox(netns: &str, pod: &Arc<Pod>) -> Sandbox {
    Sandbox { pod: pod.clone(), netns: NetnsName::new(netns) }
}

fn recorded(name: &'static str, uid: &str) -> Input {
    Input::Sandbox("sandbox", sandbox(RANDOM, &pod(name, Some(uid))))
}

fn pair() -> (Arc<Interface>, Arc<Interface>) {
    let netns = netns(1, RANDOM);
    let eth0 = interface(10, &netns, "eth0", 1, "10.0.0.1/24");
    let mut end = interface(11, &host(), "veth1", 100, "");
    Arc::make_mut(&mut end).peer = Some(Peer::new(netns, eth0.ifindex, eth0.name).into());
    (eth0, end)
}

/// In any order, both ends have the pod, which stays after the record; records are no CNI results.
#[test]
fn record_names_the_pod() {
    let (eth0, end) = pair();
    for inputs in permutations(&[recorded("web", "u1"), added(&eth0), added(&end), synced()]) {
        let (mut tagger, mut reader) = after(inputs);
        for (one, at) in [(&eth0, End::Pod), (&end, End::Host)] {
            assert_eq!(reader.owner(one), Some(("u1".into(), Source::RuntimeRecord, at)));
        }
        assert_eq!((tagger.files(), tagger.proven_files(), tagger.conflicts().total()), (0, 0, 0));
        give(&mut tagger, Input::ContainerGone("sandbox".into()));
        reader.read(&mut tagger);
        assert_eq!(reader.owner(&eth0), by("u1", Source::RuntimeRecord));
    }
}

/// The CNI result of the same pod adds the network, and is named as the source.
#[test]
fn results_come_before_records() {
    let (eth0, _) = pair();
    let result = Input::File("f", file(RANDOM, &pod("web", Some("u1")), 1, "podnet"));
    for inputs in permutations(&[recorded("web", "u1"), result, added(&eth0), synced()]) {
        let (tagger, reader) = after(inputs);
        assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
        assert_eq!(reader.network(&eth0), Some("podnet".into()));
        assert_eq!((tagger.files(), tagger.proven_files(), tagger.conflicts().total()), (1, 1, 0));
    }
}

/// A record of another pod never replaces the pod of a CNI result, and is counted.
#[test]
fn record_against_result_loses() {
    let (eth0, _) = pair();
    let result = Input::File("f", file(RANDOM, &pod("web", Some("u1")), 1, "podnet"));
    for inputs in permutations(&[recorded("other", "u2"), result, added(&eth0), synced()]) {
        let (mut tagger, mut reader) = after(inputs);
        assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
        assert_eq!(tagger.conflicts().of(ConflictKind::RecordAgainstResult), 1);
        give(&mut tagger, Input::Gone("f"));
        reader.read(&mut tagger);
        assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
    }
}

#[test]
fn two_records_name_no_owner() {
    let (eth0, _) = pair();
    let other = Input::Sandbox("other", sandbox(RANDOM, &pod("other", Some("u2"))));
    for inputs in permutations(&[recorded("web", "u1"), other, added(&eth0), synced()]) {
        let (tagger, reader) = after(inputs);
        assert_eq!(tagger.conflicts().of(ConflictKind::TwoResults), 1);
        assert_eq!(reader.owner(&eth0), None);
    }
}

/// The API server adds its knowledge of the pod; the record stays the source.
#[test]
fn record_proves_before_addresses() {
    let (eth0, _) = pair();
    let web = applied(PodRecord { created: 7, ..record("web", "u1", "10.0.0.1") });
    for inputs in permutations(&[recorded("web", "u1"), web, added(&eth0), synced()]) {
        let (tagger, reader) = after(inputs);
        assert_eq!(reader.owner(&eth0), by("u1", Source::RuntimeRecord));
        assert_eq!(tagger.conflicts().total(), 0);
    }
}

/// A path with the record of a container can later be a pod's, as after a restored backup.
#[test]
fn record_can_change_its_subject() {
    let (eth0, _) = pair();
    let claim = super::containers::named("sandbox", RANDOM);
    let (mut tagger, mut reader) = after([claim.clone(), added(&eth0), synced(), recorded("web", "u1")]);
    assert_eq!(reader.owner(&eth0), by("u1", Source::RuntimeRecord));
    give(&mut tagger, Input::ContainerGone("sandbox".into()));
    reader.read(&mut tagger);
    let (_, reader) = after([recorded("web", "u1"), claim, added(&eth0), synced()]);
    assert!(reader.0[&eth0.id].owner.as_ref().is_some_and(|owner| owner.container().is_some()));
}
