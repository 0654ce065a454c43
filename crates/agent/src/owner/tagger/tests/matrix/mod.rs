//! Recorded results of CNI plugins under each container runtime: the owner and the network of each interface.
//!
//! Two pods of one plugin are neighbours on a node. The agent sees both start, sees the runtime change their
//! interfaces, and is restarted; with and without an API server.

mod document;
mod fixture;
mod runtime;

use std::collections::BTreeMap;

use iface_core::Kind;

use self::fixture::{Fixture, Made};
use self::runtime::{Runtime, VERSIONS, name, uid};
use super::*;
use crate::owner::kube::multus;

/// The pods.
const PODS: [u8; 2] = [5, 6];

/// One run.
#[derive(Clone, Copy, Debug)]
struct Run {
    runtime: Runtime,
    version: &'static str,
    /// Whether libcni writes the path of the namespace.
    libcni_1_2: bool,
    api: bool,
}

impl Run {
    fn all() -> impl Iterator<Item = Self> {
        let runs = Runtime::ALL.into_iter().flat_map(|runtime| VERSIONS.map(|version| (runtime, version)));
        runs.flat_map(|(runtime, version)| {
            [(false, false), (false, true), (true, false), (true, true)].map(|(libcni_1_2, api)| Self {
                runtime,
                version,
                libcni_1_2,
                api,
            })
        })
    }

    /// Whether files name the namespace.
    fn names_netns(self) -> bool {
        self.runtime != Runtime::CriDockerd && self.libcni_1_2
    }

    /// Whether the pod can be found after a restart: gVisor has taken the addresses away, and results of CNI 0.2.0 and
    /// of Azure have nothing else; a result with another MAC address needs the name of the namespace.
    fn finds(self, fixture: &Fixture, time: Time) -> bool {
        let only_addresses = self.version == "0.2.0" || fixture.only_addresses;
        let addresses_gone = self.runtime == Runtime::Gvisor && time == Time::Restarted && only_addresses;
        let contradicts = fixture.stale_mac && self.version != "0.2.0";
        let by_address = self.api && !(self.runtime == Runtime::Gvisor && time == Time::Restarted);
        self.names_sandbox(fixture) || by_address || !addresses_gone && !contradicts
    }

    /// Whether `netns` or the result names the namespace.
    fn names_sandbox(self, fixture: &Fixture) -> bool {
        let by_result = self.version != "0.2.0" && !fixture.no_sandbox && self.runtime != Runtime::CriDockerd;
        self.names_netns() || by_result
    }
}

/// The times of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Time {
    Started,
    Running,
    Restarted,
}

/// A pod with its interfaces of both times.
struct Neighbour {
    number: u8,
    fixture: Fixture,
    /// The agent's view of the results, in their order.
    files: Vec<Option<Attachment>>,
    made: Vec<Arc<Interface>>,
    running: Vec<Arc<Interface>>,
    networks: BTreeMap<InterfaceId, Option<String>>,
}

impl Neighbour {
    fn new(text: &str, run: Run, number: u8) -> Self {
        let fixture = Fixture::of(text, number, &run.runtime.sandbox(number));
        let attachment = |recorded| run.runtime.attachment(recorded, run.version, number, run.libcni_1_2);
        let files = fixture.results.iter().map(attachment).collect();
        let (made, running) = (Vec::new(), Vec::new());
        let mut pod = Self { number, fixture, files, made, running, networks: BTreeMap::new() };
        let space = netns(u64::from(number), &run.runtime.netns(number).to_string());
        let lo = Made { name: "lo".into(), mac: Some("00:00:00:00:00:00".into()), ..Made::default() };
        pod.fixture.inside.insert(0, lo);
        let after = run.runtime.running(&pod.fixture.inside, number);
        // An interface that keeps its name keeps its id, and a rename ends the id.
        let mut ids: Vec<(String, u64)> = Vec::new();
        for (time, interfaces) in [pod.fixture.inside.clone(), after].into_iter().enumerate() {
            for one in interfaces {
                let key = format!("{} {:?}", one.name, one.kind);
                let known = ids.iter().find(|(known, _)| *known == key).map(|(_, id)| *id);
                let id = known.unwrap_or_else(|| u64::from(number) * 100 + 2 * ids.len() as u64);
                ids.push((key, id));
                let built = build(&one, &space, id);
                pod.networks.extend(built.iter().map(|built| (built.id, one.network.clone())));
                if time == 0 { pod.made.extend(built) } else { pod.running.extend(built) }
            }
        }
        pod
    }

    fn files(&self) -> impl Iterator<Item = Input> {
        let files = self.files.iter().zip(PATHS[usize::from(self.number) % 2]);
        files.filter_map(|(file, path)| Some(Input::File(path, file.clone()?)))
    }

    fn record(&self) -> PodRecord {
        let addresses = self.fixture.inside.iter().find(|one| one.name == "eth0").unwrap().addresses.iter();
        let addresses = addresses.map(|net| net.parse::<ipnet::IpNet>().unwrap().addr()).collect();
        let networks = multus::parse(&self.fixture.status.to_string());
        PodRecord { addresses, networks, ..record(&name(self.number), &uid(self.number), "10.0.0.1") }
    }
}

const PATHS: [[&str; 4]; 2] = [["a0", "a1", "a2", "a3"], ["b0", "b1", "b2", "b3"]];

