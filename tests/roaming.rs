//! A call whose network changes under it, in real networks (see `support/network.rs`): how soon that is noticed,
//! and how soon picture and voice come again. The times are printed; what is asserted is that the call is
//! the same one and goes on.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr)] // Figures.

mod support;

use std::time::{Duration, Instant};

use facetty::call::ABSENT_AFTER;
use facetty::io::clock;
use rustix::process::Signal;
use serde_json::Value;
use support::network::{Nat, Wall, World};
use support::program::Program;

const RESTRICTED: Option<(Nat, Wall)> = Some((Nat::PortRestricted, Wall::Open));
const SYMMETRIC: Option<(Nat, Wall)> = Some((Nat::Symmetric, Wall::Open));

/// A call of two that stands: picture and voice come on both sides.
struct Pair {
    what: &'static str,
    a: Program,
    b: Program,
    began: Instant,
    slowest: Duration,
}

impl Pair {
    fn connected(what: &'static str, (mut a, mut b): (Program, Program)) -> Self {
        for side in [&mut a, &mut b] {
            side.event("connected");
            side.once("first-frame");
            side.once("first-audio");
            // Media that has flowed for a while: its end is noticed by its absence.
            side.event("stats");
            side.event("stats");
        }
        Self {
            what,
            a,
            b,
            began: clock::now(),
            slowest: Duration::ZERO,
        }
    }

    /// Something happens to the network now.
    fn happens(&mut self, what: impl FnOnce()) {
        self.a.events();
        self.b.events();
        self.slowest = self.slowest.max(self.since());
        self.began = clock::now();
        what();
    }

    fn since(&self) -> Duration {
        clock::now() - self.began
    }

    /// Waits until the first side has noticed.
    fn notices(&mut self) {
        self.a.event_where("path", |event| event["state"] == "unstable");
        eprintln!("{}: noticed after {} ms", self.what, self.since().as_millis());
    }

    /// Waits until the first side hears the other again, and pictures come on both.
    fn is_back(&mut self) {
        let restored = self.a.event_where("path", |event| event["state"] == "restored");
        eprintln!("{}: back after {} ms", self.what, self.since().as_millis());
        for end in ["local", "remote"] {
            let kind = restored[end].as_str().expect("a kind");
            assert!(["host", "srflx", "prflx", "relay"].contains(&kind), "{restored}");
        }
        self.flows();
        self.slowest = self.slowest.max(self.since());
    }

    /// Pictures come on both sides, now.
    fn flows(&mut self) {
        for side in [&mut self.a, &mut self.b] {
            side.events();
            side.event_where("stats", |event| event["fps_in"].as_f64() > Some(0.0));
            side.event_where("stats", |event| event["fps_in"].as_f64() > Some(0.0));
        }
    }

    /// Nobody left, and it is the same connection; unless this machine took so long that the other side had
    /// to give up.
    fn ends_as_it_began(mut self) {
        if self.slowest >= ABSENT_AFTER {
            eprintln!("{}: too slow a machine to keep a call", self.what);
            return;
        }
        for side in [&mut self.a, &mut self.b] {
            let events = side.events();
            let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
            assert_eq!(count("peer-left"), 0, "{}", self.what);
            assert_eq!(count("connected"), 1, "{}", self.what);
        }
    }
}

fn states(side: &mut Program) -> Vec<Value> {
    let paths = side.events().iter().filter(|event| event["event"] == "path");
    paths.map(|event| event["state"].clone()).collect()
}

#[test]
fn an_address_changes() {
    let Some(world) = World::new("adr", [None, None]) else {
        return;
    };
    let _server = world.serve(&[]);
    // By IPv4 alone, else IPv6 goes on.
    for (name, v6) in [("p1", "fd50::5"), ("p2", "fd50::3")] {
        world.ip(name, &format!("addr del {v6}/64 dev out"));
    }
    let mut pair = Pair::connected("address changed", world.both());
    pair.happens(|| {
        world.ip("p1", "addr del 10.50.200.5/16 dev out");
        world.ip("p1", "addr add 10.50.200.77/16 dev out");
    });
    pair.notices();
    pair.is_back();
    pair.ends_as_it_began();
}

