//! Who owns each interface: pure, from interfaces, CNI files and pods in any order.
//!
//! The unit of ownership is the network namespace: a pod has one, for its whole life, and all
//! interfaces in it are the pod's. The other ends of its veths, in the host's namespace,
//! follow their peers. See `docs/identity.md`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use iface_core::{End, Event, Interface, InterfaceId, NetnsId, NetnsName, Owner, Place, Source};
use ipnet::IpNet;

use super::attachments::Attachments;
use super::cni_cache::Attachment;
use super::multus;
use super::notice::{Conflict, Notice};
use super::pod::{PodChange, PodName, PodRecord, Pods, same_pod};
use super::pod_ip::PodIps;
use super::verdict::{Evidence, Verdict, decide};

/// How many contradictions of one namespace are remembered: a pod that takes an address of many others
/// contradicts each of them.
const SAID: usize = 64;

/// Gives interfaces their owners.
///
/// Each input is applied at once; what changed for the reader is left in [`Tagger::events`].
#[derive(Debug, Default)]
pub struct Tagger {
    /// Every interface as it was last said.
    interfaces: HashMap<InterfaceId, Arc<Interface>>,
    by_index: HashMap<(NetnsId, u32), InterfaceId>,
    spaces: HashMap<NetnsId, Space>,
    by_name: HashMap<NetnsName, BTreeSet<NetnsId>>,
    /// Interfaces of the host by the far end of their veth.
    host_ends: BTreeMap<(NetnsId, u32), BTreeSet<InterfaceId>>,
    /// Namespaces by the pod they belong to, or last belonged to.
    tagged: HashMap<PodName, BTreeSet<NetnsId>>,
    files: Attachments,
    addresses: PodIps,
    pods: Pods,
    /// Whether every interface that existed at the start is known: before that an address may be
    /// in a second namespace that nobody has told of yet.
    complete: bool,
    untagged: usize,
    conflicts: u64,
    notices: Vec<Notice>,
    events: Vec<Event>,
}

/// A namespace with at least one interface.
#[derive(Debug)]
struct Space {
    place: Place,
    interfaces: BTreeSet<InterfaceId>,
    verdict: Option<Verdict>,
    known: Option<Verdict>,
    /// The latest contradictions, to say each once.
    said: VecDeque<Conflict>,
}

impl Tagger {
    /// Takes in what an informer says.
    pub fn event(&mut self, event: Event) {
        match event {
            Event::Added(interface) | Event::Updated(interface, _) => self.exists(&interface),
            Event::Deleted(interface) => self.gone(interface.id),
            Event::Synced => {
                self.complete = true;
                self.settle(self.spaces.keys().copied().collect());
                self.events.push(Event::Synced);
            }
        }
    }

    /// Takes in the content of a CNI cache file.
    pub fn file(&mut self, path: &Arc<Path>, attachment: Attachment) {
        let pod = attachment.pod.clone();
        let touched = self.files.insert(path.clone(), attachment);
        let mut concerned = self.named(&touched);
        for id in &concerned {
            for interface in self.interfaces_of(*id) {
                self.hold_against_files(&interface);
            }
        }
        if self.addresses.place(&pod) {
            let name = PodName::from(pod.as_ref());
            concerned.extend(self.tagged.get(&name).into_iter().flatten());
            let records = self.pods.uids_named(&name).filter_map(|uid| self.pods.get(uid));
            for record in records.filter(|record| same_pod(&record.named, &pod)) {
                self.addresses.bind_placed(&record.uid);
                concerned.extend(self.addresses.holders_for(&record.uid));
            }
        }
        self.settle(concerned);
    }

    /// Takes in that a CNI cache file is gone or no longer says anything.
    pub fn file_gone(&mut self, path: &Path) {
        let touched = self.files.remove(path);
        let concerned = self.named(touched.as_slice());
        self.settle(concerned);
    }

