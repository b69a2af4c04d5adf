//! Two people in simulated time: a call each, a meeting point that relays, and a seeded line each way
//! between them. Nothing here sleeps; a story of a minute takes as long as its encoding does.

mod quality;
pub mod side;
mod trace;
mod voice;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use facetty::call::Output;
use facetty::media::video::VideoCodec;
use facetty::signal::message::{Body, ClientMessage, LeaveReason, Member, ServerMessage};
use facetty::units::{Bitrate, Size};
use str0m_netem::{Input, NetemConfig, Output as NetemOutput, WithLen};

pub use self::side::{CAMERA, Side};
#[allow(unused_imports)]
pub use self::trace::{Kind, Trace};

/// Where a story begins; only differences matter.
#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    Instant::now()
}

/// Packets that wait for a process that does not run.
const KERNEL_BUFFER: usize = 200;

#[derive(Clone)]
pub struct Packet {
    source: SocketAddr,
    destination: SocketAddr,
    bytes: Vec<u8>,
    sent: Instant,
}

impl WithLen for Packet {
    fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// The two of them.
pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub a: Side,
    pub b: Side,
    /// The size of the cameras' pictures, and what each shows of the other.
    pub source: Size,
    pub viewport: Size,
    /// How long the meeting point takes to relay.
    pub relay: Duration,
    /// The meeting point puts other fingerprints into the descriptions.
    pub forges_fingerprints: bool,
    /// Candidates overtake descriptions by this much.
    pub description_delay: Duration,
}

impl World {
    /// Two people who can reach each other by `line` (each way has its own dice from `seed`).
    pub fn new(line: NetemConfig, seed: u64) -> Self {
        Self::with_codecs(
            line,
            seed,
            &[VideoCodec::Vp9, VideoCodec::Vp8],
            &[VideoCodec::Vp9, VideoCodec::Vp8],
        )
    }

    pub fn with_codecs(line: NetemConfig, seed: u64, a: &[VideoCodec], b: &[VideoCodec]) -> Self {
        Self::with(line, seed, [a, b], None)
    }

    /// Likewise; neither sends more than `limit`.
    pub fn with(line: NetemConfig, seed: u64, [a, b]: [&[VideoCodec]; 2], limit: Option<Bitrate>) -> Self {
        let now = epoch();
        let to = |n: u64| line.seed(seed * 2 + n);
        Self {
            now,
            start: now,
            a: Side::new("ann", "10.0.0.1:1000", to(0), a, limit, now),
            b: Side::new("bob", "10.0.0.2:2000", to(1), b, limit, now),
            source: CAMERA,
            viewport: Size::new(160, 90),
            relay: Duration::from_millis(20),
            forges_fingerprints: false,
            description_delay: Duration::ZERO,
        }
    }

    /// Ann is there; Bob comes and calls her.
    pub fn meet(&mut self) {
        let (ann, bob) = (self.a.member(), self.b.member());
        let now = self.now;
        let welcome = |id: &Member, peers| ServerMessage::Welcome {
            id: id.id.clone(),
            peers,
            ice_servers: vec![],
        };
        self.a.call.set_source(Some(self.source), now);
        self.b.call.set_source(Some(self.source), now);
        self.a.call.handle_server(welcome(&ann, vec![]), now);
        self.a
            .call
            .handle_server(ServerMessage::PeerJoined(bob.clone()), now);
        self.b.call.handle_server(welcome(&bob, vec![ann.clone()]), now);
        self.a.call.set_viewport(&bob.id, self.viewport, now);
        self.b.call.set_viewport(&ann.id, self.viewport, now);
    }

    /// Both believe that they came later, and call.
    pub fn meet_with_glare(&mut self) {
        self.meet();
        let (ann, bob) = (self.a.member(), self.b.member());
        let welcome = ServerMessage::Welcome {
            id: ann.id,
            peers: vec![bob],
            ice_servers: vec![],
        };
        self.a.call.handle_server(welcome, self.now);
    }

