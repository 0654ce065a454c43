//! Points to OTLP requests, a batch at a time.
//!
//! A request is `repeated ResourceMetrics resource_metrics = 1`, so Resources encoded one by one
//! behind each other are a request: only a single Resource is ever held as messages.

use std::ops::Range;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use prost::bytes::BytesMut;
use prost::encoding::message;

use crate::export::entity::{self, Entities};
use crate::export::resource::Identity;
use crate::metrics::catalog::{Explained, Instrument, InterfaceMetric, Measure, Slots, keys};
use crate::metrics::own::OwnMetrics;
use crate::metrics::points::{Attributes, Ending, Points, Sample, Subject, Temporality, nanos};

/// Schema of the semantic conventions used for names.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// A batch of this size is sent: making a larger batch would block the runtime for more than a few
/// milliseconds.
const ENOUGH: usize = 512 * 1024;

/// No batch is larger. Receivers refuse 4 MiB.
pub const LARGEST: usize = 2 * 1024 * 1024 - 1024;

/// Most interfaces in one message; a Resource with more is sent in parts.
const MOST_SAMPLES: usize = 256;

/// Content of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Indexes into [`Points::samples`].
    pub samples: Range<usize>,
    /// Number of data points.
    pub points: usize,
}

/// Splits points into requests.
#[derive(Debug)]
pub struct Batches<'a> {
    points: &'a Points,
    identity: &'a Identity,
    group: usize,
    sample: usize,
}

impl<'a> Batches<'a> {
    /// From the first sample on.
    #[must_use]
    pub fn new(points: &'a Points, identity: &'a Identity) -> Self {
        Self { points, identity, group: 0, sample: 0 }
    }

