//! A device's stream through cpal.

use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, Data, Device, Error, ErrorKind, SampleFormat, Stream, StreamConfig};

use super::find::Candidate;
use super::flow::{Drain, Fill};
use super::hardware::Watch;
use crate::io::sound::ports::{Capture, Direction, Playback, Report};
use crate::media::audio::RATE;

/// How long a host may take to make a stream.
const PATIENCE: Duration = Duration::from_secs(3);

/// Opens and starts a stream with small buffers, in the format that needs the least conversion.
pub(super) fn open(
    direction: Direction,
    device: &Candidate<Device>,
    watch: &Arc<Watch>,
    audio: &Thread,
) -> Result<(Stream, Report), Error> {
    let usual = match direction {
        Direction::Capture => device.device.default_input_config(),
        Direction::Playback => device.device.default_output_config(),
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
    device: &Candidate<Device>,
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
            let (capture, source) = Capture::new(rate);
            let mut fill = Fill::new(source, channels);
            let called = move |data: &Data, _: &_| {
                turns.turn();
                fill.take(data);
                audio.unpark();
            };
            let stream =
                device
                    .device
                    .build_input_stream_raw(config, format, called, failed, Some(PATIENCE))?;
            Ok((stream, Report::Microphone(Box::new(capture), device.name.clone())))
        }
        Direction::Playback => {
            let (playback, sink) = Playback::new(rate);
            let mut drain = Drain::new(sink, channels);
            let called = move |data: &mut Data, _: &_| {
                turns.turn();
                drain.give(data);
                audio.unpark();
            };
            let stream =
                device
                    .device
                    .build_output_stream_raw(config, format, called, failed, Some(PATIENCE))?;
            Ok((stream, Report::Speaker(Box::new(playback), device.name.clone())))
        }
    }
}
