//! `facetty doctor` as a process: where all is well, where nothing is, and behind routers.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr)] // Why nothing was tested.

#[allow(dead_code)] // A part of it.
#[path = "support/pulse.rs"]
mod pulse;
mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use facetty::units::Cells;
use pulse::with_private_server;
use serde_json::Value;
use support::files::pem;
use support::program::{Program, command, installed};
use support::terminal::Terminal;

const NOTHING: [&str; 6] = ["--camera", "none", "--mic", "none", "--speaker", "none"];

/// What one run told.
struct Report {
    lines: Vec<Value>,
    code: Option<i32>,
}

impl Report {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            errors, "",
            "standard error is for what goes wrong with the doctor"
        );
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        Self {
            lines: lines.collect(),
            code: output.status.code(),
        }
    }

    /// The line of this check; panics with all of them where it is none or more.
    fn one(&self, check: &str) -> &Value {
        let found: Vec<_> = self.lines.iter().filter(|line| line["check"] == check).collect();
        match found[..] {
            [one] => one,
            _ => panic!("{} lines of {check}\n{}", found.len(), self.text()),
        }
    }

    fn verdict(&self, check: &str) -> &str {
        self.one(check)["verdict"].as_str().expect("a verdict")
    }

    fn says(&self, check: &str, verdict: &str, words: &[&str]) {
        let line = self.one(check);
        assert_eq!(line["verdict"], verdict, "{line}");
        let text = line.to_string();
        for word in words {
            assert!(text.contains(word), "{word:?}: {line}");
        }
    }

    fn text(&self) -> String {
        let lines: Vec<_> = self.lines.iter().map(Value::to_string).collect();
        lines.join("\n")
    }
}

/// Runs it for a program to read, with this environment.
fn doctor(args: &[&str], env: &[(&str, &str)]) -> Report {
    let mut command = command(&[&["doctor", "--json"], args].concat());
    command.envs(env.iter().copied());
    Report::of(&command.output().expect("it was built beside this"))
}

/// A meeting point with its relay, and its URL.
fn serve(more: &[&str]) -> (Program, String) {
    let all = [
        "serve",
        "--headless",
        "--listen",
        "0.0.0.0:0",
        "--turn-listen",
        "0.0.0.0:0",
    ];
    let mut server = Program::start(&[&all, more].concat());
    let url = server.event("serving")["url"].as_str().expect("a URL").to_owned();
    (server, url)
}

#[test]
fn where_all_is_well_it_says_so() {
    with_private_server("where_all_is_well_it_says_so", |sound| {
        let folder = tempfile::tempdir().expect("a folder");
        let _voice = sound.play(&pulse::tone(folder.path(), 440.0), "feed-a");
        let (_server, url) = serve(&[]);
        let args = [
            "--server",
            &url,
            "--camera",
            "test",
            "--mic",
            "mic-of-a",
            "--speaker",
            "speaker-of-a",
        ];
        let report = doctor(&args, &[]);
        report.says("camera", "ok", &["test picture"]);
        report.says("microphone", "ok", &["mic-of-a"]);
        report.says("speaker", "ok", &["speaker-of-a"]);
        report.says("server", "ok", &[&url, "joined"]);
        report.says("stun", "ok", &["seen as"]);
        report.says("nat", "ok", &["\"kind\":\"none\""]);
        report.says("turn-udp", "ok", &["relays from", "there and back"]);
        report.says("turn-tcp", "ok", &["relays from", "there and back"]);
        assert_eq!(report.code, Some(0), "{}", report.text());
        // Nobody speaks into the other one: it may be muted in the system.
        let silent = doctor(
            &["--camera", "none", "--mic", "mic-of-b", "--speaker", "none"],
            &[],
        );
        silent.says("microphone", "warning", &["silence", "unmute"]);
        assert_eq!(silent.code, Some(0));

        // As a person sees it.
        let args = [&["doctor"], &args[..]].concat();
        let terminal = Terminal::start(Cells::new(100, 40), &args, None);
        let (status, screen) = terminal.restored();
        assert!(status.success(), "{screen}");
        for line in [
            "Terminal",
            "  ✓ size        100x40",
            "  ✓ colours     true colour",
            "  ✓ speed       takes ",
            "Devices",
            "  ✓ camera      the test picture, 640x360",
            "Network",
            "  ✓ NAT         none on the way",
            "  ✓ TURN, UDP   ",
        ] {
            assert!(screen.lines().any(|l| l.starts_with(line)), "{line:?}\n{screen}");
        }
        assert!(!screen.contains('✗') && !screen.contains('…'), "{screen}");
    });
}

