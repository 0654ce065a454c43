//! Pods as the tagger needs pods, from any source.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use crate::interface::Pod;

use crate::owner::index::remove_value;
use crate::owner::kube::multus::NetworkStatus;

/// Number of remembered uids.
const REMEMBERED: usize = 4096;

/// A pod of the API server, trimmed to the used fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRecord {
    /// Identity, workload and selected attributes.
    pub pod: Arc<Pod>,
    /// `metadata.uid`, the same as in `pod`.
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`, if numeric as with etcd.
    pub version: Option<u64>,
    /// The same pod as known to the container runtime: a static pod has a uid of the kubelet in the
    /// runtime, and a mirror pod with another uid in the API server.
    pub named: Arc<Pod>,
    /// `metadata.creationTimestamp`, seconds since 1970.
    pub created: i64,
    /// `status.podIPs`; empty with `hostNetwork`, where the addresses are the node's.
    pub addresses: Vec<IpAddr>,
    /// Whether the pod uses the node's namespace.
    pub host_network: bool,
    /// Phase of life.
    pub life: Life,
    /// Networks of the pod's interfaces, from multus.
    pub networks: Vec<NetworkStatus>,
}

/// Phase of a pod's life with regard to its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// The pod has its addresses.
    Live,
    /// The pod is being deleted: another pod may get the addresses before the API server is updated.
    Terminating,
    /// Succeeded or Failed: the API server keeps showing released addresses.
    Terminated,
}

/// An item of a watch of the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodEvent {
    /// Pods have changed.
    Change(PodChange),
    /// A request failed and will be retried: a line with error and remedy.
    Fault(String),
}

/// A change of pods in the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodChange {
    /// The pod is new or has changed.
    Applied(PodRecord),
    /// The pod with this uid is deleted.
    Deleted(Arc<str>),
    /// The complete list of pods.
    Listed(Vec<PodRecord>),
}

/// Whether both name the same pod, by the known fields.
pub(in crate::owner) fn same_pod(a: &Pod, b: &Pod) -> bool {
    let uids_agree = match (&a.uid, &b.uid) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    uids_agree && a.name == b.name && a.namespace == b.namespace
}

/// Namespace and name of a pod.
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

/// An applied record of the API server.
#[derive(Debug)]
pub(in crate::owner) struct Applied {
    /// The new state of the pod.
    pub(in crate::owner) record: PodRecord,
    /// Whether a used field is new.
    pub(in crate::owner) changed: bool,
    /// Whether the API server states the fields again, in a later version of a known pod.
    pub(in crate::owner) repeated: bool,
}

/// The pods of the API server.
#[derive(Debug, Default)]
pub(in crate::owner) struct Pods {
    by_uid: BTreeMap<Arc<str>, PodRecord>,
    by_name: BTreeMap<PodName, BTreeSet<Arc<str>>>,
    deleted: Remembered,
}

impl Pods {
    /// Applies a record; returns the new state of the pod, unless nothing is new.
    ///
    /// A list from a lagging API server may show the past: a deleted pod, whose uid never returns, or an
    /// earlier state. An API server restored from a backup shows the present under lower versions. So a
    /// record with a lower version counts only for progress in the pod's life: no pod's life goes
    /// back.
    pub(in crate::owner) fn apply(&mut self, mut record: PodRecord) -> Option<Applied> {
        if self.deleted.contains(&record.uid) {
            return None;
        }
        let Some(known) = self.by_uid.get_mut(&record.uid) else {
            self.by_name.entry(record.pod.as_ref().into()).or_default().insert(record.uid.clone());
            self.by_uid.insert(record.uid.clone(), record.clone());
            return Some(Applied { record, changed: true, repeated: false });
        };
        let life = known.life.max(record.life);
        if is_older(record.version, known.version) {
            record = known.clone();
        }
        record.life = life;
        // Most changes of a pod concern dropped fields.
        let changed = PodRecord { version: record.version, ..known.clone() } != record;
        let repeated = is_older(known.version, record.version);
        known.clone_from(&record);
        (changed || repeated).then_some(Applied { record, changed, repeated })
    }

    pub(in crate::owner) fn delete(&mut self, uid: &Arc<str>) -> Option<PodRecord> {
        self.deleted.insert(uid);
        self.forget(uid)
    }

    /// Drops a record without remembering the pod as deleted.
    pub(in crate::owner) fn forget(&mut self, uid: &Arc<str>) -> Option<PodRecord> {
        let record = self.by_uid.remove(uid)?;
        remove_value(&mut self.by_name, &PodName::from(record.pod.as_ref()), uid);
        Some(record)
    }

    pub(in crate::owner) fn get(&self, uid: &str) -> Option<&PodRecord> {
        self.by_uid.get(uid)
    }

    /// The pod with this uid in the container runtime, if a namespace can be the pod's: not with `hostNetwork`, nor after
    /// the end of its containers.
    pub(in crate::owner) fn running(&self, uid: &str) -> Option<&PodRecord> {
        let is_it = |record: &&PodRecord| record.named.uid.as_deref() == Some(uid);
        // A static pod has another uid at the API server, in an annotation that any author can write. Its uid in the
        // runtime is a hash, and those of other pods are UUIDs.
        let record = self.by_uid.get(uid).filter(is_it).or_else(|| {
            let mut mirrors = self.by_uid.values().filter(|_| !uid.contains('-')).filter(is_it);
            mirrors.next().filter(|_| mirrors.next().is_none())
        });
        record.filter(|record| !record.host_network && record.life != Life::Terminated)
    }

    /// The records of a pod in a CNI file; several if the file has no uid.
    pub(in crate::owner) fn same(&self, pod: &Pod) -> impl Iterator<Item = &PodRecord> {
        let uids = self.uids_named(&PodName::from(pod));
        uids.filter_map(|uid| self.by_uid.get(uid)).filter(|record| same_pod(&record.named, pod))
    }

    /// The uids of all records with a pod's namespace and name.
    pub(in crate::owner) fn uids_named<'a>(&'a self, name: &PodName) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        self.by_name.get(name).into_iter().flatten()
    }

    pub(in crate::owner) fn len(&self) -> usize {
        self.by_uid.len()
    }

    /// All uids missing in `listed`.
    pub(in crate::owner) fn missing_from(&self, listed: &BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
        self.by_uid.keys().filter(|uid| !listed.contains(*uid)).cloned().collect()
    }

    /// The record of the pod in a CNI file.
    ///
    /// By the uid in the runtime. Without a uid, the file names a pod only by name, and a successor may have
    /// the same name: the match is then the pod `known` before by an address, or the only pod with a
    /// matching address.
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
        let mut agreeing = same_name.filter(|record| record.life != Life::Terminated).filter(agrees);
        agreeing.next().filter(|_| agreeing.next().is_none())
    }
}

/// `resourceVersion` of an object grows with each change. Kubernetes documents versions as comparable
/// since 1.35; in earlier releases the version is etcd's revision.
fn is_older(new: Option<u64>, known: Option<u64>) -> bool {
    matches!((new, known), (Some(new), Some(known)) if new < known)
}

/// A set of the last few thousand uids; uids are never reused.
///
/// Only hashes are kept: a string per deleted pod would fragment the heap, up to a page of memory
/// each. The hash key is random; one false positive is expected in some 10^15 queries.
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

    pub(in crate::owner) fn insert(&mut self, uid: &str) {
        let uid = self.key.hash_one(uid);
        if !self.uids.insert(uid) {
            return;
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.uids.remove(&oldest);
        }
        self.order.push_back(uid);
    }
}
