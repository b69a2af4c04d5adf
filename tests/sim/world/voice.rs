//! What is said and what is heard, with the real codec and jitter buffer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use facetty::call::VoiceTune;
use facetty::media::audio::{BLOCK, FRAME, RATE, VoiceEncoder};
use facetty::media::jitter::VoicePacket;
use facetty::media::playout::Playout;
use facetty::signal::message::PeerId;
use facetty::units::Bitrate;

use super::Trace;

/// Between what is mixed and the ear.
const DEVICE: Duration = Duration::from_millis(20);

/// Speaks: one packet after the other. Until there is something to say they are 60 bytes of nothing.
pub struct Mouth {
    encoder: VoiceEncoder,
    said: Option<Arc<[f32]>>,
    /// The next sample to be said, and the media time.
    at: usize,
    time: u64,
    frame: Vec<f32>,
    pub next: Instant,
    pub tune: VoiceTune,
}

impl Mouth {
    pub fn new(now: Instant) -> Self {
        let tune = VoiceTune {
            bitrate: Bitrate::kbps(20),
            loss: 0.0,
            frame: FRAME,
        };
        Self {
            encoder: VoiceEncoder::new().expect("an encoder"),
            said: None,
            at: 0,
            time: 0,
            frame: Vec::new(),
            next: now,
            tune,
        }
    }

    pub fn say(&mut self, said: Arc<[f32]>) {
        self.said = Some(said);
    }

    pub fn tune(&mut self, tune: VoiceTune) {
        self.tune = tune;
        self.encoder.tune(tune.bitrate, tune.loss).expect("in range");
    }

    /// The packet that is whole now, and its media time; `None` in silence.
    pub fn speak(&mut self, now: Instant) -> Option<(Arc<[u8]>, u64)> {
        let length = self.tune.frame;
        let time = self.time;
        self.time += length as u64;
        self.next = now + Duration::from_micros(length as u64 * 125 / 6);
        let Some(said) = &self.said else {
            return Some((Arc::from(vec![1_u8; 60]), time));
        };
        self.frame.clear();
        let from = self.at % said.len();
        self.frame
            .extend(said.iter().cycle().skip(from).take(length).copied());
        self.at = from + length;
        let packet = self.encoder.encode(&self.frame, false).expect("a frame");
        packet.map(|data| (Arc::from(data), time))
    }
}

/// Hears: 10 ms after the other, as the speaker would play them.
pub struct Ear {
    playout: Playout,
    peer: Option<PeerId>,
    blocks: u32,
    pub next: Instant,
}

impl Ear {
    pub fn new(now: Instant) -> Self {
        Self {
            playout: Playout::new().expect("a decoder"),
            peer: None,
            blocks: 0,
            next: now,
        }
    }

    pub fn packet(&mut self, peer: &PeerId, packet: VoicePacket) {
        self.peer = Some(peer.clone());
        self.playout.insert(packet);
    }

    pub fn set_floor(&mut self, floor: Duration) {
        self.playout.set_floor(floor);
    }

    /// The next 10 ms. Once a second whose voice it is, and how long it takes from its arrival to the ear.
    pub fn listen(&mut self, now: Instant, at: Duration, trace: &mut Trace) -> Option<(PeerId, Duration)> {
        let mut block = [0.0; BLOCK];
        self.playout.fill(now, &mut block);
        self.next = now + Duration::from_millis(10);
        self.blocks += 1;
        if !self.blocks.is_multiple_of(RATE / BLOCK as u32) {
            return None;
        }
        let counts = self.playout.take_counts();
        trace.heard.push((at, counts, self.playout.delay()));
        Some((self.peer.clone()?, self.playout.delay() + DEVICE))
    }
}
