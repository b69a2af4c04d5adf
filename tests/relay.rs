//! The relay over real sockets: coturn's client and a browser as clients, many at a time, and what they
//! are not given.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr)] // Why nothing was tested.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use facetty::io::clock;
use facetty::io::serve::relay::{RELAY_PORTS, RelayOptions, RelayServer};
use facetty::signal::relay::{RelayConfig, RelayLimits, Secret};
use serde_json::Value;
use support::program::{DEADLINE, installed};
use support::turn::TurnClient;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Nothing comes for so long where nothing is to come.
const NOTHING: Duration = Duration::from_millis(200);

/// A relay on this machine, whose secret is known.
struct Relay {
    server: RelayServer,
    secret: Secret,
    /// Until when all credentials hold.
    expires: u64,
}

impl Relay {
    fn start(private: bool) -> Self {
        Self::with(private, RELAY_PORTS, None, RelayLimits::default())
    }

    fn with(
        private: bool,
        ports: RangeInclusive<u16>,
        public_ip: Option<IpAddr>,
        limits: RelayLimits,
    ) -> Self {
        let secret = Secret::new(b"of a test");
        let options = RelayOptions {
            listen: (LOCAL, 0).into(),
            public_ip,
            ports,
            config: RelayConfig {
                secret: secret.clone(),
                allow_private: private,
                limits,
            },
        };
        let server = RelayServer::start(options).expect("a port");
        Self {
            server,
            secret,
            expires: clock::unix() + 3600,
        }
    }

    fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Name and password of a user.
    fn user(&self, id: &str) -> (String, String) {
        self.secret.credentials(id, self.expires)
    }

    fn client(&self, id: &str) -> TurnClient {
        let (user, password) = self.user(id);
        TurnClient::new(self.address(), &user, &password)
    }
}

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn coturns_own_client_is_served() {
    if installed(&["turnutils_uclient"]).is_none() || installed(&["turnutils_peer"]).is_none() {
        return;
    }
    let relay = Relay::start(true);
    let port = relay.address().port().to_string();
    // Sends back what it is sent.
    let echo = UdpSocket::bind((LOCAL, 0)).expect("a port");
    let peer_port = echo.local_addr().expect("bound").port().to_string();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = echo.recv_from(&mut buffer) {
            let _ = echo.send_to(&buffer[..length], from);
        }
    });
    // Two clients to each other, and to a peer outside; by channels and by indications.
    let to_peer = ["-e", "127.0.0.1", "-r", &peer_port];
    for (id, how) in [
        ("udp", &["-y"][..]),
        ("udp-send", &["-y", "-s"]),
        ("tcp", &["-y", "-t"]),
        ("peer", &to_peer),
        ("peer-tcp", &[&["-t"], &to_peer[..]].concat()),
    ] {
        let (user, password) = relay.user(id);
        let fixed = ["-c", "-n", "10", "-m", "2", "-l", "400", "-z", "5"];
        let output = Command::new("turnutils_uclient")
            .args(fixed)
            .args(how)
            .args(["-u", &user, "-w", &password, "-p", &port, "127.0.0.1"])
            .output()
            .expect("it is installed");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains("tot_send_msgs=20, tot_recv_msgs=20")
                || said.contains("tot_send_msgs=40, tot_recv_msgs=40"),
            "{id}: {said}"
        );
        assert!(said.contains("Total lost packets 0 (0.000000%)"), "{id}: {said}");
    }
}

/// A page with two connections that may use relays alone, and a data channel between them.
const PAGE: &str = r#"<!doctype html><script>
const ice = { iceServers: [SERVER], iceTransportPolicy: 'relay' };
const [a, b] = [new RTCPeerConnection(ice), new RTCPeerConnection(ice)];
const kinds = [];
for (const [one, other] of [[a, b], [b, a]])
  one.onicecandidate = e => {
    if (e.candidate?.candidate) { kinds.push(e.candidate.type); }
    other.addIceCandidate(e.candidate);
  };
