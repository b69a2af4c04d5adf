//! A TURN and STUN server played by hand: one that answers, one that lies, one that stalls, one that
//! asks for credentials for ever.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::CandidateKind;
use turn_types::attribute::{Data, Lifetime, XorPeerAddress, XorRelayedAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, DATA, REFRESH, SEND};
use turn_types::stun::attribute::{ErrorCode, Nonce, Realm, Username, XorMappedAddress};
use turn_types::stun::message::{
    BINDING, IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageIntegrityCredentials,
    MessageType, MessageWrite, MessageWriteExt, MessageWriteVec, TransactionId,
};

use super::*;
use crate::call::tests_epoch;

mod relay;

const HOST: &str = "192.168.0.200:5000";
const SERVER: &str = "203.0.113.1:3478";
const RELAYED: &str = "203.0.113.1:50000";
const PEER: &str = "198.51.100.7:6000";

fn address(text: &str) -> SocketAddr {
    text.parse().expect(text)
}

/// How the server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Good,
    Silent,
    /// 401 to everything.
    AsksForEver,
    /// A fresh nonce each time, and the last was stale.
    StaleForEver,
    /// Success without integrity.
    Forges,
    Quota,
    /// It was started anew: of what it relayed before it knows nothing.
    Forgot,
}

struct Turn {
    manner: Manner,
    key: MessageIntegrityCredentials,
    requests: usize,
    channels: BTreeMap<u16, SocketAddr>,
    /// What was to be relayed: to whom, what.
    relayed: Vec<(SocketAddr, Vec<u8>)>,
}

impl Turn {
    fn new(manner: Manner) -> Self {
        let key = LongTermKeyCredentials::new("u".into(), "p".into(), "realm".into());
        Self {
            manner,
            key: key.into(),
            requests: 0,
            channels: BTreeMap::new(),
            relayed: Vec::new(),
        }
    }

    fn handle(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.requests += 1;
        if self.manner == Manner::Silent {
            return None;
        }
        if bytes[0] >> 6 == 1 {
            let number = u16::from_be_bytes([bytes[0], bytes[1]]);
            self.relayed.push((self.channels[&number], bytes[4..].to_vec()));
            return None;
        }
        let message = Message::from_bytes(bytes).expect("a STUN message");
        let id = message.transaction_id();
        if message.has_method(BINDING) {
            return Some(mapped(&message, address("203.0.113.200:40000")));
        }
        if message.has_method(SEND) {
            let peer = message.attribute::<XorPeerAddress>().expect("a peer").addr(id);
            let data = message.attribute::<Data>().expect("data");
            self.relayed.push((peer, data.data().to_vec()));
            return None;
        }
        let is_signed =
            message.has_attribute(<Username as turn_types::stun::prelude::AttributeStaticType>::TYPE);
        let error = |code| {
            let mut answer = Message::builder_error(&message, MessageWriteVec::new());
            let error = ErrorCode::builder(code).build().expect("a code");
            answer.add_attribute(&error).expect("room");
            answer
        };
        let challenge = |code| {
            let mut answer = error(code);
            answer
                .add_attribute(&Realm::new("realm").expect("short"))
                .expect("room");
            let nonce = format!("nonce{}", TransactionId::generate());
            answer
                .add_attribute(&Nonce::new(&nonce).expect("short"))
                .expect("room");
            Some(answer.finish())
        };
        match self.manner {
            Manner::AsksForEver => return challenge(401),
            Manner::StaleForEver => return challenge(if is_signed { 438 } else { 401 }),
            _ if !is_signed => return challenge(401),
            Manner::Quota => {
                let mut answer = error(486);
                answer
                    .add_message_integrity(&self.key, IntegrityAlgorithm::Sha1)
                    .expect("room");
                return Some(answer.finish());
            }
            _ => {}
        }
        // Not signed as it ought to be; such as for a realm that was changed on its way.
        if message.validate_integrity(&self.key).is_err() {
            return challenge(401);
        }
        let mut answer = Message::builder_success(&message, MessageWriteVec::new());
        match message.method() {
            ALLOCATE => {
                let relayed = XorRelayedAddress::new(address(RELAYED), id);
                answer.add_attribute(&relayed).expect("room");
                answer.add_attribute(&Lifetime::new(600)).expect("room");
                let mapped = XorMappedAddress::new(address(HOST), id);
                answer.add_attribute(&mapped).expect("room");
            }
            REFRESH | CREATE_PERMISSION if self.manner == Manner::Forgot => {
                let mut answer = error(437);
                answer
                    .add_message_integrity(&self.key, IntegrityAlgorithm::Sha1)
                    .expect("room");
                return Some(answer.finish());
            }
            REFRESH => answer.add_attribute(&Lifetime::new(600)).expect("room"),
            CREATE_PERMISSION => {}
            CHANNEL_BIND => {
                let number = message
                    .attribute::<turn_types::attribute::ChannelNumber>()
                    .expect("a number")
                    .channel();
                let peer = message.attribute::<XorPeerAddress>().expect("a peer").addr(id);
                self.channels.insert(number, peer);
            }
            other => panic!("{other}"),
        }
        if self.manner != Manner::Forges {
            answer
                .add_message_integrity(&self.key, IntegrityAlgorithm::Sha1)
                .expect("room");
        }
        Some(answer.finish())
    }
}

