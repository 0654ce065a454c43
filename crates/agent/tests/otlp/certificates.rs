//! A certificate authority, and a TLS proxy for a receiver without TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Files of a CA, a server at 127.0.0.1 and a client, made by openssl.
pub(crate) struct Authority {
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().expect("a folder") };
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        authority.openssl(&format!("req -x509 {new_key} -subj /CN=test-ca -keyout ca.key -out ca.pem"));
        for (name, extension) in [("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")]
        {
            authority.openssl(&format!(
                "req -x509 {new_key} -subj /CN={name} -CA ca.pem -CAkey ca.key -addext {extension} \
                 -addext basicConstraints=critical,CA:FALSE -keyout {name}.key -out {name}.pem"
            ));
        }
        authority
    }

    fn openssl(&self, arguments: &str) {
        let output =
            Command::new("openssl").args(arguments.split_whitespace()).current_dir(self.folder.path()).output();
        let output = output.expect("openssl runs: tests/tools.sh installs it");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.file(name).to_str().expect("text").to_owned()
    }

    fn server_config(&self) -> ServerConfig {
        let provider = netns_agent::tls_provider::provider();
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.file("ca.pem"))).expect("a CA");
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_client_cert_verifier(clients.expect("a verifier"))
            .with_single_cert(
                vec![certificate(&self.file("server.pem"))],
                PrivateKeyDer::from_pem_file(self.file("server.key")).expect("a key"),
            )
            .expect("a certificate");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    /// Terminates TLS, requires a client certificate, and forwards the bytes until the set is dropped.
    pub(crate) async fn in_front_of(&self, receiver: SocketAddr) -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let acceptor = TlsAcceptor::from(Arc::new(self.server_config()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let Ok(mut outside) = acceptor.accept(stream).await else { return };
                    let mut inside = TcpStream::connect(receiver).await.expect("the receiver");
                    let _ = copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        (address, tasks)
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}
