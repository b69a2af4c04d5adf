//! Lip sync: one person's picture and voice, kept together by what their sender reports say of the
//! times at which both were captured (RFC 3550, section 6.4.1).
//!
//! A medium's *lag* is when it is shown or heard, by our clock, less when it was captured, by theirs.
//! It means nothing by itself; the difference of two lags is how far picture and voice are apart.

use std::time::{Duration, Instant};

/// A picture may be so much earlier or later than its voice; people notice from 80 ms on.
const TOLERANCE: f64 = 0.07;
/// A picture is never held for longer, nor is the voice held back for more than this to wait for one.
const MOST_HOLD: f64 = 0.4;
const MOST_FLOOR: f64 = 0.25;
/// The time of which the least lag of voice packets is kept.
const WINDOW: f64 = 4.0;
/// A lag that leaps by so many seconds is that of another sender, or of a clock that was set.
const LEAP: f64 = 2.0;
/// The weight of a picture's lag in what is known of pictures.
const WEIGHT: f64 = 0.05;

/// When a sender's clock showed what, and the RTP time that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Seconds of the sender's wall clock.
    pub wall: f64,
    /// The RTP time then; only its lower 32 bits count.
    pub rtp: u64,
}

impl Report {
    /// When the medium of RTP time `rtp` was captured, by the sender's wall clock, for a clock rate of
    /// `rate` hertz.
    pub fn captured(self, rtp: u64, rate: u32) -> f64 {
        let since = (rtp as u32).wrapping_sub(self.rtp as u32) as i32;
        self.wall + f64::from(since) / f64::from(rate)
    }
}

/// Keeps one person's picture with their voice.
#[derive(Clone, Debug, Default)]
pub struct LipSync {
    start: Option<Instant>,
    /// The least lag of arriving voice: of the window at hand and of the one before, and when the
    /// former began.
    least: Option<f64>,
    least_before: Option<f64>,
    window: f64,
    /// How long it takes from there to the ear; not known while nothing is heard.
    delay: Option<f64>,
    /// The usual lag of arriving pictures.
    picture: Option<f64>,
    floor: f64,
}

impl LipSync {
    /// A voice packet arrived that was captured at `captured` of the sender's wall clock.
    pub fn voice(&mut self, captured: f64, arrived: Instant) {
        let at = self.at(arrived);
        let lag = at - captured;
        if at > self.window + WINDOW {
            self.window = at;
            self.least_before = self.least.take();
        }
        let stays = |least: f64| (lag - least).abs() < LEAP;
        if !self.least.is_none_or(stays) {
            (self.least, self.least_before) = (None, None);
        }
        if self.least.is_none_or(|least| lag < least) {
            self.least = Some(lag);
        }
    }

    /// How long the voice takes at present from its arrival to the ear; `None` where nobody hears it.
    pub fn set_delay(&mut self, delay: Option<Duration>) {
        self.delay = delay.map(|delay| delay.as_secs_f64());
    }

    /// A picture is whole at `now` that was captured at `captured` of the sender's wall clock. Returns how
    /// long it is to be held so that it comes with its voice.
    pub fn picture(&mut self, captured: f64, now: Instant) -> Duration {
        let lag = self.at(now) - captured;
        let before = self.picture.filter(|before| (lag - before).abs() < LEAP);
        let usual = before.map_or(lag, |before| before + (lag - before) * WEIGHT);
        self.picture = Some(usual);
        let (Some(earliest), Some(delay)) = (self.earliest(), self.delay) else {
            return Duration::ZERO;
        };
        // Where pictures are usually later than the voice, the voice waits: in the jitter buffer, which
        // is a part of its delay at least.
        self.floor = usual - earliest - TOLERANCE;
        duration(earliest + delay - TOLERANCE - lag, MOST_HOLD)
    }

    /// How long the voice is to be held back at least, to wait for the pictures.
    pub fn floor(&self) -> Duration {
        duration(self.floor, MOST_FLOOR)
    }

    /// The lag of a voice that is not held back at all.
    fn earliest(&self) -> Option<f64> {
        let least = match (self.least, self.least_before) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        Some(least)
    }

    fn at(&mut self, now: Instant) -> f64 {
        let start = *self.start.get_or_insert(now);
        now.saturating_duration_since(start).as_secs_f64()
    }
}

