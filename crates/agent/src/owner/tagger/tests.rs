use std::num::NonZeroU64;
use std::time::UNIX_EPOCH;

use iface_core::{IfName, Netns, OperState, Peer, Pod};
use proptest::prelude::*;

use super::super::pod::Life;
use super::*;

fn netns(number: u64, name: &str) -> Arc<Netns> {
    let id = NetnsId { dev: 4, inode: 1000 + number, generation: number };
    Arc::new(Netns { id, place: Place::Named(NetnsName::new(name)) })
}

fn host() -> Arc<Netns> {
    Arc::new(Netns { id: NetnsId { dev: 4, inode: 1, generation: 0 }, place: Place::Host })
}

fn interface(id: u64, netns: &Arc<Netns>, name: &str, mac: u8, address: &str) -> Arc<Interface> {
    Arc::new(Interface {
        id: InterfaceId(NonZeroU64::new(id).unwrap()),
        netns: netns.clone(),
        ifindex: id as u32,
        name: IfName::new(name).unwrap(),
        mac: Some([2, 0, 0, 0, 0, mac].into()),
        kind: None,
        oper_state: OperState::Up,
        admin_up: true,
        mtu: 1500,
        addresses: if address.is_empty() { Box::default() } else { [address.parse().unwrap()].into() },
        peer: None,
        owner: None,
        since: UNIX_EPOCH,
    })
}

fn pod(name: &str, uid: Option<&str>) -> Arc<Pod> {
    let (namespace, uid) = ("shop".to_owned(), uid.map(str::to_owned));
    Arc::new(Pod { namespace, name: name.to_owned(), uid, workload: None, attributes: Vec::new() })
}

fn file(netns: &str, pod: &Arc<Pod>, mac: u8, network: &str) -> Attachment {
    Attachment {
        netns: NetnsName::new(netns),
        pod: pod.clone(),
        interface: IfName::new("eth0").unwrap(),
        network: Some(network.into()),
        macs: vec![[2, 0, 0, 0, 0, mac].into()],
        addresses: Vec::new(),
        delegated: false,
    }
}

fn record(name: &str, uid: &str, address: &str) -> PodRecord {
    let pod = pod(name, Some(uid));
    PodRecord {
        named: pod.clone(),
        pod,
        uid: uid.into(),
        version: None,
        created: 0,
        addresses: vec![address.parse().unwrap()],
        life: Life::Live,
        networks: Vec::new(),
    }
}

