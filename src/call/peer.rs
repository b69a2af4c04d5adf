//! One other person: a str0m [`Rtc`], its negotiation, its media, its data channel.
//!
//! str0m's rule is kept here: every mutation is followed by a drain of `poll_output` to its `Timeout`
//! before the next one. What comes out is queued as [`PeerOutput`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::bwe::BweKind;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::format::{Codec, FormatParams};
use str0m::media::{Direction, Frequency, KeyframeRequestKind, MediaData, MediaKind, MediaTime, Mid, Pt};
use str0m::net::Transmit;
use str0m::{
    Candidate as IceCandidate, Event as RtcEvent, IceConnectionState, Input, Output, Rtc, RtcConfig,
};

use super::control::{self, Control};
use super::figures::Meter;
use crate::media::jitter::VoicePacket;
use crate::media::video::VideoCodec;
use crate::signal::message::{Body, Candidate, Description};
use crate::units::Bitrate;

/// Where the bandwidth estimate begins: enough for a terminal's picture, little enough for a weak line.
const FIRST_ESTIMATE: str0m::bwe::Bitrate = str0m::bwe::Bitrate::kbps(300);

/// How long and how many sent packets are kept to be sent again. The share of repeated packets is not
/// capped: str0m's 15 % freezes the picture at 10 % loss, and the bandwidth estimate bounds it anyway.
const RESEND_PACKETS: usize = 1024;
const RESEND_AGE: Duration = Duration::from_secs(3);

/// Key frames are asked for at most so often.
const PLI_INTERVAL: Duration = Duration::from_millis(300);

/// A drain that finds work due at once more often than this gives the loop back to the others.
const MAX_IMMEDIATE: usize = 64;

/// Candidates kept until the description is there.
const MAX_EARLY: usize = 64;

/// An encoded picture that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFrame {
    /// Its codec.
    pub codec: VideoCodec,
    /// The codec's bytes.
    pub data: Arc<[u8]>,
    /// It needs no picture before it.
    pub keyframe: bool,
    /// RTP time, 90 kHz, extended.
    pub time: u64,
}

/// What a peer gives out.
#[derive(Debug)]
pub(super) enum PeerOutput {
    Transmit(Transmit),
    Signal(Body),
    Connected,
    Disconnected,
    ChannelOpen,
    Control(Control),
    KeyframeWanted,
    Estimate(Bitrate),
    Video(VideoFrame),
    Voice(VoicePacket),
    Figures(Box<super::figures::Figures>),
}

/// What the two sides agreed to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The codec sent to them.
    pub video: Option<VideoCodec>,
    /// Opus is sent.
    pub audio: bool,
}

/// Something about a description that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NegotiationError {
    /// Not an SDP that str0m reads.
    #[error("the description cannot be read: {0}")]
    Unreadable(String),
    /// An answer to nothing.
    #[error("an answer came that nobody waits for")]
    Unexpected,
    /// An offer or an answer that does not fit.
    #[error("the description does not fit: {0}")]
    Refused(String),
}

pub(super) struct Peer {
    rtc: Rtc,
    codecs: Vec<VideoCodec>,
    pending: Option<SdpPendingOffer>,
    described: bool,
    remote_session: Option<String>,
    early: Vec<IceCandidate>,
    remote_candidates: Vec<IceCandidate>,
    audio: Option<Mid>,
    video: Option<Mid>,
    channel: Option<ChannelId>,
    agreed: Agreed,
    audio_pt: Option<Pt>,
    video_pt: Option<Pt>,
    connected: bool,
    path: Option<(SocketAddr, SocketAddr)>,
    timeout: Instant,
    last_pli: Option<Instant>,
    pli_wanted: bool,
    needs_keyframe: bool,
    meter: Meter,
    out: VecDeque<PeerOutput>,
}

impl Peer {
    /// A peer with these local host addresses, able to send and receive `codecs`, best first.
    pub(super) fn new(codecs: &[VideoCodec], addresses: &[SocketAddr], now: Instant) -> Self {
        let mut peer = Self {
            rtc: config(codecs).build(now),
            codecs: codecs.to_vec(),
            pending: None,
            described: false,
            remote_session: None,
            early: Vec::new(),
            remote_candidates: Vec::new(),
            audio: None,
            video: None,
            channel: None,
            agreed: Agreed::default(),
            audio_pt: None,
            video_pt: None,
            connected: false,
            path: None,
            timeout: now,
            last_pli: None,
            pli_wanted: false,
            needs_keyframe: false,
            meter: Meter::new(now),
            out: VecDeque::new(),
        };
        for address in addresses {
            if let Ok(candidate) = IceCandidate::host(*address, "udp") {
                peer.rtc.add_local_candidate(candidate);
            }
        }
        peer.drain(now);
        peer
    }

