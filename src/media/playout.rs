//! One peer's voice, from packets to samples: jitter buffer, decoder, concealment, comfort noise,
//! stretching, and the sender's clock.

use std::time::{Duration, Instant};

use crate::media::audio::{self, BLOCK, CodecError, LONGEST, VoiceDecoder};
use crate::media::comfort::ComfortNoise;
use crate::media::jitter::{Counts, JitterBuffer, Next, VoicePacket, Wish};
use crate::media::resample::Resampler;
use crate::media::stretch;

/// Concealed voice fades to silence over this many samples (100 ms): what goes on longer is guessed
/// wrong, and drones.
const FADE: usize = 4_800;
/// The room's noise goes on for so long without a packet (2 s); one comes about every 400 ms in a pause.
const DESERTED: usize = 96_000;
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
    comfort: ComfortNoise,
    /// To our clock from the sender's.
    resampler: Resampler,
    clock: f64,
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
            absent: DESERTED,
            gain: 0.0,
            comfort: ComfortNoise::default(),
            resampler: Resampler::following(),
            clock: 1.0,
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
        let clock = self.jitter.clock();
        if clock != self.clock {
            self.clock = clock;
            self.resampler.pull(1.0 / clock);
        }
        let needs = self.resampler.needs();
        while self.held() < needs {
            match self.jitter.next(now, self.held()) {
                Next::Play(packet) => {
                    self.play(&packet);
                    heard = true;
                }
                Next::Recover(next, samples) => self.recover(&next, samples),
                Next::Conceal(samples) | Next::Pause(samples) => self.conceal(samples),
            }
        }
        self.resampler.run(&self.ready[self.taken..], out);
        self.taken += needs;
        heard
    }

    /// How long voice is held back at present.
    pub fn delay(&self) -> Duration {
        self.jitter.delay()
    }

    /// Holds voice back for at least so long, so that a later picture can catch up.
    pub fn set_floor(&mut self, floor: Duration) {
        self.jitter.set_floor(floor);
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
        self.comfort.hear(&self.frame);
        self.present();
    }

    fn recover(&mut self, next: &[u8], samples: usize) {
        self.frame.resize(samples, 0.0);
        if !samples.is_multiple_of(STEP) || self.decoder.recover(next, &mut self.frame).is_err() {
            return self.conceal(samples);
        }
        self.present();
    }

    /// Appends the frame as real voice.
    fn present(&mut self) {
        self.absent = 0;
        if self.gain < 1.0 {
            let from = self.gain;
            for sample in &mut self.frame {
                self.gain = (self.gain + 1.0 / RETURN).min(1.0);
                *sample *= self.gain;
            }
            let turn = (RETURN as usize).min(self.frame.len());
            self.comfort.add(&mut self.frame[..turn], 1.0 - from, 0.0);
        }
        self.append();
    }

    /// Appends what stands in for absent voice: the last sound, fading into the room's noise; silence
    /// when nobody is there any more.
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
        let room = |gain: f32, absent: usize| {
            let deserted = absent.saturating_sub(DESERTED - FADE) as f32 / FADE as f32;
            (1.0 - gain) * (1.0 - deserted)
        };
        let from = room(self.gain, self.absent);
        for sample in &mut self.frame {
            self.absent = (self.absent + 1).min(DESERTED);
            self.gain = self.gain.min(1.0 - (self.absent.min(FADE)) as f32 / FADE as f32);
            *sample *= self.gain;
        }
        self.comfort
            .add(&mut self.frame, from, room(self.gain, self.absent));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::media::audio::{FRAME, RATE, VoiceEncoder};
    use crate::media::tone::{PITCH, Tone};
    use crate::units::Bitrate;

    /// What is heard of so many seconds of the tone over a line that takes 40 ms and drops what
    /// `dropped` says.
    fn hear(seconds: usize, dropped: impl Fn(u64) -> bool) -> (Vec<f32>, Playout) {
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        let mut encoder = VoiceEncoder::new().expect("an encoder");
        encoder.tune(Bitrate::kbps(24), 0.1).expect("in range");
        let mut tone = Tone::new();
        let mut playout = Playout::new().expect("a decoder");
        let (mut frame, mut block) = ([0.0; FRAME], [0.0; BLOCK]);
        let mut heard = Vec::new();
        let mut seq = 0;
        for step in 0..seconds as u64 * 100 {
            if step % 2 == 0 {
                tone.fill(&mut frame);
                if let Some(data) = encoder.encode(&frame, false).expect("a frame") {
                    let packet = VoicePacket {
                        seq,
                        time: step * BLOCK as u64,
                        data: Arc::from(data),
                        arrived: start + Duration::from_millis(step * 10 + 40),
                    };
                    if !dropped(seq) {
                        playout.insert(packet);
                    }
                    seq += 1;
                }
            }
            playout.fill(start + Duration::from_millis(step * 10 + 40), &mut block);
            heard.extend_from_slice(&block);
        }
        (heard, playout)
    }

    /// The share of the second's power that lies at the tone's pitch.
    fn purity(second: &[f32]) -> f32 {
        let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
        for (i, sample) in second.iter().enumerate() {
            let angle = std::f32::consts::TAU * PITCH * i as f32 / RATE as f32;
            re += sample * angle.cos();
            im += sample * angle.sin();
            power += sample * sample;
        }
        2.0 * (re * re + im * im) / (power * second.len() as f32)
    }

    #[test]
    fn a_clean_line_is_heard_as_it_was_spoken() {
        let (heard, mut playout) = hear(6, |_| false);
        // Within the fourth beep.
        let beep = &heard[3 * 48_000 + 9_600..3 * 48_000 + 28_800];
        assert!(purity(beep) > 0.95, "{}", purity(beep));
        let counts = playout.take_counts();
        assert_eq!((counts.lost, counts.late, counts.concealed), (0, 0, 0));
        assert!(
            playout.delay() <= Duration::from_millis(31),
            "{:?}",
            playout.delay()
        );
    }

    #[test]
    fn a_lost_packet_is_hardly_heard() {
        let (heard, mut playout) = hear(12, |seq| seq % 15 == 14);
        let counts = playout.take_counts();
        assert!(counts.lost >= 25, "{counts:?}");
        // What is lost beside a pause cannot be told from the pause.
        assert!(counts.concealed < counts.lost * FRAME as u64 / 3, "{counts:?}");
        for second in 3..11 {
            let beep = &heard[second * 48_000 + 9_600..][..19_200];
            let power = beep.iter().map(|s| s * s).sum::<f32>() / beep.len() as f32;
            assert!((0.003..0.008).contains(&power), "second {second}: {power}");
            let steepest = beep.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
            assert!(steepest < 0.05, "second {second} clicks: {steepest}");
        }
    }

    #[test]
    fn who_is_cut_off_fades_and_falls_silent() {
        let (heard, mut playout) = hear(4, |seq| seq > 60);
        let loudest = |x: &[f32]| x.iter().fold(0.0_f32, |m, s| m.max(s.abs()));
        assert!(loudest(&heard[48_000..96_000]) > 0.08);
        assert_eq!(loudest(&heard[120_000..]), 0.0);
        assert_eq!(playout.take_counts().lost, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Real packets and garbage in any order, twice, late, silent, and beside the greatest numbers.
        #[test]
        fn no_stream_can_harm(
            from in prop_oneof![0..100_u64, Just(u64::from(u16::MAX) - 5), Just(u64::MAX / 2 - 20)],
            packets in prop::collection::vec(
                (0..40_u64, 0..60_u64, prop::option::of(prop::collection::vec(any::<u8>(), 0..80)), 0..4_u8),
                1..80,
            ),
        ) {
            #[allow(clippy::disallowed_methods)]
            let start = Instant::now();
            let mut encoder = VoiceEncoder::new().expect("an encoder");
            let mut tone = Tone::new();
            let mut frame = [0.0; FRAME];
            tone.fill(&mut frame);
            let real: Arc<[u8]> = encoder.encode(&frame, true).expect("a frame").expect("it is loud").into();
            let mut playout = Playout::new().expect("a decoder");
            let mut block = [0.0; BLOCK];
            for (step, (seq, late, garbage, blocks)) in packets.into_iter().enumerate() {
                let now = start + Duration::from_millis(10 * step as u64);
                let packet = VoicePacket {
                    seq: from + seq,
                    time: (from + seq).wrapping_mul(FRAME as u64),
                    data: garbage.map_or_else(|| real.clone(), Arc::from),
                    arrived: now + Duration::from_millis(late),
                };
                playout.insert(packet.clone());
                playout.insert(packet);
                for _ in 0..blocks {
                    playout.fill(now, &mut block);
                    prop_assert!(block.iter().all(|s| s.is_finite()));
                }
            }
        }
    }
}
