use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::testing::{self, history, interface, steps};
use crate::{Confidence, Event, IfName, InterfaceId, Lookup, MacAddr, NetnsRef};

pub(super) mod interleaved;
mod parallel;

const RULES: &str = "0a:58=eth1,0a=eth0";

fn table() -> (Writer, Lookup) {
    let shared = Arc::new(Shared::new(RULES.parse().unwrap()));
    (Writer::new(shared.clone()), Lookup { shared, kernel: None })
}

/// Reference model of the table, by linear search.
#[derive(Default)]
struct Model(HashMap<InterfaceId, Arc<Interface>>);

type Answer = Option<(InterfaceId, Confidence)>;

impl Model {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Added(new) | Event::Updated(new, _) => self.0.insert(new.id, new.clone()),
            Event::Deleted(old, _) => self.0.remove(&old.id),
            Event::Synced => None,
        };
    }

    /// The best match and the number of matches.
    fn best(&self, fits: impl Fn(&Interface) -> bool) -> Option<(InterfaceId, usize)> {
        let mut fitting: Vec<_> = self.0.values().filter(|interface| fits(interface)).collect();
        fitting.sort_by_key(|it| (!it.netns.is_host(), it.netns.place.clone(), it.ifindex, std::cmp::Reverse(it.id)));
        Some((fitting.first()?.id, fitting.len()))
    }

    fn by(&self, fits: impl Fn(&Interface) -> bool) -> Answer {
        let (id, count) = self.best(fits)?;
        Some((id, if count == 1 { Confidence::Exact } else { Confidence::Guess }))
    }

    fn for_index_and_mac(&self, ifindex: u32, mac: Option<&MacAddr>) -> Answer {
        let (guess, count) = self.best(|it| it.ifindex == ifindex)?;
        if count == 1 {
            return Some((guess, Confidence::Exact));
        }
        let Some(mac) = mac else { return Some((guess, Confidence::Guess)) };
        if let Some(answer) = self.by(|it| it.ifindex == ifindex && it.mac.as_ref() == Some(mac)) {
            return Some(answer);
        }
        let rules: [(&[u8], &str); 2] = [(&[0x0a, 0x58], "eth1"), (&[0x0a], "eth0")];
        let preferred = rules.iter().filter(|(prefix, _)| mac.as_bytes().starts_with(prefix));
        let mut preferred = preferred.filter_map(|(_, name)| self.best(|it| it.ifindex == ifindex && it.name == *name));
        Some(preferred.next().map_or((guess, Confidence::Guess), |(id, _)| (id, Confidence::Preferred)))
    }
}

/// Every possible lookup of the sample's interfaces has the model's result.
fn agree(lookup: &Lookup, model: &Model) {
    let answer = |found: Option<crate::Found>| found.map(|found| (found.id, found.confidence));
    let macs = [0, 1, 2, 9].map(testing::mac).into_iter().chain([MacAddr::from([0x0b; 6])]);
    for mac in macs.clone().map(Some).chain([None]) {
        for ifindex in 0..5 {
            let expected = model.for_index_and_mac(ifindex, mac.as_ref());
            assert_eq!(answer(lookup.for_index_and_mac(ifindex, mac.as_ref())), expected, "{ifindex} {mac:?}");
            let named = lookup.name_for_index_and_mac(ifindex, mac.as_ref());
            let expected = expected.map(|(id, confidence)| (model.0[&id].name, confidence));
            assert_eq!(named.map(|it| (it.name, it.confidence)), expected, "{ifindex} {mac:?}");
        }
    }
    for mac in macs {
        assert_eq!(answer(lookup.by_mac(&mac)), model.by(|it| it.mac == Some(mac)), "{mac}");
    }
    for name in ["eth0", "eth1", "net1", "net2"].map(testing::name) {
        assert_eq!(answer(lookup.by_name(&name)), model.by(|it| it.name == name), "{name}");
    }
    for (netns, ifindex) in (0..4).flat_map(|netns| (0..5).map(move |ifindex| (testing::netns(netns), ifindex))) {
        let (inode, cookie) = (netns.inode().unwrap(), netns.cookie.unwrap());
        let numbers = [NetnsRef::Inode(inode), NetnsRef::Cookie(cookie)];
        for within in [NetnsRef::Id(netns.id), NetnsRef::from(&netns.place)].into_iter().chain(numbers) {
            let expected = model.by(|it| it.ifindex == ifindex && within.is(&it.netns));
            assert_eq!(answer(lookup.in_netns(within, ifindex)), expected, "{within:?} {ifindex}");
        }
    }
    let mut all = lookup.interfaces();
    all.sort_by_key(|interface| interface.id);
    let mut expected: Vec<_> = model.0.values().cloned().collect();
    expected.sort_by_key(|interface| interface.id);
    assert_eq!(all, expected);
    assert_eq!(lookup.len(), expected.len());
    for interface in expected {
        assert_eq!(*lookup.get(interface.id).unwrap(), *interface);
    }
}

