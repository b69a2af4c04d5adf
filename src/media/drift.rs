//! How fast another clock runs: a sender's, a microphone's, a speaker's.
//!
//! A stream's *lead* is how much of it there is less how much time has passed. On its way to us it is
//! delayed more or less, never less than the way takes at best; so the greatest lead of some seconds
//! is hardly disturbed, and it rises or falls as the clocks drift apart.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time of which the greatest lead is kept.
const WINDOW: Duration = Duration::from_secs(4);
/// Windows that are kept: over two minutes.
const WINDOWS: usize = 32;
/// Windows without which nothing is said.
const LEAST: usize = 6;
/// A change from one window to the next, in seconds, that no clock makes: the way has changed, or the
/// stream has stood still.
const LEAP: f64 = 0.004;
/// No clock of a computer is worse: 500 ppm.
const MOST: f64 = 500e-6;

/// Measures one clock against ours.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    start: Option<Instant>,
    /// When the window at hand began, and its greatest lead with the time of that, in seconds.
    window: Duration,
    best: Option<(f64, f64)>,
    /// The windows before, with leaps taken out.
    points: VecDeque<(f64, f64)>,
    leaps: f64,
    slopes: Vec<f64>,
    rate: Option<f64>,
}

impl Drift {
    /// Tells that `position` seconds of the stream had come by `now`. Returns the clock's rate when
    /// there is a new measurement.
    pub fn observe(&mut self, position: f64, now: Instant) -> Option<f64> {
        let passed = now.saturating_duration_since(*self.start.get_or_insert(now));
        let at = passed.as_secs_f64();
        let lead = position - at;
        if !lead.is_finite() {
            return None;
        }
        if self.best.is_none_or(|(_, most)| lead > most) {
            self.best = Some((at, lead));
        }
        if passed < self.window + WINDOW {
            return None;
        }
        self.window = passed;
        let (at, lead) = self.best.take().expect("there is a lead, at least this one");
        self.close(at, lead);
        self.rate
    }

    /// Seconds of the stream in a second of ours; 1 until it is known.
    pub fn rate(&self) -> f64 {
        self.rate.unwrap_or(1.0)
    }

    /// Takes a window in, and measures anew.
    fn close(&mut self, at: f64, lead: f64) {
        if let Some((_, last)) = self.points.back() {
            let step = lead - self.leaps - last;
            if step.abs() > LEAP {
                self.leaps += step;
            }
        }
        if self.points.len() == WINDOWS {
            self.points.pop_front();
        }
        self.points.push_back((at, lead - self.leaps));
        if self.points.len() < LEAST {
            return;
        }
        // The median of all slopes (Theil, Sen): what is disturbed in a few windows does not count.
        self.slopes.clear();
        for (i, (from, low)) in self.points.iter().enumerate() {
            for (to, high) in self.points.iter().skip(i + 1) {
                self.slopes.push((high - low) / (to - from).max(1e-3));
            }
        }
        let middle = self.slopes.len() / 2;
        let (_, slope, _) = self.slopes.select_nth_unstable_by(middle, f64::total_cmp);
        if slope.is_finite() {
            self.rate = Some(1.0 + slope.clamp(-MOST, MOST));
        }
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

    /// The drift in ppm that is measured of 50 packets a second whose sender's clock runs `ppm` fast,
    /// delayed as told (in seconds).
    fn measured(ppm: f64, seconds: u64, mut delay: impl FnMut(u64) -> f64) -> f64 {
        let start = zero();
        let mut drift = Drift::default();
        for packet in 0..seconds * 50 {
            let position = packet as f64 * 0.02;
            let arrival = position / (1.0 + ppm * 1e-6) + delay(packet);
            drift.observe(position, start + Duration::from_secs_f64(arrival));
        }
        (drift.rate() - 1.0) * 1e6
    }

    /// A deterministic sequence of numbers below one.
    fn dice() -> impl FnMut() -> f64 {
        let mut state = 7_u64;
        move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    #[test]
    fn a_clock_is_measured_through_an_uneven_network() {
        for ppm in [-200.0, -20.0, 0.0, 100.0, 300.0] {
            let steady = measured(ppm, 60, |_| 0.04);
            assert!((steady - ppm).abs() < 1.0, "{ppm}: {steady}");
            let mut dice = dice();
            // A Pareto tail of 25 ms as netem's.
            let rough = measured(ppm, 200, |_| {
                0.1 + 0.025 * (dice().max(1e-3).powf(-1.0 / 3.0) - 1.5)
            });
            assert!((rough - ppm).abs() < 20.0, "{ppm}: {rough}");
        }
    }

    #[test]
    fn a_detour_of_the_network_is_no_drift() {
        let detour = measured(50.0, 200, |packet| if packet > 5000 { 0.14 } else { 0.04 });
        assert!((detour - 50.0).abs() < 5.0, "{detour}");
    }

    #[test]
    fn nothing_is_said_before_it_is_known() {
        assert_eq!(measured(200.0, 15, |_| 0.04), 0.0);
    }

    proptest! {
        #[test]
        fn no_stream_leads_astray(times in prop::collection::vec((any::<u32>(), any::<f64>()), 0..300)) {
            let start = zero();
            let mut drift = Drift::default();
            for (ms, position) in times {
                drift.observe(position, start + Duration::from_millis(ms.into()));
                prop_assert!((drift.rate() - 1.0).abs() <= MOST);
            }
        }
    }
}
