//! Limits the series of each pod, so that a pod with many interfaces leaves room for others.

use std::collections::HashMap;
use std::sync::Arc;

use crate::interface::{End, Interface};

use crate::metrics::catalog::Scope;
use crate::metrics::points::{Subject, SubjectKey};

/// Removes interfaces above `limit` per pod or namespace. Returns owners above their share and the number of
/// interfaces removed.
///
/// `eth0` and interfaces made by CNI stay before others, older interfaces before newer ones.
pub(super) fn limit(interfaces: &mut Vec<Arc<Interface>>, limit: usize) -> Vec<(Subject, usize)> {
    let mut counts: HashMap<SubjectKey<'_>, usize> = HashMap::new();
    for interface in interfaces.iter().filter(|interface| has_share(interface)) {
        *counts.entry(SubjectKey::of(interface)).or_default() += 1;
    }
    counts.retain(|_, count| *count > limit);
    if counts.is_empty() {
        return Vec::new();
    }
    let mut above: HashMap<SubjectKey<'_>, Vec<&Arc<Interface>>> = HashMap::new();
    for interface in interfaces.iter().filter(|interface| has_share(interface)) {
        let key = SubjectKey::of(interface);
        if counts.contains_key(&key) {
            above.entry(key).or_default().push(interface);
        }
    }
    let mut removed = Vec::new();
    let mut owners = Vec::new();
    for mut members in above.into_values() {
        members.sort_unstable_by_key(|interface| (!is_primary(interface), interface.id));
        owners.push((Subject::of(members[0]), members.len() - limit));
        removed.extend(members[limit..].iter().map(|interface| interface.id));
    }
    removed.sort_unstable();
    interfaces.retain(|interface| removed.binary_search(&interface.id).is_err());
    owners
}

/// The host has no share: its interfaces grow with the number of pods.
fn has_share(interface: &Interface) -> bool {
    Scope::of(interface) != Scope::Node
}

fn is_primary(interface: &Interface) -> bool {
    let by_cni = |interface: &Interface| {
        interface.owner.as_ref().is_some_and(|owner| owner.network().is_some() && owner.end() == End::Pod)
    };
    interface.name == "eth0" || by_cni(interface)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::Owner;
    use crate::testing::{at, eth0, pod, pod_interface};

    fn without_network(mut interface: Arc<Interface>) -> Arc<Interface> {
        if let Some(owner) = &mut Arc::make_mut(&mut interface).owner
            && let Owner::Pod(owner) = Arc::make_mut(owner)
        {
            owner.network = None;
        }
        interface
    }

    /// A pod with 1,200 bridges leaves room for its neighbour and keeps its own `eth0` and `net1`.
    #[test]
    fn a_pod_keeps_its_primary_interfaces() {
        let (greedy, web) = (pod("greedy"), pod("web"));
        let bridges = (1..=1_200).map(|id| without_network(pod_interface(id, format!("br{id}"), &greedy, at(1))));
        let mut interfaces: Vec<_> = bridges.collect();
        interfaces.push(without_network(pod_interface(1_201, "eth0", &greedy, at(1))));
        interfaces.push(pod_interface(1_202, "net1", &greedy, at(1)));
        interfaces.push(pod_interface(1_203, "eth0", &web, at(1)));
        interfaces.push(eth0(1_204, at(1)));
        let above = limit(&mut interfaces, 3);
        let ids: Vec<_> = interfaces.iter().map(|interface| interface.id.0.get()).collect();
        assert_eq!(ids, [1, 1_201, 1_202, 1_203, 1_204]);
        assert_eq!(above.len(), 1);
        assert_eq!((above[0].0.name(), above[0].1), ("pod default/greedy".to_owned(), 1_199));
    }
}
