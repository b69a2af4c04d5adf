//! One other person: a str0m [`Rtc`], its negotiation, its media, its data channel.
//!
//! str0m's rule is kept here: every mutation is followed by a drain of `poll_output` to its `Timeout`
//! before the next one. What comes out is queued as [`PeerOutput`].

mod config;
mod lines;
mod media;
mod negotiation;
mod outgoing;
mod path;
mod protect;
mod screen;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use str0m::bwe::BweKind;
use str0m::channel::ChannelId;
use str0m::media::{Mid, Pt};
use str0m::net::Transmit;
use str0m::{Candidate as IceCandidate, Event as RtcEvent, IceConnectionState, Input, Output, Rtc};

use self::lines::MediaLines;
use self::media::{Intakes, VideoStream};
use self::negotiation::{Asked, Change, Pending};
use self::outgoing::{Outgoing, Wish};
use self::protect::Protection;
use super::CallConfig;
use super::control::{self, Control, VideoKind};
use super::figures::{Figures, Meter};
use super::news::News;
use super::paths::Paths;
use super::rate::line::Line;
use crate::media::jitter::VoicePacket;
use crate::media::sync::LipSync;
use crate::media::video::VideoCodec;
use crate::signal::message::Body;
use crate::text::SafeText;
use crate::units::Bitrate;

pub use self::media::VideoFrame;
pub use self::negotiation::{Agreed, NegotiationError};

/// While a path is sought, so much time lies between two of ICE's checks (its Ta; RFC 8445, 14.2, allows no
/// less). At str0m's 50 ms the relay's turn comes after half a second of checks that lead nowhere.
const PACE: Duration = Duration::from_millis(5);

/// The most checks that are made up for after a late timer.
const MAX_CATCH_UP: u32 = 4;

/// A path is sought at this pace for so long after something new was learnt, and for so long after one was
/// found, while the choice is told and a better one may come up.
const HURRY: Duration = Duration::from_secs(3);
const SETTLE: Duration = Duration::from_millis(500);

/// So many messages wait for a channel that takes none; the newest of a kind that replaces an older one always
/// finds its place.
const MAX_UNSENT: usize = 256;

/// A drain that finds work due at once more often than this gives the loop back to the others.
const MAX_IMMEDIATE: usize = 64;

/// What a peer gives out.
#[derive(Debug)]
pub(super) enum PeerOutput {
    Transmit(Transmit),
    /// From a relayed address.
    Relay(Transmit),
    /// They may send from this address.
    Far(IpAddr),
    Signal(Body),
    News(News),
    Video(VideoFrame),
    Voice(VoicePacket),
    Figures(Box<Figures>),
}

pub(super) struct Peer {
    rtc: Rtc,
    codecs: Vec<VideoCodec>,
    max_bitrate: Option<Bitrate>,
    /// The offer that is out.
    pending: Option<Pending>,
    /// What is to be offered as soon as none is out.
    wanted: Vec<Change>,
    asked: Asked,
    /// The name of ICE's session in the last own offer.
    offered: Option<String>,
    described: bool,
    remote_session: Option<String>,
    remote_ufrag: Option<String>,
    early: Vec<IceCandidate>,
    remote_candidates: Vec<IceCandidate>,
    /// The own addresses that are relays'.
    relayed: Vec<SocketAddr>,
    /// All own candidates are known.
    gathered: bool,
    /// The own addresses as the far ends see them: theirs, the own, and what they see.
    mappings: Vec<(SocketAddr, SocketAddr, SocketAddr)>,
    /// The other side's media lines.
    lines: MediaLines,
    /// By these lines own voice and pictures go.
    audio: Option<Mid>,
    video: Option<Mid>,
    intakes: Intakes,
    /// What they call the lines of their pictures.
    named: Vec<(Mid, VideoKind)>,
    /// What they say of a screen, and whether there is one.
    said_screen: Option<bool>,
    has_screen: bool,
    channel: Option<ChannelId>,
    agreed: Agreed,
    audio_pt: Option<Pt>,
    protection: Protection,
    lips: LipSync,
    video_pt: Option<Pt>,
    video_stream: VideoStream,
    connected: bool,
    path: Option<(SocketAddr, SocketAddr)>,
    timeout: Instant,
    /// The next check is due, and checks are made at [`PACE`] until then.
    hurry: Option<(Instant, Instant)>,
    /// Messages that the channel's buffer had no room for.
    unsent: Vec<Control>,
    line: Line,
    outgoing: Outgoing,
    /// What the estimate is to be told with the next timeout.
    wish: Option<Wish>,
    meter: Meter,
    out: VecDeque<PeerOutput>,
}

