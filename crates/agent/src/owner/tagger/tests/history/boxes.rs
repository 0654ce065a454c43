//! Containers of programs other than Kubernetes, whose CNI results look like a pod's.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::interface::Pod;
use iface_core::NetnsId;

use super::made::named;
use super::node::{FileEvent, Node};
use super::{FileTime, NAMES, NetnsNaming};

/// A container of another program.
#[derive(Default)]
pub(super) struct Container {
    /// Whether the agent has taken the pod of its result back.
    pub(super) is_disowned: bool,
}

impl Node {
    /// A container with an address of its own and a result without uid, of which the API server never knows.
    pub(super) fn start_box(&mut self, name_of: NetnsNaming) {
        let before = self.pods.len();
        self.start(NAMES, FileTime::Now, false, name_of);
        if self.pods.len() == before {
            return;
        }
        self.unreported.pop_back();
        let real = &mut self.pods[before];
        real.name = format!("box-{}", real.uid);
        let name: Arc<str> = real.name.as_str().into();
        real.uid = name.clone();
        self.namespaces.insert(real.netns.id, name.clone());
        self.boxes.insert(name.clone(), Container::default());
        let file = real.file.as_mut().unwrap();
        file.pod = Arc::new(Pod { uid: None, ..Pod::clone(&named("", &name)) });
        let (path, file) = (real.path.clone(), file.clone());
        self.files.insert(path.clone(), file.clone());
        self.unread.pop_back();
        self.unread.push_back(FileEvent::Written(path, file.into()));
    }

    /// All that was under way arrives within the grace, or the API server does not answer and the grace does not pass.
    pub(super) fn grace_passes(&mut self) {
        if self.api_away {
            return;
        }
        self.tell_all();
        let strange: BTreeSet<NetnsId> =
            self.tagger.orphans().into_iter().filter(|id| self.tagger.is_strange(*id)).collect();
        for id in &strange {
            let name = &self.namespaces[id];
            self.boxes.get_mut(name).expect("a pod is no stranger").is_disowned = true;
        }
        self.tagger.disown(strange);
        self.read();
    }
}
