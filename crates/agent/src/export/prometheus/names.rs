//! OpenTelemetry names as Prometheus names.
//!
//! Source: "Prometheus and OpenMetrics Compatibility" of the OpenTelemetry specification: characters
//! unknown to Prometheus become `_`, the unit and `_total` follow the name.

use crate::metrics::catalog::Instrument;

/// A metric family's name without `_total`, and its unit.
#[must_use]
pub(crate) fn family(name: &str, unit: &str) -> (String, &'static str) {
    let mut family = label(name);
    let unit = match unit {
        "By" => "bytes",
        "By/s" => "bytes_per_second",
        "s" => "seconds",
        // "1" is a ratio for gauges only, and text in braces is not a unit.
        _ => "",
    };
    if !unit.is_empty() && !family.ends_with(unit) {
        family.push('_');
        family.push_str(unit);
    }
    (family, unit)
}

/// The name of a metric's samples.
#[must_use]
pub(crate) fn sample(name: &str, unit: &str, instrument: Instrument) -> String {
    let (mut sample, _) = family(name, unit);
    if instrument == Instrument::Counter && !sample.ends_with("_total") {
        sample.push_str("_total");
    }
    sample
}

/// An attribute key as a label name: other characters than letters, digits and `_` become `_`, several
/// of them a single `_`: names with `__` at the begin are reserved by Prometheus. A first digit gets a `_` before.
#[must_use]
pub(crate) fn label(key: &str) -> String {
    let mut label = String::with_capacity(key.len() + 1);
    if key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) {
        label.push('_');
    }
    for c in key.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '_' };
        if c != '_' || !label.ends_with('_') {
            label.push(c);
        }
    }
    label
}

/// Appends a label's value, escaped.
pub(crate) fn escape(value: &str, to: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => to.push_str("\\\\"),
            '"' => to.push_str("\\\""),
            '\n' => to.push_str("\\n"),
            c => to.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_opentelemetrys_exporter() {
        let counter = Instrument::Counter;
        assert_eq!(sample("k8s.pod.network.io", "By", counter), "k8s_pod_network_io_bytes_total");
        assert_eq!(sample("k8s.pod.network.packet.count", "{packet}", counter), "k8s_pod_network_packet_count_total");
        assert_eq!(
            sample("k8s.pod.network.interface.up", "1", Instrument::UpDownCounter),
            "k8s_pod_network_interface_up"
        );
        assert_eq!(sample("a.duration", "s", Instrument::Histogram), "a_duration_seconds");
        assert_eq!(sample("a.bytes", "By", Instrument::UpDownCounter), "a_bytes");
        assert_eq!(label("k8s.pod.label.app.kubernetes.io/name"), "k8s_pod_label_app_kubernetes_io_name");
        assert_eq!(label("1st.ü"), "_1st_");
        assert_eq!([label("__name__"), label("_._"), label("")], ["_name_", "_", "_"]);
    }

    #[test]
    fn values_are_escaped() {
        let mut text = String::new();
        escape("a\"b\\c\nd\r{}é", &mut text);
        assert_eq!(text, "a\\\"b\\\\c\\nd\r{}é");
    }
}