#[derive(Clone, Debug)]
enum Input {
    Event(Event),
    File(&'static str, Attachment),
    Gone(&'static str),
    Pod(PodChange),
}

fn added(interface: &Arc<Interface>) -> Input {
    Input::Event(Event::Added(interface.clone()))
}

fn applied(record: PodRecord) -> Input {
    Input::Pod(PodChange::Applied(record))
}

fn give(tagger: &mut Tagger, input: Input) {
    let path = |name: &str| Arc::<Path>::from(Path::new(name));
    match input {
        Input::Event(event) => tagger.event(event),
        Input::File(name, attachment) => tagger.file(&path(name), attachment),
        Input::Gone(name) => tagger.file_gone(&path(name)),
        Input::Pod(change) => tagger.pod(change),
    }
}

/// What a reader knows who followed all events.
#[derive(Default)]
struct Reader(BTreeMap<InterfaceId, Arc<Interface>>);

impl Reader {
    fn read(&mut self, tagger: &mut Tagger) {
        for event in tagger.events() {
            let told = match &event {
                Event::Added(now) => self.0.insert(now.id, now.clone()).is_none(),
                Event::Updated(now, changes) => {
                    let before = self.0.insert(now.id, now.clone()).unwrap();
                    before.changes_to(now) == *changes && !changes.is_empty()
                }
                Event::Deleted(last) => self.0.remove(&last.id).is_some_and(|before| before == *last),
                Event::Synced => true,
            };
            assert!(told, "{event:?} does not follow from what was said before");
        }
    }

    fn owner(&self, interface: &Interface) -> Option<(String, Source, End)> {
        let owner = self.0[&interface.id].owner.as_ref()?;
        let uid = owner.pod.uid.clone().unwrap_or_else(|| format!("{} without uid", owner.pod.name));
        Some((uid, owner.source, owner.end))
    }

    fn network(&self, interface: &Interface) -> Option<String> {
        Some(self.0[&interface.id].owner.as_ref()?.network.as_ref()?.to_string())
    }
}

fn after(inputs: impl IntoIterator<Item = Input>) -> (Tagger, Reader) {
    let (mut tagger, mut reader) = (Tagger::default(), Reader::default());
    for input in inputs {
        give(&mut tagger, input);
        reader.read(&mut tagger);
    }
    (tagger, reader)
}

fn synced() -> Input {
    Input::Event(Event::Synced)
}

fn by(uid: &str, source: Source) -> Option<(String, Source, End)> {
    Some((uid.to_owned(), source, End::Pod))
}

#[test]
fn a_cni_file_gives_all_of_its_namespace_to_the_pod_and_the_network_to_its_interface() {
    let a = netns(1, "cni-a");
    let (lo, eth0) = (interface(1, &a, "lo", 0, "127.0.0.1/8"), interface(2, &a, "eth0", 7, "10.0.0.1/24"));
    let file = file("cni-a", &pod("web", Some("u1")), 7, "podnet");
    let (tagger, reader) = after([Input::File("f", file), added(&lo), added(&eth0)]);
    assert_eq!(reader.owner(&lo), by("u1", Source::CniCache));
    assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
    assert_eq!((reader.network(&lo), reader.network(&eth0)), (None, Some("podnet".into())));
    assert_eq!((tagger.untagged(), tagger.conflicts()), (0, 0));
}

#[test]
fn an_interface_that_comes_after_its_file_is_added_with_its_owner() {
    let eth0 = interface(2, &netns(1, "cni-a"), "eth0", 7, "");
    let mut tagger = Tagger::default();
    give(&mut tagger, Input::File("f", file("cni-a", &pod("web", Some("u1")), 7, "podnet")));
    give(&mut tagger, added(&eth0));
    let events: Vec<Event> = tagger.events().collect();
    assert!(matches!(events.as_slice(), [Event::Added(one)] if one.owner.is_some()), "{events:?}");
}

#[test]
fn a_file_older_than_the_namespace_that_has_its_name_now_tags_nothing() {
    let old = file("cni-a", &pod("old", Some("u0")), 3, "podnet");
    let eth0 = interface(2, &netns(1, "cni-a"), "eth0", 7, "");
    let (tagger, reader) = after([Input::File("f", old), added(&eth0)]);
    assert_eq!(reader.owner(&eth0), None);
    assert_eq!((tagger.untagged(), tagger.conflicts()), (1, 1));
}

#[test]
fn an_old_file_for_the_loopback_interface_proves_nothing() {
    let lo = interface(1, &netns(1, "cni-a"), "lo", 0, "127.0.0.1/8");
    let mut old = file("cni-a", &pod("old", Some("u0")), 0, "cni-loopback");
    (old.interface, old.macs) = (lo.name, Vec::new());
    let (_, reader) = after([Input::File("f", old), added(&lo)]);
    assert_eq!(reader.owner(&lo), None);
}

#[test]
fn a_file_speaks_only_of_the_first_namespace_it_fits() {
    let (first, second) = (netns(1, "cni-a"), netns(2, "cni-a"));
    let (before, now) = (interface(1, &first, "eth0", 7, ""), interface(2, &second, "eth0", 7, ""));
    let file = Input::File("f", file("cni-a", &pod("web", Some("u1")), 7, "podnet"));
    let (_, reader) = after([file, added(&before), Input::Event(Event::Deleted(before.clone())), added(&now)]);
    assert_eq!(reader.owner(&now), None);
}

#[test]
fn two_files_that_name_two_pods_tag_neither_and_are_told_once() {
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
    assert_eq!((tagger.conflicts(), tagger.notices().count()), (1, 1));
    give(&mut tagger, Input::Gone("g"));
    reader.read(&mut tagger);
    assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
}

#[test]
fn a_namespace_keeps_its_pod_when_the_file_and_the_pod_go_first() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "10.0.0.1/24");
    let file = file("cni-a", &pod("web", Some("u1")), 7, "podnet");
    let deleted = Input::Pod(PodChange::Deleted("u1".into()));
    let pods = applied(record("web", "u1", "10.0.0.1"));
    let (_, reader) = after([added(&eth0), Input::File("f", file), pods, Input::Gone("f"), deleted]);
    assert_eq!(reader.owner(&eth0), by("u1", Source::CniCache));
    assert_eq!(reader.network(&eth0).as_deref(), Some("podnet"));
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
    let (mut tagger, mut reader) = after(inputs);
    assert_eq!(reader.owner(&now), None);
    give(&mut tagger, applied(record("new", "u2", "10.0.0.1")));
    reader.read(&mut tagger);
    assert_eq!(reader.owner(&now), by("u2", Source::PodIp));
}

