//! TLS for connections to servers: the roots that browsers trust, through the cryptography that the
//! media uses.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio_tungstenite::Connector;

/// For one connection; all share their session tickets.
pub fn connector() -> Connector {
    static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
        let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    });
    Connector::Rustls(CONFIG.clone())
}
