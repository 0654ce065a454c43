//! Selection of a pod's labels and annotations as attributes.

use std::collections::BTreeMap;

use crate::owner::kube::glob;

/// Names of labels and annotations by pattern; `*` and `?` as in a shell, over the whole name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    labels: Box<[String]>,
    annotations: Box<[String]>,
}

impl Selection {
    /// Selects by patterns; without patterns nothing is selected.
    #[must_use]
    pub fn new(labels: &[String], annotations: &[String]) -> Self {
        Self { labels: labels.into(), annotations: annotations.into() }
    }

    /// The attributes of a pod, sorted by key, with names of OpenTelemetry's conventions.
    pub(in crate::owner) fn attributes(
        &self,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> Vec<(String, String)> {
        // Sorted within, and `annotation` sorts before `label`.
        let annotations = select("k8s.pod.annotation.", &self.annotations, annotations);
        annotations.chain(select("k8s.pod.label.", &self.labels, labels)).collect()
    }
}

fn select<'a>(
    prefix: &'a str,
    patterns: &'a [String],
    all: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (String, String)> + 'a {
    all.iter()
        .filter(|(key, _)| patterns.iter().any(|pattern| glob::fits(pattern, key)))
        .map(move |(key, value)| (format!("{prefix}{key}"), value.clone()))
}
