//! Sends metrics with OTLP, once an interval and a last time at the end.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::collector::Collector;
use super::{Stop, memory};
use crate::export::otlp::{Exporter, Report, own_metrics};
use crate::export::settings::Signal;
use crate::metrics::delta::Deltas;
use crate::metrics::own::{Exported, OwnMetrics};
use crate::metrics::points::Temporality;

/// Reads and sends.
pub(super) struct Sender {
    collector: Collector,
    exporter: Exporter,
    deltas: Option<Deltas>,
    interval: Duration,
    grace: Duration,
}

impl Sender {
    pub(super) fn new(collector: Collector, exporter: Exporter, interval: Duration, grace: Duration) -> Self {
        let deltas = (exporter.settings().temporality == Temporality::Delta).then(Deltas::default);
        Self { collector, exporter, deltas, interval, grace }
    }

    /// Sends until it is to stop, and then once more.
    ///
    /// # Errors
    /// When counters cannot be read because the watcher has ended.
    pub(super) async fn run(mut self, mut stop: Stop) -> anyhow::Result<()> {
        let mut synced = self.collector.shared().synced.clone();
        // Before, what is missing would look as if it had ended.
        let started = tokio::select! {
            synced = synced.wait_for(Option::is_some) => synced.is_ok(),
            () = stop.asked() => false,
        };
        if !started {
            return Ok(());
        }
        let ended = tokio::select! {
            ended = self.send_each(self.interval) => ended,
            () = stop.asked() => Ok(()),
        };
        ended?;
        // The last export is given up a little before the program is.
        self.send(self.grace.mul_f32(0.9)).await
    }

    async fn send_each(&mut self, period: Duration) -> anyhow::Result<()> {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.send(period).await?;
            memory::give_back();
        }
    }

    async fn send(&mut self, patience: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut points = self.collector.collect().await?;
        if let Some(deltas) = &mut self.deltas {
            deltas.convert(&mut points);
        }
        let deadline = start + patience;
        let report = self.exporter.export(&points, deadline).await;
        if let Some(deltas) = &mut self.deltas {
            deltas.delivered(&points, &report.delivered);
        }
        let own = &self.collector.shared().own;
        exported(own, Signal::Metrics, &report, start.elapsed());
        let about_itself = own_metrics(own, self.exporter.identity());
        let report = self.exporter.export_resource(&about_itself, deadline).await;
        tracing::debug!(event.name = "export.own_metrics_sent", accepted = report.accepted, failure = ?report.failure, "sent own metrics");
        Ok(())
    }
}

/// Counts and logs what became of an export.
pub(super) fn exported(own: &OwnMetrics, signal: Signal, report: &Report, took: Duration) {
    own.exported(Exported {
        signal: signal.as_str(),
        took,
        accepted: report.accepted,
        rejected: report.rejected,
        retries: report.retries,
        failure: report.failure.as_ref().map(|failure| failure.as_str()),
    });
    let signal = signal.as_str();
    match &report.failure {
        Some(failure) => {
            tracing::warn!(event.name = "export.failed", signal, %failure, accepted = report.accepted, "not everything arrived")
        }
        None => tracing::debug!(
            event.name = "export.done",
            signal,
            accepted = report.accepted,
            bytes = report.bytes,
            ?took,
            "exported"
        ),
    }
}
