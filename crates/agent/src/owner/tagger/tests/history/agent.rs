//! The agent: what it reads, in which order, and what it says.

use std::collections::VecDeque;

use crate::interface::{Event, Owner, Source};
use crate::owner::pod::PodChange;
use crate::owner::tagger::Tagger;

use super::node::{FileEvent, Node};

/// Whether the owner is no pod, or known by processes alone: then addresses are those of an unknown pod.
fn is_weak(owner: &Owner) -> bool {
    owner.pod().is_none() || owner.source() == Source::Process.as_str()
}

impl Node {
    pub(super) fn kernel_tells(&mut self) {
        let Some(event) = self.kernel.pop_front() else { return };
        if let Event::Deleted(last, _) | Event::Updated(last, _) = &event
            && let Some(said) = self.said.get(&last.id).filter(|said| said.owner.as_deref().is_none_or(is_weak))
        {
            self.haunted.extend(said.addresses.iter().map(|net| net.addr()));
        }
        self.tagger.event(event);
        self.read();
    }

    pub(super) fn all_from_kernel(&mut self) {
        while !self.kernel.is_empty() {
            self.kernel_tells();
        }
    }

    pub(super) fn all_files(&mut self) {
        while !self.unread.is_empty() {
            self.file_is_read();
        }
    }

    pub(super) fn file_is_read(&mut self) {
        match self.unread.pop_front() {
            Some(FileEvent::Written(path, file)) => self.tagger.file(&path, *file),
            Some(FileEvent::Removed(path)) => self.tagger.file_gone(&path),
            None => {}
        }
        self.read();
    }

    /// A restart of the agent, with the sources in any order.
    pub(super) fn agent_restarts(&mut self, order: u64) {
        self.restore_addresses();
        while !self.unreported.is_empty() {
            self.kubelet_reports();
        }
        self.tagger = Tagger::default();
        self.boxes.values_mut().for_each(|one| one.is_disowned = false);
        self.said.clear();
        self.kernel.clear();
        self.look = None;
        self.unread =
            self.files.iter().map(|(path, file)| FileEvent::Written(path.clone(), file.clone().into())).collect();
        self.all_files();
        self.api_away = false;
        self.untold = [PodChange::Listed(self.api.values().cloned().collect())].into();
        let mut interfaces: VecDeque<_> =
            self.pods.iter().flat_map(|pod| pod.interfaces.iter().cloned().map(Event::Added)).collect();
        let by = (order % 7) as usize % interfaces.len().max(1);
        interfaces.rotate_left(by);
        interfaces.push_back(Event::Synced);
        // Pods before, between or after.
        let mut pods = self.untold.pop_front();
        for (at, event) in interfaces.into_iter().enumerate() {
            if at as u64 == order % 11
                && let Some(change) = pods.take()
            {
                self.tagger.pod(change);
            }
            self.tagger.event(event);
            self.read();
        }
        self.untold.extend(pods);
    }

    /// Follows the events of the tagger, and compares each with the truth.
    pub(super) fn read(&mut self) {
        let events: Vec<Event> = self.tagger.events().collect();
        for event in events {
            match event {
                Event::Added(now) | Event::Updated(now, _) => {
                    self.check(&now);
                    self.said.insert(now.id, now);
                }
                Event::Deleted(last, _) => drop(self.said.remove(&last.id)),
                Event::Synced => {}
            }
        }
    }

    /// Delivers all updates under way, without new changes.
    pub(super) fn settle(&mut self) {
        for pod in 0..self.pods.len() {
            self.tear_down(pod, false);
            self.die(pod);
        }
        self.all_from_kernel();
        self.all_files();
        self.api_server_comes();
        self.tell_all();
    }
}