    /// Makes the offer of a caller: voice, picture, data channel. The candidates known now are in it.
    pub(super) fn call(&mut self, now: Instant) {
        let stream = || Some("camera".to_owned());
        let mut changes = self.rtc.sdp_api();
        let audio = changes.add_media(MediaKind::Audio, Direction::SendRecv, stream(), None, None);
        let video = changes.add_media(MediaKind::Video, Direction::SendRecv, stream(), None, None);
        changes.add_channel(control::LABEL.to_owned());
        let (offer, pending) = changes.apply().expect("new media needs an offer");
        (self.audio, self.video, self.pending) = (Some(audio), Some(video), Some(pending));
        let description = Description {
            kind: "offer".into(),
            sdp: offer.to_sdp_string(),
        };
        self.out
            .push_back(PeerOutput::Signal(Body::Description(description)));
        self.out.push_back(PeerOutput::Signal(Body::Candidate(None)));
        self.drain(now);
    }

    /// An offer is out and not answered.
    pub(super) fn is_offering(&self) -> bool {
        self.pending.is_some()
    }

    /// Both descriptions are there.
    pub(super) fn is_described(&self) -> bool {
        self.described
    }

    /// The offer is of another session than the one that this peer talks with.
    pub(super) fn is_other_session(&self, sdp: &str) -> bool {
        self.remote_session.is_some() && self.remote_session.as_deref() != session_of(sdp)
    }

    /// Takes an offer and answers it. An own offer that is out is withdrawn.
    pub(super) fn accept_offer(&mut self, sdp: &str, now: Instant) -> Result<(), NegotiationError> {
        let offer =
            SdpOffer::from_sdp_string(sdp).map_err(|e| NegotiationError::Unreadable(e.to_string()))?;
        if self.pending.take().is_some() && !self.described {
            (self.audio, self.video) = (None, None);
        }
        let result = self.rtc.sdp_api().accept_offer(offer);
        self.drain(now);
        let answer = result.map_err(|e| NegotiationError::Refused(e.to_string()))?;
        self.described(sdp, now);
        let description = Description {
            kind: "answer".into(),
            sdp: answer.to_sdp_string(),
        };
        self.out
            .push_back(PeerOutput::Signal(Body::Description(description)));
        self.out.push_back(PeerOutput::Signal(Body::Candidate(None)));
        Ok(())
    }

    /// Takes the answer to the offer that is out.
    pub(super) fn accept_answer(&mut self, sdp: &str, now: Instant) -> Result<(), NegotiationError> {
        let answer =
            SdpAnswer::from_sdp_string(sdp).map_err(|e| NegotiationError::Unreadable(e.to_string()))?;
        let pending = self.pending.take().ok_or(NegotiationError::Unexpected)?;
        let result = self.rtc.sdp_api().accept_answer(pending, answer);
        self.drain(now);
        result.map_err(|e| NegotiationError::Refused(e.to_string()))?;
        self.described(sdp, now);
        Ok(())
    }

    /// Takes a candidate; one that comes before the description is kept. One that cannot be read (a
    /// browser's `.local` name, a scoped address) is passed over: the other side reaches us all the same.
    pub(super) fn add_remote_candidate(&mut self, candidate: &Candidate, now: Instant) {
        let Ok(candidate) = IceCandidate::from_sdp_string(&candidate.candidate) else {
            return;
        };
        if !self.described {
            if self.early.len() < MAX_EARLY {
                self.early.push(candidate);
            }
            return;
        }
        self.remote_candidates.push(candidate.clone());
        self.rtc.add_remote_candidate(candidate);
        self.drain(now);
    }

    /// A local address came up: it is tried, and told to the other side.
    pub(super) fn add_local_address(&mut self, address: SocketAddr, now: Instant) {
        let Ok(candidate) = IceCandidate::host(address, "udp") else {
            return;
        };
        let Some(added) = self.rtc.add_local_candidate(candidate) else {
            return;
        };
        let candidate = Candidate {
            candidate: added.to_sdp_string(),
            ..Candidate::default()
        };
        self.drain(now);
        self.out
            .push_back(PeerOutput::Signal(Body::Candidate(Some(candidate))));
    }

