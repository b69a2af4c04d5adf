//! Real networks: homes behind routers, in network namespaces that the test makes itself, with two real
//! programs in them. Root alone can make namespaces; for others the test says so and passes.
//!
//! Two homes with the very same addresses, as in the wild:
//!
//! ```text
//!   p1 192.168.0.200 ── r1 192.168.0.1 │ 10.50.200.5 ─┐
//!                                                     ├─ bridge of "pub", the server at 10.50.0.10
//!   p2 192.168.0.200 ── r2 192.168.0.1 │ 10.50.150.3 ─┘
//! ```
//!
//! 10.50.0.0/16 stands for the Internet; since it is a private range all the same, the servers are told
//! to relay to it.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr)] // Figures, and why nothing was tested.

mod support;

use std::process::{Child, Command, Stdio};

use facetty::io::clock;
use serde_json::Value;
use support::program::Program;

/// How a router treats what goes out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Nat {
    /// The same port outside as inside, for all destinations; in comes only what answers.
    PortRestricted,
    /// Another port towards each destination.
    Symmetric,
}

/// What a router lets out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wall {
    Open,
    /// No UDP.
    NoUdp,
    /// TCP to port 443, and to the meeting point.
    WebAlone,
}

/// Namespaces of one test, named after its process; gone when it is dropped.
struct World {
    prefix: String,
    names: Vec<&'static str>,
    children: Vec<Child>,
}

