//! TLS of the metrics server, with certificates that are read again after they were renewed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};

use crate::causes::chain;
use crate::export::otlp::{TlsError, certificates, private_key, roots};
use crate::tls_provider::provider;

/// Least time between two looks at the files. cert-manager and the kubelet renew certificates hours before their end.
const RECHECK: Duration = Duration::from_secs(10);

/// Files of the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// Certificate and intermediate certificates, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Authorities of clients, PEM; `None`: clients need no certificate.
    pub client_ca: Option<PathBuf>,
}

/// The server's certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// A file is missing or useless.
    #[error("TLS of --metrics-address cannot be set up")]
    Files(#[from] TlsError),
    /// The authorities of clients cannot be used.
    #[error("the authorities of clients in {path} cannot be used")]
    Clients {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: VerifierBuilderError,
    },
}

/// The current certificate.
#[derive(Debug)]
pub struct Tls {
    files: ServerFiles,
    config: Arc<ServerConfig>,
    content: Vec<Option<Vec<u8>>>,
    checked: Instant,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file is missing or useless; names the file.
    pub fn new(files: ServerFiles) -> Result<Self, ServerTlsError> {
        let content = files.content();
        let config = Arc::new(files.config()?);
        Ok(Self { files, config, content, checked: Instant::now() })
    }

    /// The configuration for a new connection. Files that have changed are read again; files with a fault change nothing.
    pub(super) fn config(&mut self) -> Arc<ServerConfig> {
        if self.checked.elapsed() >= RECHECK {
            self.checked = Instant::now();
            self.reload();
        }
        self.config.clone()
    }

    fn reload(&mut self) {
        let content = self.files.content();
        if content == self.content {
            return;
        }
        match self.files.config() {
            Ok(config) => {
                tracing::info!(event.name = "metrics.certificate_reloaded", "new connections get the new certificate");
                (self.config, self.content) = (Arc::new(config), content);
            }
            // Certificate and key may be replaced one after the other.
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(event.name = "metrics.certificate_refused", error, "the certificate stays as it was");
            }
        }
    }
}

impl ServerFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file is missing or useless; names the file.
    pub fn check(&self) -> Result<(), ServerTlsError> {
        self.config().map(drop)
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_ca).map(PathBuf::as_path)
    }

    fn content(&self) -> Vec<Option<Vec<u8>>> {
        self.paths().map(|path| std::fs::read(path).ok()).collect()
    }

    fn config(&self) -> Result<ServerConfig, ServerTlsError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Setup)?;
        let builder = match &self.client_ca {
            Some(path) => {
                let roots = Arc::new(roots(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let fault = |source| ServerTlsError::Clients { path: path.clone(), source };
                builder.with_client_cert_verifier(verifier.map_err(fault)?)
            }
            None => builder.with_no_client_auth(),
        };
        let unusable = |source| TlsError::Unusable { path: self.certificate.clone(), source };
        let chain = certificates(&self.certificate)?;
        let mut config = builder.with_single_cert(chain, private_key(&self.key)?).map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
