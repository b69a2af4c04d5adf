//! Real networks: homes behind routers, in network namespaces that a test makes itself, with real programs in
//! them. Root alone can make namespaces; for others the test says so and passes.
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

#![allow(clippy::print_stderr)] // Figures, and why nothing was tested.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use facetty::io::clock;

use super::program::{DEADLINE, Program};

/// How a router treats what goes out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nat {
    /// The same port outside as inside, for all destinations; in comes only what answers.
    PortRestricted,
    /// Another port towards each destination.
    Symmetric,
}

/// What a router lets out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wall {
    Open,
    /// No UDP.
    NoUdp,
    /// TCP to port 443, and to the meeting point.
    WebAlone,
}

/// Whose relay serves those who need one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Relay {
    /// The meeting point's own.
    Own,
    /// A coturn's.
    Coturn,
}

/// Where people meet in a world.
pub struct Meeting {
    pub server: Program,
    url: String,
    /// The file of who vouches for its certificate.
    trusted: Option<String>,
}

/// Namespaces of one test, named after its process; gone when it is dropped.
pub struct World {
    prefix: String,
    names: Vec<&'static str>,
    children: Vec<Child>,
}

/// A server that runs in a world.
pub struct Running(usize);

impl World {
    /// With these routers before p1 and p2; `None`: it is outside itself, with its router's address.
    pub fn new(name: &str, homes: [Option<(Nat, Wall)>; 2]) -> Option<Self> {
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

    pub fn space(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A cable from a namespace to the bridge.
    pub fn plug(&self, name: &str, address: &str) {
        let port = format!("to{name}");
        self.cable((name, "out"), ("pub", &port));
        self.ip("pub", &format!("link set {port} master br0 up"));
        self.ip(name, &format!("addr add {address}/16 dev out"));
        self.ip(name, "link set out up");
    }

    pub fn cable(&self, a: (&str, &str), b: (&str, &str)) {
        let (at_a, at_b) = (self.space(a.0), self.space(b.0));
        let args = [
            "link", "add", a.1, "netns", &at_a, "type", "veth", "peer", "name", b.1, "netns", &at_b,
        ];
        run("ip", &args);
    }

    /// Translation, and what a home router keeps out. Without the rule for its own input Linux would
    /// keep an entry for a packet that came too early, and give the answer another port.
    pub fn guard(&self, router: &str, nat: Nat, wall: Wall) {
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

    pub fn ip(&self, name: &str, args: &str) {
        let space = self.space(name);
        let mut all = vec!["-n", &space];
        all.extend(args.split(' '));
        run("ip", &all);
    }

    pub fn run(&self, name: &str, program: &str, args: &[&str]) {
        let space = self.space(name);
        run("ip", &[&["netns", "exec", &space, program], args].concat());
    }

    /// The program in a namespace.
    pub fn start(&self, name: &str, args: &[&str]) -> Program {
        let space = self.space(name);
        Program::start_by(&["ip", "netns", "exec", &space], args)
    }

    /// The meeting point outside, with its own relay.
    pub fn serve(&self, more: &[&str]) -> Program {
        self.serve_at("[::]:7880", more)
    }

    /// The meeting point outside, with servers of somebody else's beside it.
    pub fn serve_beside(&self, urls: &[&str]) -> Program {
        let named = urls.iter().flat_map(|url| ["--ice-server", url]);
        let more: Vec<&str> = ["--no-turn", "--turn-secret", "common"]
            .into_iter()
            .chain(named)
            .collect();
        self.serve(&more)
    }

    fn serve_at(&self, listen: &str, more: &[&str]) -> Program {
        let relay: &[&str] = match more.contains(&"--no-turn") {
            true => &[],
            false => &["--turn-listen", "[::]:3478"],
        };
        let args = ["serve", "--headless", "--listen", listen];
        let mut server = self.start("pub", &[&args, relay, more].concat());
        server.event("serving");
        server
    }

    /// The meeting point outside, and a relay of this kind, which takes UDP, TCP, and with `tls` TLS at port 443:
    /// then the own one has no other port than that for all that is TCP.
    pub fn meet(&mut self, relay: Relay, tls: Option<&Tls>) -> Meeting {
        let server = match (relay, tls) {
            (Relay::Own, None) => self.serve(&["--turn-allow-private"]),
            (Relay::Own, Some(tls)) => {
                let [cert, key] = [&tls.cert, &tls.key];
                let more = ["--turn-allow-private", "--tls-cert", cert, "--tls-key", key];
                self.serve_at("[::]:443", &more)
            }
            (Relay::Coturn, None) => {
                self.coturn(3479, &["--no-tls"]);
                self.serve_beside(&[
                    "stun:10.50.0.10:3479",
                    "turn:10.50.0.10:3479",
                    "turn:10.50.0.10:3479?transport=tcp",
                    "turn:[fd50::10]:3479",
                ])
            }
            (Relay::Coturn, Some(tls)) => {
                let [cert, key] = [format!("--cert={}", tls.cert), format!("--pkey={}", tls.key)];
                self.coturn(3479, &["--tls-listening-port=443", &cert, &key]);
                self.serve_beside(&[
                    "stun:10.50.0.10:3479",
                    "turn:10.50.0.10:3479",
                    "turns:10.50.0.10:443",
                ])
            }
        };
        let url = match (relay, tls) {
            (Relay::Own, Some(_)) => "wss://10.50.0.10",
            _ => SERVER,
        };
        Meeting {
            server,
            url: url.to_owned(),
            trusted: tls.map(|tls| tls.trusted.clone()),
        }
    }

    /// A participant in each home, at the usual server.
    pub fn both(&self) -> (Program, Program) {
        (self.join("p1", SERVER, &[]), self.join("p2", SERVER, &[]))
    }

    /// A participant in each home.
    pub fn both_at(&self, meeting: &Meeting) -> (Program, Program) {
        (self.join_at("p1", meeting, &[]), self.join_at("p2", meeting, &[]))
    }

    /// A participant, with a moving picture and a tone.
    pub fn join(&self, name: &str, server: &str, more: &[&str]) -> Program {
        self.start(name, &[&participant(server, name)[..], more].concat())
    }

    /// A participant who trusts who vouches for the server's certificate.
    pub fn join_at(&self, name: &str, meeting: &Meeting, more: &[&str]) -> Program {
        let Some(trusted) = &meeting.trusted else {
            return self.join(name, &meeting.url, more);
        };
        let trust = format!("SSL_CERT_FILE={trusted}");
        let space = self.space(name);
        let by = ["ip", "netns", "exec", &space, "env", &trust];
        Program::start_by(&by, &[&participant(&meeting.url, name)[..], more].concat())
    }

    /// Kills a server, as a crash would.
    pub fn kill(&mut self, server: &Running) {
        let child = &mut self.children[server.0];
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Nothing that is UDP gets in or out of a namespace, until [`World::restore`].
    pub fn silence(&self, name: &str) {
        let rules = "table inet cut {
           chain out { type filter hook output priority -5; meta l4proto udp drop; }
           chain in { type filter hook input priority -5; meta l4proto udp drop; }
         }";
        self.run(name, "nft", &[rules]);
    }

    /// Ends what [`World::silence`] began.
    pub fn restore(&self, name: &str) {
        self.run(name, "nft", &["delete table inet cut"]);
    }

    /// A router forgets what it translated, and gives other ports from now on, the same one for all
    /// destinations as before.
    pub fn rebind(&self, router: &str, address: &str) {
        let rules = "flush chain ip nat post; \
                     add rule ip nat post oifname \"out\" meta l4proto udp masquerade to :20000-29999; \
                     add rule ip nat post oifname \"out\" masquerade";
        self.run(router, "nft", &[rules]);
        // Masquerading ends with the address that it was for.
        self.ip(router, &format!("addr del {address}/16 dev out"));
        self.ip(router, &format!("addr add {address}/16 dev out"));
    }

    /// A real coturn outside, at this port.
    pub fn coturn(&mut self, port: u16, more: &[&str]) -> Running {
        let listening = format!("--listening-port={port}");
        let space = self.space("pub");
        let args = [
            "netns",
            "exec",
            &space,
            "turnserver",
            "-n",
            "--listening-ip=10.50.0.10",
            "--relay-ip=10.50.0.10",
            "--listening-ip=fd50::10",
            "--relay-ip=fd50::10",
            &listening,
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
        let running = Running(self.children.len() - 1);
        // Until it listens.
        let until = clock::now() + DEADLINE;
        let filter = format!("sport = :{port}");
        let probe = ["netns", "exec", &space, "ss", "-Hltn", &filter];
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
        running
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

fn participant<'a>(server: &'a str, name: &'a str) -> [&'a str; 13] {
    [
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
    ]
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {errors}", args.join(" "));
}

/// A certificate for the server outside, its key, and who vouches for it: files.
pub struct Tls {
    trusted: String,
    cert: String,
    key: String,
}

/// In files of this folder.
pub fn certificate(folder: &Path) -> Tls {
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new([]).expect("no names");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).expect("a certificate");
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(["10.50.0.10".to_owned()]).expect("an address");
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let certificate = leaf.signed_by(&key, &issuer).expect("a certificate");
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    Tls {
        trusted: put("ca.pem", &pem("CERTIFICATE", ca_certificate.der())),
        cert: put("leaf.pem", &pem("CERTIFICATE", certificate.der())),
        key: put("leaf.key", &pem("PRIVATE KEY", &key.serialize_der())),
    }
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

/// The usual server.
pub const SERVER: &str = "ws://10.50.0.10:7880";
