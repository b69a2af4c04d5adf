//! Two people in simulated time: a call each, a meeting point that relays, and a seeded line each way
//! between them. Nothing here sleeps; a story of a minute takes as long as its encoding does.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use facetty::call::paths::IcePolicy;
use facetty::call::targets::{Target, TargetId};
use facetty::call::{Call, CallConfig, EncodedVideo, Event, Output, VideoFrame};
use facetty::media::frame::{I420, Picture, Pool};
use facetty::media::scale::Scaler;
use facetty::media::stamp;
use facetty::media::test_picture::TestPicture;
use facetty::media::video::{Decoder, Encoder, EncoderConfig, VideoCodec};
use facetty::signal::message::{Body, ClientMessage, LeaveReason, Member, PeerId, ServerMessage};
use facetty::text::SafeText;
use facetty::units::Size;
use str0m_netem::{Input, Netem, NetemConfig, Output as NetemOutput, WithLen};

/// Where a story begins; only differences matter.
#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    Instant::now()
}

/// The size of the simulated cameras.
pub const CAMERA: Size = Size::new(320, 180);

const FRAME: Duration = Duration::from_nanos(33_333_333);
/// Packets that wait for a process that does not run.
const KERNEL_BUFFER: usize = 200;

const VOICE: Duration = Duration::from_millis(20);

#[derive(Clone)]
pub struct Packet {
    source: SocketAddr,
    destination: SocketAddr,
    bytes: Vec<u8>,
}

impl WithLen for Packet {
    fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// One person.
pub struct Side {
    pub id: PeerId,
    pub call: Call,
    /// What came out of the call, and when (since the start).
    pub events: Vec<(Duration, Event)>,
    /// The numbers stamped into the pictures that were decoded, and when.
    pub seen: Vec<(Duration, Option<u32>)>,
    /// Voice packets that came: their first byte numbers them.
    pub heard: usize,
    pub keyframes_in: usize,
    /// How long the last picture was to be held to come with its voice.
    pub hold: Duration,
    pub bytes_out: u64,
    /// Nothing runs here; what comes waits, as a kernel would keep it.
    pub is_gone: bool,
    buffered: VecDeque<Packet>,
    address: SocketAddr,
    line_in: Netem<Packet>,
    signals_in: VecDeque<(Instant, ServerMessage)>,
    encoders: BTreeMap<TargetId, (Target, Encoder, Option<u32>)>,
    decoder: Option<(VideoCodec, Decoder)>,
    pool: Pool,
    test_picture: TestPicture,
    number: u32,
    next_frame: Instant,
    next_voice: Instant,
    voice_time: u64,
    sends: bool,
}

/// The two of them.
pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub a: Side,
    pub b: Side,
    /// How long the meeting point takes to relay.
    pub relay: Duration,
    /// The meeting point puts other fingerprints into the descriptions.
    pub forges_fingerprints: bool,
    /// Candidates overtake descriptions by this much.
    pub description_delay: Duration,
}