fn mapped(request: &Message<'_>, seen: SocketAddr) -> Vec<u8> {
    let mut answer = Message::builder_success(request, MessageWriteVec::new());
    let mapped = XorMappedAddress::new(seen, request.transaction_id());
    answer.add_attribute(&mapped).expect("room");
    answer.finish()
}

fn data_indication(peer: SocketAddr, data: &[u8]) -> Vec<u8> {
    let id = TransactionId::generate();
    let kind = MessageType::from_class_method(MessageClass::Indication, DATA);
    let mut message = Message::builder(kind, id, MessageWriteVec::new());
    message
        .add_attribute(&XorPeerAddress::new(peer, id))
        .expect("room");
    message.add_attribute(&Data::new(data)).expect("room");
    message.finish()
}

/// Changes, cuts off or puts in a byte; whether it did.
fn changed(bytes: &mut Vec<u8>, how: Option<(usize, u8, u8)>) -> bool {
    let Some((at, byte, how)) = how else { return false };
    let at = at % bytes.len();
    match how % 4 {
        0 => bytes[at] = byte,
        1 => bytes[at] ^= 1 << (byte % 8),
        2 => bytes.truncate(at),
        _ => bytes.insert(at, byte),
    }
    true
}

/// A client and its server, with 10 ms between them.
struct World {
    paths: Paths,
    turn: Turn,
    now: Instant,
    outputs: Vec<PathOutput>,
    data: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    cuts: usize,
    /// How each next answer is changed on its way: where, by what, and in which way.
    changes: VecDeque<(usize, u8, u8)>,
    was_changed: bool,
}

