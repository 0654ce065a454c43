//! The table of all metrics, source of `docs/metrics.md`.

mod explained;

use iface_core::{Counters, Detail};

pub use self::explained::Explained;
use self::explained::{COLLISIONS, COMPRESSED, ERROR_REASONS, MULTICAST, OTHER_HOST, UNHANDLED};

/// Counters of one interface, indexed by [`Measure::slots`].
pub const COUNTERS: usize = 9;

/// Counters of one interface that explain errors and drops.
pub const DETAILS: usize = Detail::ALL.len();

/// The counters of an interface, in the catalog's order.
#[must_use]
pub fn values(counters: &Counters) -> [u64; COUNTERS] {
    let (receive, transmit) = (&counters.receive, &counters.transmit);
    [
        receive.bytes,
        transmit.bytes,
        receive.packets,
        transmit.packets,
        receive.errors,
        transmit.errors,
        receive.dropped,
        transmit.dropped,
        u64::from(counters.carrier_changes),
    ]
}

/// Instrument of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instrument {
    /// Only grows, until its series starts anew.
    Counter,
    /// Goes up and down, and adds up over series.
    UpDownCounter,
    /// Durations sorted into buckets.
    Histogram,
}

impl Instrument {
    /// Name in the documentation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter => "up-down counter",
            Self::Histogram => "histogram",
        }
    }
}

/// Where a metric's name and meaning come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// OpenTelemetry's semantic conventions.
    Conventions,
    /// This project, modelled on a metric of the conventions where possible.
    Ours,
}

/// Property of an interface shown by a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Bytes, a value a direction.
    Bytes,
    /// Packets, a value a direction.
    Packets,
    /// Errors, a value a direction.
    Errors,
    /// Drops, a value a direction.
    Dropped,
    /// Changes of the carrier.
    CarrierChanges,
    /// 1 when the interface can pass packets, else 0.
    Up,
    /// The MTU.
    Mtu,
    /// The speed of a link of the host's.
    Bandwidth,
    /// Always 1: carries all attributes of the interface.
    Info,
    /// Always 1, for each address.
    Address,
    /// Errors by reason.
    ErrorReasons,
    /// Received multicast packets.
    Multicast,
    /// Collisions.
    Collisions,
    /// Compressed packets, a value a direction.
    Compressed,
    /// Received packets that nothing wanted.
    Unhandled,
    /// Received packets for another host.
    OtherHost,
}

/// Indexes into an interface's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// A single value.
    Single(usize),
    /// A value a direction.
    Directions {
        /// Into the interface.
        receive: usize,
        /// Out of the interface.
        transmit: usize,
    },
    /// Values among the details of an interface.
    Details(&'static [Explained]),
}

impl Measure {
    /// Indexes of the shown counters; `None` for a state.
    #[must_use]
    pub fn slots(self) -> Option<Slots> {
        let directions = |receive| Some(Slots::Directions { receive, transmit: receive + 1 });
        match self {
            Self::Bytes => directions(0),
            Self::Packets => directions(2),
            Self::Errors => directions(4),
            Self::Dropped => directions(6),
            Self::CarrierChanges => Some(Slots::Single(8)),
            Self::ErrorReasons => Some(Slots::Details(ERROR_REASONS)),
            Self::Multicast => Some(Slots::Details(MULTICAST)),
            Self::Collisions => Some(Slots::Details(COLLISIONS)),
            Self::Compressed => Some(Slots::Details(COMPRESSED)),
            Self::Unhandled => Some(Slots::Details(UNHANDLED)),
            Self::OtherHost => Some(Slots::Details(OTHER_HOST)),
            Self::Up | Self::Mtu | Self::Bandwidth | Self::Info | Self::Address => None,
        }
    }

    /// Number of series per interface.
    #[must_use]
    pub fn series(self) -> usize {
        match self.slots() {
            // Few interfaces have a speed: the host's hardware links.
            None if self == Self::Bandwidth => 0,
            // Most pods have an address of each family.
            None if self == Self::Address => 2,
            Some(Slots::Details(details)) => details.len(),
            Some(Slots::Directions { .. }) => 2,
            Some(Slots::Single(_)) | None => 1,
        }
    }
}

