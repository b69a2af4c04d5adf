//! Where device callbacks and the audio thread meet: rings of mono samples at the device's rate.
//!
//! Each device's clock is measured here and resampled away, so that what is within goes by the
//! system's clock alone.

#![cfg_attr(not(feature = "sound"), allow(dead_code))]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::media::audio::{BLOCK, RATE};
use crate::media::drift::Drift;
use crate::media::resample::Resampler;

/// Samples of silence that a microphone begins with, beyond what its resampler looks ahead: one part in so
/// many of a second (1 ms). With less, a sample that the clock lacks would hold up a whole block.
const SLACK: usize = 1_000;
/// The greatest margin, in steps of 2.5 ms.
const MOST_MARGIN: usize = 16;
/// Blocks without a gap (30 s) after which a smaller margin is tried.
const STEADY: u32 = 3_000;

/// Which way sound goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the microphone.
    Capture,
    /// To the speaker.
    Playback,
}

/// What the owner of a device tells the audio thread.
pub(super) enum Report {
    /// A microphone is open, of this name.
    Microphone(Box<Capture>, String),
    /// A speaker is open, of this name.
    Speaker(Box<Playback>, String),
    /// Something that is worth a line.
    News(String),
    /// There is none, or no longer, and why.
    Missing(String),
}

/// The way to the audio thread.
pub(super) type Reports = SyncSender<Told>;

/// A report, with the direction and the number of the owner that sends it: one that was replaced may
/// still have something to say, which nobody minds.
pub(super) type Told = (Direction, u32, Report);

/// The audio thread's end of a microphone.
pub(super) struct Capture {
    ring: Consumer<f32>,
    rate: u32,
    resampler: Resampler,
    input: Vec<f32>,
    drift: Drift,
    /// Samples taken out of the ring.
    taken: u64,
    /// Samples that may wait: more are dropped, since they would only be late.
    most: usize,
    shared: Arc<Shared>,
}

/// The callback's end of a microphone.
pub(super) struct Source {
    /// What was captured.
    pub(super) ring: Producer<f32>,
    /// What is told.
    pub(super) shared: Arc<Shared>,
}

/// The audio thread's end of a speaker.
pub(super) struct Playback {
    ring: Producer<f32>,
    rate: u32,
    resampler: Resampler,
    output: Vec<f32>,
    drift: Drift,
    /// Samples put into the ring.
    given: u64,
    /// What the device was given in fact, also where the ring ran dry.
    played: Capture,
    shared: Arc<Shared>,
    /// Samples kept beyond what is asked for at once, for the time until this thread is woken.
    margin: usize,
    least: usize,
    /// Blocks since the margin was changed.
    steady: u32,
    /// How often the ring had run dry when that was last looked at.
    seen_dry: u32,
}

/// What a callback tells.
#[derive(Default)]
pub(super) struct Shared {
    /// The greatest number of samples that the device gave, or asked for, at once.
    pub(super) turn: AtomicU32,
    /// How often the ring ran dry.
    pub(super) dry: AtomicU32,
}

/// The callback's end of a speaker.
pub(super) struct Sink {
    /// What is to be played.
    pub(super) ring: Consumer<f32>,
    /// What was played.
    pub(super) played: Producer<f32>,
    /// What is told.
    pub(super) shared: Arc<Shared>,
}

impl Capture {
    /// A microphone at `rate` hertz, and the callback's end of it.
    pub(super) fn new(rate: u32) -> (Self, Source) {
        let (mut producer, ring) = RingBuffer::new(rate as usize / 2);
        let resampler = Resampler::giving(rate, RATE);
        let ahead = resampler.needs().saturating_sub(rate as usize / 100);
        fill_up(&mut producer, ahead + rate as usize / SLACK);
        let capture = Self {
            ring,
            rate,
            input: vec![0.0; resampler.needs_at_most()],
            resampler,
            drift: Drift::default(),
            taken: 0,
            most: rate as usize / 5,
            shared: Arc::default(),
        };
        let source = Source {
            ring: producer,
            shared: capture.shared.clone(),
        };
        (capture, source)
    }

    /// So much was captured and not read yet.
    pub(super) fn queued(&self) -> Duration {
        self.time(self.ring.slots())
    }