impl Side {
    pub fn has_event(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, event)| wanted(event))
    }

    pub fn when(&self, wanted: impl Fn(&Event) -> bool) -> Option<Duration> {
        self.events
            .iter()
            .find(|(_, event)| wanted(event))
            .map(|(at, _)| *at)
    }

    /// The rate of each running encoder.
    pub fn encoded_fps(&self) -> Vec<u32> {
        self.encoders.values().map(|(target, ..)| target.fps).collect()
    }

    fn new(id: &str, address: &str, config: NetemConfig, codecs: &[VideoCodec], now: Instant) -> Self {
        let address: SocketAddr = address.parse().expect("an address");
        let call = Call::new(
            CallConfig {
                name: SafeText::new(id, 32),
                codecs: codecs.to_vec(),
                max_bitrate: None,
                fps: 30,
                mic_on: true,
                camera_on: true,
                ice_servers: Vec::new(),
                ice_policy: IcePolicy::All,
            },
            vec![address],
        );
        Self {
            id: PeerId::try_from(id.to_owned()).expect("an identity"),
            call,
            events: Vec::new(),
            seen: Vec::new(),
            heard: 0,
            keyframes_in: 0,
            hold: Duration::ZERO,
            bytes_out: 0,
            is_gone: false,
            buffered: VecDeque::new(),
            address,
            line_in: Netem::new(config),
            signals_in: VecDeque::new(),
            encoders: BTreeMap::new(),
            decoder: None,
            pool: Pool::default(),
            test_picture: TestPicture::default(),
            number: 0,
            next_frame: now,
            next_voice: now,
            voice_time: 0,
            sends: true,
        }
    }

    fn member(&self) -> Member {
        Member {
            id: self.id.clone(),
            name: SafeText::new(self.id.as_str(), 32),
        }
    }

    fn next(&self) -> Option<Instant> {
        if self.is_gone {
            return None;
        }
        let mut next = self.call.poll_timeout().unwrap_or(self.next_frame);
        next = next
            .min(self.next_frame)
            .min(self.next_voice)
            .min(self.line_in.poll_timeout());
        Some(self.signals_in.iter().map(|(at, _)| *at).fold(next, Instant::min))
    }

    fn retarget(&mut self, targets: Vec<Target>) {
        self.encoders.retain(|id, _| targets.iter().any(|t| t.id == *id));
        for target in targets {
            let config = EncoderConfig {
                codec: target.codec,
                size: target.size,
                bitrate: target.bitrate,
                fps: target.fps,
            };
            match self.encoders.get_mut(&target.id) {
                Some((old, encoder, _)) => {
                    encoder.set_rate(target.bitrate, target.fps);
                    if old.size != target.size {
                        encoder.set_size(target.size).expect("a size");
                    }
                    *old = target;
                }
                None => {
                    let encoder = Encoder::new(config).expect("an encoder");
                    self.encoders.insert(target.id, (target, encoder, None));
                }
            }
        }
    }

    fn film(&mut self, start: Instant, now: Instant) {
        self.number += 1;
        let mut camera = I420::new(CAMERA);
        self.test_picture.draw(&mut camera, now - start);
        stamp::stamp(&mut camera, self.number);
        let mut frames = Vec::new();
        for (id, (target, encoder, made)) in &mut self.encoders {
            let mut scaled = I420::new(target.size);
            Scaler::default().scale(&camera, &mut scaled);
            let keyframe = *made != Some(target.keyframes);
            let encoded = encoder
                .encode(&scaled, now - start, keyframe)
                .expect("it encodes");
            if let Some(encoded) = encoded {
                if encoded.keyframe {
                    *made = Some(target.keyframes);
                }
                let data: Arc<[u8]> = Arc::from(encoded.data);
                frames.push(EncodedVideo {
                    target: *id,
                    data,
                    keyframe: encoded.keyframe,
                    time: now - start,
                });
            }
        }
        for frame in frames {
            self.call.send_video(&frame, now);
        }
    }

    fn decode(&mut self, frame: &VideoFrame, at: Duration, now: Instant) {
        self.keyframes_in += usize::from(frame.keyframe);
        self.hold = frame.hold;
        if self
            .decoder
            .as_ref()
            .is_none_or(|(codec, _)| *codec != frame.codec)
        {
            self.decoder = Some((frame.codec, Decoder::new(frame.codec).expect("a decoder")));
        }
        let (_, decoder) = self.decoder.as_mut().expect("set just above");
        match decoder.decode(&frame.data, &mut self.pool) {
            Ok(Some(picture)) => self.seen.push((at, read(&picture))),
            _ => {
                let peers: Vec<_> = self.peers();
                for peer in peers {
                    self.call.want_keyframe(&peer, now);
                }
            }
        }
    }

    fn peers(&self) -> Vec<PeerId> {
        let met = |event: &Event| match event {
            Event::PeerJoined { peer, .. } => Some(peer.clone()),
            _ => None,
        };
        self.events.iter().filter_map(|(_, event)| met(event)).collect()
    }
}

fn read(picture: &Picture) -> Option<u32> {
    stamp::read(picture)
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
        let now = epoch();
        let to = |n: u64| line.seed(seed * 2 + n);
        Self {
            now,
            start: now,
            a: Side::new("ann", "10.0.0.1:1000", to(0), a, now),
            b: Side::new("bob", "10.0.0.2:2000", to(1), b, now),
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
        self.a.call.set_source(Some(CAMERA), now);
        self.b.call.set_source(Some(CAMERA), now);
        self.a.call.handle_server(welcome(&ann, vec![]), now);
        self.a
            .call
            .handle_server(ServerMessage::PeerJoined(bob.clone()), now);
        self.b.call.handle_server(welcome(&bob, vec![ann.clone()]), now);
        self.a.call.set_viewport(&bob.id, Size::new(160, 90), now);
        self.b.call.set_viewport(&ann.id, Size::new(160, 90), now);
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
            if now >= side.next_frame {
                side.next_frame = now + FRAME;
                if side.sends {
                    side.film(start, now);
                }
            }
            if now >= side.next_voice {
                side.next_voice = now + VOICE;
                side.voice_time += 960;
                let data: Arc<[u8]> = Arc::from(vec![1_u8; 60]);
                side.call.send_voice(&data, side.voice_time, now);
            }
            if side.call.poll_timeout().is_some_and(|at| at <= now) {
                side.call.handle_timeout(now);
            }
        }
        deliver(&mut self.a, now);
        deliver(&mut self.b, now);
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
                        if transmit.destination == to.address {
                            let bytes = transmit.contents.to_vec();
                            let (source, destination) = (transmit.source, transmit.destination);
                            to.line_in.handle_input(Input::Packet(
                                now,
                                Packet {
                                    source,
                                    destination,
                                    bytes,
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
                    Output::Targets(targets) => from.retarget(targets),
                    Output::Video { frame, .. } => from.decode(&frame, now - start, now),
                    Output::Voice { .. } => from.heard += 1,
                    Output::Event(event) => from.events.push((now - start, event)),
                }
            }
        }
    }
}

fn deliver(side: &mut Side, now: Instant) {
    side.line_in.handle_input(Input::Timeout(now));
    while let Some(output) = side.line_in.poll_output() {
        match output {
            NetemOutput::Packet(packet) if !side.is_gone => {
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
