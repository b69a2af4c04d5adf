//! Who is let in, how much of it there is, and what is no request.

use proptest::prelude::*;

use super::*;

#[test]
fn credentials_are_needed_and_must_hold() {
    let mut bench = Bench::new(false, RelayLimits::default());
    let request = |attributes: &[&dyn AttributeWrite]| {
        let mut request = Message::builder_request(ALLOCATE, MessageWriteVec::new());
        for attribute in attributes {
            request.add_attribute(*attribute).expect("room");
        }
        request.finish()
    };
    let Action::Reply(bytes) = bench.give(client(5), &request(&[])) else {
        panic!("an answer");
    };
    let challenge = Message::from_bytes(&bytes).expect("an answer");
    assert_eq!(answer_of(&challenge), Answer::Error(401));
    assert_eq!(
        challenge.attribute::<Realm>().expect("a realm").realm(),
        "facetty"
    );
    assert!(challenge.attribute::<Nonce>().is_ok());
    for name in [
        format!("{}:ann", UNIX),
        format!("{}:ann", UNIX - 1),
        "ann".into(),
        ":".into(),
    ] {
        assert_eq!(bench.allocate(client(5), &name).0, Answer::Error(401), "{name}");
    }
    // Another server's.
    bench.secret = Secret::new(b"other");
    let (answer, _) = {
        let (ann, transport) = (user("ann"), RequestedTransport::new(RequestedTransport::UDP));
        bench.ask(client(5), &ann, ALLOCATE, &[&transport])
    };
    assert_eq!(answer, Answer::Error(401));
    assert!(
        bench.relays.is_empty() && bench.opened == 0,
        "nothing is left of them"
    );
    bench.secret = Secret::new(b"secret");
    let ann = user("ann");
    assert_eq!(bench.allocate(client(5), &ann).0, Answer::Success);
    // Another user does not get at it, and the same one not twice.
    assert_eq!(bench.permit(client(5), &user("eve"), PEER), Answer::Error(441));
    assert_eq!(bench.permit(client(6), &ann, PEER), Answer::Error(437));
    assert_eq!(bench.allocate(client(5), &ann).0, Answer::Error(437));
}

#[test]
fn what_was_overheard_is_of_no_use_elsewhere_nor_for_ever() {
    let mut bench = Bench::new(false, RelayLimits::default());
    let (ann, id) = (user("ann"), TransactionId::generate());
    let transport = RequestedTransport::new(RequestedTransport::UDP);
    let request = bench.signed(client(5), &ann, ALLOCATE, &[&transport], id);
    let refusal = |bench: &mut Bench, from| {
        let Action::Reply(bytes) = bench.give(from, &request) else {
            panic!("a request is answered");
        };
        let answer = Message::from_bytes(&bytes).expect("an answer");
        let nonce = answer.attribute::<Nonce>().map(|nonce| nonce.nonce().to_owned());
        (answer_of(&answer), nonce.is_ok())
    };
    // From another address, or over a connection of another port: the nonce is not theirs.
    assert_eq!(refusal(&mut bench, client(6)), (Answer::Error(438), true));
    // An hour later the nonce is stale, and a fresh one comes with the refusal.
    bench.now += Duration::from_secs(3600);
    assert_eq!(refusal(&mut bench, client(5)), (Answer::Error(438), true));
    assert!(bench.relays.is_empty() && bench.opened == 0);
}

#[test]
fn an_even_port_can_be_had_and_a_pair_cannot() {
    let mut bench = Bench::new(false, RelayLimits::default());
    let udp = RequestedTransport::new(RequestedTransport::UDP);
    let ann = user("ann");
    let (answer, bytes) = bench.ask(client(5), &ann, ALLOCATE, &[&udp, &EvenPort::new(false)]);
    assert_eq!(answer, Answer::Success);
    let message = Message::from_bytes(&bytes).expect("an answer");
    let relayed = message.attribute::<XorRelayedAddress>().expect("an address");
    assert_eq!(relayed.addr(message.transaction_id()).port() % 2, 0);
    let (answer, _) = bench.ask(client(6), &ann, ALLOCATE, &[&udp, &EvenPort::new(true)]);
    assert_eq!(answer, Answer::Error(508));
}