#[test]
fn a_claim_that_comes_when_its_namespace_has_died_unseen_is_not_the_next_ones() {
    let before = interface(1, &netns(1, "a"), "eth0", 7, "10.0.0.1/24");
    let now = interface(2, &netns(2, "b"), "eth0", 8, "10.0.0.1/24");
    let late = applied(record("old", "u1", "10.0.0.1"));
    let inputs = [synced(), added(&before), Input::Event(Event::Deleted(before.clone())), added(&now), late];
    let (mut tagger, mut reader) = after(inputs);
    assert_eq!(reader.owner(&now), None);
    give(&mut tagger, applied(record("new", "u2", "10.0.0.1")));
    reader.read(&mut tagger);
    assert_eq!(reader.owner(&now), by("u2", Source::PodIp));
}

fn deleted(interface: &Arc<Interface>) -> Input {
    Input::Event(Event::Deleted(interface.clone()))
}

/// Other pods come and go, more than are remembered.
fn churn(tagger: &mut Tagger) {
    for number in 0..5000 {
        let path: Arc<Path> = Path::new("churn").into();
        let pod = pod(&format!("job-{number}"), Some(&format!("job-{number}")));
        tagger.file(&path, file("cni-job", &pod, 200, "podnet"));
        tagger.file_gone(&path);
    }
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
fn what_multus_delegated_names_the_network_better_than_the_runtime() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "");
    let outer = file("cni-a", &pod("web", Some("u1")), 7, "k8s-pod-network");
    let delegate = Attachment { delegated: true, ..file("cni-a", &pod("web", Some("u1")), 7, "ovn") };
    for inputs in permutations(&[added(&eth0), Input::File("f", outer), Input::File("g", delegate)]) {
        let (tagger, reader) = after(inputs);
        assert_eq!(reader.network(&eth0).as_deref(), Some("ovn"));
        assert_eq!(tagger.conflicts(), 0);
    }
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
fn the_hosts_end_follows_its_peer_and_is_marked() {
    let a = netns(1, "cni-a");
    let eth0 = interface(1, &a, "eth0", 7, "");
    let mut end = interface(2, &host(), "veth1", 9, "");
    let peer = Peer { netns: a.clone(), ifindex: eth0.ifindex, name: eth0.name };
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
fn the_hosts_end_is_nobodys_when_its_peer_goes_where_nothing_is_known() {
    let (a, b) = (netns(1, "cni-a"), netns(2, "b"));
    let (eth0, moved) = (interface(1, &a, "eth0", 7, ""), interface(3, &b, "eth0", 7, ""));
    let end_of = |inside: &Arc<Interface>| {
        let peer = Peer { netns: inside.netns.clone(), ifindex: inside.ifindex, name: inside.name };
        Arc::new(Interface { peer: Some(peer.into()), ..(*interface(2, &host(), "veth1", 9, "")).clone() })
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
fn a_static_pod_is_known_by_its_mirrors_uid() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "");
    let mirror = PodRecord { named: pod("etcd", Some("hash")), ..record("etcd", "mirror", "10.0.0.1") };
    let file = Input::File("f", file("cni-a", &pod("etcd", Some("hash")), 7, "podnet"));
    for inputs in permutations(&[added(&eth0), applied(mirror), file]) {
        let (tagger, reader) = after(inputs);
        assert_eq!(reader.owner(&eth0), by("mirror", Source::CniCache));
        assert_eq!(tagger.conflicts(), 0);
    }
}

#[test]
fn a_file_without_uid_gets_one_only_where_an_address_agrees() {
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
fn a_namespace_whose_file_has_no_uid_stays_its_pods_when_a_successor_has_name_and_address() {
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
fn a_cache_that_corrects_what_was_known_is_believed_and_counted() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "");
    let [first, second] =
        [("web", "u1"), ("db", "u2")].map(|(name, uid)| file("cni-a", &pod(name, Some(uid)), 7, "podnet"));
    let (mut tagger, reader) =
        after([added(&eth0), Input::File("f", first), Input::Gone("f"), Input::File("g", second)]);
    assert_eq!(reader.owner(&eth0), by("u2", Source::CniCache));
    assert_eq!((tagger.conflicts(), tagger.notices().count()), (1, 1));
}

#[test]
fn a_link_layer_address_that_is_the_parents_proves_nothing_by_itself() {
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
fn contradictions_of_a_namespace_are_remembered_within_bounds() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "10.0.0.1/24");
    let thief = Input::File("f", file("cni-a", &pod("thief", Some("u9")), 7, "podnet"));
    let (mut tagger, _) = after([synced(), added(&eth0), thief]);
    for number in 0..200 {
        let uid = format!("u-{number}");
        tagger.pod(PodChange::Applied(record("victim", &uid, "10.0.0.1")));
        tagger.pod(PodChange::Deleted(uid.as_str().into()));
    }
    assert_eq!(tagger.conflicts(), 200, "each is another pod");
    assert!(tagger.spaces[&eth0.netns.id].said.len() < 100);
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

#[test]
fn multus_names_a_network_of_the_pods_own_interfaces_only() {
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

fn permutations(inputs: &[Input]) -> Vec<Vec<Input>> {
    if inputs.is_empty() {
        return vec![Vec::new()];
    }
    (0..inputs.len())
        .flat_map(|at| {
            let mut rest = inputs.to_vec();
            let first = rest.remove(at);
            permutations(&rest).into_iter().map(move |rest| [vec![first.clone()], rest].concat())
        })
        .collect()
}

proptest! {
    /// Two pods of two namespaces with a host end, an address both sources know, and a stray file.
    #[test]
    fn the_order_in_which_everything_arrives_does_not_matter(
        inputs in Just(everything()).prop_shuffle(),
    ) {
        let (_, in_order) = after(everything());
        let (_, shuffled) = after(inputs);
        prop_assert_eq!(&in_order.0, &shuffled.0);
    }
}

fn everything() -> Vec<Input> {
    let spaces = [netns(1, "cni-a"), netns(2, "b"), netns(3, "c")];
    let mut inputs = vec![synced()];
    for (number, space) in (1..).zip(&spaces) {
        let eth0 = interface(number * 10, space, "eth0", number as u8, &format!("10.0.0.{number}/24"));
        let mut end = interface(number * 10 + 1, &host(), &format!("veth{number}"), 100, "");
        let peer = Peer { netns: space.clone(), ifindex: eth0.ifindex, name: eth0.name };
        Arc::make_mut(&mut end).peer = Some(peer.into());
        inputs.extend([added(&eth0), added(&end)]);
        inputs.push(added(&interface(number * 10 + 2, space, "net1", 50, "")));
        inputs.push(applied(record("web", &format!("u{number}"), &format!("10.0.0.{number}"))));
    }
    let file_for = |path, uid: &str, mac| Input::File(path, file("cni-a", &pod("web", Some(uid)), mac, "podnet"));
    inputs.push(file_for("right", "u1", 1));
    inputs.push(file_for("stray", "u8", 99));
    inputs
}
