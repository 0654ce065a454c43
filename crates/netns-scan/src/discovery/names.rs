use std::collections::{BTreeMap, BTreeSet};

use iface_core::{NetnsId, NetnsName};

use crate::discovery::nsfs::NsFile;

/// A name in one of the directories, by the directory's place in the settings.
pub(crate) type Name = (usize, NetnsName);

/// Which names lead to which namespaces. Pure: sights in, changes out.
///
/// A namespace exists from its first name to its last. One whose names all went and came back
/// is another, whatever its inode number: those are reused.
#[derive(Debug)]
pub(crate) struct Names {
    host: NsFile,
    seen: BTreeMap<Name, NsFile>,
    namespaces: BTreeMap<NsFile, Named>,
    generation: u64,
}

#[derive(Debug)]
struct Named {
    id: NetnsId,
    /// The name it goes by, as long as that exists.
    primary: Name,
    names: BTreeSet<Name>,
}

/// What a name's change means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A namespace is there.
    Opened(NetnsId, Name),
    /// A namespace goes by another of its names now.
    Renamed(NetnsId, Name),
    /// A namespace has no name any more.
    Closed(NetnsId),
}

impl Names {
    /// No names yet; the host's namespace is known without one.
    pub(crate) fn new(host: NsFile) -> Self {
        Self { host, seen: BTreeMap::new(), namespaces: BTreeMap::new(), generation: 0 }
    }

    /// The host's namespace, always the first generation.
    pub(crate) fn host(&self) -> NetnsId {
        NetnsId { dev: self.host.dev, inode: self.host.inode, generation: 0 }
    }

    /// Takes in what a name leads to now; `None`: to no namespace, or the name is gone.
    pub(crate) fn see(&mut self, name: Name, sight: Option<NsFile>, changes: &mut Vec<Change>) {
        if self.seen.get(&name).copied() == sight {
            return;
        }
        if let Some(before) = self.seen.remove(&name) {
            self.lose(before, &name, changes);
        }
        if let Some(now) = sight {
            self.gain(now, &name, changes);
            self.seen.insert(name, now);
        }
    }

    /// The names of a directory that lead to a namespace.
    pub(crate) fn of_directory(&self, directory: usize) -> Vec<Name> {
        self.seen.keys().filter(|(of, _)| *of == directory).cloned().collect()
    }

    /// Forgets that a name leads anywhere, so that the next look at it counts as the first.
    pub(crate) fn forget(&mut self, name: &Name, changes: &mut Vec<Change>) {
        self.see(name.clone(), None, changes);
    }

    /// The name a namespace goes by.
    pub(crate) fn primary(&self, id: NetnsId) -> Option<&Name> {
        let file = NsFile { dev: id.dev, inode: id.inode };
        self.namespaces.get(&file).filter(|named| named.id == id).map(|named| &named.primary)
    }

    /// Every name of a namespace.
    pub(crate) fn all(&self, id: NetnsId) -> Vec<Name> {
        let file = NsFile { dev: id.dev, inode: id.inode };
        let named = self.namespaces.get(&file).filter(|named| named.id == id);
        named.map(|named| named.names.iter().cloned().collect()).unwrap_or_default()
    }

    fn gain(&mut self, file: NsFile, name: &Name, changes: &mut Vec<Change>) {
        if file == self.host {
            return;
        }
        if let Some(named) = self.namespaces.get_mut(&file) {
            named.names.insert(name.clone());
            return;
        }
        self.generation += 1;
        let id = NetnsId { dev: file.dev, inode: file.inode, generation: self.generation };
        let names = BTreeSet::from([name.clone()]);
        self.namespaces.insert(file, Named { id, primary: name.clone(), names });
        changes.push(Change::Opened(id, name.clone()));
    }

    fn lose(&mut self, file: NsFile, name: &Name, changes: &mut Vec<Change>) {
        let Some(named) = self.namespaces.get_mut(&file) else { return };
        named.names.remove(name);
        match named.names.first() {
            None => {
                changes.push(Change::Closed(named.id));
                self.namespaces.remove(&file);
            }
            Some(next) if named.primary == *name => {
                named.primary = next.clone();
                changes.push(Change::Renamed(named.id, next.clone()));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOST: NsFile = NsFile { dev: 4, inode: 1 };

    fn name(text: &str) -> Name {
        (0, NetnsName::new(text))
    }

    fn see(names: &mut Names, text: &str, inode: Option<u64>) -> Vec<Change> {
        let mut changes = Vec::new();
        names.see(name(text), inode.map(|inode| NsFile { dev: 4, inode }), &mut changes);
        changes
    }

    fn id(inode: u64, generation: u64) -> NetnsId {
        NetnsId { dev: 4, inode, generation }
    }

    #[test]
    fn a_reused_inode_is_another_namespace() {
        let mut names = Names::new(HOST);
        assert_eq!(see(&mut names, "a", Some(7)), [Change::Opened(id(7, 1), name("a"))]);
        assert_eq!(see(&mut names, "a", None), [Change::Closed(id(7, 1))]);
        assert_eq!(see(&mut names, "a", Some(7)), [Change::Opened(id(7, 2), name("a"))]);
    }

    /// The first name stays the primary one as long as it exists.
    #[test]
    fn two_names_make_one_namespace() {
        let mut names = Names::new(HOST);
        see(&mut names, "b", Some(7));
        assert_eq!(see(&mut names, "a", Some(7)), []);
        assert_eq!(see(&mut names, "b", None), [Change::Renamed(id(7, 1), name("a"))]);
        assert_eq!(see(&mut names, "a", None), [Change::Closed(id(7, 1))]);
    }

    #[test]
    fn the_hosts_namespace_stays_one() {
        let mut names = Names::new(HOST);
        assert_eq!(see(&mut names, "host", Some(1)), []);
        assert_eq!(see(&mut names, "host", None), []);
    }

    #[test]
    fn a_moved_name_closes_before_it_opens() {
        let mut names = Names::new(HOST);
        see(&mut names, "a", Some(7));
        let changes = see(&mut names, "a", Some(8));
        assert_eq!(changes, [Change::Closed(id(7, 1)), Change::Opened(id(8, 2), name("a"))]);
    }

    proptest! {
        #[test]
        fn open_namespaces_are_the_named_ones(
            sights in proptest::collection::vec((0..6_u8, proptest::option::of(0..5_u64)), 0..200)
        ) {
            let mut names = Names::new(HOST);
            let mut truth: BTreeMap<u8, u64> = BTreeMap::new();
            let mut open: BTreeMap<NetnsId, Name> = BTreeMap::new();
            for (which, inode) in sights {
                for change in see(&mut names, &which.to_string(), inode) {
                    match change {
                        Change::Opened(id, name) => prop_assert!(open.insert(id, name).is_none()),
                        Change::Renamed(id, name) => prop_assert!(open.insert(id, name).is_some()),
                        Change::Closed(id) => prop_assert!(open.remove(&id).is_some()),
                    }
                }
                match inode {
                    Some(inode) => _ = truth.insert(which, inode),
                    None => _ = truth.remove(&which),
                }
                let named: BTreeSet<u64> = truth.values().copied().filter(|inode| *inode != HOST.inode).collect();
                prop_assert_eq!(open.keys().map(|id| id.inode).collect::<BTreeSet<_>>(), named);
                for (id, (_, name)) in &open {
                    let which: u8 = name.to_string().parse().unwrap();
                    prop_assert_eq!(truth.get(&which), Some(&id.inode));
                }
            }
        }
    }
}
