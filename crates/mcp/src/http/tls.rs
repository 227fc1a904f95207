//! Whom TLS connections trust.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The settings of TLS connections to other servers: the certificate authorities that browsers trust, those of this
/// machine, and those of a file of the operator's.
///
/// What cannot be read is passed over: a connection that needs it fails by itself, and says so.
///
/// # Panics
/// Never: the cryptography that is built in knows the versions of TLS it is asked for.
#[must_use]
pub fn tls_config(extra_certificates: Option<&Path>) -> ClientConfig {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = extra_certificates {
        match CertificateDer::pem_file_iter(path) {
            Ok(certificates) => {
                roots.add_parsable_certificates(certificates.filter_map(Result::ok));
            }
            Err(error) => tracing::warn!(?path, %error, "extra certificates could not be read"),
        }
    }
    ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("the cryptography that is built in knows all versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
