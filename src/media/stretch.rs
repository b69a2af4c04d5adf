//! Makes voice a little shorter or longer without changing its pitch: whole periods are taken out or
//! put in and the seam is faded over (WSOLA).

/// The shortest piece in samples: 2.5 ms.
const SHORTEST: usize = 120;
/// The longest piece: 12.5 ms, a period of the deepest voice.
const LONGEST: usize = 600;
/// The seam: 5 ms.
const SEAM: usize = 240;
/// Samples a frame must have to be changed.
pub const LEAST: usize = LONGEST + SEAM;
/// Only each fourth sample is looked at while searching; voice below 6 kHz tells the period.
const COARSE: usize = 4;
/// How alike both sides of the seam must be, 0 to 1.
const ALIKE: f32 = 0.7;
/// Power below which a frame is silence (−50 dBFS), and any piece will do.
const SILENCE: f32 = 1e-5;

/// Takes one piece out of `frame`. Returns how many samples shorter it got; 0 where it cannot be done
/// unheard (with `hurry` it is done all the same).
pub fn shrink(frame: &mut Vec<f32>, hurry: bool) -> usize {
    let Some(piece) = period(frame, hurry) else {
        return 0;
    };
    for i in 0..SEAM {
        let fade = (i + 1) as f32 / (SEAM + 1) as f32;
        frame[i] += (frame[i + piece] - frame[i]) * fade;
    }
    frame.drain(SEAM..SEAM + piece);
    piece
}

/// Puts one piece into `frame`, which keeps its allocation if it has room for [`LEAST`] more. Returns
/// how many samples longer it got; 0 where it cannot be done unheard.
pub fn grow(frame: &mut Vec<f32>, hurry: bool) -> usize {
    let Some(piece) = period(frame, hurry) else {
        return 0;
    };
    let length = frame.len();
    frame.resize(length + piece, 0.0);
    frame.copy_within(SEAM..length, SEAM + piece);
    // From what would have followed to what is said again.
    let mut again = [0.0; SEAM];
    again.copy_from_slice(&frame[..SEAM]);
    for (i, again) in again.iter().enumerate() {
        let fade = (i + 1) as f32 / (SEAM + 1) as f32;
        frame[piece + i] += (again - frame[piece + i]) * fade;
    }
    piece
}

/// The length of the piece after which the frame is most like itself.
fn period(frame: &[f32], hurry: bool) -> Option<usize> {
    if frame.len() < LEAST {
        return None;
    }
    let power = frame.iter().map(|s| s * s).sum::<f32>() / frame.len() as f32;
    if power < SILENCE {
        return Some(LONGEST.min(frame.len() - SEAM));
    }
    let coarse = best(frame, (SHORTEST..=LONGEST).step_by(COARSE), COARSE)?;
    let near = coarse.0.saturating_sub(COARSE).max(SHORTEST)..=(coarse.0 + COARSE).min(LONGEST);
    let (piece, alike) = best(frame, near, 1)?;
    (hurry || alike >= ALIKE).then_some(piece)
}

/// The lag of `lags` with the greatest normalised correlation, and that.
fn best(frame: &[f32], lags: impl Iterator<Item = usize>, step: usize) -> Option<(usize, f32)> {
    let mut found: Option<(usize, f32)> = None;
    for lag in lags {
        let (mut product, mut left, mut right) = (0.0, 0.0, 0.0);
        for i in (0..SEAM).step_by(step) {
            let (a, b) = (frame[i], frame[i + lag]);
            product += a * b;
            left += a * a;
            right += b * b;
        }
        let alike = product / (left * right).sqrt().max(1e-9);
        if found.is_none_or(|(_, most)| alike > most) {
            found = Some((lag, alike));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use proptest::prelude::*;

    use super::*;
    use crate::media::audio::FRAME;

    fn sine(pitch: f32) -> Vec<f32> {
        (0..FRAME)
            .map(|i| 0.3 * (TAU * pitch * i as f32 / 48_000.0).sin())
            .collect()
    }

    fn steepest(frame: &[f32]) -> f32 {
        frame.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_tone_keeps_its_shape() {
        for pitch in [100.0, 220.0, 440.0, 1000.0] {
            let clean = sine(pitch);
            let slope = steepest(&clean) * 1.1 + 0.002;
            let mut short = clean.clone();
            let less = shrink(&mut short, false);
            assert!((SHORTEST..=LONGEST).contains(&less), "{pitch}: {less}");
            assert_eq!(short.len(), FRAME - less);
            assert!(steepest(&short) < slope, "{pitch}");
            assert_eq!(short.last(), clean.last());
            let mut long = clean.clone();
            let more = grow(&mut long, false);
            assert_eq!(long.len(), FRAME + more);
            assert!(more > 0 && steepest(&long) < slope, "{pitch}");
            assert_eq!((long.first(), long.last()), (clean.first(), clean.last()));
        }
    }

    #[test]
    fn noise_is_left_alone_unless_there_is_hurry() {
        let mut state = 1_u32;
        let noise: Vec<f32> = (0..FRAME)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state as f32 / u32::MAX as f32 - 0.5
            })
            .collect();
        assert_eq!(shrink(&mut noise.clone(), false), 0);
        assert_eq!(grow(&mut noise.clone(), false), 0);
        assert!(shrink(&mut noise.clone(), true) > 0);
        assert!(shrink(&mut vec![0.0; FRAME], false) >= 480);
        assert_eq!(shrink(&mut vec![0.0; LEAST - 1], true), 0);
    }

    proptest! {
        #[test]
        fn no_sound_can_harm(frame in prop::collection::vec(any::<f32>(), 0..2000), hurry: bool) {
            let length = frame.len();
            let mut short = frame.clone();
            let less = shrink(&mut short, hurry);
            prop_assert_eq!(short.len() + less, length);
            let mut long = frame;
            let more = grow(&mut long, hurry);
            prop_assert_eq!(long.len(), length + more);
        }
    }
}
