//! What one export says, grouped by Resource; no protocol.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::interface::{End, Interface, Pod};
use iface_core::{Netns, NetnsId, Place};

use crate::metrics::catalog::{COUNTERS, INTERFACE_METRICS, InterfaceMetric, Measure, Scope, keys};

/// Nanoseconds since 1970, as OTLP counts time.
pub type Nanos = u64;

/// A moment in OTLP's terms; before 1970 is 0.
#[must_use]
pub fn nanos(time: SystemTime) -> Nanos {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether numbers count from the series' start or from the last export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// From the start. A lost export costs nothing: the next one is complete.
    #[default]
    Cumulative,
    /// From the last export that arrived.
    Delta,
}

/// What is reported, and with which attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Reported metrics; those that are opt-in only when named here.
    pub opt_in: Vec<Measure>,
    /// Attributes of interfaces.
    pub attributes: Attributes,
    /// An interface younger than this is not reported yet; then it is, with all it carried.
    pub min_age: Duration,
    /// Most series of interfaces at a time.
    pub max_series: usize,
}

/// Names and choice of an interface's attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `interface` and `direction`, as kubeletstats has them, in place of the conventions' names.
    pub kubeletstats_names: bool,
    /// The MAC address on every series, not only on the info metric.
    pub mac: bool,
    /// The namespace's name on every series, not only on the info metric.
    pub netns: bool,
    /// The CNI network's name on every series, not only on the info metric.
    pub network: bool,
}

impl Attributes {
    /// Everything that names an interface: what the info metric carries.
    #[must_use]
    pub fn all(self) -> Self {
        Self { mac: true, netns: true, network: true, ..self }
    }

    /// Key of the interface's name.
    #[must_use]
    pub fn interface_key(self) -> &'static str {
        if self.kubeletstats_names { "interface" } else { keys::INTERFACE }
    }

    /// Key of the direction.
    #[must_use]
    pub fn direction_key(self) -> &'static str {
        if self.kubeletstats_names { "direction" } else { keys::DIRECTION }
    }

    /// Attributes of the interface, without the direction.
    pub fn of(self, interface: &Interface) -> impl Iterator<Item = (&'static str, String)> {
        let mac = self.mac.then(|| interface.mac.as_ref().map(dashed)).flatten();
        let netns = self.netns.then(|| interface.netns.name().map(ToString::to_string)).flatten();
        let network = interface.owner.as_ref().filter(|_| self.network).and_then(|owner| owner.network.as_deref());
        [
            Some((self.interface_key(), interface.name.to_string())),
            mac.map(|mac| (keys::MAC, mac)),
            netns.map(|netns| (keys::NETNS, netns)),
            network.map(|network| (keys::NETWORK, network.to_owned())),
        ]
        .into_iter()
        .flatten()
    }
}

/// `AC-DE-48-23-45-67`, as the conventions write `host.mac`.
fn dashed(mac: &iface_core::MacAddr) -> String {
    mac.to_string().replace(':', "-").to_uppercase()
}

impl Default for Options {
    fn default() -> Self {
        Self { opt_in: Vec::new(), attributes: Attributes::default(), min_age: Duration::ZERO, max_series: 100_000 }
    }
}

impl Options {
    /// The metrics that are reported, in the catalog's order.
    pub fn metrics(&self) -> impl Iterator<Item = &'static InterfaceMetric> {
        INTERFACE_METRICS.iter().filter(|metric| !metric.opt_in || self.opt_in.contains(&metric.measure))
    }

    /// How many series one interface makes.
    #[must_use]
    pub fn series_each(&self) -> usize {
        self.metrics().map(|metric| metric.measure.series()).sum()
    }
}

/// Whose interfaces a group's are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The host's.
    Node,
    /// A pod's.
    Pod(Arc<Pod>),
    /// A namespace's that nobody owns.
    Netns(Arc<Netns>),
}

impl Scope {
    /// Whose the interface is.
    ///
    /// The host end of a pod's link is the host's: what it receives, the pod's end transmits, so
    /// under the pod every byte would count twice.
    #[must_use]
    pub fn of(interface: &Interface) -> Self {
        match &interface.owner {
            _ if interface.netns.is_host() => Self::Node,
            Some(owner) if owner.end == End::Pod => Self::Pod,
            Some(_) | None => Self::Netns,
        }
    }
}

