//! The meeting point: HTTP, WebSockets, and the rooms behind them.
//!
//! One task owns the [`Rooms`]; each WebSocket is a task of its own that talks to it through a
//! bounded queue and is given what to send through another one. The owner never waits for a
//! reader: what does not fit into a queue ends that socket and no other.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite;
use url::Url;

use super::{clock, page};
use crate::signal::limits::{Check, Limits, Liveness, MAX_QUEUED, WRITE_WITHIN};
use crate::signal::message::{ErrorCode, IceServer, MAX_MESSAGE, is_room_name};
use crate::signal::rooms::{Output, Rooms, SocketId};

/// What tungstenite takes at a time; its own 128 KiB would be most of what a quiet socket costs.
const READ_BUFFER: usize = 4 * 1024;

/// What tungstenite gathers before it writes.
const WRITE_BUFFER: usize = 8 * 1024;

/// The kernel's buffer behind each socket: with it, a reader who sleeps is noticed after a few
/// messages and not after megabytes. (Linux doubles it.)
const SEND_BUFFER: u32 = 64 * 1024;

/// Messages that may wait for one reader, whatever their size.
const QUEUE: usize = 256;

/// Messages on their way to the rooms, of all sockets; when it is full they wait in TCP.
const EVENTS: usize = 256;

/// A request's head must have come within this time, and the next one on a kept connection.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

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
}

/// A server that listens and waits to be [run](Server::run). What comes before that waits in the
/// kernel.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local: SocketAddr,
    config: ServeConfig,
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
        Ok(Self {
            listener,
            local,
            config,
        })
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
        } = self;
        let limits = Limits {
            max_rooms: config.max_rooms,
            max_peers: config.max_peers,
        };
        let rooms = Rooms::new(limits, config.ice_servers);
        let (events, inbox) = mpsc::channel(EVENTS);
        let (all, alive) = watch::channel(());
        let shared = Shared {
            local,
            allow_origin: config.allow_origin,
            next_socket: AtomicU64::new(0),
            events,
            alive,
        };
        let app = Router::new()
            .route("/", get(home))
            .route("/healthz", get(async || "ok\n"))
            .route("/ws", get(websocket))
            .route("/{room}", get(room))
            .fallback(async || page::not_found())
            .with_state(Arc::new(shared));
        tokio::select! {
            () = shutdown => {}
            () = accept(listener, app) => {}
            () = run_rooms(rooms, inbox) => {}
        }
        // The queues ended with the rooms, and each socket's task says good-bye.
        let _ = timeout(CLOSE_WITHIN, all.closed()).await;
    }
}

/// The addresses by which others reach a server that listens on `addr`, the likeliest first:
/// that of the interface with the default route, other IPv4, then IPv6. Those of this machine alone
/// only where there is no other.
pub fn urls(addr: SocketAddr) -> Vec<String> {
    let url = |ip: IpAddr| format!("http://{}", SocketAddr::new(ip, addr.port()));
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
    allow_origin: Vec<String>,
    next_socket: AtomicU64,
    events: mpsc::Sender<Event>,
    /// Held by each socket's task, so that the end can be waited for.
    alive: watch::Receiver<()>,
}

/// From a socket's task to the owner of the rooms.
enum Event {
    Open(SocketId, Option<IpAddr>, Outbox),
    Text(SocketId, Utf8Bytes),
    Junk(SocketId, ErrorCode),
    Closed(SocketId),
}

/// From the owner of the rooms to a socket's task.
enum Order {
    Send(String),
    Close,
}

/// The owner's end of a socket's queue.
struct Outbox {
    orders: mpsc::Sender<Order>,
    /// Bytes in the queue.
    queued: Arc<AtomicUsize>,
}

impl Outbox {
    /// False: the reader is too slow.
    fn send(&self, text: String) -> bool {
        let len = text.len();
        let fits = self.queued.fetch_add(len, Ordering::Relaxed) + len <= MAX_QUEUED;
        fits && self.orders.try_send(Order::Send(text)).is_ok()
    }
}

async fn accept(listener: TcpListener, app: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let app = app.clone().layer(Extension(From(from.ip())));
                    connections.spawn(serve_http(stream, app));
                }
                Err(e) if is_of_one_connection(&e) => {}
                Err(e) => {
                    // Out of descriptors or memory: others must go before somebody can come.
                    tracing::warn!("cannot accept a connection: {e}");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn is_of_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        e.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

async fn serve_http(stream: TcpStream, app: Router) {
    // Offers and candidates are small, and each is waited for.
    let _ = stream.set_nodelay(true);
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .with_upgrades()
        .await;
    if let Err(e) = served {
        tracing::debug!("a connection ended: {e}");
    }
}

async fn home(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    page::home(&public_url(&headers, shared.local))
}

async fn room(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(name): Path<String>) -> Response {
    if !is_room_name(&name) {
        return page::not_found();
    }
    page::room(&public_url(&headers, shared.local), &name)
}

async fn websocket(
    State(shared): State<Arc<Shared>>,
    Extension(From(from)): Extension<From>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    if !is_allowed(&headers, &shared.allow_origin) {
        return (
            StatusCode::FORBIDDEN,
            "this origin may not join here (--allow-origin)\n",
        )
            .into_response();
    }
    let from = client(from, &headers);
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        // One whole message and its header beside what was gathered.
        .max_write_buffer_size(WRITE_BUFFER + MAX_MESSAGE + 16)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(async move |socket| {
            let alive = shared.alive.clone();
            let id = SocketId(shared.next_socket.fetch_add(1, Ordering::Relaxed));
            let events = shared.events.clone();
            drop(shared);
            serve_socket(socket, id, from, events).await;
            drop(alive);
        })
}

/// The other end of a connection.
#[derive(Clone, Copy)]
struct From(IpAddr);

/// Who asks: `None` for this machine itself. A proxy on this machine says for whom it asks; what
/// came to it under that header stands before its own word.
fn client(from: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    if !from.to_canonical().is_loopback() {
        return Some(from);
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back()?;
    let last = forwarded.to_str().ok()?.rsplit(',').next()?;
    last.trim().parse().ok()
}

/// An `Origin`, which browsers send and forge for nobody, must be the server's own or listed;
/// otherwise any page could speak with the rights of whoever looks at it. Terminals send none.
fn is_allowed(headers: &HeaderMap, allow_origin: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else { return false };
    let listed = |allowed: &String| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin);
    if allow_origin.iter().any(listed) {
        return true;
    }
    let (Ok(origin), Some(host)) = (Url::parse(origin), host(headers)) else {
        return false;
    };
    // With the origin's own scheme, so that a default port may be left out on either side.
    let Ok(own) = Url::parse(&format!("{}://{host}", origin.scheme())) else {
        return false;
    };
    origin.origin().is_tuple() && origin.origin() == own.origin()
}

/// How the browser that asks reached the server, which is how others may.
fn public_url(headers: &HeaderMap, local: SocketAddr) -> String {
    let secure = headers
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto == "https");
    let scheme = if secure { "https" } else { "http" };
    match host(headers) {
        Some(host) => format!("{scheme}://{host}"),
        None => format!("{scheme}://{local}"),
    }
}

fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(HOST)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    (!host.is_empty() && host.bytes().all(plain)).then_some(host)
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
                    Event::Open(socket, from, outbox) => {
                        outboxes.insert(socket, outbox);
                        rooms.handle_open(socket, from, now);
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

/// One WebSocket, from its opening to its end.
async fn serve_socket(
    mut socket: WebSocket,
    id: SocketId,
    from: Option<IpAddr>,
    events: mpsc::Sender<Event>,
) {
    let (sender, mut orders) = mpsc::channel(QUEUE);
    let queued = Arc::new(AtomicUsize::new(0));
    let outbox = Outbox {
        orders: sender,
        queued: queued.clone(),
    };
    if events.send(Event::Open(id, from, outbox)).await.is_err() {
        return;
    }
    let ended = converse(&mut socket, id, &events, &mut orders, &queued).await;
    let _ = events.send(Event::Closed(id)).await;
    if let Ended::Here(code) = ended {
        let _ = timeout(CLOSE_WITHIN, say_goodbye(&mut socket, code)).await;
    }
}

/// How a conversation ended.
enum Ended {
    /// By this side, with this code.
    Here(u16),
    /// By the other side, or by an error.
    There,
}

async fn converse(
    socket: &mut WebSocket,
    id: SocketId,
    events: &mpsc::Sender<Event>,
    orders: &mut mpsc::Receiver<Order>,
    queued: &AtomicUsize,
) -> Ended {
    let mut live = Liveness::new(clock::now());
    let check = sleep_until(live.deadline().into());
    tokio::pin!(check);
    loop {
        tokio::select! {
            order = orders.recv() => {
                let text = match order {
                    Some(Order::Send(text)) => text,
                    Some(Order::Close) => return Ended::Here(close_code::NORMAL),
                    None if events.is_closed() => return Ended::Here(close_code::AWAY),
                    None => return Ended::Here(close_code::POLICY),
                };
                let len = text.len();
                if !write(socket, Message::text(text)).await {
                    return Ended::There;
                }
                queued.fetch_sub(len, Ordering::Relaxed);
                live.handle_spoke(clock::now());
            }
            message = socket.recv() => {
                live.handle_heard(clock::now());
                let event = match message {
                    Some(Ok(Message::Text(text))) => Event::Text(id, text),
                    Some(Ok(Message::Binary(_))) => Event::Junk(id, ErrorCode::Malformed),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Err(e)) if is_too_large(&e) => {
                        // What follows on the wire is the rest of it: nothing more can be read.
                        if events.send(Event::Junk(id, ErrorCode::TooLarge)).await.is_err() {
                            return Ended::Here(close_code::AWAY);
                        }
                        return flush(socket, orders).await;
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Ended::There,
                };
                if events.send(event).await.is_err() {
                    return Ended::Here(close_code::AWAY);
                }
            }
            () = &mut check => {
                match live.check(clock::now()) {
                    Check::Fine => {}
                    Check::Ping if write(socket, Message::Ping(Default::default())).await => {}
                    Check::Ping | Check::Dead => return Ended::There,
                }
                check.as_mut().reset(live.deadline().into());
            }
        }
    }
}

/// Writes what waits, to the end of the queue, without reading.
async fn flush(socket: &mut WebSocket, orders: &mut mpsc::Receiver<Order>) -> Ended {
    while let Some(Order::Send(text)) = orders.recv().await {
        if !write(socket, Message::text(text)).await {
            return Ended::There;
        }
    }
    Ended::Here(close_code::SIZE)
}

/// False: the socket ended, or its reader did not take it in time.
async fn write(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(WRITE_WITHIN, socket.send(message)).await, Ok(Ok(())))
}

/// Says why, and hears the answer out, so that the last messages are not lost to a reset.
async fn say_goodbye(socket: &mut WebSocket, code: u16) {
    let frame = CloseFrame {
        code,
        reason: Utf8Bytes::from_static(""),
    };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

fn is_too_large(e: &axum::Error) -> bool {
    let inner = std::error::Error::source(e).and_then(|e| e.downcast_ref());
    matches!(inner, Some(tungstenite::Error::Capacity(_)))
}
