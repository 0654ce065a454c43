//! The same series for scrapers: Prometheus' text format and OpenMetrics.
//!
//! Labels identify the OTLP Resource: `k8s_node_name`, and `k8s_namespace_name`, `k8s_pod_name` and `k8s_pod_uid`,
//! or `netns_name`; `target_info` holds the attributes all Resources share, `k8s_pod_info` those of a pod, and
//! `…_network_interface_info` those of an interface. An interface older than the agent never gets a
//! `_created` sample: the creation time is unknown, and a wrong time would count its traffic twice.

mod kubelet;
pub(crate) mod names;
mod process;
mod protocol;
mod text;

use std::collections::HashSet;
use std::io::{self, Write};

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, metric, number_data_point};

pub use self::process::Process;
pub use self::text::Format;
use self::text::{Labels, Type, Writer};
use crate::export::resource::{Identity, pod_attributes};
use crate::metrics::catalog::{Explained, Instrument, InterfaceMetric, Measure, Scope, Slots, keys};
use crate::metrics::points::{Options, PageNames, Points, Sample, Subject};

/// Key of the label that every series has.
const NODE: &str = "k8s.node.name";

/// Content of the page.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The interfaces, cumulative; `None` shows the agent's own metrics only.
    pub points: Option<&'a Points>,
    /// Attributes of the agent.
    pub identity: &'a Identity,
    /// The agent's own metrics.
    pub own: &'a ResourceMetrics,
    /// The agent's process.
    pub process: Process,
}

impl Page<'_> {
    /// Writes the text, in many small pieces.
    ///
    /// # Errors
    /// Returns the errors of `to`.
    pub fn write(&self, format: Format, to: impl Write) -> io::Result<()> {
        let mut writer = Writer::new(to, format, self.points.is_some_and(|points| points.options.created));
        writer.family("target", "", Type::Info, "What the agent says about itself.");
        writer.sample("target", "_info", &Labels::joined(self.identity.resource(&Subject::Node)), 1);
        if let Some(points) = self.points {
            for scope in Scope::ALL {
                self.scope(points, scope, &mut writer);
            }
            if points.options.names != PageNames::Native {
                kubelet::write(points, self.identity.node_name(), &mut writer);
            }
            self.protocols(points, &mut writer);
            pods(points, self.identity.node_name(), &mut writer);
            network_names(points, &self.node(), &mut writer);
        }
        let own = self.own.scope_metrics.iter().flat_map(|scope| &scope.metrics);
        own.for_each(|metric| own_metric(metric, &self.node(), &mut writer));
        process::write(&self.process, &self.node(), &mut writer);
        writer.finish()
    }

    /// The label of every series.
    fn node(&self) -> Labels {
        let name = self.identity.node_name();
        Labels::new((!name.is_empty()).then_some((NODE, name)))
    }

    fn scope(&self, points: &Points, scope: Scope, writer: &mut Writer<impl Write>) {
        let groups = points.groups.iter().filter(|group| group.subject.scope() == scope);
        let samples: Vec<_> = groups
            .flat_map(|group| points.samples[group.samples.clone()].iter().map(|sample| (&group.subject, sample)))
            .map(|(subject, sample)| Labelled::new(subject, sample, &points.options))
            .collect();
        if !samples.is_empty() {
            let key = points.options.attributes.direction_key();
            let node = self.node();
            let directions = ["receive", "transmit"].map(|direction| Labels::new([(key, direction)]).and(&node));
            let ends = Ends { node, directions };
            let replaced = scope == Scope::Pod && points.options.names == PageNames::Kubelet;
            let shown = |metric: &&InterfaceMetric| metric.is_of(scope) && !(replaced && kubelet::has(metric.measure));
            let metrics = points.options.metrics().filter(shown);
            for metric in metrics {
                match metric.measure.slots() {
                    Some(Slots::Details(details)) => {
                        detailed_metric((scope, metric), details, points, &samples, &ends, writer);
                    }
                    _ => interface_metric((scope, metric), points, &samples, &ends, writer),
                }
            }
        }
    }
}

impl Page<'_> {
    fn protocols(&self, points: &Points, writer: &mut Writer<impl Write>) {
        let pods = points.groups.iter().filter_map(|group| match &group.subject {
            Subject::Pod(pod) => {
                let values = points.protocols.get(pod.uid.as_ref()?)?;
                Some((labels(&group.subject, std::iter::empty()), *values))
            }
            Subject::Node | Subject::Container(_) | Subject::Netns(_) => None,
        });
        let pods: Vec<_> = pods.collect();
        protocol::write(&pods, points.options.attributes.direction_key(), &self.node(), writer);
    }
}

