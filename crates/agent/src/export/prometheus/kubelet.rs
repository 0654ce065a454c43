//! Counters of pods under the names and labels of cAdvisor, for queries written for the kubelet's metrics.

use std::collections::HashMap;
use std::io::Write;

use super::text::{Labels, Type, Writer};
use crate::metrics::catalog::{Measure, Slots};
use crate::metrics::points::{Counted, Points, Subject};

/// The families in the order of the page; cAdvisor has no others about interfaces.
const FAMILIES: [(Measure, &str, &str); 4] = [
    (Measure::Bytes, "bytes", "Bytes that the pod's interface {did}."),
    (Measure::Packets, "packets", "Packets that the pod's interface {did}."),
    (Measure::Errors, "errors", "Packets with errors when the pod's interface {did}."),
    (Measure::Dropped, "packets_dropped", "Packets dropped when the pod's interface {did}."),
];

/// Measures of pods with a name of cAdvisor's.
pub(super) fn has(measure: Measure) -> bool {
    FAMILIES.iter().any(|(known, ..)| *known == measure)
}

/// Writes the counters of all pods.
pub(super) fn write(points: &Points, node: &str, writer: &mut Writer<impl Write>) {
    let samples = samples(points, node);
    if samples.is_empty() {
        return;
    }
    for (measure, suffix, help) in FAMILIES {
        let Some(Slots::Directions { receive, transmit }) = measure.slots() else { continue };
        for (slot, direction, did) in [(receive, "receive", "received"), (transmit, "transmit", "transmitted")] {
            let family = format!("container_network_{direction}_{suffix}");
            // OpenMetrics wants the unit at the end of the name: `packets` and `errors` are not units there.
            let unit = if measure == Measure::Bytes { "bytes" } else { "" };
            writer.family(&family, unit, Type::Counter, &help.replace("{did}", did));
            let none = Labels::default();
            samples.iter().for_each(|(labels, counted)| writer.counter(&family, [labels, &none], counted, slot));
        }
    }
}

fn samples(points: &Points, node: &str) -> Vec<(Labels, Counted)> {
    // These labels do not tell a pod from its predecessor with the same name, so only the newest pod is shown: groups
    // are in the order of their oldest interface.
    let mut newest = HashMap::new();
    for group in &points.groups {
        if let Subject::Pod(pod) = &group.subject {
            newest.insert((&pod.namespace, &pod.name), group);
        }
    }
    let mut groups: Vec<_> = newest.into_iter().collect();
    groups.sort_unstable_by_key(|(_, group)| group.samples.start);
    let samples = groups.into_iter().flat_map(|((namespace, name), group)| {
        points.samples[group.samples.clone()].iter().filter_map(move |sample| {
            let interface = &sample.interface;
            let network = interface.owner.as_ref().and_then(|owner| owner.network()).map(|name| &**name);
            let interface = interface.name.to_string();
            let pairs = [
                Some(("interface", &*interface)),
                Some(("namespace", namespace)),
                network.map(|network| ("network", network)),
                (!node.is_empty()).then_some(("node", node)),
                Some(("pod", name)),
            ];
            Some((Labels::new(pairs.into_iter().flatten()), sample.counted?))
        })
    });
    samples.collect()
}
