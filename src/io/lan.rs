//! Finding a room without being told a server: on this machine and on the local network.
//!
//! Whoever opens a room with a server of their own [advertises](advertise) it; whoever wants to
//! join it [looks](find) for half a second at most.
//!
//! * **On the network** by mDNS (RFC 6762, DNS-SD: RFC 6763) as a service `_facetty._tcp`. An
//!   instance is called `HASH-KEY`: a hash of the room's name, so that the name is not told to
//!   everybody around, and a key that orders the instances of one room.
//! * **On this machine** by a file in the user's runtime directory, because there may be no network
//!   at all. It is named by the same hash, holds the server's address, and is locked for as long as
//!   its writer lives: the operating system unlocks what a crash leaves behind, so a file that is
//!   not locked means nothing.
//!
//! An address that was found is believed only once something accepts a connection there.
//!
//! # Two at the same moment
//!
//! Both find nothing, and both open a server. So whoever advertises goes on looking, and its
//! [`Watch`] yields the address to move to when another one turns out to come first: on one machine
//! the one that holds the lock (the other does not even go to the network), and between machines
//! the one whose key is smaller. A key begins with the time at which it was made, so it is usually
//! the older that stays. The order is the same for everybody, so the two never swap places. Who is
//! told to move connects to that address and drops the own [`Advert`] and server, also with people
//! there: they lose the server, look for the room and find the other one (`meet.rs`).

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use url::Url;

/// The service's type.
const SERVICE: &str = "_facetty._tcp.local.";

/// Looking takes so long at most. The answer to a first query takes 20 to 240 ms: both sides wait
/// a random time first (RFC 6762, sections 5.2 and 6).
const FIND_WITHIN: Duration = Duration::from_millis(500);

/// A server that was found accepts within this time, or is none.
const ALIVE_WITHIN: Duration = Duration::from_millis(300);

/// Somebody who holds a lock may be about to write the address, and somebody who only looks holds
/// it for an instant; both are over after a few of these pauses.
const LOCK_PAUSE: Duration = Duration::from_millis(5);
const LOCK_ATTEMPTS: usize = 20;

/// Looks for the server of a room; half a second at most, and no longer than it takes. Needs a
/// tokio runtime.
pub async fn find(room: &str) -> Option<Url> {
    Neighbourhood::of_this_user().find(&Tag::new(room)).await
}

/// Tells this machine and the network of a server at `addr` (an unspecified address means all
/// interfaces) for a room. A network that cannot be told is no error: others need a link then.
/// Needs a tokio runtime.
pub fn advertise(room: &str, addr: SocketAddr) -> (Advert, Watch) {
    Neighbourhood::of_this_user().advertise(Tag::new(room), addr)
}

/// A room that others can find, until this is dropped.
#[derive(Debug)]
pub struct Advert {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Advert {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Yields where to move to when somebody else has opened the same room first.
#[derive(Debug)]
pub struct Watch {
    found: mpsc::Receiver<Url>,
}

impl Watch {
    /// The server that comes first. Waits for ever where there is none. Cancelling it loses
    /// nothing.
    pub async fn moved(&mut self) -> Url {
        match self.found.recv().await {
            Some(url) => url,
            None => std::future::pending().await,
        }
    }
}

/// Where to look and to tell.
#[derive(Clone, Debug)]
struct Neighbourhood {
    /// The directory of the files; none where there is no safe one.
    dir: Option<PathBuf>,
    mdns: bool,
}

impl Neighbourhood {
    fn of_this_user() -> Self {
        let dir = runtime_dir()
            .inspect_err(|e| tracing::debug!("no runtime directory: {e}"))
            .ok();
        Self { dir, mdns: true }
    }

    async fn find(&self, tag: &Tag) -> Option<Url> {
        let found = async {
            if let Some(url) = self.find_here(tag).await {
                return Some(url);
            }
            if !self.mdns {
                return None;
            }
            let browser = Mdns::start()
                .inspect_err(|e| tracing::debug!("no mDNS: {e}"))
                .ok()?;
            browser.first(tag, |_| true).await
        };
        timeout(FIND_WITHIN, found).await.ok().flatten()
    }

