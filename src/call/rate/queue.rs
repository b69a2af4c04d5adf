//! How long the queue of a line is: by how much longer packets take than at best.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::line::{SECOND, Sample};

/// Round trips of which the least counts: one that jitter made long says nothing of the queue.
const ROUNDS: usize = 3;
/// The best round trip is that of the last one or two of such spans without a queue: a path may change.
const SPAN: Duration = Duration::from_secs(12);
/// A report of what came may be so much later than the answer to a check.
const REPORTED_AFTER: Duration = Duration::from_millis(100);
/// Where nothing was reported for so long, as nothing is sent that is, the checks tell of the queue.
const QUIET: Duration = Duration::from_secs(1);
/// A round trip varies by a part of itself without any queue.
const PART: u32 = 4;
/// And by its jitter, as far as that is a part of it.
const JITTERS: u32 = 2;
const JITTER_WEIGHT: f64 = 1.0 / 16.0;
const JITTER_PART: u32 = 3;
/// A queue is long from here on, and so long that no picture is sent any more; it is gone below that.
const LONG: Duration = Duration::from_millis(120);
const CLOGGED: Duration = Duration::from_millis(250);
const GONE: Duration = Duration::from_millis(70);

/// The queue of one line.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    /// The last round trip that was told, and when; and the last one of a check.
    told: Option<Duration>,
    reported: Option<Instant>,
    checked: Option<Duration>,
    rounds: VecDeque<Duration>,
    /// Round trips as they usually are, and how far one is off that.
    usual: Option<Duration>,
    jitter: Duration,
    best: Option<Duration>,
    best_before: Option<Duration>,
    span: Option<Instant>,
    clogged: bool,
    /// Its length one look after the other.
    lengths: VecDeque<Duration>,
    long_since: Option<Instant>,
}

impl Queue {
    /// How much longer packets take than at best.
    pub(super) fn length(&self) -> Duration {
        let (Some(least), Some(best)) = (self.round_trip(), self.best()) else {
            return Duration::ZERO;
        };
        least.saturating_sub(best)
    }

    /// The last round trips, without what jitter adds.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.rounds.iter().min().copied()
    }

    /// The shortest round trip as of late.
    pub(super) fn best(&self) -> Option<Duration> {
        self.best.into_iter().chain(self.best_before).min()
    }

    /// It is so long that no picture may be added to it.
    pub(super) fn is_clogged(&self) -> bool {
        self.clogged
    }

    /// It is short.
    pub(super) fn is_calm(&self) -> bool {
        !self.clogged && self.length() < self.allowed(LONG)
    }

    /// There is none.
    pub(super) fn is_gone(&self) -> bool {
        self.length() < self.allowed(GONE)
    }

    /// It is long since then.
    pub(super) fn long_since(&self) -> Option<Instant> {
        self.long_since
    }

    /// It is shorter than at the look before.
    pub(super) fn shrinks(&self) -> bool {
        let mut last = self.lengths.iter().rev();
        let (now, before) = (last.next(), last.next());
        now.unwrap_or(&Duration::ZERO) < before.unwrap_or(&Duration::ZERO)
    }

    /// It was long at each of the last looks, and does not get shorter.
    pub(super) fn lasts(&self) -> bool {
        let (first, last) = self.ends();
        self.lengths.iter().all(|length| *length > self.allowed(LONG)) && last * 20 >= first * 19
    }

    /// By how much it grew over the last looks.
    pub(super) fn longer(&self) -> Duration {
        let (first, last) = self.ends();
        last.saturating_sub(first)
    }

    /// A round trip of ICE's checks: packets cannot be faster.
    pub(super) fn set_check(&mut self, check: Duration) {
        let check = check + REPORTED_AFTER;
        self.best = Some(self.best.map_or(check, |best| best.min(check)));
    }

    /// The round trip where it is news: of the packets, or of a check where none are reported. What was not
    /// reported anew says nothing: the same round trip is told until the next report.
    pub(super) fn fresh(&mut self, sample: Sample, now: Instant) -> Option<Duration> {
        let check = sample.check.filter(|check| self.checked != Some(*check));
        self.checked = sample.check;
        if let Some(round) = sample.round_trip.filter(|round| self.told != Some(*round)) {
            (self.told, self.reported) = (Some(round), Some(now));
            return Some(round);
        }
        let is_quiet = self.reported.is_some_and(|at| now >= at + QUIET);
        check.filter(|_| is_quiet).map(|check| check + REPORTED_AFTER)
    }

    /// Takes a round trip.
    pub(super) fn note(&mut self, round: Duration, now: Instant) {
        self.learn(round, now);
        let length = self.length();
        self.lengths.push_back(length);
        if self.lengths.len() > SECOND {
            self.lengths.pop_front();
        }
        self.clogged = length > self.allowed(if self.clogged { LONG } else { CLOGGED });
        if length <= self.allowed(LONG) {
            self.long_since = None;
        } else {
            self.long_since.get_or_insert(now);
        }
    }

    /// The path is another one: its best is what is seen now.
    pub(super) fn take_path(&mut self) {
        (self.best, self.best_before) = (self.round_trip(), None);
        self.long_since = None;
        self.clogged = false;
        self.lengths.clear();
    }

    fn learn(&mut self, round: Duration, now: Instant) {
        let usual = *self.usual.get_or_insert(round);
        let off = usual.abs_diff(round).as_secs_f64();
        let towards = |from: Duration, to: f64| {
            Duration::from_secs_f64(from.as_secs_f64() + (to - from.as_secs_f64()) * JITTER_WEIGHT)
        };
        self.jitter = towards(self.jitter, off);
        self.usual = Some(towards(usual, round.as_secs_f64()));
        self.rounds.push_back(round);
        if self.rounds.len() > ROUNDS {
            self.rounds.pop_front();
        }
        let begins = *self.span.get_or_insert(now);
        if now > begins + SPAN && self.long_since.is_none() {
            self.span = Some(now);
            self.best_before = self.best.take();
        }
        self.best = Some(self.best.map_or(round, |best| best.min(round)));
    }

    /// `bound`, and what a round trip of this length varies by anyway.
    fn allowed(&self, bound: Duration) -> Duration {
        let best = self.best().unwrap_or_default();
        bound + best / PART + (self.jitter * JITTERS).min(best / JITTER_PART)
    }

    /// The first and the last of the last lengths.
    fn ends(&self) -> (Duration, Duration) {
        let of = |length: Option<&Duration>| length.copied().unwrap_or_default();
        (of(self.lengths.front()), of(self.lengths.back()))
    }
}