impl World {
    fn new(url: &str, manner: Manner, policy: IcePolicy) -> Self {
        let server = url.parse().expect(url);
        let now = tests_epoch();
        let mut paths = Paths::new(vec![address(HOST)], vec![server], policy);
        paths.set_servers(&[], now);
        Self {
            paths,
            turn: Turn::new(manner),
            now,
            outputs: Vec::new(),
            data: Vec::new(),
            cuts: 1,
            changes: VecDeque::new(),
            was_changed: false,
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while let Some(output) = self.paths.poll_output() {
                self.carry_out(output);
            }
            match self.paths.poll_timeout() {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    self.paths.handle_timeout(self.now);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn carry_out(&mut self, output: PathOutput) {
        let data = &mut self.data;
        let take = |peer, own, bytes: &[u8]| data.push((peer, own, bytes.to_vec()));
        match output {
            PathOutput::Resolve { id, .. } => {
                let found = vec![(address(SERVER), address(HOST).ip())];
                self.paths.handle_resolved(id, Ok(found), self.now);
            }
            PathOutput::Connect { id, .. } => {
                let leg = (address("192.168.0.200:7777"), address(SERVER));
                self.paths.handle_connected(id, leg, self.now);
            }
            PathOutput::Datagram {
                source,
                destination,
                bytes,
            } => {
                assert_eq!((source, destination), (address(HOST), address(SERVER)));
                if let Some(mut answer) = self.turn.handle(&bytes) {
                    self.now += Duration::from_millis(10);
                    self.was_changed |= changed(&mut answer, self.changes.pop_front());
                    let taken = self
                        .paths
                        .handle_datagram(destination, source, &answer, self.now, take);
                    // To an allocation that was given up meanwhile, it is nobody's.
                    let is_honest = !matches!(self.turn.manner, Manner::Forges | Manner::Forgot);
                    assert!(taken || self.was_changed || !is_honest);
                }
            }
            PathOutput::Stream { id, bytes } => {
                let mut frames = Frames::default();
                frames.push(&bytes);
                while let Some(frame) = frames.next_frame().expect("TURN") {
                    if let Some(answer) = self.turn.handle(frame) {
                        let mut answer = pad(answer);
                        if changed(&mut answer, self.changes.pop_front()) && answer.is_empty() {
                            continue;
                        }
                        for piece in answer.chunks(answer.len().div_ceil(self.cuts)) {
                            self.paths.handle_stream(id, piece, self.now, |_, _, _| {});
                        }
                    }
                }
            }
            other => self.outputs.push(other),
        }
    }

    fn lost(&self) -> usize {
        self.outputs
            .iter()
            .filter(|o| matches!(o, PathOutput::Lost(_)))
            .count()
    }

    fn kinds(&self) -> Vec<CandidateKind> {
        self.paths.candidates().iter().map(Candidate::kind).collect()
    }
}

const TURN_URL: &str = "turn:u:p@turn.example.org";

#[test]
fn stun_says_where_this_machine_is_seen_and_is_asked_again() {
    let mut world = World::new("stun:stun.example.org", Manner::Good, IcePolicy::All);
    world.run(Duration::from_secs(1));
    assert_eq!(
        world.kinds(),
        [CandidateKind::Host, CandidateKind::ServerReflexive]
    );
    assert_eq!(world.paths.candidates()[1].addr(), address("203.0.113.200:40000"));
    assert!(world.paths.is_complete());
    assert_eq!(world.turn.requests, 1);
    world.run(Duration::from_secs(60));
    assert_eq!(world.turn.requests, 5, "every 15 s, so that the router remembers");
    assert_eq!(world.kinds().len(), 2, "nothing new");
}

#[test]
fn a_silent_stun_server_is_given_up_and_named() {
    let mut world = World::new("stun:stun.example.org", Manner::Silent, IcePolicy::All);
    world.run(Duration::from_secs(9));
    assert!(world.paths.is_complete());
    assert_eq!(world.turn.requests, 7);
    assert_eq!(world.paths.report(), "stun:stun.example.org:3478: no answer");
}

#[test]
fn a_new_mapping_takes_the_place_of_the_old_one() {
    let mut world = World::new("stun:stun.example.org", Manner::Silent, IcePolicy::All);
    for (seen, known) in [
        ("203.0.113.9:1000", true),
        ("203.0.113.9:1001", true),
        ("0.0.0.0:1", false),
        ("224.0.0.1:9", false),
        ("127.0.0.1:9", false),
        ("203.0.113.9:0", false),
        ("[2001:db8::1]:5", false),
    ] {
        // The next question, answered by hand.
        loop {
            let at = world.paths.poll_timeout().expect("it asks");
            world.paths.handle_timeout(at);
            world.now = at;
            let mut asked = None;
            while let Some(output) = world.paths.poll_output() {
                match output {
                    PathOutput::Datagram { bytes, .. } => asked = Some(bytes),
                    other => world.carry_out(other),
                }
            }
            if let Some(bytes) = asked {
                let request = Message::from_bytes(&bytes).expect("a request");
                let answer = mapped(&request, address(seen));
                let (source, own) = (address(SERVER), address(HOST));
                assert!(
                    world
                        .paths
                        .handle_datagram(source, own, &answer, at, |_, _, _| {})
                );
                break;
            }
        }
        let seen_as: Vec<_> = world.paths.candidates()[1..]
            .iter()
            .map(Candidate::addr)
            .collect();
        let wanted = if known { seen } else { "203.0.113.9:1001" };
        assert_eq!(seen_as, [address(wanted)], "after {seen}");
    }
}
