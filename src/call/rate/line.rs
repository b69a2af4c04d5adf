//! What is thought of the line to somebody: how much it carries, and how much gets lost on it; how long its
//! queue is stands in `queue`.
//!
//! str0m's estimate (GoogCC) is the base. It takes seconds to notice a cut, never says less than 40 kbit/s
//! by delay, and knows nothing of what is sent beside RTP. So a cap goes with it: as soon as packets take
//! much longer than at best, no more is sent than what came through, and while the queue is long no
//! picture at all. The cap grows again when the queue is gone, and ends where the estimate is below it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::queue::Queue;
use crate::units::Bitrate;

/// A line is looked at so often.
pub const TICK: Duration = Duration::from_millis(200);

/// Where the estimate begins: enough for a terminal's picture, little enough for a weak line.
pub const FIRST: Bitrate = Bitrate::kbps(150);

/// Ticks whose rate is taken together: a second, which is what the loss is told of.
pub(super) const SECOND: usize = 5;
/// What came through less a part of it drains the queue. Where little gets lost, so much is kept in one cut.
const BACK_OFF: f64 = 0.8;
const KEPT: f64 = 0.6;
const LITTLE: f32 = 0.2;
/// And so much in one that follows another: what is lost by then was lost of more than is sent now.
const KEPT_AGAIN: f64 = 0.5;
const AGAIN: Duration = Duration::from_secs(4);
/// A queue that stays for so long, whatever is sent, is none: the path is another one.
const STAYS: Duration = Duration::from_secs(8);
const STAYS_LOSS: f32 = 0.03;
/// Whatever is sent: no more than this part of what came through when the queue was noticed.
const STAYS_SENT: f64 = 0.5;
/// After a cut the cap stays for so long, and then grows by so much a second.
const PATIENCE: Duration = Duration::from_secs(2);
const GROWTH: f64 = 1.3;
/// On a weak line it grows more slowly: each step too far costs a longer queue there.
const WEAK: Bitrate = Bitrate::kbps(64);
const WEAK_GROWTH: f64 = 1.2;
/// There it grows to just below what was too much the last time, and hardly from there on.
const BELOW: f64 = 0.9;
const HARDLY: f64 = 1.01;
/// That is remembered for so long.
const CEILING: Duration = Duration::from_secs(6);
/// The part of a line that must be in use for a queue to say how much it carries.
const USED: f64 = 0.7;
/// Less is never believed: voice is sent all the same.
const LEAST: Bitrate = Bitrate::kbps(24);
/// The weight of a tick in what is thought of the loss.
const WEIGHT: f32 = 0.1;
/// Where more is wanted than the line is thought to carry, it is tried out so often; less often where the
/// last time came to nothing.
const TRY_AFTER: Duration = Duration::from_secs(1);
const TRY_AGAIN: Duration = Duration::from_secs(4);
/// With much loss the estimate says little: with a third lost it goes to nothing. As long as no queue comes of
/// what is sent, so much is trusted, and more by so much a second while it is made use of.
/// Once it is said to lose, it does until less than this is lost.
const LOSSY: f32 = 0.03;
const LOSSY_NO_MORE: f32 = 0.01;
const TRUSTED: Bitrate = Bitrate::kbps(200);
const TRUSTED_AT_MOST: Bitrate = Bitrate::kbps(400);
const TRUST_GROWTH: f64 = 1.1;
/// The estimate begins anew where it is below this part of that, so often.
const BEGINS_BELOW: f64 = 0.8;
const BEGIN_AGAIN: Duration = Duration::from_secs(3);

/// What was seen in one [`TICK`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Bytes sent.
    pub sent: u64,
    /// The share of the last second's packets that got lost, 0 to 1; `None`: nothing is known.
    pub loss: Option<f32>,
    /// The last packet's round trip.
    pub round_trip: Option<Duration>,
    /// The last round trip of ICE's checks, which are made before anything can wait for anything.
    pub check: Option<Duration>,
}

