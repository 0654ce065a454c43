//! Counters of the protocols of each pod.

use std::io::Write;

use super::names;
use super::text::{Labels, Type, Writer};
use crate::metrics::catalog::{Instrument, Scope};
use crate::protocol::Values;
use crate::protocol::counters::TABLE;

/// Writes the values of pods with these labels and the node's; `direction` is the key of the direction.
pub(super) fn write(pods: &[(Labels, Values)], direction: &str, node: &Labels, writer: &mut Writer<impl Write>) {
    for (number, counter) in TABLE.iter().enumerate() {
        let (family, unit) = names::family(&[Scope::Pod.prefix(), counter.suffix].concat(), counter.unit);
        let (kind, suffix) = match counter.instrument {
            Instrument::Counter => (Type::Counter, "_total"),
            Instrument::UpDownCounter | Instrument::Histogram => (Type::Gauge, ""),
        };
        let is_first = number == 0 || TABLE[number - 1].suffix != counter.suffix;
        if is_first && !pods.is_empty() {
            writer.family(&family, unit, kind, counter.description);
        }
        let more = counter.direction.map(|value| Labels::new([(direction, value)])).unwrap_or_default().and(node);
        for (labels, values) in pods {
            if let Some(value) = values[number] {
                writer.sample_of(&family, suffix, [labels, &more], value);
            }
        }
    }
}
