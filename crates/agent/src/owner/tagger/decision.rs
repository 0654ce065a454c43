//! Decides whose a namespace is from all that is known of it. Pure: no state, no order.

use std::sync::Arc;

use crate::interface::{Pod, Source};

use crate::owner::cni::attachments::Testimony;
use crate::owner::pod::{PodRecord, same_pod};
use crate::owner::tagger::conflict::Conflict;

/// The pod a namespace belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::owner) struct Verdict {
    /// The pod as the container runtime knows it: what sources are compared by.
    pub(in crate::owner) named: Arc<Pod>,
    /// The pod with all that the API server adds.
    pub(in crate::owner) pod: Arc<Pod>,
    pub(in crate::owner) source: Source,
}

/// All that is known of one namespace.
pub(in crate::owner) struct Evidence<'a> {
    pub(in crate::owner) files: &'a Testimony<'a>,
    /// Pods whose addresses only this namespace has.
    pub(in crate::owner) by_address: Vec<&'a PodRecord>,
    /// Pods of whose addresses another namespace has one, too.
    pub(in crate::owner) shared: Vec<&'a PodRecord>,
    /// The last verdict. A network namespace serves one pod for its whole life, so it holds when
    /// its source has fallen silent, as files and pods go before their namespace does.
    pub(in crate::owner) known: Option<&'a Verdict>,
}

/// The pod as the runtime knows it and the source of that, or nobody.
pub(in crate::owner) fn decide(evidence: &Evidence<'_>, conflicts: &mut Vec<Conflict>) -> Option<(Arc<Pod>, Source)> {
    let against =
        |pod: &Pod| evidence.by_address.iter().map(|record| &record.named).find(|other| !same_pod(other, pod));
    let proven = match evidence.files.pod() {
        Ok(proven) => proven,
        Err([one, other]) => {
            conflicts.push(Conflict::TwoPodsInCache(one.clone(), other.clone()));
            return None;
        }
    };
    let earlier = evidence.known.filter(|known| known.source == Source::CniCache).map(|known| &known.named);
    let (pod, source) = match proven.or(earlier) {
        Some(pod) => {
            let known = evidence.known.map(|known| &known.named).filter(|known| !same_pod(known, pod));
            if let Some(known) = known {
                conflicts.push(Conflict::CacheAgainstKnown(pod.clone(), known.clone()));
            }
            if let Some(other) = against(pod).filter(|other| known.is_none_or(|known| !same_pod(known, other))) {
                conflicts.push(Conflict::CacheAgainstAddress(pod.clone(), other.clone()));
            }
            (pod.clone(), Source::CniCache)
        }
        None => (by_address(evidence, conflicts)?, Source::PodIp),
    };
    match evidence.files.other_than(&pod).filter(|_| proven.is_none()) {
        None => Some((pod, source)),
        Some(other) => {
            conflicts.push(Conflict::UnprovenFile(other.clone(), pod));
            None
        }
    }
}

fn by_address(evidence: &Evidence<'_>, conflicts: &mut Vec<Conflict>) -> Option<Arc<Pod>> {
    let known = evidence.known.map(|known| &known.named);
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
