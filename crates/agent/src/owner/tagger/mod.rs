//! Owners of interfaces: pure, from interfaces, CNI files and pods in any order.
//!
//! The unit of ownership is the network namespace: a pod has one, for its whole life, and all
//! interfaces in the namespace are the pod's. Host ends of veths follow their peers. See
//! `docs/identity.md`.

pub mod conflict;
mod containers;
pub(super) mod decision;
mod emit;
mod indices;
mod nameless;
pub(super) mod node;
pub(super) mod pod_ip;
mod processes;
mod proofs;
mod returned;
mod strangers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::interface::{Event, Interface, Pod, Source};
use iface_core::{FinalCounters, InterfaceId, NetnsId, NetnsName, NsFile, Place};

use self::emit::{is_led_elsewhere, with_owner};
use self::indices::unindex_pod;
use self::nameless::Traces;
use self::returned::Returned;
use self::strangers::Strangers;
use crate::owner::claim::{ClaimChange, Claims};
use crate::owner::cni::attachments::Attachments;
use crate::owner::cni::result::Attachment;
use crate::owner::container::claims::Claims as ContainerClaims;
use crate::owner::pod::{Applied, PodChange, PodName, PodRecord, Pods, same_pod};
use crate::owner::tagger::conflict::{Conflict, ConflictCounts, NewConflict};
use crate::owner::tagger::decision::{Decision, Evidence, decide};
use crate::owner::tagger::pod_ip::PodIps;

/// Number of remembered contradictions per namespace: a pod with the addresses of many others contradicts
/// each.
const MOST_REPORTED: usize = 64;

/// Decides the owners of interfaces.
///
/// Each input is applied at once; resulting events wait in [`Tagger::events`].
#[derive(Debug, Default)]
pub struct Tagger {
    /// Every interface as last emitted.
    interfaces: BTreeMap<InterfaceId, Arc<Interface>>,
    by_index: BTreeMap<(NetnsId, u32), InterfaceId>,
    spaces: BTreeMap<NetnsId, Space>,
    by_name: BTreeMap<NetnsName, BTreeSet<NetnsId>>,
    /// Interfaces of the host by the peer of their veth.
    host_ends: BTreeMap<(NetnsId, u32), BTreeSet<InterfaceId>>,
    /// Namespaces by their present or last pod.
    tagged: BTreeMap<PodName, BTreeSet<NetnsId>>,
    returned: Returned,
    files: Attachments,
    containers: ContainerClaims,
    traces: Traces,
    /// Uids of the pods in whose cgroups the processes inside namespaces are.
    inside: BTreeMap<NetnsId, Arc<str>>,
    addresses: PodIps,
    pods: Pods,
    claims: Claims,
    /// Namespaces that have outlived their pods.
    leaked: BTreeSet<NetnsId>,
    strangers: Strangers,
    /// Whether all interfaces that existed at the start are known: until then an address may also be
    /// in an unknown namespace.
    complete: bool,
    untagged: usize,
    conflicts: ConflictCounts,
    new_conflicts: Vec<NewConflict>,
    events: Vec<Event>,
}

/// A namespace with at least one interface.
#[derive(Debug)]
struct Space {
    place: Place,
    file: Option<NsFile>,
    cookie: Option<NonZeroU64>,
    /// Time of the discovery; `None` for a namespace that existed at the start.
    found: Option<SystemTime>,
    interfaces: BTreeSet<InterfaceId>,
    decision: Option<Decision>,
    known: Option<Decision>,
    /// The latest contradictions, to emit each once.
    reported: VecDeque<Conflict>,
}

impl Tagger {
    /// Applies an event of an informer.
    pub fn event(&mut self, event: Event) {
        match event {
            Event::Added(interface) | Event::Updated(interface, _) => self.exists(&interface),
            Event::Deleted(interface, counters) => self.gone(interface.id, counters),
            Event::Synced => {
                self.complete = true;
                self.note_other_addresses();
                self.find_namespaces(self.files.clues().all());
                self.settle(self.spaces.keys().copied().collect());
                self.events.push(Event::Synced);
            }
        }
    }

    /// Applies the content of a CNI cache file.
    pub fn file(&mut self, path: &Arc<Path>, attachment: Attachment) {
        let touched = self.files.insert(path.clone(), attachment);
        let mut concerned = self.compare_named(&touched.names);
        concerned.extend(self.compare_at(&touched.spaces));
        concerned.extend(touched.found);
        concerned.extend(self.find_namespaces([path.clone()].into()));
        self.settle(concerned);
    }