/// A certificate that nobody has signed but itself, and its key: files.
fn certificate(folder: &Path, name: &str) -> [String; 2] {
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new([name.to_owned()])
        .and_then(|certificate| certificate.self_signed(&key))
        .expect("a certificate");
    let parts = [
        ("CERTIFICATE", certificate.der().to_vec()),
        ("PRIVATE KEY", key.serialize_der()),
    ];
    parts.map(|(label, der)| {
        let path = folder.join(label);
        std::fs::write(&path, pem(label, &der)).expect("a file");
        path.to_string_lossy().into_owned()
    })
}

#[test]
fn a_meeting_point_that_speaks_tls_relays_at_the_same_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let [cert, key] = certificate(folder.path(), "localhost");
    let (_server, url) = serve(&["--tls-cert", &cert, "--tls-key", &key]);
    let port = url.rsplit(':').next().expect("a port");
    let url = format!("wss://localhost:{port}");
    let report = doctor(
        &[&["--server", &url][..], &NOTHING].concat(),
        &[("SSL_CERT_FILE", &cert)],
    );
    report.says("server", "ok", &[&url, "trusted"]);
    let place = format!("localhost:{port} relays from");
    report.says("turn-tls", "ok", &[&place, "there and back"]);
}

/// A port at which nobody listens.
fn dead_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

#[test]
fn where_nothing_is_well_each_line_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let alsa = folder.path().join("asound.conf");
    std::fs::write(&alsa, "").expect("a file");
    let (alsa, port) = (alsa.to_string_lossy().into_owned(), dead_port());
    let env = [
        ("ALSA_CONFIG_PATH", &*alsa),
        ("PULSE_SERVER", "unix:/nonexistent"),
        ("XDG_RUNTIME_DIR", "/nonexistent"),
        ("TERM", "dumb"),
    ];
    let (server, relay) = (
        format!("ws://127.0.0.1:{port}"),
        format!("turn:u:p@127.0.0.1:{port}?transport=tcp"),
    );
    let network = ["--server", &server, "--ice-server", &relay];
    let report = doctor(&[&network[..], &["--camera", "97"]].concat(), &env);
    report.says("terminal", "warning", &["no terminal"]);
    report.says("camera", "failure", &["camera 97", "facetty devices"]);
    report.says("microphone", "warning", &["others do not hear you", "--mic"]);
    report.says("speaker", "warning", &["you hear nobody", "--speaker"]);
    report.says("server", "failure", &[&server, "refused", "facetty serve"]);
    report.says("turn-tcp", "failure", &["refused", "listens on TCP port"]);
    assert_eq!(report.code, Some(1));
    let summary = &report.lines.last().expect("a last line")["summary"];
    assert_eq!(summary["failures"], 3, "{}", report.text());
    for line in &report.lines {
        let is_wrong = line["verdict"] == "warning" || line["verdict"] == "failure";
        assert_eq!(line["remedy"].is_string(), is_wrong, "{line}");
    }

    // In words alone, where nothing can be drawn.
    let args = [&["doctor"], &network[..], &NOTHING].concat();
    let (status, parser) = Terminal::start_with(Cells::new(80, 24), &args, None, &env).ended();
    let screen = parser.screen().contents();
    assert_eq!(status.exit_code(), 1);
    assert!(screen.contains("failure terminal    TERM is dumb"), "{screen}");
    assert!(screen.contains("try: use another terminal"), "{screen}");
    assert!(!screen.contains('✗'), "{screen}");
}

#[test]
fn a_narrow_terminal_without_colours_is_told_all_the_same() {
    let args = [&["doctor"], &NOTHING[..]].concat();
    let size = Cells::new(40, 60);
    let terminal = Terminal::start_with(size, &args, None, &[("NO_COLOR", "1")]);
    let (status, parser) = terminal.ended();
    assert!(status.success());
    let screen = parser.screen();
    for row in 0..size.rows {
        for col in 0..size.cols {
            let cell = screen.cell(row, col).expect("on the screen");
            assert_eq!(cell.fgcolor(), vt100::Color::Default, "no colour at {row}, {col}");
        }
    }
    let text = screen.contents();
    assert!(text.contains("none, as NO_COLOR asks"), "{text}");
    assert!(text.contains("! STUN"), "{text}");
    assert!(
        text.contains("1 warning.") || text.contains("2 warnings."),
        "{text}"
    );
}