    /// So much was captured and not read yet, or is still on its way from the device: of two turns, one is
    /// being filled and one handed over.
    pub(super) fn pending(&self) -> Duration {
        let turn = self.shared.turn.load(Ordering::Relaxed) as usize;
        self.time(self.ring.slots() + 2 * turn)
    }

    fn time(&self, samples: usize) -> Duration {
        Duration::from_micros(samples as u64 * 1_000_000 / u64::from(self.rate))
    }

    /// The next 10 ms, if they are there.
    pub(super) fn read(&mut self, block: &mut [f32; BLOCK], now: Instant) -> bool {
        let come = self.taken + self.ring.slots() as u64;
        if let Some(clock) = self.drift.observe(come as f64 / f64::from(self.rate), now) {
            self.resampler.pull(1.0 / clock);
        }
        self.take(block)
    }

    /// Likewise where the clock is known otherwise.
    fn take(&mut self, block: &mut [f32; BLOCK]) -> bool {
        let waiting = self.ring.slots();
        if waiting > self.most {
            let late = waiting - self.most / 4;
            if let Ok(chunk) = self.ring.read_chunk(late) {
                chunk.commit_all();
                self.taken += late as u64;
            }
        }
        let needs = self.resampler.needs();
        let Ok(chunk) = self.ring.read_chunk(needs) else {
            return false;
        };
        let (first, second) = chunk.as_slices();
        self.input[..first.len()].copy_from_slice(first);
        self.input[first.len()..needs].copy_from_slice(second);
        chunk.commit_all();
        self.taken += needs as u64;
        self.resampler.run(&self.input[..needs], block);
        true
    }
}

impl Playback {
    /// A speaker at `rate` hertz, and the callback's end of it.
    pub(super) fn new(rate: u32) -> (Self, Sink) {
        let (ring, consumer) = RingBuffer::new(rate as usize / 2);
        let (played, source) = Capture::new(rate);
        let shared = Arc::new(Shared::default());
        let resampler = Resampler::taking(RATE, rate);
        let least = rate as usize / 400;
        let playback = Self {
            ring,
            rate,
            output: vec![0.0; resampler.gives_at_most()],
            resampler,
            drift: Drift::default(),
            given: 0,
            played,
            shared: shared.clone(),
            margin: least,
            least,
            steady: 0,
            seen_dry: 0,
        };
        let sink = Sink {
            ring: consumer,
            played: source.ring,
            shared,
        };
        (playback, sink)
    }

    /// True while another 10 ms are needed so that the device's next turn finds enough.
    pub(super) fn wants(&mut self, now: Instant) -> bool {
        let dry = self.shared.dry.load(Ordering::Relaxed);
        if dry != self.seen_dry {
            // The machine is too busy for so small a margin.
            self.seen_dry = dry;
            self.steady = 0;
            self.margin = (self.margin + self.least).min(MOST_MARGIN * self.least);
        }
        let capacity = self.ring.buffer().capacity();
        let queued = capacity - self.ring.slots();
        let taken = self.given.saturating_sub(queued as u64);
        if let Some(clock) = self.drift.observe(taken as f64 / f64::from(self.rate), now) {
            self.resampler.pull(clock);
            self.played.resampler.pull(1.0 / clock);
        }
        let asked = self.shared.turn.load(Ordering::Relaxed) as usize;
        if queued == 0 && asked > 0 {
            // At the start, and where it has run dry: the margin is silence, so that each block is made
            // when it is wanted and not a block's part before.
            self.given += fill_up(&mut self.ring, self.margin) as u64;
            return true;
        }
        // A block may be more than one turn. Of the turns at which it could be made this is the last: half of
        // the margin that it began with is left for the clock's unevenness.
        queued < (asked + self.margin / 2).min(capacity / 2)
    }

    /// How long it takes from here to the ear, more or less: what waits in the ring, and a server's buffer
    /// of two turns, of which one is being filled.
    pub(super) fn latency(&self) -> Duration {
        let asked = self.shared.turn.load(Ordering::Relaxed) as usize;
        let samples = self.margin + 2 * asked;
        Duration::from_micros(samples as u64 * 1_000_000 / u64::from(self.rate))
    }

