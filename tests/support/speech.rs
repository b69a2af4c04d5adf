//! Speech to measure with, made by espeak-ng.

use std::process::Command;

use facetty::media::audio::RATE;
use facetty::media::wav::WavLoop;

const LINES: [&str; 6] = [
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background.",
    "It is easy to tell the depth of a well. These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls. The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck. The hogs were fed chopped corn and garbage.",
    "Four hours of steady work faced us. A large size in stockings is hard to sell.",
    "The boy was there when the sun rose. A rod is used to catch pink salmon.",
];

/// So many seconds of speech by this voice of espeak-ng (such as `en+m3`), 48 kHz mono, at −23 dBFS.
/// Sentences are parted by pauses, and differ with `first`.
pub fn speech(voice: &str, first: usize, seconds: usize) -> Vec<f32> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("said.wav");
    let mut all = Vec::new();
    for line in LINES.iter().cycle().skip(first % LINES.len()) {
        if all.len() >= seconds * RATE as usize {
            break;
        }
        let said = Command::new("espeak-ng")
            .args(["-v", voice, "-s", "150", "-w"])
            .arg(&path)
            .arg(line)
            .status();
        assert!(
            said.is_ok_and(|status| status.success()),
            "espeak-ng is missing or fails; install the package espeak-ng (.ci/setup test does)"
        );
        let file = hound::WavReader::open(&path).expect("what espeak-ng wrote");
        let length = file.duration() as usize * RATE as usize / file.spec().sample_rate as usize;
        let mut wav = WavLoop::open(&path).expect("what espeak-ng wrote");
        let from = all.len();
        all.resize(from + length, 0.0);
        wav.fill(&mut all[from..]).expect("as long as it said");
        // 600 ms between two lines.
        all.resize(all.len() + RATE as usize * 6 / 10, 0.0);
    }
    all.truncate(seconds * RATE as usize);
    let rms = (all.iter().map(|s| s * s).sum::<f32>() / all.len() as f32).sqrt();
    let gain = 10.0_f32.powf(-23.0 / 20.0) / rms.max(1e-6);
    all.iter_mut().for_each(|s| *s = (*s * gain).clamp(-1.0, 1.0));
    all
}

/// Numbers from −1 to 1 in an order that depends on the seed alone.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}