#[test]
fn what_else_this_machine_serves_is_out_of_reach() {
    for (allow, refused) in [(false, true), (true, false)] {
        let mut bench = Bench::new(allow, RelayLimits::default());
        let own = address("198.51.100.7:22");
        bench.relays.set_own(vec![own.ip(), bench.ip]);
        let ann = user("ann");
        bench.allocate(client(5), &ann);
        let wanted = if refused {
            Answer::Error(403)
        } else {
            Answer::Success
        };
        assert_eq!(bench.permit(client(5), &ann, &own.to_string()), wanted);
        // Where relayed addresses are, they are permitted; other ports are not sent to.
        let beside = SocketAddr::new(bench.ip, 22).to_string();
        assert_eq!(bench.permit(client(5), &ann, &beside), Answer::Success);
        let action = bench.give(client(5), &send_indication(&beside, b"query"));
        assert_eq!(action == Action::Drop, refused, "{action:?}");
    }
}

#[test]
fn the_second_port_answers_stun_alone() {
    let mut bench = Bench::new(false, RelayLimits::default());
    bench.relays.set_ports(Ports {
        addresses: [Some(bench.ip), None],
        main: 3478,
        second: 3479,
    });
    let me = client(5);
    let plain = Message::builder_request(BINDING, MessageWriteVec::new()).finish();
    let other = |bytes: &[u8]| {
        let answer = Message::from_bytes(bytes).expect("an answer");
        let seen = answer.attribute::<XorMappedAddress>().expect("an address");
        assert_eq!(seen.addr(answer.transaction_id()), me.address);
        other_address_of(&answer).expect("the other port").port()
    };
    let Action::Reply(bytes) = bench.give(me, &plain) else {
        panic!("an answer")
    };
    assert_eq!(other(&bytes), 3479);
    let Action::Reply(bytes) = bench.relays.handle_second(me, &plain) else {
        panic!("an answer");
    };
    assert_eq!(other(&bytes), 3478);
    // Where the answer is wanted from the other port, it leaves from there.
    let changed = request_from_other_port(TransactionId::generate());
    assert!(matches!(bench.give(me, &changed), Action::ReplyFromOther(_)));
    assert!(matches!(
        bench.relays.handle_second(me, &changed),
        Action::ReplyFromOther(_)
    ));
    // Over a connection there is no other port.
    let stream = Client {
        stream: Some(1),
        ..me
    };
    let Action::Reply(bytes) = bench.give(stream, &changed) else {
        panic!("an answer")
    };
    assert_eq!(
        answer_of(&Message::from_bytes(&bytes).expect("an answer")),
        Answer::Error(420)
    );
    let allocate = Message::builder_request(ALLOCATE, MessageWriteVec::new()).finish();
    for junk in [&allocate[..], b"", b"\0\x01\0\x08", &[0x40, 0, 0, 0]] {
        assert_eq!(bench.relays.handle_second(me, junk), Action::Drop);
    }
}

#[test]
fn a_request_sent_again_gets_the_same_answer() {
    let mut bench = Bench::new(false, RelayLimits::default());
    let (ann, id) = (user("ann"), TransactionId::generate());
    let transport = RequestedTransport::new(RequestedTransport::UDP);
    for _ in 0..3 {
        let (answer, bytes) = bench.ask_as(client(5), &ann, ALLOCATE, &[&transport], id);
        assert_eq!(answer, Answer::Success);
        let message = Message::from_bytes(&bytes).expect("an answer");
        let relayed = message.attribute::<XorRelayedAddress>().expect("an address");
        assert_eq!(relayed.addr(id), address("203.0.113.1:50001"));
    }
    assert_eq!((bench.opened, bench.relays.len()), (1, 1));
}

