//! What a picture is reduced to where its bits do not suffice: frames give way first, down to ten or so a
//! second, then size, then frames again. Whether they suffice is seen by how coarse the pictures become:
//! somebody before a white wall takes a tenth of what a street does.

use std::time::{Duration, Instant};

use super::needed;
use crate::units::{Bitrate, Size};

/// The levels, best first: the share of each side, and of the frames.
const LEVELS: [(f64, f64); 11] = [
    (1.0, 1.0),
    (1.0, 0.667),
    (1.0, 0.5),
    (1.0, 0.334),
    (0.75, 0.334),
    (0.5, 0.334),
    (0.5, 0.167),
    (0.5, 0.1),
    (0.25, 0.167),
    (0.25, 0.1),
    (0.25, 0.067),
];

/// Pictures so coarse are blurred: fewer or smaller ones with the same bits look better. Where they are
/// finer than that, there are bits for more of them. Between the two lie the steps of all levels.
const COARSE: f32 = 49.0;
const FINE: f32 = 33.0;
/// The weight of a picture in what is thought of them.
const WEIGHT: f32 = 0.12;
/// What follows a change is waited for: to reduce further, and to reduce less.
const WORSE_AFTER: Duration = Duration::from_millis(1800);
const BETTER_AFTER: Duration = Duration::from_millis(2500);

/// Nothing is made of a picture that gets less than this of what a usual one needs, whatever is seen of it;
/// all that was asked for is made where it gets so much.
const HOPELESS: f64 = 0.04;
const AMPLE: f64 = 0.8;

/// Pictures have so many rows at least, and so many come in a second.
const LEAST_ROWS: u32 = 24;
const LEAST_FPS: u32 = 2;

/// How far a picture is reduced, from one look to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reduction {
    level: usize,
    /// How coarse pictures are at this level.
    coarseness: Option<f32>,
    since: Option<Instant>,
}

impl Reduction {
    /// It is as was asked for.
    pub fn is_none(self) -> bool {
        self.level == 0
    }

    /// A picture was made with this quantizer, 0 to 63.
    pub fn note(&mut self, quantizer: u8) {
        let seen = f32::from(quantizer);
        let before = self.coarseness.unwrap_or(seen);
        self.coarseness = Some(before + (seen - before) * WEIGHT);
    }

    /// What is to be made of a picture of `size` at `fps` with so many `bits`.
    pub fn fit(&mut self, size: Size, fps: u32, bits: Bitrate, now: Instant) -> (Size, u32) {
        let share = |level: usize| {
            let (size, fps) = at(level, size, fps);
            bits.0 as f64 / needed(size, fps).0.max(1) as f64
        };
        let last = LEVELS.len() - 1;
        let stayed = now.saturating_duration_since(*self.since.get_or_insert(now));
        let coarseness = self.coarseness.unwrap_or((COARSE + FINE) / 2.0);
        let mut level = self.level;
        // With bits enough it is the picture that is coarse, and a smaller one of it would be as well.
        let is_coarse = coarseness > COARSE && share(0) < AMPLE;
        if is_coarse && stayed >= WORSE_AFTER && level < last {
            level += 1;
        } else if level > 0 && stayed >= BETTER_AFTER && (coarseness < FINE || share(0) >= AMPLE) {
            level -= 1;
        }
        while level < last && share(level) < HOPELESS {
            level += 1;
        }
        if level != self.level {
            *self = Self {
                level,
                coarseness: None,
                since: Some(now),
            };
        }
        at(level, size, fps)
    }
}

fn at(level: usize, size: Size, fps: u32) -> (Size, u32) {
    let (side, frames) = LEVELS[level];
    // Not below what a face can be made out in.
    let side = side
        .max(f64::from(LEAST_ROWS) / f64::from(size.height.max(1)))
        .min(1.0);
    let even = |length: u32| ((f64::from(length) * side / 2.0).round() as u32 * 2).max(2);
    let reduced = if side < 1.0 {
        Size::new(even(size.width), even(size.height))
    } else {
        size
    };
    let least = LEAST_FPS.min(fps);
    (reduced, ((f64::from(fps) * frames).round() as u32).max(least))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size::new(160, 90);

    /// Looks for some seconds at pictures of this quantizer with this share of what is needed.
    fn look(reduction: &mut Reduction, quantizer: u8, share: f64, now: &mut Instant) -> (Size, u32) {
        let bits = Bitrate((needed(SIZE, 30).0 as f64 * share) as u64);
        let mut fit = (SIZE, 30);
        for _ in 0..50 {
            *now += Duration::from_millis(100);
            (0..3).for_each(|_| reduction.note(quantizer));
            fit = reduction.fit(SIZE, 30, bits, *now);
        }
        fit
    }

    #[test]
    fn frames_give_way_before_size_and_nothing_where_there_is_enough() {
        let (mut reduction, mut now) = (Reduction::default(), crate::call::tests_epoch());
        assert_eq!(look(&mut reduction, 40, 0.3, &mut now), (SIZE, 30));
        assert!(reduction.is_none());
        let (size, fps) = look(&mut reduction, 55, 0.3, &mut now);
        assert!(size == SIZE && fps < 30, "{size:?} {fps}");
        let (size, fps) = look(&mut reduction, 55, 0.3, &mut now);
        assert!(size.width < 160 && fps <= 10, "{size:?} {fps}");
        let (size, fps) = (0..10)
            .map(|_| look(&mut reduction, 60, 0.3, &mut now))
            .last()
            .unwrap_or_default();
        assert!(size.height >= LEAST_ROWS && fps >= LEAST_FPS, "{size:?} {fps}");
        for _ in 0..10 {
            look(&mut reduction, 20, 0.3, &mut now);
        }
        assert!(reduction.is_none());
    }

    #[test]
    fn what_lies_between_changes_nothing() {
        let (mut reduction, mut now) = (Reduction::default(), crate::call::tests_epoch());
        let first = look(&mut reduction, 55, 0.3, &mut now);
        assert_ne!(first, (SIZE, 30));
        for quantizer in [45, 37, 48, 40] {
            assert_eq!(look(&mut reduction, quantizer, 0.3, &mut now), first);
        }
        assert_ne!(look(&mut reduction, 45, 1.0, &mut now), first, "there is enough");
    }

    #[test]
    fn with_next_to_nothing_no_picture_is_waited_for() {
        let mut reduction = Reduction::default();
        let now = crate::call::tests_epoch();
        let (size, fps) = reduction.fit(Size::new(640, 360), 30, Bitrate::kbps(15), now);
        assert!(size.width < 640 && fps < 30, "{size:?} {fps}");
    }

    #[test]
    fn few_pictures_stay_few() {
        let mut reduction = Reduction::default();
        let now = crate::call::tests_epoch();
        assert_eq!(reduction.fit(SIZE, 1, Bitrate::kbps(1), now).1, 1);
    }
}
