//! Settings: exports.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{absolute, choice, one, some};
use crate::config::kind::{Env, Setting, Shape, Unit};
use crate::config::value::{duration, switch};
use crate::config::{Config, Prometheus};
use crate::export::entity::Entities;
use crate::metrics::catalog::{INTERFACE_METRICS, Measure, keys};
use crate::metrics::points::{Attributes, PageNames};

/// Exports.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "export-interval",
        shape: Shape::One,
        value: "DURATION",
        default: "15s",
        also: &[Env { name: "OTEL_METRIC_EXPORT_INTERVAL", unit: Unit::Milliseconds }],
        help: "Time from one export of all counters to the next, 1s to 1h.",
        reloads: false,
        set: |config, words| {
            config.export.interval = bounded(one(words), EXPORT_INTERVALS)?;
            Ok(())
        },
    },
    Setting {
        key: "otlp-endpoint",
        shape: Shape::One,
        value: "URL",
        default: "",
        also: &[otlp("OTEL_EXPORTER_OTLP_ENDPOINT")],
        help: "OTLP receiver, like http://collector:4317; empty: no export. With HTTP, the path v1/metrics is appended.",
        reloads: false,
        set: together,
    },
    Setting {
        key: "otlp-protocol",
        shape: Shape::One,
        value: "grpc|http/protobuf|http/json",
        default: "",
        also: &[otlp("OTEL_EXPORTER_OTLP_PROTOCOL")],
        help: "OTLP protocol; the default is gRPC for port 4317, else HTTP.",
        reloads: false,
        set: together,
    },
    Setting {
        key: "otlp-headers",
        shape: Shape::One,
        value: "KEY=VALUE,…",
        default: "",
        also: &[otlp("OTEL_EXPORTER_OTLP_HEADERS")],
        help: "Headers of each OTLP request, with percent-encoded values.",
        reloads: false,
        set: together,
    },
    Setting {
        key: "otlp-timeout",
        shape: Shape::One,
        value: "DURATION",
        default: "10s",
        also: &[otlp("OTEL_EXPORTER_OTLP_TIMEOUT")],
        help: "Time limit of one request; OpenTelemetry's own variable is in milliseconds.",
        reloads: false,
        set: |_, words| duration(one(words)).map(|_| ()),
    },
    Setting {
        key: "otlp-compression",
        shape: Shape::One,
        value: "gzip|none",
        default: "none",
        also: &[otlp("OTEL_EXPORTER_OTLP_COMPRESSION")],
        help: "Compression of requests.",
        reloads: false,
        set: together,
    },
    Setting {
        key: "otlp-insecure",
        shape: Shape::One,
        value: "true|false",
        default: "false",
        also: &[otlp("OTEL_EXPORTER_OTLP_INSECURE")],
        help: "Use http for an endpoint without a scheme.",
        reloads: false,
        set: together,
    },
    Setting {
        key: "otlp-certificate",
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[otlp("OTEL_EXPORTER_OTLP_CERTIFICATE")],
        help: "PEM file of trusted certificate authorities; the default is the system's.",
        reloads: false,
        set: together,
    },
    Setting {
        key: "otlp-client-certificate",
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[otlp("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")],
        help: "PEM file of the client certificate.",
        reloads: false,
        set: together,
    },
    Setting {
        key: "otlp-client-key",
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[otlp("OTEL_EXPORTER_OTLP_CLIENT_KEY")],
        help: "PEM file of the client certificate's key.",
        reloads: false,
        set: together,
    },
    Setting {
        key: "otlp-temporality-preference",
        shape: Shape::One,
        value: "cumulative|delta|lowmemory",
        default: "cumulative",
        also: &[otlp("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")],
        help: "Start of counters: the start of the series (cumulative), or the last export (delta).",
        reloads: false,
        set: together,
    },
    Setting {
        key: "export-events",
        shape: Shape::One,
        value: "true|false",
        default: "false",
        also: &[],
        help: "Export added, updated and deleted interfaces as OTLP logs.",
        reloads: false,
        set: |config, words| switch(one(words)).map(|on| config.export.events = on),
    },
    Setting {
        key: "entities",
        shape: Shape::One,
        value: "off|beside|instead",
        default: "off",
        also: &[],
        help: "Entities of OpenTelemetry's data model: beside names those of each Resource (entity_refs) and, with --export-events, exports entity.state and entity.delete of interfaces and pods; instead, in addition, leaves service.instance.id to the agent, for receivers that identify Resources by their entities.",
        reloads: false,
        set: |config, words| {
            config.export.entities = match one(words) {
                "off" => Entities::Off,
                "beside" => Entities::Beside,
                "instead" => Entities::Instead,
                other => return Err(choice(other, "off, beside or instead")),
            };
            Ok(())
        },
    },
    Setting {
        key: "metrics",
        shape: Shape::List,
        value: "SUFFIX",
        default: "",
        also: &[],
        help: "Opt-in metrics to report in addition: interface.carrier.changes, interface.mtu, interface.bandwidth.limit, interface.info, interface.address, interface.errors, interface.packet.multicast, interface.collisions, interface.packet.compressed, interface.packet.unhandled, interface.packet.other_host.",
        reloads: false,
        set: |config, words| {
            let chosen: Vec<_> = words.iter().map(|word| opt_in(word)).collect::<Result<_, _>>()?;
            report(config, chosen);
            Ok(())
        },
    },
    Setting {
        key: "all-counters",
        shape: Shape::One,
        value: "true|false",
        default: "false",
        also: &[],
        help: "Report every counter that the kernel has for an interface: adds interface.carrier.changes, interface.errors (by reason), interface.packet.multicast, interface.collisions, interface.packet.compressed, interface.packet.unhandled and interface.packet.other_host to --metrics.",
        reloads: false,
        set: |config, words| {
            if switch(one(words))? {
                let counters =
                    INTERFACE_METRICS.iter().filter(|metric| metric.opt_in && metric.measure.slots().is_some());
                report(config, counters.map(|metric| metric.measure));
            }
            Ok(())
        },
    },
    Setting {
        key: "interface-attributes",
        shape: Shape::List,
        value: "KEY",
        default: "",
        also: &[],
        help: "Attributes of every series in addition to the interface's name: network.interface.mac, netns.name, cni.network.name. network.interface.addresses is added to interface.info only.",
        reloads: false,
        set: |config, words| words.iter().try_for_each(|word| attribute(&mut config.export.options.attributes, word)),
    },
    Setting {
        key: "kubeletstats-names",
        shape: Shape::One,
        value: "true|false",
        default: "false",
        also: &[],
        help: "Use kubeletstats' attribute names, interface and direction.",
        reloads: false,
        set: |config, words| switch(one(words)).map(|on| config.export.options.attributes.kubeletstats_names = on),
    },
    Setting {
        key: "min-interface-age",
        shape: Shape::One,
        value: "DURATION",
        default: "",
        also: &[],
        help: "Minimum age of reported interfaces, which spares receivers the series of short-lived pods.",
        reloads: false,
        set: |config, words| {
            let age = some(words).map(|word| duration(&word)).transpose()?;
            config.export.options.min_age = age.unwrap_or_default();
            Ok(())
        },
    },
    Setting {
        key: "max-series",
        shape: Shape::One,
        value: "NUMBER",
        default: "100000",
        also: &[],
        help: "Maximum number of interface series; netns_agent.series.overflow counts omitted series.",
        reloads: false,
        set: |config, words| {
            let number = one(words);
            let wrong = |_| format!("{number:?} is not a number of series");
            config.export.options.max_series = number.parse().map_err(wrong)?;
            Ok(())
        },
    },
    Setting {
        key: "max-series-per-pod",
        shape: Shape::One,
        value: "NUMBER",
        default: "2000",
        also: &[],
        help: "Most series of the interfaces of a pod, or of a namespace without a pod; eth0 and interfaces made by CNI come first.",
        reloads: false,
        set: |config, words| {
            let number = one(words);
            let wrong = |_| format!("{number:?} is not a valid number of series");
            config.export.options.max_series_per_pod = number.parse().map_err(wrong)?;
            Ok(())
        },
    },
    Setting {
        key: "prometheus-interfaces",
        shape: Shape::One,
        value: "auto|on|off",
        default: "auto",
        also: &[],
        help: "Show interfaces on /metrics, not only the agent itself; auto: unless OTLP exports them.",
        reloads: false,
        set: |config, words| {
            config.export.prometheus = match one(words) {
                "auto" => Prometheus::Auto,
                "on" | "true" => Prometheus::On,
                "off" | "false" => Prometheus::Off,
                other => return Err(choice(other, "auto, on or off")),
            };
            Ok(())
        },
    },
    Setting {
        key: "prometheus-names",
        shape: Shape::One,
        value: "native|kubelet|both",
        default: "native",
        also: &[],
        help: "Names of pods' bytes, packets, errors and drops on /metrics: OpenTelemetry's, the kubelet's container_network_*, or both.",
        reloads: false,
        set: |config, words| {
            config.export.prometheus_names = match one(words) {
                "native" => PageNames::Native,
                "kubelet" => PageNames::Kubelet,
                "both" => PageNames::Both,
                other => return Err(choice(other, "native, kubelet or both")),
            };
            Ok(())
        },
    },
    Setting {
        key: "prometheus-created",
        shape: Shape::One,
        value: "true|false",
        default: "false",
        also: &[],
        help: "Show the start of each counter (_created) to scrapers of OpenMetrics, so that a Prometheus with the feature created-timestamp-zero-ingestion counts the first traffic of a new pod; without the feature, each _created is one more series.",
        reloads: false,
        set: |config, words| switch(one(words)).map(|on| config.export.prometheus_created = on),
    },
    Setting {
        key: "keep-ended",
        shape: Shape::One,
        value: "DURATION",
        default: "2m",
        also: &[],
        help: "Longest time that a deleted interface stays on /metrics with its final counters: until the next scrape, or for this long without a scrape.",
        reloads: false,
        set: |config, words| duration(one(words)).map(|keep| config.export.keep_ended = keep),
    },
    Setting {
        key: "state-dir",
        shape: Shape::One,
        value: "DIR",
        default: "",
        also: &[],
        help: "Directory for the state of the OTLP export: start times and bases of series, and last points that have not arrived, for the next agent on the same boot, also after SIGKILL. Only for totals. Empty: none.",
        reloads: false,
        set: |config, words| {
            config.export.state_dir = some(words).map(|word| absolute(&word)).transpose()?;
            Ok(())
        },
    },
    Setting {
        key: "protocol-stats",
        shape: Shape::One,
        value: "true|false",
        default: "false",
        also: &[],
        help: "Show retransmits, resets, overflows of listening sockets, UDP buffer errors and conntrack of each pod on /metrics; needs the PID namespace of the node (hostPID), and no capability.",
        reloads: false,
        set: |config, words| switch(one(words)).map(|on| config.export.protocol_stats = on),
    },
];