#[test]
fn everybody_has_a_share_and_all_together_a_limit() {
    let mut bench = Bench::new(false, RelayLimits { of_one: 2, of_all: 3 });
    let (ann, bob, eve) = (user("ann"), user("bob"), user("eve"));
    assert_eq!(bench.allocate(client(1), &ann).0, Answer::Success);
    assert_eq!(bench.allocate(client(2), &ann).0, Answer::Success);
    assert_eq!(bench.allocate(client(3), &ann).0, Answer::Error(486));
    assert_eq!(bench.allocate(client(4), &bob).0, Answer::Success);
    assert_eq!(bench.allocate(client(5), &eve).0, Answer::Error(508));
    // Given back, it is there for others.
    let (answer, _) = bench.ask(client(1), &ann, REFRESH, &[&Lifetime::new(0)]);
    assert_eq!(answer, Answer::Success);
    assert_eq!(bench.relays.poll_closed(), Some(Closed(LegId(1))));
    assert_eq!(bench.allocate(client(5), &eve).0, Answer::Success);
}

#[test]
fn what_is_not_refreshed_ends() {
    let mut bench = Bench::new(false, RelayLimits::default());
    let ann = user("ann");
    bench.allocate(client(5), &ann);
    bench.bind(client(5), &ann, 0x4000, PEER);
    bench.now += Duration::from_secs(301);
    assert_eq!(
        bench.peer_sends(LegId(1), PEER, b"x"),
        None,
        "the permission is over"
    );
    assert_eq!(bench.permit(client(5), &ann, PEER), Answer::Success);
    assert!(bench.peer_sends(LegId(1), PEER, b"x").is_some());
    bench.now += Duration::from_secs(298);
    let (answer, _) = bench.ask(client(5), &ann, REFRESH, &[]);
    assert_eq!(answer, Answer::Success);
    bench.now += Duration::from_secs(599);
    bench.relays.handle_timeout(bench.now);
    assert_eq!(bench.relays.len(), 1);
    bench.now += Duration::from_secs(11);
    bench.relays.handle_timeout(bench.now);
    assert!(bench.relays.is_empty());
    assert_eq!(bench.relays.poll_closed(), Some(Closed(LegId(1))));
    assert_eq!(bench.relays.poll_timeout(), None);
}

#[test]
fn what_cannot_be_given_is_refused() {
    let mut bench = Bench::new(false, RelayLimits::default());
    let ann = user("ann");
    let udp = RequestedTransport::new(RequestedTransport::UDP);
    let tcp = RequestedTransport::new(RequestedTransport::TCP);
    let v6 = RequestedAddressFamily::new(AddressFamily::IPV6);
    assert_eq!(
        bench.ask(client(5), &ann, ALLOCATE, &[&tcp]).0,
        Answer::Error(442)
    );
    assert_eq!(bench.ask(client(5), &ann, ALLOCATE, &[]).0, Answer::Error(400));
    assert_eq!(
        bench.ask(client(5), &ann, ALLOCATE, &[&udp, &v6]).0,
        Answer::Error(440)
    );
    assert_eq!(bench.permit(client(5), &ann, PEER), Answer::Error(437));
    bench.allocate(client(5), &ann);
    assert_eq!(
        bench.permit(client(5), &ann, "[2001:db8::1]:5"),
        Answer::Error(443)
    );
    assert_eq!(bench.bind(client(5), &ann, 0x3fff, PEER), Answer::Error(400));
    assert_eq!(bench.bind(client(5), &ann, 0x4000, PEER), Answer::Success);
    assert_eq!(
        bench.bind(client(5), &ann, 0x4000, PEER),
        Answer::Success,
        "again"
    );
    assert_eq!(
        bench.bind(client(5), &ann, 0x4001, PEER),
        Answer::Error(400),
        "one peer, one channel"
    );
    assert_eq!(
        bench.bind(client(5), &ann, 0x4000, "198.51.100.8:1"),
        Answer::Error(400)
    );
}

