//! Decides the owner of a namespace from all evidence. Pure: no state, no order.

use std::sync::Arc;

use crate::interface::{Pod, Source};

use crate::owner::cni::attachments::Testimony;
use crate::owner::pod::{PodRecord, same_pod};
use crate::owner::tagger::conflict::Conflict;

/// The pod of a namespace.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::owner) struct Decision {
    /// The pod as known to the container runtime, for comparison of sources.
    pub(in crate::owner) named: Arc<Pod>,
    /// The pod with the additions of the API server.
    pub(in crate::owner) pod: Arc<Pod>,
    pub(in crate::owner) source: Source,
    /// Whether the API server has ever known the pod, by uid or by namespace and name.
    pub(in crate::owner) registered: bool,
}

/// All evidence about one namespace.
pub(in crate::owner) struct Evidence<'a> {
    pub(in crate::owner) files: &'a Testimony<'a>,
    /// Pods with addresses of this namespace only.
    pub(in crate::owner) by_address: Vec<&'a PodRecord>,
    /// Pods with an address that another namespace has as well.
    pub(in crate::owner) shared: Vec<&'a PodRecord>,
    /// The pod in whose cgroup the processes inside are.
    pub(in crate::owner) by_process: Option<&'a PodRecord>,
    /// The last decision. A network namespace serves one pod for its whole life, so the decision stays valid
    /// without its source: files and pods are deleted before their namespace.
    pub(in crate::owner) known: Option<&'a Decision>,
}

/// The pod as known to the runtime, with the source; `None` without an owner.
pub(in crate::owner) fn decide(evidence: &Evidence<'_>, conflicts: &mut Vec<Conflict>) -> Option<(Arc<Pod>, Source)> {
    let against =
        |pod: &Pod| evidence.by_address.iter().map(|record| &record.named).find(|other| !same_pod(other, pod));
    let proven = match proof(evidence) {
        Ok(proven) => proven,
        Err([one, other]) => {
            conflicts.push(Conflict::TwoPodsInCache(one.clone(), other.clone()));
            return None;
        }
    };
    let earlier = evidence.known.filter(|known| known.source < Source::PodIp).map(|known| (&known.named, known.source));
    // A record does not outweigh a CNI result, present or gone.
    let weightier = earlier.filter(|(_, earlier)| proven.is_some_and(|(_, source)| *earlier < source));
    let (pod, source) = match weightier.or(proven).or(earlier) {
        Some((pod, source)) => {
            let known = evidence.known.map(|known| &known.named).filter(|known| !same_pod(known, pod));
            if let Some(known) = known {
                conflicts.push(Conflict::CacheAgainstKnown(pod.clone(), known.clone()));
            }
            if let Some(other) = against(pod).filter(|other| known.is_none_or(|known| !same_pod(known, other))) {
                conflicts.push(Conflict::CacheAgainstAddress(pod.clone(), other.clone()));
            }
            (pod.clone(), source)
        }
        None => match by_address(evidence, conflicts) {
            Some(pod) => (pod, Source::PodIp),
            None => (by_process(evidence)?, Source::Process),
        },
    };
    // An unproven file is reported, but never worse than no file.
    if let Some(other) = evidence.files.other_than(&pod).filter(|_| proven.is_none()) {
        conflicts.push(Conflict::UnprovenFile(other.clone(), pod.clone()));
    }
    if let Some(other) = evidence.files.recorded_other_than(&pod) {
        conflicts.push(Conflict::RecordAgainstCache(other.clone(), pod.clone()));
    }
    Some((pod, source))
}

/// A pod, and the source that proves the pod.
type Proof<'a> = (&'a Arc<Pod>, Source);

/// The pod that files prove: CNI results, and without them records of the runtime.
fn proof<'a>(evidence: &Evidence<'a>) -> Result<Option<Proof<'a>>, [&'a Arc<Pod>; 2]> {
    if let Some(pod) = evidence.files.pod(Source::CniCache)? {
        return Ok(Some((pod, Source::CniCache)));
    }
    let recorded = evidence.files.pod(Source::RuntimeRecord)?;
    Ok(recorded.map(|pod| (pod, Source::RuntimeRecord)))
}

fn by_address(evidence: &Evidence<'_>, conflicts: &mut Vec<Conflict>) -> Option<Arc<Pod>> {
    let known = evidence.known.filter(|known| known.source != Source::Process).map(|known| &known.named);
    match (evidence.by_address.as_slice(), known) {
        ([], None) => {
            conflicts.extend(evidence.shared.iter().map(|record| Conflict::SharedAddress(record.named.clone())));
            None
        }
        ([], Some(known)) => match evidence.shared.iter().find(|record| same_pod(&record.named, known)) {
            Some(record) => {
                conflicts.push(Conflict::SharedAddress(record.named.clone()));
                None
            }
            None => Some(known.clone()),
        },
        ([one], None) => Some(one.named.clone()),
        ([one, other, ..], None) => {
            conflicts.push(Conflict::TwoPodsByAddress(one.named.clone(), other.named.clone()));
            None
        }
        (several, Some(known)) => match several.iter().find(|record| !same_pod(&record.named, known)) {
            Some(other) => {
                conflicts.push(Conflict::KnownAgainstAddress(known.clone(), other.named.clone()));
                None
            }
            None => Some(known.clone()),
        },
    }
}

/// The weakest evidence: counts where addresses name no pod, and contradict neither each other nor what was known.
fn by_process(evidence: &Evidence<'_>) -> Option<Arc<Pod>> {
    if !evidence.by_address.is_empty() {
        return None;
    }
    match (evidence.by_process, evidence.known) {
        (Some(record), None) => Some(record.named.clone()),
        (Some(record), Some(known)) => same_pod(&record.named, &known.named).then(|| record.named.clone()),
        // The processes may have ended, and the namespace is still the pod's.
        (None, known) => known.filter(|known| known.source == Source::Process).map(|known| known.named.clone()),
    }
}
