//! Known links of every namespace, and the events that lead from one state to the next.

mod account;
mod addresses;
mod pairs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::SystemTime;

use iface_core::{
    Coalesce, Counters, Event, Extras, Interface, InterfaceId, Lower, Netns, NetnsId, NsFile, Parent, Place,
};

pub(crate) use self::account::Counted;
use self::account::{Account, Departing, Moved};
use self::addresses::{Addresses, nets};
use self::pairs::peer_key;
use crate::engine::learned::Finding;
use crate::netlink::dump::{Change, DumpedLink, Listing};
use crate::netlink::message::{Address, GoneLink, Link, Pair};
use crate::{Reading, Tallies};

/// Every interface of every namespace that is followed, as far as has been heard. Pure: changes
/// in, events out.
///
/// Events are staged, and leave together once peers have been found, so that an interface that
/// appears with its peer is `Added` with it.
#[derive(Debug)]
pub(crate) struct State {
    namespaces: BTreeMap<NetnsId, Namespace>,
    host: NetnsId,
    nsids: BTreeMap<i32, NetnsId>,
    /// Links with this link as their certain peer.
    claims: BTreeMap<LinkId, Vec<LinkId>>,
    staged: Coalesce,
    /// Ends with possibly changed pairs since the last events.
    unsettled: Vec<LinkId>,
    /// Links with changed addresses since the last events: a link may have thousands of addresses, and
    /// as many notifications of one turn make one event.
    readdressed: Vec<LinkId>,
    /// Ends to ask the kernel for again: announced before their peer existed, or contradicted.
    doubtful: Vec<LinkId>,
    /// Ends that named an unknown link: doubtful, unless the other end appears in the same turn.
    suspects: Vec<LinkId>,
    /// Deleted ends that wait for the last message of their peer.
    departing: Vec<Departing>,
    /// Links that left a namespace and have not arrived in another one.
    moved: VecDeque<Moved>,
    last_id: u64,
    interfaces: usize,
    /// The physical function of a PCI device that is a virtual one: not in any message of rtnetlink.
    pub(crate) physical_function: fn(&str) -> Option<Box<str>>,
    /// Time of present changes.
    pub(crate) now: SystemTime,
    /// Counts of repaired losses.
    pub(crate) tallies: Tallies,
}

/// A link of a namespace.
pub(crate) type LinkId = (NetnsId, u32);

#[derive(Debug)]
struct Namespace {
    netns: Arc<Netns>,
    links: BTreeMap<u32, Known>,
}

#[derive(Debug)]
struct Known {
    interface: Arc<Interface>,
    /// Sorted, without duplicates: `interface.addresses` with their peers.
    addresses: Vec<Address>,
    carrier_changes: u32,
    pair: Option<Pair>,
    account: Account,
}

impl State {
    /// A state with the host's namespace only, without links.
    pub(crate) fn new(host: NetnsId) -> Self {
        let mut state = Self {
            namespaces: BTreeMap::new(),
            host,
            nsids: BTreeMap::new(),
            claims: BTreeMap::new(),
            staged: Coalesce::default(),
            unsettled: Vec::new(),
            readdressed: Vec::new(),
            doubtful: Vec::new(),
            suspects: Vec::new(),
            departing: Vec::new(),
            moved: VecDeque::new(),
            last_id: 0,
            interfaces: 0,
            physical_function: |_| None,
            now: SystemTime::now(),
            tallies: Tallies::default(),
        };
        state.open(Netns::new(host, Place::Host));
        state
    }

    pub(crate) fn host(&self) -> NetnsId {
        self.host
    }