/// A metric of interfaces, with a name for each prefix of [`Scope`].
#[derive(Clone, Copy, Debug)]
pub struct InterfaceMetric {
    /// Shown property.
    pub measure: Measure,
    /// The name after the prefix.
    pub suffix: &'static str,
    /// Instrument.
    pub instrument: Instrument,
    /// UCUM unit.
    pub unit: &'static str,
    /// Reported only when asked for.
    pub opt_in: bool,
    /// Where the name comes from.
    pub origin: Origin,
    /// A sentence.
    pub description: &'static str,
}

impl InterfaceMetric {
    /// Returns `true` where interfaces of the scope have the metric.
    #[must_use]
    pub fn is_of(&self, scope: Scope) -> bool {
        self.measure != Measure::Bandwidth || scope == Scope::Node
    }
}

/// Owner of interfaces; decides the prefix of metric names and the Resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// The host, with the host ends of pods' links.
    Node,
    /// A pod.
    Pod,
    /// A named namespace without a pod.
    Netns,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 3] = [Self::Node, Self::Pod, Self::Netns];

    /// Prefix of metric names.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Node => "k8s.node.network.",
            Self::Pod => "k8s.pod.network.",
            Self::Netns => "system.network.",
        }
    }
}

const fn counter(
    measure: Measure,
    suffix: &'static str,
    unit: &'static str,
    description: &'static str,
) -> InterfaceMetric {
    InterfaceMetric {
        measure,
        suffix,
        instrument: Instrument::Counter,
        unit,
        opt_in: false,
        origin: Origin::Conventions,
        description,
    }
}

const fn ours(metric: InterfaceMetric, instrument: Instrument, opt_in: bool) -> InterfaceMetric {
    InterfaceMetric { instrument, opt_in, origin: Origin::Ours, ..metric }
}

const fn detail(
    measure: Measure,
    suffix: &'static str,
    unit: &'static str,
    description: &'static str,
) -> InterfaceMetric {
    ours(counter(measure, suffix, unit, description), Instrument::Counter, true)
}

/// Every metric of interfaces.
pub const INTERFACE_METRICS: [InterfaceMetric; 16] = [
    counter(Measure::Bytes, "io", "By", "Bytes the interface carried."),
    counter(Measure::Errors, "errors", "{error}", "Packets the interface could not receive or transmit."),
    counter(Measure::Packets, "packet.count", "{packet}", "Packets the interface carried."),
    counter(Measure::Dropped, "packet.dropped", "{packet}", "Packets that were dropped although they had no errors."),
    ours(
        counter(Measure::Up, "interface.up", "1", "1 when the interface can pass packets, else 0."),
        Instrument::UpDownCounter,
        false,
    ),
    ours(
        counter(
            Measure::CarrierChanges,
            "interface.carrier.changes",
            "{change}",
            "Changes of the interface's carrier.",
        ),
        Instrument::Counter,
        true,
    ),
    ours(
        counter(Measure::Mtu, "interface.mtu", "By", "Maximum transmission unit of the interface."),
        Instrument::UpDownCounter,
        true,
    ),
    ours(
        counter(
            Measure::Bandwidth,
            "interface.bandwidth.limit",
            "By/s",
            "Speed of the link; only for hardware in the host's namespace.",
        ),
        Instrument::UpDownCounter,
        true,
    ),
    ours(
        counter(
            Measure::Info,
            "interface.info",
            "1",
            "Always 1: its attributes are the MAC address, namespace and CNI network of the interface.",
        ),
        Instrument::UpDownCounter,
        true,
    ),
    ours(
        counter(
            Measure::Address,
            "interface.address",
            "1",
            "Always 1, for each address: joins flow logs with interfaces.",
        ),
        Instrument::UpDownCounter,
        true,
    ),
    detail(
        Measure::ErrorReasons,
        "interface.errors",
        "{error}",
        "Errors by reason, as the driver counts them: a packet can be counted by several reasons, or by none.",
    ),
    detail(Measure::Multicast, "interface.packet.multicast", "{packet}", "Multicast packets."),
    detail(Measure::Collisions, "interface.collisions", "{collision}", "Collisions."),
    detail(Measure::Compressed, "interface.packet.compressed", "{packet}", "Compressed packets, as on SLIP or PPP."),
    detail(
        Measure::Unhandled,
        "interface.packet.unhandled",
        "{packet}",
        "Packets that nothing wanted, as on the inactive member of a bond (rx_nohandler).",
    ),
    detail(
        Measure::OtherHost,
        "interface.packet.other_host",
        "{packet}",
        "Packets with the MAC address of another host (rx_otherhost_dropped, Linux 5.19).",
    ),
];