impl World {
    /// With these routers before p1 and p2; `None`: it is outside itself, with its router's address.
    fn new(name: &str, homes: [Option<(Nat, Wall)>; 2]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: network namespaces can be made by root alone");
            return None;
        }
        let mut world = Self {
            prefix: format!("ft{}{name}", std::process::id()),
            names: Vec::new(),
            children: Vec::new(),
        };
        world.add("pub");
        world.ip("pub", "link add br0 type bridge");
        world.ip("pub", "addr add 10.50.0.10/16 dev br0");
        world.ip("pub", "addr add fd50::10/64 dev br0 nodad");
        world.ip("pub", "link set br0 up");
        // coturn ends an allocation whose peer there is no route to.
        world.ip("pub", "route add default via 10.50.0.1 dev br0");
        let places = [
            ("p1", "r1", "10.50.200.5", "fd50::5"),
            ("p2", "r2", "10.50.150.3", "fd50::3"),
        ];
        for ((inside, router, outside, v6), home) in places.into_iter().zip(homes) {
            world.add(inside);
            let Some((nat, wall)) = home else {
                world.plug(inside, outside);
                world.ip(inside, &format!("addr add {v6}/64 dev out nodad"));
                continue;
            };
            world.add(router);
            world.plug(router, outside);
            world.cable((inside, "in0"), (router, "home"));
            world.ip(inside, "addr add 192.168.0.200/24 dev in0");
            world.ip(router, "addr add 192.168.0.1/24 dev home");
            world.ip(inside, "link set in0 up");
            world.ip(router, "link set home up");
            world.ip(inside, "route add default via 192.168.0.1");
            world.run(router, "sysctl", &["-qw", "net.ipv4.ip_forward=1"]);
            world.guard(router, nat, wall);
        }
        Some(world)
    }

    fn add(&mut self, name: &'static str) {
        self.names.push(name);
        run("ip", &["netns", "add", &self.space(name)]);
        self.ip(name, "link set lo up");
    }

    fn space(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A cable from a namespace to the bridge.
    fn plug(&self, name: &str, address: &str) {
        let port = format!("to{name}");
        self.cable((name, "out"), ("pub", &port));
        self.ip("pub", &format!("link set {port} master br0 up"));
        self.ip(name, &format!("addr add {address}/16 dev out"));
        self.ip(name, "link set out up");
    }

    fn cable(&self, a: (&str, &str), b: (&str, &str)) {
        let (at_a, at_b) = (self.space(a.0), self.space(b.0));
        let args = [
            "link", "add", a.1, "netns", &at_a, "type", "veth", "peer", "name", b.1, "netns", &at_b,
        ];
        run("ip", &args);
    }

    /// Translation, and what a home router keeps out. Without the rule for its own input Linux would
    /// keep an entry for a packet that came too early, and give the answer another port.
    fn guard(&self, router: &str, nat: Nat, wall: Wall) {
        let masquerade = match nat {
            Nat::PortRestricted => "masquerade",
            Nat::Symmetric => "masquerade fully-random",
        };
        let out = match wall {
            Wall::Open => "",
            Wall::NoUdp => "iifname \"home\" meta l4proto udp drop;",
            Wall::WebAlone => {
                "iifname \"home\" meta l4proto udp drop; iifname \"home\" tcp dport != { 443, 7880 } drop;"
            }
        };
        let rules = format!(
            "table ip nat {{
               chain post {{
                 type nat hook postrouting priority 100
                 oifname \"out\" {masquerade}
               }}
             }}
             table ip wall {{
               chain forward {{
                 type filter hook forward priority 0
                 {out}
                 iifname \"out\" ct state new drop
               }}
               chain input {{
                 type filter hook input priority 0
                 iifname \"out\" ct state new drop
               }}
             }}"
        );
        self.run(router, "nft", &[&rules]);
    }

    fn ip(&self, name: &str, args: &str) {
        let space = self.space(name);
        let mut all = vec!["-n", &space];
        all.extend(args.split(' '));
        run("ip", &all);
    }

    fn run(&self, name: &str, program: &str, args: &[&str]) {
        let space = self.space(name);
        run("ip", &[&["netns", "exec", &space, program], args].concat());
    }

    /// The program in a namespace.
    fn start(&self, name: &str, args: &[&str]) -> Program {
        let space = self.space(name);
        Program::start_by(&["ip", "netns", "exec", &space], args)
    }

    /// The meeting point outside, with its own relay.
    fn serve(&self, more: &[&str]) -> Program {
        let relay: &[&str] = match more.contains(&"--no-turn") {
            true => &[],
            false => &["--turn-listen", "[::]:3478"],
        };
        let args = ["serve", "--headless", "--listen", "[::]:7880"];
        let mut server = self.start("pub", &[&args, relay, more].concat());
        server.event("serving");
        server
    }

    /// A participant in each home, at the usual server.
    fn both(&self) -> (Program, Program) {
        (self.join("p1", SERVER, &[]), self.join("p2", SERVER, &[]))
    }

    /// A participant, with a moving picture and a tone.
    fn join(&self, name: &str, server: &str, more: &[&str]) -> Program {
        let args = [
            "--headless",
            "--room",
            "nets",
            "--server",
            server,
            "--name",
            name,
            "--camera",
            "test",
            "--mic",
            "tone",
            "--speaker",
            "none",
        ];
        self.start(name, &[&args, more].concat())
    }

    /// A real coturn outside; its certificate is for 10.50.0.10, which trusts `ca`.
    fn coturn(&mut self, more: &[&str]) {
        let space = self.space("pub");
        let args = [
            "netns",
            "exec",
            &space,
            "turnserver",
            "-n",
            "--listening-ip=10.50.0.10",
            "--relay-ip=10.50.0.10",
            "--listening-port=3479",
            "--realm=facetty.test",
            "--no-cli",
            "--no-dtls",
            "--fingerprint",
            "--allow-loopback-peers",
            "--log-file=/dev/null",
            "--no-stdout-log",
            "--pidfile=/dev/null",
            "--use-auth-secret",
            "--static-auth-secret=common",
            "--min-port=40000",
            "--max-port=40999",
        ];
        let child = Command::new("ip")
            .args([&args, more].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.children.push(child.expect("ip"));
        // Until it listens.
        let until = clock::now() + support::program::DEADLINE;
        let probe = ["netns", "exec", &space, "ss", "-Hltn", "sport = :3479"];
        while Command::new("ip")
            .args(probe)
            .output()
            .expect("ss")
            .stdout
            .is_empty()
        {
            assert!(clock::now() < until, "coturn does not listen");
            std::thread::yield_now();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in &self.names {
            let space = format!("{}{name}", self.prefix);
            let _ = Command::new("ip").args(["netns", "del", &space]).status();
        }
    }
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {errors}", args.join(" "));
}

/// As files hold certificates and keys (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("letters"))
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

const SERVER: &str = "ws://10.50.0.10:7880";

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
        world.coturn(&["--no-tls"]);
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
    world.coturn(&["--tls-listening-port=443", &cert, &pkey]);
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
