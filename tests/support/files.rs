//! Clips and recordings with known content.

use std::f32::consts::TAU;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use facetty::media::frame::I420;
use facetty::media::stamp;
use facetty::media::test_picture::TestPicture;
use facetty::units::Size;
use tempfile::TempDir;

use super::program::source;

/// The size of a folder's clip, how many frames it has, and the pitch of its tone.
pub const CLIP: Size = Size::new(320, 240);
pub const CLIP_FRAMES: u32 = 90;
pub const TONE_HZ: f32 = 700.0;

/// Files for one test.
pub struct Folder(TempDir);

impl Folder {
    /// An empty one, gone with the test.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("there is room for temporary files"))
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// Where a file of this name is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A stamped clip, as `--camera` takes it.
    pub fn clip(&self) -> String {
        let path = self.path("clip.y4m");
        write_stamped_clip(&path, CLIP, CLIP_FRAMES);
        source("y4m", &path)
    }

    /// A tone, as `--mic` takes it.
    pub fn tone(&self) -> String {
        let path = self.path("tone.wav");
        write_tone(&path, TONE_HZ, 2);
        source("wav", &path)
    }
}

/// Frames a second of the clips made here.
pub const FPS: u32 = 30;

/// The header of a clip of this size, and the line before each frame.
pub fn y4m_header(size: Size) -> String {
    format!(
        "YUV4MPEG2 W{} H{} F{FPS}:1 Ip A1:1 C420jpeg\n",
        size.width, size.height
    )
}

/// Stands before each frame.
pub const FRAME: &[u8] = b"FRAME\n";

/// The moving test picture as frame `n` of a clip, with `n` stamped on it.
pub fn stamped(size: Size, n: u32) -> I420 {
    let mut picture = I420::new(size);
    TestPicture::default().draw(&mut picture, Duration::from_secs(1) * n / FPS);
    stamp::stamp(&mut picture, n);
    picture
}

/// A clip of frames stamped 0, 1, 2 …
pub fn write_stamped_clip(path: &Path, size: Size, frames: u32) {
    let mut clip = y4m_header(size).into_bytes();
    for n in 0..frames {
        clip.extend_from_slice(FRAME);
        clip.extend_from_slice(stamped(size, n).bytes());
    }
    std::fs::write(path, clip).expect("the folder of the test can be written");
}

/// The frames of a Y4M file; a last one that is cut short is left out.
pub fn read_clip(path: &Path) -> Vec<I420> {
    let bytes = std::fs::read(path).expect("the clip is there");
    let line = |from: usize| {
        let end = bytes[from..].iter().position(|&b| b == b'\n')?;
        Some((
            std::str::from_utf8(&bytes[from..from + end]).expect("a header is text"),
            from + end + 1,
        ))
    };
    let Some((header, mut at)) = line(0) else {
        return Vec::new();
    };
    assert!(header.starts_with("YUV4MPEG2 "), "not Y4M: {header}");
    let number = |key: char| {
        let field = header.split(' ').skip(1).find_map(|f| f.strip_prefix(key));
        field
            .and_then(|f| f.parse().ok())
            .unwrap_or_else(|| panic!("no {key} in {header}"))
    };
    let size = Size::new(number('W'), number('H'));
    let length = facetty::media::frame::i420_len(size);
    let mut frames = Vec::new();
    while let Some((mark, start)) = line(at) {
        assert!(mark.starts_with("FRAME"), "no frame at {at}: {mark}");
        let Some(samples) = bytes.get(start..start + length) else {
            break;
        };
        frames.push(I420::from_bytes(size, samples.to_vec()).expect("as long as the size says"));
        at = start + length;
    }
    frames
}

/// Samples a second of the sound files made here.
pub const RATE: u32 = 48_000;

/// A sine of `hz`, half of full scale, mono, `seconds` long.
pub fn write_tone(path: &Path, hz: f32, seconds: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).expect("the folder of the test can be written");
    for n in 0..RATE * seconds {
        let sample = (TAU * hz * n as f32 / RATE as f32).sin() * 0.5;
        file.write_sample((sample * f32::from(i16::MAX)) as i16)
            .expect("there is room");
    }
    file.finalize().expect("there is room");
}

/// The first channel of a WAV file, ±1, and its rate.
pub fn read_wav(path: &Path) -> (Vec<f32>, u32) {
    let mut file = hound::WavReader::open(path).expect("a WAV file");
    let spec = file.spec();
    let channels = usize::from(spec.channels);
    let samples: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => file.samples::<f32>().map_while(Result::ok).collect(),
        hound::SampleFormat::Int => {
            let full = (1i64 << (spec.bits_per_sample - 1)) as f32;
            file.samples::<i32>()
                .map_while(Result::ok)
                .map(|s| s as f32 / full)
                .collect()
        }
    };
    (samples.into_iter().step_by(channels).collect(), spec.sample_rate)
}

/// The share of the power of `samples` that lies at `hz`, 0 to 1 (a bin of Fourier's transform).
pub fn share_at(samples: &[f32], rate: u32, hz: f32) -> f32 {
    let (mut re, mut im, mut power) = (0.0f64, 0.0f64, 0.0f64);
    for (n, &sample) in samples.iter().enumerate() {
        let angle = f64::from(TAU * hz) * n as f64 / f64::from(rate);
        re += f64::from(sample) * angle.cos();
        im += f64::from(sample) * angle.sin();
        power += f64::from(sample).powi(2);
    }
    let n = samples.len() as f64;
    if power == 0.0 {
        return 0.0;
    }
    ((re * re + im * im) * 2.0 / (n * power)) as f32
}

/// A file with these bytes.
pub fn write(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::File::create(path).expect("the folder of the test can be written");
    file.write_all(bytes).expect("there is room");
}

/// As files hold certificates and keys (RFC 7468).
pub fn pem(label: &str, der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
