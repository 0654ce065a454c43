//! Namespaces of CNI files that name none: Calico, Azure and cri-dockerd, and any plugin before libcni 1.2 whose
//! result has no sandbox. So are files with a name that is not visible to the agent, and namespaces without a name.
//!
//! Such a file is about the only namespace with its link-layer address, its address, or the peer of its host
//! end. Old files are left over on many nodes, so whatever the file and the namespace both have must agree, and a
//! file proves nothing about a younger namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::interface::Interface;
use iface_core::{IfName, InterfaceId, MacAddr, NetnsId, Place};

use super::{Tagger, name_of};
use crate::owner::cni::attachments::{Bound, File};
use crate::owner::cni::clues::Clue;
use crate::owner::cni::result::{Attachment, has_parents_mac, is_evidence};
use crate::owner::index::remove_value;

/// Interfaces by the clues of files.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Interfaces inside namespaces.
    by_mac: BTreeMap<MacAddr, BTreeSet<InterfaceId>>,
    /// Interfaces of the host.
    by_name: BTreeMap<IfName, BTreeSet<InterfaceId>>,
}

impl Traces {
    fn insert(&mut self, one: &Interface) {
        if one.netns.is_host() {
            self.by_name.entry(one.name).or_default().insert(one.id);
        } else if let Some(mac) = one.mac {
            self.by_mac.entry(mac).or_default().insert(one.id);
        }
    }

    fn remove(&mut self, one: &Interface) {
        if one.netns.is_host() {
            remove_value(&mut self.by_name, &one.name, &one.id);
        } else if let Some(mac) = one.mac {
            remove_value(&mut self.by_mac, &mac, &one.id);
        }
    }
}

/// Time by which the agent may be late to find a namespace: a file is written after its namespace is made.
const LATE: Duration = Duration::from_secs(10);

impl Tagger {
    /// Updates the traces; returns the files whose namespace may be found now.
    pub(super) fn move_traces(&mut self, before: Option<&Interface>, now: Option<&Interface>) -> BTreeSet<Arc<Path>> {
        let trace = |one: Option<&Interface>| one.map(|one| (one.mac, one.peer.as_ref().map(|peer| peer.netns.id)));
        if trace(before) != trace(now) {
            before.into_iter().for_each(|before| self.traces.remove(before));
            now.into_iter().for_each(|now| self.traces.insert(now));
        } else if before.map(|one| &one.addresses) == now.map(|one| &one.addresses) {
            return BTreeSet::new();
        }
        // A loss counts as well: the other carrier of an address may be the only one now.
        // The host end may have come first.
        let ends = now.and_then(|now| self.host_ends.get(&(now.netns.id, now.ifindex))).into_iter().flatten();
        let ends = ends.filter_map(|end| Some(Clue::End(self.interfaces.get(end)?.name)));
        self.files.clues().about([before, now].into_iter().flatten().flat_map(clues_of).chain(ends))
    }

    /// The namespaces behind the host's interfaces with this name.
    pub(super) fn behind(&self, name: IfName) -> BTreeSet<NetnsId> {
        let ends = self.traces.by_name.get(&name).into_iter().flatten();
        ends.filter_map(|end| Some(self.interfaces.get(end)?.peer.as_ref()?.netns.id)).collect()
    }

    /// The namespaces with this link-layer address inside.
    pub(super) fn with_mac(&self, mac: MacAddr) -> BTreeSet<NetnsId> {
        let inside = self.traces.by_mac.get(&mac).into_iter().flatten();
        inside.filter_map(|one| Some(self.interfaces.get(one)?.netns.id)).collect()
    }

    /// Looks for the namespaces of files; returns the namespaces to decide again.
    pub(super) fn find_namespaces(&mut self, paths: BTreeSet<Arc<Path>>) -> BTreeSet<NetnsId> {
        let mut concerned = BTreeSet::new();
        // Until all interfaces are known, another namespace may have the same clue.
        let paths = if self.complete { paths } else { BTreeSet::new() };
        for path in paths {
            let Some(file) = self.files.get(&path) else { continue };
            let Some(found) = self.namespace_of(file) else { continue };
            let place = self.spaces.get(&found.id).map(|space| &space.place);
            let has_name = file.attachment.netns.is_some() && file.attachment.netns.as_ref() == place.and_then(name_of);
            if let Some(pod) = self.files.bind(&path, found, has_name) {
                concerned.insert(found.id);
                concerned.extend(self.place(&pod, found.id));
            }
        }
        concerned
    }

