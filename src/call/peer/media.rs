//! The media of a peer: pictures and voice out and in, and the requests for key frames.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use str0m::format::Codec;
use str0m::media::{Frequency, KeyframeRequestKind, MediaData, MediaKind, MediaTime, Mid};
use str0m::rtp::Ssrc;

use super::{Peer, PeerOutput};
use crate::call::control::VideoKind;
use crate::media::jitter::VoicePacket;
use crate::media::sync::Report;
use crate::media::video::VideoCodec;
use crate::units::Bitrate;

/// Key frames are asked for at most so often; where none comes, after a round trip more and twice as long.
pub(super) const PLI_INTERVAL: Duration = Duration::from_millis(300);
const PLI_AT_MOST: Duration = Duration::from_millis(2400);

/// How long and how many sent packets are kept to be sent again. The share of repeated packets is not
/// capped, but for a clogged line: str0m's 15 % freezes the picture at 10 % loss.
const RESEND_PACKETS: usize = 1024;
const RESEND_AGE: Duration = Duration::from_secs(3);

/// A line that is to be used for less than this is not filled up with padding to 50 kbit/s: its pictures
/// are not sent again either, since str0m does neither or both.
const FILLED_FROM: Bitrate = Bitrate::kbps(60);

/// How old a voice packet's first sample is when it is sent: its own 20 ms, and what cleaning takes.
const VOICE_AGE: Duration = Duration::from_millis(37);

/// The stream of pictures out: str0m fills up with padding whatever could carry some, to 50 kbit/s and
/// in tiny packets. So it is given the stream with the first picture, and who has no camera sends none.
#[derive(Clone, Copy, Debug)]
pub(super) enum VideoStream {
    /// Nothing is negotiated.
    Unknown,
    /// Taken back from str0m until there is a picture: its SSRC, and that of its retransmissions.
    Held(Ssrc, Option<Ssrc>),
    /// Pictures flow.
    Open,
    /// The line does not carry any: str0m has a stream that it cannot fill up.
    Off,
}

/// One of their pictures as it comes: by which line, and the key frames that are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Intake {
    pub(super) mid: Option<Mid>,
    last_pli: Option<Instant>,
    pli_due: Option<Instant>,
    pli_wait: Duration,
    needs_keyframe: bool,
}

impl Intake {
    /// What comes by that line from now on.
    pub(super) fn by(mid: Option<Mid>) -> Self {
        Self {
            mid,
            ..Self::default()
        }
    }

    /// The gap that follows is none in which something is missed.
    pub(super) fn pause(&mut self) {
        (self.needs_keyframe, self.pli_due, self.pli_wait) = (false, None, Duration::ZERO);
    }

    fn plan_pli(&mut self, now: Instant) {
        self.needs_keyframe = true;
        let due = self.last_pli.map_or(now, |last| now.max(last + PLI_INTERVAL));
        self.pli_due.get_or_insert(due);
    }

    fn is_due(&self, now: Instant) -> bool {
        self.pli_due.is_some_and(|due| now >= due)
    }
}

/// Both of their pictures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Intakes {
    pub(super) camera: Intake,
    pub(super) screen: Intake,
}

impl Intakes {
    fn of(&mut self, kind: VideoKind) -> &mut Intake {
        match kind {
            VideoKind::Camera => &mut self.camera,
            VideoKind::Screen => &mut self.screen,
        }
    }

    fn kind_of(&self, mid: Mid) -> Option<VideoKind> {
        match Some(mid) {
            mid if mid == self.camera.mid => Some(VideoKind::Camera),
            mid if mid == self.screen.mid => Some(VideoKind::Screen),
            _ => None,
        }
    }

    /// When a key frame is to be asked for next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.camera.pli_due, self.screen.pli_due]
            .into_iter()
            .flatten()
            .min()
    }
}

/// An encoded picture that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFrame {
    /// Which of their pictures.
    pub kind: VideoKind,
    /// Its codec.
    pub codec: VideoCodec,
    /// The codec's bytes.
    pub data: Arc<[u8]>,
    /// It needs no picture before it.
    pub keyframe: bool,
    /// RTP time, 90 kHz, extended.
    pub time: u64,
    /// To be shown so much later, with the voice.
    pub hold: Duration,
}

