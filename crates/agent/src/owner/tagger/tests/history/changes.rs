//! Changes of a pod's own interfaces: by the pod, or by an administrator of the node.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::interface::{Event, Interface};
use iface_core::{IfName, InterfaceId, Netns, NetnsId, NetnsName, Peer, Place};

use super::FileTime;
use super::made::mac_of;
use super::node::{Node, Real, Stage};

/// Places of `eth0` and its host end among the interfaces of a pod.
const ETH0: usize = 1;
const END: usize = 2;

impl Node {
    fn running(&mut self, pod: usize) -> Option<&mut Real> {
        self.pods.get_mut(pod).filter(|pod| pod.stage <= Stage::Completed)
    }

    /// Changes an interface of a pod, as far as the kernel is concerned.
    fn alter(&mut self, pod: usize, which: usize, change: impl FnOnce(&mut Interface)) {
        let known = &mut self.pods[pod].interfaces[which];
        let before = known.clone();
        change(Arc::make_mut(known));
        let changes = before.changes_to(known);
        if known.netns != before.netns || !changes.is_empty() {
            self.kernel.push_back(Event::Updated(known.clone(), changes));
        }
    }

    /// The addresses go, or come back, as when `ifdown` and `ifup` run inside.
    pub(super) fn flap_address(&mut self, pod: usize) {
        let Some(real) = self.running(pod) else { return };
        let addresses = match &real.interfaces[ETH0].addresses {
            there if there.is_empty() => std::mem::take(&mut real.lost),
            there => {
                real.lost.clone_from(there);
                Box::default()
            }
        };
        self.alter(pod, ETH0, |eth0| eth0.addresses = addresses);
    }

    /// A rename is a deletion and an addition; the host end learns the new name of its peer.
    pub(super) fn rename(&mut self, pod: usize) {
        let (number, Some(real)) = (self.tick(), self.running(pod)) else { return };
        let before = real.interfaces[ETH0].clone();
        let mut now = before.clone();
        let eth0 = Arc::make_mut(&mut now);
        eth0.id = InterfaceId(NonZeroU64::new(number * 10).unwrap());
        eth0.name = IfName::new(format!("wan{}", number % 7)).unwrap();
        let peer = Peer::new(eth0.netns.clone(), eth0.ifindex, eth0.name);
        real.interfaces[ETH0] = now.clone();
        self.kernel.extend([Event::Deleted(before, None), Event::Added(now)]);
        self.alter(pod, END, |end| end.peer = Some(peer.into()));
    }

    pub(super) fn change_mac(&mut self, pod: usize) {
        let (number, Some(real)) = (self.tick(), self.running(pod)) else { return };
        real.altered = true;
        self.alter(pod, ETH0, |eth0| eth0.mac = Some(mac_of(number)));
    }

    /// The namespace gets another name, and the first name goes: the namespace stays the same.
    pub(super) fn second_name(&mut self, pod: usize) {
        let (number, Some(real)) = (self.tick(), self.running(pod)) else { return };
        real.altered = true;
        let place = Place::Named(NetnsName::new(format!("debug-{number}")));
        let mut netns = Netns::clone(&real.netns);
        netns.place = place;
        let netns = Arc::new(netns);
        real.netns = netns.clone();
        for which in 0..real.interfaces.len() {
            self.alter(pod, which, |one| match one.peer.as_deref() {
                Some(peer) if one.netns.is_host() => {
                    one.peer = Some(Peer::new(netns.clone(), peer.ifindex, peer.name).into());
                }
                _ => one.netns = netns.clone(),
            });
        }
    }

    /// The informer gives the namespace another id. Its host end stays, and leads nowhere for a while.
    pub(super) fn lose_name(&mut self, pod: usize) {
        let number = self.tick();
        let Some(real) = self.running(pod) else { return };
        let (before, place) = (real.interfaces.clone(), real.netns.place.clone());
        let inside: Vec<_> = before.iter().filter(|one| !one.netns.is_host()).cloned().collect();
        let lost = inside.iter().cloned().map(|interface| Event::Deleted(interface, None));
        self.kernel.extend(lost);
        self.alter(pod, END, |end| end.peer = None);
        // The engine may follow the namespace by its nsid, and learns inode and cookie with the name.
        let nameless = number.is_multiple_of(3);
        if nameless {
            self.move_to(pod, Arc::new(Netns::new(NetnsId(100 + number), Place::Nsid(number as i32))));
        }
        let mut named = Netns::clone(&before[ETH0].netns);
        (named.id, named.place) = (NetnsId(100 + number), place);
        self.move_to(pod, Arc::new(named));
    }

    /// The interfaces inside get the namespace, and the host end leads to it.
    fn move_to(&mut self, pod: usize, netns: Arc<Netns>) {
        let is_known = self.namespaces.insert(netns.id, self.pods[pod].uid.clone()).is_some();
        self.pods[pod].netns = netns.clone();
        for which in 0..self.pods[pod].interfaces.len() {
            let number = self.tick() * 10;
            let one = &mut self.pods[pod].interfaces[which];
            if one.netns.is_host() {
                continue;
            }
            let before = one.clone();
            let now = Arc::make_mut(one);
            (now.id, now.netns) = (InterfaceId(NonZeroU64::new(number).unwrap()), netns.clone());
            let now = one.clone();
            self.kernel.extend(is_known.then_some(Event::Deleted(before, None)));
            self.kernel.push_back(Event::Added(now));
        }
        let eth0 = &self.pods[pod].interfaces[ETH0];
        let peer = Peer::new(netns, eth0.ifindex, eth0.name);
        self.alter(pod, END, |end| end.peer = Some(peer.into()));
    }

    /// While the agent is away, pods that nothing but an address names get their addresses back: otherwise the
    /// address alone names whichever namespace has the address next. A result without a namespace does not prove the
    /// pod of a thief, which has another address than the result.
    pub(super) fn restore_addresses(&mut self) {
        for pod in 0..self.pods.len() {
            let real = &self.pods[pod];
            if !real.lost.is_empty() && (real.file_time != FileTime::Now || real.altered || real.stolen) {
                self.flap_address(pod);
            }
        }
    }
}