const tell = result => fetch('/result', { method: 'POST', body: JSON.stringify(result) });
const channel = a.createDataChannel('echo');
b.ondatachannel = e => e.channel.onmessage = m => e.channel.send(m.data);
let count = 0;
channel.onopen = () => channel.send('hello 0');
channel.onmessage = m => ++count < 20 ? channel.send('hello ' + count) : tell({ count, last: m.data, kinds });
a.onconnectionstatechange = () => a.connectionState == 'failed' && tell({ failed: true, kinds });
(async () => {
  await a.setLocalDescription(await a.createOffer());
  await b.setRemoteDescription(a.localDescription);
  await b.setLocalDescription(await b.createAnswer());
  await a.setRemoteDescription(b.localDescription);
})().catch(e => tell({ failed: String(e) }));
</script>"#;

#[test]
fn a_browser_is_relayed_over_udp_and_tcp() {
    let Some(browser) = installed(&["chromium", "chromium-browser", "google-chrome"]) else {
        return;
    };
    let relay = Relay::start(false);
    for transport in ["udp", "tcp"] {
        let (user, password) = relay.user(transport);
        let server = serde_json::json!({
            "urls": format!("turn:{}?transport={transport}", relay.address()),
            "username": user,
            "credential": password,
        });
        let listener = TcpListener::bind((LOCAL, 0)).expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let page = PAGE.replace("SERVER", &server.to_string());
        let (result, results) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = answer(stream, &page, &result);
            }
        });
        let profile = tempfile::tempdir().expect("a folder");
        let child = Command::new(browser)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args([
                "--allow-loopback-in-peer-connection",
                "--disable-features=WebRtcHideLocalIpsWithMdns",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(&url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let _browser = Running(child.expect("it is installed"));
        let result = results.recv_timeout(2 * DEADLINE).expect("the page tells");
        assert_eq!(result["count"], 20, "{transport}: {result}");
        assert_eq!(result["last"], "hello 19");
        let kinds = result["kinds"].as_array().expect("kinds");
        assert!(kinds.iter().all(|kind| kind == "relay"), "{transport}: {result}");
    }
}

/// Answers one request: the page, or thanks for the result.
fn answer(stream: TcpStream, page: &str, result: &Sender<Value>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if let Ok(value) = serde_json::from_slice(&body) {
        let _ = result.send(value);
    }
    let page = if first.starts_with("GET / ") { page } else { "" };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length";
    write!(&stream, "{head}: {}\r\n\r\n{page}", page.len())
}

#[test]
fn a_thousand_stand_beside_each_other_and_give_back_what_they_had() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, most);
    if limit.maximum.is_some_and(|maximum| maximum < 2500) {
        eprintln!("skipped: this process may not have so many sockets");
        return;
    }
    let relay = Relay::start(true);
    let mut clients: Vec<_> = (0..100)
        .flat_map(|user| (0..10).map(move |_| user.to_string()))
        .map(|user| relay.client(&user))
        .collect();
    let relayed: Vec<_> = clients
        .iter_mut()
        .map(|client| client.allocate().expect("there is room"))
        .collect();
    let mut distinct = relayed.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 1000);
    // The eleventh of a user is refused.
    assert_eq!(relay.client("7").allocate(), Err(486));
    // Each still relays, in a ring.
    for at in 0..1000 {
        let next = (at + 1) % 1000;
        clients[at].permit(relayed[next]).expect("permitted");
        clients[next].permit(relayed[at]).expect("permitted");
        clients[at].send(relayed[next], b"to the next");
        let (from, data) = clients[next].data(DEADLINE).expect("it comes");
        assert_eq!((from, &data[..]), (relayed[at], &b"to the next"[..]));
    }
    for client in &mut clients {
        client.refresh(0).expect("given back");
    }
    // The sockets are closed, so their ports are free for anybody.
    for address in &relayed[..50] {
        let bound = until_ok(|| UdpSocket::bind(address));
        assert!(bound.is_ok(), "{address}: {bound:?}");
    }
    relay.client("7").allocate().expect("there is room again");
}

/// Tries until it works, or never will.
fn until_ok<T>(work: impl Fn() -> std::io::Result<T>) -> std::io::Result<T> {
    let until = clock::now() + DEADLINE;
    loop {
        match work() {
            Err(_) if clock::now() < until => thread::yield_now(),
            result => return result,
        }
    }
}

