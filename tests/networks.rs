//! Two real programs in real networks (see `support/network.rs`): who reaches whom, and by which path.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr)] // Figures.

mod support;

use serde_json::Value;
use support::network::{Nat, SERVER, Wall, World, pem};
use support::program::Program;

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
        let Some(world) = World::new(name, homes) else {
            return;
        };
        let _server = world.serve(&["--turn-allow-private"]);
        let (mut a, mut b) = world.both();
        for event in connects("symmetric, own relay", &mut a, &mut b) {
            assert!(!is_direct(&event), "{event}");
            assert_eq!(event["transport"], "udp");
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
    let Some(world) = World::new("tcp", [blocked, RESTRICTED]) else {
        return;
    };
    let _server = world.serve(&["--turn-allow-private"]);
    let (mut a, mut b) = world.both();
    let [inside, _] = connects("UDP blocked, own relay", &mut a, &mut b);
    assert_eq!(
        (&inside["local"], &inside["transport"]),
        (&"relay".into(), &"tcp".into())
    );
}

#[test]
fn a_foreign_relay_serves_as_well() {
    for (name, home, transport) in [
        ("ct1", SYMMETRIC, "udp"),
        ("ct2", Some((Nat::PortRestricted, Wall::NoUdp)), "tcp"),
    ] {
        let Some(mut world) = World::new(name, [home, SYMMETRIC]) else {
            return;
        };
        world.coturn(3479, &["--no-tls"]);
        let _server = world.serve(&[
            "--no-turn",
            "--turn-secret",
            "common",
            "--ice-server",
            "stun:10.50.0.10:3479",
            "--ice-server",
            "turn:10.50.0.10:3479",
            "--ice-server",
            "turn:10.50.0.10:3479?transport=tcp",
        ]);
        let (mut a, mut b) = world.both();
        let [inside, _] = connects(&format!("coturn over {transport}"), &mut a, &mut b);
        assert!(!is_direct(&inside));
        if transport == "tcp" {
            assert_eq!(
                (&inside["local"], &inside["transport"]),
                (&"relay".into(), &"tcp".into())
            );
        }
    }
}

#[test]
fn where_nothing_but_the_web_gets_out_the_relay_is_reached_by_tls() {
    let blocked = Some((Nat::PortRestricted, Wall::WebAlone));
    let Some(mut world) = World::new("tls", [blocked, RESTRICTED]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new([]).expect("no names");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).expect("a certificate");
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(["10.50.0.10".to_owned()]).expect("an address");
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let certificate = leaf.signed_by(&key, &issuer).expect("a certificate");
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let trusted = put("ca.pem", &pem("CERTIFICATE", ca_certificate.der()));
    let cert = format!(
        "--cert={}",
        put("leaf.pem", &pem("CERTIFICATE", certificate.der())).display()
    );
    let pkey = format!(
        "--pkey={}",
        put("leaf.key", &pem("PRIVATE KEY", &key.serialize_der())).display()
    );
    world.coturn(3479, &["--tls-listening-port=443", &cert, &pkey]);
    let _server = world.serve(&[
        "--no-turn",
        "--turn-secret",
        "common",
        "--ice-server",
        "stun:10.50.0.10:3479",
        "--ice-server",
        "turn:10.50.0.10:3479",
        "--ice-server",
        "turns:10.50.0.10:443",
    ]);
    let trust = format!("SSL_CERT_FILE={}", trusted.display());
    let space = world.space("p1");
    let args = [
        "--headless",
        "--room",
        "nets",
        "--server",
        SERVER,
        "--name",
        "p1",
        "--camera",
        "test",
        "--mic",
        "tone",
        "--speaker",
        "none",
    ];
    let mut a = Program::start_by(&["ip", "netns", "exec", &space, "env", &trust], &args);
    let mut b = world.join("p2", SERVER, &[]);
    let [inside, _] = connects("only TCP 443, coturn", &mut a, &mut b);
    assert_eq!(
        (&inside["local"], &inside["transport"]),
        (&"relay".into(), &"tls".into())
    );
}

#[test]
fn ipv6_alone_is_enough() {
    let Some(world) = World::new("six", [None, None]) else {
        return;
    };
    for (name, v4) in [("p1", "10.50.200.5/16"), ("p2", "10.50.150.3/16")] {
        world.ip(name, &format!("addr del {v4} dev out"));
    }
    let _server = world.serve(&["--turn-allow-private"]);
    let server = "ws://[fd50::10]:7880";
    let (mut a, mut b) = (world.join("p1", server, &[]), world.join("p2", server, &[]));
    // Which may be by the relay at first: its neighbours are known to it already.
    connects("IPv6 alone", &mut a, &mut b);
    drop((a, b));
    let relayed = ["--ice-policy", "relay"];
    let (mut a, mut b) = (
        world.join("p1", server, &relayed),
        world.join("p2", server, &relayed),
    );
    for event in connects("IPv6 alone, own relay", &mut a, &mut b) {
        both_are(&event, "relay");
    }
}
