//! When the next frame may go, and how large it may be.
//!
//! Between this program and the eye lie buffers that it cannot see: a pseudo-terminal's, and over SSH
//! more than a megabyte. Whatever waits in them is old, and a key's effect waits behind it. So each
//! frame ends with a question (`CSI 5 n`), and its answer says that the frame has arrived:
//!
//! ```text
//!  frame 1 ─────▶ ┌ at most two frames under way; the answers ┐
//!  frame 2 ─────▶ │ tell how fast they pass, and that says    │──▶ eye
//!  answer 1 ◀──── └ how large the next may be: 60 ms of line  ┘
//! ```
//!
//! The round trip without waiting is measured by a question of its own (`CSI c`), sent when nothing
//! is under way, and followed by nothing: ssh would put both into one packet, which arrives as a whole.
//! Its answer has another shape, so one that was lost before it is noticed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames whose arrival is not known yet.
const WINDOW: usize = 2;

/// A frame is as large as passes in this time: short enough for the effect of a key to be seen soon
/// (it waits for one frame, and passes with the next), long enough for the bytes that each frame takes
/// anyway not to matter.
const FRAME: Duration = Duration::from_millis(60);

/// The same where the way is long: two frames must fill it.
const LONGEST_FRAME: Duration = Duration::from_millis(150);

/// The next frame goes so long before the line is thought to be idle.
const LEAD: Duration = Duration::from_millis(8);

/// No frame is smaller: a status line must pass.
const LEAST: usize = 512;

/// The first frame, in bytes.
const FIRST: f64 = 4096.0;

/// What is taken for the rate of a terminal that answers nothing, in bytes a second: it may be a
/// serial line, but hardly one from before 115200 baud.
const SILENT: f64 = 120_000.0;

/// No line is faster, in bytes a second; it keeps a division by no time from mattering.
const FASTEST: f64 = 1e9;

/// A terminal that has not answered for so long since the first question never will (until it does).
const DEAF: Duration = Duration::from_secs(1);

/// While frames are under way, a question of its own goes so often, to notice lost answers; where none
/// comes at all, after twice the time, and so on.
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_PATIENCE: Duration = Duration::from_secs(8);

/// The round trip is measured anew after so long.
const STALE: Duration = Duration::from_secs(10);

/// Samples of the line's rate that are remembered.
const SAMPLES: usize = 6;

/// One sample alone that is so many times slower than the others was a pause, not a slow line.
const STALL: f64 = 8.0;

/// Less than this says nothing of a rate.
const TELLING: usize = 256;

/// Whether a frame may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may have so many bytes.
    Go(usize),
    /// Not before then, or before an answer.
    Wait(Instant),
}

/// The pace of the frames.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second that were asked for.
    limit: Option<f64>,
    under_way: VecDeque<Sent>,
    answers: Answers,
    /// The last answer, and the last one to a frame's question.
    heard: Option<Instant>,
    answered: Option<Instant>,
    /// The last question of its own.
    asked: Instant,
    patience: Duration,
    /// The way there and back without waiting.
    round_trip: Duration,
    measured: Option<Instant>,
    samples: VecDeque<Sample>,
    /// Bytes a second; `None` until something was measured.
    rate: Option<f64>,
    /// The line is thought to be idle from then on.
    idle: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    bytes: usize,
    /// A question of its own, that is no frame.
    is_probe: bool,
    /// Nothing was under way when it was asked, and nothing follows before its answer.
    is_alone: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    bytes: usize,
    time: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Unknown,
    Given,
    None,
}

impl Pace {
    /// At the start, with at most `limit` bytes a second.
    pub(super) fn new(limit: Option<u64>, now: Instant) -> Self {
        Self {
            limit: limit.map(|limit| (limit as f64).max(1.0)),
            under_way: VecDeque::with_capacity(8),
            answers: Answers::Unknown,
            heard: None,
            answered: None,
            asked: now,
            patience: PATIENCE,
            round_trip: Duration::ZERO,
            measured: None,
            samples: VecDeque::with_capacity(SAMPLES),
            rate: None,
            idle: now,
        }
    }

    /// Whether a frame may go, of at most `most` bytes.
    pub(super) fn turn(&self, most: usize, now: Instant) -> Turn {
        let frames = self.frames();
        // Until something is known of the line, and when the way without waiting is to be measured
        // anew, nothing waits in it.
        let window = if self.rate().is_none() || self.is_stale(now) {
            1
        } else {
            WINDOW
        };
        if frames >= window {
            return Turn::Wait(self.asks_again());
        }
        let measuring = self.under_way.iter().find(|sent| sent.is_alone);
        if let Some(sent) = measuring.filter(|sent| now < sent.at + DEAF) {
            return Turn::Wait(sent.at + DEAF);
        }
        let open = self.idle.checked_sub(LEAD).unwrap_or(self.idle);
        if now < open {
            return Turn::Wait(open);
        }
        let time = FRAME.max(self.round_trip / 2).min(LONGEST_FRAME);
        let bytes = self.rate().map_or(FIRST, |rate| rate * time.as_secs_f64());
        Turn::Go((bytes as usize).max(LEAST).min(most.max(LEAST)))
    }

    /// Whether to ask a question of its own (`CSI c`) now, before the next frame.
    pub(super) fn asks(&mut self, now: Instant) -> bool {
        let is_due = match self.answers {
            Answers::None => now >= self.asked + LONGEST_PATIENCE,
            _ if self.under_way.is_empty() => self.is_stale(now),
            _ => now >= self.asks_again(),
        };
        if !is_due {
            return false;
        }
        if self.answers != Answers::None {
            if self.heard.is_none_or(|heard| heard < self.asked) {
                self.patience = (self.patience * 2).min(LONGEST_PATIENCE);
            }
            // At first, when nothing is known, the first frame does not wait for an answer.
            let is_alone = self.answers == Answers::Given && self.under_way.is_empty();
            self.under_way.push_back(Sent {
                at: now,
                bytes: 0,
                is_probe: true,
                is_alone,
            });
        }
        self.asked = now;
        true
    }

