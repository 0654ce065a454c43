//! Filters over interfaces, by name and by address.

pub(crate) mod filtered;
pub(crate) mod stream;

use std::error::Error;
use std::fmt;

use ipnet::IpNet;
use regex::bytes::Regex;

use crate::{IfName, Interface};

/// The exclusion of the default filter.
const DEFAULT_EXCLUSION: &str = "lo";

/// A selection of interfaces, by name or by address.
///
/// ```
/// use iface_core::Filter;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const NONE: &[&str] = &[];
/// let by_name = Filter::from_words(&["eth0", "/^net[0-9]+$/"], &["net9"], NONE)?;
/// let by_address = Filter::from_words(NONE, NONE, &["10.244.0.0/16", "fd00:10:244::/48"])?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Filter(Way);

#[derive(Clone, Debug)]
enum Way {
    Names { allowed: Vec<Pattern>, excluded: Vec<Pattern> },
    Addresses(Vec<IpNet>),
}

#[derive(Clone, Debug)]
enum Pattern {
    Name(IfName),
    Regex(Regex),
}

/// Excludes `lo` only.
impl Default for Filter {
    fn default() -> Self {
        let excluded = IfName::new(DEFAULT_EXCLUSION).map(Pattern::Name).into_iter().collect();
        Self(Way::Names { allowed: Vec::new(), excluded })
    }
}

impl Filter {
    /// Allows all interfaces.
    #[must_use]
    pub fn everything() -> Self {
        Self(Way::Names { allowed: Vec::new(), excluded: Vec::new() })
    }

    /// Parses the words of a configuration.
    ///
    /// `interfaces` and `exclude` contain names, or regular expressions between slashes that may
    /// match any part of a name. An empty list of `interfaces` allows all names; `exclude` wins over
    /// `interfaces`. `ips` contains networks of either family and allows interfaces with an address in
    /// such a network, whatever the name. White space around a word is ignored.
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
        let allowed = read(interfaces, pattern, &mut faults);
        let excluded = read(exclude, pattern, &mut faults);
        let networks = read(ips, network, &mut faults);
        let named = !interfaces.is_empty() || exclude.iter().any(|word| word.as_ref().trim() != DEFAULT_EXCLUSION);
        if named && !ips.is_empty() {
            faults.push(FilterError::TwoWays);
        }
        match (faults.is_empty(), ips.is_empty()) {
            (false, _) => Err(FilterErrors(faults)),
            (true, true) => Ok(Self(Way::Names { allowed, excluded })),
            (true, false) => Ok(Self(Way::Addresses(networks))),
        }
    }

    /// Whether the filter allows the interface in its present state.
    #[must_use]
    pub fn allows<O>(&self, interface: &Interface<O>) -> bool {
        match &self.0 {
            Way::Names { allowed, excluded } => {
                let matches = |pattern: &Pattern| pattern.matches(&interface.name);
                (allowed.is_empty() || allowed.iter().any(matches)) && !excluded.iter().any(matches)
            }
            Way::Addresses(networks) => {
                let inside = |address: &IpNet| networks.iter().any(|network| network.contains(&address.addr()));
                interface.addresses.iter().any(inside)
            }
        }
    }
}

impl Pattern {
    fn matches(&self, name: &IfName) -> bool {
        match self {
            Self::Name(wanted) => name == wanted,
            Self::Regex(regex) => regex.is_match(name.as_bytes()),
        }
    }
}

/// All faults of the words of a [`Filter`].
#[derive(Clone, Debug, PartialEq)]
pub struct FilterErrors(Vec<FilterError>);

impl FilterErrors {
    /// The faults, at least one, in the order of the words.
    #[must_use]
    pub fn as_slice(&self) -> &[FilterError] {
        &self.0
    }
}

impl IntoIterator for FilterErrors {
    type Item = FilterError;
    type IntoIter = std::vec::IntoIter<FilterError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// One line per fault with the cause: a list of faults has no single source.
impl fmt::Display for FilterErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            let line = if n == 0 { "" } else { "\n" };
            write!(f, "{line}{fault}")?;
            if let Some(cause) = fault.source() {
                write!(f, ": {cause}")?;
            }
        }
        Ok(())
    }
}

impl Error for FilterErrors {}

/// A fault of one word of a [`Filter`], or of two lists.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// Names and networks are both given.
    #[error("interfaces are chosen by name or by address, not by both: leave out the names or the networks")]
    TwoWays,
    /// A list has an empty entry.
    #[error("an entry is empty: remove a comma")]
    Empty,
    /// A list has an entry twice.
    #[error("{entry:?} is in the list twice: remove an entry")]
    Duplicate {
        /// The entry.
        entry: String,
    },
    /// An entry is not a valid name of an interface.
    #[error(
        "{entry:?} is not a valid name of an interface: a name has up to 15 bytes without a slash; \
         a regular expression stands between two slashes, like /^eth/"
    )]
    BadName {
        /// The entry.
        entry: String,
    },
    /// A regular expression is not valid.
    #[error("{entry:?} is not a valid regular expression")]
    BadRegex {
        /// The entry.
        entry: String,
        /// The fault of the expression.
        source: regex::Error,
    },
    /// A network is not valid.
    #[error(
        "{entry:?} is not a valid network: write an address and a prefix length, like 10.244.0.0/16 or fd00::1/128"
    )]
    BadNetwork {
        /// The entry.
        entry: String,
    },
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

