//! Namespaces followed without a socket inside: all namespaces of a poller, and namespaces without a mount.

use std::io;

use iface_core::NetnsId;

use super::{Connection, SetnsEngine};
use crate::engine::Wanted;
use crate::netlink::socket::Route;

/// A namespace followed without a socket.
pub(super) struct Asleep {
    pub(super) wanted: Wanted,
    host_nsid: Option<i32>,
}

impl<S: Route + 'static> SetnsEngine<S> {
    /// Whether the socket of a namespace stays open. A mount keeps the namespace alive, too.
    pub(super) fn keeps(&self, wanted: &Wanted) -> bool {
        wanted.id == self.host || (self.sockets.notified && wanted.is_mounted)
    }

    /// Whether a namespace is followed without a socket.
    pub(super) fn is_asleep(&self, id: NetnsId) -> bool {
        self.asleep.contains_key(&id)
    }

    /// Opens a socket in a namespace for the time of a request.
    pub(super) fn wake(&mut self, id: NetnsId) -> io::Result<()> {
        let Some(Asleep { wanted, host_nsid }) = self.asleep.remove(&id) else { return Ok(()) };
        match self.thread.run(vec![(wanted.path.clone(), wanted.file)]).and_then(|results| results.next()) {
            Ok(socket) => self.insert(wanted, socket, host_nsid),
            Err(error) => {
                self.asleep.insert(id, Asleep { wanted, host_nsid });
                Err(error)
            }
        }
    }

    /// Closes the sockets opened for a request.
    pub(super) fn sleep(&mut self) {
        for token in std::mem::take(&mut self.passing) {
            let Some(connection) = self.connections.remove(&token) else { continue };
            _ = self.epoll.delete(&connection.socket);
            let Connection { wanted, host_nsid, .. } = connection;
            self.tokens.remove(&wanted.id);
            self.asleep.insert(wanted.id, Asleep { wanted, host_nsid });
        }
    }

    /// Learns another path of a namespace.
    pub(super) fn move_to(&mut self, wanted: &Wanted) {
        if let Some(asleep) = self.asleep.get_mut(&wanted.id) {
            asleep.wanted = wanted.clone();
            if self.keeps(wanted) {
                // The next listing opens the socket, and the socket stays.
                self.needs_resync.insert(wanted.id);
            }
        } else if let Some(&token) = self.tokens.get(&wanted.id) {
            self.connections.entry(token).and_modify(|connection| connection.wanted = wanted.clone());
            if !self.keeps(wanted) {
                self.passing.push(token);
                self.sleep();
            }
        }
    }
}