impl Peer {
    /// A peer reachable by these paths, able to send and receive the codecs of `config`, best first.
    pub(super) fn new(config: &CallConfig, paths: &Paths, now: Instant) -> Self {
        let mut peer = Self {
            rtc: config::config(&config.codecs).build(now),
            codecs: config.codecs.clone(),
            max_bitrate: config.max_bitrate,
            pending: None,
            wanted: Vec::new(),
            asked: Asked::default(),
            offered: None,
            described: false,
            remote_session: None,
            remote_ufrag: None,
            early: Vec::new(),
            remote_candidates: Vec::new(),
            relayed: Vec::new(),
            gathered: paths.is_complete(),
            mappings: Vec::new(),
            lines: MediaLines::default(),
            audio: None,
            video: None,
            intakes: Intakes::default(),
            named: Vec::new(),
            said_screen: None,
            has_screen: false,
            channel: None,
            agreed: Agreed::default(),
            audio_pt: None,
            protection: Protection::default(),
            lips: LipSync::default(),
            video_pt: None,
            video_stream: VideoStream::Unknown,
            connected: false,
            path: None,
            timeout: now,
            hurry: None,
            unsent: Vec::new(),
            line: Line::default(),
            outgoing: Outgoing::default(),
            wish: None,
            meter: Meter::new(now),
            out: VecDeque::new(),
        };
        for candidate in paths.candidates() {
            peer.note_relayed(candidate);
            peer.rtc.add_local_candidate(candidate.clone());
        }
        peer.drain(now);
        peer
    }

    /// The packet is for this peer.
    pub(super) fn accepts(&self, packet: &Input<'_>) -> bool {
        self.rtc.accepts(packet)
    }

    /// Takes a packet that these bytes are. What is malformed or forged is dropped by str0m.
    pub(super) fn handle_packet(&mut self, packet: Input<'_>, bytes: &[u8], now: Instant) {
        self.meter.received(bytes.len(), is_media(bytes), now);
        if let Err(error) = self.rtc.handle_input(packet) {
            tracing::debug!(%error, "a packet was refused");
        }
        self.drain(now);
    }

