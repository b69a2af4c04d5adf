//! Clients that do as they should, and some that do not.

use turn_types::AddressFamily;
use turn_types::attribute::{
    ChannelNumber, Data, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress,
    XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, DATA, REFRESH, SEND};
use turn_types::stun::attribute::{ErrorCode, Nonce, Realm, Username, XorMappedAddress};
use turn_types::stun::message::{
    BINDING, IntegrityAlgorithm, LongTermKeyCredentials, MessageClass, MessageIntegrityCredentials,
    MessageType, MessageWrite, MessageWriteExt, MessageWriteVec, Method, TransactionId,
};
use turn_types::stun::prelude::AttributeWrite;

use super::*;
use crate::call::tests_epoch;

mod limits;

const UNIX: u64 = 1_800_000_000;
const PEER: &str = "198.51.100.7:6000";

fn address(text: &str) -> SocketAddr {
    text.parse().expect(text)
}

struct Bench {
    relays: Relays,
    secret: Secret,
    now: Instant,
    opened: u64,
    /// Where relayed addresses are.
    ip: IpAddr,
}

/// What an answer says.
#[derive(Debug, PartialEq)]
enum Answer {
    Success,
    Error(u16),
}

impl Bench {
    fn new(allow_private: bool, limits: RelayLimits) -> Self {
        let secret = Secret::new(b"secret");
        let config = RelayConfig {
            secret: secret.clone(),
            allow_private,
            limits,
        };
        Self {
            relays: Relays::new(config, tests_epoch()),
            secret,
            now: tests_epoch(),
            opened: 0,
            ip: address("203.0.113.1:1").ip(),
        }
    }

    fn give(&mut self, client: Client, bytes: &[u8]) -> Action {
        let (opened, ip) = (&mut self.opened, self.ip);
        let mut open = |wanted: Wanted| {
            if wanted.is_v6 {
                return Err(io::ErrorKind::Unsupported.into());
            }
            *opened += 1;
            *opened += u64::from(wanted.is_even && *opened % 2 == 1);
            let port = u16::try_from(50_000 + *opened).expect("few");
            Ok((LegId(*opened), SocketAddr::new(ip, port)))
        };
        self.relays
            .handle_client(client, bytes, (self.now, UNIX), &mut open)
    }

    /// A request of this user, signed, with a fresh nonce.
    fn ask(
        &mut self,
        client: Client,
        user: &str,
        method: Method,
        attributes: &[&dyn AttributeWrite],
    ) -> (Answer, Vec<u8>) {
        let id = TransactionId::generate();
        self.ask_as(client, user, method, attributes, id)
    }

    fn ask_as(
        &mut self,
        client: Client,
        user: &str,
        method: Method,
        attributes: &[&dyn AttributeWrite],
        id: TransactionId,
    ) -> (Answer, Vec<u8>) {
        let request = self.signed(client, user, method, attributes, id);
        let key = key_of(user, &self.secret.password(user));
        let Action::Reply(bytes) = self.give(client, &request) else {
            panic!("a request is answered");
        };
        let read = Message::from_bytes(&bytes).expect("an answer");
        let answer = answer_of(&read);
        if answer != Answer::Error(401) && answer != Answer::Error(438) {
            assert!(
                read.validate_integrity(&key).is_ok(),
                "answers are signed: {answer:?}"
            );
        }
        (answer, bytes)
    }

    /// A request of this user that holds now.
    fn signed(
        &self,
        client: Client,
        user: &str,
        method: Method,
        attributes: &[&dyn AttributeWrite],
        id: TransactionId,
    ) -> Vec<u8> {
        let nonce = self
            .secret
            .nonce(client.address, self.now.duration_since(tests_epoch()).as_secs());
        let key = key_of(user, &self.secret.password(user));
        let kind = MessageType::from_class_method(MessageClass::Request, method);
        let mut request = Message::builder(kind, id, MessageWriteVec::new());
        for attribute in attributes {
            request.add_attribute(*attribute).expect("room");
        }
        request
            .add_attribute(&Username::new(user).expect("short"))
            .expect("room");
        request
            .add_attribute(&Realm::new("facetty").expect("short"))
            .expect("room");
        request
            .add_attribute(&Nonce::new(&nonce).expect("short"))
            .expect("room");
        request
            .add_message_integrity(&key, IntegrityAlgorithm::Sha1)
            .expect("room");
        request.finish()
    }

    fn allocate(&mut self, client: Client, user: &str) -> (Answer, Vec<u8>) {
        self.ask(
            client,
            user,
            ALLOCATE,
            &[&RequestedTransport::new(RequestedTransport::UDP)],
        )
    }

    fn permit(&mut self, client: Client, user: &str, peer: &str) -> Answer {
        self.ask_peer(client, user, CREATE_PERMISSION, peer, &[])
    }

    fn bind(&mut self, client: Client, user: &str, number: u16, peer: &str) -> Answer {
        self.ask_peer(client, user, CHANNEL_BIND, peer, &[&ChannelNumber::new(number)])
    }

