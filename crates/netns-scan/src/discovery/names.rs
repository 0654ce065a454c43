//! Names to existences of namespaces: a pure comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use iface_core::{NetnsId, NetnsName, NsFile};

use crate::discovery::nsfs::Sight;

/// A name in one of the directories, by the directory's place in the settings.
pub(crate) type Name = (usize, NetnsName);

/// In place of a directory: names such as `net:[4026532461]` that stand for the processes inside.
pub(crate) const PROCESSES: usize = usize::MAX;

/// The file and the cookie of a namespace; without a cookie, the file alone.
type Key = (NsFile, Option<NonZeroU64>);

/// Names and their namespaces. Pure: sights in, changes out.
///
/// A namespace exists from its first name to its last. A namespace whose names were all deleted and
/// made again is another namespace, whatever its inode: inodes are reused.
#[derive(Debug)]
pub(crate) struct Names {
    host: Sight,
    seen: BTreeMap<Name, Sight>,
    ids: BTreeMap<Key, NetnsId>,
    namespaces: BTreeMap<NetnsId, Named>,
    last_id: u64,
}

#[derive(Debug)]
struct Named {
    file: NsFile,
    cookie: Option<NonZeroU64>,
    /// The name in all outputs, as long as the name exists.
    primary: Name,
    /// Whether outputs need the path, as the name alone means another namespace.
    is_ambiguous: bool,
    names: BTreeSet<Name>,
}

/// Consequence of a changed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A namespace has its first name.
    Opened(NetnsId, Name),
    /// The primary name of a namespace changed, or needs the path from now on, or no longer.
    Renamed(NetnsId, Name),
    /// A namespace has lost its last name.
    Closed(NetnsId),
}

impl Names {
    /// No names yet; the host's namespace is known without a name.
    pub(crate) fn new(host: Sight) -> Self {
        Self {
            host,
            seen: BTreeMap::new(),
            ids: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            last_id: NetnsId::HOST.0,
        }
    }

    /// An identity for a namespace without a name.
    pub(crate) fn new_id(&mut self) -> NetnsId {
        self.last_id += 1;
        NetnsId(self.last_id)
    }

    /// Gives a namespace with a name the identity under which it was followed without a name.
    pub(crate) fn adopt(&mut self, id: NetnsId, known: NetnsId) {
        let Some(named) = self.namespaces.remove(&id) else { return };
        self.ids.insert((named.file, named.cookie), known);
        self.namespaces.insert(known, named);
    }

    /// Takes in the namespace that a name leads to now; `None` without a namespace or name.
    pub(crate) fn see(&mut self, name: Name, sight: Option<Sight>, changes: &mut Vec<Change>) {
        let before = self.seen.get(&name).copied();
        match (before, sight) {
            (None, None) => return,
            (Some(before), Some(now)) if before.is_same(&now) => return,
            _ => {}
        }
        if let Some(before) = self.seen.remove(&name) {
            self.lose(before, &name, changes);
        }
        if let Some(now) = sight {
            self.seen.insert(name.clone(), now);
            self.gain(now, &name, changes);
        }
        self.disambiguate(&name, changes);
    }

    /// The last sight of a name that leads to a namespace.
    pub(crate) fn seen(&self, name: &Name) -> Option<Sight> {
        self.seen.get(name).copied()
    }

    /// The names of a directory that lead to a namespace.
    pub(crate) fn of_directory(&self, directory: usize) -> Vec<Name> {
        self.seen.keys().filter(|(of, _)| *of == directory).cloned().collect()
    }

    /// Forgets a name, so that the next look at the name counts as the first.
    pub(crate) fn forget(&mut self, name: &Name, changes: &mut Vec<Change>) {
        self.see(name.clone(), None, changes);
    }

    /// The primary name of a namespace.
    pub(crate) fn primary(&self, id: NetnsId) -> Option<&Name> {
        self.namespaces.get(&id).map(|named| &named.primary)
    }

    /// The namespace whose primary name is this one.
    pub(crate) fn named_first(&self, name: &Name) -> Option<NetnsId> {
        let id = self.ids.get(&self.seen.get(name)?.key()).copied()?;
        (self.primary(id) == Some(name)).then_some(id)
    }

    /// Whether another namespace is, or could be, printed under the same name.
    pub(crate) fn is_ambiguous(&self, id: NetnsId) -> bool {
        self.namespaces.get(&id).is_some_and(|named| named.is_ambiguous)
    }

    /// The cookie of a namespace, where the kernel tells cookies.
    pub(crate) fn cookie(&self, id: NetnsId) -> Option<NonZeroU64> {
        if id == NetnsId::HOST { self.host.cookie } else { self.namespaces.get(&id)?.cookie }
    }

