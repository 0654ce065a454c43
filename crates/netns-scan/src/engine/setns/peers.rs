//! The search for peers in namespaces other than the host's.

use std::fs::File;

use iface_core::NetnsId;

use super::SetnsEngine;
use super::connection::{Notifications, Unplaced};
use crate::discovery::nsfs;
use crate::engine::learned::{Finding, Learned};
use crate::netlink::socket::Route;
use crate::state::{LinkId, State};

impl<S: Route + 'static> SetnsEngine<S> {
    /// Looks for the peer of one link.
    ///
    /// An nsid is valid only in the namespace that assigned the nsid, so each candidate
    /// is compared in the assigning namespace. The peer may have moved since a notification or a dump,
    /// so an end that no candidate fits is asked for.
    pub(super) fn place_peer(
        &mut self,
        (id, ifindex): LinkId,
        unplaced: Unplaced,
        known: &State,
        learned: &mut Learned,
    ) {
        for candidate in known.candidates(id, ifindex) {
            let Some(file) = self.open_file(candidate) else { continue };
            // Fails where the namespace is gone, and the loop ends.
            _ = self.wake(id);
            let Some(&token) = self.tokens.get(&id) else { break };
            let Some(connection) = self.connections.get_mut(&token) else { break };
            let mut notifications = Notifications::default();
            let nsid = connection.nsid_of(&file, &mut self.buffer, &mut notifications);
            drop(file);
            if nsid == Some(unplaced.nsid) {
                learned.findings.push(Finding::Peer { link: (id, ifindex), nsid: unplaced.nsid, netns: candidate });
            }
            self.take_in(token, notifications, known, learned);
        }
        if !unplaced.is_asked {
            learned.findings.push(Finding::NoPeer((id, ifindex)));
        }
    }

    /// Opens the file of a namespace, which keeps the namespace alive as a socket does.
    fn open_file(&self, id: NetnsId) -> Option<File> {
        let connection = self.tokens.get(&id).and_then(|token| self.connections.get(token));
        let asleep = || self.asleep.get(&id).map(|asleep| &asleep.wanted);
        let wanted = connection.map(|connection| &connection.wanted).or_else(asleep)?;
        nsfs::open(&wanted.path, wanted.file).ok()
    }
}
