//! An event.

use std::time::SystemTime;

use serde::Serialize;

use super::InterfaceView;
use super::counters::TrafficView;
use super::text::rfc3339;
use crate::feed::Line;
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
    /// Traffic of the interface from its addition to its deletion.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    final_counters: Option<TrafficView>,
}

impl<'a> EventView<'a> {
    /// The event, received at `time`; `Synced` has neither an interface nor a time.
    #[must_use]
    pub fn new(event: &'a Event, time: SystemTime) -> Self {
        let changed = match event {
            Event::Updated(_, changes) => changes.names().collect(),
            Event::Added(_) | Event::Deleted(..) | Event::Synced => Vec::new(),
        };
        let subject = event.interface().map(|interface| SubjectView {
            time: rfc3339(time),
            changed,
            interface: InterfaceView::from(&**interface),
            final_counters: match event {
                Event::Deleted(_, Some(counters)) => Some(TrafficView::from(&counters.carried())),
                _ => None,
            },
        });
        Self { event: event.kind().as_str(), subject }
    }
}

/// A line of `/v1/watch`: an event with its number.
#[derive(Clone, Debug, Serialize)]
pub struct LineView<'a> {
    seq: u64,
    #[serde(flatten)]
    event: EventView<'a>,
}

impl<'a> From<&'a Line> for LineView<'a> {
    fn from(line: &'a Line) -> Self {
        Self { seq: line.seq, event: EventView::new(&line.event, line.time) }
    }
}

impl LineView<'_> {
    /// A line without an event, so that the reader sees a live connection.
    #[must_use]
    pub fn heartbeat(seq: u64) -> Self {
        Self { seq, event: EventView { event: "Heartbeat", subject: None } }
    }

    /// The last line of a reader that is too far behind.
    #[must_use]
    pub fn restart(seq: u64) -> Self {
        Self { seq, event: EventView { event: "Restart", subject: None } }
    }

    /// The reader has everything up to this number after the line.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The kind of the line.
    #[must_use]
    pub fn event(&self) -> &'static str {
        self.event.event
    }
}
