//! TLS: trusted authorities and the client certificate, from PEM files.

use std::path::{Path, PathBuf};

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::{ClientConfig, RootCertStore};

use crate::export::settings::TlsFiles;
use crate::tls_provider::provider;

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no such thing in PEM.
    #[error("{path}: holds no {what} in PEM that can be read")]
    File {
        /// The file.
        path: PathBuf,
        /// Expected content.
        what: &'static str,
        /// The cause.
        source: pem::Error,
    },
    /// The certificates and keys do not work.
    #[error("{path} cannot be used")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// The system has no certificates of authorities.
    #[error("no certificate authorities on this system; name a file with --otlp-certificate: {0}")]
    NoRoots(std::io::Error),
    /// The cryptographic provider does not support the TLS versions.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file is missing or useless; names it.
    pub fn check(&self) -> Result<(), TlsError> {
        // Without files, nothing is to be read: the authorities of the system are needed for https only.
        if *self == Self::default() { Ok(()) } else { client_config(self).map(drop) }
    }
}

/// Reads the files anew, so that renewed certificates count from the next connection on.
///
/// # Errors
/// When a file is missing or useless; names it.
pub(super) fn client_config(files: &TlsFiles) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    let builder = match &files.ca {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.with_native_roots().map_err(TlsError::NoRoots)?,
    };
    let Some((certificate, key)) = &files.client else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate)?;
    builder
        .with_client_auth_cert(chain, private_key(key)?)
        .map_err(|source| TlsError::Unusable { path: certificate.clone(), source })
}

/// The authorities in a PEM file.
pub(crate) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|source| TlsError::Unusable { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

/// The private key in a PEM file.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let fault = |source| TlsError::File { path: path.to_owned(), what: "private key", source };
    PrivateKeyDer::from_pem_file(path).map_err(fault)
}

/// The certificates in a PEM file, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fault = |source| TlsError::File { path: path.to_owned(), what: "certificate", source };
    let certificates = CertificateDer::pem_file_iter(path).map_err(fault)?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(fault)?;
    if certificates.is_empty() { Err(fault(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}