/// The line to somebody.
#[derive(Clone, Debug)]
pub struct Line {
    estimate: Bitrate,
    cap: Option<Bitrate>,
    cut: Option<Instant>,
    /// What came through at the last cut.
    ceiling: Bitrate,
    sent: VecDeque<(Instant, u64)>,
    loss_now: f32,
    loss: f32,
    lossy: bool,
    queue: Queue,
    /// What was sent when the queue became long.
    sent_then: f64,
    tried: Option<(Instant, Bitrate)>,
    begun: Option<Instant>,
    trusted: Bitrate,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            estimate: FIRST,
            cap: None,
            cut: None,
            ceiling: Bitrate::MAX,
            sent: VecDeque::with_capacity(SECOND + 1),
            loss_now: 0.0,
            loss: 0.0,
            lossy: false,
            queue: Queue::default(),
            sent_then: 0.0,
            tried: None,
            begun: None,
            trusted: TRUSTED,
        }
    }
}

impl Line {
    /// str0m's estimate changed.
    pub fn set_estimate(&mut self, estimate: Bitrate) {
        self.estimate = estimate;
    }

    /// What the line is thought to carry.
    pub fn capacity(&self) -> Bitrate {
        let believed = self.believed();
        self.cap.map_or(believed, |cap| cap.min(believed)).max(LEAST)
    }

    /// str0m's estimate.
    pub fn estimate(&self) -> Bitrate {
        self.estimate
    }

    /// What it is thought to carry where too much was not sent as of late.
    fn believed(&self) -> Bitrate {
        match self.only_loses() {
            true => self.estimate.max(self.trusted),
            false => self.estimate,
        }
    }

    /// Much gets lost, and not for too much being sent.
    fn only_loses(&self) -> bool {
        self.lossy && self.is_calm()
    }

    /// The last round trips, without what jitter adds.
    pub fn round_trip(&self) -> Option<Duration> {
        self.queue.round_trip()
    }

    /// The estimate has gone to where nothing can be sent, for loss alone: what it had better begin anew at.
    pub fn begins_anew(&mut self, now: Instant) -> Option<Bitrate> {
        let is_due = self.begun.is_none_or(|begun| now >= begun + BEGIN_AGAIN);
        let is_low = (self.estimate.0 as f64) < self.trusted.0 as f64 * BEGINS_BELOW;
        (is_due && is_low && self.cap.is_none() && self.only_loses()).then(|| {
            self.begun = Some(now);
            self.trusted
        })
    }

    /// The queue is so long that no picture may be added to it.
    pub fn is_clogged(&self) -> bool {
        self.queue.is_clogged()
    }

    /// The share of packets that get lost, 0 to 1, as of late.
    pub fn loss(&self) -> f32 {
        self.loss
    }

    /// What is lost is not lost for too much being sent.
    pub fn is_calm(&self) -> bool {
        self.queue.is_calm()
    }

    /// Too much was sent as of late: what it carries is no matter of guessing.
    pub fn is_capped(&self) -> bool {
        self.cap.is_some()
    }

    /// Looks at the line.
    pub fn look(&mut self, sample: Sample, now: Instant) {
        self.sent.push_back((now, sample.sent));
        if self.sent.len() > SECOND {
            self.sent.pop_front();
        }
        if let Some(loss) = sample.loss {
            self.loss_now = loss;
            self.loss += (loss - self.loss) * WEIGHT;
            self.lossy = self.loss >= if self.lossy { LOSSY_NO_MORE } else { LOSSY };
        }
        if let Some(check) = sample.check {
            self.queue.set_check(check);
        }
        self.trust(now);
        let Some(round) = self.queue.fresh(sample, now) else {
            return;
        };
        let was_long = self.queue.long_since().is_some();
        self.queue.note(round, now);
        let Some(since) = self.queue.long_since() else {
            if self.queue.is_gone() {
                self.grow(now);
            }
            return;
        };
        if !was_long {
            self.sent_then = self.sent_rate();
        }
        if self.stays(since, now) {
            self.take_path();
            return;
        }
        let pause = self.queue.best().unwrap_or(TICK).max(SECOND as u32 * TICK) + self.queue.length();
        let may_cut = self.cut.is_none_or(|cut| now >= cut + pause);
        if may_cut && !self.queue.shrinks() {
            self.back_off(now);
        }
    }

