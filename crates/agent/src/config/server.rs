//! Settings of the servers that belong together.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::admin::{ServerFiles, SocketOptions};

/// Unix socket of the admin server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminSocket {
    /// Path; `None`: no socket.
    pub path: Option<PathBuf>,
    /// Permissions.
    pub mode: u32,
    /// Group; `None`: the group of the process.
    pub group: Option<u32>,
}

impl AdminSocket {
    /// The socket to listen on, if any.
    #[must_use]
    pub fn options(&self) -> Option<SocketOptions> {
        Some(SocketOptions { path: self.path.clone()?, mode: self.mode, group: self.group })
    }
}

/// Tokens that clients of the server of metrics need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// None.
    #[default]
    Open,
    /// Tokens whose users may get /metrics, as the API server says.
    Kubernetes,
}

impl Authorization {
    /// # Errors
    /// Where tokens would protect nothing, or would be read on the way.
    pub(super) fn check(self, address: Option<SocketAddr>, has_tls: bool) -> Result<(), &'static str> {
        match (self, address) {
            (Self::Kubernetes, None) => Err("--metrics-authorization is for --metrics-address, which is not set"),
            (Self::Kubernetes, Some(address)) if !has_tls && !address.ip().is_loopback() => Err(
                "--metrics-authorization needs --metrics-tls-certificate, as tokens must not cross a network in the clear",
            ),
            _ => Ok(()),
        }
    }
}

/// Paths of the files for TLS of the metrics server, as set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsPaths {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
}

impl TlsPaths {
    /// # Errors
    /// Settings that belong together.
    pub(super) fn files(self, has_address: bool) -> Result<Option<ServerFiles>, &'static str> {
        match (self.certificate, self.key, self.client_ca) {
            (None, None, None) => Ok(None),
            (Some(_), Some(_), _) if !has_address => {
                Err("--metrics-tls-certificate is for --metrics-address, which is not set")
            }
            (Some(certificate), Some(key), client_ca) => Ok(Some(ServerFiles { certificate, key, client_ca })),
            (None, None, Some(_)) => {
                Err("--metrics-tls-client-ca needs --metrics-tls-certificate and --metrics-tls-key")
            }
            _ => Err("--metrics-tls-certificate and --metrics-tls-key belong together: set both or none"),
        }
    }
}
