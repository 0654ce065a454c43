//! Events for the reader: each interface with the owner of its namespace.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::interface::{Device, End, Event, Interface, Owner, PodOwner};
use iface_core::{InterfaceId, MacAddr, NetnsId};

use crate::owner::cni::network::Network;
use crate::owner::kube::multus;
use crate::owner::pod::same_pod;
use crate::owner::tagger::decision::Decision;
use crate::owner::tagger::{Tagger, name_of};

impl Tagger {
    /// Emits changed owners of all interfaces of a namespace and of their peers.
    pub(super) fn refresh(&mut self, id: NetnsId) {
        for interface in self.interfaces_of(id) {
            self.emit(interface.id, Some(&interface));
        }
        self.refresh_host_ends(id, 0..=u32::MAX);
    }

    pub(super) fn refresh_host_ends(&mut self, id: NetnsId, indexes: RangeInclusive<u32>) {
        let range = (id, *indexes.start())..=(id, *indexes.end());
        let ends: Vec<InterfaceId> = self.host_ends.range(range).flat_map(|(_, ends)| ends.iter().copied()).collect();
        for end in ends {
            let before = self.interfaces.get(&end).cloned();
            self.emit(end, before.as_ref());
        }
    }

    /// Sets the owner of an interface and emits the difference from `before`.
    pub(super) fn emit(&mut self, interface: InterfaceId, before: Option<&Arc<Interface>>) {
        let Some(known) = self.interfaces.get(&interface) else { return };
        let now = with_owner(known, self.owner_of(known));
        self.count_untagged(before.map(|before| &**before), Some(&now));
        self.events.extend(Event::between(before, Some(&now)));
        self.interfaces.insert(interface, now);
    }

    fn owner_of(&self, interface: &Interface) -> Option<Arc<Owner>> {
        let before = interface.owner.as_ref();
        let owner = if interface.netns.is_host() {
            let Some(peer) = &interface.peer else { return before.cloned() };
            // The end inside is deleted first; until its own deletion, the host end belongs to the same pod.
            let Some(space) = self.spaces.get(&peer.netns.id) else { return before.cloned() };
            let inside = self.by_index.get(&(peer.netns.id, peer.ifindex)).and_then(|id| self.interfaces.get(id));
            let Some(decision) = &space.decision else {
                let inside = inside.map(|inside| &**inside);
                return same(before, self.container_owner(peer.netns.id, inside, End::Host)?);
            };
            let joined = self.join(peer.netns.id, decision, inside.map(|inside| &**inside), before);
            owner(decision, joined, End::Host, before)
        } else {
            let Some(decision) = &self.spaces.get(&interface.netns.id)?.decision else {
                return same(before, self.container_owner(interface.netns.id, Some(interface), End::Pod)?);
            };
            owner(decision, self.join(interface.netns.id, decision, Some(interface), before), End::Pod, before)
        };
        same(before, owner)
    }

    fn join(
        &self,
        id: NetnsId,
        decision: &Decision,
        inside: Option<&Interface>,
        before: Option<&Arc<Owner>>,
    ) -> Joined {
        let network = inside.map_or(Network::Unknown, |inside| self.network(decision, inside));
        Joined { network, device: self.device(decision, inside, before), leaked: self.leaked.contains(&id) }
    }

    /// A claim is deleted before the interface: the device stays, unless a claim gives the device to another interface.
    fn device(
        &self,
        decision: &Decision,
        inside: Option<&Interface>,
        before: Option<&Arc<Owner>>,
    ) -> Option<Arc<Device>> {
        let pod = decision.pod.uid.as_deref()?;
        let carriers = |id| move |mac: MacAddr| self.carriers(id, mac);
        let found = inside.and_then(|one| self.claims.device_of(pod, one, carriers(one.netns.id)));
        let known = before.filter(|before| before.pod().is_some_and(|known| same_pod(known, &decision.pod)));
        let kept = || known.and_then(|known| known.device()).cloned();
        found.or_else(|| kept().filter(|device| inside.is_none() || !self.claims.names(pod, device)))
    }