    /// More is `wanted` than the line is thought to carry, and the time has come to try whether it does.
    pub fn tries(&mut self, wanted: Bitrate, now: Instant) -> bool {
        if self.capacity() >= wanted || !self.is_calm() || self.cap.is_some() {
            return false;
        }
        if let Some((at, before)) = self.tried {
            let gained = self.estimate.0 as f64 > 1.1 * before.0 as f64;
            let wait = if gained { TRY_AFTER } else { TRY_AGAIN };
            if now < at + wait {
                return false;
            }
        }
        self.tried = Some((now, self.estimate));
        true
    }

    /// The queue does not get shorter though little is sent, and nothing is lost.
    fn stays(&self, since: Instant, now: Instant) -> bool {
        // What is so little makes no queue.
        let little = (self.sent_then * STAYS_SENT).max(2.0 * LEAST.0 as f64);
        now >= since + STAYS && self.loss_now < STAYS_LOSS && self.sent_rate() <= little
    }

    /// Bits a second that were sent as of late.
    fn sent_rate(&self) -> f64 {
        let Some(((from, _), (to, _))) = self.sent.front().zip(self.sent.back()) else {
            return 0.0;
        };
        // The first tick's bytes were sent before it.
        let bytes: u64 = self.sent.iter().map(|(_, bytes)| bytes).sum();
        bytes as f64 * 8.0 / (*to - *from + TICK).as_secs_f64()
    }

    /// The path is another one: its best is what is seen now.
    fn take_path(&mut self) {
        self.queue.take_path();
        (self.cap, self.cut) = (None, None);
    }

    fn back_off(&mut self, now: Instant) {
        let sent = self.sent_rate();
        let before = self.capacity();
        // Who sends little has not filled the line, and learns nothing of it unless the queue lasts.
        let is_used = sent >= before.0 as f64 * USED;
        if sent < LEAST.0 as f64 || !(is_used || self.queue.lasts()) {
            return;
        }
        // What made the queue longer did not come through either.
        let seconds = self.sent.len() as f64 * TICK.as_secs_f64();
        let longer = self.queue.longer().as_secs_f64() / seconds;
        let came = sent * f64::from(1.0 - self.loss_now) / (1.0 + longer);
        // Who was held back learns that it is too much, not how much it carries.
        let mut cap = before.0 as f64 * KEPT;
        if is_used {
            self.ceiling = Bitrate(came as u64);
            cap = came * BACK_OFF;
        }
        let is_again = self.cut.is_some_and(|cut| now < cut + AGAIN);
        let kept = match longer < 1.0 {
            true if self.loss_now < LITTLE => KEPT,
            true if is_again => KEPT_AGAIN,
            _ => 0.0,
        };
        cap = cap.max(before.0 as f64 * kept);
        self.cap = Some(before.min(Bitrate(cap as u64)).max(LEAST));
        self.cut = Some(now);
    }

    /// A line that only loses is trusted with more as long as it carries what it is trusted with.
    fn trust(&mut self, now: Instant) {
        if let Some(cap) = self.cap {
            self.trusted = self.trusted.min(cap.max(TRUSTED));
        } else if self.only_loses() && self.sent_rate() > self.trusted.0 as f64 * USED {
            let growth = match self.nears_ceiling(self.trusted, now) {
                true => HARDLY,
                false => TRUST_GROWTH,
            };
            self.trusted = grown(self.trusted, growth).min(TRUSTED_AT_MOST);
        }
    }

    /// It was too much a short while ago, or nearly.
    fn nears_ceiling(&self, rate: Bitrate, now: Instant) -> bool {
        let is_fresh = self.cut.is_some_and(|cut| now < cut + CEILING);
        is_fresh && rate.0 as f64 >= self.ceiling.0 as f64 * BELOW
    }

    fn grow(&mut self, now: Instant) {
        let Some(cap) = self.cap else { return };
        if self.cut.is_some_and(|cut| now < cut + PATIENCE) {
            return;
        }
        let growth = match cap {
            _ if cap >= WEAK => GROWTH,
            _ if self.nears_ceiling(cap, now) => HARDLY,
            _ => WEAK_GROWTH,
        };
        let more = grown(cap, growth);
        // Below that the estimate is made to say the same.
        self.cap = Some(more).filter(|more| *more < WEAK || *more < self.believed());
    }
}

