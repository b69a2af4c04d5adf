//! Servers behind TLS: a certificate that is trusted, those that are not, and none at all.

mod support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use support::program::{Ended, Program, Server};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A meeting point behind a reverse proxy with a certificate of its own.
struct Secure {
    _server: Server,
    folder: TempDir,
    port: u16,
}

impl Secure {
    fn start(certificate: CertificateParams) -> Self {
        let server = Server::start();
        let behind: SocketAddr = server.address().parse().expect("an address");
        let key = KeyPair::generate().expect("random numbers");
        let certificate = certificate.self_signed(&key).expect("nothing is missing");
        let folder = tempfile::tempdir().expect("there is room");
        let base64 = data_encoding::BASE64.encode(certificate.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        std::fs::write(folder.path().join("own.pem"), pem).expect("there is room");
        let chain = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("they belong together");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        // It ends with the test's process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                listener.set_nonblocking(true).expect("any socket can");
                let listener = TcpListener::from_std(listener).expect("a socket");
                proxy(listener, acceptor, behind).await;
            });
        });
        Self {
            _server: server,
            folder,
            port,
        }
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("own.pem")
    }

    fn args(&self, name: &str) -> Vec<String> {
        args(&format!("wss://localhost:{}", self.port), name)
    }
}

async fn proxy(listener: TcpListener, acceptor: TlsAcceptor, behind: SocketAddr) {
    while let Ok((outside, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(mut outside) = acceptor.accept(outside).await else {
                return;
            };
            let mut inside = TcpStream::connect(behind).await.expect("the server runs");
            let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
        });
    }
}

fn args(url: &str, name: &str) -> Vec<String> {
    let args = ["--headless", "--server", url, "--room", "lobby", "--name", name];
    let devices = ["--camera", "none", "--mic", "none", "--speaker", "none"];
    args.iter().chain(&devices).map(|arg| (*arg).to_owned()).collect()
}

fn localhost() -> CertificateParams {
    CertificateParams::new(["localhost".to_owned()]).expect("a name")
}

fn cannot_reach(ended: &Ended, why: &[&str]) {
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert_eq!(ended.stderr.trim().lines().count(), 1, "{}", ended.stderr);
    for why in why {
        assert!(ended.stderr.contains(why), "{why}: {}", ended.stderr);
    }
}

#[test]
fn a_call_is_set_up_through_tls_with_a_certificate_that_is_named() {
    let server = Secure::start(localhost());
    let start = |name| Program::start_with(&server.args(name), "SSL_CERT_FILE", &server.certificate());
    let mut ann = start("ann");
    assert!(
        ann.event("joined")["link"]
            .as_str()
            .expect("a link")
            .starts_with("https://localhost:"),
    );
    let mut bob = start("bob");
    for person in [&mut ann, &mut bob] {
        person.event("connected");
    }
}

#[test]
fn a_certificate_that_is_not_trusted_or_does_not_fit_is_told_with_the_remedy() {
    let own = Secure::start(localhost());
    let ended = Program::start(&own.args("ann")).ended();
    cannot_reach(&ended, &["certificate", "UnknownIssuer", "SSL_CERT_FILE"]);

    let other = Secure::start(CertificateParams::new(["example.org".to_owned()]).expect("a name"));
    let ended = Program::start_with(&other.args("ann"), "SSL_CERT_FILE", &other.certificate()).ended();
    cannot_reach(&ended, &["certificate", "localhost", "check the address"]);

    let mut old = localhost();
    old.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let old = Secure::start(old);
    let ended = Program::start_with(&old.args("ann"), "SSL_CERT_FILE", &old.certificate()).ended();
    cannot_reach(&ended, &["certificate", "expired", "clock"]);
}

#[test]
fn a_file_without_certificates_and_a_server_without_tls_are_told() {
    let server = Secure::start(localhost());
    let empty = server.folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing\n").expect("there is room");
    let missing = server.folder.path().join("missing.pem");
    for file in [&empty, &missing] {
        let ended = Program::start_with(&server.args("ann"), "SSL_CERT_FILE", file).ended();
        cannot_reach(&ended, &["SSL_CERT_FILE", &file.to_string_lossy(), "PEM"]);
    }

    let plain = Server::start();
    let ended = Program::start(&args(&plain.url.replacen("ws:", "wss:", 1), "ann")).ended();
    cannot_reach(&ended, &["ws: instead of wss:"]);
}