    /// When [`Peer::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Instant {
        let check = self.hurry.map(|(next, _)| next);
        let clocks = [self.intakes.poll_timeout(), check, self.outgoing.poll_timeout()];
        let clocks = clocks.into_iter().flatten();
        clocks.fold(self.timeout, Instant::min)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.ask_for_keyframes(now);
        for message in std::mem::take(&mut self.unsent) {
            self.send_control(&message, now);
        }
        self.send_later(now);
        self.grant_wish(now);
        if now >= self.timeout {
            self.tick(now);
        }
        self.check(now);
    }

    fn tick(&mut self, now: Instant) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            tracing::debug!(%error, "a timeout failed");
        }
        self.drain(now);
    }

    /// Something that a path may come of was learnt: it is tried soon.
    pub(super) fn hurry(&mut self, now: Instant) {
        let next = self.hurry.map_or(now, |(next, _)| next);
        self.hurry = Some((next, now + HURRY));
    }

    /// Each turn of str0m's clock makes one of ICE's checks, if one is due.
    fn check(&mut self, now: Instant) {
        for _ in 0..MAX_CATCH_UP {
            let Some((next, until)) = self.hurry.filter(|(next, _)| *next <= now) else {
                return;
            };
            self.hurry = (now < until).then_some((next + PACE, until));
            self.tick(now);
        }
        if let Some((next, _)) = &mut self.hurry {
            *next = (*next).max(now);
        }
    }

    /// The next thing to come out.
    pub(super) fn poll_output(&mut self) -> Option<PeerOutput> {
        self.out.pop_front()
    }

    /// They switched their camera off: the gap that follows is no freeze, and no key frame is missed.
    pub(super) fn picture_pauses(&mut self) {
        self.meter.picture_pauses();
        self.intakes.camera.pause();
    }

    /// What is sent to them.
    pub(super) fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// str0m goes on with it.
    pub(super) fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    /// ICE and DTLS are up.
    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// When something last came from them.
    pub(super) fn last_heard(&self) -> Instant {
        self.meter.last_heard()
    }

    /// The data channel is open.
    pub(super) fn is_talking(&self) -> bool {
        self.channel.is_some()
    }

    /// The lines of chat that are still to be sent.
    pub(super) fn unsaid(self) -> impl Iterator<Item = SafeText> {
        self.unsent.into_iter().filter_map(|message| match message {
            Control::Chat { text } => Some(text),
            _ => None,
        })
    }

    /// Sends a message on the data channel, if it is open.
    pub(super) fn send_control(&mut self, message: &Control, now: Instant) {
        let Some(mut channel) = self.channel.and_then(|id| self.rtc.channel(id)) else {
            return;
        };
        // The newest of a kind is the one that counts.
        self.unsent.retain(|waiting| !waiting.is_replaced_by(message));
        if !self.unsent.is_empty() {
            // In their order.
            if self.unsent.len() < MAX_UNSENT {
                self.unsent.push(message.clone());
            }
            return;
        }
        match channel.write(false, &message.to_bytes()) {
            Ok(true) => {}
            Ok(false) => self.unsent.push(message.clone()),
            Err(error) => tracing::debug!(%error, "a control message was not sent"),
        }
        self.drain(now);
    }

    /// Everything out, to str0m's `Timeout`; a timeout that is due is given back at once.
    fn drain(&mut self, now: Instant) {
        let mut immediate = 0;
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.timeout = at;
                    immediate += 1;
                    if at > now || !self.rtc.is_alive() || immediate > MAX_IMMEDIATE {
                        return self.watch(now);
                    }
                    if self.rtc.handle_input(Input::Timeout(now)).is_err() {
                        return;
                    }
                }
                Ok(Output::Transmit(transmit)) => {
                    if self.outgoing.left(&transmit, self.video_pt, now) {
                        if is_media(&transmit.contents) {
                            self.path = Some((transmit.source, transmit.destination));
                        }
                        self.emit(transmit);
                    }
                }
                Ok(Output::Event(event)) => self.handle_event(event, now),
                Err(error) => {
                    tracing::debug!(%error, "the connection ended");
                    let why = SafeText::new(&error.to_string(), 120).as_str().to_owned();
                    self.out.push_back(PeerOutput::News(News::Broken(why)));
                    return;
                }
            }
        }
    }

    fn emit(&mut self, transmit: Transmit) {
        self.meter.sent(transmit.contents.len());
        let is_relayed = self.relayed.contains(&transmit.source);
        self.out.push_back(match is_relayed {
            true => PeerOutput::Relay(transmit),
            false => PeerOutput::Transmit(transmit),
        });
    }

    fn handle_event(&mut self, event: RtcEvent, now: Instant) {
        match event {
            RtcEvent::Connected => {
                self.connected = true;
                self.agree();
                self.out.push_back(PeerOutput::News(News::Connected));
            }
            RtcEvent::IceConnectionStateChange(IceConnectionState::Connected) => {
                self.hurry = self.hurry.map(|(next, until)| (next, until.min(now + SETTLE)));
            }
            RtcEvent::IceConnectionStateChange(IceConnectionState::Disconnected) | RtcEvent::Closed => {
                self.out.push_back(PeerOutput::News(News::Disconnected));
            }
            RtcEvent::MediaAdded(_) => self.agree(),
            RtcEvent::MediaData(media) => self.handle_media(media, now),
            RtcEvent::ChannelOpen(id, label) if label == control::LABEL => {
                self.channel = Some(id);
                self.out.push_back(PeerOutput::News(News::ChannelOpen));
            }
            RtcEvent::ChannelData(data) if Some(data.id) == self.channel => {
                if let Some(message) = Control::parse(&data.data) {
                    self.out.push_back(PeerOutput::News(News::Control(message)));
                }
            }
            RtcEvent::ChannelClose(id) if Some(id) == self.channel => self.channel = None,
            RtcEvent::KeyframeRequest(_) => self.out.push_back(PeerOutput::News(News::KeyframeWanted)),
            RtcEvent::EgressBitrateEstimate(BweKind::Twcc { estimate, .. }) => {
                self.line.set_estimate(Bitrate(estimate.as_u64()));
                self.out.push_back(PeerOutput::News(News::Line));
            }
            RtcEvent::PeerStats(stats) => {
                self.meter.look(stats.ingress_loss_fraction);
                if self.look(&stats, now) {
                    let mut figures = self.meter.figures(&stats, now);
                    self.protect(&figures);
                    figures.protected = self.protected();
                    self.out.push_back(PeerOutput::Figures(Box::new(figures)));
                }
            }
            RtcEvent::MediaEgressStats(stats) => self.meter.set_egress(stats.rtt),
            RtcEvent::MediaIngressStats(stats) => self.meter.set_ingress(stats.loss),
            _ => {}
        }
    }
}

/// DTLS, RTP or RTCP, and not STUN (RFC 7983).
fn is_media(packet: &[u8]) -> bool {
    packet.first().is_some_and(|byte| *byte >= 20)
}

#[cfg(test)]
mod tests;
