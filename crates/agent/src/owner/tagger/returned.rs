//! Namespaces whose names go and come back: another namespace to the informer, but the same to the pod.
//!
//! The cookie proves that both are one. Before Linux 6.18, a host end does: a veth ends with the namespace of either
//! end, so a host end that outlasts the names and leads to the same link in a namespace with the same inode leads to
//! the same namespace. A namespace without cookie and host end (macvlan, SR-IOV) has no such proof, as name, inode,
//! ifindex and link-layer address can all be the next namespace's.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::SystemTime;

use crate::interface::{Interface, Source};
use iface_core::{InterfaceId, Netns, NetnsId, NsFile, Place};

use super::{Space, Tagger};
use crate::owner::cni::attachments::Bound;
use crate::owner::pod::PodName;
use crate::owner::tagger::decision::Decision;

/// Number of remembered namespaces.
const LEFT: usize = 512;

/// Namespaces of pods that have left.
#[derive(Debug, Default)]
pub(super) struct Returned {
    /// The oldest id is the least.
    left: BTreeMap<NetnsId, Left>,
    /// The last link to which each host end has led, and the namespace of the link.
    led: BTreeMap<InterfaceId, (NetnsId, u32)>,
}

/// A namespace that has left.
#[derive(Debug)]
struct Left {
    cookie: Option<NonZeroU64>,
    file: Option<NsFile>,
    found: Option<SystemTime>,
    decision: Decision,
}

impl Returned {
    /// Remembers a namespace that leaves with the pod.
    pub(super) fn leave(&mut self, id: NetnsId, space: &Space, decision: Decision) {
        self.left.insert(id, Left { cookie: space.cookie, file: space.file, found: space.found, decision });
        if self.left.len() > LEFT {
            self.left.pop_first();
        }
    }

    /// Forgets a host end.
    pub(super) fn forget(&mut self, end: InterfaceId) {
        self.led.remove(&end);
    }

    /// Records the link to which a host end leads; returns the namespace to which the host end has led, if the
    /// namespace has left since and is the same.
    fn lead(&mut self, end: InterfaceId, id: NetnsId, ifindex: u32, file: Option<NsFile>) -> Option<NetnsId> {
        let before = self.led.get(&end).copied();
        let left = before.and_then(|(earlier, _)| Some((earlier, self.left.get(&earlier)?)));
        // A namespace that is followed without a name gets its file with the name.
        if file.is_some() || left.is_none() {
            self.led.insert(end, (id, ifindex));
        }
        let (earlier, left) = left?;
        let is_same = file.is_some() && file == left.file && before == Some((earlier, ifindex));
        is_same.then_some(earlier)
    }
}

impl Tagger {
    /// Gives a namespace the pod that it had under an earlier id; returns the namespaces to decide again.
    pub(super) fn recognize(&mut self, id: NetnsId) -> BTreeSet<NetnsId> {
        let Some(space) = self.spaces.get(&id) else { return BTreeSet::new() };
        let (cookie, file) = (space.cookie, space.file);
        let by_cookie = cookie.and_then(|cookie| {
            let mut left = self.returned.left.iter();
            left.find(|(_, left)| left.cookie == Some(cookie)).map(|(id, _)| *id)
        });
        let ends = self.host_ends.range((id, 0)..=(id, u32::MAX));
        let ends: Vec<_> = ends.flat_map(|((_, ifindex), ends)| ends.iter().map(|end| (*end, *ifindex))).collect();
        let by_end: Vec<_> =
            ends.into_iter().filter_map(|(end, ifindex)| self.returned.lead(end, id, ifindex, file)).collect();
        // Different cookies are different namespaces.
        let by_end = by_end.first().copied().filter(|_| cookie.is_none());
        match by_cookie.or(by_end).filter(|earlier| *earlier != id) {
            Some(earlier) => self.give_back(id, earlier),
            None => BTreeSet::new(),
        }
    }

    fn give_back(&mut self, id: NetnsId, earlier: NetnsId) -> BTreeSet<NetnsId> {
        let mut concerned = BTreeSet::new();
        let Some(space) = self.spaces.get_mut(&id).filter(|space| space.known.is_none()) else { return concerned };
        let Some(Left { found, decision, .. }) = self.returned.left.remove(&earlier) else { return concerned };
        // The files of the pod are older than the return.
        space.found = found;
        space.known = Some(decision.clone());
        let name = match &space.place {
            Place::Named(name) => Some(name),
            _ => None,
        };
        self.files.rebind(earlier, Bound { id, cookie: space.cookie }, name);
        self.tagged.entry(PodName::from(decision.pod.as_ref())).or_default().insert(id);
        concerned.insert(id);
        match decision.source {
            Source::CniCache | Source::RuntimeRecord => concerned.extend(self.place(&decision.named, id)),
            Source::PodIp | Source::Process => decision.pod.uid.iter().for_each(|uid| self.addresses.rebind(uid, id)),
        }
        concerned
    }

    /// A namespace that was followed without a name has got a name, and with the name its file and cookie.
    pub(super) fn identify(&mut self, netns: &Netns) -> BTreeSet<NetnsId> {
        let Some(space) = self.spaces.get_mut(&netns.id) else { return BTreeSet::new() };
        if (space.file, space.cookie) == (netns.file, netns.cookie) {
            return BTreeSet::new();
        }
        (space.file, space.cookie) = (netns.file.or(space.file), netns.cookie.or(space.cookie));
        self.recognize(netns.id)
    }

    /// A new or changed host end may lead to a namespace that it has led to before.
    pub(super) fn recognize_by(&mut self, before: Option<&Interface>, now: &Interface) -> BTreeSet<NetnsId> {
        let far = |one: &Interface| one.peer.as_ref().map(|peer| (peer.netns.id, peer.ifindex));
        match far(now).filter(|_| now.netns.is_host() && before.and_then(far) != far(now)) {
            Some((id, _)) => self.recognize(id),
            None => BTreeSet::new(),
        }
    }
}
