//! Logs when a receiver stops to take exports and when it takes them again.

use tokio::time::Instant;

use crate::export::otlp::Report;
use crate::export::settings::{OtlpSettings, Signal};
use crate::secret::Endpoint;

/// The present state of one receiver. A failure is a warning once, until it changes its kind or ends.
#[derive(Debug)]
pub(super) struct Outage {
    signal: Signal,
    endpoint: Endpoint,
    present: Option<Present>,
}

#[derive(Clone, Copy, Debug)]
struct Present {
    since: Instant,
    kind: &'static str,
    exports: u32,
}

/// Change of state by a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    Began,
    Continued,
    Ended { exports: u32 },
}

impl Outage {
    pub(super) fn new(signal: Signal, settings: &OtlpSettings) -> Self {
        Self { signal, endpoint: settings.endpoint.clone(), present: None }
    }

    /// Logs what the report of an export changes.
    pub(super) fn record(&mut self, report: &Report) {
        let since = self.present.map(|present| present.since);
        let (change, signal, endpoint) = (self.change(report), self.signal.as_str(), &self.endpoint);
        let (accepted, bytes) = (report.accepted, report.bytes);
        match (change, &report.failure) {
            (Change::Began, Some(failure)) => {
                tracing::warn!(event.name = "export.failed", signal, %endpoint, accepted, "the OTLP receiver {failure}; every interval tries again");
            }
            (_, Some(failure)) => {
                tracing::debug!(event.name = "export.still_failing", signal, %endpoint, accepted, "the OTLP receiver {failure}");
            }
            (Change::Ended { exports }, None) => {
                let after = since.map(|since| since.elapsed());
                tracing::info!(event.name = "export.recovered", signal, %endpoint, ?after, failed_exports = exports, "the OTLP receiver takes exports again");
            }
            (_, None) => tracing::debug!(event.name = "export.delivered", signal, accepted, bytes, "exported"),
        }
    }

    fn change(&mut self, report: &Report) -> Change {
        match (&report.failure, &mut self.present) {
            (Some(failure), Some(present)) => {
                present.exports += 1;
                let same = present.kind == failure.as_str();
                present.kind = failure.as_str();
                if same { Change::Continued } else { Change::Began }
            }
            (Some(failure), None) => {
                self.present = Some(Present { since: Instant::now(), kind: failure.as_str(), exports: 1 });
                Change::Began
            }
            (None, present) => {
                present.take().map_or(Change::None, |present| Change::Ended { exports: present.exports })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::export::otlp::Failure;

    fn failed(failure: Failure) -> Report {
        Report { failure: Some(failure), ..Report::default() }
    }

    #[test]
    fn begin_change_and_end_are_reported_once() {
        let mut outage = Outage { signal: Signal::Metrics, endpoint: hyper::Uri::default().into(), present: None };
        let unreachable = failed(Failure::Unreachable("refused".into()));
        let timeout = failed(Failure::Timeout(Duration::from_secs(1)));
        let reports = [&Report::default(), &unreachable, &unreachable, &timeout, &Report::default()];
        let changes = reports.map(|report| outage.change(report));
        let expected = [Change::None, Change::Began, Change::Continued, Change::Began, Change::Ended { exports: 3 }];
        assert_eq!(changes, expected);
    }
}
