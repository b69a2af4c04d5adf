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
    // A nonce ages.
    bench.secret = Secret::new(b"secret");
    let ann = user("ann");
    assert_eq!(bench.allocate(client(5), &ann).0, Answer::Success);
    // Another user does not get at it, and the same one not twice.
    assert_eq!(bench.permit(client(5), &user("eve"), PEER), Answer::Error(441));
    assert_eq!(bench.permit(client(6), &ann, PEER), Answer::Error(437));
    assert_eq!(bench.allocate(client(5), &ann).0, Answer::Error(437));
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

proptest! {
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
