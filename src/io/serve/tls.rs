//! TLS for a server: whose certificate, read again when it is renewed, and what comes without TLS to its
//! port.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use data_encoding::HEXUPPER;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SerialNumber};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, Error, RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use thiserror::Error as ThisError;
use tokio_rustls::TlsAcceptor;

/// How long a certificate of our own holds: the most that browsers take of any.
const HOLDS: Duration = Duration::from_secs(397 * 24 * 3600);

/// So long before its end it is made anew at a start.
const RENEWED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Whose certificate a server shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsOptions {
    /// One that was given to the user.
    Files {
        /// The certificate and those between it and its authority, PEM.
        cert: PathBuf,
        /// Its key, PEM.
        key: PathBuf,
    },
    /// One that nobody has signed but itself, kept in this folder.
    SelfSigned {
        /// Made where it is missing.
        folder: PathBuf,
    },
}

/// What is wrong with a certificate or its key. The texts are whole sentences for a user.
#[derive(Debug, ThisError)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, #[source] io::Error),
    /// There is no certificate in it.
    #[error("there is no certificate in {0}; it has to be PEM, the server's certificate first")]
    NoCertificate(String),
    /// There is no key in it.
    #[error("there is no private key in {0}; it has to be PEM, and not encrypted")]
    NoKey(String),
    /// They are of different pairs.
    #[error("the key in {1} is not that of the certificate in {0}; name the two that were made together")]
    NoPair(String, String),
    /// Its time is over, or has not begun.
    #[error("the certificate in {0} {1}; renew it, or check this machine's clock")]
    Time(String, &'static str),
    /// Anything else.
    #[error("the certificate in {0} cannot be used: {1}")]
    Unusable(String, String),
    /// The folder cannot be written to.
    #[error("cannot keep a certificate in {0}: {1}; name files with --tls-cert and --tls-key")]
    Keep(String, #[source] io::Error),
    /// No certificate can be made.
    #[error("no certificate can be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// A certificate in use.
#[derive(Debug)]
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    read: Stamps,
    acceptor: TlsAcceptorDebug,
    fingerprint: String,
}

/// When the two files were changed last.
type Stamps = [Option<SystemTime>; 2];

/// [`TlsAcceptor`], which says nothing of itself.
struct TlsAcceptorDebug(TlsAcceptor);

impl std::fmt::Debug for TlsAcceptorDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

impl Tls {
    /// Reads what `options` name, or makes it; `names` are those under which this server may be asked for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(options: TlsOptions, names: &[String]) -> Result<Self, TlsError> {
        let (cert, key) = match options {
            TlsOptions::Files { cert, key } => (cert, key),
            TlsOptions::SelfSigned { folder } => {
                let (cert, key) = (folder.join("tls-cert.pem"), folder.join("tls-key.pem"));
                if !is_kept(&cert, &key, names) {
                    make(&folder, &cert, &key, names)?;
                }
                (cert, key)
            }
        };
        let read = stamps(&cert, &key);
        let pair = load(&cert, &key, UnixTime::now())?;
        let fingerprint = fingerprint(&pair.cert[0]);
        Ok(Self {
            acceptor: TlsAcceptorDebug(acceptor(pair)),
            fingerprint,
            cert,
            key,
            read,
        })
    }

    /// The certificate's SHA-256, as browsers show it: pairs of hexadecimal digits parted by colons.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// For the next connection: with the certificate that the files hold now. One that cannot be used
    /// leaves the one of before.
    pub fn acceptor(&mut self) -> TlsAcceptor {
        let now = stamps(&self.cert, &self.key);
        if now != self.read {
            self.read = now;
            match load(&self.cert, &self.key, UnixTime::now()) {
                Ok(pair) => {
                    self.fingerprint = fingerprint(&pair.cert[0]);
                    tracing::info!(fingerprint = self.fingerprint, "the certificate was renewed");
                    self.acceptor.0 = acceptor(pair);
                }
                // The key may follow in a moment: the next change is looked at again.
                Err(error) => tracing::warn!(%error, "the certificate stays as it was"),
            }
        }
        self.acceptor.0.clone()
    }
}

