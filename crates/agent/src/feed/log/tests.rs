use std::collections::BTreeMap;

use iface_core::Place;
use proptest::prelude::*;

use super::*;
use crate::testing::{at, changed, interface};

type State = BTreeMap<InterfaceId, Arc<Interface>>;

/// A step of the writer or of the reader.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The interface of a slot appears, or disappears.
    Toggle(u64),
    Mtu(u64, u32),
    Read(usize),
    /// The reader is cut and goes on.
    Resume,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..6_u64).prop_map(Step::Toggle),
        4 => (1..6_u64, 0..4_u32).prop_map(|(slot, mtu)| Step::Mtu(slot, mtu)),
        3 => (0..4_usize).prop_map(Step::Read),
        1 => Just(Step::Resume),
    ]
}

/// The writer: the interfaces that exist, one per slot, each existence with an id of its own.
struct Writer {
    log: Log,
    slots: BTreeMap<u64, Arc<Interface>>,
    ids: u64,
}

impl Writer {
    fn new() -> Self {
        let mut log = Log::new(at(1));
        log.push(&Event::Synced, at(1));
        Self { log, slots: BTreeMap::new(), ids: 0 }
    }

    fn toggle(&mut self, slot: u64) {
        let event = match self.slots.remove(&slot) {
            Some(interface) => Event::Deleted(interface, None),
            None => {
                self.ids += 1;
                let new = Arc::new(interface(self.ids, format!("eth{slot}"), Place::Host, at(1)));
                self.slots.insert(slot, new.clone());
                Event::Added(new)
            }
        };
        self.log.push(&event, at(2));
    }

    fn set_mtu(&mut self, slot: u64, mtu: u32) {
        let Some(before) = self.slots.get(&slot) else { return };
        let now = changed(before, |interface| interface.mtu = mtu);
        if let Some(event) = Event::between(Some(before), Some(&now)) {
            self.slots.insert(slot, now);
            self.log.push(&event, at(2));
        }
    }

    fn state(&self, select: fn(&Interface) -> bool) -> State {
        self.slots.values().filter(|interface| select(interface)).map(|it| (it.id, it.clone())).collect()
    }
}

/// Applies a line; a reader that was never cut also checks the kind of the event.
fn apply(state: &mut State, line: &Line, was_cut: bool) {
    match &line.event {
        Event::Added(new) => assert!(state.insert(new.id, new.clone()).is_none() || was_cut, "added twice"),
        Event::Updated(new, changes) => {
            let before = state.insert(new.id, new.clone());
            assert!(before.is_some() || was_cut, "an update of an unknown interface");
            assert!(before.is_none_or(|before| changes.contains(before.changes_to(new))), "a change is left out");
        }
        Event::Deleted(old, _) => assert!(state.remove(&old.id).is_some() || was_cut, "deleted twice"),
        Event::Synced => {}
    }
}

fn replay(steps: &[Step], select: fn(&Interface) -> bool) {
    let mut writer = Writer::new();
    let (mut position, mut state, mut was_cut, mut seq) = (writer.log.start(), State::new(), false, None);
    let mut read = |writer: &Writer, position: &mut Position, was_cut: bool, seq: &mut Option<u64>, most: usize| {
        for _ in 0..most {
            let super::Step::Line(line) = writer.log.next(position, select) else { break };
            assert!(seq.is_none_or(|before| line.seq >= before), "numbers go back");
            *seq = Some(line.seq);
            apply(&mut state, &line, was_cut);
        }
        state.clone()
    };
    for step in steps {
        match *step {
            Step::Toggle(slot) => writer.toggle(slot),
            Step::Mtu(slot, mtu) => writer.set_mtu(slot, 1_000 + mtu),
            Step::Read(most) => drop(read(&writer, &mut position, was_cut, &mut seq, most)),
            Step::Resume => {
                if let Some(seq) = seq {
                    position = writer.log.resume(seq, select).expect("nothing is forgotten");
                    was_cut = true;
                }
            }
        }
    }
    assert_eq!(read(&writer, &mut position, was_cut, &mut seq, usize::MAX), writer.state(select));
}

proptest! {
    /// However slow or cut, a reader ends with the interfaces that exist.
    #[test]
    fn readers_end_with_what_exists(steps in prop::collection::vec(step(), 0..60)) {
        replay(&steps, |_| true);
    }

    /// An interface is added once the selection matches, and deleted once the selection no longer matches.
    #[test]
    fn selections_follow_changes(steps in prop::collection::vec(step(), 0..60)) {
        replay(&steps, |interface| interface.mtu != 1_001);
    }
}

fn lines(log: &Log, position: &mut Position) -> Vec<String> {
    let next = || match log.next(position, |_| true) {
        super::Step::Line(line) => {
            let name = line.event.interface().map(|it| format!(" {}", it.name)).unwrap_or_default();
            Some(format!("{}{name}", line.event.kind()))
        }
        super::Step::Wait | super::Step::Behind => None,
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn existing_interfaces_come_before_synced() {
    let mut writer = Writer::new();
    writer.toggle(1);
    let mut position = writer.log.start();
    assert_eq!(lines(&writer.log, &mut position), ["Added eth1", "Synced"]);
    writer.set_mtu(1, 9000);
    writer.toggle(1);
    writer.toggle(2);
    assert_eq!(lines(&writer.log, &mut position), ["Deleted eth1", "Added eth2"]);
}

#[test]
fn nothing_is_sent_before_synced() {
    let mut log = Log::new(at(1));
    log.push(&Event::Added(Arc::new(interface(1, "eth0", Place::Host, at(1)))), at(1));
    let mut position = log.start();
    assert!(matches!(log.next(&mut position, |_| true), super::Step::Wait));
    log.push(&Event::Synced, at(1));
    assert_eq!(lines(&log, &mut position), ["Added eth0", "Synced"]);
}

#[test]
fn merged_changes_are_counted() {
    let mut writer = Writer::new();
    writer.toggle(1);
    let mut position = writer.log.start();
    lines(&writer.log, &mut position);
    (1..=3).for_each(|mtu| writer.set_mtu(1, mtu));
    let super::Step::Line(line) = writer.log.next(&mut position, |_| true) else { panic!("no line") };
    assert_eq!(line.merged, 2);
}

/// Memory for deleted interfaces is limited, so a reader that is further behind has to start again.
#[test]
fn forgotten_deletions_end_old_readers() {
    let mut writer = Writer::new();
    writer.toggle(1);
    let mut old = writer.log.start();
    lines(&writer.log, &mut old);
    let seq = writer.log.last();
    for _ in 0..=2 * DELETED {
        writer.toggle(1);
    }
    assert!(writer.log.entries.len() <= DELETED + 1);
    assert_eq!(writer.log.places.len(), writer.log.entries.len());
    assert!(matches!(writer.log.next(&mut old, |_| true), super::Step::Behind));
    assert!(writer.log.resume(seq, |_| true).is_none());
    let mut fresh = writer.log.start();
    assert_eq!(lines(&writer.log, &mut fresh).last().map(String::as_str), Some("Synced"));
}

#[test]
fn numbers_of_another_run_are_refused() {
    let log = Log::new(at(100));
    assert!(log.resume(log.last(), |_| true).is_some());
    for seq in [0, log.last() - 1, log.last() + 1, u64::MAX] {
        assert!(log.resume(seq, |_| true).is_none(), "{seq}");
    }
}