/// Below, exports would keep the node and the receiver busy; above, receivers take series for stale or ended.
const EXPORT_INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

const fn otlp(name: &'static str) -> Env<'static> {
    Env { name, unit: Unit::Otlp }
}

/// For settings that are resolved together in `otlp.rs`.
fn together(_: &mut Config, _: &[String]) -> Result<(), String> {
    Ok(())
}

fn bounded(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = duration(text)?;
    if bounds.contains(&duration) {
        return Ok(duration);
    }
    Err(format!("{text:?} is not between {:?} and {:?}", bounds.start(), bounds.end()))
}

/// Adds these metrics, each once.
fn report(config: &mut Config, measures: impl IntoIterator<Item = Measure>) {
    let options = &mut config.export.options;
    for measure in measures {
        if !options.opt_in.contains(&measure) {
            options.opt_in.push(measure);
        }
    }
    config.scan.details = options.has_details();
}

fn opt_in(word: &str) -> Result<Measure, String> {
    let metric = INTERFACE_METRICS.iter().filter(|metric| metric.opt_in).find(|metric| metric.suffix == word);
    metric.map(|metric| metric.measure).ok_or_else(|| format!("{word:?} is not an opt-in metric"))
}

fn attribute(attributes: &mut Attributes, word: &str) -> Result<(), String> {
    match word {
        keys::MAC => attributes.mac = true,
        keys::NETNS => attributes.netns = true,
        keys::NETWORK => attributes.network = true,
        keys::ADDRESSES => attributes.addresses = true,
        _ => {
            let choices = format!("{}, {}, {} or {}", keys::MAC, keys::NETNS, keys::NETWORK, keys::ADDRESSES);
            return Err(choice(word, &choices));
        }
    }
    Ok(())
}