/// Ports side by side of which nobody has one now, below those that systems and relays take by themselves: the
/// tests beside this one take a thousand.
fn free_ports(count: u16) -> RangeInclusive<u16> {
    let some = (std::process::id() % 1_000) as u16 * 10;
    for step in 0..1_000 {
        let port = 20_000 + (some + step * 10) % 10_000;
        let last = port + count - 1;
        let sockets: Result<Vec<_>, _> = (port..=last).map(|port| UdpSocket::bind((LOCAL, port))).collect();
        if sockets.is_ok() {
            return port..=last;
        }
    }
    panic!("no {count} ports are free side by side");
}

#[test]
fn a_range_of_ports_is_used_to_its_end_and_again() {
    let ports = free_ports(4);
    let relay = Relay::with(true, ports.clone(), None, RelayLimits::default());
    let mut clients: Vec<_> = (0..5).map(|user| relay.client(&user.to_string())).collect();
    let mut used: Vec<u16> = clients[..4]
        .iter_mut()
        .map(|client| client.allocate().expect("a port is free").port())
        .collect();
    used.sort_unstable();
    assert_eq!(used, ports.collect::<Vec<_>>());
    assert_eq!(clients[4].allocate(), Err(508), "none is left");
    clients[2].refresh(0).expect("given back");
    clients[4].allocate().expect("one is free");
}

#[test]
fn the_world_is_told_the_address_that_it_knows() {
    let public: IpAddr = [203, 0, 113, 9].into();
    let relay = Relay::with(false, RELAY_PORTS, Some(public), RelayLimits::default());
    let (mut ann, mut bob) = (relay.client("ann"), relay.client("bob"));
    let of_ann = ann.allocate().expect("there is room");
    let of_bob = bob.allocate().expect("there is room");
    assert_eq!((of_ann.ip(), of_bob.ip()), (public, public));
    // By that address the two reach each other, though nothing here has it.
    ann.permit(of_bob).expect("permitted");
    bob.permit(of_ann).expect("permitted");
    ann.send(of_bob, b"hello");
    assert_eq!(bob.data(DEADLINE), Some((of_ann, b"hello".to_vec())));
}

#[test]
fn the_inside_is_out_of_reach_however_it_is_spelt() {
    let relay = Relay::start(false);
    let listener = UdpSocket::bind((LOCAL, 0)).expect("a port");
    listener.set_read_timeout(Some(NOTHING)).expect("above zero");
    let port = listener.local_addr().expect("bound").port();
    let mut client = relay.client("eve");
    client.allocate().expect("there is room");
    for inside in [
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "100.64.0.1",
    ] {
        let peer: IpAddr = inside.parse().expect("an address");
        assert_eq!(client.permit((peer, port).into()), Err(403), "{inside}");
        assert_eq!(client.bind(0x4000, (peer, port).into()), Err(403), "{inside}");
    }
    for wrapped in ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "::1"] {
        let peer: IpAddr = wrapped.parse().expect("an address");
        // There is no IPv6 relay here to send from.
        assert_eq!(client.permit((peer, port).into()), Err(443), "{wrapped}");
    }
    // Its own address holds other people's relays, so it can be permitted; what else listens there hears
    // nothing.
    client.permit((LOCAL, port).into()).expect("permitted");
    client.send((LOCAL, port).into(), b"query");
    assert!(listener.recv(&mut [0; 64]).is_err(), "it stays here");
}

#[test]
fn junk_ends_its_own_connection_and_nobody_elses() {
    let relay = Relay::start(false);
    let mut client = relay.client("ann");
    client.allocate().expect("there is room");
    for junk in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        &[0xff; 64],
        &[0, 1, 0, 3, 0x21, 0x12, 0xa4, 0x42],
    ] {
        let mut stream = TcpStream::connect(relay.address()).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("above zero");
        stream.write_all(junk).expect("it is taken");
        let mut rest = Vec::new();
        // Closed, or reset where it had not read all.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "nothing is said to {junk:?}");
        let _ = client.socket.send(junk);
    }
    client.refresh(600).expect("it is still there");
}