#[test]
fn an_address_changes_behind_a_router() {
    let Some(world) = World::new("hom", [RESTRICTED, RESTRICTED]) else {
        return;
    };
    let _server = world.serve(&[]);
    let mut pair = Pair::connected("address changed behind a router", world.both());
    pair.happens(|| {
        world.ip("p1", "addr del 192.168.0.200/24 dev in0");
        world.ip("p1", "addr add 192.168.0.201/24 dev in0");
        world.ip("p1", "route add default via 192.168.0.1");
    });
    pair.notices();
    pair.is_back();
    pair.ends_as_it_began();
}

#[test]
fn a_cable_is_pulled_and_plugged_in_again() {
    let Some(world) = World::new("cab", [None, None]) else {
        return;
    };
    let _server = world.serve(&[]);
    let mut pair = Pair::connected("cable out", world.both());
    pair.happens(|| world.ip("pub", "link set top1 down"));
    pair.notices();
    pair.what = "cable in again";
    pair.happens(|| world.ip("pub", "link set top1 up"));
    pair.is_back();
    pair.ends_as_it_began();
}

#[test]
fn an_interface_is_switched_off_and_on() {
    let Some(world) = World::new("ifc", [None, None]) else {
        return;
    };
    let _server = world.serve(&[]);
    let mut pair = Pair::connected("interface off", world.both());
    pair.happens(|| world.ip("p1", "link set out down"));
    pair.notices();
    pair.what = "interface on again";
    pair.happens(|| world.ip("p1", "link set out up"));
    pair.is_back();
    pair.ends_as_it_began();
}

#[test]
fn another_interface_takes_over() {
    let Some(world) = World::new("two", [None, None]) else {
        return;
    };
    let _server = world.serve(&[]);
    for (name, v6) in [("p1", "fd50::5"), ("p2", "fd50::3")] {
        world.ip(name, &format!("addr del {v6}/64 dev out"));
    }
    let mut pair = Pair::connected("cable out, Wi-Fi there", world.both());
    world.cable(("p1", "wifi"), ("pub", "air"));
    world.ip("pub", "link set air master br0 up");
    world.ip("p1", "addr add 10.50.201.9/16 dev wifi");
    world.ip("p1", "link set wifi up");
    pair.happens(|| {
        world.ip("pub", "link set top1 down");
        // As a network manager does.
        world.ip("p1", "addr del 10.50.200.5/16 dev out");
    });
    pair.notices();
    pair.is_back();
    pair.ends_as_it_began();
}

#[test]
fn a_router_gives_other_ports() {
    let Some(world) = World::new("reb", [RESTRICTED, RESTRICTED]) else {
        return;
    };
    let _server = world.serve(&[]);
    let mut pair = Pair::connected("NAT rebinding", world.both());
    pair.happens(|| world.rebind("r1", "10.50.200.5"));
    pair.notices();
    pair.is_back();
    pair.ends_as_it_began();
}

#[test]
fn a_relay_is_started_anew() {
    let Some(mut world) = World::new("rel", [SYMMETRIC, SYMMETRIC]) else {
        return;
    };
    let relay = world.coturn(3479, &["--no-tls"]);
    let _server = world.serve_beside(&["stun:10.50.0.10:3479", "turn:10.50.0.10:3479"]);
    let mut pair = Pair::connected("relay started anew", world.both());
    pair.happens(|| {
        world.kill(&relay);
        world.coturn(3479, &["--no-tls"]);
    });
    pair.notices();
    pair.is_back();
    pair.ends_as_it_began();
}