    /// Applies the deletion of a CNI cache file, or the loss of its content.
    pub fn file_gone(&mut self, path: &Path) {
        let touched = self.files.remove(path);
        let mut concerned = self.named(&touched.names);
        concerned.extend(touched.found);
        self.settle(concerned);
    }

    /// Applies a change of pods.
    pub fn pod(&mut self, change: PodChange) {
        match change {
            PodChange::Applied(record) => self.pod_applied(record),
            PodChange::Deleted(uid) => {
                let gone = self.pods.delete(&uid);
                self.pod_gone(gone);
            }
            PodChange::Listed(records) => {
                let listed: BTreeSet<Arc<str>> = records.iter().map(|record| record.uid.clone()).collect();
                for uid in self.pods.missing_from(&listed) {
                    let gone = self.pods.forget(&uid);
                    self.pod_gone(gone);
                }
                records.into_iter().for_each(|record| self.pod_applied(record));
            }
        }
    }

    /// Applies a change of ResourceClaims.
    pub fn claim(&mut self, change: ClaimChange) {
        let pods = self.claims.apply(change);
        if pods.is_empty() {
            return;
        }
        let has_pod = |space: &Space| {
            let uid = space.decision.as_ref().and_then(|decision| decision.pod.uid.as_deref());
            uid.is_some_and(|uid| pods.contains(uid))
        };
        let concerned: Vec<_> = self.spaces.iter().filter(|(_, space)| has_pod(space)).map(|(id, _)| *id).collect();
        concerned.into_iter().for_each(|id| self.refresh(id));
    }