    /// When to look again although nothing happened; `None` while nothing is under way.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waits = !self.under_way.is_empty();
        waits.then(|| match self.answers {
            Answers::Unknown => self.asks_again().min(self.asked + DEAF),
            _ => self.asks_again(),
        })
    }

    /// Whether each frame ends with a question.
    pub(super) fn is_answered(&self) -> bool {
        self.answers != Answers::None
    }

    /// A frame of so many bytes was written, from `began` to `now`.
    pub(super) fn wrote(&mut self, bytes: usize, began: Instant, now: Instant) {
        if self.is_answered() {
            self.under_way.push_back(Sent {
                at: began,
                bytes,
                is_probe: false,
                is_alone: false,
            });
        } else {
            // A terminal that answers nothing may still be slow to take.
            let time = now.saturating_duration_since(began);
            if time > LEAD {
                self.sample(bytes, time);
            }
        }
        let time = self.rate().map_or(0.0, |rate| bytes as f64 / rate.min(FASTEST));
        self.idle = self.idle.max(began) + Duration::from_secs_f64(time.min(10.0));
    }

    /// The answer to a frame's question came.
    pub(super) fn answered(&mut self, now: Instant) {
        self.heard(now);
        // Questions of their own that were overtaken are lost.
        while self.under_way.front().is_some_and(|sent| sent.is_probe) {
            self.under_way.pop_front();
            self.measured = Some(now);
        }
        if let Some(sent) = self.under_way.pop_front() {
            self.arrived(sent, now);
        }
        self.answered = Some(now);
        self.correct(now);
    }

    /// The answer to a question of its own came: all that was sent before has arrived.
    pub(super) fn probe_answered(&mut self, now: Instant) {
        self.heard(now);
        if let Some(probe) = self.under_way.iter().position(|sent| sent.is_probe) {
            let sent = self.under_way[probe];
            self.under_way.drain(..=probe);
            if sent.is_alone {
                self.round_trip = now.saturating_duration_since(sent.at);
                self.measured = Some(now);
            }
        }
        self.correct(now);
    }

    /// Nothing is known any more of what is under way: the terminal was given away meanwhile.
    pub(super) fn reset(&mut self, now: Instant) {
        self.under_way.clear();
        self.idle = now;
        self.measured = None;
    }

    /// Notices a terminal that answers nothing.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.answers == Answers::Unknown && !self.under_way.is_empty() && now >= self.asked + DEAF {
            self.answers = Answers::None;
            self.under_way.clear();
            self.idle = now;
        }
    }

    fn heard(&mut self, now: Instant) {
        if self.answers == Answers::None {
            // It is slow, not deaf.
            self.idle = now;
            self.samples.clear();
            self.rate = None;
        }
        self.answers = Answers::Given;
        self.heard = Some(now);
        self.patience = PATIENCE;
    }

    fn frames(&self) -> usize {
        self.under_way.iter().filter(|sent| !sent.is_probe).count()
    }

    fn is_stale(&self, now: Instant) -> bool {
        self.answers != Answers::None && self.measured.is_none_or(|measured| now >= measured + STALE)
    }

    fn asks_again(&self) -> Instant {
        self.asked + self.patience.max(self.round_trip * 4)
    }

    fn rate(&self) -> Option<f64> {
        let found = match self.answers {
            Answers::None => Some(self.rate.unwrap_or(SILENT)),
            _ => self.rate,
        };
        match (self.limit, found) {
            (Some(limit), Some(found)) => Some(limit.min(found)),
            (limit, found) => limit.or(found),
        }
    }

    /// A frame has arrived: it passed since the one before it had, or since it could first be there.
    fn arrived(&mut self, sent: Sent, now: Instant) {
        let earliest = sent.at + self.round_trip;
        let from = self.answered.map_or(earliest, |before| before.max(earliest));
        self.sample(sent.bytes, now.saturating_duration_since(from));
    }

    fn sample(&mut self, bytes: usize, time: Duration) {
        if bytes < TELLING {
            return;
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { bytes, time });
        let mean = |samples: &mut dyn Iterator<Item = &Sample>| {
            let (bytes, time) = samples.fold((0, Duration::ZERO), |(bytes, time), sample| {
                (bytes + sample.bytes, time + sample.time)
            });
            (bytes as f64 / time.as_secs_f64().max(1e-6)).min(FASTEST)
        };
        let all = mean(&mut self.samples.iter());
        let slowest = self.samples.iter().map(|sample| sample.time).max();
        let others = mean(&mut self.samples.iter().filter(|sample| Some(sample.time) != slowest));
        let is_stall = self.samples.len() >= 3 && others > all * STALL;
        self.rate = Some(if is_stall { others } else { all });
    }

    /// What is still under way passes after what has arrived.
    fn correct(&mut self, now: Instant) {
        // A limit that was asked for is kept whatever the line could do.
        if self
            .limit
            .is_some_and(|limit| self.rate.is_none_or(|rate| rate > limit))
        {
            return;
        }
        let rate = self.rate.unwrap_or(FASTEST);
        let mut idle = now.checked_sub(self.round_trip).unwrap_or(now);
        for sent in &self.under_way {
            idle = idle.max(sent.at) + Duration::from_secs_f64((sent.bytes as f64 / rate).min(10.0));
        }
        self.idle = idle;
    }
}

#[cfg(test)]
mod tests;