    /// The packet is for this peer.
    pub(super) fn accepts(&self, packet: &Input<'_>) -> bool {
        self.rtc.accepts(packet)
    }

    /// Takes a packet of so many bytes. What is malformed or forged is dropped by str0m.
    pub(super) fn handle_packet(&mut self, packet: Input<'_>, bytes: usize, now: Instant) {
        self.meter.received(bytes, now);
        if let Err(error) = self.rtc.handle_input(packet) {
            tracing::debug!(%error, "a packet was refused");
        }
        self.drain(now);
    }

    /// When [`Peer::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Instant {
        match self.last_pli {
            Some(last) if self.pli_wanted => self.timeout.min(last + PLI_INTERVAL),
            _ => self.timeout,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.pli_wanted && self.last_pli.is_none_or(|last| now >= last + PLI_INTERVAL) {
            self.request_keyframe(now);
        }
        if now >= self.timeout {
            if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
                tracing::debug!(%error, "a timeout failed");
            }
            self.drain(now);
        }
    }

    /// The next thing to come out.
    pub(super) fn poll_output(&mut self) -> Option<PeerOutput> {
        self.out.pop_front()
    }

    /// They switched their camera: the gap that follows is no freeze.
    pub(super) fn picture_pauses(&mut self) {
        self.meter.picture_pauses();
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

    /// The kinds of the two ends of the path: `host`, `srflx`, `prflx`, `relay`.
    pub(super) fn path_kinds(&self) -> (&'static str, &'static str) {
        let remote = self
            .path
            .and_then(|(_, to)| self.remote_candidates.iter().find(|c| c.addr() == to));
        let kind = remote.map_or("prflx", |candidate| match candidate.kind() {
            str0m::CandidateKind::Host => "host",
            str0m::CandidateKind::PeerReflexive => "prflx",
            str0m::CandidateKind::ServerReflexive => "srflx",
            str0m::CandidateKind::Relayed => "relay",
        });
        ("host", kind)
    }

    /// Sends an encoded picture; `time` since the call's start.
    pub(super) fn send_video(&mut self, data: &Arc<[u8]>, time: Duration, now: Instant) {
        let (Some(mid), Some(pt), true) = (self.video, self.video_pt, self.connected) else {
            return;
        };
        let Some(writer) = self.rtc.writer(mid) else {
            return;
        };
        let time = MediaTime::new((time.as_nanos() * 9 / 100_000) as u64, Frequency::NINETY_KHZ);
        match writer.write(pt, now, time, Arc::clone(data)) {
            Ok(()) => self.meter.sent_picture(),
            Err(error) => tracing::debug!(%error, "a picture was not sent"),
        }
        self.drain(now);
    }

    /// Sends an Opus packet; `time` in samples at 48 kHz.
    pub(super) fn send_voice(&mut self, data: &Arc<[u8]>, time: u64, now: Instant) {
        let (Some(mid), Some(pt), true) = (self.audio, self.audio_pt, self.connected) else {
            return;
        };
        let Some(writer) = self.rtc.writer(mid) else {
            return;
        };
        let time = MediaTime::new(time, Frequency::FORTY_EIGHT_KHZ);
        if let Err(error) = writer.write(pt, now, time, Arc::clone(data)) {
            tracing::debug!(%error, "a voice packet was not sent");
        }
        self.drain(now);
    }

    /// Sends a message on the data channel, if it is open.
    pub(super) fn send_control(&mut self, message: &Control, now: Instant) {
        let Some(mut channel) = self.channel.and_then(|id| self.rtc.channel(id)) else {
            return;
        };
        if let Err(error) = channel.write(false, &message.to_bytes()) {
            tracing::debug!(%error, "a control message was not sent");
        }
        self.drain(now);
    }

    /// Says what the sender would like to use, so that the line is probed for it.
    pub(super) fn set_desired_bitrate(&mut self, bitrate: Bitrate, now: Instant) {
        let desired = str0m::bwe::Bitrate::from(bitrate.0);
        self.rtc.bwe().set_bitrate(str0m::bwe::Bitrate::ZERO, desired);
        self.drain(now);
    }

    /// The decoder lost its way: the sender is asked for a key frame, at most once in 300 ms, and what
    /// comes before it is not handed on.
    pub(super) fn want_keyframe(&mut self, now: Instant) {
        self.needs_keyframe = true;
        self.pli_wanted = true;
        if self.last_pli.is_none_or(|last| now >= last + PLI_INTERVAL) {
            self.request_keyframe(now);
        }
    }

    fn request_keyframe(&mut self, now: Instant) {
        self.last_pli = Some(now);
        self.pli_wanted = self.needs_keyframe;
        let Some(mut writer) = self.video.and_then(|mid| self.rtc.writer(mid)) else {
            return;
        };
        if writer.is_request_keyframe_possible(KeyframeRequestKind::Pli)
            && let Err(error) = writer.request_keyframe(None, KeyframeRequestKind::Pli)
        {
            tracing::debug!(%error, "no key frame could be asked for");
        }
        self.drain(now);
    }

    /// After both descriptions: kept candidates are tried, and what can be sent is looked up.
    fn described(&mut self, sdp: &str, now: Instant) {
        self.described = true;
        self.remote_session = session_of(sdp).map(str::to_owned);
        for line in sdp.lines().filter_map(|line| line.strip_prefix("a=")) {
            if let Ok(candidate) = IceCandidate::from_sdp_string(line) {
                self.remote_candidates.push(candidate);
            }
        }
        for candidate in std::mem::take(&mut self.early) {
            self.remote_candidates.push(candidate.clone());
            self.rtc.add_remote_candidate(candidate);
            self.drain(now);
        }
        self.agree();
    }

    fn agree(&mut self) {
        self.audio_pt = self.audio.and_then(|mid| {
            let writer = self.rtc.writer(mid)?;
            writer
                .payload_params()
                .find(|p| p.spec().codec == Codec::Opus)
                .map(|p| p.pt())
        });
        let video = self.video.and_then(|mid| {
            let codecs = self.codecs.clone();
            let writer = self.rtc.writer(mid)?;
            let offered: Vec<_> = writer
                .payload_params()
                .map(|p| (p.spec().codec, p.pt()))
                .collect();
            codecs.into_iter().find_map(|codec| {
                offered
                    .iter()
                    .find(|(c, _)| *c == to_str0m(codec))
                    .map(|(_, pt)| (codec, *pt))
            })
        });
        self.video_pt = video.map(|(_, pt)| pt);
        if let Some(mid) = self.video
            && let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(mid, None)
        {
            stream.set_rtx_cache(RESEND_PACKETS, RESEND_AGE, None);
        }
        self.agreed = Agreed {
            video: video.map(|(codec, _)| codec),
            audio: self.audio_pt.is_some(),
        };
    }

    /// Everything out, to str0m's `Timeout`; a timeout that is due is given back at once.
    fn drain(&mut self, now: Instant) {
        for _ in 0..MAX_IMMEDIATE {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.timeout = at;
                    if at > now || !self.rtc.is_alive() {
                        return;
                    }
                    if self.rtc.handle_input(Input::Timeout(now)).is_err() {
                        return;
                    }
                }
                Ok(Output::Transmit(transmit)) => {
                    self.meter.sent(transmit.contents.len());
                    if transmit.contents.first().is_some_and(|byte| *byte >= 20) {
                        self.path = Some((transmit.source, transmit.destination));
                    }
                    self.out.push_back(PeerOutput::Transmit(transmit));
                }
                Ok(Output::Event(event)) => self.handle_event(event, now),
                Err(error) => {
                    tracing::debug!(%error, "the connection ended");
                    self.out.push_back(PeerOutput::Disconnected);
                    return;
                }
            }
        }
    }

    fn handle_event(&mut self, event: RtcEvent, now: Instant) {
        match event {
            RtcEvent::Connected => {
                self.connected = true;
                self.agree();
                self.out.push_back(PeerOutput::Connected);
            }
            RtcEvent::IceConnectionStateChange(IceConnectionState::Disconnected) | RtcEvent::Closed => {
                self.out.push_back(PeerOutput::Disconnected);
            }
            // The media of an offer are announced only now, when SRTP is up.
            RtcEvent::MediaAdded(media) => {
                match media.kind {
                    MediaKind::Audio => self.audio = self.audio.or(Some(media.mid)),
                    MediaKind::Video => self.video = self.video.or(Some(media.mid)),
                }
                self.agree();
            }
            RtcEvent::MediaData(media) => self.handle_media(media, now),
            RtcEvent::ChannelOpen(id, label) if label == control::LABEL => {
                self.channel = Some(id);
                self.out.push_back(PeerOutput::ChannelOpen);
            }
            RtcEvent::ChannelData(data) if Some(data.id) == self.channel => {
                if let Some(message) = Control::parse(&data.data) {
                    self.out.push_back(PeerOutput::Control(message));
                }
            }
            RtcEvent::ChannelClose(id) if Some(id) == self.channel => self.channel = None,
            RtcEvent::KeyframeRequest(_) => self.out.push_back(PeerOutput::KeyframeWanted),
            RtcEvent::EgressBitrateEstimate(BweKind::Twcc { estimate, .. }) => {
                let estimate = Bitrate(estimate.as_u64());
                self.meter.set_estimate(estimate);
                self.out.push_back(PeerOutput::Estimate(estimate));
            }
            RtcEvent::PeerStats(stats) => {
                let figures = self.meter.figures(&stats, now);
                self.out.push_back(PeerOutput::Figures(Box::new(figures)));
            }
            RtcEvent::MediaEgressStats(stats) => self.meter.set_egress(stats.loss, stats.rtt),
            RtcEvent::MediaIngressStats(stats) => self.meter.set_ingress(stats.loss),
            _ => {}
        }
    }

    fn handle_media(&mut self, media: MediaData, now: Instant) {
        let codec = match media.params.spec().codec {
            Codec::Opus => {
                let (seq, time) = (**media.seq_range.start(), media.time.numer());
                let packet = VoicePacket {
                    seq,
                    time,
                    data: media.data,
                    arrived: media.network_time,
                };
                self.out.push_back(PeerOutput::Voice(packet));
                return;
            }
            Codec::Vp8 => VideoCodec::Vp8,
            Codec::Vp9 => VideoCodec::Vp9,
            _ => return,
        };
        let keyframe = media.is_keyframe();
        self.meter.received_picture(keyframe, now);
        if keyframe {
            (self.needs_keyframe, self.pli_wanted) = (false, false);
        } else if !media.contiguous {
            self.want_keyframe_from_event();
        }
        if self.needs_keyframe {
            return;
        }
        let frame = VideoFrame {
            codec,
            data: media.data,
            keyframe,
            time: media.time.numer(),
        };
        self.out.push_back(PeerOutput::Video(frame));
    }

    /// Inside a drain nothing is written: the request goes out with the next timeout.
    fn want_keyframe_from_event(&mut self) {
        self.needs_keyframe = true;
        self.pli_wanted = true;
        if self.last_pli.is_none() {
            // Due at once: `poll_timeout` looks back from here.
            self.last_pli = Some(self.timeout.checked_sub(PLI_INTERVAL).unwrap_or(self.timeout));
        }
    }
}

