//! Processes inside namespaces without a pod: the weakest evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use iface_core::{NetnsId, Place};

use super::{Space, Tagger};
use crate::interface::{Pod, Source};
use crate::owner::pod::{PodName, PodRecord, same_pod};
use crate::owner::process::look::{Inside, Podless, Sought};
use crate::owner::tagger::conflict::Conflict;
use crate::owner::tagger::decision::Decision;

impl Space {
    /// Whether the pod of the namespace is known by more than its processes.
    pub(super) fn is_known_by_more(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.source != Source::Process)
    }
}

impl Tagger {
    /// Whether all interfaces that existed at the start are known.
    pub(in crate::owner) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The namespace that was found last.
    pub(in crate::owner) fn newest(&self) -> Option<NetnsId> {
        self.spaces.last_key_value().map(|(id, _)| *id)
    }

    /// Namespaces for which processes can be evidence; none without pods of the API server.
    pub(in crate::owner) fn sought(&self) -> Sought {
        let mut sought = Sought::default();
        if !self.complete || self.pods.len() == 0 {
            return sought;
        }
        let (mut files, mut twice) = (BTreeSet::new(), BTreeSet::new());
        for (id, space) in &self.spaces {
            let Some(file) = space.file else { continue };
            // The end of one of two with the same file is about to be known.
            if !files.insert(file) {
                twice.insert(file);
            }
            if space.place == Place::Host {
                sought.host = Some(file);
            } else if space.decision.is_none() {
                let one = Podless { id: *id, is_named: matches!(space.place, Place::Named(_)) };
                sought.podless.insert(file, one);
            }
        }
        sought.podless.retain(|file, _| !twice.contains(file));
        sought
    }

    /// Applies the evidence of a look at all processes, about namespaces that have lasted until now.
    pub(in crate::owner) fn processes(&mut self, seen: Vec<Inside>) {
        let mut concerned = BTreeSet::new();
        for Inside { id, file, pod } in seen {
            if self.spaces.get(&id).is_none_or(|space| space.file != Some(file)) {
                continue;
            }
            let before = match pod.clone() {
                Some(pod) => self.inside.insert(id, pod),
                None => self.inside.remove(&id),
            };
            if before != pod {
                concerned.insert(id);
            }
        }
        self.settle(concerned);
    }

    /// The pod of the API server in whose cgroup the processes inside a namespace are, unless the pod has another
    /// namespace.
    pub(super) fn pod_of_processes(&self, id: NetnsId) -> Option<&PodRecord> {
        let record = self.pods.running(self.inside.get(&id)?)?;
        (!self.is_elsewhere(&record.named, id) && !self.is_nested(id)).then_some(record)
    }

    /// Namespaces whose processes are in a pod's cgroup.
    pub(super) fn with_processes_of(&self, uid: Option<&str>) -> BTreeSet<NetnsId> {
        self.inside.iter().filter(|(_, pod)| Some(&***pod) == uid).map(|(id, _)| *id).collect()
    }

    /// Decides the owner of a namespace; returns other namespaces to decide again.
    pub(super) fn decide(&mut self, id: NetnsId) -> BTreeSet<NetnsId> {
        let before = self.known_by(id);
        self.decide_one(id);
        // Evidence that counts nothing now must not count after the end of the pod's own namespace.
        let is_void =
            |pod: &Arc<str>| self.pods.running(pod).is_some_and(|record| self.is_elsewhere(&record.named, id));
        if self.inside.get(&id).is_some_and(is_void) {
            self.inside.remove(&id);
        }
        let changes = [before, self.known_by(id)];
        if changes[0] == changes[1] {
            return BTreeSet::new();
        }
        let mut rivals: BTreeSet<_> = changes.iter().flatten().flat_map(|(pod, _)| self.rivals(pod)).collect();
        rivals.remove(&id);
        rivals
    }

    /// The known pod of a namespace, and the source.
    fn known_by(&self, id: NetnsId) -> Option<(Arc<Pod>, Source)> {
        let known = self.spaces.get(&id)?.known.as_ref()?;
        Some((known.named.clone(), known.source))
    }

    /// Namespaces to decide again after a pod was found elsewhere or lost: those that processes alone give to the pod.
    fn rivals(&self, pod: &Pod) -> BTreeSet<NetnsId> {
        let by_process = |id: &&NetnsId| {
            let known = self.spaces.get(id).and_then(|space| space.known.as_ref());
            known.is_some_and(|known| known.source == Source::Process)
        };
        let known = self.tagged.get(&PodName::from(pod)).into_iter().flatten().filter(by_process).copied();
        known.chain(self.with_processes_of(pod.uid.as_deref())).collect()
    }

    /// The conflict, if better evidence than that of the source places the pod elsewhere.
    pub(super) fn misplaced(&self, id: NetnsId, pod: &Arc<Pod>, source: Source) -> Option<Conflict> {
        match source {
            Source::CniCache | Source::RuntimeRecord => None,
            Source::PodIp => self.addresses.is_placed(pod).then(|| Conflict::KnownElsewhere(pod.clone())),
            Source::Process => self.is_elsewhere(pod, id).then(|| Conflict::ProcessElsewhere(pod.clone())),
        }
    }

    /// Whether a pod has another namespace than this one.
    fn is_elsewhere(&self, pod: &Pod, id: NetnsId) -> bool {
        let spaces = self.tagged.get(&PodName::from(pod)).into_iter().flatten().filter(|other| **other != id);
        let mut known = spaces.filter_map(|other| self.spaces.get(other)?.known.as_ref());
        self.addresses.is_placed(pod) || known.any(|known| same_pod(&known.named, pod))
    }

    /// Whether veths link a namespace to another than the host's, and none to the host's: a pod with namespaces of its own
    /// inside leaves their interfaces to them.
    fn is_nested(&self, id: NetnsId) -> bool {
        let has_host_end = self.host_ends.range((id, 0)..=(id, u32::MAX)).next().is_some();
        let inside = self.spaces.get(&id).into_iter().flat_map(|space| &space.interfaces);
        let peers = inside.filter_map(|one| self.interfaces.get(one)?.peer.as_ref());
        let peers: BTreeMap<NetnsId, bool> = peers.map(|peer| (peer.netns.id, peer.netns.is_host())).collect();
        !has_host_end && !peers.values().any(|is_host| *is_host) && peers.keys().any(|peer| *peer != id)
    }

    /// A namespace that processes alone gave to a pod ends: addresses of the pod are not another namespace's.
    pub(super) fn pass_processes(&mut self, id: NetnsId, known: &Decision) {
        let Some(uid) = known.pod.uid.as_deref().filter(|_| known.source == Source::Process) else { return };
        self.addresses.bind(uid, id);
        if !self.addresses.is_claimed(uid) {
            self.addresses.ended_unclaimed(&known.named);
        }
    }
}