    /// The device has asked for sound.
    pub(super) fn runs(&self) -> bool {
        self.shared.turn.load(Ordering::Relaxed) > 0
    }

    /// Gives the device 10 ms.
    pub(super) fn write(&mut self, block: &[f32; BLOCK]) {
        self.steady += 1;
        if self.steady >= STEADY {
            self.steady = 0;
            self.margin = (self.margin - self.least).max(self.least);
        }
        let count = self.resampler.run(block, &mut self.output);
        // A full ring means that the device has stopped; its owner sees to that.
        let room = count.min(self.ring.slots());
        if let Ok(chunk) = self.ring.write_chunk_uninit(room) {
            self.given += chunk.fill_from_iter(self.output[..room].iter().copied()) as u64;
        }
    }

    /// The next 10 ms that the device was given, if they are complete.
    pub(super) fn played(&mut self, block: &mut [f32; BLOCK]) -> bool {
        self.played.take(block)
    }
}

/// Puts so many samples of silence into a ring, or as many as it has room for.
fn fill_up(ring: &mut Producer<f32>, samples: usize) -> usize {
    let room = samples.min(ring.slots());
    match ring.write_chunk_uninit(room) {
        Ok(chunk) => chunk.fill_from_iter(std::iter::repeat_n(0.0, room)),
        Err(_) => 0,
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capture => "microphone",
            Self::Playback => "speaker",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::clock;

    /// A microphone whose clock runs `ppm` fast, read for so many seconds of simulated time: blocks read
    /// in the last 20 s, and samples that still wait.
    fn capture(rate: u32, ppm: f64, seconds: u64) -> (u64, usize) {
        let start = clock::now();
        let (mut capture, mut device) = Capture::new(rate);
        let mut block = [0.0; BLOCK];
        let (mut sent, mut blocks) = (0_u64, 0);
        for step in 0..seconds * 100 {
            let now = start + Duration::from_millis(step * 10);
            let due = step as f64 * 0.01 * f64::from(rate) * (1.0 + ppm * 1e-6);
            while sent < due as u64 {
                device.ring.push(0.1).expect("it is read in time");
                sent += 1;
            }
            while capture.read(&mut block, now) {
                blocks += u64::from(step >= (seconds - 20) * 100);
            }
        }
        (blocks, capture.ring.slots())
    }

    #[test]
    fn a_microphone_gives_by_the_systems_clock() {
        for (rate, ppm) in [(16_000, 200.0), (11_025, -200.0)] {
            let (blocks, waiting) = capture(rate, ppm, 60);
            assert!(blocks.abs_diff(2_000) <= 1, "{rate} Hz, {ppm} ppm: {blocks}");
            assert!(waiting < rate as usize / 50, "{waiting}");
        }
    }

    #[test]
    fn a_speaker_takes_by_the_systems_clock_and_tells_what_it_played() {
        let start = clock::now();
        let (mut playback, mut device) = Playback::new(16_000);
        let (mut taken, mut written, mut heard, mut dry) = (0_u64, 0, 0, 0);
        let mut block = [0.0; BLOCK];
        for step in 0..60 * 100 {
            let now = start + Duration::from_millis(step * 10);
            device.shared.turn.store(160, Ordering::Relaxed);
            while playback.wants(now) {
                playback.write(&[0.5; BLOCK]);
                written += u64::from(step >= 4_000);
            }
            let due = (step + 1) as f64 * 160.0 * (1.0 + 150e-6);
            while taken < due as u64 {
                let sample = device.ring.pop().unwrap_or_else(|_| {
                    dry += 1;
                    0.0
                });
                device.played.push(sample).expect("it is read in time");
                taken += 1;
            }
            while playback.played(&mut block) {
                heard += u64::from(step >= 4_000);
            }
        }
        assert_eq!(dry, 0);
        assert!(written.abs_diff(2_000) <= 1, "{written} written");
        assert!(heard.abs_diff(2_000) <= 1, "{heard} played");
        assert!((block[BLOCK - 1] - 0.5).abs() < 0.01, "{}", block[BLOCK - 1]);
    }
}