/// When what arrived was captured, by the sender's wall clock; known once a sender report has come.
fn captured(media: &MediaData) -> Option<f64> {
    let info = media.last_sender_info?;
    let report = Report {
        wall: info.ntp_time.duration_since(UNIX_EPOCH).ok()?.as_secs_f64(),
        rtp: info.rtp_time.numer(),
    };
    let rate = media.time.frequency().get();
    Some(report.captured(media.time.numer(), rate))
}

impl Peer {
    /// The voice of this person takes so long at present from its arrival to the ear. Returns for how long
    /// it ought to be held back at least, to wait for the pictures.
    pub(in crate::call) fn set_voice_delay(&mut self, delay: Option<Duration>) -> Duration {
        self.lips.set_delay(delay);
        self.lips.floor()
    }

    /// Sends an encoded picture; `time` since the call's start.
    pub(in crate::call) fn send_video(&mut self, data: &Arc<[u8]>, time: Duration, now: Instant) {
        let (Some(mid), Some(pt), true) = (self.video, self.video_pt, self.connected) else {
            return;
        };
        self.open_video(mid);
        let Some(writer) = self.rtc.writer(mid) else {
            return;
        };
        let time = MediaTime::new((time.as_nanos() * 9 / 100_000) as u64, Frequency::NINETY_KHZ);
        match writer.write(pt, now, time, Arc::clone(data)) {
            Ok(()) => {
                self.meter.sent_picture();
                self.outgoing.wrote(now);
            }
            Err(error) => tracing::debug!(%error, "a picture was not sent"),
        }
        self.drain(now);
    }

    /// Takes the stream of pictures back from str0m until the first one; with each negotiation str0m makes
    /// another one, and one for each further line that the other side would take pictures by.
    pub(super) fn hold_video(&mut self) {
        let lines: Vec<Mid> = self
            .lines
            .of_kind(MediaKind::Video)
            .map(|line| line.mid)
            .collect();
        for mid in lines {
            let is_own = self.video == Some(mid);
            if is_own && matches!(self.video_stream, VideoStream::Open) {
                continue;
            }
            let mut api = self.rtc.direct_api();
            let Some(stream) = api.stream_tx_by_mid(mid, None) else {
                continue;
            };
            let (ssrc, rtx) = (stream.ssrc(), stream.rtx());
            api.remove_stream_tx(ssrc);
            if is_own {
                self.video_stream = VideoStream::Held(ssrc, rtx);
            }
        }
    }

    fn open_video(&mut self, mid: Mid) {
        let filled = self.is_filled();
        let mut api = self.rtc.direct_api();
        match self.video_stream {
            VideoStream::Held(ssrc, rtx) => {
                api.declare_stream_tx(ssrc, rtx.filter(|_| filled), mid, None);
            }
            VideoStream::Off => {
                let (ssrc, rtx) = (api.new_ssrc(), api.new_ssrc());
                api.reset_stream_tx(mid, None, ssrc, filled.then_some(rtx));
            }
            VideoStream::Open | VideoStream::Unknown => return,
        }
        self.video_stream = VideoStream::Open;
        self.set_resends(None);
    }

    /// What is sent may be sent again, and is filled up with padding.
    fn is_filled(&self) -> bool {
        self.max_bitrate.is_none_or(|limit| limit >= FILLED_FROM)
    }

    /// No pictures follow for seconds: without this, str0m would go on to fill the line with padding. They
    /// come back by another stream, which must not be begun while packets of this one are under way: whoever
    /// gets one late takes it for the newer.
    pub(in crate::call) fn close_video(&mut self, now: Instant) {
        let Some(mid) = self
            .video
            .filter(|_| matches!(self.video_stream, VideoStream::Open) && self.outgoing.renews())
        else {
            return;
        };
        let mut api = self.rtc.direct_api();
        let ssrc = api.new_ssrc();
        api.reset_stream_tx(mid, None, ssrc, None);
        self.video_stream = VideoStream::Off;
        self.outgoing.forget();
        self.drain(now);
    }

