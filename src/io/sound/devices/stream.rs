//! A device's stream, and the callback that moves samples between it and a ring.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::Thread;
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{
    BufferSize, Device, Error, ErrorKind, FromSample, SampleFormat, SizedSample, Stream, StreamConfig,
};
use rtrb::{Consumer, Producer, RingBuffer};

use super::Watch;
use crate::io::sound::ports::{Capture, Direction, Playback, Report};
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
    let mut refused = Error::new(ErrorKind::UnsupportedConfig);
    for (format, channels, rate) in formats {
        // 10 ms, 20 ms, what it likes.
        let sizes = [
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
            let made = match direction {
                Direction::Capture => capture(device, config, format, watch, audio),
                Direction::Playback => playback(device, config, format, watch, audio),
            };
            match made {
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

fn capture(
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    watch: &Arc<Watch>,
    audio: &Thread,
) -> Result<(Stream, Report), Error> {
    let rate = config.sample_rate;
    let (producer, consumer) = RingBuffer::new(rate as usize / 2);
    let stream = match format {
        SampleFormat::F32 => capture_as::<f32>(device, config, producer, watch, audio),
        SampleFormat::I16 => capture_as::<i16>(device, config, producer, watch, audio),
        SampleFormat::I32 => capture_as::<i32>(device, config, producer, watch, audio),
        SampleFormat::U8 => capture_as::<u8>(device, config, producer, watch, audio),
        SampleFormat::U16 => capture_as::<u16>(device, config, producer, watch, audio),
        other => Err(unknown(other)),
    }?;
    Ok((stream, Report::Microphone(Capture::new(consumer, rate))))
}

fn playback(
    device: &Device,
    config: StreamConfig,
    format: SampleFormat,
    watch: &Arc<Watch>,
    audio: &Thread,
) -> Result<(Stream, Report), Error> {
    let rate = config.sample_rate;
    let (producer, ring) = RingBuffer::new(rate as usize / 2);
    let (asked, dry) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let drain = Drain {
        ring,
        asked: asked.clone(),
        dry: dry.clone(),
        turns: 0,
        greatest: 0,
        primed: false,
        last: 0.0,
    };
    let stream = match format {
        SampleFormat::F32 => playback_as::<f32>(device, config, drain, watch, audio),
        SampleFormat::I16 => playback_as::<i16>(device, config, drain, watch, audio),
        SampleFormat::I32 => playback_as::<i32>(device, config, drain, watch, audio),
        SampleFormat::U8 => playback_as::<u8>(device, config, drain, watch, audio),
        SampleFormat::U16 => playback_as::<u16>(device, config, drain, watch, audio),
        other => Err(unknown(other)),
    }?;
    let port = Playback::new(producer, rate, asked, dry);
    Ok((stream, Report::Speaker(port)))
}

fn unknown(format: SampleFormat) -> Error {
    let why = format!("samples of format {format} are not supported");
    Error::with_message(ErrorKind::UnsupportedConfig, why)
}

fn capture_as<T>(
    device: &Device,
    config: StreamConfig,
    mut ring: Producer<f32>,
    watch: &Arc<Watch>,
    audio: &Thread,
) -> Result<Stream, Error>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let channels = usize::from(config.channels.max(1));
    let share = 1.0 / channels as f32;
    let (turns, errors, audio) = (watch.clone(), watch.clone(), audio.clone());
    device.build_input_stream::<T, _, _>(
        config,
        move |data, _| {
            turns.turn();
            for frame in data.chunks_exact(channels) {
                let sum: f32 = frame.iter().map(|s| f32::from_sample_(*s)).sum();
                if ring.push(sum * share).is_err() {
                    break;
                }
            }
            audio.unpark();
        },
        move |error| errors.error(&error),
        Some(PATIENCE),
    )
}

/// The callback's end of a speaker's ring.
struct Drain {
    ring: Consumer<f32>,
    asked: Arc<AtomicU32>,
    dry: Arc<AtomicU32>,
    turns: u32,
    greatest: u32,
    /// Sound has begun to come, so that its lack is one.
    primed: bool,
    last: f32,
}

impl Drain {
    /// Notes that so many samples are asked for.
    fn ask(&mut self, frames: usize) {
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        self.turns += 1;
        if self.turns >= WINDOW {
            self.turns = 0;
            self.asked.store(self.greatest.max(frames), Ordering::Relaxed);
            self.greatest = 0;
        }
        self.greatest = self.greatest.max(frames);
        self.asked.fetch_max(frames, Ordering::Relaxed);
    }

    fn next(&mut self, short: &mut bool) -> f32 {
        match self.ring.pop() {
            Ok(sample) => self.last = sample,
            Err(_) => {
                *short = true;
                self.last *= DECAY;
            }
        }
        self.last
    }
}

fn playback_as<T>(
    device: &Device,
    config: StreamConfig,
    mut drain: Drain,
    watch: &Arc<Watch>,
    audio: &Thread,
) -> Result<Stream, Error>
where
    T: SizedSample + FromSample<f32>,
{
    let channels = usize::from(config.channels.max(1));
    let (turns, errors, audio) = (watch.clone(), watch.clone(), audio.clone());
    device.build_output_stream::<T, _, _>(
        config,
        move |data, _| {
            turns.turn();
            drain.ask(data.len() / channels);
            let mut short = false;
            for frame in data.chunks_exact_mut(channels) {
                frame.fill(T::from_sample_(drain.next(&mut short)));
            }
            if !short {
                drain.primed = true;
            } else if drain.primed {
                drain.dry.fetch_add(1, Ordering::Relaxed);
            }
            audio.unpark();
        },
        move |error| errors.error(&error),
        Some(PATIENCE),
    )
}
