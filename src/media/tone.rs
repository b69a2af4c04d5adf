//! A microphone that needs no device: a gentle beep, for tests and for trying a call out.

use std::f32::consts::TAU;

use crate::media::audio::RATE;

/// The beep's pitch in hertz (the A above middle C).
pub const PITCH: f32 = 440.0;
/// Its peak: −20 dBFS.
const PEAK: f32 = 0.1;
/// A beep begins each second …
const PERIOD: u32 = RATE;
/// … lasts so long (0.7 s), …
const ON: u32 = RATE * 7 / 10;
/// … and swells and fades in 20 ms, so that nothing clicks.
const EDGE: u32 = RATE / 50;

/// 440 Hz at −20 dBFS, 0.7 s on and 0.3 s off, for ever.
#[derive(Clone, Debug, Default)]
pub struct Tone {
    /// The next sample's place in the second; the pitch fits into a second a whole number of times.
    at: u32,
}

impl Tone {
    /// From the beginning of a beep.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next samples.
    pub fn fill(&mut self, out: &mut [f32]) {
        for sample in out {
            *sample = if self.at < ON {
                let edge = self.at.min(ON - self.at).min(EDGE) as f32 / EDGE as f32;
                let swell = 0.5 - 0.5 * (edge * TAU / 2.0).cos();
                PEAK * swell * (TAU * PITCH * self.at as f32 / RATE as f32).sin()
            } else {
                0.0
            };
            self.at = (self.at + 1) % PERIOD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_beeps_at_its_pitch_without_a_click() {
        let mut tone = Tone::new();
        let mut out = vec![0.0; 2 * RATE as usize];
        tone.fill(&mut out);
        let rising = out.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count() as f32;
        assert!((rising / 1.4 - PITCH).abs() < 5.0, "{rising} periods in 1.4 s");
        let steepest = out.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(steepest <= PEAK * TAU * PITCH / RATE as f32 * 1.01);
        assert!(out[..24_000].iter().any(|s| *s > 0.099));
    }
}
