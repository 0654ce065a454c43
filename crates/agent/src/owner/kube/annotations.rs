//! Annotations of a pod that are worth memory: short enough for an attribute, and multus'.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::owner::kube::multus::{self, NetworkStatus};

/// Size limit of an annotation as an attribute, bytes.
const MAX_ANNOTATION: usize = 1024;

/// Annotations by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::owner) struct Annotations(pub(in crate::owner) BTreeMap<String, String>);

impl Annotations {
    /// The networks that multus states.
    pub(in crate::owner) fn networks(&self) -> Vec<NetworkStatus> {
        let status = multus::ANNOTATIONS.iter().find_map(|key| self.0.get(*key));
        status.map(|status| multus::parse(status)).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnnotationsVisitor)
    }
}

struct AnnotationsVisitor;

impl<'de> Visitor<'de> for AnnotationsVisitor {
    type Value = Annotations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of annotations")
    }

    fn visit_unit<E>(self) -> Result<Annotations, E> {
        Ok(Annotations::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
        let mut kept = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value::<String>()?;
            if value.len() <= MAX_ANNOTATION || multus::ANNOTATIONS.contains(&key.as_str()) {
                kept.insert(key, value);
            }
        }
        Ok(Annotations(kept))
    }
}
