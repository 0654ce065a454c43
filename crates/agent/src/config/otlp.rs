//! Joins the table's OTLP settings with OpenTelemetry's own variables.
//!
//! Flags and `NETNS_AGENT_…` win over `OTEL_…`, and variables win over the file, so a value of the file
//! stands in for the general variable where no variable is set.

use std::collections::BTreeSet;

use super::layers::{Environment, Origin, Words};
use super::value::duration;
use crate::export::settings::{self, Fault, OtlpSettings, Overrides, Signal, otlp};

/// Destinations of exports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Otlp {
    /// Metrics; `None`: not exported.
    pub metrics: Option<OtlpSettings>,
    /// Interface events; `None`: not exported.
    pub logs: Option<OtlpSettings>,
    /// Attributes of every Resource.
    pub attributes: Vec<(String, String)>,
}

/// Looks up the words of a setting by its key.
pub(super) type WordsOf<'a> = &'a dyn Fn(&str) -> Option<Words>;

/// Reads all of them together.
///
/// # Errors
/// A line for each fault.
pub(super) fn resolve(words_of: WordsOf<'_>, environment: Environment<'_>) -> Result<Otlp, BTreeSet<String>> {
    let environment = |name: &str| environment(name).or_else(|| from_file(words_of, name));
    let overrides = overrides(words_of);
    let mut faults = BTreeSet::new();
    let mut report = |fault: Fault| {
        let setting = origin(words_of, &fault.setting).map_or(fault.setting, |origin| origin.to_string());
        faults.insert(format!("{setting}: {}", fault.problem));
    };
    let mut of = |signal| match otlp(signal, &environment, &overrides) {
        Ok(settings) => settings,
        Err(faults) => {
            faults.into_iter().for_each(&mut report);
            None
        }
    };
    let (metrics, logs) = (of(Signal::Metrics), of(Signal::Logs));
    let attributes = settings::resource_attributes(&environment).map_err(report).unwrap_or_default();
    if faults.is_empty() { Ok(Otlp { metrics, logs, attributes }) } else { Err(faults) }
}

const PREFIX: &str = "OTEL_EXPORTER_OTLP_";

/// The file's value in place of the general variable `name`.
fn from_file(words_of: WordsOf<'_>, name: &str) -> Option<String> {
    let key = key(name.strip_prefix(PREFIX)?);
    let words = words_of(&key).filter(|words| matches!(words.origin, Origin::Key(..)))?;
    text(&key, &words)
}

fn overrides(words_of: WordsOf<'_>) -> Overrides {
    let of = |key: &str| {
        let words = words_of(key).filter(|words| matches!(words.origin, Origin::Flag(_) | Origin::Variable(_)))?;
        text(key, &words).map(Into::into)
    };
    Overrides {
        endpoint: of("otlp-endpoint"),
        protocol: of("otlp-protocol"),
        headers: of("otlp-headers"),
        timeout: of("otlp-timeout"),
        compression: of("otlp-compression"),
        certificate: of("otlp-certificate"),
        client_certificate: of("otlp-client-certificate"),
        client_key: of("otlp-client-key"),
        insecure: of("otlp-insecure"),
        temporality: of("otlp-temporality-preference"),
    }
}

/// In the notation of OpenTelemetry's variables; durations in milliseconds.
fn text(key: &str, words: &Words) -> Option<String> {
    let word = words.words.first().filter(|word| !word.is_empty())?;
    if key != "otlp-timeout" {
        return Some(word.clone());
    }
    // The setting's own row of the table reports a text that is not a duration.
    duration(word).ok().map(|time| time.as_millis().to_string())
}

/// Origin of the value behind a flag or a general variable.
fn origin(words_of: WordsOf<'_>, setting: &str) -> Option<Origin> {
    let key = match setting.strip_prefix("--") {
        Some(key) => key.to_owned(),
        None => key(setting.strip_prefix(PREFIX)?),
    };
    let words = words_of(&key)?;
    let by_file = matches!(words.origin, Origin::Key(..));
    (by_file || setting.starts_with("--")).then_some(words.origin)
}

fn key(suffix: &str) -> String {
    format!("otlp-{}", suffix.to_lowercase().replace('_', "-"))
}
