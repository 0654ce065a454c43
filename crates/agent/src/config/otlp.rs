//! Joins the table's OTLP settings with OpenTelemetry's own variables.
//!
//! Flags and `NETNS_AGENT_…` go before `OTEL_…`, and those before the file, so what the file says
//! is handed on as if the general variable said so where no variable does.

use std::collections::BTreeSet;

use super::layers::{Environment, Origin, Words};
use super::value::duration;
use crate::export::settings::{self, Fault, OtlpSettings, Overrides, Signal, otlp};

/// Where things are exported to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Otlp {
    /// Metrics; `None`: nowhere.
    pub metrics: Option<OtlpSettings>,
    /// Interface events; `None`: nowhere.
    pub logs: Option<OtlpSettings>,
    /// On every Resource.
    pub attributes: Vec<(String, String)>,
}

/// What the settings with these names say, where anybody says anything.
pub(super) type Said<'a> = &'a dyn Fn(&str) -> Option<Words>;

/// Reads all of them together.
///
/// # Errors
/// A line for each fault.
pub(super) fn resolve(said: Said<'_>, environment: Environment<'_>) -> Result<Otlp, BTreeSet<String>> {
    let environment = |name: &str| environment(name).or_else(|| from_file(said, name));
    let overrides = overrides(said);
    let mut faults = BTreeSet::new();
    let mut tell = |fault: Fault| {
        let setting = origin(said, &fault.setting).map_or(fault.setting, |origin| origin.to_string());
        faults.insert(format!("{setting}: {}", fault.problem));
    };
    let mut of = |signal| match otlp(signal, &environment, &overrides) {
        Ok(settings) => settings,
        Err(faults) => {
            faults.into_iter().for_each(&mut tell);
            None
        }
    };
    let (metrics, logs) = (of(Signal::Metrics), of(Signal::Logs));
    let attributes = settings::resource_attributes(&environment).map_err(tell).unwrap_or_default();
    if faults.is_empty() { Ok(Otlp { metrics, logs, attributes }) } else { Err(faults) }
}

const PREFIX: &str = "OTEL_EXPORTER_OTLP_";

/// What the file says in the place of the general variable `name`.
fn from_file(said: Said<'_>, name: &str) -> Option<String> {
    let key = key(name.strip_prefix(PREFIX)?);
    let words = said(&key).filter(|words| matches!(words.origin, Origin::Key(..)))?;
    text(&key, &words)
}

fn overrides(said: Said<'_>) -> Overrides {
    let of = |key: &str| {
        let words = said(key).filter(|words| matches!(words.origin, Origin::Flag(_) | Origin::Variable(_)))?;
        text(key, &words)
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

/// As OpenTelemetry's variables write it; a length of time in milliseconds.
fn text(key: &str, words: &Words) -> Option<String> {
    let word = words.words.first().filter(|word| !word.is_empty())?;
    if key != "otlp-timeout" {
        return Some(word.clone());
    }
    // One that is no length of time is told by its own row of the table.
    duration(word).ok().map(|time| time.as_millis().to_string())
}

/// Where a fault of a flag or a general variable was really said.
fn origin(said: Said<'_>, setting: &str) -> Option<Origin> {
    let key = match setting.strip_prefix("--") {
        Some(key) => key.to_owned(),
        None => key(setting.strip_prefix(PREFIX)?),
    };
    let words = said(&key)?;
    let by_file = matches!(words.origin, Origin::Key(..));
    (by_file || setting.starts_with("--")).then_some(words.origin)
}

fn key(suffix: &str) -> String {
    format!("otlp-{}", suffix.to_lowercase().replace('_', "-"))
}