    /// The meeting point says that somebody's socket is gone.
    pub fn tell_a_that_b_left(&mut self, reason: LeaveReason) {
        let id = self.b.id.clone();
        self.a
            .call
            .handle_server(ServerMessage::PeerLeft { id, reason }, self.now);
    }

    /// The second one runs again after [`Side::is_gone`], and their socket is made anew.
    pub fn wake_b(&mut self) {
        let (ann, bob, now) = (self.a.member(), self.b.member(), self.now);
        self.b.is_gone = false;
        let welcome = ServerMessage::Welcome {
            id: bob.id.clone(),
            peers: vec![ann],
            ice_servers: vec![],
        };
        for packet in std::mem::take(&mut self.b.buffered) {
            self.b
                .call
                .handle_datagram(packet.source, packet.destination, &packet.bytes, now);
        }
        self.b.call.handle_timeout(now);
        self.b.call.handle_server(welcome, now);
        self.a.call.handle_server(ServerMessage::PeerJoined(bob), now);
    }

    /// The first one's network changes: what was its address is none any more.
    pub fn move_a(&mut self, address: &str) {
        let old = std::mem::replace(&mut self.a.address, address.parse().expect("an address"));
        self.a.mapped = self.a.address;
        let now = self.now;
        self.a.call.add_local_address(self.a.address, now);
        self.a.call.remove_local_address(old, now);
        self.a.call.handle_network(now);
    }

    /// The first one's router forgets its mapping and makes another; what is sent to the old one is lost.
    pub fn rebind_a(&mut self, mapped: &str) {
        self.a.mapped = mapped.parse().expect("an address");
    }

    /// The first one's socket at the meeting point is made anew.
    pub fn rejoin_a(&mut self) {
        rejoin(&mut self.a, &mut self.b, self.now);
    }

    /// Bob's as well.
    pub fn rejoin_b(&mut self) {
        rejoin(&mut self.b, &mut self.a, self.now);
    }

    /// What is on its way through the meeting point is lost.
    pub fn forget_signals(&mut self) {
        self.settle();
        self.a.signals_in.clear();
        self.b.signals_in.clear();
    }