    fn network(&self, decision: &Decision, interface: &Interface) -> Network {
        let (id, name) = (interface.netns.id, interface.netns.name());
        let carriers = |mac: MacAddr| self.carriers(id, mac);
        let by_file = self.files.about(id, name).network(&decision.named, interface, carriers);
        if by_file != Network::Unknown {
            return by_file;
        }
        let record = decision.pod.uid.as_deref().and_then(|uid| self.pods.get(uid));
        // The API server knows of later networks.
        let annotated = || self.files.about(id, name).annotated(&decision.named);
        let networks = record.map_or_else(annotated, |record| &record.networks);
        multus::network_of(networks, interface, carriers)
    }

    /// Number of interfaces of a namespace with a link-layer address.
    fn carriers(&self, id: NetnsId, mac: MacAddr) -> usize {
        let interfaces = self.spaces.get(&id).into_iter().flat_map(|space| &space.interfaces);
        interfaces.filter(|one| self.interfaces.get(one).is_some_and(|one| one.mac == Some(mac))).count()
    }

    /// Whether a change of an interface's link-layer address changes the networks of other interfaces.
    pub(super) fn moves_networks(&self, before: Option<&Interface>, now: Option<&Interface>) -> bool {
        let mac = |one: Option<&Interface>| one.and_then(|one| one.mac);
        let Some(space) = now.or(before).and_then(|one| self.spaces.get(&one.netns.id)) else { return false };
        if mac(before) == mac(now) {
            return false;
        }
        let Some(id) = now.or(before).map(|one| one.netns.id) else { return false };
        let pod = space.decision.as_ref().and_then(|known| known.pod.uid.as_deref());
        let record = pod.and_then(|uid| self.pods.get(uid));
        let files = self.files.about(id, name_of(&space.place));
        [mac(before), mac(now)].into_iter().flatten().any(|mac| {
            pod.is_some_and(|uid| self.claims.mentions(uid, mac))
                || files.mentions(mac)
                || record.is_some_and(|record| record.networks.iter().any(|one| one.mentions(mac)))
        })
    }

    pub(super) fn count_untagged(&mut self, before: Option<&Interface>, now: Option<&Interface>) {
        let untagged =
            |one: Option<&Interface>| usize::from(one.is_some_and(|one| !one.netns.is_host() && one.owner.is_none()));
        self.untagged = self.untagged + untagged(now) - untagged(before);
    }
}

/// Additions to the owner of one interface.
struct Joined {
    network: Network,
    device: Option<Arc<Device>>,
    leaked: bool,
}

/// An equal owner keeps its allocation.
fn same(before: Option<&Arc<Owner>>, owner: Owner) -> Option<Arc<Owner>> {
    match before {
        Some(before) if **before == owner => Some(before.clone()),
        _ => Some(Arc::new(owner)),
    }
}

fn owner(decision: &Decision, joined: Joined, end: End, before: Option<&Arc<Owner>>) -> Owner {
    let Joined { network, device, leaked } = joined;
    let network = match (network, &device) {
        (Network::Named(network), _) => Some(network),
        // A driver attaches the interface without CNI.
        (_, Some(device)) => Some(device.driver.clone()),
        (Network::OfAnother, None) => None,
        // Files and pods are deleted before their interfaces; the pod's interfaces keep the network.
        (Network::Unknown, None) => {
            let known = before.filter(|before| before.pod().is_some_and(|pod| same_pod(pod, &decision.pod)));
            let known = known.filter(|known| known.device().is_none());
            known.and_then(|known| known.network().cloned())
        }
    };
    Owner::Pod(PodOwner { pod: decision.pod.clone(), source: decision.source, network, device, leaked, end })
}

/// Whether the peer of a host end is in another namespace than at the time of the owner's decision.
///
/// A missing peer may have been deleted just before the host end.
pub(super) fn is_led_elsewhere(before: &Interface, now: &Interface) -> bool {
    let far = |end: &Interface| end.peer.as_ref().map(|peer| peer.netns.id);
    now.netns.is_host() && far(now).is_some_and(|now| far(before) != Some(now))
}

pub(super) fn with_owner(interface: &Arc<Interface>, owner: Option<Arc<Owner>>) -> Arc<Interface> {
    if interface.owner == owner {
        return interface.clone();
    }
    Arc::new(interface.with_owner(owner))
}