fn config(codecs: &[VideoCodec]) -> RtcConfig {
    let mut config = RtcConfig::new()
        .clear_codecs()
        .enable_opus(true, false)
        .enable_bwe(Some(FIRST_ESTIMATE))
        .set_reordering_size_audio(0)
        .set_stats_interval(Some(Duration::from_secs(1)));
    for codec in codecs {
        let (pt, rtx, format) = match codec {
            VideoCodec::Vp9 => (
                98,
                99,
                FormatParams {
                    profile_id: Some(0),
                    ..FormatParams::default()
                },
            ),
            VideoCodec::Vp8 => (96, 97, FormatParams::default()),
        };
        config.codec_config().add_config(
            pt.into(),
            Some(rtx.into()),
            to_str0m(*codec),
            Frequency::NINETY_KHZ,
            None,
            format,
        );
    }
    config
}

fn to_str0m(codec: VideoCodec) -> Codec {
    match codec {
        VideoCodec::Vp9 => Codec::Vp9,
        VideoCodec::Vp8 => Codec::Vp8,
    }
}

/// The session's identifier: the second field of SDP's `o=` line (RFC 8866, 5.2).
fn session_of(sdp: &str) -> Option<&str> {
    let origin = sdp.lines().find_map(|line| line.strip_prefix("o="))?;
    origin.split_ascii_whitespace().nth(1)
}
