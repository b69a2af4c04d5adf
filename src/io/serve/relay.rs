//! The sockets of the relay: a thread of its own, so that neither media waits for rooms nor rooms for
//! media. One readiness queue, no locks, no allocation for a packet.

mod door;
mod opener;
mod streams;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use self::door::Guest;
use self::opener::Opener;
use self::streams::{Streams, Way};
use crate::io::clock;
use crate::signal::relay::{
    Action, Client, Closed, HEADROOM, LegId, Ports, RelayConfig, Relays, TAILROOM, Wanted,
};

pub use self::door::Door;

/// The largest datagram.
const LARGEST: usize = 65_535;

/// After so many packets of one socket the others are looked at.
const BURST: usize = 128;

/// What the kernel keeps for a socket while the thread is elsewhere: 20 ms of 200 Mbit/s.
const KERNEL_BUFFER: usize = 1 << 20;

/// So often the system may pick a port that is free for datagrams alone.
const PICKS: usize = 20;

/// How often the own addresses are looked at, which come and go.
const LOOK: Duration = Duration::from_secs(10);

const WAKE: Token = Token(0);
const DATAGRAMS: Token = Token(1);
const SECOND: Token = Token(2);
const LISTENER: Token = Token(3);
/// Beyond: legs at even numbers, connections at odd ones.
const FIRST: u64 = 4;

/// Where and how a relay listens.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// For datagrams and connections; port 0 picks one.
    pub listen: SocketAddr,
    /// The address by which the world reaches this machine, where a NAT stands before it.
    pub public_ip: Option<IpAddr>,
    /// The ports to relay from.
    pub ports: RangeInclusive<u16>,
    /// What it gives to whom.
    pub config: RelayConfig,
}

/// The usual ports to relay from (RFC 8656, 7.2: the dynamic ones).
pub const RELAY_PORTS: RangeInclusive<u16> = 49152..=65535;

/// A relay that runs until it is dropped.
#[derive(Debug)]
pub struct RelayServer {
    local: SocketAddr,
    second: Option<u16>,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    door: Door,
    thread: Option<JoinHandle<()>>,
}

impl RelayServer {
    /// Listens, and begins to relay.
    ///
    /// # Errors
    /// Where the port cannot be bound.
    pub fn start(options: RelayOptions) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (door, guests) = Door::new(Arc::clone(&waker));
        let (mut udp, mut listener) = bind(options.listen)?;
        let local = udp.local_addr()?;
        enlarge(&udp);
        poll.registry()
            .register(&mut udp, DATAGRAMS, Interest::READABLE)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        // A second port shows whether a router gives a socket another address towards it (RFC 5780, 4.3).
        // Where it is taken, nobody is told of it.
        let second = local.port().checked_add(1);
        let mut second = second.and_then(|port| UdpSocket::bind((local.ip(), port).into()).ok());
        if let Some(second) = &mut second {
            poll.registry().register(second, SECOND, Interest::READABLE)?;
        }
        let second_port = second
            .as_ref()
            .and_then(|socket| Some(socket.local_addr().ok()?.port()));
        let stop = Arc::new(AtomicBool::new(false));
        let opener = Opener::new(&options, local);
        let mut relays = Relays::new(options.config.clone(), clock::now());
        if let Some(second) = second_port {
            relays.set_ports(Ports {
                addresses: opener.addresses.map(|own| own.map(|(_, public)| public)),
                main: local.port(),
                second,
            });
        }
        relays.set_own(own_addresses(options.public_ip));
        let wheel = Wheel {
            stop: Arc::clone(&stop),
            relays,
            opener,
            public_ip: options.public_ip,
            looked: clock::now(),
            streams: Streams::new(listener),
            guests,
            udp,
            second,
            legs: BTreeMap::new(),
            unread: VecDeque::new(),
            buffer: vec![0; HEADROOM + LARGEST + TAILROOM],
            loop_buffer: vec![0; HEADROOM + LARGEST + TAILROOM],
        };
        let thread = std::thread::Builder::new()
            .name("relay".into())
            .spawn(move || wheel.run(poll))?;
        Ok(Self {
            local,
            second: second_port,
            stop,
            waker,
            door,
            thread: Some(thread),
        })
    }

    /// Where it listens, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The way in for connections that do not come to its own port.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// The second port, at which STUN alone is answered.
    pub fn second_port(&self) -> Option<u16> {
        self.second
    }
}

