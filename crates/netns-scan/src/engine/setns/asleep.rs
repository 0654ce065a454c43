//! Namespaces of a poller between two requests: followed, but without a socket inside.

use std::io;
use std::path::PathBuf;

use iface_core::NetnsId;

use super::{Connection, SetnsEngine};
use crate::discovery::nsfs::NsFile;

/// A namespace that is followed without a socket.
pub(super) struct Asleep {
    pub(super) path: PathBuf,
    pub(super) host_nsid: Option<i32>,
}

impl SetnsEngine {
    /// Opens a socket in a namespace that a poller follows.
    pub(super) fn wake(&mut self, id: NetnsId) -> io::Result<()> {
        let Some(Asleep { path, host_nsid }) = self.asleep.remove(&id) else { return Ok(()) };
        let target = (path.clone(), NsFile { dev: id.dev, inode: id.inode });
        match self.enter.run(vec![target]).and_then(|results| results.next()) {
            Ok(socket) => self.insert(Connection { id, path, socket, host_nsid }),
            Err(error) => {
                self.asleep.insert(id, Asleep { path, host_nsid });
                Err(error)
            }
        }
    }

    /// Closes a poller's sockets in other namespaces.
    pub(super) fn sleep(&mut self) {
        if self.sockets.hear || self.connections.len() == 1 {
            return;
        }
        let host = self.host;
        for (_, connection) in self.connections.extract_if(.., |_, connection| connection.id != host) {
            self.tokens.remove(&connection.id);
            let Connection { id, path, host_nsid, .. } = connection;
            self.asleep.insert(id, Asleep { path, host_nsid });
        }
    }
}
