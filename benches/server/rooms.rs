//! Quiet sockets, and signals between those who share a room.

use std::time::{Duration, Instant};

use facetty::io::clock;
use facetty::io::socket::{self, JoinRequest, Socket, SocketEvent};
use facetty::signal::message::{Body, Candidate, ClientMessage, PeerId, ServerMessage};
use facetty::text::SafeText;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use url::Url;

use super::server::{meeting_point, resident};
use crate::support::program::Server;

/// Between two signals of one person: a call that begins sends some forty in a second.
const EVERY: Duration = Duration::from_millis(50);

/// For so long.
const TIME: Duration = Duration::from_secs(5);

pub struct Latency {
    pub count: usize,
    pub p50: f64,
    pub p99: f64,
}

/// What each of so many people adds who say nothing, eight in a room, in KiB.
pub fn memory(count: usize) -> f64 {
    let (server, pid) = meeting_point();
    runtime().block_on(async {
        let _first = join(&server, "first").await;
        let before = resident(pid);
        let mut all = Vec::new();
        for at in 0..count {
            all.push(join(&server, &format!("room{}", at / 8)).await);
        }
        (resident(pid) - before) / count as f64
    })
}

/// How long signals take in so many rooms of two.
pub fn latency(rooms: usize) -> Latency {
    let (server, _) = meeting_point();
    runtime().block_on(async {
        let mut pairs = JoinSet::new();
        let mut people = Vec::new();
        for room in 0..rooms {
            let room = format!("room{room}");
            let (ann, _) = join(&server, &room).await;
            let (bob, bobs) = join(&server, &room).await;
            people.push((ann, bob, bobs));
        }
        let begin = clock::now();
        for (at, (ann, bob, bobs)) in people.into_iter().enumerate() {
            // Spread, so that they do not all speak at once.
            let first = begin + EVERY * u32::try_from(at).unwrap_or(0) / u32::try_from(rooms).unwrap_or(1);
            pairs.spawn(exchange(ann, bob, bobs, first));
        }
        let mut all: Vec<f64> = pairs.join_all().await.into_iter().flatten().collect();
        all.sort_by(f64::total_cmp);
        let at = |share: f64| {
            all.get((all.len() as f64 * share) as usize)
                .copied()
                .unwrap_or(f64::NAN)
        };
        Latency {
            count: all.len(),
            p50: at(0.50),
            p99: at(0.99),
        }
    })
}

/// One sends, the other hears: the milliseconds that each took.
async fn exchange(ann: Socket, mut bob: Socket, bobs: PeerId, first: Instant) -> Vec<f64> {
    let mut took = Vec::new();
    let mut due = first;
    while due < first + TIME {
        sleep_until(due.into()).await;
        due += EVERY;
        let candidate = Candidate {
            candidate: "candidate:1 1 udp 2130706431 192.0.2.1 50000 typ host".to_owned(),
            ..Candidate::default()
        };
        let sent = clock::now();
        ann.send(ClientMessage::Signal {
            to: bobs.clone(),
            body: Body::Candidate(Some(candidate)),
        });
        loop {
            if let SocketEvent::Message(ServerMessage::Signal { .. }) = bob.event().await {
                break;
            }
        }
        took.push((clock::now() - sent).as_secs_f64() * 1000.0);
    }
    took
}

async fn join(server: &Server, room: &str) -> (Socket, PeerId) {
    let mut socket = socket::connect(JoinRequest {
        server: Url::parse(&server.url.replacen("ws", "http", 1)).expect("its own URL"),
        room: room.to_owned(),
        name: SafeText::name("bench"),
        key: socket::new_key(),
    });
    loop {
        match socket.event().await {
            SocketEvent::Message(ServerMessage::Welcome { id, .. }) => return (socket, id),
            SocketEvent::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}