fn acceptor(pair: CertifiedKey) -> TlsAcceptor {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(pair));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Sockets live for hours: resuming spares nothing.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    TlsAcceptor::from(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn load(cert: &Path, key: &Path, now: UnixTime) -> Result<CertifiedKey, TlsError> {
    let (cert_name, key_name) = (cert.display().to_string(), key.display().to_string());
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| TlsError::Read(path.display().to_string(), error));
    let (cert, key) = (read(cert)?, read(key)?);
    let chain = CertificateDer::pem_slice_iter(&cert).collect::<Result<Vec<_>, _>>();
    let chain = chain.unwrap_or_default();
    let Some(own) = chain.first() else {
        return Err(TlsError::NoCertificate(cert_name));
    };
    if let Some(wrong) = wrong_time(own, now) {
        return Err(TlsError::Time(cert_name, wrong));
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey(key_name.clone()))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(_) => TlsError::NoPair(cert_name, key_name),
        error => TlsError::Unusable(cert_name, error.to_string()),
    })
}

/// Whether the certificate's time is over or has not begun.
fn wrong_time(cert: &CertificateDer<'_>, now: UnixTime) -> Option<&'static str> {
    let parsed = ParsedCertificate::try_from(cert).ok()?;
    let algorithms = provider().signature_verification_algorithms.all;
    // Without a root nothing is trusted; but the time is looked at first.
    let roots = RootCertStore::empty();
    match verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms) {
        Err(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Some("has expired"),
        Err(Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Some("is not valid yet"),
        _ => None,
    }
}

/// A certificate of before that still serves: for all of the names, and not for its last days.
fn is_kept(cert: &Path, key: &Path, names: &[String]) -> bool {
    let soon = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + RENEWED);
    let Ok(pair) = load(cert, key, soon) else {
        return false;
    };
    let Ok(parsed) = ParsedCertificate::try_from(&pair.cert[0]) else {
        return false;
    };
    names.iter().all(|name| {
        let name = ServerName::try_from(name.as_str());
        name.is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    })
}

fn make(folder: &Path, cert: &Path, key: &Path, names: &[String]) -> Result<(), TlsError> {
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "facetty");
    params.distinguished_name = name;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.serial_number = Some(SerialNumber::from_slice(&pair.public_key_raw()[..8]));
    let now = Duration::from_secs(UnixTime::now().as_secs());
    let date = |at: Duration| SystemTime::UNIX_EPOCH + at;
    // Clocks differ.
    params.not_before = date(now.saturating_sub(Duration::from_secs(24 * 3600))).into();
    params.not_after = date(now + HOLDS - Duration::from_secs(24 * 3600)).into();
    let certificate = params.self_signed(&pair)?;
    let keep = |error| TlsError::Keep(folder.display().to_string(), error);
    std::fs::create_dir_all(folder).map_err(keep)?;
    write_secret(key, &pem("PRIVATE KEY", &pair.serialize_der())).map_err(keep)?;
    std::fs::write(cert, pem("CERTIFICATE", certificate.der())).map_err(keep)
}

/// For the user's eyes alone.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = std::fs::File::options();
    // A new file: one that is there would keep its own permissions.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let fresh = path.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    io::Write::write_all(&mut options.open(&fresh)?, text.as_bytes())?;
    std::fs::rename(&fresh, path)
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + &format!("-----END {label}-----\n")
}

fn fingerprint(cert: &CertificateDer<'_>) -> String {
    let digest = Sha256::digest(cert);
    let pairs: Vec<String> = digest.iter().map(|byte| HEXUPPER.encode(&[*byte])).collect();
    pairs.join(":")
}

fn stamps(cert: &Path, key: &Path) -> Stamps {
    [cert, key].map(|path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok())
}

/// Under what this machine may be asked for, by others and by itself.
pub fn own_names(listen: IpAddr) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if listen.is_unspecified() {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let ips = interfaces.iter().map(|interface| interface.ip());
        // Addresses that nobody can name, or at which nobody is listened to, come and go: with them the
        // certificate would be another one at each start.
        let is_asked_for = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
            IpAddr::V6(ip) => listen.is_ipv6() && !ip.is_loopback() && !ip.is_unicast_link_local(),
        };
        names.extend(ips.filter(is_asked_for).map(|ip| ip.to_string()));
    } else {
        names.push(listen.to_string());
    }
    if let Ok(host) = whoami::hostname() {
        let is_name = |name: &str| ServerName::try_from(name.to_owned()).is_ok();
        let local = format!("{host}.local");
        names.extend([host, local].into_iter().filter(|name| is_name(name)));
    }
    names.sort();
    names.dedup();
    names
}