#[test]
fn a_signal_ends_it_and_gives_the_terminal_back() {
    // A server that takes the connection and never says anything.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("bound"));
    let args = [&["doctor", "--server", &url], &NOTHING[..]].concat();
    let mut terminal = Terminal::start(Cells::new(80, 24), &args, None);
    // By the frame's end in which the speed was measured it has the terminal.
    terminal.until("the first lines", |_| true);
    terminal.frame(facetty::io::clock::now() + support::program::DEADLINE);
    terminal.signal(rustix::process::Signal::INT);
    let (status, _) = terminal.restored();
    assert_eq!(status.exit_code(), 130);
}

/// A namespace, gone when it is dropped.
struct Home(String);

impl Home {
    /// A router with this translation between a home and the servers' place:
    /// `in0` 192.168.7.2 — 192.168.7.1 router 10.50.1.1 — 10.50.0.1 `out`. `None`: not as root.
    fn new(name: &str, masquerade: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: network namespaces can be made by root alone");
            return None;
        }
        let home = Self(format!("fd{}{name}", std::process::id()));
        let [inside, router, outside] = home.spaces();
        let rules = format!(
            "table ip nat {{ chain post {{ type nat hook postrouting priority 100; oifname out {masquerade}; }}; }}; \
             table ip wall {{ \
               chain forward {{ type filter hook forward priority 0; iifname out ct state new drop; }}; \
               chain input {{ type filter hook input priority 0; iifname out ct state new drop; }}; }}"
        );
        let script = format!(
            "set -e
             for n in {inside} {router} {outside}; do ip netns add $n; ip -n $n link set lo up; done
             ip link add in0 netns {inside} type veth peer name home netns {router}
             ip link add out netns {router} type veth peer name out netns {outside}
             ip -n {inside} addr add 192.168.7.2/24 dev in0; ip -n {inside} link set in0 up
             ip -n {router} addr add 192.168.7.1/24 dev home; ip -n {router} link set home up
             ip -n {router} addr add 10.50.1.1/16 dev out; ip -n {router} link set out up
             ip -n {outside} addr add 10.50.0.1/16 dev out; ip -n {outside} link set out up
             ip -n {outside} route add default via 10.50.1.1
             ip -n {inside} route add default via 192.168.7.1
             ip netns exec {router} sysctl -qw net.ipv4.ip_forward=1
             ip netns exec {router} nft '{rules}'"
        );
        let output = Command::new("sh")
            .args(["-c", &script])
            .output()
            .expect("a shell");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Some(home)
    }

    /// Inside, the router, outside.
    fn spaces(&self) -> [String; 3] {
        ["in", "rt", "out"].map(|part| format!("{}{part}", self.0))
    }

    fn start(&self, at: usize, args: &[&str]) -> Program {
        Program::start_by(&["ip", "netns", "exec", &self.spaces()[at]], args)
    }

    /// The meeting point outside.
    fn serve(&self, more: &[&str]) -> Program {
        let args = ["serve", "--headless", "--listen", "10.50.0.1:7880"];
        let mut server = self.start(2, &[&args, more].concat());
        server.event("serving");
        server
    }

    /// The doctor inside.
    fn doctor(&self, args: &[&str], env: &[(&str, &str)]) -> Report {
        let inner = command(&[&["doctor", "--json"], &NOTHING[..], args].concat());
        let mut outer = Command::new("ip");
        outer
            .args(["netns", "exec", &self.spaces()[0]])
            .arg(inner.get_program());
        outer.args(inner.get_args());
        for name in ["FACETTY_SERVER", "NO_COLOR", "SSL_CERT_FILE"] {
            outer.env_remove(name);
        }
        outer
            .env("XDG_CONFIG_HOME", "/nonexistent")
            .envs(env.iter().copied());
        Report::of(&outer.output().expect("ip"))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for space in self.spaces() {
            let _ = Command::new("ip").args(["netns", "del", &space]).status();
        }
    }
}

const SERVER: [&str; 2] = ["--server", "ws://10.50.0.1:7880"];
const RELAY: [&str; 2] = ["--turn-listen", "10.50.0.1:3478"];

