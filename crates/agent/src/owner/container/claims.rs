//! The records of containers by the namespace that they claim. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use iface_core::{MacAddr, NetnsName, NsFile};

use crate::interface::{Container, Interface};
use crate::owner::container::record::{Claim, Link, Record};
use crate::owner::container::user_netns::UserNetns;
use crate::owner::index::remove_value;

/// Key of a claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::owner) enum Key {
    Name(NetnsName),
    HostEnd(u32),
    Space(NsFile),
    Link(Link),
}

impl Key {
    /// The keys of claims to which an interface can belong: of a host end, or of an interface inside.
    pub(in crate::owner) fn of(interface: &Interface) -> Vec<Self> {
        if interface.netns.is_host() {
            return vec![Self::HostEnd(interface.ifindex), Self::Link(Link::End(interface.name))];
        }
        let space = interface.netns.file.map(Self::Space);
        interface.mac.map(|mac| Self::Link(Link::Mac(mac))).into_iter().chain(space).collect()
    }
}

/// Records by file, and their joined claims.
#[derive(Debug, Default)]
pub(in crate::owner) struct Claims {
    records: BTreeMap<Arc<Path>, Record>,
    by_key: BTreeMap<Key, BTreeSet<Arc<Path>>>,
    joined: BTreeMap<Key, Claimed>,
}

/// The container of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::owner) struct Claimed {
    pub(in crate::owner) container: Arc<Container>,
    networks: Vec<(MacAddr, Arc<str>)>,
}

impl Claimed {
    /// The network with this link-layer address, unless several have the address.
    pub(in crate::owner) fn network(&self, mac: Option<MacAddr>) -> Option<Arc<str>> {
        let mut named = self.networks.iter().filter(|(known, _)| Some(*known) == mac);
        named.next().filter(|_| named.next().is_none()).map(|(_, name)| name.clone())
    }
}

impl Claims {
    /// Applies the content of a record; returns the changed claims.
    pub(in crate::owner) fn insert(&mut self, path: &Arc<Path>, record: Record) -> BTreeSet<Key> {
        let mut touched = self.take(path);
        for key in keys(&record) {
            self.by_key.entry(key.clone()).or_default().insert(path.clone());
            touched.insert(key);
        }
        self.records.insert(path.clone(), record);
        self.join(&touched);
        touched
    }

    /// Applies the end of a record; returns the changed claims.
    pub(in crate::owner) fn remove(&mut self, path: &Path) -> BTreeSet<Key> {
        let touched = self.take(path);
        self.join(&touched);
        touched
    }

    pub(in crate::owner) fn of(&self, key: &Key) -> Option<&Claimed> {
        self.joined.get(key)
    }

    /// The namespace of a claim has ended: the kernel gives its inode to another. Claims of users stay, as each is proven
    /// again for the next namespace with the inode.
    pub(in crate::owner) fn end(&mut self, space: NsFile) {
        let key = Key::Space(space);
        let Some(paths) = self.by_key.remove(&key) else { return };
        let is_users =
            |path: &Arc<Path>| matches!(self.records.get(path), Some(Record { claim: Claim::UserNetns(_), .. }));
        let kept: BTreeSet<_> = paths.into_iter().filter(is_users).collect();
        if !kept.is_empty() {
            self.by_key.insert(key.clone(), kept);
        }
        self.join(&BTreeSet::from([key]));
    }

    /// Claims of users to the namespace with this file.
    pub(in crate::owner) fn of_users(&self, space: NsFile) -> Vec<(Arc<Path>, UserNetns)> {
        let claim = |path: &Arc<Path>| match &self.records.get(path)?.claim {
            Claim::UserNetns(netns) => Some((path.clone(), netns.clone())),
            _ => None,
        };
        self.by_key.get(&Key::Space(space)).into_iter().flatten().filter_map(claim).collect()
    }

    pub(in crate::owner) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn take(&mut self, path: &Path) -> BTreeSet<Key> {
        let Some(record) = self.records.remove(path) else { return BTreeSet::new() };
        let touched: BTreeSet<_> = keys(&record).collect();
        touched.iter().for_each(|key| remove_value(&mut self.by_key, key, path));
        touched
    }

    /// Containers that share a namespace are one owner with the ids of all, named after the least.
    fn join(&mut self, touched: &BTreeSet<Key>) {
        for key in touched {
            let paths = self.by_key.get(key).into_iter().flatten();
            let records: BTreeSet<&Record> = paths.filter_map(|path| self.records.get(path)).collect();
            // Containers with the same name or address in their configurations can be one or the other.
            let ambiguous = matches!(key, Key::Link(_)) && records.len() > 1;
            let Some(first) = records.first().filter(|_| !ambiguous) else {
                self.joined.remove(key);
                continue;
            };
            let container = Container {
                runtime: first.runtime,
                name: first.name.clone(),
                ids: records.iter().map(|record| record.id.clone()).collect(),
                image: first.image.clone(),
            };
            let networks = records.iter().flat_map(|record| record.networks.iter().cloned()).collect();
            self.joined.insert(key.clone(), Claimed { container: container.into(), networks });
        }
    }
}

fn keys(record: &Record) -> impl Iterator<Item = Key> + use<> {
    let keys: Vec<Key> = match &record.claim {
        Claim::Name(name) => vec![Key::Name(name.clone())],
        Claim::HostEnds(ends) => ends.iter().copied().map(Key::HostEnd).collect(),
        Claim::Space(space) => vec![Key::Space(*space)],
        Claim::UserNetns(netns) => vec![Key::Space(netns.file())],
        Claim::Links(links) => links.iter().cloned().map(Key::Link).collect(),
    };
    keys.into_iter()
}