fn pattern(word: &str) -> Result<Pattern, FilterError> {
    if word.is_empty() {
        return Err(FilterError::Empty);
    }
    if let Some(regex) = word.strip_prefix('/').and_then(|word| word.strip_suffix('/')) {
        let regex = Regex::new(regex);
        return regex.map(Pattern::Regex).map_err(|source| FilterError::BadRegex { entry: word.to_owned(), source });
    }
    let name = IfName::new(word).filter(|_| !word.contains('/'));
    name.map(Pattern::Name).ok_or_else(|| FilterError::BadName { entry: word.to_owned() })
}

fn network(word: &str) -> Result<IpNet, FilterError> {
    if word.is_empty() {
        return Err(FilterError::Empty);
    }
    word.parse().map_err(|_| FilterError::BadNetwork { entry: word.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::interface;

    const NONE: &[&str] = &[];

    fn allowed<'a>(filter: &Filter, names: &[&'a str]) -> Vec<&'a str> {
        names.iter().copied().filter(|name| filter.allows(&interface(1, 0, 2, name, None))).collect()
    }

    fn with_addresses(addresses: &[&str]) -> Interface {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Interface { addresses, ..interface(1, 0, 2, "eth0", None) }
    }

    #[test]
    fn only_lo_is_left_out_by_default() {
        assert_eq!(allowed(&Filter::default(), &["eth0", "br-0", "lo"]), ["eth0", "br-0"]);
        assert_eq!(allowed(&Filter::everything(), &["eth0", "lo"]), ["eth0", "lo"]);
    }

    #[test]
    fn names_are_matched_whole_and_expressions_anywhere() {
        let filter = Filter::from_words(&["eth0", " /^br-/ ", "/5$/"], &["lo"], NONE).unwrap();
        assert_eq!(allowed(&filter, &["eth0", "br-0", "eth01", "abr-3", "lo", "ens5"]), ["eth0", "br-0", "ens5"]);
    }

    /// The syntax of RE2: flags, Unicode classes and scripts.
    #[test]
    fn expressions_have_the_syntax_of_re2() {
        let filter = Filter::from_words(&["/(?i)^ETH/", r"/^\p{L}+$/", r"/^\p{Greek}1$/"], NONE, NONE).unwrap();
        assert_eq!(allowed(&filter, &["eth0", "größe", "br-0", "λ1", "x2"]), ["eth0", "größe", "λ1"]);
    }

    #[test]
    fn exclusion_wins() {
        let filter = Filter::from_words(&["/^eth/", "/^br-/"], &["eth1", "/^br-1/"], NONE).unwrap();
        let names = ["eth0", "eth-10", "eth11", "br-2", "br-0", "eth1", "br-1", "br-10"];
        assert_eq!(allowed(&filter, &names), ["eth0", "eth-10", "eth11", "br-2", "br-0"]);
        let filter = Filter::from_words(&["lo"], &["lo"], NONE).unwrap();
        assert!(allowed(&filter, &["lo", "eth0"]).is_empty());
    }

    #[test]
    fn name_without_utf8_can_match() {
        let odd = Interface { name: IfName::new(b"eth\xff").unwrap(), ..interface(1, 0, 2, "", None) };
        assert!(Filter::from_words(&["/^eth/"], NONE, NONE).unwrap().allows(&odd));
        assert!(!Filter::from_words(&["eth"], NONE, NONE).unwrap().allows(&odd));
    }

    #[test]
    fn one_matching_address_is_enough() {
        let networks = ["198.51.100.1/32", "2001:db8::1/128", "192.0.2.0/24"];
        let filter = Filter::from_words(NONE, &["lo"], &networks).unwrap();
        for (addresses, expected) in [
            (&["198.51.100.1/24"][..], true),
            (&["198.51.100.2/24"], false),
            (&["2001:db8::1/32", "198.51.100.3/24"], true),
            (&["2001:db8::2/32"], false),
            (&["192.0.2.120/24"], true),
            (&[], false),
        ] {
            assert_eq!(filter.allows(&with_addresses(addresses)), expected, "{addresses:?}");
        }
    }

    #[test]
    fn network_may_have_host_bits() {
        let filter = Filter::from_words(NONE, NONE, &["10.1.2.3/8"]).unwrap();
        assert!(filter.allows(&with_addresses(&["10.200.0.1/24"])));
        assert!(!filter.allows(&with_addresses(&["11.0.0.1/24"])));
    }

    #[test]
    fn names_and_networks_exclude_each_other() {
        for (interfaces, exclude) in [(&["eth0"][..], NONE), (NONE, &["eth1"]), (&["eth0"], &["lo"])] {
            let faults = Filter::from_words(interfaces, exclude, &["10.0.0.0/8"]).unwrap_err();
            assert_eq!(faults.as_slice(), [FilterError::TwoWays]);
        }
    }

    #[test]
    fn all_faults_name_their_entries() {
        let interfaces = ["eth0", "eth0", "", "/[/", "/half", "sixteen-bytes-xy"];
        let faults = Filter::from_words(&interfaces, NONE, &["10.0.0.1", "10.0.0.0/33", "::/0", "::/0"]).unwrap_err();
        let messages: Vec<_> = faults.into_iter().map(|fault| fault.to_string()).collect();
        let expected = [
            r#""eth0" is in the list twice"#,
            "an entry is empty",
            r#""/[/" is not a valid regular expression"#,
            r#""/half" is not a valid name of an interface"#,
            r#""sixteen-bytes-xy" is not a valid name of an interface"#,
            r#""10.0.0.1" is not a valid network"#,
            r#""10.0.0.0/33" is not a valid network"#,
            r#""::/0" is in the list twice"#,
            "by name or by address, not by both",
        ];
        assert_eq!(messages.len(), expected.len(), "{messages:#?}");
        for (message, part) in messages.iter().zip(expected) {
            assert!(message.contains(part), "{message}");
        }
    }
}
