//! The jitter buffer: puts a peer's packets back into order and time.
//!
//! Packets are kept by their sequence number and played by their media time. How long they are held
//! back follows how unevenly they came in the last seconds; a lost one is made up from the next one
//! (in-band error correction) or concealed; a pause in which the sender sent nothing is no loss.
//!
//! All times here are in samples of 48 kHz, those of arrival counted from the first packet's. A
//! packet's *transit* is its arrival less its media time: it means nothing by itself, but the least
//! of the last seconds is what the network takes at best, and more than that is *delay*.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::media::audio::{BLOCK, FRAME, RATE};

/// A packet of voice as it came from the network.
#[derive(Clone, Debug)]
pub struct VoicePacket {
    /// The RTP sequence number, extended so that it never wraps.
    pub seq: u64,
    /// The RTP time of its first sample, 48 kHz, extended likewise.
    pub time: u64,
    /// The Opus packet.
    pub data: Arc<[u8]>,
    /// When it came.
    pub arrived: Instant,
}

/// What is to be played next.
#[derive(Clone, Debug)]
pub enum Next {
    /// This packet.
    Play(VoicePacket),
    /// So many samples lost, to be recovered from this packet, which follows them and comes next.
    Recover(Arc<[u8]>, usize),
    /// So many samples that did not come.
    Conceal(usize),
    /// So many samples of a pause.
    Pause(usize),
}

/// What would bring the delay nearer to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Keep,
    /// A shorter frame; with true even if it is heard.
    Shrink(bool),
    /// A longer frame.
    Grow,
}

/// Counts since the last time they were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples played from packets, recovered ones included.
    pub played: u64,
    /// Samples concealed because they did not come in time.
    pub concealed: u64,
    /// Packets that never came before their time.
    pub lost: u64,
    /// Packets that came after their time, or that there was no room for.
    pub late: u64,
}

