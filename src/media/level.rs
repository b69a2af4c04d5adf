//! How loud it is, and whether somebody talks.

/// The quietest level that is shown, in dBFS.
const FLOOR_DB: f32 = -60.0;
/// A voice stands out of the background by this factor (10 dB).
const ABOVE: f32 = 3.2;
/// Nothing below −50 dBFS is a voice.
const FAINTEST: f32 = 0.003;
/// The background is never thought to be louder than −40 dBFS, so that a long tone stays a voice.
const NOISIEST: f32 = 0.01;
/// How much the background may rise in a block of 10 ms (1 dB a second).
const RISE: f32 = 1.001_15;
/// Blocks for which a voice lasts after its last loud one: 300 ms bridge the gaps between words.
const HANG: u32 = 30;

/// The root mean square of `block`, 0 to 1 for what fits into full scale.
pub fn rms(block: &[f32]) -> f32 {
    if block.is_empty() {
        return 0.0;
    }
    let power: f32 = block.iter().map(|s| s * s).sum();
    (power / block.len() as f32).sqrt()
}

/// What a meter shows for a root mean square: 0 is −60 dBFS and below, 1 is 0 dBFS.
pub fn meter(rms: f32) -> f32 {
    if rms > 0.0 {
        (1.0 - 20.0 * rms.log10() / FLOOR_DB).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// Tells a voice from the background by its loudness.
#[derive(Clone, Debug)]
pub struct VoiceDetector {
    background: f32,
    hang: u32,
}

impl Default for VoiceDetector {
    fn default() -> Self {
        Self {
            background: NOISIEST,
            hang: 0,
        }
    }
}

impl VoiceDetector {
    /// Takes the root mean square of the next 10 ms; true while somebody talks.
    pub fn hear(&mut self, rms: f32) -> bool {
        self.background = if rms < self.background {
            rms.max(1e-5)
        } else {
            (self.background * RISE).min(NOISIEST)
        };
        if rms > FAINTEST && rms > self.background * ABOVE {
            self.hang = HANG;
        } else {
            self.hang = self.hang.saturating_sub(1);
        }
        self.hang > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_spans_sixty_decibels() {
        assert_eq!(meter(0.0), 0.0);
        assert_eq!(meter(1.0), 1.0);
        assert!((meter(0.001) - 0.0).abs() < 1e-4);
        assert!((meter(0.1) - 2.0 / 3.0).abs() < 1e-4);
        assert_eq!(meter(f32::INFINITY), 1.0);
    }

    #[test]
    fn a_voice_is_told_from_a_humming_room() {
        let mut detector = VoiceDetector::default();
        assert!((0..500).all(|_| !detector.hear(0.004)));
        assert!(detector.hear(0.05));
        // Gaps between words are bridged, the end is not missed.
        assert!((0..29).all(|_| detector.hear(0.004)));
        assert!(!detector.hear(0.004));
    }

    #[test]
    fn a_long_tone_stays_a_voice() {
        let mut detector = VoiceDetector::default();
        assert!((0..6000).all(|_| detector.hear(0.07)));
    }
}