    fn ask_peer(
        &mut self,
        client: Client,
        user: &str,
        method: Method,
        peer: &str,
        more: &[&dyn AttributeWrite],
    ) -> Answer {
        let id = TransactionId::generate();
        let peer = XorPeerAddress::new(address(peer), id);
        let mut attributes: Vec<&dyn AttributeWrite> = vec![&peer];
        attributes.extend(more);
        self.ask_as(client, user, method, &attributes, id).0
    }

    fn peer_sends(&mut self, leg: LegId, peer: &str, data: &[u8]) -> Option<(Client, Vec<u8>)> {
        let mut buffer = vec![0xee; HEADROOM + data.len() + TAILROOM];
        let inside = HEADROOM..HEADROOM + data.len();
        buffer[inside.clone()].copy_from_slice(data);
        let (client, whole) = self
            .relays
            .handle_peer(leg, address(peer), &mut buffer, inside, self.now)?;
        Some((client, buffer[whole].to_vec()))
    }
}

fn key_of(user: &str, password: &str) -> MessageIntegrityCredentials {
    LongTermKeyCredentials::new(user.to_owned(), password.to_owned(), "facetty".to_owned()).into()
}

fn answer_of(message: &Message<'_>) -> Answer {
    match message.attribute::<ErrorCode>() {
        Ok(error) => Answer::Error(error.code()),
        Err(_) => Answer::Success,
    }
}

fn client(port: u16) -> Client {
    Client {
        address: SocketAddr::new(address("192.0.2.9:1").ip(), port),
        stream: None,
    }
}

fn user(name: &str) -> String {
    format!("{}:{name}", UNIX + 60)
}

fn send_indication(peer: &str, data: &[u8]) -> Vec<u8> {
    let id = TransactionId::generate();
    let kind = MessageType::from_class_method(MessageClass::Indication, SEND);
    let mut message = Message::builder(kind, id, MessageWriteVec::new());
    message
        .add_attribute(&XorPeerAddress::new(address(peer), id))
        .expect("room");
    message.add_attribute(&Data::new(data)).expect("room");
    message.finish()
}

#[test]
fn binding_tells_the_address_without_credentials() {
    let mut bench = Bench::new(false, RelayLimits::default());
    let request = Message::builder_request(BINDING, MessageWriteVec::new()).finish();
    let Action::Reply(bytes) = bench.give(client(5), &request) else {
        panic!("an answer");
    };
    let answer = Message::from_bytes(&bytes).expect("an answer");
    let seen = answer.attribute::<XorMappedAddress>().expect("an address");
    assert_eq!(seen.addr(answer.transaction_id()), client(5).address);
}

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER
        .decode(text.as_bytes())
        .expect("hexadecimal")
}

/// RFC 5769: the sample request (2.1) is answered with the addresses of the sample responses (2.2, 2.3),
/// to the byte; the request with long-term credentials (2.4) is read, and is nobody's here.
#[test]
fn the_samples_of_rfc_5769_are_read_and_written() {
    let mut bench = Bench::new(false, RelayLimits::default());
    let request = hex(
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff\
         80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249\
         c1b571a280280004e57a3bcf",
    );
    for (seen, attribute) in [
        ("192.0.2.1:32853", "002000080001a147e112a643"),
        (
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
            "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9",
        ),
    ] {
        let client = Client {
            address: address(seen),
            stream: None,
        };
        let Action::Reply(answer) = bench.give(client, &request) else {
            panic!("an answer to {seen}");
        };
        let attribute = hex(attribute);
        assert_eq!(answer[..2], [1, 1], "a success");
        assert_eq!(answer[4..20], request[4..20], "cookie and transaction");
        assert_eq!(answer[20..20 + attribute.len()], attribute, "{seen}");
        assert!(Message::from_bytes(&answer).is_ok(), "its fingerprint is right");
    }
    let request = hex(
        "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b90000\
         0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f726700\
         00080014f67024656dd64a3e02b8e0712e85c9a28ca89666",
    );
    let message = Message::from_bytes(&request).expect("a request");
    let user = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";
    let credentials = LongTermKeyCredentials::new(user.into(), "TheMatrIX".into(), "example.org".into());
    assert!(message.validate_integrity(&credentials.into()).is_ok());
    assert_eq!(
        message.attribute::<Nonce>().expect("a nonce").nonce(),
        "f//499k954d6OL34oL9FSTvy64sA"
    );
}

