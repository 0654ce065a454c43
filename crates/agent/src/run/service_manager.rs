//! Readiness and shutdown for the service manager: a unit of `Type=notify` is started once the agent is ready
//! (sd_notify(3)).

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::settled::Settled;
use crate::config::process_environment;

/// The socket of the service manager that has started the agent, if there is one.
#[derive(Debug)]
pub(super) struct ServiceManager {
    address: Option<String>,
    awaits_readiness: bool,
}

impl ServiceManager {
    /// Takes the socket's address from the environment.
    pub(super) fn of_process() -> Self {
        Self::at(process_environment("NOTIFY_SOCKET"))
    }

    /// `address` is a path, or `@` and the name of an abstract socket.
    fn at(address: Option<String>) -> Self {
        Self { awaits_readiness: address.is_some(), address }
    }

    /// Notifies once that the agent is ready, and never returns.
    ///
    /// Cancellation loses nothing.
    pub(super) async fn ready(&mut self, settled: &Settled) {
        if self.awaits_readiness && settled.ready().await {
            self.awaits_readiness = false;
            self.notify("READY=1");
        }
        std::future::pending().await
    }

    /// Notifies that the last export has begun.
    pub(super) fn stopping(&self) {
        self.notify("STOPPING=1");
    }

    fn notify(&self, state: &str) {
        let Some(address) = &self.address else { return };
        if let Err(error) = send(address, state) {
            tracing::warn!(event.name = "service_manager.unreachable", %error, "cannot send {state} to {address}");
        }
    }
}

fn send(address: &str, state: &str) -> io::Result<()> {
    let to = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &to).map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::watch;
    use tokio::time::timeout;

    use super::*;
    use crate::owner::OwnerStatus;
    use crate::testing::at;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[tokio::test]
    async fn readiness_is_sent_once_after_the_scan() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let (scan, synced) = watch::channel(None);
        let (_list, owners) = watch::channel(OwnerStatus::default());
        let settled = Settled::new(synced, owners);
        let mut manager = ServiceManager::at(Some(path.to_str().unwrap().to_owned()));
        let mut briefly = async || timeout(Duration::from_millis(20), manager.ready(&settled)).await.unwrap_err();

        briefly().await;
        socket.set_nonblocking(true).unwrap();
        assert_eq!(socket.recv(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        scan.send_replace(Some(at(1)));
        briefly().await;
        briefly().await;
        socket.set_nonblocking(false).unwrap();
        manager.stopping();
        assert_eq!([received(&socket), received(&socket)], ["READY=1", "STOPPING=1"]);
    }

    #[test]
    fn abstract_sockets_begin_with_at() {
        let name = format!("netns-agent-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        ServiceManager::at(Some(format!("@{name}"))).stopping();
        assert_eq!(received(&socket), "STOPPING=1");
    }
}
