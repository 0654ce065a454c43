//! Filters over interfaces: by name, by network namespace, by owner, by address, and of host ends.

mod error;
pub(crate) mod filtered;
mod owner;
mod pattern;
pub(crate) mod stream;

use ipnet::IpNet;

pub use self::error::{FilterError, FilterErrors};
pub use self::owner::OwnerName;
use self::owner::OwnerPattern;
use self::pattern::NamePattern;
pub use self::pattern::NetnsPattern;
use crate::{Interface, Netns};

/// The exclusion of the default filter.
const DEFAULT_EXCLUSION: &str = "lo";

/// A selection of interfaces, by name or by address, by network namespace, and by owner.
///
/// ```
/// use iface_core::Filter;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const NONE: &[&str] = &[];
/// let by_name = Filter::from_words(&["eth0", "/^net[0-9]+$/"], &["net9"], NONE)?;
/// let by_address = Filter::from_words(NONE, NONE, &["10.244.0.0/16", "fd00:10:244::/48"])?;
/// let of_pods = Filter::default().with_netns(NONE, &["host", "/^qrouter-/"])?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Filter {
    way: Way,
    netns: Lists<NetnsPattern>,
    owners: Lists<OwnerPattern>,
    host_ends: HostEnds,
}

#[derive(Clone, Debug)]
enum Way {
    Names(Lists<NamePattern>),
    Addresses(Vec<IpNet>),
}

/// Patterns to allow, all if empty, and to exclude; exclusion wins.
#[derive(Clone, Debug)]
struct Lists<P> {
    allowed: Vec<P>,
    excluded: Vec<P>,
}

impl<P> Lists<P> {
    const ALL: Self = Self { allowed: Vec::new(), excluded: Vec::new() };

    fn is_all(&self) -> bool {
        self.allowed.is_empty() && self.excluded.is_empty()
    }

    fn allow(&self, matches: impl Fn(&P) -> bool) -> bool {
        (self.allowed.is_empty() || self.allowed.iter().any(&matches)) && !self.excluded.iter().any(&matches)
    }
}

/// The treatment of [host ends](Interface::is_host_end) by a [`Filter`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostEnds {
    /// As any other interface.
    #[default]
    Allowed,
    /// Excluded where names allow the peer, which has the same traffic. A filter by address excludes no host end.
    Repeated,
    /// Excluded.
    Excluded,
}

/// Excludes `lo` only.
impl Default for Filter {
    fn default() -> Self {
        let excluded = NamePattern::new(DEFAULT_EXCLUSION).into_iter().collect();
        Self { way: Way::Names(Lists { allowed: Vec::new(), excluded }), ..Self::everything() }
    }
}

impl Filter {
    /// Allows all interfaces.
    #[must_use]
    pub fn everything() -> Self {
        Self { way: Way::Names(Lists::ALL), netns: Lists::ALL, owners: Lists::ALL, host_ends: HostEnds::Allowed }
    }

    /// Parses the words of a configuration.
    ///
    /// `interfaces` and `exclude` contain names, or regular expressions between slashes that may
    /// match any part of a name; an interface has its name and its alternative names. An empty list of
    /// `interfaces` allows all names; `exclude` wins over `interfaces`. `ips` contains networks of
    /// either family and allows interfaces with an address in such a network, whatever the name. White
    /// space around a word is ignored.
    ///
    /// # Errors
    /// All faults at once: invalid words, duplicates, and names together with networks. The default
    /// exclusion `lo` alone may stand beside networks.
    pub fn from_words(
        interfaces: &[impl AsRef<str>],
        exclude: &[impl AsRef<str>],
        ips: &[impl AsRef<str>],
    ) -> Result<Self, FilterErrors> {
        let mut faults = Vec::new();
        let allowed = read(interfaces, NamePattern::new, &mut faults);
        let excluded = read(exclude, NamePattern::new, &mut faults);
        let networks = read(ips, network, &mut faults);
        let named = !interfaces.is_empty() || exclude.iter().any(|word| word.as_ref().trim() != DEFAULT_EXCLUSION);
        if named && !ips.is_empty() {
            faults.push(FilterError::TwoWays);
        }
        let way = match ips.is_empty() {
            true => Way::Names(Lists { allowed, excluded }),
            false => Way::Addresses(networks),
        };
        if faults.is_empty() { Ok(Self { way, ..Self::everything() }) } else { Err(FilterErrors(faults)) }
    }