#[test]
fn packets_go_both_ways_by_indication_and_by_channel() {
    let mut bench = Bench::new(false, RelayLimits::default());
    let (ann, me) = (user("ann"), client(5));
    let (answer, bytes) = bench.allocate(me, &ann);
    assert_eq!(answer, Answer::Success);
    let message = Message::from_bytes(&bytes).expect("an answer");
    let relayed = message.attribute::<XorRelayedAddress>().expect("an address");
    assert_eq!(
        relayed.addr(message.transaction_id()),
        address("203.0.113.1:50001")
    );
    let leg = LegId(1);
    // Nobody is let through before they are permitted, in neither direction.
    assert_eq!(bench.give(me, &send_indication(PEER, b"early")), Action::Drop);
    assert_eq!(bench.peer_sends(leg, PEER, b"early"), None);
    assert_eq!(bench.permit(me, &ann, PEER), Answer::Success);
    for length in 0..9 {
        let data = vec![7; length];
        let sent = send_indication(PEER, &data);
        let Action::ToPeer {
            leg: by,
            peer,
            data: range,
        } = bench.give(me, &sent)
        else {
            panic!("it is relayed");
        };
        assert_eq!((by, peer, &sent[range]), (leg, address(PEER), &data[..]));
        let (to, wrapped) = bench.peer_sends(leg, PEER, &data).expect("it is relayed");
        assert_eq!(to, me);
        let read = Message::from_bytes(&wrapped).expect("an indication");
        assert!(read.has_method(DATA) && read.has_class(MessageClass::Indication));
        let peer = read.attribute::<XorPeerAddress>().expect("a peer");
        assert_eq!(peer.addr(read.transaction_id()), address(PEER));
        assert_eq!(read.attribute::<Data>().expect("data").data(), data);
    }
    assert_eq!(bench.bind(me, &ann, 0x4001, PEER), Answer::Success);
    let sent = [0x40, 1, 0, 3, 1, 2, 3, 0];
    assert_eq!(
        bench.give(me, &sent),
        Action::ToPeer {
            leg,
            peer: address(PEER),
            data: 4..7
        }
    );
    let (_, wrapped) = bench.peer_sends(leg, PEER, b"abcde").expect("it is relayed");
    assert_eq!(wrapped, b"\x40\x01\x00\x05abcde");
    assert_eq!(bench.peer_sends(leg, "198.51.100.8:6000", b"stranger"), None);
    // Another port of a permitted address is permitted, by indication.
    assert!(bench.peer_sends(leg, "198.51.100.7:6001", b"x").is_some());
    // What is announced and not there.
    assert_eq!(bench.give(me, &[0x40, 1, 0, 9, 1]), Action::Drop);
    assert_eq!(bench.give(me, &[0x40, 2, 0, 0]), Action::Drop);
}

#[test]
fn over_a_connection_channel_data_is_padded() {
    let mut bench = Bench::new(false, RelayLimits::default());
    let me = Client {
        stream: Some(1),
        ..client(5)
    };
    let ann = user("ann");
    bench.allocate(me, &ann);
    assert_eq!(bench.bind(me, &ann, 0x4000, PEER), Answer::Success);
    let (_, wrapped) = bench.peer_sends(LegId(1), PEER, b"abcde").expect("it is relayed");
    assert_eq!(wrapped, b"\x40\x00\x00\x05abcde\0\0\0");
    bench.relays.handle_disconnect(me);
    assert_eq!(bench.relays.poll_closed(), Some(Closed(LegId(1))));
    assert!(bench.relays.is_empty() && bench.relays.users.is_empty());
}

#[test]
fn two_allocations_of_one_server_reach_each_other_within_it() {
    for ip in ["203.0.113.1:1", "192.168.0.5:1"] {
        let mut bench = Bench::new(false, RelayLimits::default());
        bench.ip = address(ip).ip();
        let (ann, bob) = (user("ann"), user("bob"));
        bench.allocate(client(5), &ann);
        bench.allocate(client(6), &bob);
        let [of_ann, of_bob] = [50_001, 50_002].map(|port| SocketAddr::new(bench.ip, port).to_string());
        assert_eq!(bench.permit(client(5), &ann, &of_bob), Answer::Success, "{ip}");
        assert_eq!(bench.permit(client(6), &bob, &of_ann), Answer::Success, "{ip}");
        let sent = send_indication(&of_bob, b"hello");
        let Action::Loop { leg, from, data } = bench.give(client(5), &sent) else {
            panic!("it stays here");
        };
        assert_eq!(
            (leg, from, &sent[data]),
            (LegId(2), address(&of_ann), &b"hello"[..])
        );
        assert_eq!(
            bench.peer_sends(leg, &of_ann, b"hello").expect("permitted").0,
            client(6)
        );
        // Whatever else listens on a private address is out of reach, permitted or not.
        let other = SocketAddr::new(bench.ip, 53).to_string();
        let action = bench.give(client(5), &send_indication(&other, b"query"));
        let is_private = !is_allowed(bench.ip, false);
        assert_eq!(action == Action::Drop, is_private, "{ip}");
    }
}

#[test]
fn the_inside_is_refused_unless_it_is_opened() {
    for (peer, open) in [
        ("10.0.0.1:80", false),
        ("127.0.0.1:53", false),
        ("169.254.169.254:80", false),
        (PEER, true),
    ] {
        for allow in [false, true] {
            let mut bench = Bench::new(allow, RelayLimits::default());
            let ann = user("ann");
            bench.allocate(client(5), &ann);
            let wanted = if open || allow {
                Answer::Success
            } else {
                Answer::Error(403)
            };
            assert_eq!(bench.permit(client(5), &ann, peer), wanted, "{peer} {allow}");
            assert_eq!(
                bench.bind(client(5), &ann, 0x4000, peer),
                wanted,
                "{peer} {allow}"
            );
        }
    }
}
