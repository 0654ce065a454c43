//! The OTLP exporter: encodes, sends, retries, and reports the outcome.
//!
//! Nothing is queued while the receiver is away. Totals are complete whenever the next export
//! arrives, and [`Deltas`](crate::metrics::delta::Deltas) grow until then.

mod connector;
mod encode;
mod json;
mod retry;
mod tls;
mod transport;

use std::ops::Range;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use prost::Message;
use prost::bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

pub use self::encode::{
    Batch, Batches, LARGEST, SCHEMA_URL, key_value, own_metrics, points_of, resource, resource_metrics, scope,
};
pub use self::retry::Failure;
pub use self::tls::TlsError;
pub(crate) use self::tls::{certificates, private_key, roots};
use self::transport::Transport;
use crate::export::resource::Identity;
use crate::export::settings::{OtlpSettings, Protocol, Signal};
use crate::metrics::points::Points;
use crate::random::fraction;

const NOT_OTLP: &str = "it answered with success and a body that is not OTLP; is the endpoint an OTLP receiver?";

/// Exports one signal to one receiver.
#[derive(Debug)]
pub struct Exporter {
    transport: Transport,
    signal: Signal,
    identity: Arc<Identity>,
    /// The receiver asked to be left alone until then.
    not_before: Option<Instant>,
}

/// Outcome of an export.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Samples with delivered points, as ranges of [`Points::samples`].
    pub delivered: Vec<Range<usize>>,
    /// Data points or log records the receiver accepted.
    pub accepted: usize,
    /// Data points or log records the receiver rejected.
    pub rejected: usize,
    /// Requests sent again.
    pub retries: u32,
    /// Bytes of all delivered requests, before compression.
    pub bytes: usize,
    /// Reason of the last failure, if a request was not delivered.
    pub failure: Option<Failure>,
}

impl Exporter {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When certificates or keys cannot be used.
    pub fn new(signal: Signal, settings: OtlpSettings, identity: Arc<Identity>) -> Result<Self, TlsError> {
        let transport = Transport::new(signal, settings)?;
        Ok(Self { transport, signal, identity, not_before: None })
    }

    /// Settings of the receiver.
    #[must_use]
    pub fn settings(&self) -> &OtlpSettings {
        self.transport.settings()
    }

    /// Attributes of the agent.
    #[must_use]
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Sends all points and retries until `deadline`; the next export includes points left out.
    ///
    /// Cancelling is safe; the receiver may have the last request or not.
    pub async fn export(&mut self, points: &Points, deadline: Instant) -> Report {
        let identity = self.identity.clone();
        let mut batches = Batches::new(points, &identity);
        let mut report = Report::default();
        let mut buffer = BytesMut::new();
        while let Some(batch) = batches.next(&mut buffer) {
            let body = buffer.split().freeze();
            if self.deliver(body, batch.points, deadline, &mut report).await {
                report.delivered.push(batch.samples);
            } else if !matches!(report.failure, Some(Failure::Refused(_))) {
                break;
            }
        }
        report
    }

    /// Sends the agent's own metrics, which are messages already.
    pub async fn export_resource(&mut self, metrics: &ResourceMetrics, deadline: Instant) -> Report {
        let points = metrics.scope_metrics.iter().flat_map(|scope| &scope.metrics).map(points_of).sum();
        let mut body = BytesMut::with_capacity(metrics.encoded_len() + 16);
        prost::encoding::message::encode(1, metrics, &mut body);
        let mut report = Report::default();
        self.deliver(body.freeze(), points, deadline, &mut report).await;
        report
    }

    /// Sends an encoded request with this number of items. Returns `true` where the receiver took the request.
    pub(crate) async fn deliver(&mut self, body: Bytes, items: usize, deadline: Instant, report: &mut Report) -> bool {
        let length = body.len();
        match self.send(body, deadline, report).await {
            Ok(answer) => {
                let Some(rejected) = self.rejected(&answer) else {
                    report.failure = Some(Failure::Refused(NOT_OTLP.to_owned()));
                    return false;
                };
                let rejected = rejected.min(items);
                report.rejected += rejected;
                report.accepted += items - rejected;
                report.bytes += length;
                true
            }
            Err(failure) => {
                report.failure = Some(failure);
                false
            }
        }
    }

    async fn send(&mut self, body: Bytes, deadline: Instant, report: &mut Report) -> Result<Bytes, Failure> {
        self.wait_as_asked(deadline).await?;
        let (mut tries, start) = (0, Instant::now());
        loop {
            let failure = match timeout_at(deadline, self.transport.send(body.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => return Err(Failure::Timeout(start.elapsed())),
            };
            tries += 1;
            if let Failure::Busy { after: Some(after), .. } = &failure {
                self.not_before = Instant::now().checked_add(*after);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(wait) = failure.wait(tries, left, fraction()) else { return Err(failure) };
            tracing::debug!(
                event.name = "export.retried",
                signal = self.signal.as_str(),
                tries,
                ?wait,
                "the OTLP receiver {failure}"
            );
            report.retries += 1;
            tokio::time::sleep_until(Instant::now() + wait).await;
        }
    }

    /// A pause the receiver asked for holds for later exports, too.
    async fn wait_as_asked(&mut self, deadline: Instant) -> Result<(), Failure> {
        let Some(until) = self.not_before else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if until >= deadline && !left.is_zero() {
            return Err(Failure::Busy { reason: "it asked to wait longer".to_owned(), after: Some(left) });
        }
        tokio::time::sleep_until(until).await;
        self.not_before = None;
        Ok(())
    }

    /// Number of rejected items, from the partial success of an answer; `None` for an answer that is not
    /// OTLP.
    fn rejected(&self, answer: &[u8]) -> Option<usize> {
        let partial = match self.signal {
            _ if self.settings().protocol == Protocol::HttpJson => json::partial_success(answer)?,
            Signal::Metrics => ExportMetricsServiceResponse::decode(answer)
                .ok()?
                .partial_success
                .map(|partial| (partial.rejected_data_points, partial.error_message)),
            Signal::Logs => ExportLogsServiceResponse::decode(answer)
                .ok()?
                .partial_success
                .map(|partial| (partial.rejected_log_records, partial.error_message)),
        };
        let Some((rejected, message)) = partial else { return Some(0) };
        if rejected > 0 || !message.is_empty() {
            let signal = self.signal.as_str();
            tracing::warn!(
                event.name = "export.rejected",
                signal,
                rejected,
                message,
                "the OTLP receiver rejected a part of an export"
            );
        }
        Some(usize::try_from(rejected).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
