//! Indices with several values for a key.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

/// Removes a value of a key, and the key with its last value.
pub(super) fn remove_value<K, V, Q>(index: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &Q)
where
    K: Ord,
    V: Ord + Borrow<Q>,
    Q: Ord + ?Sized,
{
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}
