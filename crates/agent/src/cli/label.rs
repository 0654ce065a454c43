//! Label selectors, as `kubectl -l` has them.

use std::convert::Infallible;
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
    Equal(String),
    NotEqual(String),
}

impl FromStr for Requirement {
    type Err = Infallible;

    /// `KEY`, `KEY=VALUE`, `KEY==VALUE` or `KEY!=VALUE`.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (key, holds) = match text.split_once('=') {
            None => (text, Holds::Exists),
            Some((key, value)) => match key.strip_suffix('!') {
                Some(key) => (key, Holds::NotEqual(value.to_owned())),
                None => (key, Holds::Equal(value.strip_prefix('=').unwrap_or(value).to_owned())),
            },
        };
        Ok(Self { key: key.trim().to_owned(), holds })
    }
}

impl Requirement {
    /// The label it is about.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether a pod with these attributes meets it; as in Kubernetes, a label that is not there is not equal.
    #[must_use]
    pub fn met_by(&self, attributes: &[(String, String)]) -> bool {
        let label = |key: &str| key.strip_prefix("k8s.pod.label.") == Some(&*self.key);
        let value = attributes.iter().find(|(key, _)| label(key)).map(|(_, value)| value);
        match &self.holds {
            Holds::Exists => value.is_some(),
            Holds::Equal(wanted) => value == Some(wanted),
            Holds::NotEqual(unwanted) => value != Some(unwanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_met_as_kubectl_says() {
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
        ] {
            assert_eq!(text.parse::<Requirement>().unwrap().met_by(&labels), met, "{text}");
        }
    }
}