    /// The only namespace that agrees with the file.
    fn namespace_of(&self, file: &File) -> Option<Bound> {
        let agreeing = self.candidates(file).into_iter().filter_map(|id| {
            let space = self.spaces.get(&id)?;
            let bound = Bound { id, cookie: space.cookie };
            let is_older = file.attachment.written.zip(space.found).is_some_and(|(file, space)| file + LATE < space);
            (!is_older && file.may_bind(bound) && self.agrees(&file.attachment, id)).then_some(bound)
        });
        let mut agreeing = agreeing.fuse();
        agreeing.next().filter(|_| agreeing.next().is_none())
    }

    fn candidates(&self, file: &File) -> BTreeSet<NetnsId> {
        let attachment = &file.attachment;
        let place = |id: &NetnsId| self.spaces.get(id).map(|space| &space.place);
        let host = attachment.ends.iter().filter_map(|end| self.traces.by_name.get(end)).flatten();
        let peers = host.filter_map(|id| Some(self.interfaces.get(id)?.peer.as_ref()?.netns.id));
        let mut candidates: BTreeSet<_> = peers.collect();
        if let Some(name) = attachment.netns.as_ref().filter(|name| self.by_name.contains_key(*name)) {
            candidates.retain(|id| place(id).and_then(name_of) == Some(name));
            return candidates;
        }
        let inside = attachment.macs.iter().filter_map(|mac| self.traces.by_mac.get(mac)).flatten();
        candidates.extend(inside.filter_map(|id| Some(self.interfaces.get(id)?.netns.id)));
        candidates.extend(attachment.addresses.iter().flat_map(|address| self.addresses.holders(*address)));
        // The directory of the name is not followed, as in a container without a mount of it: the namespace has no name.
        if attachment.netns.is_some() {
            candidates.retain(|id| place(id).is_some_and(|place| name_of(place).is_none()));
        }
        candidates
    }

    /// Whether all that file and namespace both have agrees, and something does.
    fn agrees(&self, attachment: &Attachment, id: NetnsId) -> bool {
        let Some(space) = self.spaces.get(&id).filter(|space| space.place != Place::Host) else { return false };
        let interfaces: Vec<_> = space.interfaces.iter().filter_map(|one| self.interfaces.get(one)).collect();
        let carries = |one: &&Arc<Interface>| one.mac.is_some_and(|mac| attachment.macs.contains(&mac));
        let mac = interfaces.iter().copied().any(|one| carries(&one) && !has_parents_mac(one));
        if !attachment.macs.is_empty() && !interfaces.iter().any(carries) {
            return false;
        }
        let mut inside = interfaces.iter().flat_map(|one| one.addresses.iter().map(|net| net.addr()));
        let address = inside.clone().any(|address| attachment.addresses.contains(&address));
        if !attachment.addresses.is_empty() && !address && inside.any(is_evidence) {
            return false;
        }
        let range = (id, 0)..=(id, u32::MAX);
        let mut ends =
            self.host_ends.range(range).flat_map(|(_, ends)| ends).filter_map(|end| self.interfaces.get(end));
        let end = ends.clone().any(|end| attachment.ends.contains(&end.name));
        let is_veth = |one: &&Arc<Interface>| one.kind.as_ref().is_some_and(|kind| kind.as_str() == "veth");
        let has_end = ends.next().is_some() || interfaces.iter().any(is_veth);
        if !attachment.ends.is_empty() && !end && has_end {
            return false;
        }
        mac || address || end
    }
}

fn clues_of(one: &Interface) -> impl Iterator<Item = Clue> {
    let host = one.netns.is_host();
    let end = host.then_some(Clue::End(one.name));
    let mac = one.mac.filter(|_| !host).map(Clue::Mac);
    end.into_iter().chain(mac).chain(one.addresses.iter().map(|net| Clue::Address(net.addr())))
}
