//! Containers of namespaces without a pod.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use iface_core::{NetnsId, Place};

use super::{Space, Tagger};
use crate::interface::{ContainerOwner, End, Interface, Owner};
use crate::owner::container::claims::{Claimed, Key};
use crate::owner::container::record::{Link, Record, Sandbox};
use crate::owner::container::user_netns::UserNetns;

impl Tagger {
    /// Applies the record of a container.
    pub fn container(&mut self, path: &Arc<Path>, record: Record) {
        self.file_gone(path);
        let touched = self.containers.insert(path, record);
        self.claims_changed(&touched);
    }

    /// Applies the record of a pod's sandbox or container: evidence like a CNI result without interfaces.
    pub fn sandbox(&mut self, path: &Arc<Path>, sandbox: Sandbox) {
        let touched = self.containers.remove(path);
        self.claims_changed(&touched);
        self.file(path, sandbox.into());
    }

    /// Applies the end of a record about a container or pod.
    pub fn container_gone(&mut self, path: &Path) {
        self.file_gone(path);
        let touched = self.containers.remove(path);
        self.claims_changed(&touched);
    }

    /// Claims of users to the namespace of an interface, if the namespace is new.
    pub(in crate::owner) fn users_at(&self, interface: &Interface) -> Vec<(Arc<Path>, UserNetns)> {
        if self.spaces.contains_key(&interface.netns.id) {
            return Vec::new();
        }
        interface.netns.file.map(|file| self.containers.of_users(file)).unwrap_or_default()
    }

    fn claims_changed(&mut self, touched: &BTreeSet<Key>) {
        let concerned: BTreeSet<NetnsId> = touched.iter().flat_map(|key| self.claimed_by(key)).collect();
        concerned.into_iter().for_each(|id| self.refresh(id));
    }

    fn claimed_by(&self, key: &Key) -> BTreeSet<NetnsId> {
        match key {
            Key::Name(name) => self.named(std::slice::from_ref(name)),
            Key::HostEnd(ifindex) => {
                let hosts = self.spaces.iter().filter(|(_, space)| space.place == Place::Host);
                let ends = hosts.filter_map(|(id, _)| self.by_index.get(&(*id, *ifindex)));
                let peers = ends.filter_map(|end| Some(self.interfaces.get(end)?.peer.as_ref()?.netns.id));
                peers.collect()
            }
            Key::Space(space) => {
                let inside = |space: &Space| space.interfaces.first().and_then(|one| self.interfaces.get(one));
                let at = self
                    .spaces
                    .iter()
                    .filter(|(_, there)| inside(there).is_some_and(|one| one.netns.file == Some(*space)));
                at.map(|(id, _)| *id).collect()
            }
            Key::Link(Link::End(name)) => self.behind(*name),
            Key::Link(Link::Mac(mac)) => self.with_mac(*mac),
        }
    }

    /// Emits the namespaces that a record may name by a new, changed or deleted interface.
    pub(super) fn refresh_claimed(&mut self, before: Option<&Interface>, now: Option<&Interface>) {
        if self.containers.is_empty() {
            return;
        }
        let keys: BTreeSet<Key> = [before, now].into_iter().flatten().flat_map(Key::of).collect();
        let claimed: BTreeSet<Key> = keys.into_iter().filter(|key| self.containers.of(key).is_some()).collect();
        self.claims_changed(&claimed);
    }

    /// The owner of an interface in, or leading to, a namespace without a pod.
    pub(super) fn container_owner(&self, id: NetnsId, inside: Option<&Interface>, end: End) -> Option<Owner> {
        let claimed = self.claimed(id)?;
        let network = claimed.network(inside.and_then(|inside| inside.mac));
        Some(Owner::Container(ContainerOwner { container: claimed.container.clone(), network, end }))
    }

    fn claimed(&self, id: NetnsId) -> Option<&Claimed> {
        if self.containers.is_empty() {
            return None;
        }
        let by_name = match &self.spaces.get(&id)?.place {
            Place::Host => return None,
            Place::Named(name) => self.containers.of(&Key::Name(name.clone())),
            _ => None,
        };
        by_name.or_else(|| {
            let ends = self.host_ends.range((id, 0)..=(id, u32::MAX)).flat_map(|(_, ends)| ends);
            let inside = self.spaces.get(&id).into_iter().flat_map(|space| &space.interfaces);
            let keys = ends.chain(inside).filter_map(|one| self.interfaces.get(one)).flat_map(|one| Key::of(one));
            let mut claimed = keys.filter(|key| self.is_only_place(key, id)).filter_map(|key| self.containers.of(&key));
            let first = claimed.next()?;
            // The links of two containers in one namespace are nobody's.
            claimed.all(|other| other.container == first.container).then_some(first)
        })
    }

    /// Whether a key leads to this namespace alone.
    fn is_only_place(&self, key: &Key, id: NetnsId) -> bool {
        match key {
            Key::Link(Link::Mac(mac)) => self.with_mac(*mac).iter().eq([&id]),
            Key::Link(Link::End(_)) | Key::HostEnd(_) | Key::Space(_) | Key::Name(_) => true,
        }
    }
}