    async fn find_here(&self, tag: &Tag) -> Option<Url> {
        let path = self.dir.as_ref()?.join(&tag.0);
        for _ in 0..LOCK_ATTEMPTS {
            let mut file = File::open(&path).ok()?;
            match file.try_lock_shared() {
                // Nobody lives there; closing the file unlocks it.
                Ok(()) | Err(TryLockError::Error(_)) => return None,
                Err(TryLockError::WouldBlock) => {}
            }
            if let Some(addr) = read_address(&mut file) {
                return first_alive(vec![addr]).await;
            }
            sleep(LOCK_PAUSE).await;
        }
        None
    }

    fn advertise(self, tag: Tag, addr: SocketAddr) -> (Advert, Watch) {
        let (found, watch) = mpsc::channel(4);
        let task = tokio::spawn(async move {
            let _claim = match &self.dir {
                Some(dir) => match self.claim(dir, &tag, addr).await {
                    Ok(Claim::Theirs(url)) => {
                        let _ = found.send(url).await;
                        return;
                    }
                    Ok(Claim::Ours(file)) => Some(file),
                    Err(e) => {
                        tracing::debug!("cannot tell this machine of the room: {e}");
                        None
                    }
                },
                None => None,
            };
            if self.mdns {
                match Mdns::start() {
                    Ok(mdns) => mdns.advertise(&tag, addr, &found).await,
                    Err(e) => tracing::debug!("cannot tell the network of the room: {e}"),
                }
            }
            std::future::pending::<()>().await;
        });
        (Advert { task }, Watch { found: watch })
    }

    /// Takes the room's place on this machine, or says who has it.
    async fn claim(&self, dir: &Path, tag: &Tag, addr: SocketAddr) -> io::Result<Claim> {
        let path = dir.join(&tag.0);
        for _ in 0..LOCK_ATTEMPTS {
            // Never removed, only emptied: two processes might each lock a file of that name.
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)?;
            match file.try_lock() {
                Ok(()) => {
                    file.set_len(0)?;
                    writeln!(file, "{}", reachable_here(addr))?;
                    return Ok(Claim::Ours(Locked(file)));
                }
                Err(TryLockError::Error(e)) => return Err(e),
                Err(TryLockError::WouldBlock) => {}
            }
            if let Some(addr) = read_address(&mut file)
                && let Some(url) = first_alive(vec![addr]).await
            {
                return Ok(Claim::Theirs(url));
            }
            sleep(LOCK_PAUSE).await;
        }
        Err(io::Error::other(
            "its place is taken by something that does not answer",
        ))
    }
}

/// What a room is called in public: 128 bits of SHA-256, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag(String);

impl Tag {
    fn new(room: &str) -> Self {
        let digest = Sha256::digest(format!("facetty room 1\n{room}"));
        Self(HEXLOWER.encode(&digest[..16]))
    }

    /// The key of an instance `HASH-KEY.…` of this room.
    fn key_of<'a>(&self, fullname: &'a str) -> Option<&'a str> {
        let instance = fullname.split('.').next()?;
        instance.strip_prefix(&self.0)?.strip_prefix('-')
    }
}

enum Claim {
    Ours(Locked),
    Theirs(Url),
}

/// A locked file, emptied at the end.
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.set_len(0);
    }
}

/// The daemon of the mDNS library, ended with this. It says good-bye for what it advertised.
struct Mdns(ServiceDaemon);

impl Drop for Mdns {
    fn drop(&mut self) {
        let _ = self.0.shutdown();
    }
}

impl Mdns {
    fn start() -> mdns_sd::Result<Self> {
        ServiceDaemon::new().map(Self)
    }

    /// The first living instance of the room whose key is right.
    async fn first(&self, tag: &Tag, is_right: impl Fn(&str) -> bool) -> Option<Url> {
        let events = self.0.browse(SERVICE).ok()?;
        while let Ok(event) = events.recv_async().await {
            let ServiceEvent::ServiceResolved(service) = event else {
                continue;
            };
            if tag.key_of(&service.fullname).is_some_and(&is_right)
                && let Some(url) = first_alive(addresses(&service)).await
            {
                return Some(url);
            }
        }
        None
    }