/// Labels at the end of samples, the same for all interfaces.
struct Ends {
    node: Labels,
    /// Receive and transmit, with the node.
    directions: [Labels; 2],
}

/// A sample with its labels rendered once for all metrics.
struct Labelled<'a> {
    subject: &'a Subject,
    sample: &'a Sample,
    labels: Labels,
    all: Option<Labels>,
}

impl<'a> Labelled<'a> {
    fn new(subject: &'a Subject, sample: &'a Sample, options: &Options) -> Self {
        let attributes = options.attributes;
        let info = options.opt_in.contains(&Measure::Info);
        Self {
            subject,
            sample,
            labels: labels(subject, attributes.of(&sample.interface)),
            all: info.then(|| labels(subject, attributes.of_info(&sample.interface))),
        }
    }
}

fn labels(subject: &Subject, attributes: impl Iterator<Item = (&'static str, String)>) -> Labels {
    let mut labels = Labels::default();
    match subject {
        Subject::Node => {}
        Subject::Pod(pod) => {
            labels.push("k8s.namespace.name", &pod.namespace);
            labels.push("k8s.pod.name", &pod.name);
            pod.uid.iter().for_each(|uid| labels.push("k8s.pod.uid", uid));
        }
        Subject::Container(container) => {
            labels.push("container.name", &container.name);
            labels.push("container.runtime", container.runtime.as_str());
        }
        Subject::Netns(netns) => labels.push("netns.name", &netns.place.to_string()),
    }
    let is_netns = matches!(subject, Subject::Netns(_));
    for (key, value) in attributes.filter(|(key, _)| !(is_netns && *key == "netns.name")) {
        labels.push(key, &value);
    }
    labels
}

/// A metric of counters that explain errors or drops.
fn detailed_metric(
    (scope, metric): (Scope, &InterfaceMetric),
    details: &[Explained],
    points: &Points,
    samples: &[Labelled<'_>],
    Ends { directions: [into, out], .. }: &Ends,
    writer: &mut Writer<impl Write>,
) {
    let (family, unit) = names::family(&[scope.prefix(), metric.suffix].concat(), metric.unit);
    writer.family(&family, unit, Type::Counter, metric.description);
    for Labelled { sample, labels, .. } in samples {
        for (explained, counted) in points.details.of(&sample.interface, details) {
            let direction = if explained.direction == "receive" { into } else { out };
            let labels = match explained.error {
                Some(error) => &labels.with(keys::ERROR_TYPE, error),
                None => labels,
            };
            writer.counter(&family, [labels, direction], counted, explained.slot());
        }
    }
}

fn interface_metric(
    (scope, metric): (Scope, &InterfaceMetric),
    points: &Points,
    samples: &[Labelled<'_>],
    Ends { node, directions: [into, out] }: &Ends,
    writer: &mut Writer<impl Write>,
) {
    let (family, unit) = names::family(&[scope.prefix(), metric.suffix].concat(), metric.unit);
    let (kind, suffix) = match metric.instrument {
        Instrument::Counter => (Type::Counter, "_total"),
        Instrument::UpDownCounter | Instrument::Histogram => (Type::Gauge, ""),
    };
    writer.family(&family, unit, kind, metric.description);
    for Labelled { subject, sample, labels, all } in samples {
        match (metric.measure.slots(), &sample.counted) {
            (Some(Slots::Details(_)), _) | (Some(_), None) => {}
            (Some(Slots::Single(slot)), Some(counted)) => {
                writer.counter(&family, [labels, node], counted, slot);
            }
            (Some(Slots::Directions { receive, transmit }), Some(counted)) => {
                writer.counter(&family, [labels, into], counted, receive);
                writer.counter(&family, [labels, out], counted, transmit);
            }
            // An interface that ended has no state any more.
            (None, _) if sample.ending.is_some() && metric.measure != Measure::Info => {}
            (None, _) => match metric.measure {
                Measure::Up => writer.sample_of(&family, suffix, [labels, node], u8::from(sample.interface.is_up())),
                Measure::Mtu => writer.sample_of(&family, suffix, [labels, node], sample.interface.mtu),
                Measure::Bandwidth => {
                    sample
                        .bandwidth
                        .into_iter()
                        .for_each(|limit| writer.sample_of(&family, suffix, [labels, node], limit));
                }
                Measure::Address => {
                    for address in points.options.attributes.of_addresses(&sample.interface) {
                        writer.sample_of(&family, suffix, [&self::labels(subject, address.into_iter()), node], 1);
                    }
                }
                _ => writer.sample_of(&family, suffix, [all.as_ref().unwrap_or(labels), node], 1),
            },
        }
    }
}

/// Workload, labels and annotations of each pod, to be joined with its series by namespace, name and uid.
fn pods(points: &Points, node: &str, writer: &mut Writer<impl Write>) {
    let pods = points.groups.iter().filter_map(|group| match &group.subject {
        Subject::Pod(pod) => Some(pod),
        Subject::Node | Subject::Container(_) | Subject::Netns(_) => None,
    });
    let mut pods = pods.peekable();
    if pods.peek().is_none() {
        return;
    }
    writer.family("k8s_pod_info", "", Type::Gauge, "Always 1: shows workload, labels and annotations of a pod.");
    for pod in pods {
        // A label of its own for each kind of workload would need a query for each kind.
        let workload = pod.workload.iter().flat_map(|workload| {
            [("k8s.workload.kind", workload.kind.as_str()), ("k8s.workload.name", workload.name.as_str())]
        });
        let node = (!node.is_empty()).then_some((NODE, node));
        let attributes = pod_attributes(pod).chain(workload).chain(node);
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned()));
        writer.sample("k8s_pod_info", "", &Labels::joined(attributes), 1);
    }
}

/// The same metric as in openshift's network-metrics-daemon: always 0, to be added to cAdvisor's series by
/// `+ on(namespace,pod,interface) group_left(network_name)`.
fn network_names(points: &Points, node: &Labels, writer: &mut Writer<impl Write>) {
    let mut samples = points
        .groups
        .iter()
        .filter_map(|group| match &group.subject {
            Subject::Pod(pod) => Some((pod, &points.samples[group.samples.clone()])),
            Subject::Node | Subject::Container(_) | Subject::Netns(_) => None,
        })
        .flat_map(|(pod, samples)| samples.iter().map(move |sample| (pod, &sample.interface)))
        .filter_map(|(pod, interface)| Some((pod, interface, interface.owner.as_ref()?.network()?)))
        .peekable();
    if samples.peek().is_none() {
        return;
    }
    writer.family("pod_network_name_info", "", Type::Gauge, "Always 0: says the CNI network of a pod's interface.");
    // A pod made again under its name exists twice for a moment, here without the uid.
    let mut written = HashSet::new();
    for (pod, interface, network) in samples {
        let interface = interface.name.to_string();
        let pairs =
            [("interface", &*interface), ("namespace", &pod.namespace), ("network_name", network), ("pod", &pod.name)];
        let labels = Labels::new(pairs).and(node);
        if !written.contains(&labels) {
            writer.sample("pod_network_name_info", "", &labels, 0);
            written.insert(labels);
        }
    }
}

fn own_metric(metric: &Metric, node: &Labels, writer: &mut Writer<impl Write>) {
    let (family, unit) = names::family(&metric.name, &metric.unit);
    match &metric.data {
        Some(metric::Data::Sum(sum)) => {
            let (kind, suffix) = if sum.is_monotonic { (Type::Counter, "_total") } else { (Type::Gauge, "") };
            writer.family(&family, unit, kind, &metric.description);
            for point in &sum.data_points {
                let labels = own_labels(node, &point.attributes);
                match point.value {
                    Some(number_data_point::Value::AsInt(value)) => writer.sample(&family, suffix, &labels, value),
                    Some(number_data_point::Value::AsDouble(value)) => writer.sample(&family, suffix, &labels, value),
                    None => {}
                }
                if sum.is_monotonic {
                    writer.created(&family, [&labels, &Labels::default()], point.start_time_unix_nano);
                }
            }
        }
        Some(metric::Data::Histogram(histogram)) => {
            writer.family(&family, unit, Type::Histogram, &metric.description);
            for point in &histogram.data_points {
                let labels = own_labels(node, &point.attributes);
                let mut below = 0;
                for (bound, count) in point.explicit_bounds.iter().zip(&point.bucket_counts) {
                    below += count;
                    writer.sample(&family, "_bucket", &labels.with("le", &format!("{bound:?}")), below);
                }
                writer.sample(&family, "_bucket", &labels.with("le", "+Inf"), point.count);
                writer.sample(&family, "_sum", &labels, point.sum.unwrap_or_default());
                writer.sample(&family, "_count", &labels, point.count);
                writer.created(&family, [&labels, &Labels::default()], point.start_time_unix_nano);
            }
        }
        _ => {}
    }
}

fn own_labels(node: &Labels, attributes: &[KeyValue]) -> Labels {
    let text = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        _ => String::new(),
    };
    Labels::new(attributes.iter().map(|attribute| (&*attribute.key, text(attribute)))).and(node)
}

#[cfg(test)]
mod tests;
