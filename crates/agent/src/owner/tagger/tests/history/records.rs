//! Records of runtimes: of containers that claim the namespaces of pods, and of the sandboxes of pods.

use std::path::PathBuf;

use iface_core::Place;

use super::node::Node;
use crate::interface::Runtime;
use crate::owner::cni::result::is_random_uuid;
use crate::owner::container::record::{Claim, Record, Sandbox};
use crate::owner::tagger::tests::pod as named_pod;

impl Node {
    /// The agent reads at once: whatever it knows of the pod, a container must not hide the pod.
    pub(super) fn record_container(&mut self, pod: usize) {
        let Some(pod) = self.pods.get(pod) else { return };
        let Place::Named(netns) = pod.netns.place.clone() else { return };
        let (runtime, name) = (Runtime::Docker, pod.uid.to_string());
        let (id, claim) = (pod.uid.to_string(), Claim::Name(netns));
        let path = PathBuf::from(format!("record-{id}"));
        self.tagger.container(&path.into(), Record { runtime, name, id, image: None, claim, networks: Vec::new() });
        self.read();
    }

    /// A record names only a namespace with a random name.
    pub(super) fn record_sandbox(&mut self, pod: usize) {
        let Some(pod) = self.pods.get(pod) else { return };
        let Place::Named(netns) = pod.netns.place.clone() else { return };
        // The records of other programs name no pod.
        if !is_random_uuid(&netns) || self.boxes.contains_key(&pod.uid) {
            return;
        }
        let path = PathBuf::from(format!("sandbox-{}", pod.uid));
        let sandbox = Sandbox { pod: named_pod(&pod.name, Some(&pod.uid)), netns };
        self.tagger.sandbox(&path.into(), sandbox);
        self.read();
    }

    pub(super) fn remove_record(&mut self, pod: usize) {
        let Some(pod) = self.pods.get(pod) else { return };
        for kind in ["record", "sandbox"] {
            self.tagger.container_gone(PathBuf::from(format!("{kind}-{}", pod.uid)).as_path());
        }
        self.read();
    }
}
