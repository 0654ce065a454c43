//! An event.

use std::time::SystemTime;

use serde::Serialize;

use super::InterfaceView;
use super::text::rfc3339;
use crate::interface::Event;

/// An event as `watch -o json` shows it, one object per line.
#[derive(Clone, Debug, Serialize)]
pub struct EventView<'a> {
    event: &'static str,
    #[serde(flatten)]
    subject: Option<SubjectView<'a>>,
}

#[derive(Clone, Debug, Serialize)]
struct SubjectView<'a> {
    time: String,
    changed: Vec<&'static str>,
    interface: InterfaceView<'a>,
}

impl<'a> EventView<'a> {
    /// The event, received at `time`; `Synced` has neither an interface nor a time.
    #[must_use]
    pub fn new(event: &'a Event, time: SystemTime) -> Self {
        let changed = match event {
            Event::Updated(_, changes) => changes.names().collect(),
            Event::Added(_) | Event::Deleted(_) | Event::Synced => Vec::new(),
        };
        let subject = event.interface().map(|interface| SubjectView {
            time: rfc3339(time),
            changed,
            interface: InterfaceView::from(&**interface),
        });
        Self { event: event.kind().as_str(), subject }
    }
}
