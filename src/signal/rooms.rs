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
            place: None,
        };
        self.sockets.insert(socket, state);
        self.joining.push_back((now + JOIN_WITHIN, socket));
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
            ice_servers: self.ice_servers.clone(),
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::message::VERSION;
    use super::*;

    /// Rooms at a time that the test sets, with what each socket was told.
    struct Bench {
        rooms: Rooms,
        now: Instant,
        told: HashMap<SocketId, Vec<ServerMessage>>,
        closed: Vec<SocketId>,
    }

    impl Bench {
        #[allow(clippy::disallowed_methods)]
        fn new(limits: Limits) -> Self {
            let rooms = Rooms::new(limits, Vec::new());
            Self {
                rooms,
                now: Instant::now(),
                told: HashMap::new(),
                closed: Vec::new(),
            }
        }

        fn open(&mut self, socket: u64) {
            self.open_from(socket, None);
        }

        fn open_from(&mut self, socket: u64, from: Option<IpAddr>) {
            self.rooms.handle_open(SocketId(socket), from, self.now);
            self.drain();
        }

        fn say(&mut self, socket: u64, message: &ClientMessage) {
            self.rooms
                .handle_message(SocketId(socket), &message.to_json(), self.now);
            self.drain();
        }

        fn join(&mut self, socket: u64, room: &str, key: u64) {
            self.join_from(socket, None, room, key);
        }

        fn join_from(&mut self, socket: u64, from: Option<IpAddr>, room: &str, key: u64) {
            self.open_from(socket, from);
            let (room, name, key) = (room.to_owned(), format!("p{key}"), format!("{key:0>32}"));
            self.say(
                socket,
                &ClientMessage::Join {
                    version: VERSION,
                    room,
                    name,
                    key,
                },
            );
        }

        fn drain(&mut self) {
            while let Some(output) = self.rooms.poll_output() {
                match output {
                    Output::Send(socket, text) => {
                        assert!(!self.closed.contains(&socket), "nothing is sent after the end");
                        let message = ServerMessage::parse(&text).unwrap();
                        self.told.entry(socket).or_default().push(message);
                    }
                    Output::Close(socket) => self.closed.push(socket),
                }
            }
        }

        fn heard(&mut self, socket: u64) -> Vec<ServerMessage> {
            self.told.remove(&SocketId(socket)).unwrap_or_default()
        }

        fn error(&mut self, socket: u64) -> Option<ErrorCode> {
            match self.heard(socket).as_slice() {
                [ServerMessage::Error { code, .. }] => Some(*code),
                _ => None,
            }
        }
    }

    #[test]
    fn who_does_not_join_in_time_goes_and_who_did_stays() {
        let mut bench = Bench::new(Limits::default());
        assert_eq!(bench.rooms.poll_timeout(), None);
        let start = bench.now;
        bench.join(1, "a", 1);
        assert_eq!(bench.rooms.poll_timeout(), None, "nobody is waited for");
        bench.open(2);
        bench.now += Duration::from_secs(1);
        bench.open(3);
        assert_eq!(bench.rooms.poll_timeout(), Some(start + JOIN_WITHIN));
        bench
            .rooms
            .handle_timeout(start + JOIN_WITHIN - Duration::from_millis(1));
        bench.drain();
        assert!(bench.closed.is_empty());
        bench.rooms.handle_timeout(start + JOIN_WITHIN);
        bench.drain();
        assert_eq!(bench.closed, [SocketId(2)]);
        assert_eq!(bench.error(2), Some(ErrorCode::NotJoined));
        assert_eq!(
            bench.rooms.poll_timeout(),
            Some(start + Duration::from_secs(1) + JOIN_WITHIN)
        );
        bench.rooms.handle_closed(SocketId(3));
        assert_eq!(bench.rooms.poll_timeout(), None);
    }

    #[test]
    fn nothing_is_remembered_of_those_who_are_gone() {
        let mut bench = Bench::new(Limits::default());
        for round in 0..100 {
            bench.join(round * 10, "a", 1);
            bench.join(round * 10 + 1, "a", 2);
            bench.join(round * 10 + 2, "a", 2);
            bench.open(round * 10 + 3);
            bench.say(round * 10, &ClientMessage::Leave);
            for socket in 1..4 {
                bench.rooms.handle_closed(SocketId(round * 10 + socket));
            }
            bench.drain();
        }
        assert!(bench.rooms.is_empty());
        assert!(bench.rooms.sockets.is_empty());
        bench.rooms.poll_timeout();
        assert!(bench.rooms.joining.is_empty());
    }

    #[test]
    fn who_guesses_names_of_rooms_is_soon_told_nothing_more() {
        let mut bench = Bench::new(Limits::default());
        let [guesser, other] = [1, 2].map(|n| Some(IpAddr::from([192, 0, 2, n])));
        bench.join_from(1, other, "7-crossover-clockwork", 1);
        for n in 1000..1100 {
            bench.join_from(n, guesser, &format!("room{n}"), n);
            let heard = bench.heard(n);
            assert!(matches!(&heard[..], [ServerMessage::Welcome { .. }]), "{heard:?}");
        }
        // The same answer, whether anybody is there or not.
        for (n, room) in [(2000, "nobody-here"), (2001, "7-crossover-clockwork")] {
            bench.join_from(n, guesser, room, n);
            assert_eq!(bench.error(n), Some(ErrorCode::TooMany));
        }
        bench.heard(1);
        bench.join_from(3000, other, "7-crossover-clockwork", 3000);
        assert!(
            matches!(&bench.heard(1)[..], [ServerMessage::PeerJoined(_)]),
            "others come as before"
        );
        // Who was there already comes back.
        bench.join_from(3001, guesser, "room1000", 1000);
        assert!(matches!(&bench.heard(3001)[..], [ServerMessage::Welcome { .. }]));
    }

    #[test]
    fn nobody_reaches_into_another_room() {
        let mut bench = Bench::new(Limits::default());
        bench.join(1, "a", 1);
        bench.join(2, "b", 2);
        bench.heard(1);
        bench.heard(2);
        let to = identity("b", &format!("{:0>32}", 2));
        bench.say(
            1,
            &ClientMessage::Signal {
                to,
                body: Body::Candidate(None),
            },
        );
        assert_eq!(bench.error(1), Some(ErrorCode::NoSuchPeer));
        assert!(bench.heard(2).is_empty());
    }

    #[test]
    fn an_identity_is_of_a_key_and_a_room_alone() {
        let id = identity("a", "key");
        assert_eq!(id, identity("a", "key"));
        assert_ne!(id, identity("a", "key2"));
        assert_ne!(id, identity("b", "key"));
        assert_eq!(id.as_str().len(), 16);
    }

    #[test]
    fn what_would_grow_too_long_on_its_way_is_refused() {
        let mut bench = Bench::new(Limits::default());
        bench.join(1, "a", 1);
        bench.join(2, "a", 2);
        bench.heard(1);
        bench.heard(2);
        let to = identity("a", &format!("{:0>32}", 2));
        // Within the limit as it comes, and two bytes longer with "from".
        let frame =
            format!(r#"{{"type":"signal","to":"{to}","description":{{"type":"offer","sdp":""}}}}"#).len();
        let room = MAX_MESSAGE - frame;
        let sdp = format!("{}{}", "\0".repeat(room / 6), "x".repeat(room % 6));
        let body = Body::Description(super::super::message::Description {
            kind: "offer".to_owned(),
            sdp,
        });
        let message = ClientMessage::Signal { to, body };
        assert_eq!(message.to_json().len(), MAX_MESSAGE);
        bench.say(1, &message);
        assert_eq!(bench.error(1), Some(ErrorCode::Malformed));
        assert!(bench.heard(2).is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Open(u64),
        Join(u64, u8, u64),
        Signal(u64, u8, u64),
        Leave(u64),
        Junk(u64, String),
        Closed(u64),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let socket = 0u64..12;
        let key = 0u64..5;
        prop_oneof![
            socket.clone().prop_map(Step::Open),
            (socket.clone(), 0u8..3, key.clone()).prop_map(|(s, r, k)| Step::Join(s, r, k)),
            (socket.clone(), 0u8..3, key).prop_map(|(s, r, k)| Step::Signal(s, r, k)),
            socket.clone().prop_map(Step::Leave),
            (socket.clone(), any::<String>()).prop_map(|(s, t)| Step::Junk(s, t)),
            socket.prop_map(Step::Closed),
            (0u64..7).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: limits hold, and what everybody was told adds up to
        /// who is there.
        #[test]
        fn everybody_knows_who_is_there(steps in proptest::collection::vec(step(), 0..120)) {
            let mut bench = Bench::new(Limits { max_rooms: 2, max_peers: 3 });
            // A number is never given twice: each opening of slot `s` is a socket of its own.
            let (mut slots, mut next) = ([0u64; 12], 100u64);
            let mut seen: HashMap<SocketId, Vec<PeerId>> = HashMap::new();
            for step in steps {
                match step {
                    Step::Open(s) => {
                        bench.rooms.handle_closed(SocketId(slots[s as usize]));
                        slots[s as usize] = next;
                        bench.open(next);
                        next += 1;
                    }
                    Step::Join(s, r, k) => {
                        let (room, name, key) = (format!("r{r}"), String::new(), format!("{k:0>32}"));
                        let join = ClientMessage::Join { version: VERSION, room, name, key };
                        bench.say(slots[s as usize], &join);
                    }
                    Step::Signal(s, r, k) => {
                        let to = identity(&format!("r{r}"), &format!("{k:0>32}"));
                        bench.say(slots[s as usize], &ClientMessage::Signal { to, body: Body::Candidate(None) });
                    }
                    Step::Leave(s) => bench.say(slots[s as usize], &ClientMessage::Leave),
                    Step::Junk(s, text) => bench.rooms.handle_message(SocketId(slots[s as usize]), &text, bench.now),
                    Step::Closed(s) => bench.rooms.handle_closed(SocketId(slots[s as usize])),
                    Step::Wait(seconds) => {
                        bench.now += Duration::from_secs(seconds);
                        bench.rooms.handle_timeout(bench.now);
                    }
                }
                bench.drain();
                for (socket, messages) in bench.told.drain() {
                    let known = seen.entry(socket).or_default();
                    for message in messages {
                        match message {
                            ServerMessage::Welcome { peers, .. } => *known = peers.into_iter().map(|p| p.id).collect(),
                            ServerMessage::PeerJoined(member) => {
                                known.retain(|id| *id != member.id);
                                known.push(member.id);
                            }
                            ServerMessage::PeerLeft { id, .. } => {
                                prop_assert!(known.contains(&id), "nobody leaves who was not there");
                                known.retain(|other| *other != id);
                            }
                            ServerMessage::Signal { from, .. } => {
                                let own = bench.rooms.sockets[&socket].place.as_ref().map(|p| &p.id);
                                prop_assert!(known.contains(&from) || own == Some(&from));
                            }
                            ServerMessage::Error { .. } | ServerMessage::Unknown => {}
                        }
                    }
                }
                prop_assert!(bench.rooms.len() <= 2);
                for people in bench.rooms.rooms.values() {
                    prop_assert!((1..=3).contains(&people.len()));
                    for occupant in people {
                        let others = people.iter().filter(|o| o.socket != occupant.socket);
                        let mut others: Vec<_> = others.map(|o| o.member.id.clone()).collect();
                        let mut known = seen[&occupant.socket].clone();
                        others.sort();
                        known.sort();
                        prop_assert_eq!(known, others);
                    }
                }
            }
        }
    }
}