/// What is no number is nothing.
fn duration(seconds: f64, most: f64) -> Duration {
    if seconds > 0.0 {
        Duration::from_secs_f64(seconds.min(most))
    } else {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[allow(clippy::disallowed_methods)]
    fn zero() -> Instant {
        Instant::now()
    }

    /// The picture's time of showing less the voice's of hearing, in ms, at the end of a minute in which
    /// packets of voice and pictures take so long (ms) and the jitter buffer wants `target` ms.
    fn apart(voice: f64, picture: f64, target: f64) -> f64 {
        let start = zero() + Duration::from_secs(10);
        let at = |ms: f64| start + Duration::from_secs_f64(ms / 1e3);
        // A wall clock that has nothing to do with ours.
        let wall = |ms: f64| 1.7e9 + ms / 1e3;
        let mut sync = LipSync::default();
        let mut delay = target;
        let mut shown = 0.0;
        for step in 0..3_000 {
            let now = f64::from(step) * 20.0;
            sync.voice(wall(now), at(now + voice));
            if step % 50 == 0 {
                delay = target.max(sync.floor().as_secs_f64() * 1e3);
                sync.set_delay(Some(Duration::from_secs_f64(delay / 1e3)));
            }
            let hold = sync.picture(wall(now), at(now + picture)).as_secs_f64() * 1e3;
            shown = picture + hold;
        }
        shown - (voice + delay)
    }

    #[test]
    fn picture_and_voice_come_together() {
        for (voice, picture, target) in [
            (40.0, 50.0, 20.0),
            (40.0, 60.0, 200.0),
            (40.0, 45.0, 380.0),
            (40.0, 200.0, 20.0),
            (40.0, 320.0, 60.0),
            (250.0, 120.0, 100.0),
        ] {
            let apart = apart(voice, picture, target);
            assert!(
                apart.abs() <= 80.0,
                "{voice}, {picture}, {target}: {apart} ms apart"
            );
        }
    }

    /// The longest that a picture is held, in ms, where its voice takes so long from mouth to ear and
    /// packets so long to arrive.
    fn held(to_ear: f64, voice: f64, picture: f64) -> f64 {
        let start = zero() + Duration::from_secs(10);
        let at = |ms: f64| start + Duration::from_secs_f64(ms / 1e3);
        let mut sync = LipSync::default();
        sync.set_delay(Some(Duration::from_secs_f64((to_ear - voice) / 1e3)));
        let mut longest = Duration::ZERO;
        for step in 0..500 {
            let now = f64::from(step) * 20.0;
            let captured = 1.7e9 + now / 1e3;
            sync.voice(captured, at(now + voice));
            longest = longest.max(sync.picture(captured, at(now + picture)));
        }
        longest.as_secs_f64() * 1e3
    }

    #[test]
    fn on_a_good_line_no_picture_waits() {
        // As measured on one machine: voice is packed and cleaned for 37 ms and heard after 75.
        assert_eq!(held(75.0, 37.0, 6.0), 0.0);
        // Where the ear is later by what people notice, it does.
        let late = held(140.0, 37.0, 6.0);
        assert!((50.0..70.0).contains(&late), "{late} ms");
    }

    #[test]
    fn nothing_waits_for_a_voice_that_is_not_heard() {
        let now = zero();
        let mut sync = LipSync::default();
        assert_eq!(sync.picture(1.7e9, now), Duration::ZERO);
        sync.voice(1.7e9, now);
        assert_eq!(sync.picture(1.7e9, now), Duration::ZERO);
        sync.set_delay(Some(Duration::from_millis(300)));
        assert!(sync.picture(1.7e9, now) > Duration::from_millis(200));
        sync.set_delay(None);
        assert_eq!(sync.picture(1.7e9, now), Duration::ZERO);
        assert_eq!(sync.floor(), Duration::ZERO);
    }

    #[test]
    fn a_report_tells_the_time_of_what_came_before_and_after_it_also_over_a_wrap() {
        let report = Report {
            wall: 100.0,
            rtp: u64::from(u32::MAX) - 47_999,
        };
        assert_eq!(report.captured(u64::from(u32::MAX) + 1, 48_000), 101.0);
        assert_eq!(report.captured(0, 48_000), 101.0);
        assert_eq!(report.captured(u64::from(u32::MAX) - 95_999, 48_000), 99.0);
    }

    proptest! {
        #[test]
        fn no_report_leads_astray(
            times in prop::collection::vec((any::<f64>(), any::<u64>(), any::<u64>(), 0..100_000_u64), 0..100),
        ) {
            let start = zero();
            let mut sync = LipSync::default();
            for (wall, rtp, time, ms) in times {
                let captured = Report { wall, rtp }.captured(time, 90_000);
                let now = start + Duration::from_millis(ms);
                sync.voice(captured, now);
                sync.set_delay((ms % 7 > 0).then(|| Duration::from_millis(ms % 500)));
                prop_assert!(sync.picture(captured, now) <= Duration::from_millis(400));
                prop_assert!(sync.floor() <= Duration::from_millis(250));
            }
        }
    }
}
