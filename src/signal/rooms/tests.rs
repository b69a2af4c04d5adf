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
    let frame = format!(r#"{{"type":"signal","to":"{to}","description":{{"type":"offer","sdp":""}}}}"#).len();
    let room = MAX_MESSAGE - frame;
    let sdp = format!("{}{}", "\0".repeat(room / 6), "x".repeat(room % 6));
    let body = Body::Description(super::super::message::Description {
        kind: "offer".to_owned(),
        sdp,
        answers: None,
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
