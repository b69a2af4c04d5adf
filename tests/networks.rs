//! Two real programs in real networks (see `support/network.rs`): who reaches whom, and by which path.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr)] // Figures.

mod support;

use serde_json::Value;
use support::network::{Nat, Relay, Wall, World, certificate};
use support::program::Program;
use support::socket::Socket;

/// Both connect, and picture and voice come on both sides. Returns the kinds of both ends of both, and the
/// transport.
fn connects(what: &str, a: &mut Program, b: &mut Program) -> [Value; 2] {
    let connected = [a.event("connected"), b.event("connected")];
    for side in [a, b] {
        side.once("first-frame");
        side.once("first-audio");
    }
    for event in &connected {
        eprintln!(
            "{what}: {} ms, {} to {}, {}",
            event["ms"], event["local"], event["remote"], event["transport"]
        );
    }
    connected
}

fn is_direct(event: &Value) -> bool {
    event["local"] != "relay" && event["remote"] != "relay"
}

fn both_are(event: &Value, kind: &str) {
    assert_eq!(
        (event["local"].as_str(), event["remote"].as_str()),
        (Some(kind), Some(kind))
    );
}

fn is_relayed_by(event: &Value, transport: &str) {
    assert_eq!(
        (event["local"].as_str(), event["transport"].as_str()),
        (Some("relay"), Some(transport))
    );
}

const RELAYS: [Relay; 2] = [Relay::Own, Relay::Coturn];
const RESTRICTED: Option<(Nat, Wall)> = Some((Nat::PortRestricted, Wall::Open));
const SYMMETRIC: Option<(Nat, Wall)> = Some((Nat::Symmetric, Wall::Open));

#[test]
fn on_one_network_the_path_is_straight() {
    let Some(world) = World::new("one", [None, None]) else {
        return;
    };
    let _server = world.serve(&[]);
    let (mut a, mut b) = world.both();
    for event in connects("one network", &mut a, &mut b) {
        both_are(&event, "host");
        assert_eq!(event["transport"], "udp");
    }
}

#[test]
fn one_behind_a_router_reaches_one_outside() {
    let Some(world) = World::new("out", [RESTRICTED, None]) else {
        return;
    };
    let _server = world.serve(&[]);
    let (mut a, mut b) = world.both();
    let [inside, outside] = connects("NAT to public", &mut a, &mut b);
    assert!(["srflx", "prflx"].contains(&inside["local"].as_str().expect("a kind")));
    assert_eq!(inside["remote"], "host");
    assert_eq!(outside["local"], "host");
    assert!(["srflx", "prflx"].contains(&outside["remote"].as_str().expect("a kind")));
}

#[test]
fn two_homes_with_the_same_addresses_reach_each_other() {
    let Some(world) = World::new("two", [RESTRICTED, RESTRICTED]) else {
        return;
    };
    let _server = world.serve(&[]);
    let (mut a, mut b) = world.both();
    for event in connects("NAT to NAT", &mut a, &mut b) {
        assert!(is_direct(&event), "no relay is needed: {event}");
        assert_ne!(event["local"], "host", "{event}");
    }
}

#[test]
fn a_symmetric_nat_on_one_side_or_both_takes_the_relay() {
    for (name, homes) in [("sy1", [SYMMETRIC, RESTRICTED]), ("sy2", [SYMMETRIC, SYMMETRIC])] {
        for relay in RELAYS {
            let Some(mut world) = World::new(name, homes) else {
                return;
            };
            let meeting = world.meet(relay, None);
            let (mut a, mut b) = world.both_at(&meeting);
            for event in connects(&format!("{name}, {relay:?}"), &mut a, &mut b) {
                // By TCP where this machine is too slow for UDP to be first.
                assert!(!is_direct(&event), "{event}");
            }
        }
    }
}

/// A relay between two NATs sits outside, so it need not be let into anybody's network.
#[test]
fn the_relay_joins_two_of_its_own_without_being_opened() {
    let Some(world) = World::new("cls", [SYMMETRIC, SYMMETRIC]) else {
        return;
    };
    let _server = world.serve(&[]);
    let (mut a, mut b) = world.both();
    for event in connects("symmetric, closed relay", &mut a, &mut b) {
        both_are(&event, "relay");
    }
}