    /// Advertises, and tells of instances with smaller keys, for as long as it is awaited.
    async fn advertise(&self, tag: &Tag, addr: SocketAddr, found: &mpsc::Sender<Url>) {
        let own = new_key();
        let service = match service(tag, &own, addr) {
            Ok(service) => service,
            Err(e) => return tracing::debug!("cannot describe the room to the network: {e}"),
        };
        if let Err(e) = self.0.register(service) {
            return tracing::debug!("cannot tell the network of the room: {e}");
        }
        if let Some(url) = self.first(tag, |key| key < own.as_str()).await {
            let _ = found.send(url).await;
        }
        std::future::pending().await
    }
}

fn service(tag: &Tag, key: &str, addr: SocketAddr) -> mdns_sd::Result<ServiceInfo> {
    let instance = format!("{}-{key}", tag.0);
    let host = format!("facetty-{key}.local.");
    let everywhere = addr.ip().is_unspecified();
    let ip = if everywhere {
        String::new()
    } else {
        addr.ip().to_string()
    };
    let service = ServiceInfo::new(
        SERVICE,
        &instance,
        &host,
        ip.as_str(),
        addr.port(),
        &[("v", "1")][..],
    )?;
    let mut service = if everywhere {
        service.enable_addr_auto()
    } else {
        service
    };
    // Its name is unique by its key; probing for it first would take 750 ms.
    service.set_requires_probe(false);
    Ok(service)
}

/// Those that a link can name, IPv4 first.
fn addresses(service: &ResolvedService) -> Vec<SocketAddr> {
    let names_interface = |ip: &IpAddr| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let ips = service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr);
    let mut all: Vec<_> = ips
        .filter(|ip| !names_interface(ip))
        .map(|ip| SocketAddr::new(ip, service.port))
        .collect();
    all.sort_by_key(SocketAddr::is_ipv6);
    all
}

/// The first of the addresses that accepts a connection.
async fn first_alive(addresses: Vec<SocketAddr>) -> Option<Url> {
    let mut attempts = JoinSet::new();
    for address in addresses {
        attempts.spawn(async move { TcpStream::connect(address).await.map(|_| address) });
    }
    let first = async {
        while let Some(done) = attempts.join_next().await {
            if let Ok(Ok(address)) = done {
                return Url::parse(&format!("http://{address}/")).ok();
            }
        }
        None
    };
    timeout(ALIVE_WITHIN, first).await.ok().flatten()
}

fn read_address(file: &mut File) -> Option<SocketAddr> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(100).read_to_string(&mut text).ok()?;
    // Without the end of the line it is not yet written in full.
    text.strip_suffix('\n')?.parse().ok()
}

fn reachable_here(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// Orders the instances of a room: the time first, in milliseconds, then chance. Clocks that differ
/// only make it a different one that stays.
fn new_key() -> String {
    #[allow(clippy::disallowed_methods)]
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let mut random = [0; 4];
    getrandom::fill(&mut random).expect("the operating system has random numbers");
    format!(
        "{:012x}{}",
        since.as_millis() & 0xffff_ffff_ffff,
        HEXLOWER.encode(&random)
    )
}

/// A directory of this user alone.
fn runtime_dir() -> io::Result<PathBuf> {
    let dir = match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(dir) if dir.is_absolute() && dir.is_dir() => dir.join("facetty"),
        _ => std::env::temp_dir().join(format!("facetty-{}", user())),
    };
    own_dir(&dir)?;
    Ok(dir)
}

#[cfg(unix)]
fn user() -> String {
    rustix::process::getuid().as_raw().to_string()
}

#[cfg(not(unix))]
fn user() -> String {
    whoami::username().unwrap_or_default()
}

/// Makes the directory, or makes sure that it is one that nobody else can write to: in a shared
/// place for temporary files, anybody could have made it before.
fn own_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let found = std::fs::symlink_metadata(dir)?;
    #[cfg(unix)]
    let is_ours = {
        use std::os::unix::fs::MetadataExt;
        found.uid() == rustix::process::getuid().as_raw() && found.mode() & 0o022 == 0
    };
    #[cfg(not(unix))]
    let is_ours = true;
    if found.is_dir() && is_ours {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "{} is not a directory of this user alone",
            dir.display()
        )))
    }
}

#[cfg(test)]
mod tests;
