//! What is known by now: events, applied.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use iface_core::{Event, Interface, InterfaceId};
use tokio::time::timeout;

use crate::pipeline::Pipeline;

/// How long the first listing may take; 10,000 namespaces need less than a second.
const FIRST_LISTING: Duration = Duration::from_secs(30);

/// The interfaces that exist.
#[derive(Debug, Default)]
pub struct Known(HashMap<InterfaceId, Arc<Interface>>);

impl Known {
    /// Everything that exists now.
    ///
    /// # Errors
    /// When the watcher ends or does not finish its first listing in time.
    pub async fn gather(pipeline: &mut Pipeline) -> anyhow::Result<Self> {
        let mut known = Self::default();
        timeout(FIRST_LISTING, known.follow_to_sync(pipeline)).await.context(
            "the first listing of all namespaces did not finish in 30 s: the kernel or the machine is stuck",
        )??;
        Ok(known)
    }

    async fn follow_to_sync(&mut self, pipeline: &mut Pipeline) -> anyhow::Result<()> {
        loop {
            let event = pipeline.next().await?;
            self.apply(&event);
            if event == Event::Synced {
                return Ok(());
            }
        }
    }

    /// Applies an event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Added(interface) | Event::Updated(interface, _) => {
                self.0.insert(interface.id, interface.clone());
            }
            Event::Deleted(interface) => {
                self.0.remove(&interface.id);
            }
            Event::Synced => {}
        }
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: InterfaceId) -> Option<&Arc<Interface>> {
        self.0.get(&id)
    }

    /// The host's first, then by namespace, then by number.
    pub fn sorted(&self) -> Vec<Arc<Interface>> {
        let mut all: Vec<_> = self.0.values().cloned().collect();
        all.sort_by(|a, b| (&a.netns.place, a.netns.id, a.ifindex).cmp(&(&b.netns.place, b.netns.id, b.ifindex)));
        all
    }
}
