//! The jitter buffer: puts a peer's packets back into order and time.
//!
//! Packets are kept by their sequence number and played by their media time. How long they are held
//! back follows how unevenly they came in the last seconds; a lost one is made up from the next one
//! (in-band error correction) or concealed; a pause in which the sender sent nothing is no loss.
//!
//! All times here are in samples of 48 kHz, those of arrival counted from the first packet's. A
//! packet's *transit* is its arrival less its media time: it means nothing by itself, but the least
//! of the last seconds is what the network takes at best, and more than that is *delay*.

use std::time::{Duration, Instant};

use self::delay::{Delay, LEAST};
pub use self::packet::{Counts, Next, VoicePacket, Wish};
use crate::media::audio::{BLOCK, RATE};
use crate::media::drift::Drift;

mod delay;
mod packet;
#[cfg(test)]
mod tests;

/// Packets that are kept at most: over a second of them.
const ROOM: usize = 64;
/// The delay is shortened once it is so much above the target, until it is so near to it.
const ABOVE: i64 = ms(20);
const NEAR: i64 = ms(5);
/// It is lengthened once it is so much below, until it is reached.
const BELOW: i64 = ms(10);
/// It is shortened audibly when it is so much above, and by leaving packets out beyond that.
const FAR: i64 = ms(100);
const TOO_FAR: i64 = ms(500);
/// A packet whose time or number leaps by more than this belongs to another stream.
const LEAP: i64 = ms(2_000);
const LEAP_SEQ: i64 = 1_000;
/// No call lasts so long; without greater numbers none can wrap.
const LAST_SEQ: u64 = u64::MAX / 2;
/// A hole longer than the packets missing from it by this much is a pause.
const PAUSE: i64 = ms(100);

const fn ms(milliseconds: i64) -> i64 {
    milliseconds * RATE as i64 / 1_000
}

struct Held {
    packet: VoicePacket,
    /// Its media time from the first packet's on.
    time: i64,
    duration: i64,
}

/// Where the playing stands.
enum State {
    /// Waits until the first packet has been held for the target delay; after a pause or at the start.
    Waiting,
    Playing,
    /// Nothing is there; so many samples have been played without.
    Starved(i64),
}

/// One peer's jitter buffer. Give it packets as they come, ask it for what to play as it is played.
pub struct JitterBuffer {
    state: State,
    /// By sequence number.
    queue: Vec<Held>,
    /// The first packet's arrival and media time.
    origin: Option<(Instant, u64)>,
    /// The last arrival's sequence number and transit.
    last: (u64, i64),
    /// A packet of what looks like another stream, until a second one confirms it.
    stranger: Option<VoicePacket>,
    /// What is to be played next; nothing below it is wanted any more.
    next_seq: u64,
    started: bool,
    /// The media time that is to be played next.
    cursor: i64,
    /// Which of the 64 packets before `next_seq` were played, the newest in the lowest bit.
    played: u64,
    /// What the delay is to be.
    hold: Delay,
    /// The least target, in samples; asked for by a picture that comes later than the voice.
    floor: i64,
    /// The sender's clock against ours.
    drift: Drift,
    delay: i64,
    shrinking: bool,
    growing: bool,
    counts: Counts,
}

