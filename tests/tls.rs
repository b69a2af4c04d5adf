//! Servers behind TLS, and those that speak it themselves: a certificate that is trusted, those that are not,
//! and none at all.

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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

/// A server that speaks TLS itself.
struct Own {
    program: Program,
    /// `127.0.0.1:PORT`.
    address: String,
    fingerprint: String,
}

impl Own {
    fn start(args: &[&str], variable: &str, path: &Path) -> Self {
        let usual = ["serve", "--listen", "127.0.0.1:0", "--no-turn", "--headless"];
        let mut program = Program::start_with(&[&usual[..], args].concat(), variable, path);
        let serving = program.event("serving");
        let text = |name: &str| serving[name].as_str().expect("it is told").to_owned();
        let url = text("url");
        assert_eq!(text("page"), url.replacen("wss:", "https:", 1));
        let address = url.strip_prefix("wss://").expect("it speaks TLS").to_owned();
        Self {
            program,
            address,
            fingerprint: text("fingerprint"),
        }
    }

    fn with_files(cert: &Path, key: &Path) -> Self {
        let (cert, key) = (cert.display().to_string(), key.display().to_string());
        let nowhere = Path::new("/nonexistent");
        Self::start(
            &["--tls-cert", &cert, "--tls-key", &key],
            "XDG_STATE_HOME",
            nowhere,
        )
    }

    fn joins(&self, host: &str, name: &str, trusted: &Path) -> Program {
        let port = self.address.rsplit(':').next().expect("a port");
        let args = args(&format!("wss://{host}:{port}"), name);
        Program::start_with(&args, "SSL_CERT_FILE", trusted)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

/// Writes a certificate and its key.
fn write_pair(folder: &Path, name: &str, certificate: CertificateParams) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().expect("random numbers");
    let certificate = certificate.self_signed(&key).expect("nothing is missing");
    let at = |what: &str| folder.join(format!("{name}.{what}"));
    std::fs::write(at("crt"), pem("CERTIFICATE", certificate.der())).expect("there is room");
    std::fs::write(at("key"), pem("PRIVATE KEY", &key.serialize_der())).expect("there is room");
    (at("crt"), at("key"))
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

#[test]
fn a_server_with_a_certificate_is_joined_by_tls() {
    let folder = tempfile::tempdir().expect("there is room");
    let (cert, key) = write_pair(folder.path(), "own", localhost());
    let server = Own::with_files(&cert, &key);
    assert_eq!(server.fingerprint.split(':').count(), 32);
    let mut ann = server.joins("localhost", "ann", &cert);
    let link = ann.event("joined")["link"].as_str().expect("a link").to_owned();
    assert!(link.starts_with("https://localhost:"), "{link}");
    let mut bob = server.joins("localhost", "bob", &cert);
    for person in [&mut ann, &mut bob] {
        person.event("connected");
    }
}

#[test]
fn a_certificate_of_its_own_making_stays_the_same() {
    let home = tempfile::tempdir().expect("there is room");
    let start = || Own::start(&["--tls", "self-signed"], "XDG_STATE_HOME", home.path());
    let server = start();
    let cert = home.path().join("facetty/tls-cert.pem");
    for host in ["localhost", "127.0.0.1"] {
        server.joins(host, "ann", &cert).event("joined");
    }
    let fingerprint = server.fingerprint.clone();
    server.program.kill();
    assert_eq!(start().fingerprint, fingerprint);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = std::fs::metadata(home.path().join("facetty/tls-key.pem")).expect("it is kept");
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn who_speaks_no_tls_to_its_port_is_told_where_to_go() {
    let folder = tempfile::tempdir().expect("there is room");
    let (cert, key) = write_pair(folder.path(), "own", localhost());
    let server = Own::with_files(&cert, &key);
    let mut plain = std::net::TcpStream::connect(&server.address).expect("it listens");
    let request = format!(
        "GET /lobby?a=b HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        server.address
    );
    plain.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("it answers");
    let location = format!("https://{}/lobby?a=b", server.address);
    assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
    assert!(answer.contains(&location), "{answer}");

    let ended = Program::start(&args(&format!("ws://{}", server.address), "ann")).ended();
    cannot_reach(&ended, &["wss: instead of ws:"]);
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_reason() {
    let folder = tempfile::tempdir().expect("there is room");
    let (cert, key) = write_pair(folder.path(), "own", localhost());
    let (_, other) = write_pair(folder.path(), "other", localhost());
    let mut old = localhost();
    old.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let (old, old_key) = write_pair(folder.path(), "old", old);
    let mut early = localhost();
    early.not_before = rcgen::date_time_ymd(2200, 1, 1);
    early.not_after = rcgen::date_time_ymd(2201, 1, 1);
    let (early, early_key) = write_pair(folder.path(), "early", early);
    let missing = folder.path().join("missing.pem");
    for (cert, key, named, why) in [
        (&missing, &key, &missing, "cannot read"),
        (&cert, &missing, &missing, "cannot read"),
        (&key, &key, &key, "no certificate"),
        (&cert, &cert, &cert, "no private key"),
        (&cert, &other, &other, "is not that of the certificate"),
        (&old, &old_key, &old, "has expired"),
        (&early, &early_key, &early, "is not valid yet"),
    ] {
        let (cert, key) = (cert.display().to_string(), key.display().to_string());
        let args = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--no-turn",
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
        ];
        let ended = Program::start(&args).ended();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert_eq!(ended.stderr.trim().lines().count(), 1, "{}", ended.stderr);
        let named = named.display().to_string();
        assert!(
            ended.stderr.contains(why) && ended.stderr.contains(&named),
            "{why}: {}",
            ended.stderr
        );
    }
    let ended = Program::start(&["serve", "--tls-cert", "own.crt"]).ended();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("--tls-key"), "{}", ended.stderr);
}

#[test]
fn a_renewed_certificate_is_shown_to_who_comes_next() {
    let folder = tempfile::tempdir().expect("there is room");
    let (cert, key) = write_pair(folder.path(), "own", localhost());
    let server = Own::with_files(&cert, &key);
    let mut ann = server.joins("localhost", "ann", &cert);
    ann.event("joined");
    // In the order and in the way of who renews them: another file takes the name.
    let (new_cert, new_key) = write_pair(folder.path(), "new", localhost());
    std::fs::rename(&new_key, &key).expect("the same folder");
    let mut bob = server.joins("localhost", "bob", &cert);
    bob.event("joined");
    std::fs::rename(&new_cert, &cert).expect("the same folder");
    let mut cleo = server.joins("localhost", "cleo", &cert);
    cleo.event("joined");
    for _ in 0..2 {
        cleo.event("connected");
    }
}
