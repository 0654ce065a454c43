//! The workload of a pod, from its owner reference alone.
//!
//! A watch of ReplicaSets and Jobs would be certain, at the price of two more kinds from every
//! node. A name is shortened only if the name follows the controller's naming scheme; otherwise the
//! workload is the direct owner, always correct.

use crate::interface::{Workload, WorkloadKind};

/// Longest delay from the scheduled time to the creation of a CronJob's pod, minutes: a day for a
/// stopped controller, a full quota, or retried pods.
const LATEST: i64 = 24 * 60;

/// The reference to a pod's controller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Controller<'a> {
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
}

/// The workload of a pod as users know the workload.
///
/// `pod_template_hash` is the pod's label of this name, `created` its creation, seconds since 1970.
pub(super) fn workload(
    controller: Controller<'_>,
    pod_template_hash: Option<&str>,
    created: Option<i64>,
) -> Option<Workload> {
    let Controller { api_version, kind, name } = controller;
    let (group, _) = api_version.split_once('/')?;
    let (kind, name) = match (group, kind) {
        ("apps", "ReplicaSet") => match deployment(name, pod_template_hash) {
            Some(deployment) => (WorkloadKind::Deployment, deployment),
            None => (WorkloadKind::ReplicaSet, name),
        },
        ("apps", "StatefulSet") => (WorkloadKind::StatefulSet, name),
        ("apps", "DaemonSet") => (WorkloadKind::DaemonSet, name),
        ("batch", "Job") => match cron_job(name, created) {
            Some(cron_job) => (WorkloadKind::CronJob, cron_job),
            None => (WorkloadKind::Job, name),
        },
        _ => return None,
    };
    Some(Workload { kind, name: name.to_owned() })
}

/// The Deployment controller names its ReplicaSets `<deployment>-<hash>` and labels their pods with the hash, a
/// number written with the 27 characters of `rand.SafeEncodeString` (`k8s.io/apimachinery`).
/// A ReplicaSet made by hand has neither.
fn deployment<'a>(replica_set: &'a str, pod_template_hash: Option<&str>) -> Option<&'a str> {
    const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let hash = pod_template_hash.filter(|hash| (1..=10).contains(&hash.len()))?;
    let deployment = replica_set.strip_suffix(hash)?.strip_suffix('-').filter(|name| !name.is_empty())?;
    hash.bytes().all(|byte| SAFE.contains(&byte)).then_some(deployment)
}

/// The CronJob controller names its Jobs `<cron job>-<scheduled time>`, in minutes since 1970 from
/// Kubernetes 1.21 on. The number must be a possible due time of the pod.
///
/// Before 1.21 the number was in seconds, as in scripts (`date +%s`): such names stay Jobs.
fn cron_job(job: &str, created: Option<i64>) -> Option<&str> {
    let (name, scheduled) = job.rsplit_once('-').filter(|(name, _)| !name.is_empty())?;
    if scheduled.len() != 8 || !scheduled.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let age = created? / 60 - scheduled.parse::<i64>().ok()?;
    (0..=LATEST).contains(&age).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        api_version: &str,
        kind: &str,
        name: &str,
        hash: Option<&str>,
        created: i64,
    ) -> Option<(WorkloadKind, String)> {
        let workload = workload(Controller { api_version, kind, name }, hash, Some(created))?;
        Some((workload.kind, workload.name))
    }

    #[test]
    fn hash_reveals_the_deployment() {
        let replica_set = |name, hash| of("apps/v1", "ReplicaSet", name, hash, 0).unwrap();
        assert_eq!(replica_set("web-5d78c9869d", Some("5d78c9869d")), (WorkloadKind::Deployment, "web".into()));
        for (name, hash) in [
            ("web-5d78c9869d", None),
            ("web-5d78c9869d", Some("869d")),
            ("web", Some("web")),
            ("-5d78c9869d", Some("5d78c9869d")),
            ("web-blue", Some("blue")),
            ("web-", Some("")),
        ] {
            assert_eq!(replica_set(name, hash), (WorkloadKind::ReplicaSet, name.into()), "{hash:?}");
        }
    }

    #[test]
    fn schedule_reveals_the_cron_job() {
        let job = |name| of("batch/v1", "Job", name, None, 28_000_000 * 60 + 90).unwrap();
        assert_eq!(job("backup-28000000"), (WorkloadKind::CronJob, "backup".into()));
        assert_eq!(job("backup-27999000"), (WorkloadKind::CronJob, "backup".into()));
        for name in
            ["backup-28000002", "backup-27000000", "backup-1680000000", "backup-20240101", "28000000", "-28000000"]
        {
            assert_eq!(job(name), (WorkloadKind::Job, name.into()));
        }
    }

    #[test]
    fn foreign_kinds_are_not_workloads() {
        assert_eq!(of("apps.kruise.io/v1beta1", "StatefulSet", "web", None, 0), None);
        assert_eq!(of("v1", "Node", "node-1", None, 0), None);
        assert_eq!(of("apps/v1", "StatefulSet", "web", None, 0), Some((WorkloadKind::StatefulSet, "web".into())));
        assert_eq!(of("apps/v1", "DaemonSet", "cni", None, 0), Some((WorkloadKind::DaemonSet, "cni".into())));
    }
}
