//! TLS for connections to servers: the roots that browsers trust, and those of the file that
//! `SSL_CERT_FILE` names, through the cryptography that the media uses.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio_tungstenite::Connector;

/// For one connection; all share their session tickets.
///
/// # Errors
/// What is wrong with the file that `SSL_CERT_FILE` names.
pub fn connector() -> Result<Connector, String> {
    config().map(Connector::Rustls)
}

/// What all connections share.
///
/// # Errors
/// As [`connector`]'s.
pub fn config() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(|| read().map(Arc::new));
    CONFIG.clone()
}

fn read() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from) {
        let wrong = |why: &dyn std::fmt::Display| format!("SSL_CERT_FILE {}: {why}", path.display());
        let own = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let own = own.map_err(|error| wrong(&error))?;
        if own.is_empty() {
            return Err(wrong(&"there is no certificate in it"));
        }
        for certificate in own {
            roots.add(certificate).map_err(|error| wrong(&error))?;
        }
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}