    /// Encodes the next request into `buffer`, which is cleared first; `None` at the end.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Option<Batch> {
        buffer.clear();
        let start = self.sample;
        let mut points = 0;
        let mut most = MOST_SAMPLES;
        while buffer.len() < ENOUGH {
            let Some(group) = self.points.groups.get(self.group) else { break };
            let samples = self.sample..group.samples.end.min(self.sample + most);
            let message = self.resource_metrics(&group.subject, &self.points.samples[samples.clone()]);
            let length = message.encoded_len() + 16;
            if buffer.len() + length > LARGEST && samples.len() > 1 {
                most = samples.len() / 2;
                continue;
            }
            if buffer.len() + length > LARGEST && !buffer.is_empty() {
                break;
            }
            buffer.reserve(length);
            message::encode(1, &message, buffer);
            points += count(&message);
            self.sample = samples.end;
            if self.sample == group.samples.end {
                self.group += 1;
            }
        }
        (self.sample > start).then_some(Batch { samples: start..self.sample, points })
    }

    fn resource_metrics(&self, subject: &Subject, samples: &[Sample]) -> ResourceMetrics {
        let attributes = self.points.options.attributes;
        let named: Vec<_> = samples.iter().map(|sample| (sample, interface_attributes(attributes, sample))).collect();
        let metrics = self.points.options.metrics().map(|metric| self.metric(subject, metric, &named));
        let metrics = metrics.filter(|metric| points_of(metric) > 0).collect();
        resource_metrics(self.identity, subject, metrics)
    }

    fn metric(&self, subject: &Subject, metric: &InterfaceMetric, samples: &[(&Sample, Vec<KeyValue>)]) -> Metric {
        let mut data_points = Vec::with_capacity(samples.len() * metric.measure.series());
        for (sample, attributes) in samples {
            self.data_points(metric, sample, attributes, &mut data_points);
        }
        let is_monotonic = metric.instrument == Instrument::Counter;
        // Up-down counters are always cumulative.
        let temporality = match self.points.temporality {
            Temporality::Delta if is_monotonic => AggregationTemporality::Delta,
            Temporality::Delta | Temporality::Cumulative => AggregationTemporality::Cumulative,
        };
        let sum = Sum { data_points, aggregation_temporality: temporality.into(), is_monotonic };
        Metric {
            name: [subject.scope().prefix(), metric.suffix].concat(),
            description: metric.description.to_owned(),
            unit: metric.unit.to_owned(),
            metadata: Vec::new(),
            data: Some(metric::Data::Sum(sum)),
        }
    }

    fn data_points(
        &self,
        metric: &InterfaceMetric,
        sample: &Sample,
        attributes: &[KeyValue],
        to: &mut Vec<NumberDataPoint>,
    ) {
        match sample.ending {
            Some(Ending::Final(_)) if metric.measure.slots().is_none() => return,
            Some(Ending::NoRecordedValue) => return self.no_recorded_values(metric, sample, attributes, to),
            _ => {}
        }
        let time = match sample.ending {
            Some(Ending::Final(ended)) => ended,
            _ => self.points.time,
        };
        let point = |value: u64, start: u64, attributes: Vec<KeyValue>| NumberDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: time,
            value: Some(number_data_point::Value::AsInt(value.cast_signed())),
            ..NumberDataPoint::default()
        };
        let interface = &sample.interface;
        let state = |value| point(value, nanos(interface.since).min(time), attributes.to_vec());
        match (metric.measure.slots(), &sample.counted) {
            (Some(Slots::Details(details)), _) => {
                for (explained, counted) in self.points.details.of(interface, details) {
                    let all = self.explained(explained, attributes);
                    to.push(point(counted.values[explained.slot()], counted.starts[explained.slot()], all));
                }
            }
            (Some(_), None) => {}
            (Some(Slots::Single(slot)), Some(counted)) => {
                to.push(point(counted.values[slot], counted.starts[slot], attributes.to_vec()));
            }
            (Some(Slots::Directions { receive, transmit }), Some(counted)) => {
                for (slot, direction) in [(receive, "receive"), (transmit, "transmit")] {
                    let mut all = Vec::with_capacity(attributes.len() + 1);
                    all.extend_from_slice(attributes);
                    all.push(key_value(self.points.options.attributes.direction_key(), direction));
                    to.push(point(counted.values[slot], counted.starts[slot], all));
                }
            }
            (None, _) => match metric.measure {
                Measure::Up => to.push(state(u64::from(interface.is_up()))),
                Measure::Mtu => to.push(state(u64::from(interface.mtu))),
                Measure::Bandwidth => to.extend(sample.bandwidth.map(state)),
                Measure::Address => {
                    let addresses = self.points.options.attributes.of_addresses(interface).map(key_values);
                    to.extend(addresses.map(|all| point(1, nanos(interface.since).min(time), all)));
                }
                _ => {
                    let all = key_values(self.points.options.attributes.of_info(interface));
                    to.push(point(1, nanos(interface.since).min(time), all));
                }
            },
        }
    }

    /// Attributes of a counter that explains errors or drops.
    fn explained(&self, explained: &Explained, attributes: &[KeyValue]) -> Vec<KeyValue> {
        let direction = key_value(self.points.options.attributes.direction_key(), explained.direction);
        let error = explained.error.map(|error| key_value(keys::ERROR_TYPE, error));
        attributes.iter().cloned().chain([direction]).chain(error).collect()
    }

    /// A point without a value for each series of the metric: Prometheus would answer the last value for five minutes.
    fn no_recorded_values(
        &self,
        metric: &InterfaceMetric,
        sample: &Sample,
        attributes: &[KeyValue],
        to: &mut Vec<NumberDataPoint>,
    ) {
        let point = |attributes: Vec<KeyValue>| NumberDataPoint {
            attributes,
            time_unix_nano: self.points.time,
            flags: DataPointFlags::NoRecordedValueMask as u32,
            ..NumberDataPoint::default()
        };
        match metric.measure.slots() {
            Some(Slots::Directions { .. }) => to.extend(["receive", "transmit"].map(|direction| {
                let direction = key_value(self.points.options.attributes.direction_key(), direction);
                point([attributes, &[direction]].concat())
            })),
            None if metric.measure == Measure::Info => {
                to.push(point(key_values(self.points.options.attributes.of_info(&sample.interface))));
            }
            None if metric.measure == Measure::Address => {
                let addresses = self.points.options.attributes.of_addresses(&sample.interface);
                to.extend(addresses.map(key_values).map(point));
            }
            Some(Slots::Details(details)) => {
                let details = self.points.details.of(&sample.interface, details);
                to.extend(details.map(|(explained, _)| point(self.explained(explained, attributes))));
            }
            _ => to.push(point(attributes.to_vec())),
        }
    }
}

