//! Where device callbacks and the audio thread meet: rings of mono samples at the device's rate.

#![cfg_attr(not(feature = "sound"), allow(dead_code))]

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::SyncSender;

use rtrb::{Consumer, Producer};

use crate::media::audio::{BLOCK, RATE};
use crate::media::resample::Resampler;

/// The greatest margin, in steps of 5 ms.
const MOST_MARGIN: usize = 8;
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
    /// A microphone is open.
    Microphone(Capture),
    /// A speaker is open.
    Speaker(Playback),
    /// It is there again, which is worth a line.
    Back(String),
    /// There is none, or no longer, and why.
    Missing(String),
}

/// The way to the audio thread.
pub(super) type Reports = SyncSender<(Direction, Report)>;

/// The audio thread's end of a microphone.
pub(super) struct Capture {
    ring: Consumer<f32>,
    resampler: Resampler,
    ready: VecDeque<f32>,
    /// Samples that may wait: more are dropped, since they would only be late.
    most: usize,
}

/// The audio thread's end of a speaker.
pub(super) struct Playback {
    ring: Producer<f32>,
    resampler: Resampler,
    /// The greatest number of samples that the device asked for at once.
    asked: Arc<AtomicU32>,
    /// Samples kept beyond that, for the time until this thread is woken.
    margin: usize,
    least: usize,
    /// Blocks since the margin was changed.
    steady: u32,
    /// How often the ring ran dry, and when that was last looked at.
    dry: Arc<AtomicU32>,
    seen_dry: u32,
}

impl Capture {
    /// Of a ring that a device fills at `rate` hertz.
    pub(super) fn new(ring: Consumer<f32>, rate: u32) -> Self {
        Self {
            ring,
            resampler: Resampler::new(rate, RATE),
            ready: VecDeque::with_capacity(4 * BLOCK),
            most: rate as usize / 5,
        }
    }

    /// The next 10 ms, if they are there.
    pub(super) fn read(&mut self, block: &mut [f32; BLOCK]) -> bool {
        let waiting = self.ring.slots();
        if waiting > self.most
            && let Ok(chunk) = self.ring.read_chunk(waiting - self.most / 4)
        {
            chunk.commit_all();
        }
        while self.ready.len() < BLOCK {
            let Ok(sample) = self.ring.pop() else {
                return false;
            };
            self.resampler.push(sample, |s| self.ready.push_back(s));
        }
        for (sample, ready) in block.iter_mut().zip(self.ready.drain(..BLOCK)) {
            *sample = ready;
        }
        true
    }
}

impl Playback {
    /// Of a ring that a device empties at `rate` hertz, telling in `asked` how much it takes at once,
    /// and in `dry` how often there was too little.
    pub(super) fn new(ring: Producer<f32>, rate: u32, asked: Arc<AtomicU32>, dry: Arc<AtomicU32>) -> Self {
        Self {
            ring,
            resampler: Resampler::new(RATE, rate),
            asked,
            margin: rate as usize / 200,
            least: rate as usize / 200,
            steady: 0,
            dry,
            seen_dry: 0,
        }
    }

    /// True while another 10 ms are needed so that the device's next turn finds enough.
    pub(super) fn wants(&mut self) -> bool {
        let dry = self.dry.load(Ordering::Relaxed);
        if dry != self.seen_dry {
            // The machine is too busy for so small a margin.
            self.seen_dry = dry;
            self.steady = 0;
            self.margin = (self.margin + self.least).min(MOST_MARGIN * self.least);
        }
        let capacity = self.ring.buffer().capacity();
        let queued = capacity - self.ring.slots();
        let asked = self.asked.load(Ordering::Relaxed) as usize;
        queued < (asked + self.margin).min(capacity / 2)
    }

    /// Gives the device 10 ms.
    pub(super) fn write(&mut self, block: &[f32; BLOCK]) {
        self.steady += 1;
        if self.steady >= STEADY {
            self.steady = 0;
            self.margin = (self.margin - self.least).max(self.least);
        }
        for sample in block {
            // A full ring means that the device has stopped; its owner sees to that.
            self.resampler.push(*sample, |s| {
                let _ = self.ring.push(s);
            });
        }
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
