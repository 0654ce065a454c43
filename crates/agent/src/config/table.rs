//! The one table of settings: flags, environment, file, defaults and documentation come from it.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use iface_core::PreferredError;
use netns_scan::EngineChoice;

use super::filter::ExcludeHostEnds;
use super::kind::{Env, Section, Setting, Shape, Unit};
use super::value::{duration, switch};
use super::{Authorization, Config, Listen, LogFormat, Prometheus};
use crate::metrics::catalog::{INTERFACE_METRICS, Measure, keys};
use crate::metrics::points::{Attributes, PageNames};

const fn own(name: &'static str) -> Env<'static> {
    Env { name, unit: Unit::Own }
}

const fn otlp(name: &'static str) -> Env<'static> {
    Env { name, unit: Unit::Otlp }
}

/// For settings that are resolved together in `otlp.rs`.
fn together(_: &mut Config, _: &[String]) -> Result<(), String> {
    Ok(())
}

/// All settings.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "engine",
        section: Section::Finding,
        shape: Shape::One,
        value: "auto|setns|nsid",
        default: "auto",
        also: &[],
        help: "Engine that reads other network namespaces: nsid needs CAP_NET_ADMIN and CAP_NET_BROADCAST, setns needs \
               CAP_SYS_ADMIN; auto takes nsid where possible, else setns, else the own namespace only.",
        set: |config, words| {
            config.scan.engine = match one(words) {
                "auto" => EngineChoice::Auto,
                "setns" => EngineChoice::Setns,
                "nsid" => EngineChoice::Nsid,
                other => return Err(choice(other, "auto, setns or nsid")),
            };
            Ok(())
        },
    },
    Setting {
        key: "netns-dir",
        section: Section::Finding,
        shape: Shape::List,
        value: "DIR",
        default: "auto",
        also: &[],
        help: "Directory of named network namespaces; may be repeated, and need not exist yet. auto: /var/run/netns, and every directory in which a namespace is mounted, as by Docker and podman.",
        set: |config, words| {
            let is_auto = |word: &String| word == "auto";
            config.scan.find_mounted = words.iter().any(is_auto);
            let dirs = words.iter().map(|word| absolute(if is_auto(word) { "/var/run/netns" } else { word }));
            config.scan.dirs = dirs.collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Setting {
        key: "find-unnamed",
        section: Section::Finding,
        shape: Shape::One,
        value: "true|false",
        default: "true",
        also: &[],
        help: "Follow network namespaces without a name, too, as soon as a veth links them, directly or through another namespace, to the host's; only with the nsid engine.",
        set: |config, words| switch(one(words)).map(|on| config.scan.find_unnamed = on),
    },
    Setting {
        key: "proc",
        section: Section::Finding,
        shape: Shape::One,
        value: "DIR",
        default: "",
        also: &[],
        help: "Find network namespaces by their processes, too, in this /proc of the node: the only way to those without a name and without a veth. Needs the node's processes (hostPID) and the capability SYS_PTRACE. Empty: no.",
        set: |config, words| {
            config.scan.proc = some(words).map(|word| absolute(&word)).transpose()?;
            Ok(())
        },
    },
    Setting {
        key: "listen",
        section: Section::Finding,
        shape: Shape::One,
        value: "watch|poll",
        default: "watch",
        also: &[own("LISTEN_INTERFACES")],
        help: "Follow kernel events, or list all interfaces once per poll period.",
        set: |config, words| {
            config.listen = match one(words) {
                "watch" => Listen::Watch,
                "poll" => Listen::Poll,
                other => return Err(choice(other, "watch or poll")),
            };
            Ok(())
        },
    },
    Setting {
        key: "poll-period",
        section: Section::Finding,
        shape: Shape::One,
        value: "DURATION",
        default: "10s",
        also: &[own("LISTEN_POLL_PERIOD")],
        help: "Time between two listings with --listen poll.",
        set: |config, words| duration(one(words)).map(|period| config.poll_period = period),
    },
    Setting {
        key: "interfaces",
        section: Section::Filtering,
        shape: Shape::Patterns,
        value: "NAME|/REGEX/",
        default: "",
        also: &[own("INTERFACES")],
        help: "Only these interfaces, by name, alternative name or /regular expression/; empty: all.",
        set: |config, words| {
            config.filter_words.interfaces = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "exclude-interfaces",
        section: Section::Filtering,
        shape: Shape::Patterns,
        value: "NAME|/REGEX/",
        default: "lo",
        also: &[own("EXCLUDE_INTERFACES")],
        help: "Exclude these interfaces, by name, alternative name or /regular expression/; wins over --interfaces.",
        set: |config, words| {
            config.filter_words.exclude = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "interface-ips",
        section: Section::Filtering,
        shape: Shape::List,
        value: "CIDR",
        default: "",
        also: &[own("INTERFACE_IPS")],
        help: "Only interfaces with an address in one of these networks; cannot be combined with the filters by name.",
        set: |config, words| {
            config.filter_words.ips = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "include-netns",
        section: Section::Filtering,
        shape: Shape::Patterns,
        value: "NAME|/REGEX/",
        default: "",
        also: &[],
        help: "Only interfaces of these network namespaces, by name, inode, cookie or /regular expression/; host is \
               the host's; empty: all.",
        set: |config, words| {
            config.filter_words.netns = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "exclude-netns",
        section: Section::Filtering,
        shape: Shape::Patterns,
        value: "NAME|/REGEX/",
        default: "",
        also: &[],
        help: "Exclude the interfaces of these network namespaces, by name, inode, cookie or /regular expression/; \
               wins over --include-netns.",
        set: |config, words| {
            config.filter_words.exclude_netns = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "exclude-host-ends",
        section: Section::Filtering,
        shape: Shape::One,
        value: "metrics|true|false",
        default: "metrics",
        also: &[],
        help: "Exclude host ends, the interfaces of the host whose peer is in another namespace, whatever their \
               names. metrics: exclude from metrics each host end whose peer is not excluded by name, as both have \
               the same traffic; true: exclude host ends from every output; false: exclude none.",
        set: |config, words| {
            config.filter_words.host_ends = match one(words) {
                "metrics" => ExcludeHostEnds::Metrics,
                "true" => ExcludeHostEnds::Everywhere,
                "false" => ExcludeHostEnds::Nowhere,
                other => return Err(choice(other, "metrics, true or false")),
            };
            Ok(())
        },
    },
    Setting {
        key: "preferred-interface-for-mac-prefix",
        section: Section::Filtering,
        shape: Shape::One,
        value: "PREFIX=NAME,…",
        default: "",
        also: &[own("PREFERRED_INTERFACE_FOR_MAC_PREFIX")],
        help: "Interface that a lookup prefers among several with the same index, by MAC prefix, \
               like 0a:58=eth0,0b59=if2.",
        set: |config, words| {
            config.preferred = one(words).parse().map_err(|error: PreferredError| error.to_string())?;
            Ok(())
        },
    },
    Setting {
        key: "cni-cache-dir",
        section: Section::Owners,
        shape: Shape::List,
        value: "DIR",
        default: "/var/lib/cni/results",
        also: &[],
        help: "Directory of libcni's cached CNI results, which name the pod of each namespace; may be repeated, and \
               need not exist. multus/results (multus) and cache/results (cri-dockerd) beside the directory are read \
               as well. Empty: not used.",
        set: |config, words| {
            let dirs = words.iter().filter(|dir| !dir.is_empty());
            config.cni_cache_dirs = dirs.map(absolute).collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Setting {
        key: "container-dir",
        section: Section::Owners,
        shape: Shape::List,
        value: "DIR",
        default: "/var/lib/docker/containers,/var/lib/containers/storage/overlay-containers,/run/systemd/machines",
        also: &[],
        help: "Directory with records of containers that are no pods: of Docker, podman or systemd-machined; may be \
               repeated, and need not exist. Empty: not used.",
        set: |config, words| {
            let dirs = words.iter().filter(|dir| !dir.is_empty());
            config.container_dirs = dirs.map(absolute).collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Setting {
        key: "watch-pods",
        section: Section::Owners,
        shape: Shape::One,
        value: "true|false",
        default: "true",
        also: &[],
        help: "Watch the pods of this node at the API server, if there is one: a kubeconfig or a pod's service account. \
               If false, owners come from the CNI cache alone.",
        set: |config, words| switch(one(words)).map(|on| config.watch_pods = on),
    },
    Setting {
        key: "watch-resource-claims",
        section: Section::Owners,
        shape: Shape::One,
        value: "true|false",
        default: "true",
        also: &[],
        help: "Watch the ResourceClaims of all namespaces where pods are watched, if the API server has and shows them: \
               they name the devices behind interfaces of DRA drivers. The chart sets false by default.",
        set: |config, words| switch(one(words)).map(|on| config.watch_resource_claims = on),
    },
    Setting {
        key: "node-name",
        section: Section::Owners,
        shape: Shape::One,
        value: "NAME",
        default: "",
        also: &[own("NODE_NAME")],
        help: "Name of this node in Kubernetes: selects the pods to list, and becomes the resource attribute \
               k8s.node.name.",
        set: |config, words| {
            config.node_name = some(words);
            Ok(())
        },
    },
    Setting {
        key: "kubeconfig",
        section: Section::Owners,
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[],
        help: "Kubeconfig for the API server; in a pod, the service account is the default. Without either, \
               owners come from the CNI cache alone.",
        set: |config, words| {
            config.kubeconfig = some(words).map(PathBuf::from);
            Ok(())
        },
    },
    Setting {
        key: "pod-labels",
        section: Section::Owners,
        shape: Shape::List,
        value: "GLOB",
        default: "",
        also: &[],
        help: "Pod labels to export as attributes k8s.pod.label.KEY, like app.kubernetes.io/*.",
        set: |config, words| {
            config.pod_labels = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "pod-annotations",
        section: Section::Owners,
        shape: Shape::List,
        value: "GLOB",
        default: "",
        also: &[],
        help: "Pod annotations to export as attributes k8s.pod.annotation.KEY.",
        set: |config, words| {
            config.pod_annotations = words.to_vec();
            Ok(())
        },
    },
    Setting {
        key: "export-interval",
        section: Section::Export,
        shape: Shape::One,
        value: "DURATION",
        default: "15s",
        also: &[Env { name: "OTEL_METRIC_EXPORT_INTERVAL", unit: Unit::Milliseconds }],
        help: "Time from one export of all counters to the next, 1s to 1h.",
        set: |config, words| {
            config.export.interval = bounded(one(words), EXPORT_INTERVALS)?;
            Ok(())
        },
    },
    Setting {
        key: "otlp-endpoint",
        section: Section::Export,
        shape: Shape::One,
        value: "URL",
        default: "",
        also: &[otlp("OTEL_EXPORTER_OTLP_ENDPOINT")],
        help: "OTLP receiver, like http://collector:4317; empty: no export. With HTTP, the path v1/metrics is appended.",
        set: together,
    },
    Setting {
        key: "otlp-protocol",
        section: Section::Export,
        shape: Shape::One,
        value: "grpc|http/protobuf|http/json",
        default: "",
        also: &[otlp("OTEL_EXPORTER_OTLP_PROTOCOL")],
        help: "OTLP protocol; the default is gRPC for port 4317, else HTTP.",
        set: together,
    },
    Setting {
        key: "otlp-headers",
        section: Section::Export,
        shape: Shape::One,
        value: "KEY=VALUE,…",
        default: "",
        also: &[otlp("OTEL_EXPORTER_OTLP_HEADERS")],
        help: "Headers of each OTLP request, with percent-encoded values.",
        set: together,
    },
    Setting {
        key: "otlp-timeout",
        section: Section::Export,
        shape: Shape::One,
        value: "DURATION",
        default: "10s",
        also: &[otlp("OTEL_EXPORTER_OTLP_TIMEOUT")],
        help: "Time limit of one request; OpenTelemetry's own variable is in milliseconds.",
        set: |_, words| duration(one(words)).map(|_| ()),
    },
    Setting {
        key: "otlp-compression",
        section: Section::Export,
        shape: Shape::One,
        value: "gzip|none",
        default: "none",
        also: &[otlp("OTEL_EXPORTER_OTLP_COMPRESSION")],
        help: "Compression of requests.",
        set: together,
    },
    Setting {
        key: "otlp-insecure",
        section: Section::Export,
        shape: Shape::One,
        value: "true|false",
        default: "false",
        also: &[otlp("OTEL_EXPORTER_OTLP_INSECURE")],
        help: "Use http for an endpoint without a scheme.",
        set: together,
    },
    Setting {
        key: "otlp-certificate",
        section: Section::Export,
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[otlp("OTEL_EXPORTER_OTLP_CERTIFICATE")],
        help: "PEM file of trusted certificate authorities; the default is the system's.",
        set: together,
    },
    Setting {
        key: "otlp-client-certificate",
        section: Section::Export,
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[otlp("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")],
        help: "PEM file of the client certificate.",
        set: together,
    },
    Setting {
        key: "otlp-client-key",
        section: Section::Export,
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[otlp("OTEL_EXPORTER_OTLP_CLIENT_KEY")],
        help: "PEM file of the client certificate's key.",
        set: together,
    },
    Setting {
        key: "otlp-temporality-preference",
        section: Section::Export,
        shape: Shape::One,
        value: "cumulative|delta|lowmemory",
        default: "cumulative",
        also: &[otlp("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")],
        help: "Start of counters: the start of the series (cumulative), or the last export (delta).",
        set: together,
    },
    Setting {
        key: "export-events",
        section: Section::Export,
        shape: Shape::One,
        value: "true|false",
        default: "false",
        also: &[],
        help: "Export added, updated and deleted interfaces as OTLP logs.",
        set: |config, words| switch(one(words)).map(|on| config.export.events = on),
    },
    Setting {
        key: "metrics",
        section: Section::Export,
        shape: Shape::List,
        value: "SUFFIX",
        default: "",
        also: &[],
        help: "Opt-in metrics to report in addition: interface.carrier.changes, interface.mtu, interface.bandwidth.limit, interface.info.",
        set: |config, words| {
            config.export.options.opt_in = words.iter().map(|word| opt_in(word)).collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Setting {
        key: "interface-attributes",
        section: Section::Export,
        shape: Shape::List,
        value: "KEY",
        default: "",
        also: &[],
        help: "Attributes of every series in addition to the interface's name: network.interface.mac, netns.name, cni.network.name. network.interface.addresses is added to interface.info only.",
        set: |config, words| words.iter().try_for_each(|word| attribute(&mut config.export.options.attributes, word)),
    },
    Setting {
        key: "kubeletstats-names",
        section: Section::Export,
        shape: Shape::One,
        value: "true|false",
        default: "false",
        also: &[],
        help: "Use kubeletstats' attribute names, interface and direction.",
        set: |config, words| switch(one(words)).map(|on| config.export.options.attributes.kubeletstats_names = on),
    },
    Setting {
        key: "min-interface-age",
        section: Section::Export,
        shape: Shape::One,
        value: "DURATION",
        default: "",
        also: &[],
        help: "Minimum age of reported interfaces, which spares receivers the series of short-lived pods.",
        set: |config, words| {
            let age = some(words).map(|word| duration(&word)).transpose()?;
            config.export.options.min_age = age.unwrap_or_default();
            Ok(())
        },
    },
    Setting {
        key: "max-series",
        section: Section::Export,
        shape: Shape::One,
        value: "NUMBER",
        default: "100000",
        also: &[],
        help: "Maximum number of interface series; netns_agent.series.overflow counts omitted series.",
        set: |config, words| {
            let number = one(words);
            let wrong = |_| format!("{number:?} is not a number of series");
            config.export.options.max_series = number.parse().map_err(wrong)?;
            Ok(())
        },
    },
    Setting {
        key: "max-series-per-pod",
        section: Section::Export,
        shape: Shape::One,
        value: "NUMBER",
        default: "2000",
        also: &[],
        help: "Most series of the interfaces of a pod, or of a namespace without a pod; eth0 and interfaces made by CNI come first.",
        set: |config, words| {
            let number = one(words);
            let wrong = |_| format!("{number:?} is not a valid number of series");
            config.export.options.max_series_per_pod = number.parse().map_err(wrong)?;
            Ok(())
        },
    },
    Setting {
        key: "prometheus-interfaces",
        section: Section::Export,
        shape: Shape::One,
        value: "auto|on|off",
        default: "auto",
        also: &[],
        help: "Show interfaces on /metrics, not only the agent itself; auto: unless OTLP exports them.",
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
        section: Section::Export,
        shape: Shape::One,
        value: "native|kubelet|both",
        default: "native",
        also: &[],
        help: "Names of pods' bytes, packets, errors and drops on /metrics: OpenTelemetry's, the kubelet's container_network_*, or both.",
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
        section: Section::Export,
        shape: Shape::One,
        value: "true|false",
        default: "false",
        also: &[],
        help: "Show the start of each counter (_created) to scrapers of OpenMetrics, so that a Prometheus with the feature created-timestamp-zero-ingestion counts the first traffic of a new pod; without the feature, each _created is one more series.",
        set: |config, words| switch(one(words)).map(|on| config.export.prometheus_created = on),
    },
    Setting {
        key: "keep-ended",
        section: Section::Export,
        shape: Shape::One,
        value: "DURATION",
        default: "2m",
        also: &[],
        help: "Longest time that a deleted interface stays on /metrics with its final counters: until the next scrape, or for this long without a scrape.",
        set: |config, words| duration(one(words)).map(|keep| config.export.keep_ended = keep),
    },
    Setting {
        key: "state-dir",
        section: Section::Export,
        shape: Shape::One,
        value: "DIR",
        default: "",
        also: &[],
        help: "Directory for the state of the OTLP export: start times and bases of series, and last points that have not arrived, for the next agent on the same boot, also after SIGKILL. Only for totals. Empty: none.",
        set: |config, words| {
            config.export.state_dir = some(words).map(|word| absolute(&word)).transpose()?;
            Ok(())
        },
    },
    Setting {
        key: "protocol-stats",
        section: Section::Export,
        shape: Shape::One,
        value: "true|false",
        default: "false",
        also: &[],
        help: "Show retransmits, resets, overflows of listening sockets, UDP buffer errors and conntrack of each pod on /metrics; needs the PID namespace of the node (hostPID), and no capability.",
        set: |config, words| switch(one(words)).map(|on| config.export.protocol_stats = on),
    },
    Setting {
        key: "admin-address",
        section: Section::Program,
        shape: Shape::One,
        value: "IP:PORT",
        default: "127.0.0.1:9465",
        also: &[],
        help: "Address of /metrics, /livez, /readyz and /v1/…; empty: none.",
        set: |config, words| {
            config.admin_address = address(words)?;
            Ok(())
        },
    },
    Setting {
        key: "admin-socket",
        section: Section::Program,
        shape: Shape::One,
        value: "PATH",
        default: "",
        also: &[],
        help: "Unix socket that serves the same as --admin-address, for programs on the node that use no port; empty: none.",
        set: |config, words| {
            config.admin_socket.path = (!one(words).is_empty()).then(|| one(words).into());
            Ok(())
        },
    },
    Setting {
        key: "admin-socket-mode",
        section: Section::Program,
        shape: Shape::One,
        value: "MODE",
        default: "0660",
        also: &[],
        help: "Permissions of the socket in octal digits: whoever may write to the socket can connect.",
        set: |config, words| {
            let mode = u32::from_str_radix(one(words), 8).ok().filter(|mode| *mode <= 0o777);
            config.admin_socket.mode = mode.ok_or_else(|| format!("{:?} is not a mode like 0660", one(words)))?;
            Ok(())
        },
    },
    Setting {
        key: "admin-socket-group",
        section: Section::Program,
        shape: Shape::One,
        value: "GID",
        default: "",
        also: &[],
        help: "Number of the group of the socket; empty: the group of the agent.",
        set: |config, words| {
            let group = Some(one(words)).filter(|group| !group.is_empty()).map(str::parse).transpose();
            config.admin_socket.group = group.map_err(|_| format!("{:?} is not the number of a group", one(words)))?;
            Ok(())
        },
    },
    Setting {
        key: "metrics-address",
        section: Section::Program,
        shape: Shape::One,
        value: "IP:PORT",
        default: "",
        also: &[],
        help: "Address of a second server with /metrics and probes alone, so that scrapers need no access to /v1/…; empty: none.",
        set: |config, words| {
            config.metrics_address = address(words)?;
            Ok(())
        },
    },
    Setting {
        key: "metrics-tls-certificate",
        section: Section::Program,
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[],
        help: "PEM file of the certificate of --metrics-address, with intermediate certificates; read again after a renewal. Empty: no TLS.",
        set: |config, words| {
            config.tls_paths.certificate = some(words).map(PathBuf::from);
            Ok(())
        },
    },
    Setting {
        key: "metrics-tls-key",
        section: Section::Program,
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[],
        help: "PEM file of the private key of the certificate.",
        set: |config, words| {
            config.tls_paths.key = some(words).map(PathBuf::from);
            Ok(())
        },
    },
    Setting {
        key: "metrics-tls-client-ca",
        section: Section::Program,
        shape: Shape::One,
        value: "FILE",
        default: "",
        also: &[],
        help: "PEM file of the authorities of scrapers' certificates: a scraper without such a certificate is refused. Empty: scrapers need no certificate.",
        set: |config, words| {
            config.tls_paths.client_ca = some(words).map(PathBuf::from);
            Ok(())
        },
    },
    Setting {
        key: "metrics-authorization",
        section: Section::Program,
        shape: Shape::One,
        value: "none|kubernetes",
        default: "none",
        also: &[],
        help: "Tokens that scrapers of --metrics-address need. kubernetes: a bearer token whose user may get the non-resource URL /metrics, as TokenReview and SubjectAccessReview of the API server say; an answer counts for a minute.",
        set: |config, words| {
            config.metrics_authorization = match one(words) {
                "none" => Authorization::Open,
                "kubernetes" => Authorization::Kubernetes,
                other => return Err(choice(other, "none or kubernetes")),
            };
            Ok(())
        },
    },
    Setting {
        key: "shutdown-grace",
        section: Section::Program,
        shape: Shape::One,
        value: "DURATION",
        default: "10s",
        also: &[],
        help: "Time limit of the last export after SIGTERM.",
        set: |config, words| duration(one(words)).map(|grace| config.shutdown_grace = grace),
    },
    Setting {
        key: "log-level",
        section: Section::Program,
        shape: Shape::One,
        value: "error|warn|info|debug|trace",
        default: "",
        also: &[],
        help: "Least severe level to log; info by default for run. Other verbs log errors unless the flag is given.",
        set: |config, words| {
            let level = |word: String| match word.as_str() {
                "error" | "warn" | "info" | "debug" | "trace" => word.parse().map_err(|_| word),
                _ => Err(word),
            };
            let level = some(words).map(level).transpose();
            config.log.level = level.map_err(|word| choice(&word, "error, warn, info, debug or trace"))?;
            Ok(())
        },
    },
    Setting {
        key: "log-format",
        section: Section::Program,
        shape: Shape::One,
        value: "text|json",
        default: "text",
        also: &[],
        help: "Format of log lines on standard error.",
        set: |config, words| {
            config.log.format = match one(words) {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                other => return Err(choice(other, "text or json")),
            };
            Ok(())
        },
    },
];

/// Below, exports would keep the node and the receiver busy; above, receivers take series for stale or ended.
const EXPORT_INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

fn bounded(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = duration(text)?;
    if bounds.contains(&duration) {
        return Ok(duration);
    }
    Err(format!("{text:?} is not between {:?} and {:?}", bounds.start(), bounds.end()))
}

fn one(words: &[String]) -> &str {
    words.first().map_or("", String::as_str)
}

fn some(words: &[String]) -> Option<String> {
    words.first().filter(|word| !word.is_empty()).cloned()
}

fn address(words: &[String]) -> Result<Option<SocketAddr>, String> {
    let Some(text) = some(words) else { return Ok(None) };
    let address = text.parse();
    address.map(Some).map_err(|_| format!("{text:?} is not an address: write one like 127.0.0.1:9465 or [::]:9465"))
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

fn choice(text: &str, choices: &str) -> String {
    format!("{text:?} is not {choices}")
}

fn absolute(text: impl AsRef<str>) -> Result<PathBuf, String> {
    let text = text.as_ref();
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("{text:?} is not an absolute path")) }
}
