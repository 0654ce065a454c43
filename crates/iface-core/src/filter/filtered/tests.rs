//! `Filtered` against a model: random histories, filters and readers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Wake, Waker};

use futures_util::{FutureExt, Stream, StreamExt, stream};
use proptest::prelude::*;

use super::*;
use crate::testing::{history, interface, steps};
use crate::{Changes, InterfaceId, OperState};

const NONE: &[&str] = &[];

fn excluding(words: &[&str]) -> Filter {
    Filter::from_words(NONE, words, NONE).unwrap()
}

/// Filters that random interfaces pass in different ways.
fn filters() -> [Filter; 4] {
    let by_address = Filter::from_words(NONE, NONE, &["10.1.0.0/16"]).unwrap();
    [Filter::everything(), excluding(&["eth0"]), excluding(&["/^eth/"]), by_address]
}

/// An informer that is fed by hand.
#[derive(Clone, Default)]
struct Source(Arc<Mutex<VecDeque<Event>>>);

impl Source {
    fn push(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }

    fn stream(&self) -> impl Informer + use<> {
        let source = self.0.clone();
        stream::poll_fn(move |_| match source.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None => Poll::Pending,
        })
    }
}

fn ready<S: Stream<Item = Event> + Unpin>(events: &mut S) -> Option<Event> {
    events.next().now_or_never().flatten()
}

type State = BTreeMap<InterfaceId, Arc<Interface>>;

/// Applies an event; panics if the event breaks the order.
fn apply(state: &mut State, event: &Event) {
    match event {
        Event::Added(new) => assert_eq!(state.insert(new.id, new.clone()), None, "added twice"),
        Event::Updated(new, changes) => {
            let before = state.insert(new.id, new.clone()).expect("known");
            assert!(changes.contains(before.changes_to(new)), "{changes:?} lacks a change");
        }
        Event::Deleted(old, _) => assert!(state.remove(&old.id).is_some(), "deleted unknown"),
        Event::Synced => {}
    }
}

/// One step of a run.
#[derive(Clone, Debug)]
enum Move {
    Event(Event),
    Filter(usize),
    Read(usize),
    Drain,
}

/// A random history with `Synced`, changes of filter and reads in between.
fn moves() -> impl Strategy<Value = Vec<Move>> {
    let between = prop_oneof![
        2 => Just(None),
        1 => (0..filters().len()).prop_map(|n| Some(Move::Filter(n))),
        1 => (1..4usize).prop_map(|n| Some(Move::Read(n))),
        1 => Just(Some(Move::Drain)),
    ];
    let between = prop::collection::vec((between.clone(), between), 130);
    (steps(), any::<prop::sample::Index>(), between).prop_map(|(steps, synced, between)| {
        let mut events = history(&steps);
        events.insert(synced.index(events.len() + 1), Event::Synced);
        let moves = events.into_iter().map(Move::Event).zip(between);
        moves.flat_map(|(event, (a, b))| [Some(event), a, b]).flatten().chain([Move::Drain]).collect()
    })
}

proptest! {
    // After every drain the reader knows the allowed interfaces and no others; the table knows all.
    #[test]
    fn reader_knows_exactly_the_allowed(moves in moves()) {
        let source = Source::default();
        let mut events = Filtered::new(Registerer::new(source.stream()), filters()[0].clone());
        let (handle, lookup) = (events.handle(), events.lookup());
        let (mut exists, mut known, mut synced) = (State::new(), State::new(), false);
        for one in moves {
            match one {
                Move::Event(event) => {
                    synced |= event == Event::Synced;
                    apply(&mut exists, &event);
                    source.push(event);
                }
                Move::Filter(n) => handle.set(filters()[n].clone()),
                Move::Read(n) => (0..n).filter_map(|_| ready(&mut events)).for_each(|event| apply(&mut known, &event)),
                Move::Drain => {
                    std::iter::from_fn(|| ready(&mut events)).for_each(|event| apply(&mut known, &event));
                    let allowed = |interface: &Interface| synced && handle.allows(interface);
                    let expected: State =
                        exists.iter().filter(|(_, one)| allowed(one)).map(|(id, one)| (*id, one.clone())).collect();
                    prop_assert_eq!(&known, &expected);
                    prop_assert_eq!(lookup.len(), exists.len());
                }
            }
        }
    }
}

