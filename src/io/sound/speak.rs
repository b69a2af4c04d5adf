//! The own voice: from blocks of sound to packets for everyone.

use std::time::{Duration, Instant};

use super::SoundEvent;
use super::thread::Outbox;
use crate::call::VoiceTune;
use crate::media::audio::{BLOCK, CodecError, FRAME, RATE, VoiceEncoder};
use crate::media::clean::{Cleaner, cleaner};
use crate::media::level::{VoiceDetector, meter, rms};

/// Samples in the longest packet that is sent: 60 ms.
const MOST: usize = 3 * FRAME;

/// Blocks between two reports of the level: 100 ms.
const REPORT: u32 = 10;
/// A change of the level that is worth a report (1.2 dB).
const CHANGE: f32 = 0.02;
/// A block that comes so long after the one before begins anew after a break.
const BREAK: Duration = Duration::from_millis(100);

/// So likely must it be that a sound is speech.
const LIKELY: f32 = 0.5;
/// Blocks for which speech is taken to go on: 500 ms.
const GOES_ON: u32 = 50;
/// How much later sound comes out of the cleaner than it went in, at most.
const CLEANING: Duration = Duration::from_millis(17);
/// A block's time.
const STEP: Duration = Duration::from_millis(10);

/// Cleans, measures and encodes the microphone.
pub(super) struct Speak {
    encoder: VoiceEncoder,
    /// The microphone is on.
    on: bool,
    /// Echo is taken out.
    echo: bool,
    /// For a real microphone; a tone or a file is as it is meant.
    cleaner: Option<Box<dyn Cleaner>>,
    /// Blocks for which it is still taken for speech.
    speaks: u32,
    /// Blocks that are still left out.
    heard_before: u32,
    /// The packet at hand, so far.
    frame: [f32; MOST],
    filled: usize,
    /// Samples that it is to hold, and that the next one is.
    length: usize,
    next_length: usize,

    /// Media time of the next block's first sample.
    time: u64,
    last: Option<Instant>,
    detector: VoiceDetector,
    /// It stands out of the background.
    loud: bool,
    /// Likewise, and it is speech.
    talking: bool,
    loudest: f32,
    blocks: u32,
    told: (f32, bool),
}

impl Speak {
    pub(super) fn new(on: bool, echo: bool) -> Result<Self, CodecError> {
        Ok(Self {
            encoder: VoiceEncoder::new()?,
            on,
            echo,
            cleaner: None,
            speaks: 0,
            heard_before: 0,
            frame: [0.0; MOST],
            filled: 0,
            length: FRAME,
            next_length: FRAME,
            time: 0,
            last: None,
            detector: VoiceDetector::default(),
            loud: false,
            talking: false,
            loudest: 0.0,
            blocks: 0,
            told: (0.0, false),
        })
    }

    /// What receivers report is taken from now on.
    pub(super) fn tune(&mut self, tune: VoiceTune) {
        self.next_length = tune.frame.min(MOST);
        if let Err(error) = self.encoder.tune(tune.bitrate, tune.loss) {
            tracing::warn!("{error}");
        }
    }

    /// Turns the microphone on or off. What it captured up to now and did not give yet, which is so much,
    /// was heard before it was turned on, and is left out.
    pub(super) fn turn(&mut self, on: bool, waiting: Duration) {
        if on && !self.on && self.cleaner.is_some() {
            let before = (waiting + CLEANING).as_micros().div_ceil(STEP.as_micros());
            self.heard_before = u32::try_from(before).unwrap_or(u32::MAX);
        }
        self.on = on;
    }

    /// A microphone begins, whose room nothing is known of.
    pub(super) fn begin(&mut self) {
        self.cleaner = Some(cleaner(self.echo));
    }

    /// What speaks is no microphone any more.
    pub(super) fn end(&mut self) {
        self.cleaner = None;
    }

    /// Tells 10 ms that the speaker is about to play.
    pub(super) fn played(&mut self, block: &[f32; BLOCK]) {
        if let Some(cleaner) = &mut self.cleaner {
            cleaner.played(block);
        }
    }

    /// Takes the 10 ms that a microphone captured up to `until`, and cleans them in place.
    pub(super) fn captured(
        &mut self,
        block: &mut [f32; BLOCK],
        until: Instant,
        somebody: bool,
        out: &mut Outbox,
    ) {
        let speech = match &mut self.cleaner {
            Some(cleaner) => cleaner.clean(block),
            None => 0.0,
        };
        if self.heard_before > 0 {
            self.heard_before -= 1;
            block.fill(0.0);
        }
        self.speaks = self.speaks.saturating_sub(1);
        if speech > LIKELY {
            self.speaks = GOES_ON;
        }
        self.take(block, until, somebody, out);
    }

    /// Takes the 10 ms that a tone or a file gives for `now`.
    pub(super) fn given(&mut self, block: &[f32; BLOCK], now: Instant, somebody: bool, out: &mut Outbox) {
        self.take(block, now, somebody, out);
    }

