//! The meeting point: HTTP, WebSockets, and the rooms behind them.
//!
//! One task owns the [`Rooms`]; each WebSocket is a task of its own that talks to it through a
//! bounded queue and is given what to send through another one. The owner never waits for a
//! reader: what does not fit into a queue ends that socket and no other.

mod accept;
mod http;
mod ice;
pub mod relay;
pub mod tls;
mod websocket;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};

use self::accept::accept;
use self::ice::Ice;
use self::relay::{RelayOptions, RelayServer};
use self::tls::{Tls, TlsError, TlsOptions};
use self::websocket::{Event, Order, Outbox};
use super::clock;
use crate::signal::limits::Limits;
use crate::signal::message::IceServer;
use crate::signal::relay::Secret;
use crate::signal::rooms::{Output, Rooms};

/// The kernel's buffer behind each socket: with it, a reader who sleeps is noticed after a few
/// messages and not after megabytes. (Linux doubles it.)
const SEND_BUFFER: u32 = 64 * 1024;

/// Messages on their way to the rooms, of all sockets; when it is full they wait in TCP.
const EVENTS: usize = 256;

/// The good-bye of a closed socket, and of all of them at the end, may take so long.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Where it listens; port 0 picks one.
    pub listen: SocketAddr,
    /// Rooms at a time.
    pub max_rooms: usize,
    /// People in a room.
    pub max_peers: usize,
    /// Origins (`https://example.org`) whose pages may join, beside the server's own.
    pub allow_origin: Vec<String>,
    /// Told to whoever joins.
    pub ice_servers: Vec<IceServer>,
    /// TURN servers of others that take credentials made with a common secret, and that secret.
    pub timed: Option<(Vec<String>, Secret)>,
    /// The own STUN and TURN server.
    pub relay: Option<RelayOptions>,
    /// `https:` and `wss:` instead of `http:` and `ws:`.
    pub tls: Option<TlsOptions>,
}

impl ServeConfig {
    /// At `listen`, with the usual [`Limits`].
    pub fn new(listen: SocketAddr) -> Self {
        let Limits { max_rooms, max_peers } = Limits::default();
        Self {
            listen,
            max_rooms,
            max_peers,
            allow_origin: Vec::new(),
            ice_servers: Vec::new(),
            timed: None,
            relay: None,
            tls: None,
        }
    }
}

/// Why a server did not start. The texts are whole sentences for a user.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Somebody listens there.
    #[error("port {port} is in use by another program; choose another with --listen", port = .0.port())]
    InUse(SocketAddr),
    /// Not without more rights.
    #[error("listening on {0} is not permitted; choose a port above 1023 with --listen")]
    NotPermitted(SocketAddr),
    /// Not an address of this machine.
    #[error("{0} is no address of this machine; choose one with --listen, or 0.0.0.0 for all")]
    NotHere(IpAddr),
    /// Anything else.
    #[error("cannot listen on {1}: {0}")]
    Bind(#[source] io::Error, SocketAddr),
    /// What is wrong with the certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The relay's port.
    #[error("cannot relay on {1}: {0}; choose another address with --turn-listen, or none with --no-turn")]
    Relay(#[source] io::Error, SocketAddr),
}

/// A server that listens and waits to be [run](Server::run). What comes before that waits in the
/// kernel.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local: SocketAddr,
    config: ServeConfig,
    relay: Option<RelayServer>,
    tls: Option<Tls>,
}

impl Server {
    /// Listens. Needs a tokio runtime.
    pub fn bind(config: ServeConfig) -> Result<Self, ServeError> {
        let at = config.listen;
        let listen = || {
            let socket = if at.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }?;
            // So that a restart does not wait for the connections of before. Elsewhere it would
            // allow two servers on one port.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            // Those that are accepted inherit it.
            socket.set_send_buffer_size(SEND_BUFFER)?;
            socket.bind(at)?;
            let listener = socket.listen(1024)?;
            let local = listener.local_addr()?;
            Ok((listener, local))
        };
        let (listener, local) = listen().map_err(|e: io::Error| match e.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse(at),
            io::ErrorKind::PermissionDenied => ServeError::NotPermitted(at),
            io::ErrorKind::AddrNotAvailable => ServeError::NotHere(at.ip()),
            _ => ServeError::Bind(e, at),
        })?;
        let tls = config.tls.clone();
        let mut names = tls::own_names(local.ip());
        let public = config.relay.as_ref().and_then(|relay| relay.public_ip);
        names.extend(public.map(|ip| ip.to_string()));
        let tls = tls.map(|options| Tls::open(options, &names));
        let tls = tls.transpose()?;
        let relay = config.relay.clone().map(|options| {
            let at = options.listen;
            RelayServer::start(options).map_err(|e| ServeError::Relay(e, at))
        });
        Ok(Self {
            listener,
            local,
            config,
            relay: relay.transpose()?,
            tls,
        })
    }

    /// Its certificate, where it speaks TLS.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Where its STUN and TURN server listens, if it has one.
    pub fn relay_addr(&self) -> Option<SocketAddr> {
        self.relay.as_ref().map(RelayServer::local_addr)
    }

    /// Where it listens, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `shutdown` is ready; then every socket is closed (1001, going away), which may
    /// take a second. Dropping the future ends everything as well, without the good-byes.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listener,
            local,
            config,
            relay,
            tls,
        } = self;
        let limits = Limits {
            max_rooms: config.max_rooms,
            max_peers: config.max_peers,
        };
        let ice = Ice::new(config.timed, config.relay.as_ref(), relay.as_ref(), tls.is_some());
        let door = relay.as_ref().map(RelayServer::door);
        let rooms = Rooms::new(limits, config.ice_servers);
        let (events, inbox) = mpsc::channel(EVENTS);
        let (all, alive) = watch::channel(());
        let shared = Shared {
            local,
            is_secure: tls.is_some(),
            allow_origin: config.allow_origin,
            ice,
            next_socket: AtomicU64::new(0),
            events,
            alive,
        };
        let app = Router::new()
            .route("/", get(http::home))
            .route("/healthz", get(async || "ok\n"))
            .route("/ws", get(http::websocket))
            .route("/page/{version}/{*name}", get(http::part))
            .route("/{room}", get(http::room))
            .fallback(http::not_found)
            .with_state(Arc::new(shared));
        tokio::select! {
            () = shutdown => {}
            () = accept(listener, app, tls, door) => {}
            () = run_rooms(rooms, inbox) => {}
        }
        // The queues ended with the rooms, and each socket's task says good-bye.
        let _ = timeout(CLOSE_WITHIN, all.closed()).await;
        drop(relay);
    }
}