    /// The file of a namespace with a name, or of the host's.
    pub(crate) fn file(&self, id: NetnsId) -> Option<NsFile> {
        if id == NetnsId::HOST { Some(self.host.file) } else { Some(self.namespaces.get(&id)?.file) }
    }

    /// Every name of a namespace.
    pub(crate) fn all(&self, id: NetnsId) -> Vec<Name> {
        self.namespaces.get(&id).map(|named| named.names.iter().cloned().collect()).unwrap_or_default()
    }

    /// Names that a new name with this sight would join without proof of one common namespace.
    pub(crate) fn unproven(&self, name: &Name, sight: &Sight) -> Vec<Name> {
        let is_known = |id: &&NetnsId| sight.cookie.is_none() && !self.namespaces[*id].names.contains(name);
        self.ids.get(&sight.key()).filter(is_known).map(|id| self.all(*id)).unwrap_or_default()
    }

    /// Whether a namespace with this file has a name in a directory.
    pub(crate) fn has_file(&self, file: NsFile) -> bool {
        let same = self.ids.range((file, None)..).take_while(|((other, _), _)| *other == file);
        let mut named = same.filter_map(|(_, id)| self.namespaces.get(id));
        named.any(|named| named.names.iter().any(|(directory, _)| *directory != PROCESSES))
    }

    fn named_mut(&mut self, sight: &Sight) -> Option<&mut Named> {
        self.namespaces.get_mut(self.ids.get(&sight.key())?)
    }

    fn gain(&mut self, sight: Sight, name: &Name, changes: &mut Vec<Change>) {
        if sight.file == self.host.file {
            return;
        }
        if let Some(named) = self.named_mut(&sight) {
            named.names.insert(name.clone());
            if named.primary.0 == PROCESSES && name.0 != PROCESSES {
                named.primary = name.clone();
                let is_ambiguous = self.means_another(name, &sight);
                self.named_mut(&sight).into_iter().for_each(|named| named.is_ambiguous = is_ambiguous);
                changes.extend(self.ids.get(&sight.key()).map(|id| Change::Renamed(*id, name.clone())));
            }
            return;
        }
        let id = self.new_id();
        self.ids.insert(sight.key(), id);
        let is_ambiguous = self.means_another(name, &sight);
        let names = BTreeSet::from([name.clone()]);
        self.namespaces
            .insert(id, Named { file: sight.file, cookie: sight.cookie, primary: name.clone(), is_ambiguous, names });
        changes.push(Change::Opened(id, name.clone()));
    }

    fn lose(&mut self, sight: Sight, name: &Name, changes: &mut Vec<Change>) {
        let Some(&id) = self.ids.get(&sight.key()) else { return };
        let Some(named) = self.namespaces.get_mut(&id) else { return };
        named.names.remove(name);
        match named.names.first().cloned() {
            None => {
                changes.push(Change::Closed(id));
                self.namespaces.remove(&id);
                self.ids.remove(&sight.key());
            }
            Some(next) if named.primary == *name => {
                named.primary = next.clone();
                let is_ambiguous = self.means_another(&next, &sight);
                self.namespaces.entry(id).and_modify(|named| named.is_ambiguous = is_ambiguous);
                changes.push(Change::Renamed(id, next));
            }
            Some(_) => {}
        }
    }

    /// Looks again at namespaces with the same name in later directories.
    fn disambiguate(&mut self, (directory, text): &Name, changes: &mut Vec<Change>) {
        if *directory == PROCESSES {
            return;
        }
        let last = self.seen.keys().rev().find(|(last, _)| *last != PROCESSES).map_or(0, |(last, _)| *last);
        for later in directory + 1..=last {
            let name = (later, text.clone());
            let Some(sight) = self.seen(&name) else { continue };
            let is_ambiguous = self.means_another(&name, &sight);
            let Some(&id) = self.ids.get(&sight.key()) else { continue };
            let Some(named) = self.namespaces.get_mut(&id).filter(|named| named.primary == name) else { continue };
            if std::mem::replace(&mut named.is_ambiguous, is_ambiguous) != is_ambiguous {
                changes.push(Change::Renamed(id, name));
            }
        }
    }

    /// Whether the name means the host's namespace, or another namespace in an earlier directory.
    fn means_another(&self, (directory, text): &Name, sight: &Sight) -> bool {
        let is_another = |other: Sight| other.key() != sight.key() && other.file != self.host.file;
        if *directory == PROCESSES {
            return false;
        }
        *text == *"host" || (0..*directory).any(|earlier| self.seen(&(earlier, text.clone())).is_some_and(is_another))
    }
}

impl Sight {
    fn key(&self) -> Key {
        (self.file, self.cookie)
    }
}

#[cfg(test)]
mod tests;