#[test]
fn new_filter_adds_and_deletes() {
    let [eth, lo, tun] =
        [(1, "eth0"), (2, "lo"), (3, "tun0")].map(|(id, name)| Arc::new(interface(id, 0, id as u32, name, None)));
    let mut history: Vec<_> = [&eth, &lo, &tun].map(|one| Event::Added(one.clone())).into();
    history.push(Event::Synced);
    let inner = stream::iter(history).chain(stream::pending());
    let mut events = Filtered::new(Registerer::new(inner), excluding(&["lo"]));
    let handle = events.handle();
    let mut read = || std::iter::from_fn(|| ready(&mut events)).collect::<Vec<_>>();
    assert_eq!(read(), [Event::Added(eth), Event::Added(tun.clone()), Event::Synced]);
    handle.set(excluding(&["tun0"]));
    assert_eq!(read(), [Event::Added(lo), Event::Deleted(tun, None)]);
    assert_eq!(read(), []);
}

#[test]
fn hidden_interfaces_count_for_lookups() {
    let hidden = Arc::new(interface(1, 0, 9, "veth9", Some(1)));
    let shown = Arc::new(interface(2, 1, 9, "eth0", Some(2)));
    let history = [Event::Added(hidden.clone()), Event::Added(shown.clone()), Event::Synced];
    let mut events = Filtered::new(Registerer::new(stream::iter(history)), excluding(&["/^veth/"]));
    let (lookup, handle) = (events.lookup(), events.handle());
    while ready(&mut events).is_some() {}
    let found = lookup.for_index_and_mac(9, hidden.mac.as_ref()).unwrap();
    assert_eq!((found.id, found.confidence), (hidden.id, crate::Confidence::Exact));
    assert_eq!(lookup.for_index_and_mac(9, None).unwrap().confidence, crate::Confidence::Guess);
    assert_eq!(handle.select(&lookup), [shown]);
}

#[test]
fn initial_interfaces_come_once() {
    let down = Arc::new(Interface { oper_state: OperState::Down, ..interface(1, 0, 2, "eth0", None) });
    let up = Arc::new(interface(1, 0, 2, "eth0", None));
    let history = [Event::Added(down), Event::Updated(up.clone(), Changes::OPER_STATE), Event::Synced];
    let mut events = Filtered::new(Registerer::new(stream::iter(history)), Filter::default());
    assert_eq!([ready(&mut events), ready(&mut events)], [Some(Event::Added(up)), Some(Event::Synced)]);
    assert_eq!(ready(&mut events), None);
}

#[test]
fn new_filter_wakes_the_reader() {
    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut events = Filtered::new(Registerer::new(stream::pending::<Event>()), Filter::default());
    assert!(Pin::new(&mut events).poll_next(&mut Context::from_waker(&waker)).is_pending());
    let handle = events.handle();
    std::thread::spawn(move || handle.set(Filter::everything())).join().unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

#[derive(Clone, Debug, PartialEq)]
struct Shop(&'static str);

impl OwnerName for Shop {
    fn owner_name(&self) -> std::borrow::Cow<'_, str> {
        format!("shop/{}", self.0).into()
    }
}

/// An interface is in the outputs while the filter allows its owner, and in lookups all the time.
#[test]
fn owner_moves_an_interface_in_and_out() {
    let owned = |owner: Option<&'static str>| {
        let owner = owner.map(|name| Arc::new(Shop(name)));
        Arc::new(interface(1, 1, 2, "eth0", None).with_owner(owner))
    };
    let updated = |owner| Event::Updated(owned(owner), Changes::OWNER);
    let history = [
        Event::Synced,
        Event::Added(owned(None)),
        updated(Some("web")),
        updated(Some("db")),
        updated(Some("web")),
        updated(None),
        Event::Deleted(owned(None), None),
    ];
    let kinds = |filter: Filter| {
        let mut events = Filtered::new(Registerer::new(stream::iter(history.clone())), filter);
        let lookup = events.lookup();
        let mut kinds = Vec::new();
        while let Some(event) = events.next().now_or_never().flatten() {
            kinds.push(event.kind().to_string());
            let exists = lookup.len();
            assert!(exists == 1 || event.kind() != crate::EventKind::Updated);
        }
        kinds
    };
    let web = Filter::everything().with_owners(&["shop/web"], NONE).unwrap();
    assert_eq!(kinds(web), ["Synced", "Added", "Deleted", "Added", "Deleted"]);
    let no_web = Filter::everything().with_owners(NONE, &["shop/web"]).unwrap();
    assert_eq!(kinds(no_web), ["Synced", "Added", "Deleted", "Added", "Deleted", "Added", "Deleted"]);
}
