//! Indices: interfaces by namespace, namespaces by name, address and pod, host ends by peer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use crate::interface::Interface;
use iface_core::{InterfaceId, NetnsId, NetnsName, Place};
use ipnet::IpNet;

use super::{Space, Tagger};
use crate::owner::pod::PodName;
use crate::owner::tagger::decision::Decision;

impl Tagger {
    /// Adds an interface to its namespace; returns the namespaces to decide again.
    pub(super) fn enter(&mut self, interface: &Interface) -> BTreeSet<NetnsId> {
        let id = interface.netns.id;
        let mut concerned = BTreeSet::new();
        let space = self.spaces.entry(id).or_insert_with(|| {
            concerned.insert(id);
            Space {
                place: interface.netns.place.clone(),
                interfaces: BTreeSet::new(),
                decision: None,
                known: None,
                said: VecDeque::new(),
            }
        });
        space.interfaces.insert(interface.id);
        if space.place != interface.netns.place {
            let before = std::mem::replace(&mut space.place, interface.netns.place.clone());
            unindex(&mut self.by_name, &before, id);
            concerned.insert(id);
        }
        if let Place::Named(name) = &interface.netns.place {
            self.by_name.entry(name.clone()).or_default().insert(id);
        }
        concerned
    }

    /// Removes an interface from its namespace; a namespace without interfaces is removed.
    pub(super) fn leave(&mut self, id: NetnsId, interface: InterfaceId) {
        let Some(space) = self.spaces.get_mut(&id) else { return };
        space.interfaces.remove(&interface);
        if !space.interfaces.is_empty() {
            return;
        }
        let Some(space) = self.spaces.remove(&id) else { return };
        unindex(&mut self.by_name, &space.place, id);
        if let Some(known) = space.known {
            unindex_pod(&mut self.tagged, &known, id);
        }
    }

    /// Updates the holders of addresses; returns the namespaces to decide again.
    pub(super) fn move_addresses(
        &mut self,
        id: NetnsId,
        before: Option<&Interface>,
        now: Option<&Interface>,
    ) -> BTreeSet<NetnsId> {
        let (before, now) = (before.map_or(NONE, |one| &one.addresses), now.map_or(NONE, |one| &one.addresses));
        let mut concerned = BTreeSet::new();
        if before == now {
            return concerned;
        }
        let known = self.spaces.get(&id).is_some_and(|space| space.place == Place::Host || space.known.is_some());
        for gone in missing_from(now, before) {
            concerned.extend(self.addresses.concerned(gone));
            self.addresses.release(gone, id, known);
        }
        for new in missing_from(before, now) {
            self.addresses.hold(new, id);
            concerned.extend(self.addresses.concerned(new));
        }
        concerned
    }

    pub(super) fn move_host_end(&mut self, before: Option<&Interface>, now: Option<&Interface>) {
        let far_end = |interface: Option<&Interface>| {
            let interface = interface.filter(|one| one.netns.is_host())?;
            let peer = interface.peer.as_ref()?;
            Some(((peer.netns.id, peer.ifindex), interface.id))
        };
        let (before, now) = (far_end(before), far_end(now));
        if before == now {
            return;
        }
        if let Some((far, interface)) = before
            && let Some(ends) = self.host_ends.get_mut(&far)
        {
            ends.remove(&interface);
            if ends.is_empty() {
                self.host_ends.remove(&far);
            }
        }
        if let Some((far, interface)) = now {
            self.host_ends.entry(far).or_default().insert(interface);
        }
    }

    pub(super) fn interfaces_of(&self, id: NetnsId) -> Vec<Arc<Interface>> {
        let interfaces = self.spaces.get(&id).into_iter().flat_map(|space| &space.interfaces);
        interfaces.filter_map(|interface| self.interfaces.get(interface).cloned()).collect()
    }

    pub(super) fn named(&self, names: &[NetnsName]) -> BTreeSet<NetnsId> {
        names.iter().filter_map(|name| self.by_name.get(name)).flatten().copied().collect()
    }
}

const NONE: &[IpNet] = &[];

/// The addresses in the first list and not in the second, each once. Both are sorted; a host's interface can
/// have thousands (`kube-ipvs0` has an address per Service).
fn missing_from<'a>(those: &'a [IpNet], these: &'a [IpNet]) -> impl Iterator<Item = IpAddr> + 'a {
    let same_address = |a: &IpNet, b: &IpNet| a.addr() == b.addr();
    let these = these.chunk_by(same_address).filter_map(|nets| nets.first()).map(|net| net.addr());
    these.filter(|address| those.binary_search_by_key(address, |net| net.addr()).is_err())
}

fn unindex(by_name: &mut BTreeMap<NetnsName, BTreeSet<NetnsId>>, place: &Place, id: NetnsId) {
    let Place::Named(name) = place else { return };
    if let Some(ids) = by_name.get_mut(name) {
        ids.remove(&id);
        if ids.is_empty() {
            by_name.remove(name);
        }
    }
}

pub(super) fn unindex_pod(tagged: &mut BTreeMap<PodName, BTreeSet<NetnsId>>, decision: &Decision, id: NetnsId) {
    let name = PodName::from(decision.pod.as_ref());
    if let Some(ids) = tagged.get_mut(&name) {
        ids.remove(&id);
        if ids.is_empty() {
            tagged.remove(&name);
        }
    }
}
