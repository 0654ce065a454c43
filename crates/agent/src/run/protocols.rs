//! Adds the counters of protocols to the points of a page.

use std::collections::HashMap;

use crate::metrics::points::{Points, Subject};
use crate::protocol::{Processes, Wanted};

/// The processes of pods, and whether the log has a warning about them.
#[derive(Debug, Default)]
pub(super) struct Protocols {
    processes: Processes,
    warned: bool,
}

impl Protocols {
    /// Blocks while files are read.
    pub(super) fn add(&mut self, points: &mut Points) {
        let pods = pods(points);
        points.protocols = self.processes.read(&pods);
        if points.protocols.is_empty() && !pods.is_empty() && !self.warned {
            self.warned = true;
            tracing::warn!(
                event.name = "protocols.unseen",
                "no process of any pod is visible, so --protocol-stats shows nothing: the agent needs the PID namespace of the node (hostPID)"
            );
        }
    }
}

fn pods(points: &Points) -> Vec<Wanted> {
    let mut pods: HashMap<&str, Wanted> = HashMap::new();
    for group in &points.groups {
        let Subject::Pod(pod) = &group.subject else { continue };
        let Some(uid) = &pod.uid else { continue };
        let names =
            points.samples[group.samples.clone()].iter().map(|sample| sample.interface.name.as_bytes().to_vec());
        let wanted = pods.entry(uid).or_insert_with(|| Wanted { uid: uid.clone(), interfaces: Default::default() });
        wanted.interfaces.extend(names);
    }
    pods.into_values().collect()
}