    /// Events for the reader since the last call, in order.
    pub fn events(&mut self) -> std::vec::Drain<'_, Event> {
        self.events.drain(..)
    }

    /// Contradictions since the last call, each once per namespace.
    pub fn new_conflicts(&mut self) -> std::vec::Drain<'_, NewConflict> {
        self.new_conflicts.drain(..)
    }

    /// Numbers of contradictions so far.
    #[must_use]
    pub fn conflicts(&self) -> ConflictCounts {
        self.conflicts
    }

    /// Number of interfaces outside the host's namespace without an owner.
    #[must_use]
    pub fn untagged(&self) -> usize {
        self.untagged
    }

    /// Number of CNI files in use.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Number of CNI files that are or were proven to belong to a namespace.
    #[must_use]
    pub fn proven_files(&self) -> usize {
        self.files.proven()
    }

    /// Number of pods known from the API server.
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
        concerned.extend(self.recognize_by(before.as_deref(), now));
        self.by_index.insert((id, now.ifindex), now.id);
        let carried = before.as_ref().filter(|before| !is_led_elsewhere(before, now));
        let carried = carried.and_then(|before| before.owner.clone());
        self.interfaces.insert(now.id, with_owner(now, carried));
        concerned.extend(self.hold_against_files(now));
        let paths = self.move_traces(before.as_deref(), Some(now));
        concerned.extend(self.find_namespaces(paths));
        // Decided before the event, so that the interface comes with its owner.
        let mut changed = self.decide_all(concerned);
        if self.moves_networks(before.as_deref(), Some(now)) {
            changed.insert(id);
        }
        self.emit(now.id, before.as_ref());
        self.refresh_host_ends(id, now.ifindex..=now.ifindex);
        self.refresh_claimed(before.as_deref(), Some(now));
        changed.into_iter().for_each(|id| self.refresh(id));
    }

    fn gone(&mut self, interface: InterfaceId, counters: Option<Arc<FinalCounters>>) {
        let Some(last) = self.interfaces.remove(&interface) else { return };
        let id = last.netns.id;
        self.count_untagged(Some(&last), None);
        if self.by_index.get(&(id, last.ifindex)) == Some(&interface) {
            self.by_index.remove(&(id, last.ifindex));
        }
        self.move_host_end(Some(&last), None);
        self.returned.forget(interface);
        let mut concerned = self.move_addresses(id, Some(&last), None);
        let moved = self.moves_networks(Some(&last), None);
        let left = self.leave(id, interface);
        self.events.push(Event::Deleted(last.clone(), counters));
        // Another namespace may have the name since.
        concerned.extend(self.compare_named(left.as_slice()));
        let moved = moved && self.spaces.contains_key(&id);
        let paths = self.move_traces(Some(&last), None);
        concerned.extend(self.find_namespaces(paths));
        self.settle(concerned);
        if moved {
            self.refresh(id);
        }
        self.refresh_claimed(Some(&last), None);
        if let Some(file) = last.netns.file.filter(|_| !self.spaces.contains_key(&id)) {
            self.containers.end(file);
        }
    }

    fn pod_applied(&mut self, record: PodRecord) {
        let Some(Applied { record, changed, repeated }) = self.pods.apply(record) else { return };
        if !changed && !self.addresses.awaits(&record.uid) {
            return;
        }
        let mut concerned = self.addresses.holders_for(&record.uid);
        if self.strangers.remove(&record.pod) {
            concerned.extend(self.spaces.keys());
        }
        self.addresses.claim(&record, repeated);
        concerned.extend(self.addresses.holders_for(&record.uid));
        concerned.extend(self.tagged.get(&PodName::from(record.pod.as_ref())).into_iter().flatten());
        concerned.extend(self.with_processes_of(record.named.uid.as_deref()));
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

    /// Decides the owners of namespaces; returns the namespaces to emit again.
    fn decide_all(&mut self, mut concerned: BTreeSet<NetnsId>) -> BTreeSet<NetnsId> {
        concerned.retain(|id| self.spaces.get(id).is_some_and(|space| space.place != Place::Host));
        let mut next = concerned.clone();
        while let Some(id) = next.pop_first() {
            let rivals = self.decide(id);
            concerned.extend(&rivals);
            next.extend(rivals);
        }
        concerned
    }

    fn decide_one(&mut self, id: NetnsId) {
        let mut conflicts = Vec::new();
        let decision = self.weigh(id, &mut conflicts);
        let misplaced = conflicts.iter().any(Conflict::is_misplaced);
        conflicts.into_iter().for_each(|conflict| self.note(id, conflict));
        let Some(space) = self.spaces.get_mut(&id) else { return };
        // The earlier decision was wrong, and must not return once the pod's place is forgotten.
        if let Some(known) = space.known.take_if(|_| misplaced) {
            unindex_pod(&mut self.tagged, &known, id);
        }
        space.decision.clone_from(&decision);
        let Some(now) = decision else { return };
        if let Some(uid) = now.pod.uid.as_deref().filter(|_| now.source == Source::PodIp) {
            self.addresses.bind(uid, id);
        }
        let name = PodName::from(now.pod.as_ref());
        if let Some(before) = space.known.replace(now) {
            unindex_pod(&mut self.tagged, &before, id);
        }
        self.tagged.entry(name).or_default().insert(id);
    }

    fn weigh(&self, id: NetnsId, conflicts: &mut Vec<Conflict>) -> Option<Decision> {
        let space = self.spaces.get(&id)?;
        if space.place == Place::Host {
            return None;
        }
        let mut files = self.files.about(id, name_of(&space.place));
        files.retain(|pod| !self.strangers.contains(pod));
        let known = space.known.as_ref().filter(|known| !self.strangers.contains(&known.pod));
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
            by_process: self.pod_of_processes(id),
            known,
        };
        let (named, source) = decide(&evidence, conflicts)?;
        if let Some(misplaced) = self.misplaced(id, &named, source) {
            conflicts.push(misplaced);
            return None;
        }
        let known = known.filter(|known| same_pod(&known.named, &named));
        let known_uid = known.and_then(|known| known.pod.uid.as_deref());
        let pod = match self.pods.named_by(&named, known_uid, &files.addresses()) {
            Some(record) => record.pod.clone(),
            // A pod keeps the attributes of the API server after the deletion of its object.
            None => match known.filter(|known| named.attributes.is_empty() || is_enriched(&known.pod)) {
                Some(known) => known.pod.clone(),
                None => named.clone(),
            },
        };
        let registered = known.is_some_and(|known| known.registered) || self.pods.same(&named).next().is_some();
        Some(Decision { named, pod, source, registered })
    }

    fn note(&mut self, id: NetnsId, conflict: Conflict) {
        let Some(space) = self.spaces.get_mut(&id).filter(|space| !space.reported.contains(&conflict)) else { return };
        self.conflicts.add(conflict.kind());
        space.reported.push_back(conflict.clone());
        if space.reported.len() > MOST_REPORTED {
            space.reported.pop_front();
        }
        self.new_conflicts.push(NewConflict { netns: id, name: space.place.to_string(), conflict });
    }
}

/// The name of a namespace, if it has one.
fn name_of(place: &Place) -> Option<&NetnsName> {
    match place {
        Place::Named(name) => Some(name),
        _ => None,
    }
}

/// Whether a pod has more than its names: from the API server, or from annotations in a CNI file.
fn is_enriched(pod: &Pod) -> bool {
    pod.workload.is_some() || !pod.attributes.is_empty()
}
