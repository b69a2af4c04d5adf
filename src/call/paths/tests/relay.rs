//! Relays, and what a server may send that it should not.

use proptest::prelude::*;

use super::*;

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
    assert_eq!(world.lost(), 1);
    world.turn.manner = Manner::Good;
    world.run(Duration::from_secs(60));
    assert_eq!(world.kinds().len(), 2, "and asked for again");
}

#[test]
fn over_a_stream_it_is_the_same_however_it_is_cut() {
    for cuts in [1, 2, 30] {
        let mut world = World::new("turn:u:p@h?transport=tcp", Manner::Good, IcePolicy::All);
        world.cuts = cuts;
        world.run(Duration::from_millis(150));
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
fn a_wrong_password_is_told_at_once() {
    for url in [TURN_URL, "turn:u:p@h?transport=tcp"] {
        let mut world = World::new(url, Manner::AsksForEver, IcePolicy::All);
        world.run(Duration::from_millis(900));
        assert!(world.paths.is_complete(), "{url}");
        assert!(
            world.paths.report().ends_with("it refuses user and password"),
            "{url}"
        );
        assert_eq!(world.turn.requests, 2, "without credentials, and with them");
        // Later it may have learnt of the user.
        world.turn.manner = Manner::Good;
        world.run(Duration::from_secs(60));
        assert_eq!(
            world.kinds(),
            [CandidateKind::Host, CandidateKind::Relayed],
            "{url}"
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A server whose answers are changed on their way: nothing panics or spins, and no address is
    /// believed that it did not sign.
    #[test]
    fn answers_that_were_changed_do_no_harm(
        changes in prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..20),
        is_stream: bool,
    ) {
        let url = if is_stream { "turn:u:p@h?transport=tcp" } else { TURN_URL };
        let mut world = World::new(url, Manner::Good, IcePolicy::All);
        world.changes = changes.into();
        world.run(Duration::from_secs(25));
        prop_assert!(world.turn.requests <= 60, "{} requests", world.turn.requests);
        for candidate in &world.paths.candidates()[1..] {
            prop_assert_eq!(candidate.addr(), address(RELAYED));
        }
        // Once nothing is changed any more, it relays, after a retry or two.
        world.changes.clear();
        world.run(Duration::from_secs(300));
        prop_assert_eq!(world.kinds(), [CandidateKind::Host, CandidateKind::Relayed]);
    }

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

#[test]
fn a_server_that_was_started_anew_is_noticed_and_asked_again() {
    for url in [TURN_URL, "turn:u:p@h?transport=tcp"] {
        let mut world = World::new(url, Manner::Good, IcePolicy::All);
        world.run(Duration::from_secs(40));
        assert_eq!(world.lost(), 0, "asked now and then, it is there");
        world.turn.manner = Manner::Forgot;
        world.run(Duration::from_secs(16));
        assert_eq!(world.lost(), 1, "noticed by itself");
        assert_eq!(world.kinds(), [CandidateKind::Host, CandidateKind::Relayed]);
        // In doubt, at once.
        world.paths.doubt(world.now);
        world.run(Duration::from_secs(1));
        assert_eq!(world.lost(), 2);
        assert_eq!(world.kinds(), [CandidateKind::Host, CandidateKind::Relayed]);
    }
}

#[test]
fn a_server_that_died_is_noticed_within_two_seconds_of_doubt() {
    let mut world = World::new(TURN_URL, Manner::Good, IcePolicy::All);
    world.run(Duration::from_secs(1));
    world.turn.manner = Manner::Silent;
    world.paths.doubt(world.now);
    world.run(Duration::from_millis(1800));
    assert_eq!(world.lost(), 1);
    assert_eq!(
        world.paths.report(),
        "turn:turn.example.org:3478: no answer yet",
        "it is asked again"
    );
    // And again for as long as there is doubt.
    for _ in 0..5 {
        world.run(Duration::from_secs(4));
        world.paths.doubt(world.now);
    }
    world.turn.manner = Manner::Good;
    world.run(Duration::from_secs(2));
    assert_eq!(world.kinds(), [CandidateKind::Host, CandidateKind::Relayed]);
}