#[test]
fn another_relay_takes_over() {
    let Some(mut world) = World::new("sec", [SYMMETRIC, SYMMETRIC]) else {
        return;
    };
    let ports = [3479, 3480];
    let relays = ports.map(|port| world.coturn(port, &["--no-tls"]));
    let _server = world.serve_beside(&["turn:10.50.0.10:3479", "turn:10.50.0.10:3480"]);
    let mut pair = Pair::connected("one relay of two dies", world.both());
    // Whichever of them it is that they use.
    for (relay, port) in relays.iter().zip(ports) {
        pair.happens(|| world.kill(relay));
        pair.flows();
        world.coturn(port, &["--no-tls"]);
    }
    for event in pair.a.events().iter().filter(|event| event["event"] == "path") {
        eprintln!(
            "one relay of two dies: {} at {} ms",
            event["state"], event["t_ms"]
        );
    }
    pair.ends_as_it_began();
}

#[test]
fn the_meeting_point_is_started_anew() {
    let Some(world) = World::new("sig", [None, None]) else {
        return;
    };
    let server = world.serve(&[]);
    let mut pair = Pair::connected("meeting point started anew", world.both());
    let id = |side: &mut Program| {
        let joined = side.events().iter().filter(|event| event["event"] == "joined");
        joined.map(|event| event["id"].clone()).collect::<Vec<_>>()
    };
    server.kill();
    pair.happens(|| {});
    let _server = world.serve(&[]);
    for side in [&mut pair.a, &mut pair.b] {
        side.event("joined");
        let joined = id(side);
        assert_eq!(joined[0], joined[1], "the same identity");
    }
    eprintln!(
        "meeting point back: joined again after {} ms",
        pair.since().as_millis()
    );
    pair.flows();
    // Once, however often it was tried again, and in words of the user's.
    let errors = pair.a.events().iter().filter(|event| event["event"] == "error");
    let words: Vec<_> = errors.map(|event| event["message"].clone()).collect();
    assert_eq!(
        words,
        ["the meeting point is lost: it went away; it is tried again"]
    );
    assert_eq!(
        states(&mut pair.a),
        Vec::<Value>::new(),
        "nothing happened to the call"
    );
    pair.ends_as_it_began();
}

/// Meeting point and relay are one program, so both are gone at once.
#[test]
fn the_own_relay_is_started_anew() {
    let Some(world) = World::new("own", [SYMMETRIC, SYMMETRIC]) else {
        return;
    };
    let server = world.serve(&[]);
    let mut pair = Pair::connected("meeting point with relay started anew", world.both());
    server.kill();
    let mut server = None;
    pair.happens(|| server = Some(world.serve(&[])));
    pair.notices();
    // A fresh connection, where the socket was made anew after two seconds.
    let is_back = |event: &Value| event["event"] == "connected" || event["state"] == "restored";
    pair.a.event_of(is_back);
    eprintln!("{}: back after {} ms", pair.what, pair.since().as_millis());
    pair.flows();
}

#[test]
fn half_a_second_without_packets_changes_nothing() {
    let Some(world) = World::new("out", [None, None]) else {
        return;
    };
    let _server = world.serve(&[]);
    let mut pair = Pair::connected("500 ms of silence", world.both());
    pair.happens(|| {
        world.silence("p1");
        std::thread::park_timeout(Duration::from_millis(500));
        world.restore("p1");
    });
    let lasted = pair.since();
    pair.flows();
    // On a machine that is slow enough, half a second lasts longer.
    if lasted < Duration::from_millis(800) {
        for side in [&mut pair.a, &mut pair.b] {
            assert_eq!(states(side), Vec::<Value>::new(), "{lasted:?}");
        }
    }
    pair.ends_as_it_began();
}

/// A minute of it is told in simulated time.
#[test]
fn a_laptop_sleeps() {
    let Some(world) = World::new("nap", [RESTRICTED, None]) else {
        return;
    };
    let _server = world.serve(&[]);
    let mut pair = Pair::connected("asleep", world.both());
    pair.happens(|| {});
    pair.a.signal(Signal::STOP);
    pair.b.event_where("path", |event| event["state"] == "unstable");
    pair.a.signal(Signal::CONT);
    pair.happens(|| {});
    pair.b.event_where("path", |event| event["state"] == "restored");
    eprintln!("awake: back after {} ms", pair.since().as_millis());
    pair.flows();
}
