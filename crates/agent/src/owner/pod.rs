//! What the tagger needs to know of a pod, whoever said it.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use crate::interface::Pod;

use crate::owner::kube::multus::NetworkStatus;

/// How many uids are remembered.
const REMEMBERED: usize = 4096;

/// A pod as the API server has it, trimmed to what is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRecord {
    /// Its identity, workload and selected attributes.
    pub pod: Arc<Pod>,
    /// `metadata.uid`, the same as in `pod`.
    pub uid: Arc<str>,
    /// `metadata.resourceVersion` where it is a number, as every etcd's is.
    pub version: Option<u64>,
    /// The same pod as the container runtime knows it: a static pod has a uid from the kubelet there,
    /// and the API server shows a mirror of it under another.
    pub named: Arc<Pod>,
    /// `metadata.creationTimestamp`, seconds since 1970.
    pub created: i64,
    /// `status.podIPs`; empty with `hostNetwork`, where they are the node's.
    pub addresses: Vec<IpAddr>,
    /// How far its life is.
    pub life: Life,
    /// What multus says of its interfaces.
    pub networks: Vec<NetworkStatus>,
}

/// How far a pod's life is, as far as its addresses are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// It has its addresses.
    Live,
    /// Its deletion was asked for: the addresses may be given to another pod before the API server hears of it.
    Terminating,
    /// Succeeded or Failed: the API server keeps showing addresses that are no longer its own.
    Over,
}

/// What comes from a watch of the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodEvent {
    /// The pods are others than before.
    Change(PodChange),
    /// A request failed and is tried again: what happened and what to do, as a line to show.
    Fault(String),
}

/// What the API server says of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodChange {
    /// The pod is new or another than before.
    Applied(PodRecord),
    /// The pod with this uid is gone.
    Deleted(Arc<str>),
    /// These are all.
    Listed(Vec<PodRecord>),
}

/// Whether both name the same pod, as far as they say.
pub(in crate::owner) fn same_pod(a: &Pod, b: &Pod) -> bool {
    let uids_agree = match (&a.uid, &b.uid) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    uids_agree && a.name == b.name && a.namespace == b.namespace
}

/// Namespace and name: what people call a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::owner) struct PodName {
    namespace: Box<str>,
    name: Box<str>,
}

impl From<&Pod> for PodName {
    fn from(pod: &Pod) -> Self {
        Self { namespace: pod.namespace.as_str().into(), name: pod.name.as_str().into() }
    }
}

/// The pods the API server has told of.
#[derive(Debug, Default)]
pub(in crate::owner) struct Pods {
    by_uid: BTreeMap<Arc<str>, PodRecord>,
    by_name: BTreeMap<PodName, BTreeSet<Arc<str>>>,
    deleted: Remembered,
}

impl Pods {
    /// Takes a record in; what is now known of the pod, unless that is nothing new.
    ///
    /// A list from an API server that lags behind the one asked before may show the past: a deleted pod,
    /// which never comes back under its uid, or an earlier state. One restored from a backup shows the present
    /// under lower versions. So of a record with a lower version one thing is believed: that the
    /// pod's life has gone on, which no pod's goes back.
    pub(in crate::owner) fn apply(&mut self, mut record: PodRecord) -> Option<PodRecord> {
        if self.deleted.contains(&record.uid) {
            return None;
        }
        let Some(known) = self.by_uid.get_mut(&record.uid) else {
            self.by_name.entry(record.pod.as_ref().into()).or_default().insert(record.uid.clone());
            self.by_uid.insert(record.uid.clone(), record.clone());
            return Some(record);
        };
        let life = known.life.max(record.life);
        if is_older(record.version, known.version) {
            record = known.clone();
        }
        record.life = life;
        // Most changes of a pod are of nothing that is kept.
        let new = PodRecord { version: record.version, ..known.clone() } != record;
        known.clone_from(&record);
        new.then_some(record)
    }

    pub(in crate::owner) fn delete(&mut self, uid: &Arc<str>) -> Option<PodRecord> {
        self.deleted.insert(uid);
        self.forget(uid)
    }

    /// Drops a record without remembering the pod as deleted.
    pub(in crate::owner) fn forget(&mut self, uid: &Arc<str>) -> Option<PodRecord> {
        let record = self.by_uid.remove(uid)?;
        let name = PodName::from(record.pod.as_ref());
        if let Some(uids) = self.by_name.get_mut(&name) {
            uids.remove(uid);
            if uids.is_empty() {
                self.by_name.remove(&name);
            }
        }
        Some(record)
    }

    pub(in crate::owner) fn get(&self, uid: &str) -> Option<&PodRecord> {
        self.by_uid.get(uid)
    }

    /// The uids of all records with a pod's namespace and name.
    pub(in crate::owner) fn uids_named(&self, name: &PodName) -> impl Iterator<Item = &Arc<str>> {
        self.by_name.get(name).into_iter().flatten()
    }

    pub(in crate::owner) fn len(&self) -> usize {
        self.by_uid.len()
    }

    /// All uids that are not among `listed`.
    pub(in crate::owner) fn missing_from(&self, listed: &BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
        self.by_uid.keys().filter(|uid| !listed.contains(*uid)).cloned().collect()
    }

    /// The record of the pod a CNI file names.
    ///
    /// By the uid the runtime knows. A runtime that leaves the uid out names a pod only by name, which a
    /// successor may have by now: then it is the one `known` by an address before, or the only one with an
    /// address that agrees.
    pub(in crate::owner) fn named_by(
        &self,
        pod: &Pod,
        known: Option<&str>,
        addresses: &[IpAddr],
    ) -> Option<&PodRecord> {
        let mut same_name = self.by_name.get(&PodName::from(pod))?.iter().filter_map(|uid| self.by_uid.get(uid));
        if pod.uid.is_some() {
            return same_name.find(|record| record.named.uid == pod.uid);
        }
        if let Some(known) = known {
            return same_name.find(|record| &*record.uid == known);
        }
        let agrees = |record: &&PodRecord| record.addresses.iter().any(|address| addresses.contains(address));
        let mut agreeing = same_name.filter(|record| record.life != Life::Over).filter(agrees);
        agreeing.next().filter(|_| agreeing.next().is_none())
    }
}

/// `resourceVersion` of one object grows with each change. Kubernetes documents it as comparable
/// since 1.35, and it is etcd's revision in every version before.
fn is_older(new: Option<u64>, known: Option<u64>) -> bool {
    matches!((new, known), (Some(new), Some(known)) if new < known)
}

/// The last few thousand uids that something holds for; a uid is never used again.
///
/// Only a hash of each is kept: a string for every pod that ever was would lie between what is freed, a page of
/// memory each. Its key is random, and one wrong answer is expected in some 10^15 questions.
#[derive(Debug, Default)]
pub(in crate::owner) struct Remembered {
    key: RandomState,
    order: VecDeque<u64>,
    uids: HashSet<u64>,
}

impl Remembered {
    pub(in crate::owner) fn contains(&self, uid: &str) -> bool {
        self.uids.contains(&self.key.hash_one(uid))
    }

    /// Whether it is new.
    pub(in crate::owner) fn insert(&mut self, uid: &str) -> bool {
        let uid = self.key.hash_one(uid);
        if !self.uids.insert(uid) {
            return false;
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.uids.remove(&oldest);
        }
        self.order.push_back(uid);
        true
    }
}
