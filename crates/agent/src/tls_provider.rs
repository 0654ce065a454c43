//! The implementation of cryptography for TLS: ring, or with the feature `fips` the validated module of AWS-LC.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

#[cfg(not(any(feature = "ring", feature = "fips")))]
compile_error!("TLS needs one of the features ring and fips");

/// The implementation for every TLS connection.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "fips")]
    return Arc::new(rustls::crypto::default_fips_provider());
    #[cfg(all(feature = "ring", not(feature = "fips")))]
    return Arc::new(rustls::crypto::ring::default_provider());
}

/// Makes the implementation the default of the process, for kube's client, which takes no other.
pub(crate) fn install() {
    // A second call changes nothing.
    let _ = CryptoProvider::install_default(CryptoProvider::clone(&provider()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the feature, no algorithm outside the validated module is offered.
    #[test]
    fn fips_feature_is_validated_module() {
        assert_eq!(provider().fips(), cfg!(feature = "fips"));
        install();
        assert_eq!(CryptoProvider::get_default().unwrap().fips(), cfg!(feature = "fips"));
    }
}
