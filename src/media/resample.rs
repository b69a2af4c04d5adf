//! From one sample rate to another, and from one clock to another (rubato).

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Adjustable, Async, FixedAsync, PolynomialDegree, SincInterpolationParameters, Slip, WindowFunction,
};

use crate::media::audio::BLOCK;

/// Input samples that an output sample is made of where the rates differ: what folds back stays below
/// −90 dB, and 16 kHz of 44.1 kHz pass.
const TAPS: usize = 64;
/// Two clocks of the same rate never differ by more than this factor.
const MOST_PULL: f64 = 1.005;

/// Converts a stream of mono samples, a block at a time.
pub struct Resampler {
    inner: Box<dyn Adjustable<f32> + Send>,
}

impl Resampler {
    /// From `from` to `to` hertz; each run takes [`BLOCK`] samples.
    pub fn taking(from: u32, to: u32) -> Self {
        Self::new(from, to, FixedAsync::Input)
    }

    /// From `from` to `to` hertz; each run gives [`BLOCK`] samples.
    pub fn giving(from: u32, to: u32) -> Self {
        Self::new(from, to, FixedAsync::Output)
    }

    /// From one clock to another of the same rate; each run gives [`BLOCK`] samples. Now and then a sample
    /// more or less is faded in over 3 ms: that costs a copy, delays nothing, and is not heard. An echo
    /// canceller, which measures the time between two samples, is better served by [`Self::giving`].
    pub fn following() -> Self {
        let slip = Slip::new(BLOCK, 1, FixedAsync::Output);
        Self {
            inner: Box::new(slip.expect("a block has room to slip in")),
        }
    }

    fn new(from: u32, to: u32, fixed: FixedAsync) -> Self {
        let (from, to) = (f64::from(from.max(1)), f64::from(to.max(1)));
        let made = if from == to {
            // Nothing can fold back: only the time between two samples is to be met.
            Async::new_poly(1.0, MOST_PULL, PolynomialDegree::Septic, BLOCK, 1, fixed)
        } else {
            let sinc = SincInterpolationParameters::new(TAPS, WindowFunction::BlackmanHarris2);
            Async::new_sinc(to / from, MOST_PULL, &sinc, BLOCK, 1, fixed)
        };
        Self {
            inner: Box::new(made.expect("ratio and block are positive")),
        }
    }

    /// Gives `factor` times as many samples as the rates alone would have it, from the next run on.
    /// Taken as at most 0.5 % off.
    pub fn pull(&mut self, factor: f64) {
        let factor = factor.clamp(1.0 / MOST_PULL, MOST_PULL);
        self.inner
            .set_resample_ratio_relative(factor, true)
            .expect("the factor is within bounds");
    }

    /// Samples that the next run takes.
    pub fn needs(&self) -> usize {
        self.inner.input_frames_next()
    }

    /// Samples that any run takes at most.
    pub fn needs_at_most(&self) -> usize {
        self.inner.input_frames_max()
    }

    /// Samples that any run gives at most: what `output` must have room for.
    pub fn gives_at_most(&self) -> usize {
        self.inner.output_frames_max()
    }

    /// Converts the first [`Self::needs`] samples of `input`. Returns how many it gave.
    pub fn run(&mut self, input: &[f32], output: &mut [f32]) -> usize {
        let (from, to) = (input.len(), output.len());
        let input = InterleavedSlice::new(input, 1, from).expect("one channel fits its length");
        let mut output = InterleavedSlice::new_mut(output, 1, to).expect("one channel fits its length");
        self.inner
            .process_into_buffer(&input, &mut output, None)
            .expect("the caller gave as much as it needs and room for what it gives")
            .1
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// Twenty seconds of a sine of full scale at `pitch`, through `resampler`, by blocks.
    fn through(mut resampler: Resampler, from: u32, pitch: f64, pull: f64) -> (usize, Vec<f32>) {
        resampler.pull(pull);
        let mut at = 0;
        let mut out = Vec::new();
        while at < from as usize * 4 {
            let taken = resampler.needs();
            assert!(taken <= resampler.needs_at_most());
            let sine = |i: usize| (TAU * pitch * (at + i) as f64 / f64::from(from)).sin() as f32;
            let input: Vec<f32> = (0..taken).map(sine).collect();
            let mut given = vec![0.0; resampler.gives_at_most()];
            let count = resampler.run(&input, &mut given);
            out.extend_from_slice(&given[..count]);
            at += taken;
        }
        (at, out)
    }

    /// The power of `samples` at `pitch` and all of it, relative to a sine of full scale.
    fn power(samples: &[f32], rate: u32, pitch: f64) -> (f64, f64) {
        let settled = &samples[1000..];
        let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
        for (i, sample) in settled.iter().enumerate() {
            let angle = TAU * pitch * i as f64 / f64::from(rate);
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
            all += f64::from(sample * sample);
        }
        let n = settled.len() as f64;
        (4.0 * (re * re + im * im) / (n * n), 2.0 * all / n)
    }

    #[test]
    fn each_rate_keeps_pitch_length_and_loudness() {
        for (from, to) in [
            (44_100, 48_000),
            (8_000, 48_000),
            (48_000, 44_100),
            (96_000, 48_000),
            (48_000, 48_000),
        ] {
            for resampler in [Resampler::taking(from, to), Resampler::giving(from, to)] {
                let (taken, out) = through(resampler, from, 1000.0, 1.0);
                let expected = taken as f64 * f64::from(to) / f64::from(from);
                assert!(
                    (out.len() as f64 - expected).abs() < 300.0,
                    "{from} to {to}: {}",
                    out.len()
                );
                let (tone, all) = power(&out, to, 1000.0);
                assert!((tone - 1.0).abs() < 0.01, "{from} to {to}: {tone}");
                assert!((all - tone).abs() < 1e-3, "{from} to {to}: {tone} of {all}");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_kept_out() {
        let (_, out) = through(Resampler::giving(96_000, 48_000), 96_000, 40_000.0, 1.0);
        let (_, all) = power(&out, 48_000, 8_000.0);
        assert!(all < 1e-7, "{all}");
    }

    #[test]
    fn a_slip_is_no_click() {
        for factor in [1.0002, 0.9998] {
            let (taken, out) = through(Resampler::following(), 48_000, 300.0, factor);
            let expected = taken as f64 * factor;
            assert!((out.len() as f64 - expected).abs() < 2.0, "{}", out.len());
            let steepest = out.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
            let slope = (TAU * 300.0 / 48_000.0) as f32;
            assert!(steepest < slope * 1.02, "{steepest} of {slope}");
        }
    }

    #[test]
    fn a_clock_is_followed_without_a_click() {
        for factor in [1.0002, 0.9998] {
            let (taken, out) = through(Resampler::giving(48_000, 48_000), 48_000, 1000.0, factor);
            assert!(
                (out.len() as f64 - taken as f64 * factor).abs() < 600.0,
                "{}",
                out.len()
            );
            let (tone, all) = power(&out, 48_000, 1000.0 / factor);
            assert!(
                (all - tone).abs() < 1e-3 && (tone - 1.0).abs() < 0.01,
                "{tone} of {all}"
            );
        }
    }
}
