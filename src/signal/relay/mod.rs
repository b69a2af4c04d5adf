//! The relay of a meeting point: a STUN and TURN server (RFC 8489, RFC 8656) without a socket or a clock.
//!
//! Clients are told apart by their address and by the way they came (the datagram socket, or a number for
//! each connection). The caller opens a UDP socket where [`Relays::handle_client`] asks for one, and
//! moves packets as it is told. What a packet costs is two lookups and no allocation.
//!
//! Nothing is kept of whoever has not shown credentials that hold ([`Secret`]): nonces are signed, not
//! stored. A user has a share of the allocations, and all together have a limit. Peers on this machine
//! and its network are refused unless that is allowed ([`is_allowed`]); what one allocation sends another
//! of the same server never leaves it.

mod allocation;
mod credentials;
mod discovery;
mod policy;
mod requests;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use turn_types::stun::message::{BINDING, Message, MessageClass};

use self::allocation::{Allocation, Leg};

pub use self::credentials::Secret;
pub use self::discovery::{other_address_of, request_from_other_port};
pub use self::policy::is_allowed;

/// Room that a packet of a peer needs before it, to be wrapped for the client in place: a STUN header,
/// the peer's address and the data's header.
pub const HEADROOM: usize = 20 + 24 + 4;

/// Room after it, for padding.
pub const TAILROOM: usize = 4;

/// What a server gives at most.
#[derive(Clone, Copy, Debug)]
pub struct RelayLimits {
    /// Allocations of one user. A call needs one for each way to the server and each change of network.
    pub of_one: usize,
    /// Of all.
    pub of_all: usize,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            of_one: 10,
            of_all: 4000,
        }
    }
}

/// How a relay is set up.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// What its credentials are made with.
    pub secret: Secret,
    /// Peers on this machine and its network may be relayed to.
    pub allow_private: bool,
    /// What it gives at most.
    pub limits: RelayLimits,
}

/// The way to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// Its address.
    pub address: SocketAddr,
    /// Its connection; `None`: it sends datagrams.
    pub stream: Option<u64>,
}

/// An open UDP socket for an allocation, by a number that is not given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u64);

/// A socket that an allocation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// For IPv6, not IPv4.
    pub is_v6: bool,
    /// With an even port (RFC 8656, 7.2: EVEN-PORT).
    pub is_even: bool,
}

/// What to do with a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Drop,
    /// Answer the client.
    Reply(Vec<u8>),
    /// Answer the client from the server's other port.
    ReplyFromOther(Vec<u8>),
    /// Send a part of what came to a peer.
    ToPeer {
        /// From this socket.
        leg: LegId,
        /// To this address.
        peer: SocketAddr,
        /// This part.
        data: Range<usize>,
    },
    /// It is for another allocation here: hand this part to [`Relays::handle_peer`], as if it had come
    /// to the socket `leg` from `from`.
    Loop {
        /// To this socket.
        leg: LegId,
        /// From this relayed address.
        from: SocketAddr,
        /// This part.
        data: Range<usize>,
    },
}

/// A relayed address that ended, whose socket is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed(pub LegId);

/// The allocations of a server.
#[derive(Debug)]
pub struct Relays {
    config: RelayConfig,
    epoch: Instant,
    allocations: HashMap<Client, Allocation>,
    legs: HashMap<LegId, Client>,
    /// By relayed address.
    addresses: HashMap<SocketAddr, LegId>,
    users: HashMap<Box<str>, usize>,
    /// When the next look at all allocations is due.
    sweep: Option<Instant>,
    closed: VecDeque<Closed>,
    ports: Option<Ports>,
    own: Vec<IpAddr>,
}

/// The two ports of a server, at which STUN is answered: one that relays, and another, which shows how a
/// router maps and filters (RFC 5780).
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// The addresses by which the world knows this machine, for IPv4 and IPv6.
    pub addresses: [Option<IpAddr>; 2],
    /// The one that relays.
    pub main: u16,
    /// The other.
    pub second: u16,
}

/// How often expired allocations are looked for. They live for minutes.
const SWEEP: Duration = Duration::from_secs(10);

impl Relays {
    /// Nobody is relayed for.
    pub fn new(config: RelayConfig, now: Instant) -> Self {
        Self {
            config,
            epoch: now,
            allocations: HashMap::new(),
            legs: HashMap::new(),
            addresses: HashMap::new(),
            users: HashMap::new(),
            sweep: None,
            closed: VecDeque::new(),
            ports: None,
            own: Vec::new(),
        }
    }

    /// These are this machine's addresses: whatever else listens there is not for those who are relayed
    /// for, unless private peers are allowed.
    pub fn set_own(&mut self, own: Vec<IpAddr>) {
        self.own = own;
    }

    /// There is a second port, which clients are told of. What comes to it goes to
    /// [`Relays::handle_second`].
    pub fn set_ports(&mut self, ports: Ports) {
        self.ports = Some(ports);
    }

    /// The client has an allocation.
    pub fn has(&self, client: Client) -> bool {
        self.allocations.contains_key(&client)
    }

    /// How many allocations there are.
    pub fn len(&self) -> usize {
        self.allocations.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.allocations.is_empty()
    }

