//! Label selectors, in the syntax of `kubectl -l`.

use std::fmt;
use std::str::FromStr;

/// Conditions on a pod's labels, all of which must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

/// One condition on a pod's labels.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    holds: Holds,
}

/// When a [`Requirement`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holds {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

/// A label selector that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a label selector; write KEY, !KEY, KEY=VALUE, KEY!=VALUE, KEY in (A,B) or KEY notin (A,B)")]
pub struct LabelSelectorError;

impl FromStr for LabelSelector {
    type Err = LabelSelectorError;

    /// Requirements, separated by commas.
    fn from_str(text: &str) -> Result<Self, LabelSelectorError> {
        // A comma inside of parentheses separates values.
        let mut inside = false;
        let requirements = text.split(|c| {
            inside = (inside || c == '(') && c != ')';
            c == ',' && !inside
        });
        requirements.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Requirement {
    type Err = LabelSelectorError;

    fn from_str(text: &str) -> Result<Self, LabelSelectorError> {
        let text = text.trim();
        let (key, holds) = if let Some((left, values)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            let values = values.split(',').map(|value| value.trim().to_owned()).collect();
            match left.trim_end().rsplit_once(char::is_whitespace) {
                Some((key, "in")) => (key, Holds::In(values)),
                Some((key, "notin")) => (key, Holds::NotIn(values)),
                _ => return Err(LabelSelectorError),
            }
        } else if let Some((key, value)) = text.split_once('=') {
            let one = |value: &str| vec![value.trim().to_owned()];
            match key.strip_suffix('!') {
                Some(key) => (key, Holds::NotIn(one(value))),
                None => (key, Holds::In(one(value.strip_prefix('=').unwrap_or(value)))),
            }
        } else if let Some(key) = text.strip_prefix('!') {
            (key, Holds::Absent)
        } else {
            (text, Holds::Exists)
        };
        let key = key.trim();
        // The characters of a label's key and value, with a prefix.
        let valid = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        let values_are_valid = match &holds {
            Holds::In(values) | Holds::NotIn(values) => values.iter().all(|value| valid(value)),
            Holds::Exists | Holds::Absent => true,
        };
        if key.is_empty() || !valid(key) || !values_are_valid {
            return Err(LabelSelectorError);
        }
        Ok(Self { key: key.to_owned(), holds })
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requirements: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&requirements.join(","))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.holds {
            Holds::Exists => f.write_str(key),
            Holds::Absent => write!(f, "!{key}"),
            Holds::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0]),
            Holds::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0]),
            Holds::In(values) => write!(f, "{key} in ({})", values.join(",")),
            Holds::NotIn(values) => write!(f, "{key} notin ({})", values.join(",")),
        }
    }
}

impl LabelSelector {
    /// The labels that the selector needs.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|requirement| &*requirement.key)
    }

    /// Whether a pod with these attributes meets all requirements.
    #[must_use]
    pub fn met_by(&self, attributes: &[(String, String)]) -> bool {
        self.0.iter().all(|requirement| requirement.met_by(attributes))
    }
}

impl Requirement {
    /// As in Kubernetes, an absent label differs from every value.
    fn met_by(&self, attributes: &[(String, String)]) -> bool {
        let label = |key: &str| key.strip_prefix("k8s.pod.label.") == Some(&*self.key);
        let value = attributes.iter().find(|(key, _)| label(key)).map(|(_, value)| value);
        match &self.holds {
            Holds::Exists => value.is_some(),
            Holds::Absent => value.is_none(),
            Holds::In(wanted) => value.is_some_and(|value| wanted.contains(value)),
            Holds::NotIn(unwanted) => value.is_none_or(|value| !unwanted.contains(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_hold_as_in_kubectl() {
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
            ("app in (db, web)", true),
            ("app in (db)", false),
            ("tier in (x)", false),
            ("app notin (db,web)", false),
            ("tier notin (x)", true),
            ("app in (db,web),!tier", true),
            ("app in (db,web) , tier", false),
        ] {
            assert_eq!(text.parse::<LabelSelector>().unwrap().met_by(&labels), met, "{text}");
        }
    }

    #[test]
    fn display_can_be_parsed_again() {
        for text in ["app=web,!old", "a in (b,c),d notin (e,f),g!=h", "a.b/c"] {
            assert_eq!(text.parse::<LabelSelector>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_selectors_are_refused() {
        for text in
            ["app in (a", "b)", "", "=x", "!", "app on (a)", "in (a)", "app in a", "app in (a b)", "a,,b", "a=b=c"]
        {
            assert_eq!(text.parse::<LabelSelector>(), Err(LabelSelectorError), "{text}");
        }
    }
}