/// The addresses by which others reach a server that listens on `addr`, the likeliest first:
/// that of the interface with the default route, other IPv4, then IPv6. Those of this machine alone
/// only where there is no other. `scheme`: `http` or `https`.
pub fn urls(scheme: &str, addr: SocketAddr) -> Vec<String> {
    let url = |ip: IpAddr| format!("{scheme}://{}", SocketAddr::new(ip, addr.port()));
    if !addr.ip().is_unspecified() {
        return vec![url(addr.ip())];
    }
    let fits = |ip: &IpAddr| ip.is_ipv4() || addr.is_ipv6();
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut ips: Vec<IpAddr> = interfaces
        .iter()
        .map(|i| i.ip())
        .filter(fits)
        .filter(is_reachable)
        .collect();
    let primary = primary_ip();
    ips.sort_by_key(|ip| (Some(*ip) != primary, ip.is_ipv6()));
    ips.dedup();
    if ips.is_empty() {
        ips.push(IpAddr::from([127, 0, 0, 1]));
    }
    ips.into_iter().map(url).collect()
}

/// By others; a link-local IPv6 address would need to say through which interface.
fn is_reachable(ip: &IpAddr) -> bool {
    let link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !ip.is_loopback() && !ip.is_unspecified() && !link_local
}

/// The address from which the rest of the world would be talked to; nothing is sent.
fn primary_ip() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// What the HTTP side knows.
struct Shared {
    local: SocketAddr,
    /// By TLS of its own.
    is_secure: bool,
    allow_origin: Vec<String>,
    ice: Ice,
    next_socket: AtomicU64,
    events: mpsc::Sender<Event>,
    /// Held by each socket's task, so that the end can be waited for.
    alive: watch::Receiver<()>,
}

/// Owns the rooms until no socket can come any more.
async fn run_rooms(mut rooms: Rooms, mut inbox: mpsc::Receiver<Event>) {
    let mut outboxes = std::collections::HashMap::new();
    loop {
        let deadline = rooms.poll_timeout();
        tokio::select! {
            event = inbox.recv() => {
                let Some(event) = event else { return };
                let now = clock::now();
                match event {
                    Event::Open(socket, from, ice_servers, outbox) => {
                        outboxes.insert(socket, outbox);
                        rooms.handle_open(socket, from, now);
                        rooms.set_ice_servers(socket, ice_servers);
                    }
                    Event::Text(socket, text) => rooms.handle_message(socket, &text, now),
                    Event::Junk(socket, code) => rooms.handle_junk(socket, code, now),
                    Event::Closed(socket) => {
                        outboxes.remove(&socket);
                        rooms.handle_closed(socket);
                    }
                }
            }
            () = sleep_until(deadline.unwrap_or_else(clock::now).into()), if deadline.is_some() => {
                rooms.handle_timeout(clock::now());
            }
        }
        while let Some(output) = rooms.poll_output() {
            match output {
                Output::Send(socket, text) => {
                    if outboxes
                        .get(&socket)
                        .is_some_and(|outbox: &Outbox| !outbox.send(text))
                    {
                        tracing::debug!("closing socket {}, which reads too slowly", socket.0);
                        outboxes.remove(&socket);
                        rooms.handle_closed(socket);
                    }
                }
                Output::Close(socket) => {
                    if let Some(outbox) = outboxes.remove(&socket) {
                        // Where it does not fit, the end of the queue closes as well.
                        let _ = outbox.orders.try_send(Order::Close);
                    }
                }
            }
        }
    }
}