/// A metric of the agent itself.
#[derive(Clone, Copy, Debug)]
pub struct OwnMetric {
    /// Its name.
    pub name: &'static str,
    /// Instrument.
    pub instrument: Instrument,
    /// UCUM unit.
    pub unit: &'static str,
    /// Attributes, each with all its values.
    pub attributes: &'static [(&'static str, &'static [&'static str])],
    /// A sentence.
    pub description: &'static str,
}

const KINDS: (&str, &[&str]) = (keys::EVENT_KIND, &["added", "updated", "deleted"]);
const SIGNALS: (&str, &[&str]) = (keys::SIGNAL, &["metrics", "logs"]);
const CONFLICTS: (&str, &[&str]) = (
    keys::CONFLICT_KIND,
    &[
        "two_results",
        "other_mac",
        "result_against_known",
        "result_against_address",
        "known_against_address",
        "two_addresses",
        "shared_address",
        "known_elsewhere",
        "process_elsewhere",
        "unproven_result",
        "record_against_result",
        "claimed_twice",
    ],
);
const DIRECTIONS: (&str, &[&str]) = (keys::DIRECTION, &["receive", "transmit"]);
const ERRORS: (&str, &[&str]) = (keys::ERROR_TYPE, &["unreachable", "timeout", "refused", "throttled"]);

/// Attribute keys.
pub mod keys {
    /// Name of the interface; bytes that are not UTF-8 are written `\xNN`.
    pub const INTERFACE: &str = "network.interface.name";
    /// `receive` or `transmit`, from the interface's own side.
    pub const DIRECTION: &str = "network.io.direction";
    /// MAC address, written as the conventions write `host.mac`.
    pub const MAC: &str = "network.interface.mac";
    /// Name of the network namespace.
    pub const NETNS: &str = "netns.name";
    /// Name of the CNI network the interface is attached to.
    pub const NETWORK: &str = "cni.network.name";
    /// ResourceClaim of the device behind the interface.
    pub const CLAIM: &str = "k8s.resourceclaim.name";
    /// Driver of the device.
    pub const DEVICE_DRIVER: &str = "k8s.resource.driver";
    /// Pool of the device.
    pub const DEVICE_POOL: &str = "k8s.resource.pool";
    /// Name of the device in its pool.
    pub const DEVICE: &str = "k8s.resource.device";
    /// Addresses of the interface without prefix lengths, separated by commas.
    pub const ADDRESSES: &str = "network.interface.addresses";
    /// Address of the interface without its prefix length, on [`Measure::Address`](super::Measure::Address).
    pub const ADDRESS: &str = "network.interface.address";
    /// Alias of the interface.
    pub const ALIAS: &str = "network.interface.alias";
    /// Alternative names of the interface, separated by commas.
    pub const ALT_NAMES: &str = "network.interface.alt_names";
    /// Kind of an interface event.
    pub const EVENT_KIND: &str = "netns_agent.event.kind";
    /// Operational state as in `ip link`, on event logs.
    pub const OPER_STATE: &str = "network.interface.oper_state";
    /// Changed properties, on event logs.
    pub const CHANGED: &str = "netns_agent.event.changed";
    /// Time of the start of an interface or pod (RFC 3339), on the record of its end.
    pub const ACCOUNT_START: &str = "netns_agent.account.start";
    /// Time of the end.
    pub const ACCOUNT_END: &str = "netns_agent.account.end";
    /// Beginning of the names of everything carried: direction and counter follow.
    pub const ACCOUNT: &str = "netns_agent.account.";
    /// Kind of a contradiction between sources of owners.
    pub const CONFLICT_KIND: &str = "netns_agent.conflict.kind";
    /// Exported signal.
    pub const SIGNAL: &str = "netns_agent.export.signal";
    /// Reason of a failed export, or of an error of an interface.
    pub const ERROR_TYPE: &str = "error.type";
}

macro_rules! own_metrics {
    ($($id:ident: $name:literal $instrument:ident $unit:literal [$($attribute:expr),*] $description:literal;)*) => {
        $(#[doc = $description] pub const $id: OwnMetric = OwnMetric {
            name: $name,
            instrument: Instrument::$instrument,
            unit: $unit,
            attributes: &[$($attribute),*],
            description: $description,
        };)*
        /// Every metric of the agent itself.
        pub const OWN_METRICS: &[OwnMetric] = &[$($id),*];
    };
}