    /// They are sent where the microphone is on and somebody is there to hear.
    fn take(&mut self, block: &[f32; BLOCK], until: Instant, somebody: bool, out: &mut Outbox) {
        self.pass(until);
        let level = rms(block);
        self.loud = self.detector.hear(level);
        self.talking = self.loud && (self.cleaner.is_none() || self.speaks > 0);
        self.loudest = self.loudest.max(level);
        self.blocks += 1;
        if self.blocks >= REPORT {
            self.report(out);
        }
        if self.on && somebody {
            if self.filled == 0 {
                self.length = self.next_length;
            }
            self.frame[self.filled..self.filled + BLOCK].copy_from_slice(block);
            self.filled += BLOCK;
            if self.filled == self.length {
                self.filled = 0;
                self.encode(self.time + BLOCK as u64 - self.length as u64, out);
            }
        } else {
            self.filled = 0;
        }
        self.time += BLOCK as u64;
    }

    /// Lets the media time follow the clock over a break in the capture: what came between the last block
    /// and the one that ends at `until`.
    fn pass(&mut self, until: Instant) {
        if let Some(last) = self.last {
            let since = until.saturating_duration_since(last);
            if since > BREAK {
                self.filled = 0;
                let lost = since.saturating_sub(STEP);
                self.time += lost.as_micros() as u64 * u64::from(RATE) / 1_000_000;
            }
        } else {
            // So that the first frame's beginning is never before zero.
            self.time = MOST as u64;
        }
        self.last = Some(until);
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
        let frame = &self.frame[..self.length];
        match self.encoder.encode(frame, self.loud) {
            Ok(Some(packet)) => out.send_or_drop(SoundEvent::Voice {
                time,
                data: packet.to_vec(),
                level: meter(rms(frame)),
            }),
            Ok(None) => {}
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::io::clock;
    use crate::media::audio::VoiceDecoder;

    /// A microphone that captures seconds of what `sound` gives for each sample.
    struct Desk {
        speak: Speak,
        out: Outbox,
        told: Receiver<SoundEvent>,
        at: u64,
        now: Instant,
    }

    impl Desk {
        fn new() -> Self {
            let (events, told) = channel(1024);
            let mut speak = Speak::new(true, true).expect("an encoder");
            speak.begin();
            let out = Outbox {
                events,
                waiting: VecDeque::new(),
            };
            Self {
                speak,
                out,
                told,
                at: 0,
                now: clock::now(),
            }
        }

        /// The packets of a second.
        fn second(&mut self, sound: impl Fn(u64) -> f32) -> Vec<Vec<u8>> {
            for _ in 0..100 {
                let mut block: [f32; BLOCK] = std::array::from_fn(|i| sound(self.at + i as u64));
                self.at += BLOCK as u64;
                self.now += Duration::from_millis(10);
                self.speak.played(&[0.0; BLOCK]);
                self.speak.captured(&mut block, self.now, true, &mut self.out);
            }
            let mut packets = Vec::new();
            while let Ok(event) = self.told.try_recv() {
                if let SoundEvent::Voice { data, .. } = event {
                    packets.push(data);
                }
            }
            packets
        }
    }

    /// Syllables, as loud as speech.
    fn voice(at: u64) -> f32 {
        let second = at as f32 / RATE as f32;
        let syllable = (second * std::f32::consts::TAU * 3.0).sin().max(0.0);
        let buzz: f32 = (1..12)
            .map(|n| (second * 140.0 * n as f32 * std::f32::consts::TAU).sin() / n as f32)
            .sum();
        0.2 * syllable * buzz
    }

    fn loudest(packets: &[Vec<u8>]) -> f32 {
        let mut decoder = VoiceDecoder::new().expect("a decoder");
        let mut frame = [0.0; FRAME];
        let mut most = 0.0_f32;
        for packet in packets {
            decoder.decode(packet, &mut frame).expect("a packet");
            most = frame.iter().fold(most, |most, s| most.max(s.abs()));
        }
        most
    }

    #[test]
    fn a_muted_microphone_sends_nothing_that_was_heard() {
        let mut desk = Desk::new();
        desk.second(|_| 0.0);
        let spoken = desk.second(voice);
        assert!(
            spoken.len() > 30 && loudest(&spoken) > 0.1,
            "{}",
            loudest(&spoken)
        );
        // What is said while it is off stays here, also after it is on again.
        desk.second(|_| 0.0);
        desk.speak.turn(false, Duration::ZERO);
        assert!(desk.second(voice).is_empty());
        desk.speak.turn(true, Duration::ZERO);
        let after = desk.second(|_| 0.0);
        assert!(loudest(&after) < 0.001, "{}", loudest(&after));
        // Nor is the beginning of a frame kept whose end was cut off.
        desk.second(voice);
        desk.speak.turn(false, Duration::ZERO);
        desk.second(|_| 0.0);
        desk.speak.turn(true, Duration::ZERO);
        assert!(!desk.second(voice).is_empty(), "it is on again");
    }
}
