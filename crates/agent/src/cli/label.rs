//! Label selectors, in the syntax of `kubectl -l`.

use std::fmt;
use std::str::FromStr;

/// One condition on a pod's labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    holds: Holds,
}

/// When a [`Requirement`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holds {
    Exists,
    Absent,
    Equal(String),
    NotEqual(String),
}

/// A label selector that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a label selector; write KEY, !KEY, KEY=VALUE or KEY!=VALUE (sets like `KEY in (A,B)` are not supported)")]
pub struct RequirementError;

impl FromStr for Requirement {
    type Err = RequirementError;

    /// `KEY`, `!KEY`, `KEY=VALUE`, `KEY==VALUE` or `KEY!=VALUE`.
    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let (key, holds) = match (text.split_once('='), text.trim().strip_prefix('!')) {
            (None, None) => (text, Holds::Exists),
            (None, Some(key)) => (key, Holds::Absent),
            (Some((key, value)), _) => match key.strip_suffix('!') {
                Some(key) => (key, Holds::NotEqual(value.trim().to_owned())),
                None => (key, Holds::Equal(value.strip_prefix('=').unwrap_or(value).trim().to_owned())),
            },
        };
        let key = key.trim();
        // The characters of a label's key and value, with a prefix.
        let valid = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        let value_is_valid = match &holds {
            Holds::Equal(value) | Holds::NotEqual(value) => valid(value),
            Holds::Exists | Holds::Absent => true,
        };
        if key.is_empty() || !valid(key) || !value_is_valid {
            return Err(RequirementError);
        }
        Ok(Self { key: key.to_owned(), holds })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holds {
            Holds::Exists => f.write_str(&self.key),
            Holds::Absent => write!(f, "!{}", self.key),
            Holds::Equal(value) => write!(f, "{}={value}", self.key),
            Holds::NotEqual(value) => write!(f, "{}!={value}", self.key),
        }
    }
}

impl Requirement {
    /// The label it is about.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether a pod with these attributes meets the requirement; as in Kubernetes, an absent label is not equal.
    #[must_use]
    pub fn met_by(&self, attributes: &[(String, String)]) -> bool {
        let label = |key: &str| key.strip_prefix("k8s.pod.label.") == Some(&*self.key);
        let value = attributes.iter().find(|(key, _)| label(key)).map(|(_, value)| value);
        match &self.holds {
            Holds::Exists => value.is_some(),
            Holds::Absent => value.is_none(),
            Holds::Equal(wanted) => value == Some(wanted),
            Holds::NotEqual(unwanted) => value != Some(unwanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_hold_as_in_kubectl() {
        let labels = [("k8s.pod.label.app", "web"), ("k8s.pod.annotation.tier", "x")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        for (text, met) in [
            ("app", true),
            ("app=web", true),
            ("app==web", true),
            ("app=db", false),
            ("app!=db", true),
            ("app!=web", false),
            ("tier", false),
            ("tier!=x", true),
            ("ap=web", false),
            ("!app", false),
            ("!ap", true),
        ] {
            assert_eq!(text.parse::<Requirement>().unwrap().met_by(&labels), met, "{text}");
        }
    }

    #[test]
    fn sets_and_empty_keys_are_refused() {
        for text in ["app in (a", "b)", "", "=x", "!", "app notin (a)"] {
            assert_eq!(text.parse::<Requirement>(), Err(RequirementError), "{text}");
        }
    }
}
