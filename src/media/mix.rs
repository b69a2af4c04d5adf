//! Several voices into one, without clipping.

use crate::media::audio::BLOCK;

/// The loudest sample that leaves the mixer: just under full scale.
const CEILING: f32 = 0.98;
/// How much of the reduction is given back in a block: about 200 ms to be whole again.
const RELEASE: f32 = 0.1;

/// Adds blocks up and keeps the sum below full scale.
#[derive(Clone, Debug)]
pub struct Mixer {
    gain: f32,
}

impl Default for Mixer {
    fn default() -> Self {
        Self { gain: 1.0 }
    }
}

/// Adds `voice` to `sum`, at a volume that goes evenly from the factor `from` to the factor `to`.
pub fn add(sum: &mut [f32; BLOCK], voice: &[f32; BLOCK], from: f32, to: f32) {
    for (i, (sum, voice)) in sum.iter_mut().zip(voice).enumerate() {
        let factor = from + (to - from) * (i + 1) as f32 / BLOCK as f32;
        *sum += voice * factor;
    }
}

impl Mixer {
    /// Turns `sum` down as far as its peak needs, and up again slowly once it does not. What is not a
    /// number becomes silence.
    pub fn limit(&mut self, sum: &mut [f32; BLOCK]) {
        let mut peak = 0.0_f32;
        for sample in sum.iter_mut() {
            if !sample.is_finite() {
                *sample = 0.0;
            }
            peak = peak.max(sample.abs());
        }
        let wanted = if peak > CEILING { CEILING / peak } else { 1.0 };
        if wanted >= 1.0 && self.gain >= 0.999 {
            self.gain = 1.0;
            return;
        }
        let from = self.gain;
        // Down at once, up slowly.
        let to = wanted.min(from + (1.0 - from) * RELEASE);
        for (i, sample) in sum.iter_mut().enumerate() {
            let gain = from + (to - from) * (i + 1) as f32 / BLOCK as f32;
            *sample = (*sample * gain).clamp(-CEILING, CEILING);
        }
        self.gain = to;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_is_not_touched() {
        let mut mixer = Mixer::default();
        let mut sum = [0.3; BLOCK];
        add(&mut sum, &[0.8; BLOCK], 0.5, 0.5);
        mixer.limit(&mut sum);
        assert!(sum.iter().all(|s| (*s - 0.7).abs() < 1e-6));
    }

    #[test]
    fn a_change_of_volume_does_not_click() {
        let mut sum = [0.0; BLOCK];
        add(&mut sum, &[1.0; BLOCK], 1.0, 0.25);
        assert_eq!(sum[BLOCK - 1], 0.25);
        assert!(sum.windows(2).all(|w| (w[1] - w[0]).abs() < 0.002));
    }

    #[test]
    fn a_loud_moment_passes() {
        let mut mixer = Mixer::default();
        mixer.limit(&mut [4.0; BLOCK]);
        let mut sum = [0.5; BLOCK];
        mixer.limit(&mut sum);
        assert!(sum[BLOCK - 1] < 0.3);
        for _ in 0..100 {
            sum = [0.5; BLOCK];
            mixer.limit(&mut sum);
        }
        assert_eq!(sum, [0.5; BLOCK]);
    }

    proptest! {
        #[test]
        fn nothing_leaves_full_scale(blocks in prop::collection::vec(any::<f32>(), 1..20)) {
            let mut mixer = Mixer::default();
            for value in blocks {
                let mut sum = [value; BLOCK];
                sum[7] = -value;
                mixer.limit(&mut sum);
                prop_assert!(sum.iter().all(|s| s.abs() <= CEILING));
            }
        }
    }
}
