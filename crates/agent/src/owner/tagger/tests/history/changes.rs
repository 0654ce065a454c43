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
        let (id, cookie) = (real.netns.id, real.netns.cookie);
        let place = Place::Named(NetnsName::new(format!("debug-{number}")));
        let netns = Arc::new(Netns::new(id, place).with_cookie(cookie));
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

    /// The informer gives the namespace another id; the cookie is the same.
    pub(super) fn lose_name(&mut self, pod: usize) {
        let Some(real) = self.pods.get(pod).filter(|pod| pod.stage <= Stage::Completed) else { return };
        let mut real = real.clone();
        let number = self.tick();
        let cookie = real.netns.cookie;
        let id = NetnsId(100 + number);
        self.namespaces.insert(id, real.uid.clone());
        real.netns = Arc::new(Netns::new(id, real.netns.place.clone()).with_cookie(cookie));
        self.kernel.extend(real.interfaces.iter().cloned().map(|interface| Event::Deleted(interface, None)));
        for interface in &mut real.interfaces {
            let number = self.tick() * 10;
            let changed = Arc::make_mut(interface);
            changed.id = InterfaceId(NonZeroU64::new(number).unwrap());
            if changed.netns.is_host() {
                let peer = changed.peer.as_ref().unwrap();
                changed.peer = Some(Peer::new(real.netns.clone(), peer.ifindex, peer.name).into());
            } else {
                changed.netns = real.netns.clone();
            }
        }
        self.kernel.extend(real.interfaces.iter().cloned().map(Event::Added));
        self.pods[pod] = real;
    }

    /// While the agent is away, pods that nothing but an address names get their addresses back: otherwise the
    /// address alone names whichever namespace has the address next.
    pub(super) fn restore_addresses(&mut self) {
        for pod in 0..self.pods.len() {
            let real = &self.pods[pod];
            if !real.lost.is_empty() && (real.file_time != FileTime::Now || real.altered) {
                self.flap_address(pod);
            }
        }
    }
}
