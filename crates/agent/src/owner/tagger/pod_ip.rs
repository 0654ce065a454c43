//! Pod addresses as evidence: namespaces with an address of a pod's `status.podIPs`.
//!
//! Weaker than the CNI cache: the API server shows an address late and keeps a released address
//! (kubernetes/kubernetes#92697), and a pod with `CAP_NET_ADMIN` can take any address. So a claim to
//! an address is bound to the first namespace decided by the claim, an address in two
//! namespaces is evidence for neither, and a claim of a terminating pod decides nothing new.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use crate::interface::Pod;
use iface_core::NetnsId;

use crate::owner::cni::result::is_evidence;
use crate::owner::pod::{Life, PodRecord, Remembered};

/// Releases without a claim to remember.
const MOST_RELEASED: usize = 4096;

/// Addresses with the namespaces that have them and the pods that claim them.
#[derive(Debug, Default)]
pub(in crate::owner) struct PodIps {
    by_address: BTreeMap<IpAddr, Address>,
    by_pod: BTreeMap<Arc<str>, Box<[IpAddr]>>,
    /// Namespaces by the pods that the CNI cache places there.
    placed: BTreeMap<NetnsId, Vec<Arc<Pod>>>,
    /// Number of namespaces of each placed pod, by uid or, without a uid, by namespace and name.
    places: BTreeMap<Box<str>, usize>,
    /// Placed pods whose namespaces were deleted before the first claim: the claim may concern such a namespace.
    /// Needed only until the claims of the pod come, as claims record the end themselves.
    ended: Remembered,
    /// All releases without a claim, oldest first.
    released_unclaimed: VecDeque<(IpAddr, NetnsId)>,
}

#[derive(Debug, Default)]
struct Address {
    /// Namespaces with the address, and the number of interfaces each.
    holders: BTreeMap<NetnsId, u32>,
    claims: Vec<Claim>,
    /// Namespaces that lost the address before any claim: as many future claims concern no present holder
    /// of the address.
    released_unclaimed: BTreeSet<NetnsId>,
    /// Holders beside which a namespace lost the address before any claim: a first claim can concern either.
    doubtful: BTreeSet<NetnsId>,
}

#[derive(Debug)]
struct Claim {
    pod: Arc<str>,
    created: i64,
    life: Life,
    bound: Bound,
}

/// Namespace of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// Not yet found.
    No,
    /// The namespace.
    To(NetnsId),
    /// A deleted namespace: of this pod, or of a pod unknown then. Ends when the API server states the address
    /// again while another namespace has the address: the pod's sandbox was made again.
    Past,
    /// The namespace from the CNI cache; addresses do not count.
    Placed,
}

/// Evidence of addresses about one namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::owner) struct IpAnswer {
    /// Possible pods: a single pod is the answer, several contradict each other.
    pub(in crate::owner) pods: BTreeSet<Arc<str>>,
    /// Pods that claim an address shared with another namespace.
    pub(in crate::owner) shared: BTreeSet<Arc<str>>,
    /// Claims of live pods against a newer pod, or one as new: address, loser.
    pub(in crate::owner) lost: BTreeSet<(IpAddr, Arc<str>)>,
}

impl PodIps {
    /// Another interface of the namespace has the address.
    pub(in crate::owner) fn hold(&mut self, address: IpAddr, netns: NetnsId) {
        if !is_evidence(address) {
            return;
        }
        let entry = self.by_address.entry(address).or_default();
        *entry.holders.entry(netns).or_default() += 1;
        // The loss was temporary, as in a rename of the interface.
        if entry.released_unclaimed.remove(&netns) {
            self.released_unclaimed.retain(|released| *released != (address, netns));
        }
    }

    /// An interface of the namespace has lost the address; `known` tells whether the namespace's pod is known.
    pub(in crate::owner) fn release(&mut self, address: IpAddr, netns: NetnsId, known: bool) {
        let Some(entry) = self.by_address.get_mut(&address) else { return };
        let Some(interfaces) = entry.holders.get_mut(&netns) else { return };
        *interfaces -= 1;
        if *interfaces > 0 {
            return;
        }
        entry.holders.remove(&netns);
        entry.doubtful.remove(&netns);
        if !known {
            self.ended_unknown(address, netns);
        }
        self.drop_if_unused(address);
    }

    /// Whether a repeated record of the pod can change the evidence.
    pub(in crate::owner) fn awaits(&self, pod: &str) -> bool {
        let addresses = self.by_pod.get(pod).into_iter().flatten();
        let claims = addresses.filter_map(|address| self.by_address.get(address)).flat_map(|entry| &entry.claims);
        claims.filter(|claim| &*claim.pod == pod).any(|claim| claim.bound == Bound::Past) || self.is_doubted(pod)
    }

