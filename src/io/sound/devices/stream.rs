//! A device's stream, and the callback that moves samples between it and a ring.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Thread;
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, Data, Device, Error, ErrorKind, Sample, SampleFormat, Stream, StreamConfig};
use rtrb::Producer;

use super::Watch;
use crate::io::sound::ports::{Capture, Direction, Playback, Report, Sink};
use crate::media::audio::RATE;

/// How long a host may take to make a stream.
const PATIENCE: Duration = Duration::from_secs(3);
/// Callbacks over which the greatest request is looked for.
const WINDOW: u32 = 64;
/// What is left of the last sample with each next one that did not come, so that nothing clicks.
const DECAY: f32 = 0.98;

/// Opens and starts a stream with small buffers, in the format that needs the least conversion.
pub(super) fn open(
    direction: Direction,
    device: &Device,
    watch: &Arc<Watch>,
    audio: &Thread,
) -> Result<(Stream, Report), Error> {
    let usual = match direction {
        Direction::Capture => device.default_input_config(),
        Direction::Playback => device.default_output_config(),
    }?;
    let (format, channels, rate) = (usual.sample_format(), usual.channels(), usual.sample_rate());
    let formats = [
        (SampleFormat::F32, 1, RATE),
        (format, channels, RATE),
        (format, channels, rate),
    ];
    // In microseconds. What a speaker plays waits twice: in our ring and in the server's buffer.
    let shortest: u64 = match direction {
        Direction::Capture => 10_000,
        Direction::Playback => 7_500,
    };
    let mut refused = Error::new(ErrorKind::UnsupportedConfig);
    for (format, channels, rate) in formats {
        // As short as is worth its turns, 10 ms, 20 ms, what it likes.
        let sizes = [
            BufferSize::Fixed((u64::from(rate) * shortest / 1_000_000) as u32),
            BufferSize::Fixed(rate / 100),
            BufferSize::Fixed(rate / 50),
            BufferSize::Default,
        ];
        for buffer_size in sizes {
            let config = StreamConfig {
                channels,
                sample_rate: rate,
                buffer_size,
            };
            match build(direction, device, config, format, watch, audio) {
                Ok((stream, port)) => {
                    stream.play()?;
                    return Ok((stream, port));
                }
                Err(error) => match error.kind() {
                    ErrorKind::UnsupportedConfig | ErrorKind::InvalidInput => refused = error,
                    _ => return Err(error),
                },
            }
        }
    }
    Err(refused)
}

/// Makes a stream in this very format, and the audio thread's end of it.
fn build(
    direction: Direction,
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    watch: &Arc<Watch>,
    audio: &Thread,
) -> Result<(Stream, Report), Error> {
    use SampleFormat::{F32, I16, I32, U8, U16};
    if !matches!(format, F32 | I16 | I32 | U8 | U16) {
        let why = format!("samples of format {format} are not supported");
        return Err(Error::with_message(ErrorKind::UnsupportedConfig, why));
    }
    let (rate, channels) = (config.sample_rate, usize::from(config.channels.max(1)));
    let (turns, errors, audio) = (watch.clone(), watch.clone(), audio.clone());
    let failed = move |error| errors.error(&error);
    match direction {
        Direction::Capture => {
            let (capture, ring) = Capture::new(rate);
            let mut fill = Fill { ring, channels };
            let called = move |data: &Data, _: &_| {
                turns.turn();
                fill.take(data);
                audio.unpark();
            };
            let stream = device.build_input_stream_raw(config, format, called, failed, Some(PATIENCE))?;
            Ok((stream, Report::Microphone(Box::new(capture))))
        }
        Direction::Playback => {
            let (playback, sink) = Playback::new(rate);
            let mut drain = Drain::new(sink, channels);
            let called = move |data: &mut Data, _: &_| {
                turns.turn();
                drain.give(data);
                audio.unpark();
            };
            let stream = device.build_output_stream_raw(config, format, called, failed, Some(PATIENCE))?;
            Ok((stream, Report::Speaker(Box::new(playback))))
        }
    }
}

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

/// The callback's end of a microphone.
struct Fill {
    ring: Producer<f32>,
    channels: usize,
}

impl Fill {
    fn take(&mut self, data: &Data) {
        typed!(data, as_slice, self.push);
    }

    /// Mixes all channels to one. What the ring has no room for is lost: nobody reads it.
    fn push<T: Sample<Float = f32> + cpal::SizedSample>(&mut self, samples: &[T])
    where
        f32: cpal::FromSample<T>,
    {
        let share = 1.0 / self.channels as f32;
        for frame in samples.chunks_exact(self.channels) {
            let sum: f32 = frame.iter().map(|sample| f32::from_sample(*sample)).sum();
            if self.ring.push(sum * share).is_err() {
                return;
            }
        }
    }
}

/// The callback's end of a speaker.
struct Drain {
    sink: Sink,
    channels: usize,
    turns: u32,
    greatest: u32,
    /// Sound has begun to come, so that its lack is one.
    primed: bool,
    last: f32,
}

impl Drain {
    fn new(sink: Sink, channels: usize) -> Self {
        Self {
            sink,
            channels,
            turns: 0,
            greatest: 0,
            primed: false,
            last: 0.0,
        }
    }

    fn give(&mut self, data: &mut Data) {
        self.ask(data.len() / self.channels);
        typed!(data, as_slice_mut, self.pull);
    }

    /// Notes that so many samples are asked for.
    fn ask(&mut self, frames: usize) {
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        let asked = &self.sink.shared.asked;
        self.turns += 1;
        if self.turns >= WINDOW {
            self.turns = 0;
            asked.store(self.greatest.max(frames), Ordering::Relaxed);
            self.greatest = 0;
        }
        self.greatest = self.greatest.max(frames);
        asked.fetch_max(frames, Ordering::Relaxed);
    }

    /// Gives all channels the same, and tells what that was.
    fn pull<T: cpal::SizedSample + cpal::FromSample<f32>>(&mut self, samples: &mut [T]) {
        let mut short = false;
        for frame in samples.chunks_exact_mut(self.channels) {
            match self.sink.ring.pop() {
                Ok(sample) => self.last = sample,
                Err(_) => {
                    short = true;
                    self.last *= DECAY;
                }
            }
            frame.fill(T::from_sample(self.last));
            // Nobody listens for echo where this is full.
            let _ = self.sink.played.push(self.last);
        }
        if !short {
            self.primed = true;
        } else if self.primed {
            self.sink.shared.dry.fetch_add(1, Ordering::Relaxed);
        }
    }
}
