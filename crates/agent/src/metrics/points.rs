//! Points of an export, grouped by Resource; no protocol.

mod attributes;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::interface::{Container, End, Interface, Owner, Pod, Runtime};
use iface_core::{InterfaceId, Netns, NetnsId, Place};

pub use self::attributes::Attributes;
use crate::metrics::catalog::{
    COUNTERS, DETAILS, Explained, INTERFACE_METRICS, InterfaceMetric, Measure, Scope, Slots,
};
use crate::protocol::Values;

/// Nanoseconds since 1970, as OTLP counts time.
pub type Nanos = u64;

/// A moment in OTLP's terms; before 1970 is 0.
#[must_use]
pub fn nanos(time: SystemTime) -> Nanos {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Counting from the start of the series or from the last export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// From the start. A lost export costs nothing: the next export is complete.
    #[default]
    Cumulative,
    /// From the last delivered export.
    Delta,
}

/// Selection of metrics, attributes and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Opt-in metrics to report.
    pub opt_in: Vec<Measure>,
    /// Attributes of interfaces.
    pub attributes: Attributes,
    /// Names of pods' counters on the page of metrics.
    pub names: PageNames,
    /// Start times of counters on the page of metrics.
    pub created: bool,
    /// A younger interface is not reported yet; later all its traffic is.
    pub min_age: Duration,
    /// Most series of interfaces at a time.
    pub max_series: usize,
    /// Most series of the interfaces of a pod, or of a namespace without a pod.
    pub max_series_per_pod: usize,
}

/// Names of pods' counters on the page of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageNames {
    /// OpenTelemetry's.
    #[default]
    Native,
    /// The kubelet's `container_network_*`, for bytes, packets, errors and drops.
    Kubelet,
    /// Both.
    Both,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            opt_in: Vec::new(),
            attributes: Attributes::default(),
            names: PageNames::default(),
            created: false,
            min_age: Duration::ZERO,
            max_series: 100_000,
            max_series_per_pod: 2_000,
        }
    }
}

impl Options {
    /// The reported metrics, in the catalog's order.
    pub fn metrics(&self) -> impl Iterator<Item = &'static InterfaceMetric> {
        INTERFACE_METRICS.iter().filter(|metric| !metric.opt_in || self.opt_in.contains(&metric.measure))
    }

    /// Whether any counter that explains errors and drops is reported.
    #[must_use]
    pub fn has_details(&self) -> bool {
        self.metrics().any(|metric| matches!(metric.measure.slots(), Some(Slots::Details(_))))
    }

    /// The options for scrapers: the info metric is always reported, as joins replace attributes on every series.
    #[must_use]
    pub fn for_page(mut self, names: PageNames) -> Self {
        self.names = names;
        if !self.opt_in.contains(&Measure::Info) {
            self.opt_in.push(Measure::Info);
        }
        self
    }

    /// Number of series per interface.
    #[must_use]
    pub fn series_each(&self) -> usize {
        // Four of cAdvisor's names, in two directions.
        let again = if self.names == PageNames::Both { 8 } else { 0 };
        again + self.metrics().map(|metric| metric.measure.series()).sum::<usize>()
    }
}

/// Owner of the interfaces of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The host's.
    Node,
    /// A pod's.
    Pod(Arc<Pod>),
    /// A container that is no pod's: its name stays through restarts, the name of its namespace does not.
    Container(Arc<Container>),
    /// A namespace without a known owner.
    Netns(Arc<Netns>),
}

impl Scope {
    /// Owner of the interface.
    ///
    /// The host end of a pod's link belongs to the host: it receives the bytes the pod's end transmits, so
    /// under the pod every byte would count twice.
    #[must_use]
    pub fn of(interface: &Interface) -> Self {
        match &interface.owner {
            _ if interface.netns.is_host() => Self::Node,
            Some(owner) if owner.end() == End::Pod && owner.pod().is_some() => Self::Pod,
            Some(_) | None => Self::Netns,
        }
    }
}

/// Reader of the series of an accumulator, which decides about the identity of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reader {
    /// An OTLP receiver of totals: every attribute of Resource and data point identifies a series. Delivery
    /// is reported to the accumulator.
    #[default]
    Totals,
    /// [`Deltas`](crate::metrics::delta::Deltas), which follow interfaces, not series.
    Deltas,
    /// A scraper of the page of metrics: namespace, name and uid identify a pod.
    Page,
}

/// The place of an interface in the kernel, which a rename does not change. An ifindex belongs to one
/// interface of a namespace at a time.
pub type LinkKey = (NetnsId, u32);

/// Where the interface is.
#[must_use]
pub fn link_key(interface: &Interface) -> LinkKey {
    (interface.netns.id, interface.ifindex)
}

impl Subject {
    /// Compares two subjects as exported to the reader.
    #[must_use]
    pub fn is_same(&self, other: &Self, reader: Reader) -> bool {
        match (self, other, reader) {
            (Self::Node, Self::Node, _) => true,
            (Self::Pod(a), Self::Pod(b), Reader::Totals) => Arc::ptr_eq(a, b) || a == b,
            (Self::Pod(a), Self::Pod(b), Reader::Deltas | Reader::Page) => {
                (&a.namespace, &a.name, &a.uid) == (&b.namespace, &b.name, &b.uid)
            }
            (Self::Container(a), Self::Container(b), Reader::Totals) => Arc::ptr_eq(a, b) || a == b,
            (Self::Container(a), Self::Container(b), Reader::Deltas | Reader::Page) => {
                (a.runtime, &a.name) == (b.runtime, &b.name)
            }
            (Self::Netns(a), Self::Netns(b), _) => a.place == b.place,
            _ => false,
        }
    }

