//! Patterns of names: of interfaces, and of network namespaces.

use std::fmt;
use std::str::FromStr;

use regex::bytes::Regex;

use super::error::FilterError;
use crate::{Interface, Netns};

/// Longest alternative name in bytes (`ALTIFNAMSIZ` - 1, `linux/if.h`).
const ALT_NAME_MAX: usize = 127;
/// Word for the host's namespace, as in tables.
const HOST: &str = "host";

/// A text between slashes is a regular expression that may match any part of a name; any other text is a whole name.
#[derive(Clone, Debug)]
enum Pattern {
    Name(Box<str>),
    Regex(Regex),
}

impl Pattern {
    /// # Errors
    /// For an empty word, an expression that is not valid, and a name with a slash.
    fn new(word: &str, bad_name: fn(String) -> FilterError) -> Result<Self, FilterError> {
        if word.is_empty() {
            return Err(FilterError::Empty);
        }
        if let Some(regex) = word.strip_prefix('/').and_then(|word| word.strip_suffix('/')) {
            let regex = Regex::new(regex);
            return regex.map(Self::Regex).map_err(|source| FilterError::BadRegex { entry: word.to_owned(), source });
        }
        match word.contains('/') {
            true => Err(bad_name(word.to_owned())),
            false => Ok(Self::Name(word.into())),
        }
    }

    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Name(wanted) => name == wanted.as_bytes(),
            Self::Regex(regex) => regex.is_match(name),
        }
    }
}

/// A pattern of an interface's name or alternative names, as `ip link show` takes both.
#[derive(Clone, Debug)]
pub(super) struct NamePattern(Pattern);

impl NamePattern {
    pub(super) fn new(word: &str) -> Result<Self, FilterError> {
        let bad_name = |entry| FilterError::BadName { entry };
        match word.len() > ALT_NAME_MAX && !word.starts_with('/') {
            true => Err(bad_name(word.to_owned())),
            false => Pattern::new(word, bad_name).map(Self),
        }
    }

    pub(super) fn matches<O>(&self, interface: &Interface<O>) -> bool {
        self.matches_name(interface.name.as_bytes())
            || interface.alt_names().any(|name| self.matches_name(name.as_bytes()))
    }

    pub(super) fn matches_name(&self, name: &[u8]) -> bool {
        self.0.matches(name)
    }
}

/// A choice of network namespaces: a name, a regular expression between slashes that may match any part of a name,
/// `host` for the host's namespace, or the number of one namespace, as inode, as `net:[inode]` or as cookie.
///
/// ```
/// use iface_core::{Netns, NetnsId, NetnsName, NetnsPattern, NsFile, Place};
///
/// # fn main() -> Result<(), iface_core::FilterError> {
/// let file = NsFile { dev: 4, inode: 4026532461 };
/// let netns = Netns::new(NetnsId(1), Place::Named(NetnsName::new("qrouter-1"))).with_file(file);
/// for pattern in ["qrouter-1", "/^qrouter-/", "4026532461", "net:[4026532461]"] {
///     assert!(pattern.parse::<NetnsPattern>()?.matches(&netns));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct NetnsPattern {
    word: Box<str>,
    pattern: Pattern,
    inode: Option<u64>,
    cookie: Option<u64>,
}

impl NetnsPattern {
    /// Whether the pattern chooses the namespace.
    #[must_use]
    pub fn matches(&self, netns: &Netns) -> bool {
        let by_name = match netns.name() {
            Some(name) => self.pattern.matches(name.as_bytes()),
            None if netns.is_host() => self.pattern.matches(HOST.as_bytes()),
            None => self.pattern.matches(netns.place.to_string().as_bytes()),
        };
        by_name
            || self.inode.is_some() && self.inode == netns.inode()
            || self.cookie.is_some() && self.cookie == netns.cookie.map(u64::from)
    }
}

impl FromStr for NetnsPattern {
    type Err = FilterError;

    fn from_str(word: &str) -> Result<Self, FilterError> {
        let word = word.trim();
        let pattern = Pattern::new(word, |entry| FilterError::BadNetnsName { entry })?;
        let number = word.parse().ok();
        let inode = word.strip_prefix("net:[").and_then(|word| word.strip_suffix(']'));
        let inode = inode.and_then(|inode| inode.parse().ok()).or(number);
        Ok(Self { word: word.into(), pattern, inode, cookie: number })
    }
}

/// The word that the pattern was read from.
impl fmt::Display for NetnsPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.word)
    }
}