/// One Resource with the agent's scope.
#[must_use]
pub fn resource_metrics(identity: &Identity, subject: &Subject, metrics: Vec<Metric>) -> ResourceMetrics {
    ResourceMetrics {
        resource: Some(resource(identity, subject)),
        scope_metrics: vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: SCHEMA_URL.to_owned() }],
        schema_url: SCHEMA_URL.to_owned(),
    }
}

/// The subject's Resource.
#[must_use]
pub fn resource(identity: &Identity, subject: &Subject) -> Resource {
    let attributes = identity.resource(subject);
    let entity_refs = match identity.entities {
        Entities::Off => Vec::new(),
        Entities::Beside | Entities::Instead => entity::refs(identity, subject, &attributes),
    };
    let attributes = attributes.into_iter().map(|(key, value)| owned_key_value(key, value)).collect();
    Resource { attributes, entity_refs, ..Resource::default() }
}

/// The instrumentation scope: this program.
#[must_use]
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// An attribute with a text.
#[must_use]
pub fn key_value(key: &str, value: &str) -> KeyValue {
    owned_key_value(key.to_owned(), value.to_owned())
}

fn owned_key_value(key: String, value: String) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value)) };
    KeyValue { key, value: Some(value), ..KeyValue::default() }
}

fn key_values(pairs: impl IntoIterator<Item = (&'static str, String)>) -> Vec<KeyValue> {
    pairs.into_iter().map(|(key, value)| owned_key_value(key.to_owned(), value)).collect()
}

fn interface_attributes(attributes: Attributes, sample: &Sample) -> Vec<KeyValue> {
    key_values(attributes.of(&sample.interface))
}

fn count(message: &ResourceMetrics) -> usize {
    message.scope_metrics.iter().flat_map(|scope| &scope.metrics).map(points_of).sum()
}

/// Counts the data points of a metric.
#[must_use]
pub fn points_of(metric: &Metric) -> usize {
    match &metric.data {
        Some(metric::Data::Sum(sum)) => sum.data_points.len(),
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(metric::Data::Histogram(histogram)) => histogram.data_points.len(),
        _ => 0,
    }
}

/// The agent's own metrics, as the node's Resource.
#[must_use]
pub fn own_metrics(own: &OwnMetrics, identity: &Identity) -> ResourceMetrics {
    let request = ExportMetricsServiceRequest::from(&own.read());
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    let mut metrics: Vec<_> = scopes.flat_map(|scope| scope.metrics).collect();
    metrics.iter_mut().for_each(|metric| set_starts(metric, own));
    resource_metrics(identity, &Subject::Node, metrics)
}

/// The SDK takes the start time from the wall clock once, and keeps it when the clock is set back.
fn set_starts(metric: &mut Metric, own: &OwnMetrics) {
    match &mut metric.data {
        Some(metric::Data::Sum(sum)) => {
            for point in &mut sum.data_points {
                point.start_time_unix_nano = own.start(point.time_unix_nano);
            }
        }
        Some(metric::Data::Histogram(histogram)) => {
            for point in &mut histogram.data_points {
                point.start_time_unix_nano = own.start(point.time_unix_nano);
            }
        }
        _ => {}
    }
}