#[test]
fn a_thousand_allocations_stand_beside_each_other() {
    let mut bench = Bench::new(false, RelayLimits::default());
    for port in 1..=1000 {
        assert_eq!(
            bench.allocate(client(port), &user(&port.to_string())).0,
            Answer::Success
        );
    }
    assert_eq!(bench.relays.len(), 1000);
    assert_eq!(
        bench.bind(client(777), &user("777"), 0x4000, PEER),
        Answer::Success
    );
    assert_eq!(
        bench.peer_sends(LegId(777), PEER, b"x").expect("permitted").0,
        client(777)
    );
}

/// A message that holds, of one of the kinds that a client sends.
fn honest(bench: &Bench, kind: u8, id: TransactionId) -> Vec<u8> {
    let ann = user("ann");
    let peer = XorPeerAddress::new(address(PEER), id);
    let udp = RequestedTransport::new(RequestedTransport::UDP);
    let (lifetime, number) = (Lifetime::new(600), ChannelNumber::new(0x4000));
    match kind % 7 {
        0 => bench.signed(client(6), &ann, ALLOCATE, &[&udp], id),
        1 => bench.signed(client(5), &ann, REFRESH, &[&lifetime], id),
        2 => bench.signed(client(5), &ann, CREATE_PERMISSION, &[&peer], id),
        3 => bench.signed(client(5), &ann, CHANNEL_BIND, &[&number, &peer], id),
        4 => send_indication(PEER, b"some data"),
        5 => request_from_other_port(id),
        _ => [&[0x40, 0, 0, 9][..], b"some data"].concat(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What holds, with some bytes changed, cut off or put in: nothing panics, a signature that does not
    /// fit changes nothing, and data leaves to nobody but who was permitted.
    #[test]
    fn what_was_changed_on_its_way_does_no_harm(
        kind in any::<u8>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..6),
    ) {
        let mut bench = Bench::new(false, RelayLimits::default());
        let ann = user("ann");
        bench.allocate(client(5), &ann);
        prop_assert_eq!(bench.permit(client(5), &ann, PEER), Answer::Success);
        let mut bytes = honest(&bench, kind, TransactionId::from(u128::from(kind) + 7));
        let whole = bytes.clone();
        for (at, byte, how) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        let from = if kind % 7 == 0 { client(6) } else { client(5) };
        match bench.give(from, &bytes) {
            Action::ToPeer { peer, data, .. } => {
                prop_assert_eq!(peer.ip(), address(PEER).ip());
                prop_assert!(data.end <= bytes.len());
            }
            Action::Loop { .. } => prop_assert!(false, "nobody else is here"),
            Action::Reply(answer) | Action::ReplyFromOther(answer) => {
                prop_assert!(Message::from_bytes(&answer).is_ok());
            }
            Action::Drop => {}
        }
        let _ = bench.relays.handle_second(from, &bytes);
        // The signature covers all but what comes after it (a fingerprint, of which there is none here).
        let is_same = bytes.starts_with(&whole);
        prop_assert!(bench.relays.len() == 1 || (kind % 7 == 0 && is_same));
    }

    #[test]
    fn hostile_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), like_stun: bool) {
        let mut bench = Bench::new(false, RelayLimits::default());
        bench.allocate(client(5), &user("ann"));
        let mut bytes = bytes;
        if like_stun && bytes.len() >= 20 {
            let length = u16::try_from((bytes.len() - 20) / 4 * 4).expect("short");
            bytes.truncate(20 + usize::from(length));
            bytes[0] &= 0x3f;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        }
        let action = bench.give(client(5), &bytes);
        let leaves = matches!(action, Action::ToPeer { .. } | Action::Loop { .. });
        prop_assert!(!leaves);
        prop_assert_eq!(bench.relays.len(), 1);
    }
}
