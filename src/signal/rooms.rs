//! The server's state, without a socket or a clock: who is in which room.
//!
//! Sockets are numbers that the caller gives out. Everything that happens to one is handed in by a
//! `handle_*` method, and afterwards [`Rooms::poll_output`] is asked until it has no more. Nothing
//! is remembered of a socket, a person or a room that is gone, but for a count of the rooms that an
//! address opened ([`Guesses`]).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

use super::guesses::Guesses;
use super::limits::{Bucket, JOIN_WITHIN, Limits};
use super::message::{
    Body, ClientMessage, ErrorCode, IceServer, LeaveReason, MAX_MESSAGE, Member, PeerId, Refusal,
    ServerMessage,
};
use crate::text::SafeText;

/// A WebSocket, by a number that is never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u64);

/// What the caller must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this text.
    Send(SocketId, String),
    /// Send what was sent before this, and close. The socket is forgotten here.
    Close(SocketId),
}

/// All rooms of a server.
#[derive(Debug)]
pub struct Rooms {
    limits: Limits,
    ice_servers: Vec<IceServer>,
    sockets: HashMap<SocketId, Socket>,
    rooms: HashMap<String, Room>,
    guesses: Guesses,
    /// Sockets in the order in which they opened, with the time by which each must have joined.
    joining: VecDeque<(Instant, SocketId)>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Socket {
    bucket: Bucket,
    /// Where it comes from; `None`: from this machine.
    from: Option<IpAddr>,
    /// Told to this one alone.
    ice_servers: Vec<IceServer>,
    place: Option<Place>,
}

/// Where somebody is.
#[derive(Clone, Debug)]
struct Place {
    room: String,
    id: PeerId,
}

/// The people, in the order in which they came. Few enough that a list is searched fastest.
type Room = Vec<Occupant>;

#[derive(Debug)]
struct Occupant {
    member: Member,
    socket: SocketId,
}

impl Rooms {
    /// No rooms yet. `ice_servers` are told to whoever joins.
    pub fn new(limits: Limits, ice_servers: Vec<IceServer>) -> Self {
        Self {
            limits,
            ice_servers,
            sockets: HashMap::new(),
            rooms: HashMap::new(),
            guesses: Guesses::default(),
            joining: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// A socket opened, from that address (`None`: from this machine, whose users are not held
    /// against each other).
    pub fn handle_open(&mut self, socket: SocketId, from: Option<IpAddr>, now: Instant) {
        let state = Socket {
            bucket: Bucket::new(self.limits.max_peers, now),
            from,
            ice_servers: Vec::new(),
            place: None,
        };
        self.sockets.insert(socket, state);
        self.joining.push_back((now + JOIN_WITHIN, socket));
    }

    /// Who joins by this socket is told of these servers as well, with credentials of their own.
    pub fn set_ice_servers(&mut self, socket: SocketId, ice_servers: Vec<IceServer>) {
        if let Some(state) = self.sockets.get_mut(&socket) {
            state.ice_servers = ice_servers;
        }
    }

    /// A socket received a text message.
    pub fn handle_message(&mut self, socket: SocketId, text: &str, now: Instant) {
        let Some(state) = self.sockets.get_mut(&socket) else {
            return;
        };
        if !state.bucket.take(now) {
            return self.refuse(
                socket,
                Refusal::new(ErrorCode::TooMany, "too many messages in a short time"),
            );
        }
        let (place, from) = (state.place.clone(), state.from);
        match (ClientMessage::parse(text), place) {
            (Err(refusal), _) => self.refuse(socket, refusal),
            (Ok(ClientMessage::Join { room, name, key, .. }), None) => {
                self.handle_join(socket, from, room, (&name, &key), now)
            }
            (Ok(ClientMessage::Join { .. }), Some(_)) => {
                self.refuse(socket, Refusal::new(ErrorCode::Malformed, "a second join"));
            }
            (Ok(ClientMessage::Leave), Some(_)) => {
                self.forget(socket, LeaveReason::Left);
                self.close(socket);
            }
            (Ok(ClientMessage::Signal { .. } | ClientMessage::Leave), None) => {
                self.refuse(
                    socket,
                    Refusal::new(ErrorCode::NotJoined, "the first message must be a join"),
                );
            }
            (Ok(ClientMessage::Signal { to, body }), Some(place)) => {
                self.handle_signal(socket, &place, &to, body)
            }
        }
    }

    /// A socket received what is no text message of this protocol: `code` is
    /// [`ErrorCode::TooLarge`] or [`ErrorCode::Malformed`].
    pub fn handle_junk(&mut self, socket: SocketId, code: ErrorCode, now: Instant) {
        let Some(state) = self.sockets.get_mut(&socket) else {
            return;
        };
        let refusal = if !state.bucket.take(now) {
            Refusal::new(ErrorCode::TooMany, "too many messages in a short time")
        } else if code == ErrorCode::TooLarge {
            Refusal::new(code, format!("a message of more than {MAX_MESSAGE} bytes"))
        } else {
            Refusal::new(code, "only text messages are spoken here")
        };
        self.refuse(socket, refusal);
    }

    /// A socket ended, or is given up (silent, or slow to read).
    pub fn handle_closed(&mut self, socket: SocketId) {
        self.forget(socket, LeaveReason::Lost);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; `None`: not before
    /// another socket opens.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        while let Some((deadline, socket)) = self.joining.front() {
            if self
                .sockets
                .get(socket)
                .is_some_and(|state| state.place.is_none())
            {
                return Some(*deadline);
            }
            self.joining.pop_front();
        }
        None
    }

    /// Closes the sockets that have not joined in time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            let Some((_, socket)) = self.joining.pop_front() else {
                return;
            };
            let why = format!("no join within {} s", JOIN_WITHIN.as_secs());
            self.refuse(socket, Refusal::new(ErrorCode::NotJoined, why));
        }
    }

    /// What is to be done next; `None` when all is done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Rooms with somebody in them.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Nobody is in any room.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    fn handle_join(
        &mut self,
        socket: SocketId,
        from: Option<IpAddr>,
        room: String,
        (name, key): (&str, &str),
        now: Instant,
    ) {
        let id = identity(&room, key);
        let present = self.rooms.get(&room).map_or(&[][..], Vec::as_slice);
        let returns = present.iter().position(|o| o.member.id == id);
        if returns.is_none() {
            if from.is_some_and(|from| !self.guesses.may_join(from, now)) {
                let why = "too many rooms were opened from this address; try again in a minute";
                return self.refuse(socket, Refusal::new(ErrorCode::TooMany, why));
            }
            if present.is_empty() && self.rooms.len() >= self.limits.max_rooms {
                return self.refuse(
                    socket,
                    Refusal::new(ErrorCode::ServerFull, "the server has no room left"),
                );
            }
            if present.len() >= self.limits.max_peers {
                let why = format!("{room} is full: {} people are there", present.len());
                return self.refuse(socket, Refusal::new(ErrorCode::RoomFull, why));
            }
            if let Some(from) = from.filter(|_| present.is_empty()) {
                self.guesses.handle_opened(from, now);
            }
        }
        let member = Member {
            id: id.clone(),
            name: SafeText::name(name),
        };
        let own = self.sockets.get_mut(&socket);
        let own = own
            .map(|state| std::mem::take(&mut state.ice_servers))
            .unwrap_or_default();
        let people = self.rooms.entry(room.clone()).or_default();
        let replaced = match returns {
            Some(at) => {
                people[at].member = member.clone();
                Some(std::mem::replace(&mut people[at].socket, socket))
            }
            None => {
                people.push(Occupant {
                    member: member.clone(),
                    socket,
                });
                None
            }
        };
        let others: Vec<_> = people.iter().filter(|o| o.socket != socket).collect();
        let welcome = ServerMessage::Welcome {
            id: id.clone(),
            peers: others.iter().map(|o| o.member.clone()).collect(),
            ice_servers: self.ice_servers.iter().chain(&own).cloned().collect(),
        };
        self.outputs.push_back(Output::Send(socket, welcome.to_json()));
        let joined = ServerMessage::PeerJoined(member).to_json();
        self.outputs
            .extend(others.iter().map(|o| Output::Send(o.socket, joined.clone())));
        if let Some(state) = self.sockets.get_mut(&socket) {
            state.place = Some(Place { room, id });
        }
        if let Some(old) = replaced {
            // Its place is taken already, so that nobody hears of its end.
            if let Some(state) = self.sockets.get_mut(&old) {
                state.place = None;
            }
            self.refuse(
                old,
                Refusal::new(ErrorCode::Replaced, "the same person came by another connection"),
            );
        }
    }

    fn handle_signal(&mut self, socket: SocketId, place: &Place, to: &PeerId, body: Body) {
        let room = self
            .rooms
            .get(&place.room)
            .expect("whoever has a place is in a room");
        let Some(other) = room.iter().find(|o| o.member.id == *to) else {
            return self.refuse(
                socket,
                Refusal::new(ErrorCode::NoSuchPeer, format!("{to} is not here")),
            );
        };
        let text = ServerMessage::Signal {
            from: place.id.clone(),
            body,
        }
        .to_json();
        // It can be longer than what came, by the names of fields that were left out there.
        if text.len() > MAX_MESSAGE {
            return self.refuse(
                socket,
                Refusal::new(ErrorCode::Malformed, "too long to be relayed"),
            );
        }
        self.outputs.push_back(Output::Send(other.socket, text));
    }

    /// Sends the error, and closes the socket where it is one of those that end it.
    fn refuse(&mut self, socket: SocketId, refusal: Refusal) {
        let is_final = refusal.code.is_final();
        self.outputs
            .push_back(Output::Send(socket, ServerMessage::from(refusal).to_json()));
        if is_final {
            self.forget(socket, LeaveReason::Lost);
            self.close(socket);
        }
    }

    fn close(&mut self, socket: SocketId) {
        self.sockets.remove(&socket);
        self.outputs.push_back(Output::Close(socket));
    }

    /// Takes the socket out of everything and tells the others.
    fn forget(&mut self, socket: SocketId, reason: LeaveReason) {
        let Some(Socket {
            place: Some(Place { room, id }),
            ..
        }) = self.sockets.remove(&socket)
        else {
            return;
        };
        let people = self
            .rooms
            .get_mut(&room)
            .expect("whoever has a place is in a room");
        people.retain(|o| o.socket != socket);
        if people.is_empty() {
            self.rooms.remove(&room);
            return;
        }
        let left = ServerMessage::PeerLeft { id, reason }.to_json();
        self.outputs
            .extend(people.iter().map(|o| Output::Send(o.socket, left.clone())));
    }
}

/// Who somebody is: 80 bits of SHA-256 over the secret key and the room. The room is part of it so
/// that nobody is recognised in another one; 80 bits, because taking over somebody's place means
/// finding a key for a given identity, not just two that are alike.
fn identity(room: &str, key: &str) -> PeerId {
    // Neither part can contain the separator.
    let digest = Sha256::digest(format!("facetty identity 1\n{room}\n{key}"));
    let text = BASE32_NOPAD.encode(&digest[..10]).to_ascii_lowercase();
    PeerId::try_from(text).expect("16 letters and digits")
}

#[cfg(test)]
mod tests;
