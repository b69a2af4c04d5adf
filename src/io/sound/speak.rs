//! The own voice: from blocks of sound to packets for everyone.

use std::time::{Duration, Instant};

use super::SoundEvent;
use super::thread::Outbox;
use crate::media::audio::{BLOCK, CodecError, FRAME, RATE, VoiceEncoder};
use crate::media::level::{VoiceDetector, meter, rms};
use crate::units::Bitrate;

/// Blocks between two reports of the level: 100 ms.
const REPORT: u32 = 10;
/// A change of the level that is worth a report (1.2 dB).
const CHANGE: f32 = 0.02;
/// A block that comes so long after the one before begins anew after a break.
const BREAK: Duration = Duration::from_millis(100);

/// Measures and encodes the microphone.
pub(super) struct Speak {
    encoder: VoiceEncoder,
    /// The microphone is on.
    pub(super) on: bool,
    frame: [f32; FRAME],
    filled: usize,
    /// Media time of the next block's first sample.
    time: u64,
    last: Option<Instant>,
    detector: VoiceDetector,
    talking: bool,
    loudest: f32,
    blocks: u32,
    told: (f32, bool),
}

impl Speak {
    pub(super) fn new(on: bool) -> Result<Self, CodecError> {
        Ok(Self {
            encoder: VoiceEncoder::new()?,
            on,
            frame: [0.0; FRAME],
            filled: 0,
            time: 0,
            last: None,
            detector: VoiceDetector::default(),
            talking: false,
            loudest: 0.0,
            blocks: 0,
            told: (0.0, false),
        })
    }

    /// What receivers report is taken from now on.
    pub(super) fn tune(&mut self, bitrate: Bitrate, loss: f32) {
        if let Err(error) = self.encoder.tune(bitrate, loss) {
            tracing::warn!("{error}");
        }
    }

    /// Takes the 10 ms that were captured up to `now`; they are sent where the microphone is on and
    /// somebody is there to hear.
    pub(super) fn block(&mut self, block: &[f32; BLOCK], now: Instant, somebody: bool, out: &mut Outbox) {
        self.pass(now);
        let level = rms(block);
        self.talking = self.detector.hear(level);
        self.loudest = self.loudest.max(level);
        self.blocks += 1;
        if self.blocks >= REPORT {
            self.report(out);
        }
        if self.on && somebody {
            self.frame[self.filled..self.filled + BLOCK].copy_from_slice(block);
            self.filled += BLOCK;
            if self.filled == FRAME {
                self.filled = 0;
                self.encode(self.time + BLOCK as u64 - FRAME as u64, out);
            }
        } else {
            self.filled = 0;
        }
        self.time += BLOCK as u64;
    }

    /// Lets the media time follow the clock over a break in the capture.
    fn pass(&mut self, now: Instant) {
        if let Some(last) = self.last {
            let since = now.saturating_duration_since(last);
            if since > BREAK {
                self.filled = 0;
                self.time += since.as_micros() as u64 * u64::from(RATE) / 1_000_000;
            }
        } else {
            // So that the first frame's beginning is never before zero.
            self.time = FRAME as u64;
        }
        self.last = Some(now);
    }

    fn report(&mut self, out: &mut Outbox) {
        let level = meter(self.loudest);
        let (told, talked) = self.told;
        if (level - told).abs() >= CHANGE || talked != self.talking {
            self.told = (level, self.talking);
            out.send(SoundEvent::Level {
                level,
                talking: self.talking,
            });
        }
        self.loudest = 0.0;
        self.blocks = 0;
    }

    fn encode(&mut self, time: u64, out: &mut Outbox) {
        match self.encoder.encode(&self.frame, self.talking) {
            Ok(Some(packet)) => out.send_or_drop(SoundEvent::Voice {
                time,
                data: packet.to_vec(),
                level: meter(rms(&self.frame)),
            }),
            Ok(None) => {}
            Err(error) => tracing::warn!("{error}"),
        }
    }
}
