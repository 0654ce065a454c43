//! Faults of the words of a filter.

use std::error::Error;
use std::fmt;

/// All faults of the words of a [`Filter`](super::Filter).
#[derive(Clone, Debug, PartialEq)]
pub struct FilterErrors(pub(super) Vec<FilterError>);

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

/// A fault of one word of a [`Filter`](super::Filter), or of two lists.
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
        "{entry:?} is not a valid name of an interface: a name has up to 15 bytes without a slash, an alternative \
         name up to 127; a regular expression stands between two slashes, like /^eth/"
    )]
    BadName {
        /// The entry.
        entry: String,
    },
    /// An entry is not a valid name of a network namespace.
    #[error(
        "{entry:?} is not a valid name of a network namespace: a name has no slash; a regular expression stands \
         between two slashes, like /^qrouter-/"
    )]
    BadNetnsName {
        /// The entry.
        entry: String,
    },
    /// An entry is not a valid name of an owner.
    #[error(
        "{entry:?} is not a valid owner: write shop/web-0 for a pod or docker/web for a container, shop/* for all pods \
         of a Kubernetes namespace, or a regular expression between two slashes, like /^kube-/"
    )]
    BadOwner {
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