    /// Takes in what the API server says.
    pub fn pod(&mut self, change: PodChange) {
        match change {
            PodChange::Applied(record) => self.pod_applied(record),
            PodChange::Deleted(uid) => {
                let gone = self.pods.delete(&uid);
                self.pod_gone(gone);
            }
            PodChange::Listed(records) => {
                let listed: HashSet<Arc<str>> = records.iter().map(|record| record.uid.clone()).collect();
                for uid in self.pods.missing_from(&listed) {
                    let gone = self.pods.forget(&uid);
                    self.pod_gone(gone);
                }
                records.into_iter().for_each(|record| self.pod_applied(record));
            }
        }
    }

    /// What to tell the reader since the last call, in order.
    pub fn events(&mut self) -> std::vec::Drain<'_, Event> {
        self.events.drain(..)
    }

    /// The contradictions met since the last call, each once for a namespace.
    pub fn notices(&mut self) -> std::vec::Drain<'_, Notice> {
        self.notices.drain(..)
    }

    /// How many contradictions were met so far.
    #[must_use]
    pub fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// How many interfaces outside the host's namespace nobody is known to own.
    #[must_use]
    pub fn untagged(&self) -> usize {
        self.untagged
    }

    /// How many CNI files are in use.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// How many pods the API server has told of.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.pods.len()
    }

    fn exists(&mut self, now: &Arc<Interface>) {
        let id = now.netns.id;
        let before = self.interfaces.get(&now.id).cloned();
        let mut concerned = self.enter(now);
        concerned.extend(self.move_addresses(id, before.as_deref(), Some(now)));
        self.move_host_end(before.as_deref(), Some(now));
        self.by_index.insert((id, now.ifindex), now.id);
        let carried = before.as_ref().filter(|before| !is_led_elsewhere(before, now));
        let carried = carried.and_then(|before| before.owner.clone());
        self.interfaces.insert(now.id, with_owner(now, carried));
        if self.hold_against_files(now) {
            concerned.insert(id);
        }
        // Decided before the interface is said, so that it comes with its owner.
        let changed = self.decide_all(concerned);
        self.say(now.id, before.as_ref());
        self.refresh_host_ends(id, now.ifindex..=now.ifindex);
        changed.into_iter().for_each(|id| self.refresh(id));
    }

    fn gone(&mut self, interface: InterfaceId) {
        let Some(last) = self.interfaces.remove(&interface) else { return };
        let id = last.netns.id;
        self.count_untagged(Some(&last), None);
        if self.by_index.get(&(id, last.ifindex)) == Some(&interface) {
            self.by_index.remove(&(id, last.ifindex));
        }
        self.move_host_end(Some(&last), None);
        let concerned = self.move_addresses(id, Some(&last), None);
        self.leave(id, interface);
        self.events.push(Event::Deleted(last));
        self.settle(concerned);
    }

    /// Puts an interface into its namespace; the namespaces to decide anew.
    fn enter(&mut self, interface: &Interface) -> BTreeSet<NetnsId> {
        let id = interface.netns.id;
        let mut concerned = BTreeSet::new();
        let space = self.spaces.entry(id).or_insert_with(|| {
            concerned.insert(id);
            Space {
                place: interface.netns.place.clone(),
                interfaces: BTreeSet::new(),
                verdict: None,
                known: None,
                said: VecDeque::new(),
            }
        });
        space.interfaces.insert(interface.id);
        if space.place != interface.netns.place {
            let before = std::mem::replace(&mut space.place, interface.netns.place.clone());
            unindex(&mut self.by_name, &before, id);
            concerned.insert(id);
        }
        if let Place::Named(name) = &interface.netns.place {
            self.by_name.entry(name.clone()).or_default().insert(id);
        }
        concerned
    }

    /// Takes an interface out of its namespace, which ends with the last.
    fn leave(&mut self, id: NetnsId, interface: InterfaceId) {
        let Some(space) = self.spaces.get_mut(&id) else { return };
        space.interfaces.remove(&interface);
        if !space.interfaces.is_empty() {
            return;
        }
        let Some(space) = self.spaces.remove(&id) else { return };
        unindex(&mut self.by_name, &space.place, id);
        if let Some(known) = space.known {
            unindex_pod(&mut self.tagged, &known, id);
        }
    }

    /// Updates who has which address; the namespaces to decide anew.
    fn move_addresses(
        &mut self,
        id: NetnsId,
        before: Option<&Interface>,
        now: Option<&Interface>,
    ) -> BTreeSet<NetnsId> {
        let (before, now) = (before.map_or(NONE, |one| &one.addresses), now.map_or(NONE, |one| &one.addresses));
        let mut concerned = BTreeSet::new();
        if before == now {
            return concerned;
        }
        let known = self.spaces.get(&id).is_some_and(|space| space.place == Place::Host || space.known.is_some());
        for gone in missing_from(now, before) {
            concerned.extend(self.addresses.concerned(gone));
            self.addresses.release(gone, id, known);
        }
        for new in missing_from(before, now) {
            self.addresses.hold(new, id);
            concerned.extend(self.addresses.concerned(new));
        }
        concerned
    }

    fn move_host_end(&mut self, before: Option<&Interface>, now: Option<&Interface>) {
        let far_end = |interface: Option<&Interface>| {
            let interface = interface.filter(|one| one.netns.is_host())?;
            let peer = interface.peer.as_ref()?;
            Some(((peer.netns.id, peer.ifindex), interface.id))
        };
        let (before, now) = (far_end(before), far_end(now));
        if before == now {
            return;
        }
        if let Some((far, interface)) = before
            && let Some(ends) = self.host_ends.get_mut(&far)
        {
            ends.remove(&interface);
            if ends.is_empty() {
                self.host_ends.remove(&far);
            }
        }
        if let Some((far, interface)) = now {
            self.host_ends.entry(far).or_default().insert(interface);
        }
    }

    /// Whether a CNI file was found to be about the interface's namespace.
    fn hold_against_files(&mut self, interface: &Interface) -> bool {
        let seen = self.files.see(interface);
        for path in seen.refuted {
            self.note(interface.netns.id, Conflict::OtherAddress { file: path, interface: interface.name });
        }
        seen.bound
    }

    fn pod_applied(&mut self, record: PodRecord) {
        let Some(record) = self.pods.apply(record) else { return };
        let mut concerned = self.addresses.holders_for(&record.uid);
        self.addresses.claim(&record);
        concerned.extend(self.addresses.holders_for(&record.uid));
        concerned.extend(self.tagged.get(&PodName::from(record.pod.as_ref())).into_iter().flatten());
        self.settle(concerned);
    }

    fn pod_gone(&mut self, gone: Option<PodRecord>) {
        let Some(record) = gone else { return };
        let concerned = self.addresses.holders_for(&record.uid);
        self.addresses.unclaim(&record.uid);
        self.settle(concerned);
    }

    fn settle(&mut self, concerned: BTreeSet<NetnsId>) {
        let changed = self.decide_all(concerned);
        changed.into_iter().for_each(|id| self.refresh(id));
    }

    /// Decides whose these namespaces are; the ones to say anew.
    fn decide_all(&mut self, mut concerned: BTreeSet<NetnsId>) -> BTreeSet<NetnsId> {
        concerned.retain(|id| self.spaces.get(id).is_some_and(|space| space.place != Place::Host));
        concerned.iter().for_each(|id| self.decide(*id));
        concerned
    }

    fn decide(&mut self, id: NetnsId) {
        let mut conflicts = Vec::new();
        let verdict = self.weigh(id, &mut conflicts);
        let misplaced = conflicts.iter().any(|conflict| matches!(conflict, Conflict::KnownElsewhere(_)));
        conflicts.into_iter().for_each(|conflict| self.note(id, conflict));
        let Some(space) = self.spaces.get_mut(&id) else { return };
        // It was never so, and must not be said again once it is forgotten where the pod is.
        if let Some(known) = space.known.take_if(|_| misplaced) {
            unindex_pod(&mut self.tagged, &known, id);
        }
        space.verdict.clone_from(&verdict);
        let Some(now) = verdict else { return };
        if let Some(uid) = now.pod.uid.as_deref().filter(|_| now.source == Source::PodIp) {
            self.addresses.bind(uid, id);
        }
        let name = PodName::from(now.pod.as_ref());
        if let Some(before) = space.known.replace(now) {
            unindex_pod(&mut self.tagged, &before, id);
        }
        self.tagged.entry(name).or_default().insert(id);
    }

    fn weigh(&self, id: NetnsId, conflicts: &mut Vec<Conflict>) -> Option<Verdict> {
        let space = self.spaces.get(&id)?;
        let Place::Named(name) = &space.place else { return None };
        let files = self.files.about(id, name);
        let answer = if self.complete {
            let interfaces = space.interfaces.iter().filter_map(|interface| self.interfaces.get(interface));
            let addresses: BTreeSet<IpAddr> =
                interfaces.flat_map(|one| one.addresses.iter().map(|net| net.addr())).collect();
            self.addresses.about(id, &addresses)
        } else {
            Default::default()
        };
        let record = |uid: &Arc<str>| self.pods.get(uid);
        conflicts.extend(answer.lost.iter().filter_map(|(address, loser)| {
            Some(Conflict::ClaimedTwice { address: *address, loser: record(loser)?.named.clone() })
        }));
        let evidence = Evidence {
            files: &files,
            by_address: answer.pods.iter().filter_map(record).collect(),
            shared: answer.shared.iter().filter_map(record).collect(),
            known: space.known.as_ref(),
        };
        let (named, source) = decide(&evidence, conflicts)?;
        if source == Source::PodIp && self.addresses.is_placed(&named) {
            conflicts.push(Conflict::KnownElsewhere(named));
            return None;
        }
        let known = space.known.as_ref().filter(|known| same_pod(&known.named, &named));
        let known_uid = known.and_then(|known| known.pod.uid.as_deref());
        let pod = match self.pods.named_by(&named, known_uid, &files.addresses()) {
            Some(record) => record.pod.clone(),
            // What the API server said of a pod stays true when it has dropped the pod.
            None => known.map_or_else(|| named.clone(), |known| known.pod.clone()),
        };
        Some(Verdict { named, pod, source })
    }

    /// Says every interface of a namespace and their far ends again, where that makes a difference.
    fn refresh(&mut self, id: NetnsId) {
        for interface in self.interfaces_of(id) {
            self.say(interface.id, Some(&interface));
        }
        self.refresh_host_ends(id, 0..=u32::MAX);
    }

    fn refresh_host_ends(&mut self, id: NetnsId, indexes: std::ops::RangeInclusive<u32>) {
        let range = (id, *indexes.start())..=(id, *indexes.end());
        let ends: Vec<InterfaceId> = self.host_ends.range(range).flat_map(|(_, ends)| ends.iter().copied()).collect();
        for end in ends {
            let before = self.interfaces.get(&end).cloned();
            self.say(end, before.as_ref());
        }
    }

    /// Gives an interface its owner and tells what differs from `before`.
    fn say(&mut self, interface: InterfaceId, before: Option<&Arc<Interface>>) {
        let Some(known) = self.interfaces.get(&interface) else { return };
        let now = with_owner(known, self.owner_of(known));
        self.count_untagged(before.map(|before| &**before), Some(&now));
        self.events.extend(Event::between(before, Some(&now)));
        self.interfaces.insert(interface, now);
    }

    fn owner_of(&self, interface: &Interface) -> Option<Arc<Owner>> {
        let before = interface.owner.as_ref();
        let owner = if interface.netns.is_host() {
            let Some(peer) = &interface.peer else { return before.cloned() };
            // The end inside goes first; until this one follows, it is still that pod's.
            let Some(space) = self.spaces.get(&peer.netns.id) else { return before.cloned() };
            let verdict = space.verdict.as_ref()?;
            let inside = self.by_index.get(&(peer.netns.id, peer.ifindex)).and_then(|id| self.interfaces.get(id));
            let network = inside.and_then(|inside| self.network(verdict, inside));
            owner(verdict, network, End::Host, before)
        } else {
            let verdict = self.spaces.get(&interface.netns.id)?.verdict.as_ref()?;
            owner(verdict, self.network(verdict, interface), End::Pod, before)
        };
        // The same answer keeps its allocation.
        match before {
            Some(before) if **before == owner => Some(before.clone()),
            _ => Some(Arc::new(owner)),
        }
    }

    fn network(&self, verdict: &Verdict, interface: &Interface) -> Option<Arc<str>> {
        let name = interface.netns.name()?;
        let by_file = self.files.about(interface.netns.id, name).network(&verdict.named, &interface.name);
        by_file.or_else(|| {
            let record = self.pods.get(verdict.pod.uid.as_deref()?)?;
            multus::network_of(&record.networks, interface)
        })
    }

    fn note(&mut self, id: NetnsId, conflict: Conflict) {
        let Some(space) = self.spaces.get_mut(&id).filter(|space| !space.said.contains(&conflict)) else { return };
        space.said.push_back(conflict.clone());
        if space.said.len() > SAID {
            space.said.pop_front();
        }
        self.conflicts += 1;
        self.notices.push(Notice { netns: id, name: space.place.to_string(), conflict });
    }

    fn count_untagged(&mut self, before: Option<&Interface>, now: Option<&Interface>) {
        let untagged =
            |one: Option<&Interface>| usize::from(one.is_some_and(|one| !one.netns.is_host() && one.owner.is_none()));
        self.untagged = self.untagged + untagged(now) - untagged(before);
    }

    fn interfaces_of(&self, id: NetnsId) -> Vec<Arc<Interface>> {
        let interfaces = self.spaces.get(&id).into_iter().flat_map(|space| &space.interfaces);
        interfaces.filter_map(|interface| self.interfaces.get(interface).cloned()).collect()
    }

    fn named(&self, names: &[NetnsName]) -> BTreeSet<NetnsId> {
        names.iter().filter_map(|name| self.by_name.get(name)).flatten().copied().collect()
    }
}

