//! The short, quiet sounds that tell without a look at the screen that somebody came or went.

use std::f32::consts::TAU;

use crate::media::audio::{BLOCK, RATE};

/// Its peak: −26 dBFS, well below a voice.
const PEAK: f32 = 0.05;
/// A note's length: 120 ms.
const NOTE: usize = RATE as usize * 12 / 100;
/// A note swells for this long (5 ms), so that nothing clicks, and fades for the rest.
const SWELL: usize = RATE as usize / 200;
/// The lower and the higher note, in hertz (C and G: a fifth).
const NOTES: [f32; 2] = [523.25, 783.99];

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chime {
    /// Somebody came: two notes upwards.
    Joined,
    /// Somebody went: two notes downwards.
    Left,
}

/// Plays one chime at a time.
#[derive(Clone, Debug, Default)]
pub struct Chimes {
    playing: Option<(Chime, usize)>,
}

impl Chimes {
    /// Begins a chime; one that plays is cut short only once it has faded.
    pub fn ring(&mut self, chime: Chime) {
        if self.playing.is_none() {
            self.playing = Some((chime, 0));
        }
    }

    /// Adds the next 10 ms to `sum`.
    pub fn add(&mut self, sum: &mut [f32; BLOCK]) {
        let Some((chime, at)) = self.playing else {
            return;
        };
        for (i, sample) in sum.iter_mut().enumerate() {
            *sample += value(chime, at + i);
        }
        let at = at + BLOCK;
        self.playing = (at < 2 * NOTE).then_some((chime, at));
    }
}

fn value(chime: Chime, at: usize) -> f32 {
    let (note, at) = (at / NOTE, at % NOTE);
    let pitch = match (chime, note) {
        (Chime::Joined, 0) | (Chime::Left, 1) => NOTES[0],
        (Chime::Joined, 1) | (Chime::Left, 0) => NOTES[1],
        _ => return 0.0,
    };
    let swell = (at as f32 / SWELL as f32).min(1.0);
    let fade = 1.0 - at as f32 / NOTE as f32;
    PEAK * swell * fade * fade * (TAU * pitch * at as f32 / RATE as f32).sin()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::level::rms;

    #[test]
    fn a_chime_is_short_quiet_and_does_not_click() {
        let mut chimes = Chimes::default();
        chimes.ring(Chime::Joined);
        chimes.ring(Chime::Left);
        let mut all = Vec::new();
        for _ in 0..40 {
            let mut block = [0.0; BLOCK];
            chimes.add(&mut block);
            all.extend_from_slice(&block);
        }
        let loudest = all.iter().fold(0.0_f32, |most, s| most.max(s.abs()));
        assert!((0.02..=PEAK).contains(&loudest), "{loudest}");
        assert!(all[2 * NOTE..].iter().all(|s| *s == 0.0));
        // A voice is brought to −20 dBFS; this is to be 15 dB below it, and to be heard.
        let loud = 20.0 * rms(&all[..2 * NOTE]).log10();
        assert!((-45.0..=-35.0).contains(&loud), "{loud} dBFS");
        let steepest = all.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < PEAK * TAU * NOTES[1] / RATE as f32 * 1.1, "{steepest}");
    }
}
