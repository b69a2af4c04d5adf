//! A TURN and STUN server played by hand: one that answers, one that lies, one that stalls, one that
//! asks for credentials for ever.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
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
        assert!(
            message.validate_integrity(&self.key).is_ok(),
            "signed as it ought to be"
        );
        let mut answer = Message::builder_success(&message, MessageWriteVec::new());
        match message.method() {
            ALLOCATE => {
                let relayed = XorRelayedAddress::new(address(RELAYED), id);
                answer.add_attribute(&relayed).expect("room");
                answer.add_attribute(&Lifetime::new(600)).expect("room");
                let mapped = XorMappedAddress::new(address(HOST), id);
                answer.add_attribute(&mapped).expect("room");
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

/// A client and its server, with 10 ms between them.
struct World {
    paths: Paths,
    turn: Turn,
    now: Instant,
    outputs: Vec<PathOutput>,
    data: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    cuts: usize,
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
                if let Some(answer) = self.turn.handle(&bytes) {
                    self.now += Duration::from_millis(10);
                    let taken = self
                        .paths
                        .handle_datagram(destination, source, &answer, self.now, take);
                    assert!(taken || self.turn.manner == Manner::Forges);
                }
            }
            PathOutput::Stream { id, bytes } => {
                let mut frames = Frames::default();
                frames.push(&bytes);
                while let Some(frame) = frames.next_frame().expect("TURN") {
                    if let Some(answer) = self.turn.handle(frame) {
                        let answer = pad(answer);
                        for piece in answer.chunks(answer.len().div_ceil(self.cuts)) {
                            self.paths.handle_stream(id, piece, self.now, |_, _, _| {});
                        }
                    }
                }
            }
            other => self.outputs.push(other),
        }
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

#[test]
fn a_relay_is_allocated_and_carries_both_ways() {
    let mut world = World::new(TURN_URL, Manner::Good, IcePolicy::All);
    world.run(Duration::from_millis(300));
    assert_eq!(world.kinds(), [CandidateKind::Host, CandidateKind::Relayed]);
    let (relayed, peer) = (address(RELAYED), address(PEER));
    assert_eq!(world.paths.candidates()[1].addr(), relayed);
    // ICE's packets first, then media, which goes by a channel.
    assert!(world.paths.relay(relayed, peer, vec![0; 24], world.now));
    assert!(world.paths.relay(relayed, peer, vec![1; 25], world.now));
    world.run(Duration::from_millis(300));
    for _ in 0..2 {
        assert!(world.paths.relay(relayed, peer, vec![0x80; 101], world.now));
        world.run(Duration::from_millis(300));
    }
    let sent: Vec<_> = world
        .turn
        .relayed
        .iter()
        .map(|(to, data)| (*to, data.len()))
        .collect();
    assert_eq!(sent, [(peer, 24), (peer, 25), (peer, 101), (peer, 101)]);
    assert_eq!(world.turn.channels.len(), 1);
    // Towards here: by indication and by channel.
    let number = *world.turn.channels.keys().next().expect("one");
    let mut channel = number.to_be_bytes().to_vec();
    channel.extend([0, 3, 7, 8, 9]);
    for bytes in [data_indication(peer, b"hello"), channel] {
        let data = &mut world.data;
        let taken = world.paths.handle_datagram(
            address(SERVER),
            address(HOST),
            &bytes,
            world.now,
            |from, own, bytes| {
                data.push((from, own, bytes.to_vec()));
            },
        );
        assert!(taken);
    }
    assert_eq!(
        world.data,
        [(peer, relayed, b"hello".to_vec()), (peer, relayed, vec![7, 8, 9])]
    );
    assert!(
        !world.paths.relay(address(PEER), peer, vec![], world.now),
        "no relay is there"
    );
}

#[test]
fn a_relay_alone_is_told_where_nothing_else_may_be() {
    let mut world = World::new(TURN_URL, Manner::Good, IcePolicy::Relay);
    assert!(world.paths.candidates().is_empty());
    world.run(Duration::from_secs(1));
    assert_eq!(world.kinds(), [CandidateKind::Relayed]);
    let found = world
        .outputs
        .iter()
        .filter(|o| matches!(o, PathOutput::Found(_)))
        .count();
    assert_eq!(found, 1);
}

#[test]
fn a_relay_lives_as_long_as_the_call() {
    let mut world = World::new(TURN_URL, Manner::Good, IcePolicy::All);
    world.run(Duration::from_secs(7200));
    assert_eq!(world.kinds(), [CandidateKind::Host, CandidateKind::Relayed]);
    world.turn.manner = Manner::Silent;
    world.run(Duration::from_secs(900));
    assert_eq!(world.kinds(), [CandidateKind::Host], "it is told when it is lost");
    let lost = world
        .outputs
        .iter()
        .filter(|o| matches!(o, PathOutput::Lost(_)))
        .count();
    assert_eq!(lost, 1);
    world.turn.manner = Manner::Good;
    world.run(Duration::from_secs(60));
    assert_eq!(world.kinds().len(), 2, "and asked for again");
}

#[test]
fn over_a_stream_it_is_the_same_however_it_is_cut() {
    for cuts in [1, 2, 30] {
        let mut world = World::new("turn:u:p@h?transport=tcp", Manner::Good, IcePolicy::All);
        world.cuts = cuts;
        world.run(Duration::from_millis(300));
        assert_eq!(
            world.kinds(),
            [CandidateKind::Host],
            "datagrams are given their time"
        );
        world.run(Duration::from_millis(400));
        assert_eq!(world.kinds(), [CandidateKind::Host, CandidateKind::Relayed]);
        let (relayed, peer) = (address(RELAYED), address(PEER));
        for _ in 0..3 {
            world.paths.relay(relayed, peer, vec![0x80; 101], world.now);
            world.run(Duration::from_millis(300));
        }
        assert_eq!(world.turn.relayed.len(), 3);
        assert!(world.turn.relayed.iter().all(|(_, data)| data.len() == 101));
        assert_eq!(world.paths.transport_of(relayed), Some(Transport::Tcp));
    }
}

#[test]
fn a_server_that_lies_stalls_or_asks_for_ever_is_given_up() {
    for (manner, why, most) in [
        (Manner::Silent, "no answer", 12),
        (Manner::AsksForEver, "it refuses user and password", 12),
        (Manner::StaleForEver, "it refuses user and password", 12),
        (Manner::Forges, "", 24),
        (Manner::Quota, "its quota for this user is used up", 4),
    ] {
        let mut world = World::new(TURN_URL, manner, IcePolicy::All);
        world.run(Duration::from_secs(25));
        assert_eq!(world.kinds(), [CandidateKind::Host], "{why}");
        assert!(world.paths.is_complete(), "{why}");
        let report = world.paths.report();
        assert!(report.contains(why), "{report} for {why}");
        assert!(
            world.turn.requests <= most,
            "{} requests, {why}",
            world.turn.requests
        );
    }
}

#[test]
fn what_a_stream_brings_that_is_no_turn_ends_it() {
    let mut world = World::new("turn:u:p@h?transport=tcp", Manner::Silent, IcePolicy::All);
    world.run(Duration::from_millis(500));
    let id = world.paths.asked[0].id;
    let alert = [0x15, 3, 3, 0, 2, 2, 40, 0];
    world.paths.handle_stream(id, &alert, world.now, |_, _, _| {});
    world.run(Duration::ZERO);
    assert!(
        world
            .outputs
            .iter()
            .any(|o| matches!(o, PathOutput::Disconnect(_)))
    );
    assert!(
        world.paths.report().contains("is no TURN"),
        "{}",
        world.paths.report()
    );
}

proptest! {
    #[test]
    fn hostile_bytes_do_no_harm(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..40),
                                is_stream: bool, like_stun: bool) {
        let url = if is_stream { "turn:u:p@h?transport=tcp" } else { TURN_URL };
        let mut world = World::new(url, Manner::Good, IcePolicy::All);
        world.run(Duration::from_secs(1));
        let id = world.paths.asked[0].id;
        for mut bytes in packets {
            if like_stun && bytes.len() >= 20 {
                let length = u16::try_from((bytes.len() - 20) / 4 * 4).expect("short");
                bytes[0] &= 0x3f;
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            }
            if is_stream {
                world.paths.handle_stream(id, &bytes, world.now, |_, _, _| {});
            } else {
                world.paths.handle_datagram(address(SERVER), address(HOST), &bytes, world.now, |_, _, _| {});
            }
            world.run(Duration::from_millis(5));
        }
    }
}

/// RFC 5769, 2.2 and 2.3: sample responses over IPv4 and IPv6.
#[test]
fn the_sample_responses_of_rfc_5769_are_read() {
    let v4 = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a6430008\
              00142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
    let v6 = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3\
              f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";
    let password = turn_types::stun::message::ShortTermCredentials::new("VOkJxbRl1RmTxUk/WvJxBt".into());
    for (hex, seen) in [
        (v4, "192.0.2.1:32853"),
        (v6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let bytes = data_encoding::HEXLOWER
            .decode(hex.as_bytes())
            .expect("hexadecimal");
        let message = Message::from_bytes(&bytes).expect("its fingerprint is right");
        assert_eq!(stun_answer(&message), Some(address(seen)));
        assert!(message.validate_integrity(&password.clone().into()).is_ok());
        // Without the fingerprint, which the integrity does not cover.
        for at in 0..bytes.len() - 8 {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            let read = Message::from_bytes(&broken);
            let trusted = read.is_ok_and(|m| m.validate_integrity(&password.clone().into()).is_ok());
            assert!(!trusted, "byte {at}");
        }
    }
}
