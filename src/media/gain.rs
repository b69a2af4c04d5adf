//! The level control: brings a voice to a common level, slowly and only while it speaks, so that
//! neither syllables nor pauses pump.

use crate::media::audio::BLOCK;
use crate::media::level::rms;
use crate::media::mix::Mixer;

/// The level of speech that is aimed at, in dBFS.
const TARGET: f32 = -20.0;
/// The bounds of the gain, in dB. More would bring up the room; a loud voice is its owner's.
const LEAST: f32 = -6.0;
const MOST: f32 = 18.0;
/// How fast it changes, in dB a block: 3 dB a second of speech.
const CHANGE: f32 = 0.03;
/// The background is never lifted above this, in dBFS.
const LOUDEST_NOISE: f32 = -50.0;
/// Blocks of speech without which nothing is known of a voice: half a second.
const ENOUGH: u32 = 50;
/// Blocks of speech over which its level is averaged: 3 s.
const MEMORY: u32 = 300;
/// How likely it must be that a block is speech.
const CERTAIN: f32 = 0.8;
/// How fast the background may rise, as a factor a block (1 dB a second).
const RISE: f32 = 1.001_15;

/// Brings one voice to the common level.
#[derive(Clone, Debug)]
pub struct LevelControl {
    /// The mean power of speech, of so many blocks.
    power: f32,
    blocks: u32,
    /// Root mean square of the background.
    noise: f32,
    gain: f32,
    limiter: Mixer,
}

impl Default for LevelControl {
    fn default() -> Self {
        Self {
            power: 0.0,
            blocks: 0,
            noise: 1.0,
            gain: 0.0,
            limiter: Mixer::default(),
        }
    }
}

impl LevelControl {
    /// Brings 10 ms to the level, in place; they are speech with this likelihood, 0 to 1. What `doubtful`
    /// says may be somebody else's is not learned from.
    pub fn adjust(&mut self, block: &mut [f32; BLOCK], speech: f32, doubtful: bool) {
        let loud = rms(block);
        self.noise = (self.noise * RISE).min(loud.max(1e-6));
        let before = self.gain;
        if speech > CERTAIN && !doubtful && loud.is_finite() {
            self.blocks = (self.blocks + 1).min(MEMORY);
            self.power += (loud * loud - self.power) / self.blocks as f32;
            if self.blocks >= ENOUGH {
                let quiet = (LOUDEST_NOISE - db(self.noise)).max(0.0);
                let wanted = (TARGET - db(self.power.sqrt())).clamp(LEAST, MOST.min(quiet));
                self.gain += (wanted - self.gain).clamp(-CHANGE, CHANGE);
            }
        }
        let (from, to) = (factor(before), factor(self.gain));
        for (i, sample) in block.iter_mut().enumerate() {
            *sample *= from + (to - from) * (i + 1) as f32 / BLOCK as f32;
        }
        self.limiter.limit(block);
    }

    /// The gain at present, in dB.
    pub fn gain(&self) -> f32 {
        self.gain
    }
}

fn db(rms: f32) -> f32 {
    20.0 * rms.max(1e-6).log10()
}

fn factor(db: f32) -> f32 {
    10.0_f32.powf(db / 20.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The gain after so many seconds in which each second is half speech of `level` dBFS and half a
    /// background of `noise` dBFS, and its greatest change within a pause.
    fn after(seconds: usize, level: f32, noise: f32, doubtful: bool) -> (f32, f32) {
        let mut control = LevelControl::default();
        let mut pumped = 0.0_f32;
        for step in 0..seconds * 100 {
            let speaks = step % 100 < 50;
            let loud = factor(if speaks { level } else { noise });
            let mut block: [f32; BLOCK] = std::array::from_fn(|i| if i % 2 == 0 { loud } else { -loud });
            let before = control.gain();
            control.adjust(&mut block, if speaks { 0.99 } else { 0.01 }, doubtful);
            if !speaks {
                pumped = pumped.max((control.gain() - before).abs());
            }
        }
        (control.gain(), pumped)
    }

    #[test]
    fn a_faint_voice_is_lifted_and_a_loud_one_turned_down() {
        let (faint, pumped) = after(30, -32.0, -80.0, false);
        assert!((faint - 12.0).abs() < 0.5, "{faint} dB");
        assert_eq!(pumped, 0.0, "in pauses it stays");
        assert_eq!(after(60, -50.0, -90.0, false).0, MOST);
        assert_eq!(after(60, -5.0, -80.0, false).0, LEAST);
        assert!(after(60, -20.0, -80.0, false).0.abs() < 0.5);
    }

    #[test]
    fn it_never_pumps() {
        // Words and pauses over a steady noise, of a voice that turns away from time to time.
        let mut control = LevelControl::default();
        let (mut gains, mut in_pauses) = (Vec::new(), 0.0_f32);
        for step in 0..120 * 100_usize {
            let speaks = step % 170 < 110 && step % 9 != 0;
            let away = if step / 1_000 % 2 == 0 { 0.0 } else { -9.0 };
            let loud = factor(if speaks { -30.0 + away } else { -62.0 });
            let mut block: [f32; BLOCK] = std::array::from_fn(|i| if i % 2 == 0 { loud } else { -loud });
            let before = control.gain();
            control.adjust(&mut block, if speaks { 0.95 } else { 0.1 }, false);
            if !speaks {
                in_pauses = in_pauses.max((control.gain() - before).abs());
            }
            gains.push(control.gain());
        }
        let change = |from: usize| {
            let pairs = gains[from..].iter().zip(&gains[from + 100..]);
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        assert!(change(0) <= 3.0, "{} dB in a second", change(0));
        assert!(
            change(3_000) <= 2.0,
            "{} dB in a second once it is known",
            change(3_000)
        );
        assert_eq!(in_pauses, 0.0);
    }

    #[test]
    fn it_takes_its_time() {
        let (early, _) = after(3, -40.0, -80.0, false);
        assert!((1.0..4.6).contains(&early), "{early} dB after 3 s");
    }

    #[test]
    fn neither_the_room_nor_an_echo_is_lifted() {
        let (noisy, _) = after(60, -38.0, -58.0, false);
        assert!(noisy <= 8.5, "{noisy} dB over a background of −58 dBFS");
        assert_eq!(after(60, -40.0, -80.0, true).0, 0.0);
    }

    proptest! {
        #[test]
        fn no_sound_can_harm(samples in prop::collection::vec(any::<f32>(), 0..50)) {
            let mut control = LevelControl::default();
            for sample in samples {
                let mut block = [sample; BLOCK];
                control.adjust(&mut block, 0.9, false);
                prop_assert!(block.iter().all(|s| s.abs() <= 1.0));
                prop_assert!((LEAST..=MOST).contains(&control.gain()));
            }
        }
    }
}
