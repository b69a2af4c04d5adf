//! What one person's pictures are made into: size, frames, bits, copies; or that none are sent.

use std::time::{Duration, Instant};

use super::fit::Reduction;
use super::line::Line;
use super::{Protected, granted, lesser, needed};
use crate::units::{Bitrate, Size};

/// With less than this for pictures none are sent.
const LEAST: Bitrate = Bitrate::kbps(6);
/// They come back where there would be so much, and not before that long; longer each time that it was
/// too early.
const ENOUGH: Bitrate = Bitrate::kbps(12);
const AWAY: Duration = Duration::from_secs(4);
const AWAY_AT_MOST: Duration = Duration::from_secs(60);
/// They were not too early when they stayed for so long.
const STAYED: Duration = Duration::from_secs(20);

/// Copies begin where so many packets get lost, and end where so few did for that long: what the copies
/// make good does not count as lost, and of what is lost in bursts a part is told of late or never.
const LOSSY: f32 = 0.02;
const SOUND: f32 = 0.01;
const SOUND_FOR: Duration = Duration::from_secs(10);
/// One more is tried after so long, as long as no queue comes of it for that long and no more gets lost than
/// by this much; otherwise none for so long, and longer each time.
const MORE_AFTER: Duration = Duration::from_secs(1);
const QUEUE_FOR: Duration = Duration::from_millis(2500);
const MORE_LOST: f32 = 0.25;
const NONE_FOR: Duration = Duration::from_secs(4);
const NONE_AT_MOST: Duration = Duration::from_secs(60);
/// Of a picture with less than this no copies are made.
const WORTH_COPIES: Bitrate = Bitrate::kbps(18);
/// Copies at most.
const COPIES: u32 = 2;

/// What a picture is made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Its size.
    pub size: Size,
    /// Pictures a second.
    pub fps: u32,
    /// Bits a second for each copy.
    pub bitrate: Bitrate,
    /// How many more times each picture is sent.
    pub copies: u32,
}

/// What is kept from one look to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ration {
    reduction: Reduction,
    /// Pictures are away since then.
    away: Option<Instant>,
    back: Option<Instant>,
    wait: Duration,
    copies: Copies,
}

/// How many copies are sent, and how that turns out. str0m's estimate knows nothing of them, and says little
/// where much is lost; the queue tells whether the line carries them.
#[derive(Clone, Copy, Debug, Default)]
struct Copies {
    count: u32,
    changed: Option<Instant>,
    /// What was lost before the first one.
    loss: f32,
    none_until: Option<Instant>,
    wait: Duration,
    /// Little was lost, and there was no queue, when that was last not so.
    lossy: Option<Instant>,
    calm: Option<Instant>,
}

impl Copies {
    fn look(&mut self, line: &Line, now: Instant) -> u32 {
        let (loss, calm) = (line.loss(), line.is_calm());
        if loss >= SOUND || self.lossy.is_none() {
            self.lossy = Some(now);
        }
        if calm || self.calm.is_none() {
            self.calm = Some(now);
        }
        let since = |at: Option<Instant>| now.saturating_duration_since(at.unwrap_or(now));
        let has_queue = since(self.calm) >= QUEUE_FOR;
        if self.count > 0 && (has_queue || loss > self.loss + MORE_LOST) {
            let stood = self.changed.is_some_and(|at| now >= at + STAYED);
            let longer = (2 * self.wait).clamp(NONE_FOR, NONE_AT_MOST);
            self.wait = if stood { NONE_FOR } else { longer };
            self.none_until = Some(now + self.wait);
            self.count = 0;
        } else if since(self.lossy) >= SOUND_FOR {
            (self.count, self.wait) = (0, Duration::ZERO);
        } else if self.count < COPIES
            && calm
            && (self.count > 0 || loss >= LOSSY)
            && self.none_until.is_none_or(|until| now >= until)
            && self.changed.is_none_or(|at| now >= at + MORE_AFTER)
        {
            if self.count == 0 {
                self.loss = loss;
            }
            self.count += 1;
            self.changed = Some(now);
        }
        self.count
    }
}

impl Ration {
    /// The picture is smaller or slower than was asked for, or none is sent.
    pub fn is_reduced(&self) -> bool {
        self.away.is_some() || !self.reduction.is_none()
    }

    /// A picture was made with this quantizer, 0 to 63.
    pub fn note(&mut self, quantizer: u8) {
        self.reduction.note(quantizer);
    }

