//! How many pictures a second this machine can encode.

use std::time::Duration;

/// The share of its time that the encode thread may be at work; the rest is for what else there is.
const BUSY: f64 = 0.7;
/// The weight of a picture in what is thought of them.
const WEIGHT: f64 = 0.05;
/// Nothing is said of the first ones: memory is still cold.
const FIRST: u32 = 15;
/// No picture counts for longer.
const LONGEST: Duration = Duration::from_millis(500);
/// Steps between which the rate moves, so that it does not sway.
const STEPS: [u32; 8] = [60, 30, 20, 15, 10, 7, 5, 3];

/// How long pictures take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    seconds: f64,
    seen: u32,
    step: usize,
}

impl Load {
    /// A picture was encoded, by one of so many encoders that take turns. Returns true where the most that
    /// can be made changed.
    pub fn note(&mut self, took: Duration, encoders: usize) -> bool {
        self.seen = self.seen.saturating_add(1);
        let weight = WEIGHT.max(1.0 / f64::from(self.seen));
        // Who was stopped meanwhile was not busy.
        let took = took.min(LONGEST);
        self.seconds += (took.as_secs_f64() - self.seconds) * weight;
        if self.seen < FIRST {
            return false;
        }
        let most = BUSY / (self.seconds.max(1e-6) * encoders.max(1) as f64);
        let before = self.step;
        if most < f64::from(STEPS[self.step]) / 1.2 && self.step + 1 < STEPS.len() {
            self.step += 1;
        } else if self.step > 0 && most > f64::from(STEPS[self.step - 1]) * 1.2 {
            self.step -= 1;
        }
        self.step != before
    }

    /// Pictures a second that can be made at most.
    pub fn most_fps(&self) -> u32 {
        STEPS[self.step]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_keep_up_is_slowed_and_comes_back() {
        let mut load = Load::default();
        let mut look = |millis: u64, count: u32| {
            for _ in 0..count {
                load.note(Duration::from_millis(millis), 1);
            }
            load.most_fps()
        };
        assert_eq!(look(1, 100), 60);
        assert_eq!(
            look(40, 200),
            20,
            "17 could be made; a step is kept for a fifth less"
        );
        assert_eq!(look(200, 200), 3);
        assert_eq!(look(1, 400), 60);
    }

    #[test]
    fn three_encoders_take_turns() {
        let mut load = Load::default();
        (0..100).for_each(|_| {
            load.note(Duration::from_millis(20), 3);
        });
        assert_eq!(load.most_fps(), 10);
    }
}
