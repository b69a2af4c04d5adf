//! WAV files in the place of a microphone and of a speaker.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use crate::media::audio::{BLOCK, RATE};
use crate::media::resample::Resampler;

/// The sample rates in hertz that are taken.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// What is wrong with a WAV file.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// It cannot be opened.
    #[error("cannot open {0}: {1}")]
    Open(PathBuf, std::io::Error),
    /// It is none that can be read.
    #[error("cannot read {0} as a WAV file: {1}; give an uncompressed WAV file (PCM or float)")]
    Read(PathBuf, hound::Error),
    /// There is nothing to play.
    #[error("{0} holds no sound; give a WAV file with at least one sample")]
    Empty(PathBuf),
    /// Its rate is beyond reason.
    #[error("{0} has a sample rate of {1} Hz; give one of 1,000 to 768,000 Hz")]
    Rate(PathBuf, u32),
    /// It cannot be written.
    #[error("cannot write {0}: {1}; give a path in a folder that exists and can be written")]
    Write(PathBuf, hound::Error),
}

/// Plays a WAV file for ever, as 48 kHz mono.
pub struct WavLoop<R = BufReader<File>> {
    path: PathBuf,
    reader: WavReader<R>,
    /// Where the file's rate is another.
    resampler: Option<Resampler>,
    input: Vec<f32>,
    ready: Vec<f32>,
    taken: usize,
    /// Something came since the beginning, so that beginning again makes sense.
    heard: bool,
}

impl WavLoop {
    /// Opens a file of any rate, any number of channels, 8 to 32 bits or float.
    pub fn open(path: &Path) -> Result<Self, WavError> {
        match File::open(path) {
            Ok(file) => Self::new(path, BufReader::new(file)),
            Err(error) => Err(WavError::Open(path.into(), error)),
        }
    }
}

impl<R: Read + Seek> WavLoop<R> {
    /// Plays what `reader` holds; `path` is its name in errors.
    pub fn new(path: &Path, reader: R) -> Result<Self, WavError> {
        let reader = WavReader::new(reader).map_err(|error| WavError::Read(path.into(), error))?;
        let WavSpec {
            channels,
            sample_rate,
            ..
        } = reader.spec();
        if !RATES.contains(&sample_rate) {
            return Err(WavError::Rate(path.into(), sample_rate));
        }
        if channels == 0 || reader.duration() == 0 {
            return Err(WavError::Empty(path.into()));
        }
        let mut wav = Self {
            path: path.into(),
            reader,
            resampler: (sample_rate != RATE).then(|| Resampler::giving(sample_rate, RATE)),
            input: Vec::new(),
            ready: Vec::new(),
            taken: 0,
            heard: false,
        };
        // The first samples now, so that a broken file is told at the start and not in the call.
        wav.more()?;
        Ok(wav)
    }

    /// The next samples. On an error the rest of `out` is silence.
    pub fn fill(&mut self, out: &mut [f32]) -> Result<(), WavError> {
        let mut filled = 0;
        while filled < out.len() {
            if self.taken == self.ready.len()
                && let Err(error) = self.more()
            {
                out[filled..].fill(0.0);
                return Err(error);
            }
            let count = (out.len() - filled).min(self.ready.len() - self.taken);
            out[filled..filled + count].copy_from_slice(&self.ready[self.taken..self.taken + count]);
            (filled, self.taken) = (filled + count, self.taken + count);
        }
        Ok(())
    }

    /// Makes the next 10 ms ready.
    fn more(&mut self) -> Result<(), WavError> {
        let needs = self.resampler.as_ref().map_or(BLOCK, Resampler::needs);
        self.input.clear();
        while self.input.len() < needs {
            let sample = self.sample()?;
            self.input.push(sample);
        }
        self.taken = 0;
        match &mut self.resampler {
            Some(resampler) => {
                self.ready.resize(BLOCK, 0.0);
                resampler.run(&self.input, &mut self.ready);
            }
            None => std::mem::swap(&mut self.input, &mut self.ready),
        }
        Ok(())
    }