own_metrics! {
    EVENTS: "netns_agent.events" Counter "{event}" [KINDS] "Interface events.";
    EVENTS_UNREAD: "netns_agent.events.unread" UpDownCounter "{event}" [] "Unread interface events.";
    EVENTS_MERGED: "netns_agent.events.merged" Counter "{event}" [] "Events merged with a later event of the same interface before they were read.";
    WATCH_READERS: "netns_agent.watch.readers" UpDownCounter "{reader}" [] "Programs that read /v1/watch.";
    WATCH_MERGED: "netns_agent.watch.merged" Counter "{event}" [] "Changes merged with a later change of the same interface before a reader of /v1/watch read them.";
    WATCH_BEHIND: "netns_agent.watch.behind" Counter "{reader}" [] "Readers of /v1/watch that were too far behind and had to start again.";
    OVERRUNS: "netns_agent.netlink.overruns" Counter "{overrun}" [] "Overruns of netlink receive queues.";
    RESYNCS: "netns_agent.netlink.resyncs" Counter "{resync}" [] "Namespaces dumped again after an overrun.";
    MALFORMED: "netns_agent.netlink.malformed" Counter "{message}" [] "Malformed netlink messages.";
    NAMESPACES: "netns_agent.namespaces" UpDownCounter "{namespace}" [] "Watched network namespaces.";
    INTERFACES: "netns_agent.interfaces" UpDownCounter "{interface}" [] "Known interfaces.";
    UNTAGGED: "netns_agent.interfaces.untagged" UpDownCounter "{interface}" [] "Interfaces without a known pod in namespaces that a container runtime has named.";
    LEAKED: "netns_agent.namespaces.leaked" UpDownCounter "{namespace}" [] "Network namespaces whose pod the API server has not known for five minutes.";
    API_FAILURES: "netns_agent.api.failures" Counter "{request}" [] "Failed requests to the API server.";
    API_FAULTS: "netns_agent.api.faults" UpDownCounter "{fault}" [] "Faults that keep pods of the API server from being known, at present.";
    FAULTS: "netns_agent.faults" UpDownCounter "{fault}" [] "Namespaces and directories that cannot be read now and are retried.";
    CNI_REFUSED: "netns_agent.cni.files.refused" Counter "{file}" [] "CNI result files that were refused.";
    OWNER_CONFLICTS: "netns_agent.owner.conflicts" Counter "{conflict}" [CONFLICTS] "Contradictions between sources of owners, each once per namespace.";
    IP_CONFLICTS: "netns_agent.pod_ip.conflicts" Counter "{conflict}" [] "IP addresses claimed by two live pods at the same time.";
    COLLECT_DURATION: "netns_agent.collect.duration" Histogram "s" [] "Time to read the counters of all interfaces.";
    SERIES: "netns_agent.series" UpDownCounter "{series}" [] "Exported series of interfaces.";
    SERIES_OVERFLOW: "netns_agent.series.overflow" UpDownCounter "{series}" [] "Series of interfaces left out because of the limit.";
    SERIES_DUPLICATE: "netns_agent.series.duplicate" UpDownCounter "{series}" [] "Series of interfaces left out because a newer interface of the same owner has the name.";
    EXPORT_DURATION: "netns_agent.export.duration" Histogram "s" [SIGNALS] "Time of an OTLP export with its retries.";
    EXPORT_FAILURES: "netns_agent.export.failures" Counter "{export}" [SIGNALS, ERRORS] "OTLP exports that were not delivered completely.";
    EXPORT_RETRIES: "netns_agent.export.retries" Counter "{request}" [SIGNALS] "OTLP requests sent again.";
    EXPORT_ITEMS: "netns_agent.export.items" Counter "{item}" [SIGNALS] "Data points and log records accepted by the receiver.";
    EXPORT_REJECTED: "netns_agent.export.rejected" Counter "{item}" [SIGNALS] "Data points and log records rejected by the receiver.";
    ENDED_DROPPED: "netns_agent.series.ended.dropped" Counter "{interface}" [] "Ended interfaces whose final counters were dropped because the receiver was unavailable, or nobody scraped, for too long.";
    KEPT_BACK: "netns_agent.interfaces.kept_back.io" Counter "By" [DIRECTIONS] "Bytes of interfaces that ended before --min-interface-age, which make no series.";
    EVENT_LOGS_DROPPED: "netns_agent.event_logs.dropped" Counter "{event}" [] "Interface events dropped because the receiver was unavailable too long.";
}