#[test]
fn the_kind_of_nat_is_told() {
    for (name, masquerade, kind, words) in [
        ("pr", "masquerade", "port-restricted", "direct paths work"),
        ("sy", "masquerade fully-random", "symmetric", "go by the relay"),
    ] {
        let Some(home) = Home::new(name, masquerade) else {
            return;
        };
        let server = home.serve(&RELAY);
        let report = home.doctor(&SERVER, &[]);
        report.says("addresses", "ok", &["192.168.7.2"]);
        report.says("stun", "ok", &["10.50.1.1"]);
        report.says("nat", "ok", &[kind, words]);
        report.says("turn-udp", "ok", &["relays from 10.50.0.1"]);
        report.says("turn-tcp", "ok", &["relays from 10.50.0.1"]);
        assert_eq!(report.code, Some(0), "{}", report.text());
        server.kill();
        // The same without a relay.
        let _server = home.serve(&["--no-turn", "--ice-server", "stun:10.50.0.1:1"]);
        let report = home.doctor(&SERVER, &[]);
        report.says("stun", "failure", &["no answer", "UDP"]);
        assert_eq!(report.code, Some(1));
    }
}

#[test]
fn a_wall_that_lets_no_datagrams_out_is_told_from_a_relay_that_is_down() {
    let Some(home) = Home::new("wl", "masquerade") else {
        return;
    };
    let [_, router, _] = home.spaces();
    let drop = "add rule ip wall forward iifname home meta l4proto udp drop";
    let rule = Command::new("ip")
        .args(["netns", "exec", &router, "nft", drop])
        .status();
    assert!(rule.is_ok_and(|status| status.success()));
    let _server = home.serve(&RELAY);
    let report = home.doctor(&SERVER, &[]);
    assert_eq!(report.verdict("turn-tcp"), "ok");
    report.says("turn-udp", "warning", &["no answer", "firewall"]);
    let stun: Vec<_> = report
        .lines
        .iter()
        .filter(|line| line["check"] == "stun")
        .collect();
    assert!(
        stun.iter().all(|line| line["verdict"] == "warning"),
        "{}",
        report.text()
    );
    assert_eq!(report.code, Some(0), "{}", report.text());
}

#[test]
fn a_wrong_password_and_a_certificate_that_is_not_trusted_are_told() {
    if installed(&["turnserver"]).is_none() {
        return;
    }
    let Some(home) = Home::new("ct", "masquerade") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let [cert, pkey] = certificate(folder.path(), "10.50.0.1");
    let [_, _, outside] = home.spaces();
    let coturn = Command::new("ip")
        .args([
            "netns",
            "exec",
            &outside,
            "turnserver",
            "-n",
            "--listening-ip=10.50.0.1",
        ])
        .args([
            "--relay-ip=10.50.0.1",
            "--listening-port=3479",
            "--tls-listening-port=5349",
        ])
        .args([
            "--realm=facetty.test",
            "--no-cli",
            "--no-dtls",
            "--fingerprint",
            "--lt-cred-mech",
        ])
        .args([
            "--user=ann:right",
            "--log-file=/dev/null",
            "--no-stdout-log",
            "--pidfile=/dev/null",
        ])
        .args([&format!("--cert={cert}"), &format!("--pkey={pkey}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut coturn = coturn.expect("ip");
    let until = facetty::io::clock::now() + support::program::DEADLINE;
    let probe = ["netns", "exec", &outside, "ss", "-Hltn", "sport = :5349"];
    while Command::new("ip")
        .args(probe)
        .output()
        .expect("ss")
        .stdout
        .is_empty()
    {
        assert!(facetty::io::clock::now() < until, "coturn does not listen");
        std::thread::yield_now();
    }
    let url = |scheme: &str, password: &str, rest: &str| format!("{scheme}:ann:{password}@10.50.0.1:{rest}");
    let (udp, wrong, tls) = (
        url("turn", "right", "3479"),
        url("turn", "wrong", "3479?transport=tcp"),
        url("turns", "right", "5349"),
    );
    let all = ["--ice-server", &udp, "--ice-server", &wrong, "--ice-server", &tls];
    let report = home.doctor(&all, &[]);
    report.says("turn-udp", "ok", &["relays from 10.50.0.1", "there and back"]);
    report.says(
        "turn-tcp",
        "failure",
        &["refuses user and password", "--ice-server"],
    );
    report.says("turn-tls", "failure", &["certificate", "SSL_CERT_FILE"]);
    assert_eq!(report.code, Some(1));
    // Trusted, and with the right password, both relay.
    let right = url("turn", "right", "3479?transport=tcp");
    let all = ["--ice-server", &right, "--ice-server", &tls];
    let report = home.doctor(&all, &[("SSL_CERT_FILE", &cert)]);
    let _ = coturn.kill();
    let _ = coturn.wait();
    report.says("turn-tcp", "ok", &["there and back"]);
    report.says("turn-tls", "ok", &["there and back"]);
}