impl Default for JitterBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl JitterBuffer {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            state: State::Waiting,
            queue: Vec::with_capacity(ROOM + 1),
            origin: None,
            last: (0, 0),
            stranger: None,
            next_seq: 0,
            started: false,
            cursor: 0,
            played: 0,
            hold: Delay::default(),
            floor: 0,
            drift: Drift::default(),
            delay: LEAST,
            shrinking: false,
            growing: false,
            counts: Counts::default(),
        }
    }

    /// Takes a packet that holds `duration` samples.
    pub fn insert(&mut self, packet: VoicePacket, duration: usize) {
        if packet.seq > LAST_SEQ {
            return;
        }
        if self.origin.is_none() {
            self.begin(&packet);
        } else if self.is_strange(&packet) {
            let confirmed = self.stranger.take().filter(|first| first.seq + 1 == packet.seq);
            let Some(first) = confirmed else {
                self.stranger = Some(packet);
                return;
            };
            self.begin(&first);
            self.insert(first, duration);
        }
        self.stranger = None;
        let (at, time) = self.place(&packet);
        self.last = (packet.seq, at.wrapping_sub(time));
        self.drift.observe(time as f64 / f64::from(RATE), packet.arrived);

        if self.started && packet.seq < self.next_seq {
            if self.was_played(packet.seq) {
                return;
            }
            self.counts.late += 1;
            self.hold.came_late(at, at - time);
            return;
        }
        let place = match self
            .queue
            .binary_search_by_key(&packet.seq, |held| held.packet.seq)
        {
            Ok(_) => return,
            Err(place) => place,
        };
        self.hold.came(at, at - time);
        let duration = duration as i64;
        self.queue.insert(
            place,
            Held {
                packet,
                time,
                duration,
            },
        );
        if self.queue.len() > ROOM {
            self.queue.remove(0);
            self.counts.late += 1;
        }
    }

    /// What to play after the `held` samples that are decoded and not yet played at `now`.
    pub fn next(&mut self, now: Instant, held: usize) -> Next {
        let Some((first, _)) = self.origin else {
            return Next::Pause(BLOCK);
        };
        let at = samples(now.saturating_duration_since(first)) + held as i64;
        self.hold.aim(at, self.floor);
        if matches!(self.state, State::Playing) {
            self.leave_out(at);
        }
        let Some(head) = self.queue.first() else {
            return self.starve();
        };
        let gap = head.time.saturating_sub(self.cursor);
        let missing = head.packet.seq.saturating_sub(self.next_seq);
        if let State::Starved(without) = self.state {
            self.state = State::Playing;
            if missing == 0 && gap > 0 {
                self.state = State::Waiting;
            } else {
                self.counts.concealed += without as u64;
                self.cursor += without.min(gap.max(0));
                return self.next(now, held);
            }
        }
        if matches!(self.state, State::Waiting) {
            let ahead = self.hold.target() - (at - head.time - self.hold.base());
            if ahead > 0 {
                return Next::Pause(ahead.min(BLOCK as i64) as usize);
            }
            return self.play(at);
        }
        if gap <= 0 {
            return self.play(at);
        }
        let lost = (missing as i64).saturating_mul(head.duration);
        if gap > lost.saturating_add(PAUSE) || missing == 0 {
            self.lose(missing, at);
            self.next_seq = head_seq(&self.queue);
            self.state = State::Waiting;
            return self.next(now, held);
        }
        if gap <= head.duration {
            let data = head.packet.data.clone();
            self.lose(missing, at);
            self.next_seq = head_seq(&self.queue);
            self.cursor += gap;
            self.counts.played += gap as u64;
            return Next::Recover(data, gap as usize);
        }
        let concealed = (gap - head.duration).min(BLOCK as i64);
        self.cursor += concealed;
        self.counts.concealed += concealed as u64;
        self.hold.lost(at);
        Next::Conceal(concealed as usize)
    }

    /// Whether the next frame had better be shorter or longer.
    pub fn wish(&mut self) -> Wish {
        let excess = self.delay - self.hold.target();
        self.shrinking = excess > if self.shrinking { NEAR } else { ABOVE };
        self.growing = excess < if self.growing { 0 } else { -BELOW };
        if self.shrinking {
            Wish::Shrink(excess > FAR)
        } else if self.growing {
            Wish::Grow
        } else {
            Wish::Keep
        }
    }

    /// Tells that the last frame became so many samples longer (shorter where negative).
    pub fn stretched(&mut self, samples: i64) {
        self.delay += samples;
    }

    /// The time that voice is held back in excess of the network's best.
    pub fn delay(&self) -> Duration {
        duration(self.delay)
    }

    /// How fast the sender's clock runs: its seconds in one of ours.
    pub fn clock(&self) -> f64 {
        self.drift.rate()
    }

    /// Holds voice back for at least so long, so that a later picture can catch up.
    pub fn set_floor(&mut self, floor: Duration) {
        self.floor = samples(floor);
    }

    /// The time it ought to be held back.
    pub fn target(&self) -> Duration {
        duration(self.hold.target())
    }

    /// The counts since the last time.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Forgets everything and takes `packet`'s arrival and time as the origin.
    fn begin(&mut self, packet: &VoicePacket) {
        self.state = State::Waiting;
        self.queue.clear();
        self.hold.clear();
        self.drift = Drift::default();
        self.origin = Some((packet.arrived, packet.time));
        self.last = (packet.seq, 0);
        self.started = false;
        self.played = 0;
        self.delay = LEAST;
        self.cursor = 0;
    }

    /// When a packet came and when it is to be played, from the origin on.
    fn place(&self, packet: &VoicePacket) -> (i64, i64) {
        let (first, zero) = self.origin.expect("an origin is set before a packet is placed");
        let at = match packet.arrived.checked_duration_since(first) {
            Some(after) => samples(after),
            None => -samples(first.saturating_duration_since(packet.arrived)),
        };
        (at, packet.time.wrapping_sub(zero) as i64)
    }

    /// The packet's number or time leaps too far to belong to this stream.
    fn is_strange(&self, packet: &VoicePacket) -> bool {
        let (at, time) = self.place(packet);
        let (seq, transit) = self.last;
        let leap = packet.seq.wrapping_sub(seq) as i64;
        leap.unsigned_abs() > LEAP_SEQ as u64
            || at.wrapping_sub(time).wrapping_sub(transit).unsigned_abs() > LEAP as u64
    }

    fn was_played(&self, seq: u64) -> bool {
        let back = self.next_seq - seq - 1;
        back >= 64 || self.played >> back & 1 == 1
    }

    /// Drops packets while the delay is beyond what shortening could make good.
    fn leave_out(&mut self, at: i64) {
        while self.queue.len() > 1
            && at - self.queue[0].time - self.hold.base() > self.hold.target() + TOO_FAR
        {
            let left_out = self.queue.remove(0);
            self.next_seq = left_out.packet.seq + 1;
            self.played <<= 1;
            self.cursor = left_out.time.wrapping_add(left_out.duration);
            self.counts.late += 1;
        }
    }

    /// Nothing is there: either the sender pauses or its packets are late; the next one tells.
    fn starve(&mut self) -> Next {
        match &mut self.state {
            State::Waiting => Next::Pause(BLOCK),
            State::Playing => {
                self.state = State::Starved(BLOCK as i64);
                Next::Conceal(BLOCK)
            }
            State::Starved(without) => {
                *without = without.saturating_add(BLOCK as i64);
                Next::Conceal(BLOCK)
            }
        }
    }

    /// Counts packets that did not come before their time.
    fn lose(&mut self, missing: u64, at: i64) {
        self.counts.lost += missing;
        self.played = self.played.checked_shl(missing.min(64) as u32).unwrap_or(0);
        if missing > 0 {
            self.hold.lost(at);
        }
    }

    /// Plays the first packet.
    fn play(&mut self, at: i64) -> Next {
        let head = self.queue.remove(0);
        let delay = at - head.time - self.hold.base();
        match self.state {
            // Smoothed, and nearer to the least, since the player may ask for much at once: what it
            // asks for last must be there too.
            State::Playing if delay < self.delay => self.delay += (delay - self.delay) / 4,
            State::Playing => self.delay += (delay - self.delay) / 16,
            _ => self.delay = delay,
        }
        if self.started {
            // Packets that a restart of the playing passed over are neither played nor counted here.
            let passed = head.packet.seq.saturating_sub(self.next_seq).min(63) as u32;
            self.played = self.played.checked_shl(passed + 1).unwrap_or(0) | 1;
        } else {
            self.played = 1;
        }
        self.state = State::Playing;
        self.started = true;
        self.next_seq = head.packet.seq + 1;
        self.cursor = head.time.saturating_add(head.duration);
        self.counts.played += head.duration as u64;
        Next::Play(head.packet)
    }
}

fn head_seq(queue: &[Held]) -> u64 {
    queue.first().map_or(0, |head| head.packet.seq)
}

fn samples(duration: Duration) -> i64 {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 64);
    micros.saturating_mul(6) / 125
}

fn duration(samples: i64) -> Duration {
    Duration::from_micros(samples.max(0) as u64 * 125 / 6)
}