/// A rate that grows by so much a second, one tick later.
fn grown(rate: Bitrate, growth: f64) -> Bitrate {
    Bitrate((rate.0 as f64 * growth.powf(TICK.as_secs_f64())) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a line so many times; each tick `kbps` are sent.
    fn look(line: &mut Line, ticks: u32, kbps: u64, loss: f32, rtt: u64, now: &mut Instant) {
        for _ in 0..ticks {
            *now += TICK;
            let sample = Sample {
                sent: kbps * 25,
                loss: Some(loss),
                // No two are the same.
                round_trip: Some(Duration::from_millis(rtt) + (*now - crate::call::tests_epoch()) / 100_000),
                check: None,
            };
            line.look(sample, *now);
        }
    }

    fn line(kbps: u64) -> (Line, Instant) {
        let mut line = Line::default();
        line.set_estimate(Bitrate::kbps(kbps));
        (line, crate::call::tests_epoch())
    }

    #[test]
    fn a_calm_line_carries_what_is_estimated() {
        let (mut line, mut now) = line(500);
        look(&mut line, 50, 400, 0.0, 100, &mut now);
        assert_eq!(line.capacity(), Bitrate::kbps(500));
        // Jitter is no queue, and loss alone no sign of one.
        for i in 0..50 {
            look(&mut line, 1, 400, 0.1, 80 + 7 * (i % 7), &mut now);
        }
        assert_eq!(line.capacity(), Bitrate::kbps(500));
        assert!(line.is_calm() && (0.08..0.11).contains(&line.loss()));
    }

    #[test]
    fn a_cut_is_noticed_within_a_second_and_forgotten_when_the_queue_is_gone() {
        let (mut line, mut now) = line(500);
        look(&mut line, 50, 500, 0.0, 100, &mut now);
        look(&mut line, 5, 500, 0.8, 500, &mut now);
        assert!(line.is_clogged());
        let after = line.capacity().as_kbps();
        assert!((50.0..=100.0).contains(&after), "{after}");
        look(&mut line, 5, 60, 0.0, 130, &mut now);
        assert!(!line.is_clogged());
        look(&mut line, 50, 80, 0.0, 110, &mut now);
        assert_eq!(line.capacity(), Bitrate::kbps(500), "the estimate counts again");
    }

    #[test]
    fn a_longer_path_is_no_queue_for_ever() {
        let (mut line, mut now) = line(500);
        look(&mut line, 50, 100, 0.0, 100, &mut now);
        look(&mut line, 10, 100, 0.0, 500, &mut now);
        assert!(line.is_clogged());
        look(&mut line, 20, 100, 0.0, 500, &mut now);
        assert!(line.is_clogged(), "it may be of what is sent");
        look(&mut line, 20, 40, 0.0, 500, &mut now);
        assert!(!line.is_clogged() && line.capacity() == Bitrate::kbps(500));
    }

    #[test]
    fn more_is_tried_out_less_often_while_it_comes_to_nothing() {
        let (mut line, mut now) = line(100);
        look(&mut line, 20, 90, 0.0, 100, &mut now);
        let mut tries = 0;
        for _ in 0..300 {
            look(&mut line, 1, 90, 0.0, 100, &mut now);
            tries += u32::from(line.tries(Bitrate::kbps(300), now));
        }
        assert!((14..=16).contains(&tries), "{tries} in a minute");
        assert!(!line.tries(Bitrate::kbps(90), now + TRY_AGAIN), "it is enough");
    }

    #[test]
    fn a_line_that_only_loses_is_trusted() {
        let (mut line, mut now) = line(60);
        look(&mut line, 50, 50, 0.0, 100, &mut now);
        assert_eq!(
            (line.capacity(), line.begins_anew(now)),
            (Bitrate::kbps(60), None)
        );
        look(&mut line, 50, 50, 0.2, 100, &mut now);
        assert_eq!(line.capacity(), TRUSTED);
        assert_eq!(
            (line.begins_anew(now), line.begins_anew(now)),
            (Some(TRUSTED), None)
        );
        look(&mut line, 50, 180, 0.2, 100, &mut now);
        assert!(line.capacity() > TRUSTED, "it carries what it is trusted with");
        look(&mut line, 5, 150, 0.2, 400, &mut now);
        assert!(line.capacity() < TRUSTED);
    }
}