/// Packets that are kept at most: over a second of them.
const ROOM: usize = 64;
/// The transits remembered at most, and for how long: 4 s of packets of 20 ms.
const HISTORY: usize = 200;
const MEMORY: i64 = ms(4_000);
/// In a pause the last ones are remembered for longer, so that voice comes back at a fitting delay.
const KEPT: usize = 10;
/// The share of packets that shall be in time, in percent.
const IN_TIME: usize = 97;
/// Added to what the packets need, for the unevenness of the player.
const MARGIN: i64 = ms(10);
/// Added when packets get lost: the one after the lost one, which repairs it, must be there.
const REPAIR: i64 = FRAME as i64;
/// For how long a loss is thought to be followed by others.
const LOSSY: i64 = ms(10_000);
/// What a late packet adds at most, and how fast that is taken back: 15 ms a second.
const SURGE: i64 = ms(20);
const SURGE_DECAY: i64 = RATE as i64 / ms(15);
/// The bounds of the target.
const LEAST: i64 = ms(20);
const MOST: i64 = ms(400);
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
    /// The last packets' arrivals and transits, the oldest at `oldest`.
    history: Vec<(i64, i64)>,
    oldest: usize,
    sorted: Vec<i64>,
    /// The least transit of the history.
    base: i64,
    target: i64,
    /// What late packets asked for, and when it was last looked at.
    surge: (i64, i64),
    lossy_until: i64,
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
            history: Vec::with_capacity(HISTORY),
            oldest: 0,
            sorted: Vec::with_capacity(HISTORY),
            base: 0,
            target: LEAST,
            surge: (0, 0),
            lossy_until: i64::MIN,
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

        if self.started && packet.seq < self.next_seq {
            if self.was_played(packet.seq) {
                return;
            }
            self.counts.late += 1;
            self.remember(at, at - time);
            let needed = at - time - self.base + MARGIN;
            let asked = self.surge_at(at).max(self.target) + SURGE;
            self.surge = (needed.min(asked), at);
            return;
        }
        let place = match self
            .queue
            .binary_search_by_key(&packet.seq, |held| held.packet.seq)
        {
            Ok(_) => return,
            Err(place) => place,
        };
        self.remember(at, at - time);
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
        self.aim(at);
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
            let ahead = self.target - (at - head.time - self.base);
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
        self.lossy_until = at + LOSSY;
        Next::Conceal(concealed as usize)
    }

    /// Whether the next frame had better be shorter or longer.
    pub fn wish(&mut self) -> Wish {
        let excess = self.delay - self.target;
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

    /// The time it ought to be held back.
    pub fn target(&self) -> Duration {
        duration(self.target)
    }

    /// The counts since the last time.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Forgets everything and takes `packet`'s arrival and time as the origin.
    fn begin(&mut self, packet: &VoicePacket) {
        self.state = State::Waiting;
        self.queue.clear();
        self.history.clear();
        self.oldest = 0;
        self.origin = Some((packet.arrived, packet.time));
        self.last = (packet.seq, 0);
        self.started = false;
        self.played = 0;
        self.base = 0;
        self.target = LEAST;
        self.surge = (0, 0);
        self.lossy_until = i64::MIN;
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

    /// Adds a transit to the history, and forgets old ones.
    fn remember(&mut self, at: i64, transit: i64) {
        if self.history.len() < HISTORY {
            self.history.push((at, transit));
        } else {
            self.history[self.oldest] = (at, transit);
            self.oldest = (self.oldest + 1) % HISTORY;
        }
        self.sorted.clear();
        let kept = self.history.len().saturating_sub(KEPT);
        for age in 0..self.history.len() {
            let (came, transit) = self.history[(self.oldest + age) % self.history.len()];
            if age >= kept || at - came <= MEMORY {
                self.sorted.push(transit);
            }
        }
        self.sorted.sort_unstable();
        self.base = self.sorted.first().copied().unwrap_or(transit);
    }

    /// Sets the target for what is known at `at`.
    fn aim(&mut self, at: i64) {
        let Some(last) = self.sorted.len().checked_sub(1) else {
            return;
        };
        let needed = self.sorted[last * IN_TIME / 100] - self.base + MARGIN;
        let repair = if at < self.lossy_until { REPAIR } else { 0 };
        let surge = self.surge_at(at);
        self.target = (needed + repair).max(surge).clamp(LEAST, MOST);
    }

    /// What late packets still ask for at `at`.
    fn surge_at(&self, at: i64) -> i64 {
        let (asked, when) = self.surge;
        (asked - (at - when) / SURGE_DECAY).max(0)
    }

    /// Drops packets while the delay is beyond what shortening could make good.
    fn leave_out(&mut self, at: i64) {
        while self.queue.len() > 1 && at - self.queue[0].time - self.base > self.target + TOO_FAR {
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
            self.lossy_until = at + LOSSY;
        }
    }

    /// Plays the first packet.
    fn play(&mut self, at: i64) -> Next {
        let head = self.queue.remove(0);
        let delay = at - head.time - self.base;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A moment to count from.
    #[allow(clippy::disallowed_methods)]
    fn zero() -> Instant {
        Instant::now()
    }

    /// A small deterministic source of numbers below one.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    /// What a network does to a packet: nothing at all, or so many milliseconds of delay.
    type Network<'a> = &'a mut dyn FnMut(u64) -> Option<f64>;

    /// What came out of a simulated call.
    #[derive(Debug, Default)]
    struct Heard {
        /// The numbers of the packets in the order of playing.
        played: Vec<u64>,
        recovered: usize,
        concealed: usize,
        paused: usize,
        counts: Counts,
        /// The delay in milliseconds after each second.
        delays: Vec<f64>,
    }

    /// A sender of 50 packets a second for so many seconds through the network, and a player of 100
    /// blocks a second that stretches as it is wished to.
    fn call(seconds: u64, network: Network) -> Heard {
        let start = zero();
        let packets = (0..seconds * 50).filter_map(|seq| {
            let delay = network(seq)?;
            Some((seq, seq as f64 * 20.0 + delay))
        });
        let mut arrivals: Vec<(u64, f64)> = packets.collect();
        arrivals.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut buffer = JitterBuffer::new();
        let mut heard = Heard::default();
        let mut arrivals = arrivals.into_iter().peekable();
        let mut held = 0;
        for block in 0..seconds * 100 {
            let now_ms = block as f64 * 10.0;
            while let Some((seq, at)) = arrivals.next_if(|(_, at)| *at <= now_ms) {
                buffer.insert(packet(seq, seq * 960, start, at), FRAME);
            }
            let now = start + Duration::from_secs_f64(now_ms / 1e3);
            while held < BLOCK {
                held += match buffer.next(now, held) {
                    Next::Play(packet) => {
                        heard.played.push(packet.seq);
                        let change = match buffer.wish() {
                            Wish::Keep => 0,
                            Wish::Shrink(_) => -300,
                            Wish::Grow => 300,
                        };
                        buffer.stretched(change);
                        (FRAME as i64 + change) as usize
                    }
                    Next::Recover(_, samples) => {
                        heard.recovered += 1;
                        samples
                    }
                    Next::Conceal(samples) => {
                        heard.concealed += samples;
                        samples
                    }
                    Next::Pause(samples) => {
                        heard.paused += samples;
                        samples
                    }
                };
            }
            held -= BLOCK;
            if block % 100 == 99 {
                heard.delays.push(buffer.delay().as_secs_f64() * 1e3);
            }
        }
        heard.counts = buffer.take_counts();
        heard
    }

    fn packet(seq: u64, time: u64, start: Instant, at_ms: f64) -> VoicePacket {
        VoicePacket {
            seq,
            time,
            data: Arc::new([0]),
            arrived: start + Duration::from_secs_f64(at_ms / 1e3),
        }
    }

    #[test]
    fn a_clean_line_costs_little_delay_and_nothing_else() {
        let heard = call(20, &mut |_| Some(40.0));
        assert_eq!(heard.concealed + heard.recovered, 0, "{heard:?}");
        assert_eq!(heard.counts.lost + heard.counts.late, 0);
        assert!(heard.played.len() >= 20 * 50 - 5);
        assert!(
            heard.delays.iter().all(|delay| *delay <= 30.5),
            "{:?}",
            heard.delays
        );
    }

    #[test]
    fn the_delay_follows_the_jitter_and_returns() {
        let mut dice = Dice(7);
        let heard = call(40, &mut |seq| {
            let rough = (500..1000).contains(&seq);
            Some(40.0 + if rough { 80.0 * dice.roll() } else { 0.0 })
        });
        let delay = |second: usize| heard.delays[second];
        assert!(delay(8) <= 30.5, "{:?}", heard.delays);
        assert!((70.0..120.0).contains(&delay(18)), "{:?}", heard.delays);
        assert!(delay(38) <= 41.0, "{:?}", heard.delays);
        let share = heard.counts.concealed as f64 / heard.counts.played as f64;
        assert!(share < 0.02, "{share} concealed");
    }

    #[test]
    fn single_losses_are_recovered_from_the_next_packet() {
        let heard = call(30, &mut |seq| (seq % 20 != 19).then_some(40.0));
        // That the last one is lost is never known.
        assert_eq!(heard.counts.lost, 30 * 50 / 20 - 1);
        // The first comes before it is known that the line loses packets.
        assert!(heard.recovered >= 73, "{heard:?}");
        assert!(
            heard.delays.iter().skip(5).all(|delay| *delay <= 51.0),
            "{:?}",
            heard.delays
        );
    }

    #[test]
    fn losses_under_jitter_are_mostly_recovered() {
        let mut dice = Dice(99);
        let heard = call(60, &mut |_| {
            let delay = 40.0 + 30.0 * dice.roll();
            (dice.roll() > 0.05).then_some(delay)
        });
        let share = heard.counts.concealed as f64 / heard.counts.played as f64;
        assert!(share < 0.015, "{share} concealed, {} recovered", heard.recovered);
    }

    #[test]
    fn a_burst_is_concealed_and_then_all_is_well() {
        let heard = call(20, &mut |seq| (!(300..308).contains(&seq)).then_some(40.0));
        assert_eq!(heard.counts.lost, 8);
        let lost = heard.counts.concealed + heard.recovered as u64 * FRAME as u64;
        assert!(
            (lost as i64 - 8 * FRAME as i64).abs() <= BLOCK as i64,
            "{heard:?}"
        );
        assert!(heard.delays[18] <= 51.0, "{:?}", heard.delays);
    }

    #[test]
    fn order_is_restored_and_doubles_are_dropped() {
        let start = zero();
        let mut buffer = JitterBuffer::new();
        for (place, seq) in [5, 4, 6, 6, 8, 7, 4, 9].into_iter().enumerate() {
            buffer.insert(packet(seq, seq * 960, start, place as f64), FRAME);
        }
        let mut played = Vec::new();
        for block in 0..30 {
            let now = start + Duration::from_millis(10 * block);
            if let Next::Play(packet) = buffer.next(now, 0) {
                played.push(packet.seq);
                // One that was played comes once more.
                buffer.insert(packet, FRAME);
            }
        }
        assert_eq!(played, [4, 5, 6, 7, 8, 9]);
        assert_eq!((buffer.take_counts().late, buffer.take_counts().lost), (0, 0));
    }

    #[test]
    fn reordering_on_the_way_loses_nothing() {
        let mut dice = Dice(3);
        let heard = call(30, &mut |_| Some(if dice.roll() < 0.05 { 65.0 } else { 40.0 }));
        let mut sorted = heard.played.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted, heard.played);
        assert!(heard.counts.concealed < 48_000 / 5, "{:?}", heard.counts);
    }

    #[test]
    fn a_pause_is_no_loss_and_voice_returns_in_time() {
        // 10 s of voice, 10 s in which only each twentieth frame is sent, and voice again; numbers are
        // given to packets that are sent, and times to all.
        let start = zero();
        let mut buffer = JitterBuffer::new();
        let (mut seq, mut played, mut pauses, mut concealed) = (0, 0, 0, 0);
        let mut held = 0;
        for block in 0..3000_u64 {
            let frame = block / 2;
            let quiet = (500..1000).contains(&frame);
            if block % 2 == 0 && (!quiet || frame % 20 == 0) {
                buffer.insert(packet(seq, frame * 960, start, block as f64 * 10.0), FRAME);
                seq += 1;
            }
            let now = start + Duration::from_millis(block * 10);
            while held < BLOCK {
                held += match buffer.next(now, held) {
                    Next::Play(_) => {
                        played += 1;
                        FRAME
                    }
                    Next::Pause(samples) => {
                        pauses += samples;
                        samples
                    }
                    Next::Recover(_, samples) | Next::Conceal(samples) => {
                        concealed += samples;
                        samples
                    }
                };
            }
            held -= BLOCK;
        }
        let counts = buffer.take_counts();
        assert_eq!((counts.lost, counts.late, counts.concealed), (0, 0, 0));
        assert!(played >= seq - 3, "{played} of {seq}");
        assert!(
            buffer.delay() <= Duration::from_millis(31),
            "{:?}",
            buffer.delay()
        );
        // The last sound is continued while it is not known whether packets are late.
        assert!(pauses + concealed > 400_000);
    }

    #[test]
    fn a_sender_that_begins_again_is_heard_again() {
        let start = zero();
        let mut buffer = JitterBuffer::new();
        let mut heard_again = 0;
        for block in 0..2000_u64 {
            let frame = block / 2;
            let (seq, time) = if frame < 500 {
                (60_000 + frame, 1 << 31 | (frame * 960))
            } else {
                (frame - 500, frame * 960)
            };
            if block % 2 == 0 {
                buffer.insert(packet(seq, time, start, block as f64 * 10.0), FRAME);
            }
            let now = start + Duration::from_millis(block * 10);
            if block % 2 == 0
                && let Next::Play(packet) = buffer.next(now, 0)
            {
                heard_again += u64::from(packet.seq < 500);
            }
        }
        assert!(heard_again >= 495, "{heard_again} of 500");
    }

    #[test]
    fn one_wild_packet_changes_nothing() {
        let mut buffer = JitterBuffer::new();
        let start = zero();
        let mut played = 0;
        for frame in 0..200_u64 {
            let at = frame as f64 * 20.0;
            buffer.insert(packet(frame, frame * 960, start, at), FRAME);
            if frame % 10 == 5 {
                buffer.insert(packet(frame + (1 << 40), frame * 960, start, at), FRAME);
                buffer.insert(packet(frame + 1, u64::MAX / 3, start, at), FRAME);
            }
            let now = start + Duration::from_millis(frame * 20);
            played += u64::from(matches!(buffer.next(now, 0), Next::Play(_)));
        }
        assert!(played >= 195, "{played} of 200");
    }

    #[test]
    fn two_clocks_that_drift_apart_stay_together() {
        // The sender is 300 ppm faster.
        let heard = call(120, &mut |seq| Some(40.0 - seq as f64 * 20.0 * 300e-6));
        assert!(
            heard.delays.iter().all(|delay| *delay <= 45.0),
            "{:?}",
            heard.delays
        );
        assert!(heard.counts.concealed < 4_800, "{:?}", heard.counts);
        let slower = call(120, &mut |seq| Some(40.0 + seq as f64 * 20.0 * 300e-6));
        assert!(
            slower.delays.iter().all(|delay| *delay <= 45.0),
            "{:?}",
            slower.delays
        );
        assert!(slower.counts.concealed < 4_800, "{:?}", slower.counts);
    }

    #[test]
    fn a_spike_of_delay_is_made_good() {
        // The line stands still for 600 ms and then delivers everything at once.
        let heard = call(30, &mut |seq| {
            let held_up = 40.0 + (530 - seq as i64).clamp(0, 30) as f64 * 20.0;
            Some(if (500..530).contains(&seq) { held_up } else { 40.0 })
        });
        assert!(heard.delays[29] <= 60.0, "{:?}", heard.delays);
        assert!(heard.counts.lost == 0, "{:?}", heard.counts);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_network_ends_in_order_and_in_bounds(
            seed in 1..u64::MAX, jitter in 0.0..300.0, loss in 0.0..0.5,
        ) {
            let mut dice = Dice(seed);
            let heard = call(12, &mut |_| {
                let delay = 20.0 + jitter * dice.roll();
                (dice.roll() >= loss).then_some(delay)
            });
            prop_assert!(heard.played.is_sorted_by(|a, b| a < b));
            prop_assert!(heard.delays.iter().all(|delay| *delay < 1500.0), "{:?}", heard.delays);
            prop_assert!(!heard.played.is_empty());
        }

        #[test]
        fn no_stream_can_harm(
            packets in prop::collection::vec(
                (
                    prop_oneof![any::<u64>(), 0..50_u64, Just(u64::MAX), Just(LAST_SEQ)],
                    prop_oneof![any::<u64>(), 0..50_000_u64],
                    0..3_000_u64,
                    1..=5760_usize,
                ),
                0..200,
            ),
        ) {
            let start = zero();
            let mut buffer = JitterBuffer::new();
            for (i, (seq, time, at, duration)) in packets.into_iter().enumerate() {
                let came = packet(seq, time, start, at as f64);
                buffer.insert(came.clone(), duration);
                buffer.insert(VoicePacket { seq: seq.saturating_add(1), ..came }, duration);
                let now = start + Duration::from_millis(i as u64 * 10);
                for _ in 0..3 {
                    let samples = match buffer.next(now, 0) {
                        Next::Play(_) => duration,
                        Next::Recover(_, n) | Next::Conceal(n) | Next::Pause(n) => n,
                    };
                    prop_assert!((1..=5760).contains(&samples));
                }
                buffer.wish();
            }
        }
    }
}
