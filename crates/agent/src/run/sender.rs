//! Exports metrics over OTLP at every interval and a last time before the agent stops.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::collector::Collector;
use super::keeper::{Keeper, keep};
use super::outage::Outage;
use super::{Stop, memory};
use crate::export::otlp::{Exporter, Failure, Report, own_metrics};
use crate::export::settings::Signal;
use crate::metrics::delta::Deltas;
use crate::metrics::own::{Exported, OwnMetrics};
use crate::metrics::points::Temporality;

/// Reads counters and exports them.
pub(super) struct Sender {
    collector: Collector,
    exporter: Exporter,
    deltas: Option<Deltas>,
    interval: Duration,
    last_export_grace: Duration,
    outage: Outage,
    keeper: Option<Keeper>,
}

impl Sender {
    pub(super) fn new(
        collector: Collector,
        exporter: Exporter,
        interval: Duration,
        last_export_grace: Duration,
    ) -> Self {
        let deltas = (exporter.settings().temporality == Temporality::Delta).then(Deltas::default);
        let outage = Outage::new(Signal::Metrics, exporter.settings());
        Self { collector, exporter, deltas, interval, last_export_grace, outage, keeper: None }
    }

    /// Keeps the state of the export.
    pub(super) fn with_keeper(self, keeper: Option<Keeper>) -> Self {
        Self { keeper, ..self }
    }

    /// Exports at every interval until the agent stops, and then once more.
    ///
    /// # Errors
    /// Fails after the watcher has terminated.
    pub(super) async fn run(mut self, mut stop: Stop) -> anyhow::Result<()> {
        if let Some(keeper) = &mut self.keeper {
            keeper.load(&mut self.collector);
        }
        let settled = self.collector.shared().settled.clone();
        let is_settled = tokio::select! {
            is_settled = settled.wait() => is_settled,
            // The agent is stopped within its first seconds: export what is known.
            () = stop.asked() => settled.is_synced(),
        };
        if !is_settled {
            return Ok(());
        }
        let ended = tokio::select! {
            ended = self.send_each(self.interval) => ended,
            () = stop.asked() => Ok(()),
        };
        ended?;
        let failure = self.send(self.last_export_grace).await?;
        if let Some(failure) = failure {
            tracing::warn!(
                event.name = "export.last_export_lost",
                "the counters since the last export are lost: the OTLP receiver {failure}"
            );
        }
        Ok(())
    }

    async fn send_each(&mut self, period: Duration) -> anyhow::Result<()> {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = keep(self.keeper.as_mut(), &mut self.collector) => continue,
            }
            self.send(period).await?;
            memory::give_back();
        }
    }

    async fn send(&mut self, patience: Duration) -> anyhow::Result<Option<Failure>> {
        let start = Instant::now();
        let mut points = self.collector.collect().await?;
        if let Some(deltas) = &mut self.deltas {
            deltas.convert(&mut points);
        }
        // On a starved node, reading the counters can take longer than an interval: the receiver gets its time anyway.
        let deadline = Instant::now() + patience;
        if let Some(keeper) = &mut self.keeper {
            keeper.deliver(&mut self.exporter, deadline).await;
        }
        let report = {
            let mut export = std::pin::pin!(self.exporter.export(&points, deadline));
            loop {
                // An export to a receiver that is away takes long.
                tokio::select! {
                    report = &mut export => break report,
                    () = keep(self.keeper.as_mut(), &mut self.collector) => {}
                }
            }
        };
        if let Some(deltas) = &mut self.deltas {
            deltas.delivered(&points, &report.delivered);
        }
        self.collector.delivered(&points, &report.delivered);
        if let Some(keeper) = &mut self.keeper {
            keeper.save(&mut self.collector);
        }
        let failure = report.failure.clone();
        let own = &self.collector.shared().own;
        exported(own, &mut self.outage, Signal::Metrics, &report, start.elapsed());
        let about_itself = own_metrics(own, self.exporter.identity());
        let report = self.exporter.export_resource(&about_itself, deadline).await;
        tracing::debug!(event.name = "export.own_metrics", accepted = report.accepted, failure = ?report.failure, "exported the agent's own metrics");
        Ok(failure)
    }
}

/// Counts and logs the outcome of an export.
pub(super) fn exported(own: &OwnMetrics, outage: &mut Outage, signal: Signal, report: &Report, took: Duration) {
    own.exported(Exported {
        signal: signal.as_str(),
        took,
        accepted: report.accepted,
        rejected: report.rejected,
        retries: report.retries,
        failure: report.failure.as_ref().map(|failure| failure.as_str()),
    });
    outage.record(report);
}