    /// Owner of the interface; see [`Scope::of`].
    #[must_use]
    pub fn of(interface: &Interface) -> Self {
        match (Scope::of(interface), interface.owner.as_deref()) {
            (Scope::Node, _) => Self::Node,
            (Scope::Pod, Some(Owner::Pod(owner))) => Self::Pod(owner.pod.clone()),
            (Scope::Netns, Some(Owner::Container(owner))) => Self::Container(owner.container.clone()),
            (Scope::Pod | Scope::Netns, _) => Self::Netns(interface.netns.clone()),
        }
    }

    /// Namespace and name of a pod, or name of a namespace, for log messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Node => "the node".to_owned(),
            Self::Pod(pod) => format!("pod {}/{}", pod.namespace, pod.name),
            Self::Container(container) => format!("container {container}"),
            Self::Netns(netns) => format!("network namespace {}", netns.place),
        }
    }

    /// Kind of owner.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Node => Scope::Node,
            Self::Pod(_) => Scope::Pod,
            Self::Container(_) | Self::Netns(_) => Scope::Netns,
        }
    }
}

/// Identity of a Resource; a pod's uid is part of it where known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectKey<'a> {
    /// The host.
    Node,
    /// Namespace, name and uid.
    Pod(&'a str, &'a str, Option<&'a str>),
    /// Runtime and name.
    Container(Runtime, &'a str),
    /// A namespace by name, as its Resource is.
    Netns(&'a Place),
}

impl<'a> SubjectKey<'a> {
    /// Owner of the interface; see [`Scope::of`].
    #[must_use]
    pub fn of(interface: &'a Interface) -> Self {
        match (Scope::of(interface), interface.owner.as_deref()) {
            (Scope::Node, _) => Self::Node,
            (Scope::Pod, Some(Owner::Pod(owner))) => {
                Self::Pod(&owner.pod.namespace, &owner.pod.name, owner.pod.uid.as_deref())
            }
            (Scope::Netns, Some(Owner::Container(owner))) => {
                Self::Container(owner.container.runtime, &owner.container.name)
            }
            (Scope::Pod | Scope::Netns, _) => Self::Netns(&interface.netns.place),
        }
    }
}

/// An interface's counters with the time each of them counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<const N: usize = COUNTERS> {
    /// Values in the catalog's order, each at most `i64::MAX`.
    pub values: [u64; N],
    /// The moment each value counts from.
    pub starts: [Nanos; N],
    /// Whether the values are everything since `starts`. Where not, an interface older than the agent carried an unknown
    /// part before its first point.
    pub complete: bool,
}

/// An interface in an export.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The interface.
    pub interface: Arc<Interface>,
    /// Counters; `None` where reading failed.
    pub counted: Option<Counted>,
    /// The link's speed in bytes per second, where known and reported.
    pub bandwidth: Option<u64>,
    /// For an interface that ended.
    pub ending: Option<Ending>,
}

/// The last points of an interface that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The final counters, at the time of the end.
    Final(Nanos),
    /// A point without a value for each series: the series ends for the receiver.
    NoRecordedValue,
}

/// The interfaces of a Resource.
#[derive(Clone, Debug)]
pub struct Group {
    /// Owner of the interfaces.
    pub subject: Subject,
    /// Range in [`Points::samples`].
    pub samples: Range<usize>,
}

/// Counters of interfaces that explain errors and drops; empty unless they are reported.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// By interface, in the order of [`iface_core::Detail::ALL`].
    pub counted: HashMap<InterfaceId, Counted<DETAILS>>,
    /// Number of the first details, those that the kernel has.
    pub known: usize,
}

impl Details {
    /// The counters of the interface with these details, as far as the kernel has them.
    pub fn of<'a>(
        &'a self,
        interface: &Interface,
        details: &'a [Explained],
    ) -> impl Iterator<Item = (&'a Explained, &'a Counted<DETAILS>)> {
        let counted = self.counted.get(&interface.id);
        counted.into_iter().flat_map(move |counted| {
            let known = details.iter().filter(|explained| explained.slot() < self.known);
            known.map(move |explained| (explained, counted))
        })
    }
}

/// Points of an export.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// Reported metrics and attributes.
    pub options: Arc<Options>,
    /// When the counters were read.
    pub time: Nanos,
    /// Time the clock was set back by since the last points.
    pub set_back: Duration,
    /// Temporality of the values.
    pub temporality: Temporality,
    /// Resources, in the order of their oldest interface.
    pub groups: Vec<Group>,
    /// Interfaces, group by group.
    pub samples: Vec<Sample>,
    /// Counters that explain errors and drops.
    pub details: Details,
    /// Counters of protocols of pods, by uid.
    pub protocols: HashMap<String, Values>,
    /// Number of series.
    pub series: usize,
    /// Series left out because of the limits.
    pub overflow: usize,
    /// Pods and namespaces with more series than their share, with the number of series left out.
    pub over_share: Vec<(Subject, usize)>,
    /// Series left out because a newer interface of the same owner has the name: the old sandbox of a
    /// pod can outlive the start of the new sandbox.
    pub duplicates: usize,
}

impl Points {
    /// The range of all samples.
    #[must_use]
    pub fn all(&self) -> Range<usize> {
        0..self.samples.len()
    }
}
