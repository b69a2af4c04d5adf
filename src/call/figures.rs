//! What is counted for one person, and the figures of each second.

use std::time::{Duration, Instant};

use str0m::stats::PeerStats;

use super::events::Way;
use super::rate::Protected;
use crate::units::Bitrate;

/// A gap in the picture that exceeds the usual one by this is a freeze (libwebrtc's threshold).
const FREEZE: Duration = Duration::from_millis(150);

/// What keeps the pictures that are sent to somebody from being better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// Nothing here: they get all that they can show.
    #[default]
    Far,
    /// The line to them.
    Line,
    /// The most that the user lets be sent.
    User,
    /// The encoder cannot keep up.
    Cpu,
}

/// Figures of one person's call over the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Round trip.
    pub rtt: Option<Duration>,
    /// UDP payload sent, bits per second.
    pub sent: Bitrate,
    /// UDP payload received, bits per second.
    pub received: Bitrate,
    /// What the line is thought to carry.
    pub estimate: Option<Bitrate>,
    /// Share of packets lost on the way here, 0 to 1.
    pub loss_in: f32,
    /// Share of packets lost on the way there, 0 to 1.
    pub loss_out: f32,
    /// How the voice is protected on the way there.
    pub protected: Protected,
    /// Pictures received whole, per second.
    pub fps_in: f32,
    /// Pictures of their screen received whole, per second.
    pub screen_fps_in: f32,
    /// Pictures sent, per second.
    pub fps_out: f32,
    /// Freezes since the start.
    pub freezes: u32,
    /// Key frames received since the start.
    pub keyframes_in: u32,
    /// Key frames asked for since the start.
    pub keyframes_asked: u32,
    /// How the path leads there.
    pub way: Option<Way>,
    /// What keeps the pictures sent from being better.
    pub limit: Limit,
}

/// Media flows when so many packets came, each at most [`PAUSE`] after the one before: a voice sends 50 a
/// second, and reports alone are a second apart.
const FLOWS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

pub(super) struct Meter {
    since: Instant,
    heard: Instant,
    /// The last packet that was none of ICE's, and how many came with no pause before it.
    media: Instant,
    flow: u32,
    bytes_out: u64,
    bytes_in: u64,
    pictures_out: u32,
    pictures_in: u32,
    screens_in: u32,
    last_picture: Option<Instant>,
    usual_gap: Option<Duration>,
    freezes: u32,
    keyframes_in: u32,
    keyframes_asked: u32,
    estimate: Option<Bitrate>,
    loss_in: f32,
    loss_out: f32,
    /// What was lost on the way here, of each look of this second.
    looks: (f32, u16),
    rtt: Option<Duration>,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            heard: now,
            media: now,
            flow: 0,
            bytes_out: 0,
            bytes_in: 0,
            pictures_out: 0,
            pictures_in: 0,
            screens_in: 0,
            last_picture: None,
            usual_gap: None,
            freezes: 0,
            keyframes_in: 0,
            keyframes_asked: 0,
            estimate: None,
            loss_in: 0.0,
            loss_out: 0.0,
            looks: (0.0, 0),
            rtt: None,
        }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// A packet came; `media`: not one of ICE's.
    pub(super) fn received(&mut self, bytes: usize, media: bool, now: Instant) {
        self.bytes_in += bytes as u64;
        self.heard = now;
        if media {
            let flows = now.saturating_duration_since(self.media) < PAUSE;
            self.flow = if flows { self.flow.saturating_add(1) } else { 1 };
            self.media = now;
        }
    }

    /// When something last came. Where media flowed, it is media that counts: a router that gave this side
    /// another port answers ICE's checks, but what the others send goes to the old one.
    pub(super) fn last_heard(&self) -> Instant {
        if self.flow >= FLOWS {
            self.media
        } else {
            self.heard
        }
    }

    pub(super) fn sent_picture(&mut self) {
        self.pictures_out += 1;
    }

    pub(super) fn received_picture(&mut self, keyframe: bool, now: Instant) {
        self.pictures_in += 1;
        self.keyframes_in += u32::from(keyframe);
        if let Some(last) = self.last_picture {
            let gap = now.saturating_duration_since(last);
            // The first gap tells how often this sender's pictures come at all.
            let usual = *self.usual_gap.get_or_insert(gap);
            if gap > usual + FREEZE {
                self.freezes += 1;
            }
            self.usual_gap = Some((usual * 7 + gap.min(Duration::from_secs(1))) / 8);
        }
        self.last_picture = Some(now);
    }

    pub(super) fn asked_keyframe(&mut self) {
        self.keyframes_asked += 1;
    }

    pub(super) fn received_screen(&mut self) {
        self.screens_in += 1;
    }

    pub(super) fn picture_pauses(&mut self) {
        self.last_picture = None;
    }

    pub(super) fn set_estimate(&mut self, estimate: Bitrate) {
        self.estimate = Some(estimate);
    }

    pub(super) fn set_egress(&mut self, rtt: Option<Duration>) {
        self.rtt = rtt.or(self.rtt);
    }

    /// So much of the last second was lost on the way there; the worst counts, so that the voice is protected soon.
    pub(super) fn set_loss_out(&mut self, loss: Option<f32>) {
        self.loss_out = self.loss_out.max(loss.unwrap_or(0.0));
    }

    pub(super) fn set_ingress(&mut self, loss: Option<f32>) {
        self.loss_in = self.loss_in.max(loss.unwrap_or(0.0));
    }

    /// So much was lost on the way here since the last look.
    pub(super) fn look(&mut self, loss_in: Option<f32>) {
        if let Some(loss) = loss_in {
            self.looks = (self.looks.0 + loss, self.looks.1 + 1);
        }
    }

    /// The figures since the last call, and a new second begins.
    pub(super) fn figures(&mut self, stats: &PeerStats, now: Instant) -> Figures {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64().max(0.001);
        let rate = |bytes: u64| Bitrate((bytes as f64 * 8.0 / seconds) as u64);
        let pair = stats
            .selected_candidate_pair
            .as_ref()
            .and_then(|pair| pair.current_round_trip_time);
        let figures = Figures {
            way: None,
            rtt: pair.or(stats.rtt).or(self.rtt),
            sent: rate(self.bytes_out),
            received: rate(self.bytes_in),
            estimate: self.estimate,
            loss_in: (self.looks.0 / f32::from(self.looks.1.max(1))).max(self.loss_in),
            loss_out: self.loss_out,
            protected: Protected::No,
            fps_in: (f64::from(self.pictures_in) / seconds) as f32,
            screen_fps_in: (f64::from(self.screens_in) / seconds) as f32,
            fps_out: (f64::from(self.pictures_out) / seconds) as f32,
            freezes: self.freezes,
            keyframes_in: self.keyframes_in,
            keyframes_asked: self.keyframes_asked,
            limit: Limit::Far,
        };
        (
            self.since,
            self.bytes_in,
            self.bytes_out,
            self.pictures_in,
            self.pictures_out,
        ) = (now, 0, 0, 0, 0);
        (self.loss_in, self.loss_out, self.looks) = (0.0, 0.0, (0.0, 0));
        self.screens_in = 0;
        figures
    }
}
