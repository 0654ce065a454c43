//! Generates `docs/metrics.md` from the catalog of metrics.

use std::fmt::Write as _;

use crate::export::prometheus::names;
use crate::metrics::catalog::{INTERFACE_METRICS, InterfaceMetric, Measure, OWN_METRICS, Origin, Scope, Slots, keys};
use crate::protocol::counters::{Counter, TABLE};

const INTRODUCTION: &str = include_str!("document/introduction.md");
const PROTOCOLS: &str = include_str!("document/protocols.md");
const ATTRIBUTES: &str = include_str!("document/attributes.md");
const OWN: &str = include_str!("document/own.md");

/// The whole page.
#[must_use]
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for scope in Scope::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "\n### {}\n", heading(scope));
        page.push_str("| metric | kind, unit | attributes | Prometheus | |\n|---|---|---|---|---|\n");
        let metrics = INTERFACE_METRICS.iter().filter(|metric| metric.is_of(scope));
        metrics.for_each(|metric| interface_row(scope, metric, &mut page));
    }
    page.push_str(PROTOCOLS);
    TABLE.iter().for_each(|counter| protocol_row(counter, &mut page));
    page.push_str(ATTRIBUTES);
    page.push_str("\n| metric | kind, unit | attributes | Prometheus | |\n|---|---|---|---|---|\n");
    for metric in OWN_METRICS {
        let attributes: Vec<_> =
            metric.attributes.iter().map(|(key, values)| format!("`{key}` ({})", values.join(", "))).collect();
        let _ = writeln!(
            page,
            "| `{}` | {}, {} | {} | `{}` | {} |",
            metric.name,
            metric.instrument.as_str(),
            metric.unit,
            attributes.join(", "),
            names::sample(metric.name, metric.unit, metric.instrument),
            metric.description,
        );
    }
    page.push_str(OWN);
    page
}

fn heading(scope: Scope) -> &'static str {
    match scope {
        Scope::Node => "The host's interfaces",
        Scope::Pod => "A pod's interfaces",
        Scope::Netns => "Interfaces of a named namespace that belongs to no pod",
    }
}

fn interface_row(scope: Scope, metric: &InterfaceMetric, page: &mut String) {
    let name = [scope.prefix(), metric.suffix].concat();
    let direction = matches!(metric.measure.slots(), Some(Slots::Directions { .. }));
    let attributes = if let Some(Slots::Details(details)) = metric.measure.slots() {
        let errors = details.iter().any(|explained| explained.error.is_some());
        let error = if errors { format!(", `{}`", keys::ERROR_TYPE) } else { String::new() };
        format!("`{}`, `{}`{error}", keys::INTERFACE, keys::DIRECTION)
    } else if metric.measure == Measure::Address {
        format!("`{}`, `{}`, `{}`, `{}`", keys::INTERFACE, keys::ADDRESS, keys::ALIAS, keys::ALT_NAMES)
    } else if direction {
        format!("`{}`, `{}`", keys::INTERFACE, keys::DIRECTION)
    } else {
        format!("`{}`", keys::INTERFACE)
    };
    let opt_in = if metric.opt_in { " Opt-in." } else { "" };
    let ours = if metric.origin == Origin::Ours { " Ours." } else { "" };
    let _ = writeln!(
        page,
        "| `{name}` | {}, {} | {attributes} | `{}` | {}{opt_in}{ours} |",
        metric.instrument.as_str(),
        metric.unit,
        names::sample(&name, metric.unit, metric.instrument),
        metric.description,
    );
}

fn protocol_row(counter: &Counter, page: &mut String) {
    let name = names::sample(&[Scope::Pod.prefix(), counter.suffix].concat(), counter.unit, counter.instrument);
    let direction = counter.direction.map(|direction| format!("`{direction}`")).unwrap_or_default();
    let _ = writeln!(page, "| `{name}` | {} | {direction} | {} |", counter.instrument.as_str(), counter.description);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_matches_the_catalog() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == markdown(), "docs/metrics.md is old: UPDATE_DOCS=1 cargo test -p netns-agent export::");
    }
}
