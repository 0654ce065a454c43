//! One look at all processes of a `/proc`: the pods of the processes in each namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use iface_core::{NetnsId, NsFile};
use nix::time::{ClockId, clock_gettime};

use crate::cgroup::pod_of_process;
use crate::owner::cni::file::space_at;
use crate::proc::pids;

/// Namespaces to look for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::owner) struct Sought {
    /// Namespaces without a pod, by their files.
    pub(in crate::owner) podless: BTreeMap<NsFile, Podless>,
    /// The file of the host's namespace, whose processes are of no interest.
    pub(in crate::owner) host: Option<NsFile>,
}

/// A namespace without a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::owner) struct Podless {
    pub(in crate::owner) id: NetnsId,
    /// Whether a name leads to the namespace, so that its end is known at once.
    pub(in crate::owner) is_named: bool,
}

/// The processes inside a namespace without a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::owner) struct Inside {
    /// The namespace before the look.
    pub(in crate::owner) id: NetnsId,
    pub(in crate::owner) file: NsFile,
    /// The uid of the only pod in whose cgroup processes are.
    pub(in crate::owner) pod: Option<Arc<str>>,
}

/// The uids of the pods in whose cgroups processes are, by the namespace of the processes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::owner) struct Look(BTreeMap<NsFile, BTreeSet<Arc<str>>>);

impl Look {
    /// Reads all processes below `proc`, usually `/proc`, without those in the host's namespace. Blocks meanwhile.
    ///
    /// Namespaces with a pod are read as well: the pod's processes inside tell its visitors elsewhere. A process that
    /// ends or enters another namespace meanwhile says nothing, nor one that the agent may not trace.
    pub(super) fn new(proc: &Path, host: Option<NsFile>) -> Self {
        let processes = pids(proc).unwrap_or_default();
        processes.into_iter().filter_map(|pid| pod_of(&proc.join(pid.to_string()), host)).collect()
    }

    /// The evidence about each namespace without a pod.
    ///
    /// Processes outside any pod's cgroup say nothing: the runtime's monitors, or an administrator with `nsenter`. Two
    /// pods inside prove neither, as one may be a visitor; nor does a pod with processes in two namespaces, as one may be
    /// nested in the other, or the pod a visitor there.
    pub(in crate::owner) fn about(&self, podless: &BTreeMap<NsFile, Podless>) -> Vec<(Podless, Inside)> {
        let only = |file: &NsFile| {
            let mut pods = self.0.get(file)?.iter();
            let pod = pods.next().filter(|_| pods.next().is_none())?;
            let is_elsewhere = self.0.iter().any(|(other, pods)| other != file && pods.contains(pod));
            (!is_elsewhere).then(|| pod.clone())
        };
        let inside = podless.iter().map(|(file, one)| (*one, Inside { id: one.id, file: *file, pod: only(file) }));
        inside.collect()
    }
}

impl FromIterator<(NsFile, Arc<str>)> for Look {
    fn from_iter<T: IntoIterator<Item = (NsFile, Arc<str>)>>(processes: T) -> Self {
        let mut look = Self::default();
        for (file, pod) in processes {
            look.0.entry(file).or_default().insert(pod);
        }
        look
    }
}

/// The namespace of a process, and the pod in whose cgroup the process is.
fn pod_of(process: &Path, host: Option<NsFile>) -> Option<(NsFile, Arc<str>)> {
    let netns = process.join("ns/net");
    let file = space_at(&netns).filter(|file| Some(*file) != host)?;
    let pod = pod_of_process(&fs::read_to_string(process.join("cgroup")).ok()?)?;
    // The process may have entered the namespace meanwhile, or its PID may be another's.
    (space_at(&netns) == Some(file)).then(|| (file, pod.into()))
}

/// Processor time of this thread.
pub(super) fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Into::into)
}

#[cfg(test)]
mod tests;