proptest! {
    #[test]
    fn lookups_agree_with_a_linear_search(steps in steps()) {
        let (mut writer, lookup) = table();
        let mut model = Model::default();
        for event in history(&steps) {
            writer.apply(&event);
            model.apply(&event);
            agree(&lookup, &model);
        }
    }

    #[test]
    fn contradictory_events_keep_the_last_state(
        events in proptest::collection::vec((1..6u64, 0..3u8, 0..3u32, 0..3u8, 0..3u8), 0..60)
    ) {
        let (mut writer, lookup) = table();
        let mut model = Model::default();
        for (id, netns, ifindex, mac, kind) in events {
            let interface = Arc::new(interface(id, netns, ifindex, "eth0", Some(mac)));
            let event = match kind {
                0 => Event::Added(interface),
                1 => Event::Updated(interface, crate::Changes::MAC),
                _ => Event::Deleted(interface, None),
            };
            writer.apply(&event);
            model.apply(&event);
            agree(&lookup, &model);
        }
    }
}

fn pod(number: u64) -> Arc<Interface> {
    let mut pod = interface(number, 1, 2, "eth0", None);
    pod.mac = Some(MacAddr::from(
        [&[0x0a, 0x58][..], &(number as u32).to_be_bytes()].concat().try_into().map_or([0; 6], |mac: [u8; 6]| mac),
    ));
    Arc::new(pod)
}

#[test]
fn table_grows_and_shrinks() {
    let (mut writer, lookup) = table();
    let pods: Vec<_> = (1..=5_000).map(pod).collect();
    pods.iter().for_each(|pod| writer.apply(&Event::Added(pod.clone())));
    for pod in &pods {
        let found = lookup.for_index_and_mac(2, pod.mac.as_ref()).unwrap();
        assert_eq!((found.id, found.confidence), (pod.id, Confidence::Exact));
    }
    let full = lookup.shared.table.load().rows.len();
    pods.iter().skip(1).for_each(|pod| writer.apply(&Event::Deleted(pod.clone(), None)));
    assert_eq!(lookup.for_index_and_mac(2, None).unwrap().confidence, Confidence::Exact);
    let empty = lookup.shared.table.load().rows.len();
    assert!(empty <= 16 && full >= 5_000, "{full} slots, then {empty}");
}

#[test]
fn churn_takes_no_more_room() {
    let (mut writer, lookup) = table();
    let sizes: Vec<_> = (0..20_000)
        .map(|number| {
            writer.apply(&Event::Added(pod(number + 101)));
            if number >= 100 {
                writer.apply(&Event::Deleted(pod(number + 1), None));
            }
            let table = lookup.shared.table.load();
            (table.rows.len(), table.indexes.iter().map(Index::len).sum())
        })
        .collect();
    let most = |range: &[(usize, usize)]| (range.iter().map(|s| s.0).max(), range.iter().map(|s| s.1).max());
    assert_eq!(most(&sizes[..1_000]), most(&sizes[1_000..]));
}

#[test]
fn copied_name_survives_its_interface() {
    let (mut writer, lookup) = table();
    writer.apply(&Event::Added(Arc::new(interface(1, 0, 2, "eth0", Some(1)))));
    let answer = lookup.name_for_index_and_mac(2, None).unwrap();
    let found = lookup.by_name(&IfName::new("eth0").unwrap()).unwrap();
    writer.apply(&Event::Deleted(found.to_arc(), None));
    assert_eq!((answer.name, found.name), (testing::name("eth0"), testing::name("eth0")));
    assert_eq!(lookup.name_for_index_and_mac(2, None), None);
}