    /// Allows the interfaces of these network namespaces only, in the words of [`NetnsPattern`]. An empty list of
    /// `allowed` allows all namespaces; `excluded` wins over `allowed`.
    ///
    /// # Errors
    /// All faults at once: invalid words and duplicates.
    pub fn with_netns(self, allowed: &[impl AsRef<str>], excluded: &[impl AsRef<str>]) -> Result<Self, FilterErrors> {
        let mut faults = Vec::new();
        let allowed = read(allowed, str::parse, &mut faults);
        let excluded = read(excluded, str::parse, &mut faults);
        let netns = Lists { allowed, excluded };
        if faults.is_empty() { Ok(Self { netns, ..self }) } else { Err(FilterErrors(faults)) }
    }

    /// Allows the interfaces of these owners only: `shop/web-0`, `shop/*` for all names below `shop`, or a regular
    /// expression between slashes that may match any part of [the name](OwnerName). An empty list of `allowed` allows all
    /// owners, and interfaces without an owner; `excluded` wins over `allowed` and excludes no interface without an owner.
    ///
    /// # Errors
    /// All faults at once: invalid words and duplicates.
    pub fn with_owners(self, allowed: &[impl AsRef<str>], excluded: &[impl AsRef<str>]) -> Result<Self, FilterErrors> {
        let mut faults = Vec::new();
        let allowed = read(allowed, OwnerPattern::new, &mut faults);
        let excluded = read(excluded, OwnerPattern::new, &mut faults);
        let owners = Lists { allowed, excluded };
        if faults.is_empty() { Ok(Self { owners, ..self }) } else { Err(FilterErrors(faults)) }
    }

    /// Allows or excludes host ends.
    #[must_use]
    pub fn with_host_ends(self, host_ends: HostEnds) -> Self {
        Self { host_ends, ..self }
    }

    /// Whether the filter allows the interface in its present state.
    #[must_use]
    pub fn allows<O: OwnerName>(&self, interface: &Interface<O>) -> bool {
        let by_way = match &self.way {
            Way::Names(names) => names.allow(|pattern| pattern.matches(interface)),
            Way::Addresses(networks) => {
                let inside = |address: &IpNet| networks.iter().any(|network| network.contains(&address.addr()));
                interface.addresses.iter().any(inside)
            }
        };
        by_way
            && self.allows_netns(&interface.netns)
            && !self.excludes_end(interface)
            && self.allows_owner(interface.owner.as_deref())
    }

    fn allows_owner<O: OwnerName>(&self, owner: Option<&O>) -> bool {
        // Names are composed only where patterns ask.
        if self.owners.is_all() {
            return true;
        }
        let name = owner.map(OwnerName::owner_name);
        self.owners.allow(|pattern| name.as_ref().is_some_and(|name| pattern.matches(name)))
    }

    /// Whether the filter allows the network namespace, whatever the interface.
    #[must_use]
    pub fn allows_netns(&self, netns: &Netns) -> bool {
        self.netns.allow(|pattern| pattern.matches(netns))
    }

    /// Whether the interface is a host end that the filter excludes.
    fn excludes_end<O>(&self, interface: &Interface<O>) -> bool {
        let Some(peer) = interface.peer.as_ref().filter(|_| interface.is_host_end()) else { return false };
        match (self.host_ends, &self.way) {
            (HostEnds::Excluded, _) => true,
            (HostEnds::Repeated, Way::Names(names)) => {
                names.allow(|pattern| pattern.matches_name(peer.name.as_bytes()))
            }
            (HostEnds::Repeated, Way::Addresses(_)) | (HostEnds::Allowed, _) => false,
        }
    }
}

/// Parses each word; faults go to `faults`.
fn read<T>(
    words: &[impl AsRef<str>],
    one: fn(&str) -> Result<T, FilterError>,
    faults: &mut Vec<FilterError>,
) -> Vec<T> {
    let words: Vec<&str> = words.iter().map(|word| word.as_ref().trim()).collect();
    let mut good = Vec::with_capacity(words.len());
    for (n, word) in words.iter().enumerate() {
        let read = match words[..n].contains(word) {
            true => Err(FilterError::Duplicate { entry: (*word).to_owned() }),
            false => one(word),
        };
        match read {
            Ok(read) => good.push(read),
            Err(fault) => faults.push(fault),
        }
    }
    good
}

fn network(word: &str) -> Result<IpNet, FilterError> {
    if word.is_empty() {
        return Err(FilterError::Empty);
    }
    word.parse().map_err(|_| FilterError::BadNetwork { entry: word.to_owned() })
}

#[cfg(test)]
mod tests;
