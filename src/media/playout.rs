//! One peer's voice, from packets to samples: jitter buffer, decoder, concealment and stretching.

use std::time::{Duration, Instant};

use crate::media::audio::{self, BLOCK, CodecError, LONGEST, VoiceDecoder};
use crate::media::jitter::{Counts, JitterBuffer, Next, VoicePacket, Wish};
use crate::media::stretch;

/// Concealed voice fades to silence over this many samples (100 ms): what goes on longer is guessed
/// wrong, and drones.
const FADE: usize = 4_800;
/// Voice comes back over this many samples (5 ms).
const RETURN: f32 = 240.0;
/// Lost voice is made up in steps of this many samples (2.5 ms, RFC 6716).
const STEP: usize = 120;

/// Gives one peer's voice in blocks of 10 ms.
pub struct Playout {
    jitter: JitterBuffer,
    decoder: VoiceDecoder,
    /// What is decoded and not yet played.
    ready: Vec<f32>,
    taken: usize,
    /// The frame at hand, with room for the longest one stretched.
    frame: Vec<f32>,
    /// Samples since the last real one.
    absent: usize,
    gain: f32,
}

impl Playout {
    /// Silence until packets come.
    pub fn new() -> Result<Self, CodecError> {
        Ok(Self {
            jitter: JitterBuffer::new(),
            decoder: VoiceDecoder::new()?,
            ready: Vec::with_capacity(2 * LONGEST),
            taken: 0,
            frame: Vec::with_capacity(LONGEST + stretch::LEAST),
            absent: FADE,
            gain: 0.0,
        })
    }

    /// Takes a packet. What is no Opus packet is passed over.
    pub fn insert(&mut self, packet: VoicePacket) {
        if let Some(duration) = audio::duration(&packet.data) {
            self.jitter.insert(packet, duration);
        }
    }

    /// The 10 ms to be played from `now` on. Returns true where voice from a packet is in it.
    pub fn fill(&mut self, now: Instant, out: &mut [f32; BLOCK]) -> bool {
        let mut heard = self.held() > 0 && self.absent == 0;
        while self.held() < BLOCK {
            match self.jitter.next(now, self.held()) {
                Next::Play(packet) => {
                    self.play(&packet);
                    heard = true;
                }
                Next::Recover(next, samples) => self.recover(&next, samples),
                Next::Conceal(samples) | Next::Pause(samples) => self.conceal(samples),
            }
        }
        out.copy_from_slice(&self.ready[self.taken..self.taken + BLOCK]);
        self.taken += BLOCK;
        heard
    }

    /// How long voice is held back at present.
    pub fn delay(&self) -> Duration {
        self.jitter.delay()
    }

    /// The counts since the last time.
    pub fn take_counts(&mut self) -> Counts {
        self.jitter.take_counts()
    }

    fn held(&self) -> usize {
        self.ready.len() - self.taken
    }

    fn play(&mut self, packet: &VoicePacket) {
        self.frame.resize(LONGEST, 0.0);
        match self.decoder.decode(&packet.data, &mut self.frame) {
            Ok(samples) => self.frame.truncate(samples),
            Err(_) => {
                let samples = audio::duration(&packet.data).unwrap_or(BLOCK);
                return self.conceal(samples);
            }
        }
        let change = match self.jitter.wish() {
            Wish::Keep => 0,
            Wish::Shrink(hurry) => -(stretch::shrink(&mut self.frame, hurry) as i64),
            Wish::Grow => stretch::grow(&mut self.frame, false) as i64,
        };
        self.jitter.stretched(change);
        self.present();
    }

    fn recover(&mut self, next: &[u8], samples: usize) {
        self.frame.resize(samples, 0.0);
        if samples % STEP != 0 || self.decoder.recover(next, &mut self.frame).is_err() {
            return self.conceal(samples);
        }
        self.present();
    }

    /// Appends the frame as real voice.
    fn present(&mut self) {
        self.absent = 0;
        if self.gain < 1.0 {
            for sample in &mut self.frame {
                self.gain = (self.gain + 1.0 / RETURN).min(1.0);
                *sample *= self.gain;
            }
        }
        self.append();
    }

    /// Appends what stands in for absent voice: the last sound, fading; then silence.
    fn conceal(&mut self, samples: usize) {
        self.frame.clear();
        if self.absent < FADE {
            self.frame
                .resize(samples.next_multiple_of(STEP).min(LONGEST), 0.0);
            if self.decoder.conceal(&mut self.frame).is_err() {
                self.frame.fill(0.0);
            }
        }
        self.frame.resize(samples, 0.0);
        for sample in &mut self.frame {
            self.absent = (self.absent + 1).min(FADE);
            self.gain = self.gain.min(1.0 - self.absent as f32 / FADE as f32);
            *sample *= self.gain;
        }
        self.append();
    }

    fn append(&mut self) {
        if self.taken > 0 {
            self.ready.drain(..self.taken);
            self.taken = 0;
        }
        self.ready.extend_from_slice(&self.frame);
    }
}
