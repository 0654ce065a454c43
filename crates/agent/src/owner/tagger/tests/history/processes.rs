//! Processes inside namespaces: of the pod, of pods that visit, and in namespaces that a pod makes.

use iface_core::NsFile;

use super::node::{Node, Real, Stage};
use crate::owner::process::look::{Look, Sought};

impl Node {
    /// A process of a pod enters the namespace of another, as from a privileged shell.
    pub(super) fn visit(&mut self, visitor: usize, visited: usize) {
        if visited < self.pods.len()
            && let Some(pod) = self.pods.get_mut(visitor).filter(|pod| pod.stage == Stage::Running)
            && !self.boxes.contains_key(&pod.uid)
        {
            pod.visits = (pod.visits != Some(visited)).then_some(visited);
        }
    }

    /// A pod makes a namespace of its own, which the agent does not follow, or ends it.
    pub(super) fn nest(&mut self, pod: usize) {
        if let Some(pod) = self.pods.get_mut(pod).filter(|pod| pod.stage == Stage::Running) {
            pod.has_nested = !pod.has_nested;
        }
    }

    /// The agent looks at all processes. What the kernel tells may be of an earlier time.
    pub(super) fn begin_look(&mut self) {
        let sought = self.tagger.sought();
        let inside = self.pods.iter().filter(|pod| pod.has_processes() && !self.boxes.contains_key(&pod.uid));
        let processes = inside.flat_map(|pod| {
            let visited = pod.visits.map(|visited| &self.pods[visited]).filter(|visited| visited.stage != Stage::Dead);
            let nested = pod.has_nested.then(|| NsFile { dev: 4, inode: u64::MAX - pod.address as u64 });
            let files = [pod.netns.file, visited.and_then(|visited| visited.netns.file), nested];
            files.into_iter().flatten().map(|file| (file, pod.uid.clone()))
        });
        let look: Look = processes.collect();
        self.look = Some((sought, look));
    }

    /// The namespaces have lasted for longer than any notification of the kernel takes.
    pub(super) fn end_look(&mut self) {
        let Some((Sought { podless, .. }, look)) = self.look.take() else { return };
        self.all_from_kernel();
        let evidence = look.about(&podless).into_iter().map(|(_, inside)| inside).collect();
        self.tagger.processes(evidence);
        self.read();
    }
}

impl Real {
    /// The runtime ends a pod's last process before the namespace.
    fn has_processes(&self) -> bool {
        self.stage <= Stage::Completed
    }
}