    /// What was sent before cannot be sent again; what follows can, up to this share of all that is sent.
    pub(super) fn set_resends(&mut self, cap: Option<f32>) {
        let Some(mid) = self
            .video
            .filter(|_| matches!(self.video_stream, VideoStream::Open))
        else {
            return;
        };
        if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(mid, None) {
            stream.set_rtx_cache(RESEND_PACKETS, RESEND_AGE, cap);
        }
    }

    /// Sends an Opus packet; `time` in samples at 48 kHz.
    pub(in crate::call) fn send_voice(&mut self, data: &Arc<[u8]>, time: u64, now: Instant) {
        let (Some(mid), Some(pt), true) = (self.audio, self.audio_pt, self.connected) else {
            return;
        };
        let Some(writer) = self.rtc.writer(mid) else {
            return;
        };
        let time = MediaTime::new(time, Frequency::FORTY_EIGHT_KHZ);
        let spoken = now.checked_sub(VOICE_AGE).unwrap_or(now);
        if let Err(error) = writer.write(pt, spoken, time, Arc::clone(data)) {
            tracing::debug!(%error, "a voice packet was not sent");
        }
        self.drain(now);
    }

    /// The decoder lost its way: the sender is asked for a key frame, at most once in 300 ms, and what
    /// comes before it is not handed on.
    pub(in crate::call) fn want_keyframe(&mut self, kind: VideoKind, now: Instant) {
        self.intakes.of(kind).plan_pli(now);
        self.ask_for_keyframes(now);
    }

    /// Asks for the key frames that are due.
    pub(super) fn ask_for_keyframes(&mut self, now: Instant) {
        let round_trip = self.line.round_trip().unwrap_or_default();
        for kind in [VideoKind::Camera, VideoKind::Screen] {
            let intake = self.intakes.of(kind);
            if !intake.is_due(now) {
                continue;
            }
            intake.last_pli = Some(now);
            intake.pli_wait = (2 * intake.pli_wait).clamp(PLI_INTERVAL, PLI_AT_MOST);
            intake.pli_due = intake.needs_keyframe.then(|| now + intake.pli_wait + round_trip);
            let Some(mut writer) = intake.mid.and_then(|mid| self.rtc.writer(mid)) else {
                continue;
            };
            if writer.is_request_keyframe_possible(KeyframeRequestKind::Pli)
                && let Err(error) = writer.request_keyframe(None, KeyframeRequestKind::Pli)
            {
                tracing::debug!(%error, "no key frame could be asked for");
            }
            self.meter.asked_keyframe();
            self.drain(now);
        }
    }

    pub(super) fn handle_media(&mut self, media: MediaData, now: Instant) {
        let codec = match media.params.spec().codec {
            Codec::Opus => {
                let (seq, time) = (**media.seq_range.start(), media.time.numer());
                if let Some(at) = captured(&media) {
                    self.lips.voice(at, media.network_time);
                }
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
        let Some(kind) = self.intakes.kind_of(media.mid) else {
            return;
        };
        let intake = self.intakes.of(kind);
        let keyframe = media.is_keyframe();
        if keyframe {
            intake.pause();
        } else if !media.contiguous {
            // Inside a drain nothing is written: the request goes out with the next timeout.
            intake.plan_pli(now);
        }
        if intake.needs_keyframe {
            return;
        }
        // Nobody's lips are on a screen.
        let hold = match kind {
            VideoKind::Camera => {
                self.meter.received_picture(keyframe, now);
                captured(&media).map_or(Duration::ZERO, |at| self.lips.picture(at, now))
            }
            VideoKind::Screen => {
                self.meter.received_screen();
                Duration::ZERO
            }
        };
        let frame = VideoFrame {
            kind,
            codec,
            hold,
            data: media.data,
            keyframe,
            time: media.time.numer(),
        };
        self.out.push_back(PeerOutput::Video(frame));
    }
}