impl Drop for RelayServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Wheel {
    stop: Arc<AtomicBool>,
    relays: Relays,
    opener: Opener,
    public_ip: Option<IpAddr>,
    /// When the own addresses were looked at.
    looked: Instant,
    streams: Streams,
    guests: Receiver<Guest>,
    udp: UdpSocket,
    second: Option<UdpSocket>,
    legs: BTreeMap<LegId, UdpSocket>,
    /// Sockets that have more than a burst.
    unread: VecDeque<Token>,
    buffer: Vec<u8>,
    loop_buffer: Vec<u8>,
}

impl Wheel {
    fn run(mut self, mut poll: Poll) {
        let mut events = Events::with_capacity(256);
        loop {
            let now = clock::now();
            let deadline = [self.relays.poll_timeout(), self.streams.poll_timeout()];
            let wait = match deadline.into_iter().flatten().min() {
                _ if !self.unread.is_empty() => Some(Duration::ZERO),
                Some(at) => Some(at.saturating_duration_since(now) + Duration::from_millis(1)),
                None => None,
            };
            match poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    tracing::warn!(%error, "the relay ends");
                    return;
                }
                _ => {}
            }
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            for event in &events {
                if event.is_writable()
                    && let Some(id) = stream_of(event.token())
                {
                    self.streams.write(id);
                }
                if (event.is_readable() || event.is_read_closed()) && !self.unread.contains(&event.token()) {
                    self.unread.push_back(event.token());
                }
            }
            for _ in 0..self.unread.len() {
                if let Some(token) = self.unread.pop_front()
                    && self.read(token, poll.registry())
                {
                    self.unread.push_back(token);
                }
            }
            self.handle_timeout();
        }
    }

    /// Reads a burst; true: there may be more.
    fn read(&mut self, token: Token, registry: &Registry) -> bool {
        match token {
            WAKE => {
                for (stream, from) in self.guests.try_iter() {
                    let way = mio::net::UnixStream::from_std(stream);
                    self.streams.take(Way::Guest(way), from, registry, clock::now());
                }
                false
            }
            DATAGRAMS => self.read_clients(registry),
            SECOND => self.read_second(),
            LISTENER => {
                self.streams.accept(registry, clock::now());
                false
            }
            token => match stream_of(token) {
                Some(id) => self.read_stream(id, registry),
                None => self.read_peers(LegId(token.0 as u64)),
            },
        }
    }

    fn read_clients(&mut self, registry: &Registry) -> bool {
        let now = clock::now();
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut more = true;
        for _ in 0..BURST {
            match self.udp.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let client = Client {
                        address: canonical(from),
                        stream: None,
                    };
                    self.handle_client(client, &buffer[..length], now, registry);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                Err(_) => {}
            }
        }
        self.buffer = buffer;
        more
    }

    /// Binding requests alone.
    fn read_second(&mut self) -> bool {
        let mut buffer = [0; 1500];
        for _ in 0..BURST {
            let Some(socket) = &self.second else { return false };
            match socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let client = Client {
                        address: canonical(from),
                        stream: None,
                    };
                    let _ = match self.relays.handle_second(client, &buffer[..length]) {
                        Action::Reply(answer) => socket.send_to(&answer, from),
                        Action::ReplyFromOther(answer) => self.udp.send_to(&answer, from),
                        _ => Ok(0),
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {}
            }
        }
        true
    }

    fn read_peers(&mut self, leg: LegId) -> bool {
        let now = clock::now();
        for _ in 0..BURST {
            let Some(socket) = self.legs.get(&leg) else {
                return false;
            };
            match socket.recv_from(&mut self.buffer[HEADROOM..HEADROOM + LARGEST]) {
                Ok((length, from)) => {
                    let data = HEADROOM..HEADROOM + length;
                    let peer = canonical(from);
                    let whole = self.relays.handle_peer(leg, peer, &mut self.buffer, data, now);
                    if let Some((client, whole)) = whole {
                        send(&self.udp, &mut self.streams, client, &self.buffer[whole]);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {}
            }
        }
        true
    }

    fn read_stream(&mut self, id: u64, registry: &Registry) -> bool {
        let now = clock::now();
        let Some((client, mut frames, state)) = self.streams.read(id, &mut self.buffer) else {
            return false;
        };
        let mut alive = state.is_open;
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => {
                    self.handle_client(client, frame, now, registry);
                }
                Ok(None) => break,
                Err(_) => {
                    alive = false;
                    break;
                }
            }
        }
        if alive {
            self.streams.put_back(id, frames);
        } else {
            self.streams.close(id, registry);
            self.relays.handle_disconnect(client);
            self.close_legs(registry);
        }
        alive && state.has_more
    }

    fn handle_client(&mut self, client: Client, bytes: &[u8], now: Instant, registry: &Registry) {
        let (opener, legs) = (&mut self.opener, &mut self.legs);
        let mut open = |wanted: Wanted| opener.open(wanted, legs, registry);
        let action = self
            .relays
            .handle_client(client, bytes, (now, clock::unix()), &mut open);
        match action {
            Action::Drop => {}
            Action::Reply(answer) => {
                send(&self.udp, &mut self.streams, client, &answer);
                if let Some(id) = client.stream {
                    self.streams.set_used(id, self.relays.has(client));
                }
                self.close_legs(registry);
            }
            Action::ReplyFromOther(answer) => {
                if let Some(second) = &self.second {
                    let _ = second.send_to(&answer, address_for(second, client.address));
                }
            }
            Action::ToPeer { leg, peer, data } => {
                if let Some(socket) = self.legs.get(&leg) {
                    let _ = socket.send_to(&bytes[data], peer);
                }
            }
            Action::Loop { leg, from, data } => {
                let inside = HEADROOM..HEADROOM + data.len();
                self.loop_buffer[inside.clone()].copy_from_slice(&bytes[data]);
                let whole = self
                    .relays
                    .handle_peer(leg, from, &mut self.loop_buffer, inside, now);
                if let Some((client, whole)) = whole {
                    send(&self.udp, &mut self.streams, client, &self.loop_buffer[whole]);
                }
            }
        }
    }

    fn handle_timeout(&mut self) {
        let now = clock::now();
        // While there are allocations this is reached every ten seconds at the latest.
        if now >= self.looked + LOOK {
            self.looked = now;
            self.relays.set_own(own_addresses(self.public_ip));
        }
        self.relays.handle_timeout(now);
        while let Some(Closed(leg)) = self.relays.poll_closed() {
            self.legs.remove(&leg);
        }
        self.streams.handle_timeout(now);
    }

    fn close_legs(&mut self, registry: &Registry) {
        while let Some(Closed(leg)) = self.relays.poll_closed() {
            if let Some(mut socket) = self.legs.remove(&leg) {
                let _ = registry.deregister(&mut socket);
            }
        }
    }
}