    /// Whether a claim of the pod waits for a repetition, as holders of the address are doubtful.
    fn is_doubted(&self, pod: &str) -> bool {
        let addresses = self.by_pod.get(pod).into_iter().flatten();
        let doubted =
            addresses.filter_map(|address| self.by_address.get(address)).filter(|one| !one.doubtful.is_empty());
        let mut claims = doubted.flat_map(|entry| &entry.claims);
        claims.any(|claim| &*claim.pod == pod && claim.bound == Bound::No)
    }

    /// Replaces the claims of a pod; unchanged claims stay bound, unless past and repeated by the API server.
    pub(in crate::owner) fn claim(&mut self, record: &PodRecord, repeated: bool) {
        let addresses: Box<[IpAddr]> = record.addresses.iter().copied().filter(|ip| is_evidence(*ip)).collect();
        let before = self.by_pod.get(&record.uid).cloned().unwrap_or_default();
        for gone in before.iter().filter(|address| !addresses.contains(address)) {
            self.unclaim_one(*gone, &record.uid);
        }
        let (placed, ended) = (self.is_placed(&record.named), before.is_empty() && self.has_ended(&record.named));
        for address in &addresses {
            let entry = self.by_address.entry(*address).or_default();
            let mut new = || match entry.released_unclaimed.pop_first() {
                _ if placed => Bound::Placed,
                _ if ended => Bound::Past,
                None => Bound::No,
                Some(netns) => {
                    self.released_unclaimed.retain(|released| *released != (*address, netns));
                    Bound::Past
                }
            };
            if let Some(claim) = entry.claims.iter_mut().find(|claim| claim.pod == record.uid) {
                claim.life = record.life;
                let again = repeated && record.life == Life::Live && !entry.holders.is_empty();
                if claim.bound == Bound::Past && again {
                    claim.bound = new();
                }
                if claim.bound == Bound::No && again {
                    entry.doubtful.clear();
                }
                continue;
            }
            let (pod, bound) = (record.uid.clone(), new());
            entry.claims.push(Claim { pod, created: record.created, life: record.life, bound });
        }
        self.by_pod.insert(record.uid.clone(), addresses);
    }

    /// Drops all claims of a pod.
    pub(in crate::owner) fn unclaim(&mut self, pod: &Arc<str>) {
        for address in self.by_pod.remove(pod).unwrap_or_default() {
            self.unclaim_one(address, pod);
        }
    }

    /// Ignores addresses of this pod until the namespace is deleted; returns whether the place is new.
    pub(in crate::owner) fn place(&mut self, pod: &Arc<Pod>, netns: NetnsId) -> bool {
        let pods = self.placed.entry(netns).or_default();
        if pods.iter().any(|placed| key(placed) == key(pod)) {
            return false;
        }
        pods.push(pod.clone());
        *self.places.entry(key(pod)).or_default() += 1;
        true
    }

    /// A namespace is deleted; returns pods that were placed only there.
    pub(in crate::owner) fn displace(&mut self, netns: NetnsId) -> Vec<Arc<Pod>> {
        let mut pods = self.placed.remove(&netns).unwrap_or_default();
        pods.retain(|pod| {
            let key = key(pod);
            let left = self.places.get(&key).map_or(0, |places| places - 1);
            match left {
                0 => drop(self.places.remove(&key)),
                left => drop(self.places.insert(key, left)),
            }
            left == 0
        });
        pods
    }

    /// Whether the CNI cache places the pod in an existing namespace.
    pub(in crate::owner) fn is_placed(&self, pod: &Pod) -> bool {
        pod.uid.as_deref().is_some_and(|uid| self.places.contains_key(uid)) || self.places.contains_key(&*by_name(pod))
    }

    /// The pod of these claims has been placed.
    pub(in crate::owner) fn bind_placed(&mut self, pod: &str) {
        self.each_claim(pod, |claim| claim.bound = Bound::Placed);
    }

    /// The last namespace of a placed pod was deleted before any claim of the pod.
    pub(in crate::owner) fn ended_unclaimed(&mut self, pod: &Pod) {
        self.ended.insert(&key(pod));
    }

    /// Whether the pod has claims.
    pub(in crate::owner) fn is_claimed(&self, pod: &str) -> bool {
        self.by_pod.get(pod).is_some_and(|addresses| !addresses.is_empty())
    }

    fn has_ended(&self, pod: &Pod) -> bool {
        pod.uid.as_deref().is_some_and(|uid| self.ended.contains(uid)) || self.ended.contains(&by_name(pod))
    }

    /// The namespace of these claims, from the CNI cache or bound by address, was deleted.
    pub(in crate::owner) fn pass(&mut self, pod: &str, netns: NetnsId) {
        self.each_claim(pod, |claim| {
            if claim.bound == Bound::Placed || claim.bound == Bound::To(netns) {
                claim.bound = Bound::Past;
            }
        });
    }

    /// Binds all claims of the pod to the namespace, also for addresses not (yet) in the namespace: a pod has a
    /// single namespace.
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