/// Who reads the series of an accumulator, which decides what identifies a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reader {
    /// An OTLP receiver of totals: every attribute of Resource and data point identifies a series. An export
    /// that does not arrive is reported.
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
    /// Compares what a reader sees of both.
    #[must_use]
    pub fn is_same(&self, other: &Self, reader: Reader) -> bool {
        match (self, other, reader) {
            (Self::Node, Self::Node, _) => true,
            (Self::Pod(a), Self::Pod(b), Reader::Totals) => Arc::ptr_eq(a, b) || a == b,
            (Self::Pod(a), Self::Pod(b), Reader::Deltas | Reader::Page) => {
                (&a.namespace, &a.name, &a.uid) == (&b.namespace, &b.name, &b.uid)
            }
            (Self::Netns(a), Self::Netns(b), _) => a.place == b.place,
            _ => false,
        }
    }

    /// Whose the interface is; see [`Scope::of`].
    #[must_use]
    pub fn of(interface: &Interface) -> Self {
        match (Scope::of(interface), &interface.owner) {
            (Scope::Node, _) => Self::Node,
            (Scope::Pod, Some(owner)) => Self::Pod(owner.pod.clone()),
            (Scope::Pod | Scope::Netns, _) => Self::Netns(interface.netns.clone()),
        }
    }

    /// The kind of it.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Node => Scope::Node,
            Self::Pod(_) => Scope::Pod,
            Self::Netns(_) => Scope::Netns,
        }
    }
}

/// What tells Resources apart; pods by uid, where it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubjectKey<'a> {
    /// The host.
    Node,
    /// Namespace, name and uid.
    Pod(&'a str, &'a str, Option<&'a str>),
    /// A namespace by name, as its Resource is.
    Netns(&'a Place),
}

impl<'a> SubjectKey<'a> {
    /// Whose the interface is; see [`Scope::of`].
    #[must_use]
    pub fn of(interface: &'a Interface) -> Self {
        match (Scope::of(interface), &interface.owner) {
            (Scope::Node, _) => Self::Node,
            (Scope::Pod, Some(owner)) => Self::Pod(&owner.pod.namespace, &owner.pod.name, owner.pod.uid.as_deref()),
            (Scope::Pod | Scope::Netns, _) => Self::Netns(&interface.netns.place),
        }
    }
}

/// An interface's counters with the time each of them counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Values in the catalog's order, each at most `i64::MAX`.
    pub values: [u64; COUNTERS],
    /// The moment each value counts from.
    pub starts: [Nanos; COUNTERS],
}

/// One interface in an export.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The interface.
    pub interface: Arc<Interface>,
    /// What it carried; `None` when it could not be read in this pass.
    pub counted: Option<Counted>,
    /// The link's speed in bytes per second, where it is known and reported.
    pub bandwidth: Option<u64>,
}

/// The interfaces of one Resource.
#[derive(Clone, Debug)]
pub struct Group {
    /// Whose they are.
    pub subject: Subject,
    /// Where they are in [`Points::samples`].
    pub samples: Range<usize>,
}

/// What one export says.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// What is reported of the samples.
    pub options: Arc<Options>,
    /// When the counters were read.
    pub time: Nanos,
    /// How far the clock was set back since the points before these.
    pub set_back: Duration,
    /// What the values count from.
    pub temporality: Temporality,
    /// Resources, in the order of their oldest interface.
    pub groups: Vec<Group>,
    /// Interfaces, group by group.
    pub samples: Vec<Sample>,
    /// How many series these are.
    pub series: usize,
    /// How many were left out because of the limit.
    pub overflow: usize,
    /// How many were left out because a newer interface of the same owner has the name: a pod's
    /// old sandbox may outlive the start of its new one.
    pub duplicates: usize,
}

impl Points {
    /// The range of all samples.
    #[must_use]
    pub fn all(&self) -> Range<usize> {
        0..self.samples.len()
    }
}