    /// What becomes of pictures of `size` at `fps` on this line; `None`: it carries none.
    pub fn portion(
        &mut self,
        (size, fps): (Size, u32),
        line: &Line,
        limit: Option<Bitrate>,
        protected: Protected,
        now: Instant,
    ) -> Option<Portion> {
        let full = needed(size, fps);
        let capacity = lesser(Some(line.capacity()), limit).unwrap_or_default();
        let left = granted(Bitrate::MAX, capacity, protected);
        if !self.is_there(left, now) {
            return None;
        }
        // Copies take of the same line; the picture is to remain one.
        let each = |copies: u32| Bitrate(left.0 / u64::from(1 + copies)).min(full);
        let copies = (0..=self.copies.look(line, now))
            .rev()
            .find(|copies| *copies == 0 || each(*copies) >= WORTH_COPIES.min(full));
        let copies = copies.unwrap_or(0);
        let bitrate = each(copies);
        let (size, fps) = self.reduction.fit(size, fps, bitrate, now);
        Some(Portion {
            size,
            fps,
            bitrate,
            copies,
        })
    }

    /// Pictures are sent with so many bits.
    fn is_there(&mut self, bits: Bitrate, now: Instant) -> bool {
        match self.away {
            None if bits < LEAST => {
                let stayed = self.back.is_some_and(|back| now >= back + STAYED);
                let longer = (2 * self.wait).clamp(AWAY, AWAY_AT_MOST);
                self.wait = if stayed { AWAY } else { longer };
                self.away = Some(now);
            }
            Some(away) if bits >= ENOUGH && now >= away + self.wait => {
                (self.away, self.back) = (None, Some(now));
            }
            _ => {}
        }
        self.away.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Sample, TICK};
    use super::*;

    const SIZE: Size = Size::new(160, 90);

    /// A line of so many kilobits on which so much gets lost, looked at for ten seconds.
    fn line(kbps: u64, loss: f32) -> (Line, Instant) {
        let (mut line, mut now) = (Line::default(), crate::call::tests_epoch());
        line.set_estimate(Bitrate::kbps(kbps));
        for _ in 0..50 {
            now += TICK;
            let sample = Sample {
                sent: 1000,
                loss: Some(loss),
                round_trip: Some(Duration::from_millis(100) + (now - crate::call::tests_epoch()) / 100_000),
                check: None,
            };
            line.look(sample, now);
        }
        (line, now)
    }

    fn portion(kbps: u64, loss: f32) -> Option<Portion> {
        let (line, now) = line(kbps, loss);
        Ration::default().portion((SIZE, 30), &line, None, Protected::No, now)
    }

    #[test]
    fn a_good_line_gives_all_that_was_asked_for_and_no_more() {
        let all = Portion {
            size: SIZE,
            fps: 30,
            bitrate: needed(SIZE, 30),
            copies: 0,
        };
        assert_eq!(portion(1000, 0.0), Some(all));
    }

    #[test]
    fn copies_come_one_after_the_other_and_go_when_a_queue_comes_of_them() {
        let (mut lossy, mut now) = line(300, 0.1);
        let mut ration = Ration::default();
        let mut copies = |line: &Line, limit, after| {
            let at = now + Duration::from_secs(after);
            ration
                .portion((SIZE, 30), line, limit, Protected::No, at)
                .expect("a picture")
                .copies
        };
        assert_eq!(
            [0, 1, 2, 3].map(|after| copies(&lossy, None, after)),
            [1, 2, 2, 2]
        );
        let limit = Some(Bitrate::kbps(60));
        assert_eq!(copies(&lossy, limit, 4), 0, "the user's limit is for all");
        for _ in 0..5 {
            now += TICK;
            let sample = Sample {
                sent: 10_000,
                loss: Some(0.1),
                round_trip: Some(Duration::from_millis(420) + (now - crate::call::tests_epoch()) / 100_000),
                check: None,
            };
            lossy.look(sample, now);
        }
        let mut copies = |after| {
            let at = now + Duration::from_secs(after);
            ration
                .portion((SIZE, 30), &lossy, None, Protected::No, at)
                .expect("a picture")
                .copies
        };
        assert_eq!([4, 7, 8].map(&mut copies), [2, 0, 0]);
    }

    #[test]
    fn where_no_picture_fits_none_is_sent_and_it_comes_back_late() {
        let (weak, now) = line(20, 0.0);
        let (good, _) = line(300, 0.0);
        let mut ration = Ration::default();
        let mut look = |line, after: u64| {
            let at = now + Duration::from_secs(after);
            ration
                .portion((SIZE, 30), line, None, Protected::No, at)
                .is_some()
        };
        assert!(!look(&weak, 0));
        assert!(!look(&good, 2), "too early");
        assert!(look(&good, 9));
        assert!(!look(&weak, 12));
        assert!(!look(&good, 18), "it was too early the first time");
        assert!(look(&good, 30));
    }
}