    /// The namespace of these claims has its name again, under another id.
    pub(in crate::owner) fn rebind(&mut self, pod: &str, netns: NetnsId) {
        self.each_claim(pod, |claim| {
            if claim.bound == Bound::Past {
                claim.bound = Bound::To(netns);
            }
        });
    }

    /// Every namespace with an address claimed by the pod.
    pub(in crate::owner) fn holders_for(&self, pod: &str) -> BTreeSet<NetnsId> {
        let addresses = self.by_pod.get(pod).into_iter().flatten();
        addresses.flat_map(|address| self.holders(*address)).collect()
    }

    /// Every namespace affected by a change of the address's holders; none without a claim.
    pub(in crate::owner) fn concerned(&self, address: IpAddr) -> BTreeSet<NetnsId> {
        let claims = self.by_address.get(&address).into_iter().flat_map(|entry| &entry.claims);
        claims.flat_map(|claim| self.holders_for(&claim.pod)).collect()
    }

    /// Evidence of the addresses of a namespace.
    pub(in crate::owner) fn about<'a>(
        &self,
        netns: NetnsId,
        addresses: impl IntoIterator<Item = &'a IpAddr>,
    ) -> IpAnswer {
        let mut answer = IpAnswer::default();
        for address in addresses {
            let Some(entry) = self.by_address.get(address) else { continue };
            let is_doubtful = entry.doubtful.contains(&netns);
            let claims = entry.claims.iter().filter(|claim| claim.speaks_of(netns));
            let claims = claims.filter(|claim| !is_doubtful || claim.bound != Bound::No);
            let (own, shared): (Vec<_>, Vec<_>) =
                claims.partition(|claim| self.holders_for(&claim.pod).iter().all(|holder| *holder == netns));
            answer.shared.extend(shared.iter().map(|claim| claim.pod.clone()));
            answer.pods.extend(newest(&own).iter().map(|claim| claim.pod.clone()));
            let live: Vec<_> = own.iter().chain(&shared).copied().filter(|claim| claim.life == Life::Live).collect();
            let winner = newest(&live).first().map(|claim| &claim.pod);
            let losers = live.iter().filter(|claim| Some(&claim.pod) != winner);
            answer.lost.extend(losers.map(|claim| (*address, claim.pod.clone())));
        }
        answer
    }

    /// A namespace without a known pod has lost the address. A claim without a namespace may concern the lost
    /// namespace, and so no present holder; or the claim is yet to come.
    fn ended_unknown(&mut self, address: IpAddr, netns: NetnsId) {
        let Some(entry) = self.by_address.get_mut(&address) else { return };
        let open = entry.claims.iter_mut().filter(|claim| claim.bound == Bound::No);
        let spent = open.map(|claim| claim.bound = Bound::Past).count();
        if spent == 1 && entry.holders.is_empty() {
            return;
        }
        entry.doubtful.extend(entry.holders.keys());
        entry.released_unclaimed.insert(netns);
        self.released_unclaimed.push_back((address, netns));
        if self.released_unclaimed.len() > MOST_RELEASED
            && let Some((oldest, netns)) = self.released_unclaimed.pop_front()
            && let Some(entry) = self.by_address.get_mut(&oldest)
        {
            entry.released_unclaimed.remove(&netns);
            self.drop_if_unused(oldest);
        }
    }

    /// The namespaces with an address.
    pub(in crate::owner) fn holders(&self, address: IpAddr) -> impl Iterator<Item = NetnsId> {
        self.by_address.get(&address).into_iter().flat_map(|entry| entry.holders.keys().copied())
    }

    fn unclaim_one(&mut self, address: IpAddr, pod: &str) {
        if let Some(entry) = self.by_address.get_mut(&address) {
            entry.claims.retain(|claim| &*claim.pod != pod);
        }
        self.drop_if_unused(address);
    }

    fn drop_if_unused(&mut self, address: IpAddr) {
        let unused = |entry: &Address| {
            entry.holders.is_empty() && entry.claims.is_empty() && entry.released_unclaimed.is_empty()
        };
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
            Life::Terminated => false,
        }
    }
}

/// The uid or, without a uid, namespace and name.
fn key(pod: &Pod) -> Box<str> {
    pod.uid.as_deref().map_or_else(|| by_name(pod), Into::into)
}

fn by_name(pod: &Pod) -> Box<str> {
    format!("{}/{}", pod.namespace, pod.name).into()
}

/// Winning claims: not terminating before terminating, then the newest.
///
/// Pods created in the same second both win, a contradiction for the caller.
fn newest<'a>(claims: &[&'a Claim]) -> Vec<&'a Claim> {
    let rank = |claim: &Claim| (claim.life == Life::Live, claim.created);
    let best = claims.iter().map(|claim| rank(claim)).max();
    claims.iter().copied().filter(|claim| Some(rank(claim)) == best).collect()
}
