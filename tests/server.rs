//! The meeting point over real sockets: what is promised to clients, and what hostile ones get.

#![allow(clippy::unwrap_used, missing_docs)]

use std::net::SocketAddr;
use std::time::Duration;

use facetty::io::serve::{ServeConfig, ServeError, Server, urls};
use facetty::io::socket::{self, JoinRequest, Socket, SocketError, SocketEvent};
use facetty::signal::message::{
    Body, Candidate, ClientMessage, Description, ErrorCode, LeaveReason, Member, PeerId, ServerMessage,
};
use facetty::text::SafeText;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use url::Url;

/// Far more than anything here takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(30);

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"))
}

struct Running {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn new() -> Self {
        Self::start(config())
    }

    fn start(config: ServeConfig) -> Self {
        let server = Server::bind(config).unwrap();
        let addr = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { addr, stop, task }
    }

    async fn stop(self) -> SocketAddr {
        let _ = self.stop.send(());
        within("the server's end", self.task).await.unwrap();
        self.addr
    }

    fn request(&self, room: &str, name: &str) -> JoinRequest {
        let server = Url::parse(&format!("http://{}", self.addr)).unwrap();
        JoinRequest {
            server,
            room: room.to_owned(),
            name: SafeText::name(name),
            key: socket::new_key(),
        }
    }

