//! From one sample rate to another, by a windowed sinc.

use std::f64::consts::PI;

/// Input samples that an output sample is made of. 32 keep what folds back below −70 dB.
const TAPS: usize = 32;
/// Places between two input samples for which the filter is tabulated; between them it is
/// interpolated.
const PHASES: usize = 256;

/// Converts a stream of samples between two rates; the quotient may be any.
pub struct Resampler {
    /// Input samples for each output sample.
    step: f64,
    /// Where the next output sample lies behind the middle of the history, in input samples.
    at: f64,
    /// The newest input samples, twice over, so that any [`TAPS`] of them lie in a row.
    history: [f32; 2 * TAPS],
    head: usize,
    /// `PHASES + 1` rows of [`TAPS`] weights; empty where nothing is to be done.
    weights: Vec<f32>,
}

impl Resampler {
    /// From `from` to `to` hertz; both are taken as at least one.
    pub fn new(from: u32, to: u32) -> Self {
        let (from, to) = (f64::from(from.max(1)), f64::from(to.max(1)));
        let weights = if from == to {
            Vec::new()
        } else {
            // Going down, the filter also keeps out what the lower rate cannot hold.
            weights((to / from).min(1.0) * 0.93)
        };
        Self {
            step: from / to,
            at: 0.0,
            history: [0.0; 2 * TAPS],
            head: 0,
            weights,
        }
    }

    /// Takes one sample in and gives what comes out of it, none or several.
    pub fn push(&mut self, sample: f32, mut out: impl FnMut(f32)) {
        if self.weights.is_empty() {
            return out(sample);
        }
        self.history[self.head] = sample;
        self.history[self.head + TAPS] = sample;
        self.head = (self.head + 1) % TAPS;
        let newest = &self.history[self.head..self.head + TAPS];
        while self.at < 1.0 {
            let place = self.at * PHASES as f64;
            let row = (place as usize).min(PHASES - 1);
            let part = (place - row as f64) as f32;
            let low = &self.weights[row * TAPS..][..TAPS];
            let high = &self.weights[(row + 1) * TAPS..][..TAPS];
            let mut sum = 0.0;
            for i in 0..TAPS {
                sum += newest[i] * (low[i] + (high[i] - low[i]) * part);
            }
            out(sum);
            self.at += self.step;
        }
        self.at -= 1.0;
    }
}

/// The filter's weights for each place, passing frequencies up to `cutoff` of the input's half rate.
fn weights(cutoff: f64) -> Vec<f32> {
    let half = TAPS as f64 / 2.0;
    let mut table = Vec::with_capacity((PHASES + 1) * TAPS);
    for phase in 0..=PHASES {
        let place = phase as f64 / PHASES as f64;
        let row: Vec<f64> = (0..TAPS)
            .map(|tap| {
                // From the output sample to this input sample; the middle lies between the taps
                // `half - 1` and `half`.
                let x = tap as f64 - (half - 1.0) - place;
                let sinc = if x.abs() < 1e-9 {
                    cutoff
                } else {
                    (PI * cutoff * x).sin() / (PI * x)
                };
                let w = (x / half).clamp(-1.0, 1.0);
                // Blackman.
                sinc * (0.42 + 0.5 * (PI * w).cos() + 0.08 * (2.0 * PI * w).cos())
            })
            .collect();
        let sum: f64 = row.iter().sum();
        table.extend(row.iter().map(|weight| (weight / sum) as f32));
    }
    table
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    /// The power of what a sine of `pitch` becomes, relative to a sine of full scale.
    fn through(from: u32, to: u32, pitch: f32) -> (usize, f32) {
        let mut resampler = Resampler::new(from, to);
        let mut out = Vec::new();
        for i in 0..from {
            let turns = f64::from(pitch) * f64::from(i) / f64::from(from);
            resampler.push((2.0 * PI * turns).sin() as f32, |s| out.push(s));
        }
        let settled = &out[200..];
        let power = settled.iter().map(|s| s * s).sum::<f32>() / settled.len() as f32;
        (out.len(), power * 2.0)
    }

    #[test]
    fn each_rate_keeps_pitch_length_and_loudness() {
        for (from, to) in [
            (44_100, 48_000),
            (8_000, 48_000),
            (48_000, 44_100),
            (96_000, 48_000),
            (11_025, 48_000),
            (48_000, 48_000),
        ] {
            let (length, power) = through(from, to, 1000.0);
            assert!(length.abs_diff(to as usize) <= 2, "{from} to {to}: {length}");
            assert!((power - 1.0).abs() < 0.01, "{from} to {to}: {power}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_kept_out() {
        let (_, power) = through(96_000, 48_000, 40_000.0);
        assert!(power < 1e-5, "{power}");
    }

    #[test]
    fn nothing_new_is_heard_above_the_old_half_rate() {
        // 3 kHz at 8 kHz would mirror at 5 kHz; measured against a clean sine.
        let mut resampler = Resampler::new(8_000, 48_000);
        let mut out = Vec::new();
        for i in 0..8_000 {
            resampler.push((TAU * 3000.0 * i as f32 / 8000.0).sin(), |s| out.push(s));
        }
        let bin = |pitch: f32| {
            let (mut re, mut im) = (0.0, 0.0);
            for (i, s) in out[4800..43_200].iter().enumerate() {
                let angle = TAU * pitch * i as f32 / 48_000.0;
                re += s * angle.cos();
                im += s * angle.sin();
            }
            (re * re + im * im).sqrt() / 19_200.0
        };
        assert!(bin(3000.0) > 0.95);
        assert!(bin(5000.0) < 0.003, "{}", bin(5000.0));
    }
}
