//! Patterns of the owners of interfaces.

use std::borrow::Cow;

use regex::Regex;

use super::error::FilterError;

/// An owner of interfaces whose name a [`Filter`](super::Filter) can choose.
///
/// ```
/// use std::borrow::Cow;
///
/// use iface_core::{Filter, OwnerName};
///
/// struct Pod {
///     namespace: String,
///     name: String,
/// }
///
/// impl OwnerName for Pod {
///     fn owner_name(&self) -> Cow<'_, str> {
///         format!("{}/{}", self.namespace, self.name).into()
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const NONE: &[&str] = &[];
/// let of_the_shop = Filter::default().with_owners(&["shop/*"], NONE)?;
/// # Ok(())
/// # }
/// ```
pub trait OwnerName {
    /// Two words with a slash between, such as a namespace and a pod.
    fn owner_name(&self) -> Cow<'_, str>;
}

/// An interface without an owner type has no owner.
impl OwnerName for () {
    fn owner_name(&self) -> Cow<'_, str> {
        "".into()
    }
}

/// A pattern of an owner's name.
#[derive(Clone, Debug)]
pub(super) enum OwnerPattern {
    /// The whole name.
    Name(Box<str>),
    /// All names that begin with a word and a slash.
    Below(Box<str>),
    /// An expression that may match any part of the name.
    Regex(Regex),
}

impl OwnerPattern {
    pub(super) fn new(word: &str) -> Result<Self, FilterError> {
        if word.is_empty() {
            return Err(FilterError::Empty);
        }
        if let Some(regex) = word.strip_prefix('/').and_then(|word| word.strip_suffix('/')) {
            let regex = Regex::new(regex);
            return regex.map(Self::Regex).map_err(|source| FilterError::BadRegex { entry: word.to_owned(), source });
        }
        let is_word = |word: &str| !word.is_empty() && !word.contains(['/', '*']);
        match word.split_once('/') {
            Some((first, "*")) if is_word(first) => Ok(Self::Below(format!("{first}/").into())),
            Some((first, second)) if is_word(first) && is_word(second) => Ok(Self::Name(word.into())),
            _ => Err(FilterError::BadOwner { entry: word.to_owned() }),
        }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => name == &**wanted,
            Self::Below(start) => name.starts_with(&**start),
            Self::Regex(regex) => regex.is_match(name),
        }
    }
}