    /// A whole message, or channel data, from a client. `unix`: the time in seconds since 1970, against
    /// which credentials expire. `open` opens a socket and returns it
    /// with the address by which the world reaches it.
    pub fn handle_client(
        &mut self,
        client: Client,
        bytes: &[u8],
        (now, unix): (Instant, u64),
        open: &mut dyn FnMut(Wanted) -> io::Result<(LegId, SocketAddr)>,
    ) -> Action {
        match bytes.first().map(|first| first >> 6) {
            Some(0b01) => self.handle_channel_data(client, bytes, now),
            Some(0b00) if is_whole(bytes) => match Message::from_bytes(bytes) {
                Ok(message) => self.handle_message(client, &message, bytes, (now, unix), open),
                Err(_) => Action::Drop,
            },
            _ => Action::Drop,
        }
    }

    /// A datagram that came to the second port: STUN's Binding requests are answered, and nothing else.
    pub fn handle_second(&self, client: Client, bytes: &[u8]) -> Action {
        match Message::from_bytes(bytes) {
            Ok(message)
                if is_whole(bytes)
                    && message.has_class(MessageClass::Request)
                    && message.has_method(BINDING) =>
            {
                let main = self.ports.map(|ports| ports.main);
                self.binding(client, &message, main)
            }
            _ => Action::Drop,
        }
    }

    /// A packet from a peer came to an allocation's socket: it lies in `buffer` at `data`, with
    /// [`HEADROOM`] before it and [`TAILROOM`] after it. Returns to whom it goes, and what part of the
    /// buffer then.
    pub fn handle_peer(
        &mut self,
        leg: LegId,
        peer: SocketAddr,
        buffer: &mut [u8],
        data: Range<usize>,
        now: Instant,
    ) -> Option<(Client, Range<usize>)> {
        let client = *self.legs.get(&leg)?;
        let allocation = self.allocations.get(&client)?;
        if allocation.expires <= now || !allocation.is_permitted(peer.ip(), now) {
            return None;
        }
        let whole = match allocation.channel_of(peer, now) {
            Some(number) => allocation::wrap_channel(number, buffer, data, client.stream.is_some()),
            None => allocation::wrap_indication(peer, buffer, data),
        };
        Some((client, whole))
    }

    /// A connection ended, and the allocation with it.
    pub fn handle_disconnect(&mut self, client: Client) {
        self.remove(client);
    }

    /// When [`Relays::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.sweep.filter(|_| !self.is_empty())
    }

    /// Ends what has expired.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.sweep.is_none_or(|sweep| now < sweep) {
            return;
        }
        self.sweep = Some(now + SWEEP);
        let over = self.allocations.iter().filter(|(_, a)| a.expires <= now);
        let over: Vec<_> = over.map(|(client, _)| *client).collect();
        for client in over {
            self.remove(client);
        }
        for allocation in self.allocations.values_mut() {
            allocation.forget_expired(now);
        }
    }

    /// The next socket to be closed.
    pub fn poll_closed(&mut self) -> Option<Closed> {
        self.closed.pop_front()
    }

    fn handle_channel_data(&mut self, client: Client, bytes: &[u8], now: Instant) -> Action {
        let &[a, b, high, low, ..] = bytes else {
            return Action::Drop;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(allocation) = self.allocations.get(&client) else {
            return Action::Drop;
        };
        let number = u16::from_be_bytes([a, b]);
        match allocation.peer_of(number, now) {
            Some(peer) if bytes.len() >= 4 + length => self.forward(client, peer, 4..4 + length, now),
            _ => Action::Drop,
        }
    }

    /// To a peer, from the client's relayed address of its family.
    fn forward(&self, client: Client, peer: SocketAddr, data: Range<usize>, now: Instant) -> Action {
        let Some(allocation) = self.allocations.get(&client) else {
            return Action::Drop;
        };
        if allocation.expires <= now || !allocation.is_permitted(peer.ip(), now) {
            return Action::Drop;
        }
        let Some(Leg { id, address }) = allocation.leg(peer.is_ipv4()) else {
            return Action::Drop;
        };
        if let Some(leg) = self.addresses.get(&peer) {
            return Action::Loop {
                leg: *leg,
                from: address,
                data,
            };
        }
        // A relayed address on the inside, or of this machine, is permitted for what lives here alone.
        if !self.is_outside(peer.ip()) {
            return Action::Drop;
        }
        Action::ToPeer { leg: id, peer, data }
    }

    /// Whether a peer at this address may be relayed to. Another allocation here always may.
    fn is_allowed_peer(&self, ip: IpAddr) -> bool {
        self.is_outside(ip) || self.addresses.keys().any(|own| own.ip() == ip)
    }

    fn is_outside(&self, ip: IpAddr) -> bool {
        let private = self.config.allow_private;
        is_allowed(ip, private) && (private || !self.own.contains(&ip.to_canonical()))
    }

    fn remove(&mut self, client: Client) {
        let Some(allocation) = self.allocations.remove(&client) else {
            return;
        };
        for leg in allocation.legs() {
            self.legs.remove(&leg.id);
            self.addresses.remove(&leg.address);
            self.closed.push_back(Closed(leg.id));
        }
        if let Some(count) = self.users.get_mut(&*allocation.user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&*allocation.user);
            }
        }
    }
}

/// The message is as long as it says, which its signature does not cover.
fn is_whole(bytes: &[u8]) -> bool {
    let length = bytes
        .get(2..4)
        .map(|length| u16::from_be_bytes([length[0], length[1]]));
    length.is_some_and(|length| bytes.len() == 20 + usize::from(length))
}

#[cfg(test)]
mod tests;