    /// The next sample; from the beginning again after the last.
    fn sample(&mut self) -> Result<f32, WavError> {
        loop {
            match read(&mut self.reader) {
                Some(Ok(sample)) => {
                    self.heard = true;
                    return Ok(sample);
                }
                // A file that was cut off ends where it was cut.
                None | Some(Err(_)) if self.heard => {
                    self.heard = false;
                    self.reader
                        .seek(0)
                        .map_err(|error| WavError::Read(self.path.clone(), error.into()))?;
                }
                Some(Err(error)) => return Err(WavError::Read(self.path.clone(), error)),
                None => return Err(WavError::Empty(self.path.clone())),
            }
        }
    }
}

/// The mean of the next sample of each channel, −1 to 1.
fn read<R: Read>(reader: &mut WavReader<R>) -> Option<Result<f32, hound::Error>> {
    let WavSpec {
        channels,
        bits_per_sample,
        sample_format,
        ..
    } = reader.spec();
    let mut sum = 0.0;
    for _ in 0..channels {
        let sample = match sample_format {
            SampleFormat::Float => reader.samples::<f32>().next()?,
            SampleFormat::Int => {
                let full = (1_u64 << (bits_per_sample.clamp(1, 32) - 1)) as f32;
                reader.samples::<i32>().next()?.map(|sample| sample as f32 / full)
            }
        };
        match sample {
            Ok(sample) if sample.is_finite() => sum += sample.clamp(-1.0, 1.0),
            Ok(_) => {}
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(sum / f32::from(channels)))
}

/// Writes a WAV file: 48 kHz, mono, 16 bits.
///
/// The header is brought up to date each second of sound, so that the file can be played whatever
/// ends the program.
pub struct WavSink<W: Write + Seek = BufWriter<File>> {
    path: PathBuf,
    writer: WavWriter<W>,
    unflushed: usize,
}

impl WavSink {
    /// Makes the file, in the place of one that is there.
    pub fn create(path: &Path) -> Result<Self, WavError> {
        match File::create(path) {
            Ok(file) => Self::new(path, BufWriter::new(file)),
            Err(error) => Err(WavError::Write(path.into(), hound::Error::IoError(error))),
        }
    }
}

impl<W: Write + Seek> WavSink<W> {
    /// Writes to `writer`; `path` is its name in errors.
    pub fn new(path: &Path, writer: W) -> Result<Self, WavError> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: RATE,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let failed = |error| WavError::Write(path.into(), error);
        let mut writer = WavWriter::new(writer, spec).map_err(failed)?;
        writer.flush().map_err(failed)?;
        Ok(Self {
            path: path.into(),
            writer,
            unflushed: 0,
        })
    }

    /// Appends samples; what is beyond −1 to 1 is clipped.
    pub fn write(&mut self, samples: &[f32]) -> Result<(), WavError> {
        self.append(samples)
            .map_err(|error| WavError::Write(self.path.clone(), error))
    }

    fn append(&mut self, samples: &[f32]) -> Result<(), hound::Error> {
        for sample in samples {
            let scaled = (sample * 32_767.0).round().clamp(-32_768.0, 32_767.0);
            self.writer.write_sample(scaled as i16)?;
        }
        self.unflushed += samples.len();
        if self.unflushed >= RATE as usize {
            self.unflushed = 0;
            self.writer.flush()?;
        }
        Ok(())
    }

    /// Finishes the file. (Dropping does so too, but cannot tell of an error.)
    pub fn finish(self) -> Result<(), WavError> {
        let path = self.path;
        self.writer
            .finalize()
            .map_err(|error| WavError::Write(path, error))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn wav(spec: WavSpec, samples: &[i32]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).expect("a header");
        for sample in samples {
            match spec.sample_format {
                SampleFormat::Int => writer.write_sample(*sample).expect("a sample"),
                SampleFormat::Float => writer.write_sample(*sample as f32 / 1000.0).expect("a sample"),
            }
        }
        writer.finalize().expect("a file");
        bytes.into_inner()
    }

    fn spec(channels: u16, sample_rate: u32, bits_per_sample: u16) -> WavSpec {
        WavSpec {
            channels,
            sample_rate,
            bits_per_sample,
            sample_format: SampleFormat::Int,
        }
    }

    fn open(bytes: &[u8]) -> Result<WavLoop<Cursor<Vec<u8>>>, WavError> {
        WavLoop::new(Path::new("x.wav"), Cursor::new(bytes.to_vec()))
    }

    #[test]
    fn channels_are_mixed_and_the_end_is_followed_by_the_beginning() {
        let bytes = wav(spec(2, 48_000, 16), &[8192, 8192, 16384, 0, -16384, -16384]);
        let mut wav = open(&bytes).expect("a file");
        let mut out = [0.0; 7];
        wav.fill(&mut out).expect("sound");
        assert_eq!(out, [0.25, 0.25, -0.5, 0.25, 0.25, -0.5, 0.25]);
    }

    #[test]
    fn every_depth_means_the_same() {
        for bits in [8, 16, 24, 32] {
            let half = 1_i32 << (bits - 2);
            let mut wav = open(&wav(spec(1, 48_000, bits), &[half, -half])).expect("a file");
            let mut out = [0.0; 2];
            wav.fill(&mut out).expect("sound");
            assert_eq!(out, [0.5, -0.5], "{bits} bits");
        }
        let float = WavSpec {
            sample_format: SampleFormat::Float,
            ..spec(1, 48_000, 32)
        };
        let mut wav = open(&wav(float, &[500, -500])).expect("a file");
        let mut out = [0.0; 2];
        wav.fill(&mut out).expect("sound");
        assert_eq!(out, [0.5, -0.5]);
    }

    #[test]
    fn another_rate_takes_the_same_time() {
        let samples: Vec<i32> = (0..8_000).map(|i| i % 100 * 100).collect();
        let mut wav = open(&wav(spec(1, 8_000, 16), &samples)).expect("a file");
        let mut second = vec![0.0; 47_520];
        wav.fill(&mut second).expect("sound");
        assert!(wav.reader.samples::<i32>().count() <= 160);
    }

    #[test]
    fn a_file_cut_short_plays_what_it_has() {
        let mut bytes = wav(spec(1, 48_000, 16), &[100; 1000]);
        bytes.truncate(bytes.len() - 999);
        let mut wav = open(&bytes).expect("a file");
        wav.fill(&mut [0.0; 5000]).expect("sound");
    }

    #[test]
    fn what_is_no_wav_file_is_told() {
        let missing = WavLoop::open(Path::new("/nowhere/x.wav")).map(|_| ());
        let said = missing.expect_err("there is none").to_string();
        assert!(said.starts_with("cannot open /nowhere/x.wav"), "{said}");
        assert!(matches!(open(b"RIFF"), Err(WavError::Read(..))));
        let empty = wav(spec(1, 48_000, 16), &[]);
        assert!(matches!(open(&empty), Err(WavError::Empty(_))));
        let odd = wav(spec(1, 10, 16), &[1]);
        assert!(matches!(open(&odd), Err(WavError::Rate(_, 10))));
    }

    #[test]
    fn what_was_written_is_there_before_the_end() {
        let mut bytes = Cursor::new(Vec::new());
        let mut sink = WavSink::new(Path::new("x.wav"), &mut bytes).expect("a header");
        sink.write(&[0.5; 48_000]).expect("written");
        sink.write(&[0.5; 100]).expect("written");
        // The program is killed here.
        std::mem::forget(sink);
        let mut reader = WavReader::new(Cursor::new(bytes.into_inner())).expect("a header");
        assert_eq!(reader.duration(), 48_000);
        assert!(reader.samples::<i16>().all(|s| s.expect("a sample") == 16_384));
    }

    proptest! {
        #[test]
        fn no_file_can_harm(tail in prop::collection::vec(any::<u8>(), 0..100), cut in 0usize..60) {
            let mut bytes = wav(spec(2, 44_100, 24), &[1, 2, 3, 4]);
            let at = cut.min(bytes.len());
            bytes.splice(at.., tail);
            if let Ok(mut wav) = open(&bytes) {
                let _ = wav.fill(&mut [0.0; 100]);
            }
        }
    }
}