    async fn get(&self, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within("an answer", stream.read_to_end(&mut answer))
            .await
            .unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn config() -> ServeConfig {
    ServeConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// A client that says whatever it is told to.
struct Raw(WebSocketStream<TcpStream>);

impl Raw {
    async fn open(server: &Running) -> Self {
        let tcp = TcpStream::connect(server.addr).await.unwrap();
        Self::over(tcp, server).await
    }

    async fn over(tcp: TcpStream, server: &Running) -> Self {
        let (stream, _) = client_async(format!("ws://{}/ws", server.addr), tcp)
            .await
            .unwrap();
        Self(stream)
    }

    async fn join(server: &Running, room: &str, name: &str) -> (Self, Value) {
        let mut raw = Self::open(server).await;
        raw.send(join(room, name)).await;
        let welcome = raw.read().await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        (raw, welcome)
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Option<Result<Message, Error>> {
        within("a message", self.0.next()).await
    }

    async fn read(&mut self) -> Value {
        loop {
            match self
                .next()
                .await
                .expect("the socket stays")
                .expect("the socket is well")
            {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    async fn error(&mut self) -> String {
        let message = self.read().await;
        assert_eq!(message["type"], "error", "{message}");
        message["code"].as_str().unwrap().to_owned()
    }

    async fn closed(&mut self) {
        while let Some(Ok(message)) = self.next().await {
            assert!(!message.is_text(), "nothing more is said: {message:?}");
        }
    }
}

/// A join with a key that belongs to the name.
fn join(room: &str, name: &str) -> Value {
    json!({"type": "join", "version": 1, "room": room, "name": name, "key": format!("key-of-{name:-<16}")})
}

fn candidate(to: &Value, line: &str) -> Value {
    json!({"type": "signal", "to": to, "candidate": {"candidate": line}})
}

async fn event(socket: &mut Socket) -> SocketEvent {
    within("an event", socket.event()).await
}

async fn message(socket: &mut Socket) -> ServerMessage {
    match event(socket).await {
        SocketEvent::Message(message) => message,
        other => panic!("expected a message: {other:?}"),
    }
}

async fn welcomed(socket: &mut Socket) -> (PeerId, Vec<Member>) {
    assert!(matches!(event(socket).await, SocketEvent::Up));
    match message(socket).await {
        ServerMessage::Welcome { id, peers, .. } => (id, peers),
        other => panic!("a welcome comes first: {other:?}"),
    }
}

async fn joined(request: JoinRequest) -> (Socket, PeerId, Vec<Member>) {
    let mut socket = socket::connect(request);
    let (id, peers) = welcomed(&mut socket).await;
    (socket, id, peers)
}

async fn failure(request: JoinRequest) -> SocketError {
    match event(&mut socket::connect(request)).await {
        SocketEvent::Failed(error) => error,
        other => panic!("expected a failure: {other:?}"),
    }
}

#[tokio::test]
async fn two_meet_talk_and_part() {
    let server = Running::new();
    let (mut ann, ann_id, peers) = joined(server.request("standup", "Ann")).await;
    assert_eq!(peers, []);
    let (mut bob, bob_id, peers) = joined(server.request("standup", "Bob")).await;
    assert_eq!(
        peers,
        [Member {
            id: ann_id.clone(),
            name: SafeText::name("Ann")
        }]
    );
    let newcomer = Member {
        id: bob_id.clone(),
        name: SafeText::name("Bob"),
    };
    assert_eq!(message(&mut ann).await, ServerMessage::PeerJoined(newcomer));

    let offer = Body::Description(Description {
        kind: "offer".to_owned(),
        sdp: "v=0\r\n".to_owned(),
        answers: None,
    });
    let late = Body::Candidate(Some(Candidate {
        candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host".to_owned(),
        sdp_mid: Some("0".to_owned()),
        ..Candidate::default()
    }));
    for body in [offer, late, Body::Candidate(None)] {
        assert!(bob.send(ClientMessage::Signal {
            to: ann_id.clone(),
            body: body.clone()
        }));
        assert_eq!(
            message(&mut ann).await,
            ServerMessage::Signal {
                from: bob_id.clone(),
                body
            }
        );
    }
    let nobody = PeerId::try_from("nobody".to_owned()).unwrap();
    assert!(bob.send(ClientMessage::Signal {
        to: nobody,
        body: Body::Candidate(None)
    }));
    let ServerMessage::Error { code, .. } = message(&mut bob).await else {
        panic!("no error")
    };
    assert_eq!(code, ErrorCode::NoSuchPeer);

    bob.leave().await;
    assert_eq!(
        message(&mut ann).await,
        ServerMessage::PeerLeft {
            id: bob_id,
            reason: LeaveReason::Left
        }
    );
    let (carl, carl_id, _) = joined(server.request("standup", "Carl")).await;
    assert!(matches!(message(&mut ann).await, ServerMessage::PeerJoined(_)));
    drop(carl);
    assert_eq!(
        message(&mut ann).await,
        ServerMessage::PeerLeft {
            id: carl_id,
            reason: LeaveReason::Lost
        }
    );
    server.stop().await;
}

#[tokio::test]
async fn ice_servers_are_told_as_browsers_spell_them() {
    let ice = json!([{"urls": ["turn:192.0.2.1"], "username": "u", "credential": "c"}]);
    let server = Running::start(ServeConfig {
        ice_servers: serde_json::from_value(ice.clone()).unwrap(),
        ..config()
    });
    let (_ann, welcome) = Raw::join(&server, "a", "Ann").await;
    assert_eq!(welcome["iceServers"], ice);
}

#[tokio::test]
async fn a_room_holds_eight_and_the_ninth_is_told() {
    let server = Running::new();
    let mut inside = Vec::new();
    for n in 0..8 {
        let (raw, welcome) = Raw::join(&server, "full", &format!("p{n}")).await;
        assert_eq!(welcome["peers"].as_array().unwrap().len(), n);
        inside.push(raw);
    }
    let mut ninth = Raw::open(&server).await;
    ninth.send(join("full", "p9")).await;
    assert_eq!(ninth.error().await, "room-full");
    ninth.closed().await;
    let refused = failure(server.request("full", "Nina")).await;
    assert!(
        matches!(
            &refused,
            SocketError::Refused {
                code: ErrorCode::RoomFull,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(refused.exit_code(), 4);
    assert!(
        refused.to_string().contains("full is full: 8 people"),
        "{refused}"
    );

    // Who is in already may come back, and another room is not concerned.
    let (_again, welcome) = Raw::join(&server, "full", "p3").await;
    assert_eq!(welcome["peers"].as_array().unwrap().len(), 7);
    Raw::join(&server, "other", "p9").await;
    inside.pop().unwrap().send(json!({"type": "leave"})).await;
    assert_eq!(inside[0].read().await["type"], "peer-joined");
    while inside[0].read().await["type"] != "peer-left" {}
    Raw::join(&server, "full", "p9").await;
}

#[tokio::test]
async fn a_server_holds_so_many_rooms() {
    let server = Running::start(ServeConfig {
        max_rooms: 2,
        ..config()
    });
    let (_a, _) = Raw::join(&server, "a", "Ann").await;
    let (_b, _) = Raw::join(&server, "b", "Bob").await;
    let mut c = Raw::open(&server).await;
    c.send(join("c", "Carl")).await;
    assert_eq!(c.error().await, "server-full");
    c.closed().await;
    Raw::join(&server, "a", "Carl").await;
}

#[tokio::test]
async fn another_version_is_told_which_are_spoken() {
    let server = Running::new();
    let mut raw = Raw::open(&server).await;
    raw.send(json!({"type": "join", "version": 2, "where": "there"}))
        .await;
    let error = raw.read().await;
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("error"), &json!("version"))
    );
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("version 1") && message.contains('2'),
        "{message}"
    );
    raw.closed().await;
}

#[tokio::test]
async fn what_is_malformed_is_told_so_and_the_socket_stays() {
    let server = Running::new();
    let mut raw = Raw::open(&server).await;
    for text in [
        "",
        "{",
        "nonsense",
        "[[]]",
        r#"{"type":"dance"}"#,
        r#"{"type":"join","version":1}"#,
    ] {
        raw.0.send(Message::text(text)).await.unwrap();
        assert_eq!(raw.error().await, "malformed", "{text}");
    }
    raw.0.send(Message::binary(vec![0u8, 159, 255])).await.unwrap();
    assert_eq!(raw.error().await, "malformed");
    raw.send(join("a", "Ann")).await;
    assert_eq!(raw.read().await["type"], "welcome");
    raw.send(join("a", "Ann")).await;
    assert_eq!(raw.error().await, "malformed", "a second join");
    raw.0.send(Message::Ping("still".into())).await.unwrap();
    loop {
        if let Message::Pong(echo) = raw.next().await.unwrap().unwrap() {
            assert_eq!(&echo[..], b"still");
            break;
        }
    }
}

#[tokio::test]
async fn whoever_does_not_join_first_goes() {
    let server = Running::new();
    for first in [candidate(&json!("someone"), ""), json!({"type": "leave"})] {
        let mut raw = Raw::open(&server).await;
        raw.send(first).await;
        assert_eq!(raw.error().await, "not-joined");
        raw.closed().await;
    }
    for room in ["", "a b", "..", "<script>"] {
        let mut raw = Raw::open(&server).await;
        raw.send(join(room, "Ann")).await;
        assert_eq!(raw.error().await, "bad-room");
        raw.closed().await;
    }
}

#[tokio::test]
async fn what_is_too_large_closes() {
    let server = Running::new();
    let (mut ann, _) = Raw::join(&server, "a", "Ann").await;
    let (mut bob, bob_welcome) = Raw::join(&server, "a", "Bob").await;
    assert_eq!(ann.read().await["type"], "peer-joined");
    bob.0
        .send(Message::text(" ".repeat(64 * 1024 + 1)))
        .await
        .unwrap();
    assert_eq!(bob.error().await, "too-large");
    bob.closed().await;
    let left = ann.read().await;
    assert_eq!(
        (&left["type"], &left["id"], &left["reason"]),
        (&json!("peer-left"), &bob_welcome["id"], &json!("lost"))
    );
}

#[tokio::test]
async fn what_is_just_small_enough_is_relayed() {
    let server = Running::new();
    let (mut ann, ann_welcome) = Raw::join(&server, "a", "Ann").await;
    let (mut bob, _) = Raw::join(&server, "a", "Bob").await;
    assert_eq!(ann.read().await["type"], "peer-joined");
    let sdp = "x".repeat(32 * 1024);
    bob.send(
        json!({"type": "signal", "to": ann_welcome["id"], "description": {"type": "offer", "sdp": sdp}}),
    )
    .await;
    assert_eq!(ann.read().await["description"]["sdp"], sdp);
}

#[tokio::test]
async fn whoever_comes_back_is_the_same_person() {
    let server = Running::new();
    let (mut ann, _) = Raw::join(&server, "a", "Ann").await;
    let (mut old, first) = Raw::join(&server, "a", "Bob").await;
    assert_eq!(ann.read().await["type"], "peer-joined");
    let (mut new, second) = Raw::join(&server, "a", "Bob").await;
    assert_eq!(second["id"], first["id"]);
    assert_eq!(
        second["peers"].as_array().unwrap().len(),
        1,
        "one is not one's own peer"
    );
    assert_eq!(old.error().await, "replaced");
    old.closed().await;
    let again = ann.read().await;
    assert_eq!(
        (&again["type"], &again["id"]),
        (&json!("peer-joined"), &first["id"])
    );
    // The next that Ann hears is said by the new socket: no peer-left came between.
    ann.send(candidate(&first["id"], "to")).await;
    assert_eq!(new.read().await["candidate"]["candidate"], "to");
    new.send(candidate(&again["id"], "self")).await;
    assert_eq!(new.read().await["from"], first["id"]);
    drop(new);
    assert_eq!(ann.read().await["type"], "peer-left");
    let (_elsewhere, third) = Raw::join(&server, "b", "Bob").await;
    assert_ne!(third["id"], first["id"], "nobody is recognised in another room");
}

#[tokio::test]
async fn a_replaced_client_does_not_fight_for_its_place() {
    let server = Running::new();
    let request = server.request("a", "Ann");
    let (mut first, ..) = joined(request.clone()).await;
    let (_second, ..) = joined(request).await;
    let SocketEvent::Failed(error) = event(&mut first).await else {
        panic!("it goes on")
    };
    assert!(matches!(
        error,
        SocketError::Refused {
            code: ErrorCode::Replaced,
            ..
        }
    ));
}

#[tokio::test]
async fn a_restarted_server_finds_the_same_people() {
    let server = Running::new();
    let request = server.request("a", "Ann");
    let (mut ann, ann_id, _) = joined(request).await;
    let (mut bob, bob_id, _) = joined(server.request("a", "Bob")).await;
    assert!(matches!(message(&mut ann).await, ServerMessage::PeerJoined(_)));
    let addr = server.stop().await;
    for socket in [&mut ann, &mut bob] {
        let SocketEvent::Down { retry_in, .. } = event(socket).await else {
            panic!("not noticed")
        };
        assert!(retry_in < Duration::from_secs(1));
        assert!(
            !socket.send(ClientMessage::Leave),
            "nothing is sent to a server that is gone"
        );
    }
    let server = Running::start(ServeConfig {
        listen: addr,
        ..config()
    });
    for (socket, id) in [(&mut ann, ann_id), (&mut bob, bob_id)] {
        loop {
            match event(socket).await {
                SocketEvent::Down { .. } => {}
                SocketEvent::Up => break,
                other => panic!("{other:?}"),
            }
        }
        let ServerMessage::Welcome { id: again, .. } = message(socket).await else {
            panic!("no welcome")
        };
        assert_eq!(again, id);
    }
    ann.leave().await;
    drop(bob);
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_address_fails_at_once_and_says_what_to_do() {
    let unused = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let server = Url::parse(&format!("http://{unused}")).unwrap();
    let request = JoinRequest {
        server,
        room: "a".to_owned(),
        name: SafeText::name("Ann"),
        key: socket::new_key(),
    };
    let mut socket = socket::connect(request.clone());
    let first = tokio::time::timeout(Duration::from_secs(4), socket.event()).await;
    let Ok(SocketEvent::Failed(error)) = first else {
        panic!("{first:?}")
    };
    assert_eq!(error.exit_code(), 3);
    let text = error.to_string();
    assert!(
        text.contains(&unused.to_string()) && text.contains("refused") && text.contains("facetty serve"),
        "{text}"
    );

    // Something else that speaks HTTP, and something that does not.
    for answer in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "220 mail.example.org ESMTP\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let other = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let error = failure(JoinRequest {
            server,
            ..request.clone()
        })
        .await;
        assert_eq!(error.exit_code(), 3, "{error}");
        other.abort();
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_five_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let request = JoinRequest {
        server,
        room: "a".to_owned(),
        name: SafeText::name("Ann"),
        key: socket::new_key(),
    };
    let error = failure(request).await;
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("no answer"), "{error}");
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let server = Running::new();
    let error = Server::bind(ServeConfig {
        listen: server.addr,
        ..config()
    })
    .unwrap_err();
    assert!(matches!(error, ServeError::InUse(_)));
    let expected = format!(
        "port {} is in use by another program; choose another with --listen",
        server.addr.port()
    );
    assert_eq!(error.to_string(), expected);
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
    let error = Server::bind(ServeConfig {
        listen: elsewhere,
        ..config()
    })
    .unwrap_err();
    assert!(matches!(error, ServeError::NotHere(_)), "{error}");
}

#[tokio::test]
async fn another_origin_is_refused_unless_it_is_listed() {
    let allow_origin = vec!["https://friend.example".to_owned()];
    let server = Running::start(ServeConfig {
        allow_origin,
        ..config()
    });
    let own = format!("http://{}", server.addr);
    for (origin, allowed) in [
        (own.as_str(), true),
        ("https://friend.example", true),
        ("http://friend.example", false),
        ("https://evil.example", false),
        ("http://127.0.0.1:1", false),
        ("null", false),
        ("\u{e4}", false),
    ] {
        let mut request = format!("ws://{}/ws", server.addr).into_client_request().unwrap();
        let header =
            tokio_tungstenite::tungstenite::http::HeaderValue::from_bytes(origin.as_bytes()).unwrap();
        request.headers_mut().insert("Origin", header);
        let tcp = TcpStream::connect(server.addr).await.unwrap();
        match client_async(request, tcp).await {
            Ok(_) => assert!(allowed, "{origin}"),
            Err(Error::Http(answer)) => {
                assert!(!allowed, "{origin}");
                assert_eq!(answer.status(), 403);
            }
            Err(e) => panic!("{e}"),
        }
    }
}

#[tokio::test]
async fn who_tries_many_rooms_is_stopped_by_address_also_behind_a_proxy() {
    let server = Running::new();
    let (_someone, _) = Raw::join(&server, "7-crossover-clockwork", "ann").await;
    let from = async |forwarded: &str, room: &str| {
        let mut request = format!("ws://{}/ws", server.addr).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("X-Forwarded-For", forwarded.parse().unwrap());
        let tcp = TcpStream::connect(server.addr).await.unwrap();
        let mut raw = Raw(client_async(request, tcp).await.unwrap().0);
        raw.send(join(room, "guesser")).await;
        raw.read().await
    };
    for n in 0..100 {
        // What the guesser wrote into the header itself stands first and counts for nothing.
        let answer = from(&format!("198.51.100.{n}, 192.0.2.1"), &format!("{n}-apple-piano")).await;
        assert_eq!(answer["type"], "welcome", "{answer}");
    }
    let stopped = from("192.0.2.1", "7-crossover-clockwork").await;
    assert_eq!(stopped["code"], "too-many", "{stopped}");
    let other = from("192.0.2.2", "7-crossover-clockwork").await;
    assert_eq!(other["type"], "welcome", "{other}");
    Raw::join(&server, "on-this-machine", "bob").await;
    server.stop().await;
}

#[tokio::test]
async fn pages_say_how_to_join_and_run_nothing_from_elsewhere() {
    let server = Running::new();
    let host = "Host: meet.example.org:7880\r\n".to_string();
    let page = server.get("/standup", &host).await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(
        page.contains("facetty --room standup --server http://meet.example.org:7880<"),
        "{page}"
    );
    assert!(page.contains("<body data-room=\"standup\">"), "{page}");
    let policy = page
        .lines()
        .find(|l| l.starts_with("content-security-policy"))
        .unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let links = page.split(['"', '\'']).filter(|part| part.contains("page/"));
    let links: Vec<_> = links.collect();
    assert!(links.len() > 10, "{page}");
    for link in links {
        let part = server
            .get(&format!("/{link}"), "Accept-Encoding: br;q=1, gzip\r\n")
            .await;
        let head = part.split("\r\n\r\n").next().unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{link}: {head}");
        assert!(
            head.contains("content-encoding: gzip") && head.contains("immutable"),
            "{head}"
        );
        let mime = match link.rsplit('.').next().unwrap() {
            "js" => "text/javascript",
            "css" => "text/css",
            _ => "image/svg+xml",
        };
        assert!(head.contains(&format!("content-type: {mime}")), "{link}: {head}");
        assert!(head.contains("nosniff"), "{head}");
        let plain = server.get(&format!("/{link}"), "").await;
        assert!(!plain.contains("content-encoding"), "{link}");
    }
    let tag = page.lines().find_map(|l| l.strip_prefix("etag: ")).unwrap();
    let again = server
        .get("/standup", &format!("{host}If-None-Match: {tag}\r\n"))
        .await;
    assert!(again.starts_with("HTTP/1.1 304"), "{again}");
    assert_eq!(
        server
            .get("/page/000000000000/main.js", &host)
            .await
            .lines()
            .next(),
        Some("HTTP/1.1 404 Not Found")
    );
    let home = server
        .get("/", &format!("{host}X-Forwarded-Proto: https\r\n"))
        .await;
    assert!(
        home.contains("facetty --room NAME --server https://meet.example.org:7880<"),
        "{home}"
    );
    assert!(server.get("/healthz", "").await.ends_with("ok\n"));
    for path in ["/a/b", "/%3Cscript%3E", "/a%20b", "/%ff", "/..", "/%2e%2e"] {
        let page = server.get(path, &host).await;
        assert!(
            page.starts_with("HTTP/1.1 4") && !page.contains("<script>"),
            "{path}: {page}"
        );
    }
    let forged = server.get("/a", "Host: x\"><script>alert(1)</script>\r\n").await;
    assert!(!forged.contains("<script>"), "{forged}");
    assert!(
        server.get("/ws", &host).await.starts_with("HTTP/1.1 4"),
        "no WebSocket was asked for"
    );
}

#[tokio::test]
async fn hostile_names_arrive_harmless() {
    let server = Running::new();
    let (mut ann, ..) = joined(server.request("a", "Ann")).await;
    let tower = format!("Z{}", "\u{301}".repeat(400));
    for (n, (name, shown)) in [
        ("\x1b]0;owned\x07\x1b[2J", "]0;owned[2J"),
        ("\u{202e}Ann\u{200b}\u{2066}", "Ann"),
        ("\u{9b}31mRed\r\n", "31mRed"),
        ("", "somebody"),
        (&"字".repeat(500), &"字".repeat(16)),
        (&tower, "Z\u{301}\u{301}\u{301}"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut raw = Raw::open(&server).await;
        raw.send(
            json!({"type": "join", "version": 1, "room": "a", "name": name, "key": format!("{n:0>32}")}),
        )
        .await;
        assert_eq!(raw.read().await["type"], "welcome");
        let ServerMessage::PeerJoined(member) = message(&mut ann).await else {
            panic!()
        };
        assert_eq!(member.name.as_str(), shown);
        raw.send(json!({"type": "leave"})).await;
        assert!(matches!(message(&mut ann).await, ServerMessage::PeerLeft { .. }));
    }
}

#[tokio::test]
async fn a_flood_ends_its_own_socket_alone() {
    let server = Running::new();
    let (mut ann, welcome) = Raw::join(&server, "a", "Ann").await;
    let (bob, _) = Raw::join(&server, "a", "Bob").await;
    assert_eq!(ann.read().await["type"], "peer-joined");
    let (mut write, mut read) = bob.0.split();
    let to = welcome["id"].clone();
    let flood = tokio::spawn(async move {
        while write
            .send(Message::text(candidate(&to, "x").to_string()))
            .await
            .is_ok()
        {}
    });
    let last = loop {
        match within("the end", read.next()).await {
            Some(Ok(Message::Text(text))) => break serde_json::from_str::<Value>(&text).unwrap(),
            Some(Ok(_)) => {}
            end => panic!("closed without a word: {end:?}"),
        }
    };
    assert_eq!(last["code"], "too-many");
    let mut relayed = 0;
    while ann.read().await["type"] == "signal" {
        relayed += 1;
    }
    assert!(relayed >= 379, "what a full room needs passes: {relayed}");
    drop(read);
    flood.await.unwrap();
}

#[tokio::test]
async fn a_reader_who_sleeps_is_closed_and_nobody_else_notices() {
    let server = Running::new();
    // The sleeper's receive window is small, so that little is in flight.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut sleeper = Raw::over(socket.connect(server.addr).await.unwrap(), &server).await;
    sleeper.send(join("a", "Sleeper")).await;
    let target = sleeper.read().await["id"].clone();
    let (mut ann, ann_welcome) = Raw::join(&server, "a", "Ann").await;
    let (mut bob, _) = Raw::join(&server, "a", "Bob").await;
    assert_eq!(ann.read().await["type"], "peer-joined");
    let sdp = "x".repeat(30_000);
    for n in 0..100 {
        bob.send(json!({"type": "signal", "to": target, "description": {"type": "offer", "sdp": sdp}}))
            .await;
        bob.send(candidate(&ann_welcome["id"], &n.to_string())).await;
    }
    // Nothing for Ann is lost or out of order, and the sleeper's end is told.
    let (mut seen, mut left) = (0, false);
    while seen < 100 || !left {
        let message = ann.read().await;
        match message["type"].as_str().unwrap() {
            "signal" => {
                assert_eq!(message["candidate"]["candidate"], seen.to_string());
                seen += 1;
            }
            "peer-left" => {
                assert_eq!((&message["id"], &message["reason"]), (&target, &json!("lost")));
                left = true;
            }
            _ => panic!("{message}"),
        }
    }
}

#[tokio::test]
async fn two_hundred_in_twenty_five_rooms_hear_each_other() {
    let server = Running::new();
    let mut rooms = Vec::new();
    for room in 0..25 {
        let mut people = Vec::new();
        for person in 0..8 {
            people.push(joined(server.request(&format!("room-{room}"), &format!("p{person}"))).await);
        }
        rooms.push(people);
    }
    for people in &rooms {
        let ids: Vec<_> = people.iter().map(|(_, id, _)| id.clone()).collect();
        for (from, (socket, ..)) in people.iter().enumerate() {
            for to in ids
                .iter()
                .enumerate()
                .filter(|(n, _)| *n != from)
                .map(|(_, id)| id.clone())
            {
                assert!(socket.send(ClientMessage::Signal {
                    to,
                    body: Body::Candidate(None)
                }));
            }
        }
    }
    for people in &mut rooms {
        for (n, (socket, ..)) in people.iter_mut().enumerate() {
            let (mut joins, mut signals) = (0, 0);
            while joins + signals < 7 - n + 7 {
                match message(socket).await {
                    ServerMessage::PeerJoined(_) => joins += 1,
                    ServerMessage::Signal { .. } => signals += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!((joins, signals), (7 - n, 7));
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn no_bytes_bring_the_server_down() {
    let server = Running::new();
    let (mut ann, _) = Raw::join(&server, "a", "Ann").await;
    // A small generator, so that a failing round can be run again.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..300 {
        let mut tcp = TcpStream::connect(server.addr).await.unwrap();
        let junk: Vec<u8> = (0..random() % 2000).map(|_| random() as u8).collect();
        if round % 3 == 0 {
            let _ = tcp.write_all(&junk).await;
            continue;
        }
        let mut raw = Raw::over(tcp, &server).await;
        if round % 3 == 1 {
            // Past the handshake, frames of noise.
            let _ = raw.0.get_mut().write_all(&junk).await;
        } else {
            // Well-made frames with noise in them.
            let text: String = junk.iter().map(|b| char::from(*b)).collect();
            let _ = raw
                .0
                .send(Message::text(format!("{{\"type\":\"join\",\"version\":1,{text}")))
                .await;
            let _ = raw.0.send(Message::binary(junk)).await;
            let _ = raw.0.close(None).await;
        }
    }
    let (_bob, welcome) = Raw::join(&server, "a", "Bob").await;
    assert_eq!(welcome["peers"].as_array().unwrap().len(), 1);
    assert_eq!(ann.read().await["name"], "Bob");
    assert!(!server.task.is_finished());
}

#[test]
fn urls_name_what_others_can_reach() {
    let one = SocketAddr::from(([192, 0, 2, 7], 7880));
    assert_eq!(urls("http", one), ["http://192.0.2.7:7880"]);
    assert_eq!(
        urls("http", "[2001:db8::1]:80".parse().unwrap()),
        ["http://[2001:db8::1]:80"]
    );
    let all = urls("http", SocketAddr::from(([0, 0, 0, 0], 7880)));
    assert!(!all.is_empty());
    for url in all {
        let url = Url::parse(&url).unwrap();
        assert_eq!(url.port(), Some(7880));
        assert!(!url.host_str().unwrap().starts_with("0."));
    }
}
