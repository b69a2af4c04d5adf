//! What a device's turns do: samples go between it and a ring, and nothing else happens.

use std::sync::atomic::{AtomicU32, Ordering};

use cpal::{Data, Sample, SampleFormat};

use crate::io::sound::ports::{Sink, Source};

/// Turns over which the greatest one is looked for.
const WINDOW: u32 = 64;
/// What is left of the last sample with each next one that did not come, so that nothing clicks.
const DECAY: f32 = 0.98;

/// Calls `$call` with `$data` as a slice of whatever it holds.
macro_rules! typed {
    ($data:ident, $slice:ident, $this:ident.$call:ident) => {
        match $data.sample_format() {
            SampleFormat::F32 => $data.$slice::<f32>().map(|samples| $this.$call(samples)),
            SampleFormat::I16 => $data.$slice::<i16>().map(|samples| $this.$call(samples)),
            SampleFormat::I32 => $data.$slice::<i32>().map(|samples| $this.$call(samples)),
            SampleFormat::U8 => $data.$slice::<u8>().map(|samples| $this.$call(samples)),
            SampleFormat::U16 => $data.$slice::<u16>().map(|samples| $this.$call(samples)),
            _ => None,
        }
    };
}

/// The device's end of a microphone.
pub(super) struct Fill {
    source: Source,
    channels: usize,
    greatest: Greatest,
}

/// The device's end of a speaker.
pub(super) struct Drain {
    sink: Sink,
    channels: usize,
    greatest: Greatest,
    /// Sound has begun to come, so that its lack is one.
    primed: bool,
    last: f32,
}

/// The greatest turn of the last ones: of the window at hand and of the one before.
#[derive(Default)]
struct Greatest {
    turns: u32,
    samples: u32,
}

impl Greatest {
    /// Notes a turn of so many samples.
    fn note(&mut self, samples: usize, told: &AtomicU32) {
        let samples = u32::try_from(samples).unwrap_or(u32::MAX);
        self.turns += 1;
        if self.turns >= WINDOW {
            self.turns = 0;
            told.store(self.samples.max(samples), Ordering::Relaxed);
            self.samples = 0;
        }
        self.samples = self.samples.max(samples);
        told.fetch_max(samples, Ordering::Relaxed);
    }
}

impl Fill {
    pub(super) fn new(source: Source, channels: usize) -> Self {
        Self {
            source,
            channels,
            greatest: Greatest::default(),
        }
    }

    /// Takes what was captured.
    pub(super) fn take(&mut self, data: &Data) {
        typed!(data, as_slice, self.push);
    }

    /// Likewise, as bytes of little-endian `f32`, one channel.
    pub(super) fn take_bytes(&mut self, bytes: &[u8]) {
        let samples = bytes.chunks_exact(size_of::<f32>());
        self.greatest.note(samples.len(), &self.source.shared.turn);
        for sample in samples {
            let sample = f32::from_le_bytes(sample.try_into().expect("four bytes"));
            if self.source.ring.push(sample).is_err() {
                return;
            }
        }
    }

    /// Mixes all channels to one. What the ring has no room for is lost: nobody reads it.
    fn push<T: Sample<Float = f32> + cpal::SizedSample>(&mut self, samples: &[T])
    where
        f32: cpal::FromSample<T>,
    {
        let share = 1.0 / self.channels as f32;
        let frames = samples.chunks_exact(self.channels);
        self.greatest.note(frames.len(), &self.source.shared.turn);
        for frame in frames {
            let sum: f32 = frame.iter().map(|sample| f32::from_sample(*sample)).sum();
            if self.source.ring.push(sum * share).is_err() {
                return;
            }
        }
    }
}

impl Drain {
    pub(super) fn new(sink: Sink, channels: usize) -> Self {
        Self {
            sink,
            channels,
            greatest: Greatest::default(),
            primed: false,
            last: 0.0,
        }
    }

    /// Gives what is to be played.
    pub(super) fn give(&mut self, data: &mut Data) {
        self.greatest
            .note(data.len() / self.channels, &self.sink.shared.turn);
        typed!(data, as_slice_mut, self.pull);
    }

    /// Likewise, as bytes of little-endian `f32`, one channel.
    pub(super) fn give_bytes(&mut self, bytes: &mut [u8]) {
        let samples = bytes.chunks_exact_mut(size_of::<f32>());
        self.greatest.note(samples.len(), &self.sink.shared.turn);
        let mut short = false;
        for sample in samples {
            sample.copy_from_slice(&self.next(&mut short).to_le_bytes());
        }
        self.end(short);
    }

    /// Gives all channels the same.
    fn pull<T: cpal::SizedSample + cpal::FromSample<f32>>(&mut self, samples: &mut [T]) {
        let mut short = false;
        for frame in samples.chunks_exact_mut(self.channels) {
            frame.fill(T::from_sample(self.next(&mut short)));
        }
        self.end(short);
    }

    /// The next sample, which is told as played; `short` where none was there.
    fn next(&mut self, short: &mut bool) -> f32 {
        match self.sink.ring.pop() {
            Ok(sample) => self.last = sample,
            Err(_) => {
                *short = true;
                self.last *= DECAY;
            }
        }
        // Nobody listens for echo where this is full.
        let _ = self.sink.played.push(self.last);
        self.last
    }

    fn end(&mut self, short: bool) {
        if !short {
            self.primed = true;
        } else if self.primed {
            self.sink.shared.dry.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::clock;
    use crate::io::sound::ports::{Capture, Playback};
    use crate::media::audio::BLOCK;

    #[test]
    fn channels_become_one_and_one_becomes_channels() {
        let (mut capture, source) = Capture::new(48_000);
        let mut fill = Fill::new(source, 2);
        let (mut playback, sink) = Playback::new(48_000);
        let mut drain = Drain::new(sink, 3);
        let mut block = [0.0; BLOCK];
        for _ in 0..10 {
            fill.push(&[8_192_i16, 16_384].repeat(BLOCK));
            assert!(capture.read(&mut block, clock::now()));
            playback.write(&block);
        }
        // Left a quarter and right a half of full scale.
        assert!((block[BLOCK - 1] - 0.375).abs() < 0.001, "{}", block[BLOCK - 1]);
        let mut played = vec![0_i16; 3 * 9 * BLOCK];
        drain.pull(&mut played);
        let last = &played[played.len() - 3..];
        assert!(last.iter().all(|s| s.abs_diff(12_288) < 40), "{last:?}");
        assert_eq!(drain.sink.shared.dry.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn where_nothing_is_left_it_fades_and_is_counted() {
        let (mut playback, sink) = Playback::new(48_000);
        let mut drain = Drain::new(sink, 1);
        playback.write(&[0.5; BLOCK]);
        let mut bytes = vec![0; 400 * 4];
        drain.give_bytes(&mut bytes);
        let mut more = vec![0; 1_000 * 4];
        drain.give_bytes(&mut more);
        assert_eq!(drain.sink.shared.dry.load(Ordering::Relaxed), 1);
        let last = f32::from_le_bytes(more[more.len() - 4..].try_into().expect("four bytes"));
        assert!(last.abs() < 1e-4, "{last}");
    }
}