fn owner(verdict: &Verdict, network: Option<Arc<str>>, end: End, before: Option<&Arc<Owner>>) -> Owner {
    // Files and pods go before their interfaces; the name of the network stays with the pod's.
    let kept = || before.filter(|before| same_pod(&before.pod, &verdict.pod))?.network.clone();
    Owner { pod: verdict.pod.clone(), source: verdict.source, network: network.or_else(kept), end }
}

const NONE: &[IpNet] = &[];

/// The addresses of `these` that are not among `those`, each once. Both are sorted; a host's interface can have
/// thousands (`kube-ipvs0` has one for each Service).
fn missing_from<'a>(those: &'a [IpNet], these: &'a [IpNet]) -> impl Iterator<Item = IpAddr> + 'a {
    let same_address = |a: &IpNet, b: &IpNet| a.addr() == b.addr();
    let these = these.chunk_by(same_address).filter_map(|nets| nets.first()).map(|net| net.addr());
    these.filter(|address| those.binary_search_by_key(address, |net| net.addr()).is_err())
}

/// Whether a host's end leads to another namespace than it did when its owner was found.
///
/// An end inside that is nowhere at the moment may only have gone before this one.
fn is_led_elsewhere(before: &Interface, now: &Interface) -> bool {
    let far = |end: &Interface| end.peer.as_ref().map(|peer| peer.netns.id);
    now.netns.is_host() && far(now).is_some_and(|now| far(before) != Some(now))
}

fn with_owner(interface: &Arc<Interface>, owner: Option<Arc<Owner>>) -> Arc<Interface> {
    if interface.owner == owner {
        return interface.clone();
    }
    Arc::new(Interface { owner, ..Interface::clone(interface) })
}

fn unindex(by_name: &mut HashMap<NetnsName, BTreeSet<NetnsId>>, place: &Place, id: NetnsId) {
    let Place::Named(name) = place else { return };
    if let Some(ids) = by_name.get_mut(name) {
        ids.remove(&id);
        if ids.is_empty() {
            by_name.remove(name);
        }
    }
}

fn unindex_pod(tagged: &mut HashMap<PodName, BTreeSet<NetnsId>>, verdict: &Verdict, id: NetnsId) {
    let name = PodName::from(verdict.pod.as_ref());
    if let Some(ids) = tagged.get_mut(&name) {
        ids.remove(&id);
        if ids.is_empty() {
            tagged.remove(&name);
        }
    }
}

#[cfg(test)]
mod history;
#[cfg(test)]
mod tests;
