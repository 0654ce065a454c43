//! Indices: interfaces by namespace, namespaces by name, address and pod, host ends by peer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::interface::Interface;
use iface_core::{InterfaceId, Netns, NetnsId, NetnsName, Place};
use ipnet::IpNet;

use super::{Space, Tagger};
use crate::owner::index::remove_value;
use crate::owner::pod::PodName;
use crate::owner::tagger::decision::Decision;

impl Tagger {
    /// Adds an interface to its namespace; returns the namespaces to decide again.
    pub(super) fn enter(&mut self, interface: &Interface) -> BTreeSet<NetnsId> {
        let id = interface.netns.id;
        let mut concerned = BTreeSet::new();
        if !self.spaces.contains_key(&id) {
            concerned.insert(id);
            self.found(&interface.netns, interface.since);
            concerned.extend(self.recognize(id));
        }
        let Some(space) = self.spaces.get_mut(&id) else { return concerned };
        space.interfaces.insert(interface.id);
        if space.place != interface.netns.place {
            let before = std::mem::replace(&mut space.place, interface.netns.place.clone());
            unindex(&mut self.by_name, &before, id);
            concerned.insert(id);
        }
        if let Place::Named(name) = &interface.netns.place {
            self.by_name.entry(name.clone()).or_default().insert(id);
        }
        concerned.extend(self.identify(&interface.netns));
        concerned
    }

    fn found(&mut self, netns: &Netns, since: SystemTime) {
        let space = Space {
            place: netns.place.clone(),
            file: netns.file,
            cookie: netns.cookie,
            found: self.complete.then_some(since),
            interfaces: BTreeSet::new(),
            decision: None,
            known: None,
            reported: VecDeque::new(),
        };
        self.spaces.insert(netns.id, space);
    }

    /// Removes an interface from its namespace; returns the name of a namespace without further interfaces.
    pub(super) fn leave(&mut self, id: NetnsId, interface: InterfaceId) -> Option<NetnsName> {
        let space = self.spaces.get_mut(&id)?;
        space.interfaces.remove(&interface);
        if !space.interfaces.is_empty() {
            return None;
        }
        let space = self.spaces.remove(&id)?;
        self.leaked.remove(&id);
        self.inside.remove(&id);
        unindex(&mut self.by_name, &space.place, id);
        for pod in self.addresses.displace(id) {
            let mut claimed = false;
            for record in self.pods.same(&pod) {
                claimed = true;
                self.addresses.pass(&record.uid, id);
            }
            if !claimed {
                self.addresses.ended_unclaimed(&pod);
            }
        }
        if let Some(known) = space.known.clone() {
            unindex_pod(&mut self.tagged, &known, id);
            self.pass_processes(id, &known);
            if let Some(uid) = known.pod.uid.as_deref().filter(|_| !self.addresses.is_placed(&known.named)) {
                self.addresses.pass(uid, id);
            }
            self.returned.leave(id, &space, known);
        }
        let Place::Named(name) = space.place else { return None };
        self.files.release(id, &name, space.file);
        Some(name)
    }

    /// Updates the holders of addresses; returns the namespaces to decide again. The host's addresses count nothing: pods
    /// in the host's namespace claim none, and some plugins give the host a copy of a pod's address.
    pub(super) fn move_addresses(
        &mut self,
        id: NetnsId,
        before: Option<&Interface>,
        now: Option<&Interface>,
    ) -> BTreeSet<NetnsId> {
        let (before, now) = (before.map_or(NONE, |one| &one.addresses), now.map_or(NONE, |one| &one.addresses));
        let mut concerned = BTreeSet::new();
        let Some(space) = self.spaces.get(&id).filter(|space| space.place != Place::Host && before != now) else {
            return concerned;
        };
        let known = space.is_known_by_more();
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
        if let Some((far, interface)) = before {
            remove_value(&mut self.host_ends, &far, &interface);
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
    if let Place::Named(name) = place {
        remove_value(by_name, name, &id);
    }
}

pub(super) fn unindex_pod(tagged: &mut BTreeMap<PodName, BTreeSet<NetnsId>>, decision: &Decision, id: NetnsId) {
    remove_value(tagged, &PodName::from(decision.pod.as_ref()), &id);
}