    /// Another line from now on.
    pub fn set_line(&mut self, line: NetemConfig, seed: u64) {
        self.a.line_in.set_config(line.seed(seed * 2));
        self.b.line_in.set_config(line.seed(seed * 2 + 1));
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Lets `time` pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until `done`, `limit` at most. Returns whether it was done.
    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&World) -> bool) -> bool {
        let end = self.now + limit;
        self.settle();
        while !done(self) {
            if !self.step(end) {
                return false;
            }
        }
        true
    }

    fn step(&mut self, end: Instant) -> bool {
        let nexts = [self.a.next(), self.b.next()];
        let next = nexts
            .into_iter()
            .flatten()
            .min()
            .map_or(end, |at| at.max(self.now));
        if next >= end {
            return false;
        }
        // Clocks of computers have a grain, too; without one a due time could stand still.
        self.now = next.max(self.now + Duration::from_nanos(1));
        let (now, start) = (self.now, self.start);
        for side in [&mut self.a, &mut self.b] {
            if side.is_gone {
                continue;
            }
            while let Some(i) = side.signals_in.iter().position(|(at, _)| *at <= now) {
                let (_, message) = side.signals_in.remove(i).expect("just found");
                side.call.handle_server(message, now);
            }
            side.work(start, now);
            if side.call.poll_timeout().is_some_and(|at| at <= now) {
                side.call.handle_timeout(now);
            }
        }
        deliver(&mut self.a, start, now);
        deliver(&mut self.b, start, now);
        self.settle();
        true
    }

    /// Takes what both calls have to give.
    fn settle(&mut self) {
        let (now, start, relay, late) = (self.now, self.start, self.relay, self.description_delay);
        for (one, other) in [(true, false), (false, true)] {
            let _ = other;
            let (from, to) = if one {
                (&mut self.a, &mut self.b)
            } else {
                (&mut self.b, &mut self.a)
            };
            while let Some(output) = from.call.poll_output() {
                if from.is_gone {
                    continue;
                }
                match output {
                    // There is neither a STUN nor a TURN server in this world.
                    Output::Path(_) => {}
                    Output::Transmit(transmit) => {
                        // From an address that is no longer its own nothing leaves.
                        if transmit.source != from.address {
                            continue;
                        }
                        from.bytes_out += transmit.contents.len() as u64;
                        let kind = Kind::of(&transmit.contents);
                        from.trace.sent.push((now - start, kind, transmit.contents.len()));
                        if transmit.destination == to.mapped {
                            let bytes = transmit.contents.to_vec();
                            let (source, destination) = (from.mapped, to.address);
                            to.line_in.handle_input(Input::Packet(
                                now,
                                Packet {
                                    source,
                                    destination,
                                    bytes,
                                    sent: now,
                                },
                            ));
                        }
                    }
                    Output::Signal(ClientMessage::Signal { body, .. }) => {
                        let body = if self.forges_fingerprints {
                            forged(body)
                        } else {
                            body
                        };
                        let is_description = matches!(body, Body::Description(_));
                        let delay = if is_description { relay + late } else { relay };
                        let message = ServerMessage::Signal {
                            from: from.id.clone(),
                            body,
                        };
                        to.signals_in.push_back((now + delay, message));
                    }
                    Output::Signal(_) => {}
                    Output::Targets(targets) => from.retarget(&targets, now),
                    Output::Video { frame, .. } => from.decode(&frame, to, now - start, now),
                    Output::Voice { peer, packet } => {
                        from.heard += 1;
                        if let Some(ear) = &mut from.ear {
                            ear.packet(&peer, packet);
                        }
                    }
                    Output::VoiceTune(tune) => from.mouth.tune(tune),
                    Output::Event(event) => from.events.push((now - start, event)),
                }
            }
        }
    }
}

/// A socket at the meeting point is made anew.
fn rejoin(joiner: &mut Side, other: &mut Side, now: Instant) {
    let (member, there) = (joiner.member(), other.member());
    joiner.signals_in.clear();
    let welcome = ServerMessage::Welcome {
        id: member.id.clone(),
        peers: vec![there],
        ice_servers: vec![],
    };
    joiner.call.handle_server(welcome, now);
    other.call.handle_server(ServerMessage::PeerJoined(member), now);
}

fn deliver(side: &mut Side, start: Instant, now: Instant) {
    side.line_in.handle_input(Input::Timeout(now));
    while let Some(output) = side.line_in.poll_output() {
        match output {
            // To an address that it had when this was sent.
            NetemOutput::Packet(packet) if packet.destination != side.address => {}
            NetemOutput::Packet(packet) if !side.is_gone => {
                let (kind, under_way) = (Kind::of(&packet.bytes), now - packet.sent);
                side.trace.came.push((now - start, kind, under_way));
                side.call
                    .handle_datagram(packet.source, packet.destination, &packet.bytes, now);
            }
            NetemOutput::Packet(packet) => {
                side.buffered.push_back(packet);
                side.buffered.truncate(KERNEL_BUFFER);
            }
            NetemOutput::Timeout(_) => break,
        }
    }
}

/// The description with another last byte in its fingerprint.
fn forged(body: Body) -> Body {
    let Body::Description(mut description) = body else {
        return body;
    };
    let lines = description.sdp.lines().map(|line| {
        let is_fingerprint = line.starts_with("a=fingerprint:");
        match line.strip_suffix("00") {
            _ if !is_fingerprint => line.to_owned(),
            Some(rest) => format!("{rest}01"),
            None => format!("{}00", &line[..line.len() - 2]),
        }
    });
    description.sdp = lines.map(|line| line + "\r\n").collect();
    Body::Description(description)
}