#[test]
fn where_udp_is_blocked_the_relay_is_reached_by_tcp() {
    let blocked = Some((Nat::PortRestricted, Wall::NoUdp));
    for relay in RELAYS {
        let Some(mut world) = World::new("tcp", [blocked, RESTRICTED]) else {
            return;
        };
        let meeting = world.meet(relay, None);
        let (mut a, mut b) = world.both_at(&meeting);
        let [inside, _] = connects(&format!("UDP blocked, {relay:?}"), &mut a, &mut b);
        is_relayed_by(&inside, "tcp");
    }
}

/// With the own relay the page, the rooms and the relay are all behind that one port.
#[test]
fn where_nothing_but_the_web_gets_out_the_relay_is_reached_by_tls() {
    let blocked = Some((Nat::PortRestricted, Wall::WebAlone));
    for (relay, homes) in [
        (Relay::Own, [blocked, RESTRICTED]),
        (Relay::Own, [blocked, blocked]),
        (Relay::Coturn, [blocked, RESTRICTED]),
    ] {
        let Some(mut world) = World::new("tls", homes) else {
            return;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let meeting = world.meet(relay, Some(&certificate(folder.path())));
        let (mut a, mut b) = world.both_at(&meeting);
        let [inside, outside] = connects(&format!("only TCP 443, {relay:?}"), &mut a, &mut b);
        is_relayed_by(&inside, "tls");
        if homes[1] == blocked {
            is_relayed_by(&outside, "tls");
        }
    }
}

#[test]
fn ipv6_alone_is_enough() {
    for relay in RELAYS {
        let Some(mut world) = World::new("six", [None, None]) else {
            return;
        };
        for (name, v4) in [("p1", "10.50.200.5/16"), ("p2", "10.50.150.3/16")] {
            world.ip(name, &format!("addr del {v4} dev out"));
        }
        let _meeting = world.meet(relay, None);
        let server = "ws://[fd50::10]:7880";
        let both = |more: &[&str]| (world.join("p1", server, more), world.join("p2", server, more));
        let (mut a, mut b) = both(&[]);
        // Which may be by the relay at first: its neighbours are known to it already.
        connects(&format!("IPv6 alone, {relay:?}"), &mut a, &mut b);
        drop((a, b));
        let (mut a, mut b) = both(&["--ice-policy", "relay"]);
        for event in connects(&format!("IPv6 alone, relayed, {relay:?}"), &mut a, &mut b) {
            both_are(&event, "relay");
        }
    }
}

/// What its user is called, and what SDP must have, is all that is told.
#[test]
fn nothing_is_told_of_this_machine_where_the_relay_alone_may_be_used() {
    let mut server = Program::start(&[
        "serve",
        "--headless",
        "--listen",
        "127.0.0.1:0",
        "--turn-listen",
        "127.0.0.1:0",
        "--turn-allow-private",
    ]);
    let url = server.event("serving")["url"].as_str().expect("a URL").to_owned();
    let (mut witness, _) = Socket::join_at(&url, "hidden", "witness");
    let args = [
        "--headless",
        "--room",
        "hidden",
        "--server",
        &url,
        "--name",
        "p1",
        "--ice-policy",
        "relay",
        "--camera",
        "test",
        "--mic",
        "none",
        "--speaker",
        "none",
    ];
    let _hidden = Program::start(&args);
    // Until all candidates were told.
    let mut told = Vec::new();
    loop {
        let signal = witness.next_of("signal");
        let is_end = signal.get("candidate").is_some_and(Value::is_null);
        told.push(signal);
        if is_end
            && told
                .iter()
                .any(|signal| signal["candidate"]["candidate"].is_string())
        {
            break;
        }
    }
    for signal in &told {
        let description = signal["description"]["sdp"].as_str().unwrap_or_default();
        let lines = description
            .lines()
            .filter_map(|line| line.strip_prefix("a=candidate:"));
        let candidate = signal["candidate"]["candidate"].as_str();
        for candidate in lines.chain(candidate) {
            assert!(candidate.contains(" typ relay "), "{candidate}");
            assert!(candidate.contains(" raddr 0.0.0.0 rport 0"), "{candidate}");
        }
        for line in description
            .lines()
            .filter(|line| line.starts_with("o=") || line.starts_with("c="))
        {
            assert!(line.ends_with(" 0.0.0.0"), "{line}");
        }
    }
}