/// The interface and its host end.
fn build(one: &Made, space: &Arc<Netns>, id: u64) -> Vec<Arc<Interface>> {
    let mut inside = interface(id, space, &one.name, 0, "");
    let changed = Arc::make_mut(&mut inside);
    changed.mac = one.mac.as_ref().map(|mac| mac.parse().unwrap());
    changed.kind = one.kind.as_deref().map(Kind::new);
    changed.addresses = one.addresses.iter().map(|net| net.parse().unwrap()).collect();
    let end = one.end.as_ref().map(|end| {
        Arc::make_mut(&mut inside).peer = Some(Peer::new(host(), id as u32 + 1, IfName::new(end).unwrap()).into());
        let mut outside = interface(id + 1, &host(), end, 0xee, "");
        let changed = Arc::make_mut(&mut outside);
        changed.kind.clone_from(&inside.kind);
        changed.peer = Some(Peer::new(space.clone(), inside.ifindex, inside.name).into());
        outside
    });
    [inside].into_iter().chain(end).collect()
}

/// The events from the interfaces of a new pod to those of a running pod.
fn changes(pod: &Neighbour) -> Vec<Input> {
    let is_in = |all: &[Arc<Interface>], id| all.iter().any(|one| one.id == id);
    let gone = pod.made.iter().filter(|one| !is_in(&pod.running, one.id)).map(deleted);
    let now = pod.running.iter().map(|now| match pod.made.iter().find(|before| before.id == now.id) {
        Some(before) => Input::Event(Event::Updated(now.clone(), before.changes_to(now))),
        None => added(now),
    });
    gone.chain(now.filter(|input| !matches!(input, Input::Event(Event::Updated(_, changes)) if changes.is_empty())))
        .collect()
}

impl Neighbour {
    /// The network that the files or multus' annotation name for an interface, as of `networks`.
    fn network(&self, one: &Interface, run: Run) -> Option<String> {
        let network = self.networks[&one.id].clone()?;
        let inside = one.peer.as_ref().filter(|_| one.netns.is_host()).map_or(one.name, |peer| peer.name).to_string();
        let made =
            self.fixture.inside.iter().find(|made| inside.strip_suffix("-nic").unwrap_or(&inside) == made.name)?;
        let files = self.files.iter().flatten().filter(|file| file.interface == made.name.as_str());
        let mut files = files.filter(|file| file.network.is_some());
        let has_end =
            |file: &Attachment| made.end.as_ref().is_some_and(|end| file.ends.iter().any(|one| *one == end.as_str()));
        let is_named = match inside.ends_with("-nic") {
            // Name and MAC address are the virtual machine's.
            true => files.any(has_end),
            // A file without the namespace is found by the MAC address that a bond has replaced.
            false => files.any(|file| {
                let other_mac = made.lost_mac || self.fixture.stale_mac && run.version != "0.2.0";
                file.netns.is_some() || !other_mac
            }),
        };
        is_named.then_some(network)
    }

    /// All that is wrong: an interface without its pod or its network.
    fn faults(&self, reader: &Reader, run: Run, time: Time) -> Vec<String> {
        let interfaces = if time == Time::Started { &self.made } else { &self.running };
        interfaces.iter().filter_map(|one| self.fault(reader, one, run, time)).collect()
    }

    fn fault(&self, reader: &Reader, one: &Interface, run: Run, time: Time) -> Option<String> {
        let uid = (run.runtime.passes_uid() || run.api).then(|| uid(self.number));
        let network = self.network(one, run);
        let wanted = run.finds(&self.fixture, time).then(|| (name(self.number), uid, network));
        let pod = reader.0[&one.id].owner.as_ref().and_then(|owner| owner.pod());
        let found = pod.map(|pod| (pod.name.clone(), pod.uid.clone(), reader.network(one)));
        (found != wanted).then(|| format!("{} has {found:?}, not {wanted:?}", one.name))
    }
}

/// Both pods start, run, and the agent restarts; returns the faults of each time.
fn play(text: &str, run: Run) -> Vec<String> {
    let pods = PODS.map(|number| Neighbour::new(text, run, number));
    let compare = |reader: &Reader, time| {
        let faults: Vec<_> = pods.iter().flat_map(|pod| pod.faults(reader, run, time)).collect();
        (!faults.is_empty()).then(|| format!("{time:?}: {}", faults.join("; ")))
    };
    let (mut tagger, mut reader) = after([synced()]);
    let mut say = |inputs: Vec<Input>, reader: &mut Reader| {
        for input in inputs {
            give(&mut tagger, input);
            reader.read(&mut tagger);
        }
        assert_eq!(tagger.conflicts().total(), 0, "{:?}", tagger.new_conflicts().collect::<Vec<_>>());
    };
    for pod in &pods {
        say(pod.made.iter().map(added).chain(pod.files()).collect(), &mut reader);
        say(run.api.then(|| applied(pod.record())).into_iter().collect(), &mut reader);
    }
    let started = compare(&reader, Time::Started);
    pods.iter().for_each(|pod| say(changes(pod), &mut reader));
    let running = compare(&reader, Time::Running);
    let files = pods.iter().flat_map(|pod| pod.files());
    let interfaces = pods.iter().flat_map(|pod| pod.running.iter().map(added));
    let listed = run.api.then(|| Input::Pod(PodChange::Listed(pods.iter().map(Neighbour::record).collect())));
    let (tagger, reader) = after(files.chain(interfaces).chain([synced()]).chain(listed));
    assert_eq!(tagger.conflicts().total(), 0);
    [started, running, compare(&reader, Time::Restarted)].into_iter().flatten().collect()
}

/// Each interface has the right pod and network: at the start, while running, and after a restart of the agent.
#[test]
fn every_plugin_yields_its_pod() {
    let mut wrong = Vec::new();
    for text in fixture::texts() {
        let plugin = Fixture::of(&text, 5, "").plugin;
        for run in Run::all() {
            wrong.extend(play(&text, run).into_iter().map(|faults| format!("{plugin} {run:?} {faults}")));
        }
    }
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
}
