//! Pod addresses as evidence: which pod's `status.podIPs` a namespace has.
//!
//! Weaker than the CNI cache: the API server shows an address late and keeps showing it after another
//! pod has it (kubernetes/kubernetes#92697), and a pod with `CAP_NET_ADMIN` can take any address.
//! So a claim to an address is bound to the first namespace that it tagged, one address in two
//! namespaces is evidence for neither, and a claim of a pod that is ending tags nothing new.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use crate::interface::Pod;
use iface_core::NetnsId;

use crate::owner::cni::result::is_evidence;
use crate::owner::pod::{Life, PodRecord, Remembered};

/// How many ghosts are remembered.
const GHOSTS: usize = 4096;

/// Which namespaces have which addresses, and which pods claim them.
#[derive(Debug, Default)]
pub(in crate::owner) struct PodIps {
    by_address: BTreeMap<IpAddr, Address>,
    by_pod: BTreeMap<Arc<str>, Box<[IpAddr]>>,
    /// Pods that the CNI cache has placed, by uid or, where it names none, by namespace and name: the
    /// API server may go on showing addresses of theirs that another pod has by now. Needed only until
    /// their claims come, which then know it themselves.
    placed: Remembered,
    /// All ghosts, oldest first.
    haunted: VecDeque<(IpAddr, NetnsId)>,
}

#[derive(Debug, Default)]
struct Address {
    /// Namespaces that have it, with how many interfaces each.
    holders: BTreeMap<NetnsId, u32>,
    claims: Vec<Claim>,
    /// Namespaces that had it and lost it before anybody claimed it: so many claims are yet to come that
    /// are about none that has it now.
    ghosts: BTreeSet<NetnsId>,
}

#[derive(Debug)]
struct Claim {
    pod: Arc<str>,
    created: i64,
    life: Life,
    bound: Bound,
}

/// Which namespace a claim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// None has been found.
    No,
    /// This one.
    To(NetnsId),
    /// One that nobody knew the pod of while it lived.
    Ghost,
    /// The one where the CNI cache has placed the pod, which needs no address.
    Placed,
}

/// What the addresses say of one namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::owner) struct IpAnswer {
    /// The pods that it may belong to: one is an answer, several contradict each other.
    pub(in crate::owner) pods: BTreeSet<Arc<str>>,
    /// Pods that claim an address of it which another namespace has as well.
    pub(in crate::owner) shared: BTreeSet<Arc<str>>,
    /// Claims that lost against a newer pod's: address, loser.
    pub(in crate::owner) lost: BTreeSet<(IpAddr, Arc<str>)>,
}

impl PodIps {
    /// One more interface of the namespace has the address.
    pub(in crate::owner) fn hold(&mut self, address: IpAddr, netns: NetnsId) {
        if !is_evidence(address) {
            return;
        }
        let entry = self.by_address.entry(address).or_default();
        *entry.holders.entry(netns).or_default() += 1;
        // It had lost it only for a while, as with an interface that is renamed.
        if entry.ghosts.remove(&netns) {
            self.haunted.retain(|ghost| *ghost != (address, netns));
        }
    }

    /// One interface of the namespace less has the address; `known` is whether the namespace's pod was found.
    pub(in crate::owner) fn release(&mut self, address: IpAddr, netns: NetnsId, known: bool) {
        let Some(entry) = self.by_address.get_mut(&address) else { return };
        let Some(interfaces) = entry.holders.get_mut(&netns) else { return };
        *interfaces -= 1;
        if *interfaces > 0 {
            return;
        }
        entry.holders.remove(&netns);
        if !known {
            self.ended_unknown(address, netns);
        }
        self.drop_if_unused(address);
    }

    /// Replaces what a pod claims; a claim it keeps stays bound.
    pub(in crate::owner) fn claim(&mut self, record: &PodRecord) {
        let addresses: Box<[IpAddr]> = record.addresses.iter().copied().filter(|ip| is_evidence(*ip)).collect();
        let before = self.by_pod.get(&record.uid).cloned().unwrap_or_default();
        for gone in before.iter().filter(|address| !addresses.contains(address)) {
            self.unclaim_one(*gone, &record.uid);
        }
        let placed = self.is_placed(&record.named);
        for address in &addresses {
            let entry = self.by_address.entry(*address).or_default();
            if let Some(claim) = entry.claims.iter_mut().find(|claim| claim.pod == record.uid) {
                claim.life = record.life;
                continue;
            }
            let bound = if placed {
                Bound::Placed
            } else if let Some(ghost) = entry.ghosts.pop_first() {
                self.haunted.retain(|haunted| *haunted != (*address, ghost));
                Bound::Ghost
            } else {
                Bound::No
            };
            let pod = record.uid.clone();
            entry.claims.push(Claim { pod, created: record.created, life: record.life, bound });
        }
        self.by_pod.insert(record.uid.clone(), addresses);
    }

    /// Drops all that a pod claims.
    pub(in crate::owner) fn unclaim(&mut self, pod: &Arc<str>) {
        for address in self.by_pod.remove(pod).unwrap_or_default() {
            self.unclaim_one(address, pod);
        }
    }

    /// From now on addresses say nothing of this pod; whether that is new.
    pub(in crate::owner) fn place(&mut self, pod: &Pod) -> bool {
        match &pod.uid {
            Some(uid) => self.placed.insert(uid),
            None => self.placed.insert(&by_name(pod)),
        }
    }

