mod addresses;
mod cache;
mod containers;
mod devices;
mod history;
mod joins;
mod matrix;
mod node;
mod processes;
mod records;
mod unnamed;

use std::num::NonZeroU64;
use std::time::UNIX_EPOCH;

use crate::interface::{End, Owner, Pod};
use iface_core::{IfName, Netns, Peer};
use proptest::prelude::*;

use super::*;
use crate::owner::container::record::{Record, Sandbox};
use crate::owner::pod::Life;
use crate::owner::tagger::conflict::ConflictKind;

fn netns(number: u64, name: &str) -> Arc<Netns> {
    let id = NetnsId(number);
    Arc::new(Netns::new(id, Place::Named(NetnsName::new(name))))
}

fn host() -> Arc<Netns> {
    Arc::new(Netns::new(NetnsId::HOST, Place::Host))
}

fn interface(id: u64, netns: &Arc<Netns>, name: &str, mac: u8, address: &str) -> Arc<Interface> {
    let id_of = InterfaceId(NonZeroU64::new(id).unwrap());
    let mut interface = Interface::new(id_of, netns.clone(), id as u32, IfName::new(name).unwrap());
    interface.mac = Some([2, 0, 0, 0, 0, mac].into());
    interface.addresses = if address.is_empty() { Box::default() } else { [address.parse().unwrap()].into() };
    interface.since = UNIX_EPOCH;
    Arc::new(interface)
}

fn pod(name: &str, uid: Option<&str>) -> Arc<Pod> {
    let (namespace, uid) = ("shop".to_owned(), uid.map(str::to_owned));
    Arc::new(Pod { namespace, name: name.to_owned(), uid, workload: None, attributes: Vec::new() })
}

/// A name of the kind that containerd draws for each sandbox.
const RANDOM: &str = "cni-26a5a60e-766c-44c4-8125-5b68aecf097d";

fn file(netns: &str, pod: &Arc<Pod>, mac: u8, network: &str) -> Attachment {
    Attachment {
        source: Source::CniCache,
        netns: Some(NetnsName::new(netns)),
        pod: pod.clone(),
        interface: IfName::new("eth0").unwrap(),
        network: Some(network.into()),
        macs: vec![[2, 0, 0, 0, 0, mac].into()],
        ends: Vec::new(),
        written: None,
        addresses: Vec::new(),
        delegated: false,
        annotations: Default::default(),
        networks: Vec::new(),
        space: None,
        path: None,
    }
}

fn record(name: &str, uid: &str, address: &str) -> PodRecord {
    let pod = pod(name, Some(uid));
    PodRecord { uid: uid.into(), addresses: vec![address.parse().unwrap()], ..crate::testing::pod_record(pod) }
}

#[derive(Clone, Debug)]
enum Input {
    Event(Event),
    File(&'static str, Attachment),
    Gone(&'static str),
    Pod(PodChange),
    Container(String, Record),
    ContainerGone(String),
    Sandbox(&'static str, Sandbox),
    Claim(crate::owner::claim::ClaimChange),
    Inside(Vec<crate::owner::process::look::Inside>),
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
        Input::Container(name, record) => tagger.container(&path(&name), record),
        Input::Claim(change) => tagger.claim(change),
        Input::Inside(evidence) => tagger.processes(evidence),
        Input::Sandbox(name, sandbox) => tagger.sandbox(&path(name), sandbox),
        Input::ContainerGone(name) => tagger.container_gone(&path(&name)),
    }
}

/// The state of a reader of all events.
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
                Event::Deleted(last, _) => self.0.remove(&last.id).is_some_and(|before| before == *last),
                Event::Synced => true,
            };
            assert!(told, "{event:?} does not follow from what was said before");
        }
    }

    fn owner(&self, interface: &Interface) -> Option<(String, Source, End)> {
        let Owner::Pod(owner) = &**self.0[&interface.id].owner.as_ref()? else { return None };
        let uid = owner.pod.uid.clone().unwrap_or_else(|| format!("{} without uid", owner.pod.name));
        Some((uid, owner.source, owner.end))
    }

    fn network(&self, interface: &Interface) -> Option<String> {
        Some(self.0[&interface.id].owner.as_ref()?.network()?.to_string())
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

fn deleted(interface: &Arc<Interface>) -> Input {
    Input::Event(Event::Deleted(interface.clone(), None))
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
    /// Two pods of two namespaces with a host end, an address known to both sources, and a stray file.
    #[test]
    fn order_of_inputs_does_not_matter(
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
        let peer = Peer::new(space.clone(), eth0.ifindex, eth0.name);
        Arc::make_mut(&mut end).peer = Some(peer.into());
        inputs.extend([added(&eth0), added(&end)]);
        inputs.push(added(&interface(number * 10 + 2, space, "net1", 50, "")));
        inputs.push(applied(record("web", &format!("u{number}"), &format!("10.0.0.{number}"))));
    }
    let file_for = |path, uid: &str, mac| Input::File(path, file("cni-a", &pod("web", Some(uid)), mac, "podnet"));
    let claim = |netns| containers::named(netns, netns);
    inputs.extend([claim("cni-a"), claim("b"), claim("d")]);
    inputs.push(added(&interface(40, &netns(4, "d"), "eth0", 4, "")));
    inputs.push(file_for("right", "u1", 1));
    inputs.push(file_for("stray", "u8", 99));
    inputs
}