    /// Numbers of known namespaces and interfaces.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.namespaces.len(), self.interfaces)
    }

    pub(crate) fn namespaces(&self) -> impl Iterator<Item = NetnsId> {
        self.namespaces.keys().copied()
    }

    pub(crate) fn place(&self, id: NetnsId) -> Option<&Place> {
        self.namespaces.get(&id).map(|namespace| &namespace.netns.place)
    }

    /// The nsfs file of a namespace, where known.
    pub(crate) fn file(&self, id: NetnsId) -> Option<NsFile> {
        self.namespaces.get(&id)?.netns.file
    }

    /// Adds a namespace, or renames a namespace.
    pub(crate) fn open(&mut self, netns: Netns) {
        let (id, netns) = (netns.id, Arc::new(netns));
        let Some(namespace) = self.namespaces.get_mut(&id) else {
            self.namespaces.insert(id, Namespace { netns, links: BTreeMap::new() });
            return;
        };
        if namespace.netns == netns {
            return;
        }
        namespace.netns = netns.clone();
        let ifindexes: Vec<u32> = namespace.links.keys().copied().collect();
        for ifindex in ifindexes {
            self.rekey(id, ifindex, |interface| interface.netns = netns.clone());
        }
    }

    /// Removes a namespace with its interfaces: the kernel announces no deletion of the interfaces.
    pub(crate) fn close(&mut self, id: NetnsId) {
        let Some(namespace) = self.namespaces.remove(&id) else { return };
        self.nsids.retain(|_, of| *of != id);
        for (ifindex, known) in namespace.links {
            self.deleted((id, ifindex), known, &GoneLink::unannounced(ifindex));
        }
        self.doubt_claims((id, 0)..=(id, u32::MAX));
        self.release(|interface| interface.netns.id == id);
    }

    /// Applies a finding of an engine.
    pub(crate) fn learn(&mut self, finding: Finding) {
        match finding {
            Finding::Change(id, change) => self.apply(id, change),
            Finding::Listing(id, listing) => self.list(id, listing),
            Finding::Nsid(id, nsid) => _ = self.nsids.insert(nsid, id),
            Finding::Reply(id, link) => self.complete_pair(id, &link),
            Finding::Peer { link, nsid, netns } => self.place_pair(link, nsid, netns),
            Finding::NoPeer((id, ifindex)) => self.doubt_unplaced(id, ifindex),
            Finding::Counters((id, ifindex), counters) => _ = self.reading(id, ifindex, counters),
        }
    }

    /// Applies a listing of a namespace. Links outside an incomplete listing stay unchanged, and the
    /// addresses of its links are added only.
    fn list(&mut self, id: NetnsId, Listing { is_complete, deleted, links }: Listing) {
        self.leave(id, &deleted);
        if is_complete {
            self.leave_unlisted(id, &links);
        }
        for DumpedLink { link, addresses, removed } in links {
            if is_complete {
                self.put(id, &link, Addresses::All(addresses));
            } else {
                self.put(id, &link, Addresses::Some);
                addresses.into_iter().for_each(|address| self.set_address(id, address, true));
                removed.into_iter().for_each(|address| self.set_address(id, address, false));
            }
        }
    }

    /// Removes links that a complete listing leaves out.
    fn leave_unlisted(&mut self, id: NetnsId, listed: &[DumpedLink]) {
        let Some(namespace) = self.namespaces.get(&id) else { return };
        let is_listed = |ifindex: u32| listed.binary_search_by_key(&ifindex, |listed| listed.link.ifindex).is_ok();
        let unseen = namespace.links.keys().copied().filter(|ifindex| !is_listed(*ifindex));
        let unseen: Vec<GoneLink> = unseen.map(GoneLink::unannounced).collect();
        self.leave(id, &unseen);
    }

    /// Removes links that a dump shows as gone.
    fn leave(&mut self, id: NetnsId, gone: &[GoneLink]) {
        for gone in gone {
            // Moved or deleted: the dump does not tell.
            self.doubt_peer((id, gone.ifindex));
            self.remove(id, gone);
        }
    }

    /// Applies one change.
    fn apply(&mut self, id: NetnsId, change: Change) {
        match change {
            Change::Link(link) => self.put(id, &link, Addresses::Unchanged),
            Change::NoLink(gone) => {
                if gone.moved_to.is_some() {
                    self.doubt_peer((id, gone.ifindex));
                }
                self.remove(id, &gone);
            }
            Change::Address(address) => self.set_address(id, address, true),
            Change::NoAddress(address) => self.set_address(id, address, false),
        }
    }

    /// Every interface of a namespace.
    pub(crate) fn links(&self, id: NetnsId) -> impl Iterator<Item = &Interface> {
        let links = self.namespaces.get(&id).map(|namespace| &namespace.links);
        links.into_iter().flatten().map(|(_, known)| &*known.interface)
    }

    /// Every interface of a namespace with ifindex and identity, for reading counters.
    pub(crate) fn ids(&self, id: NetnsId) -> impl Iterator<Item = (u32, InterfaceId)> {
        self.links(id).map(|interface| (interface.ifindex, interface.id))
    }

    /// The counters of a link as a reading of the interface it is now; carrier changes that the
    /// message does not carry are filled in from the last event.
    pub(crate) fn reading(&mut self, id: NetnsId, ifindex: u32, counters: Counters) -> Option<Reading> {
        let known = self.known_mut((id, ifindex))?;
        let carrier_changes = counters.carrier_changes.max(known.carrier_changes);
        let counters = counters.with_carrier_changes(carrier_changes);
        known.account.read(&known.interface, counters);
        Some(Reading::new(known.interface.id, counters).with_base(known.account.base))
    }

    /// Stages `Synced`.
    pub(crate) fn synced(&mut self) {
        self.stage_changes();
        self.staged.push(Event::Synced);
    }

    /// Finds peers and addresses, then returns the events since the last call.
    pub(crate) fn take_events(&mut self) -> Coalesce {
        self.stage_changes();
        std::mem::take(&mut self.staged)
    }

    fn stage_changes(&mut self) {
        self.readdress();
        self.settle();
    }

    /// The lower interface of a link, as far as known.
    pub(crate) fn lower(&self, id: NetnsId, ifindex: u32) -> Option<Lower> {
        self.known((id, ifindex))?.interface.lower()
    }

    fn known(&self, (id, ifindex): LinkId) -> Option<&Known> {
        self.namespaces.get(&id)?.links.get(&ifindex)
    }

    fn known_mut(&mut self, (id, ifindex): LinkId) -> Option<&mut Known> {
        self.namespaces.get_mut(&id)?.links.get_mut(&ifindex)
    }

    fn next_id(&mut self) -> InterfaceId {
        self.last_id += 1;
        // Counts up from one; 2^64 interfaces are never reached.
        InterfaceId(NonZeroU64::new(self.last_id).unwrap_or(NonZeroU64::MIN))
    }

    fn put(&mut self, id: NetnsId, link: &Link, addresses: Addresses) {
        let key = (id, link.ifindex);
        // The kind of a link never changes: another kind is another link under a reused ifindex.
        if self.known(key).is_some_and(|known| known.interface.kind != link.kind) {
            self.doubt_peer(key);
            self.remove(id, &GoneLink::unannounced(link.ifindex));
        }
        let function = self.physical_function;
        let Some(known) = self.known_mut(key) else {
            let base = self.arrival(link, !matches!(addresses, Addresses::Unchanged));
            self.release(|old| old.netns.id == id && (old.ifindex == link.ifindex || old.name == link.name));
            self.add(id, link, addresses.all().unwrap_or_default(), base);
            return;
        };
        known.carrier_changes = link.carrier_changes;
        let addresses = addresses.all();
        let nets = addresses.as_deref().map(nets);
        known.addresses = addresses.unwrap_or_else(|| std::mem::take(&mut known.addresses));
        let parent = with_function(link, known.interface.parent(), function);
        let write = |interface: &mut Interface| {
            describe(interface, link, parent);
            if let Some(nets) = nets {
                interface.addresses = nets;
            }
        };
        if known.interface.name == link.name {
            self.update(key, write)
        } else {
            self.release(|old| old.netns.id == id && old.name == link.name);
            self.rekey(id, link.ifindex, write)
        }
        self.set_pair(key, link.pair);
    }

    fn add(&mut self, id: NetnsId, link: &Link, addresses: Vec<Address>, base: Option<Counters>) {
        let interface_id = self.next_id();
        let since = self.now;
        let parent = with_function(link, None, self.physical_function);
        let Some(namespace) = self.namespaces.get_mut(&id) else { return };
        let mut interface = Interface::new(interface_id, namespace.netns.clone(), link.ifindex, link.name);
        interface.addresses = nets(&addresses);
        interface.since = since;
        describe(&mut interface, link, parent);
        let interface = Arc::new(interface);
        let (account, carrier_changes) = (Account::with_base(base), link.carrier_changes);
        let known = Known { interface: interface.clone(), addresses, carrier_changes, pair: None, account };
        namespace.links.insert(link.ifindex, known);
        self.interfaces += 1;
        self.staged.push(Event::Added(interface));
        self.set_pair((id, link.ifindex), link.pair);
        if link.is_half_a_pair() {
            self.doubtful.push((id, link.ifindex));
        }
    }

    fn remove(&mut self, id: NetnsId, gone: &GoneLink) {
        let Some(namespace) = self.namespaces.get_mut(&id) else { return };
        if let Some(known) = namespace.links.remove(&gone.ifindex) {
            self.deleted((id, gone.ifindex), known, gone);
        }
    }

    fn deleted(&mut self, key: LinkId, known: Known, gone: &GoneLink) {
        self.interfaces -= 1;
        self.unclaim(key, known.pair);
        self.unsettled.extend(peer_key(&known.interface));
        self.end(key, known, gone);
    }

    /// Changes an interface in place and stages the differences.
    fn update(&mut self, key: LinkId, write: impl FnOnce(&mut Interface)) {
        let Some(known) = self.known_mut(key) else { return };
        let before = known.interface.clone();
        write(Arc::make_mut(&mut known.interface));
        let now = known.interface.clone();
        if let Some(event) = Event::between(Some(&before), Some(&now)) {
            self.staged.push(event);
        } else if let Some(known) = self.known_mut(key) {
            known.interface = before;
        }
    }

    /// Changes an interface's key: the old key is deleted, the new key is added.
    fn rekey(&mut self, id: NetnsId, ifindex: u32, write: impl FnOnce(&mut Interface)) {
        let new_id = self.next_id();
        let key = (id, ifindex);
        let Some(known) = self.known_mut(key) else { return };
        let before = known.interface.clone();
        let interface = Arc::make_mut(&mut known.interface);
        interface.id = new_id;
        write(interface);
        let now = known.interface.clone();
        self.unsettled.extend(peer_key(&before));
        self.staged.push(Event::Deleted(before, None));
        self.staged.push(Event::Added(now));
    }
}

fn describe(interface: &mut Interface, link: &Link, parent: Option<Box<Parent>>) {
    interface.name = link.name;
    interface.mac = link.mac;
    interface.kind = link.kind.clone();
    interface.oper_state = link.oper_state;
    interface.admin_up = link.admin_up;
    interface.mtu = link.mtu;
    interface.master = link.master;
    let mut extras = Extras::default();
    extras.lower = link.lower;
    extras.alias.clone_from(&link.alias);
    extras.alt_names.clone_from(&link.alt_names);
    extras.underlay.clone_from(&link.underlay);
    extras.parent = parent;
    interface.extras = extras.boxed();
}

/// The hardware of a link with its physical function, which never changes for a device and is looked up once.
fn with_function(link: &Link, known: Option<&Parent>, function: fn(&str) -> Option<Box<str>>) -> Option<Box<Parent>> {
    let mut parent = link.parent.clone()?;
    parent.physical_function = match known {
        Some(known) if known.bus == parent.bus && known.device == parent.device => known.physical_function.clone(),
        _ if &*parent.bus == "pci" => function(&parent.device),
        _ => None,
    };
    Some(parent)
}