/// One port for datagrams and connections. One that the system picks for the first may be taken for the
/// other; then it picks again.
fn bind(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 0;
    loop {
        let udp = UdpSocket::bind(listen)?;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(listener) => return Ok((udp, listener)),
            Err(error) if listen.port() != 0 || tries == PICKS => return Err(error),
            Err(_) => tries += 1,
        }
    }
}

/// To a client, the way it came. What the system does not take now is lost, as on any line.
fn send(udp: &UdpSocket, streams: &mut Streams, client: Client, bytes: &[u8]) {
    match client.stream {
        Some(id) => streams.send(id, bytes),
        None => {
            let _ = udp.send_to(bytes, address_for(udp, client.address));
        }
    }
}

/// An address as a socket for both families wants it.
fn address_for(socket: &UdpSocket, address: SocketAddr) -> SocketAddr {
    let is_v6 = socket.local_addr().is_ok_and(|local| local.is_ipv6());
    match address {
        SocketAddr::V4(v4) if is_v6 => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        other => other,
    }
}

/// All addresses of this machine, and the one by which the world reaches it.
fn own_addresses(public_ip: Option<IpAddr>) -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let own = interfaces.iter().map(|interface| interface.ip());
    own.chain(public_ip).collect()
}

fn enlarge(socket: &UdpSocket) {
    // The system gives what it allows.
    let socket = socket2::SockRef::from(socket);
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
}

/// An IPv4 client of a socket for both families is an IPv4 client.
fn canonical(address: SocketAddr) -> SocketAddr {
    (address.ip().to_canonical(), address.port()).into()
}

fn stream_of(token: Token) -> Option<u64> {
    let number = token.0 as u64;
    (number >= FIRST && number % 2 == 1).then_some(number)
}