    /// Whether the CNI cache has placed the pod, as far as is remembered.
    pub(in crate::owner) fn is_placed(&self, pod: &Pod) -> bool {
        pod.uid.as_deref().is_some_and(|uid| self.placed.contains(uid)) || self.placed.contains(&by_name(pod))
    }

    /// The pod of these claims has been placed.
    pub(in crate::owner) fn bind_placed(&mut self, pod: &str) {
        self.each_claim(pod, |claim| claim.bound = Bound::Placed);
    }

    /// From now on the pod's claims speak of no other namespace, those to addresses that it has not (yet) included: a
    /// pod has one.
    pub(in crate::owner) fn bind(&mut self, pod: &str, netns: NetnsId) {
        self.each_claim(pod, |claim| {
            if claim.bound == Bound::No {
                claim.bound = Bound::To(netns);
            }
        });
    }

    fn each_claim(&mut self, pod: &str, mut write: impl FnMut(&mut Claim)) {
        for address in self.by_pod.get(pod).into_iter().flatten() {
            let claims = self.by_address.get_mut(address).into_iter().flat_map(|entry| &mut entry.claims);
            claims.filter(|claim| &*claim.pod == pod).for_each(&mut write);
        }
    }

    /// Every namespace that has an address this pod claims.
    pub(in crate::owner) fn holders_for(&self, pod: &str) -> BTreeSet<NetnsId> {
        let addresses = self.by_pod.get(pod).into_iter().flatten();
        addresses.flat_map(|address| self.holders(*address)).collect()
    }

    /// Every namespace whose answer can change when the address comes or goes somewhere; none when no pod claims it.
    pub(in crate::owner) fn concerned(&self, address: IpAddr) -> BTreeSet<NetnsId> {
        let claims = self.by_address.get(&address).into_iter().flat_map(|entry| &entry.claims);
        claims.flat_map(|claim| self.holders_for(&claim.pod)).collect()
    }

    /// What the addresses of a namespace say.
    pub(in crate::owner) fn about<'a>(
        &self,
        netns: NetnsId,
        addresses: impl IntoIterator<Item = &'a IpAddr>,
    ) -> IpAnswer {
        let mut answer = IpAnswer::default();
        for address in addresses {
            let Some(entry) = self.by_address.get(address) else { continue };
            let mut claims: Vec<&Claim> = Vec::new();
            for claim in entry.claims.iter().filter(|claim| claim.speaks_of(netns)) {
                if self.holders_for(&claim.pod).iter().all(|holder| *holder == netns) {
                    claims.push(claim);
                } else {
                    answer.shared.insert(claim.pod.clone());
                }
            }
            let (winners, losers) = newest(claims);
            answer.pods.extend(winners.iter().map(|claim| claim.pod.clone()));
            answer.lost.extend(losers.iter().map(|claim| (*address, claim.pod.clone())));
        }
        answer
    }

    /// A namespace has the address no more and nobody knew its pod. A claim that found no namespace
    /// may be about that one, and so about none that has it; or its claim is yet to come.
    fn ended_unknown(&mut self, address: IpAddr, netns: NetnsId) {
        let Some(entry) = self.by_address.get_mut(&address) else { return };
        let open = entry.claims.iter_mut().filter(|claim| claim.bound == Bound::No);
        let spent = open.map(|claim| claim.bound = Bound::Ghost).count();
        if spent == 1 && entry.holders.is_empty() {
            return;
        }
        entry.ghosts.insert(netns);
        self.haunted.push_back((address, netns));
        if self.haunted.len() > GHOSTS
            && let Some((oldest, ghost)) = self.haunted.pop_front()
            && let Some(entry) = self.by_address.get_mut(&oldest)
        {
            entry.ghosts.remove(&ghost);
            self.drop_if_unused(oldest);
        }
    }

    fn holders(&self, address: IpAddr) -> impl Iterator<Item = NetnsId> {
        self.by_address.get(&address).into_iter().flat_map(|entry| entry.holders.keys().copied())
    }

    fn unclaim_one(&mut self, address: IpAddr, pod: &str) {
        if let Some(entry) = self.by_address.get_mut(&address) {
            entry.claims.retain(|claim| &*claim.pod != pod);
        }
        self.drop_if_unused(address);
    }

    fn drop_if_unused(&mut self, address: IpAddr) {
        let unused = |entry: &Address| entry.holders.is_empty() && entry.claims.is_empty() && entry.ghosts.is_empty();
        if self.by_address.get(&address).is_some_and(unused) {
            self.by_address.remove(&address);
        }
    }
}

impl Claim {
    fn speaks_of(&self, netns: NetnsId) -> bool {
        match self.life {
            Life::Live => self.bound == Bound::No || self.bound == Bound::To(netns),
            Life::Terminating => self.bound == Bound::To(netns),
            Life::Over => false,
        }
    }
}

fn by_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

/// The claims that win, and those that lose: not terminating before terminating, then the newest.
///
/// Pods created in the same second both win, which the caller sees as a contradiction.
fn newest(claims: Vec<&Claim>) -> (Vec<&Claim>, Vec<&Claim>) {
    let rank = |claim: &Claim| (claim.life == Life::Live, claim.created);
    let best = claims.iter().map(|claim| rank(claim)).max();
    claims.into_iter().partition(|claim| Some(rank(claim)) == best)
}
