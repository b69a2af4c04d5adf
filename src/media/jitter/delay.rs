//! How long packets are to be held back, told by how unevenly they came.

use std::collections::VecDeque;

use super::ms;
use crate::media::audio::{FRAME, RATE};

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
pub(super) const LEAST: i64 = ms(10);
const MOST: i64 = ms(400);

/// What the delay is to be; all times in samples from the origin on.
pub(super) struct Delay {
    /// The last packets' arrivals and transits, the oldest first.
    history: VecDeque<(i64, i64)>,
    /// Their transits, the least first.
    sorted: Vec<i64>,
    target: i64,
    /// What late packets asked for, and when it was last looked at.
    surge: (i64, i64),
    lossy_until: i64,
}

impl Default for Delay {
    fn default() -> Self {
        Self {
            history: VecDeque::with_capacity(HISTORY + 1),
            sorted: Vec::with_capacity(HISTORY + 1),
            target: LEAST,
            surge: (0, 0),
            lossy_until: i64::MIN,
        }
    }
}

impl Delay {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.history.clear();
        self.sorted.clear();
        (self.target, self.surge, self.lossy_until) = (LEAST, (0, 0), i64::MIN);
    }

    /// The least transit of late: what the network takes at best.
    pub(super) fn base(&self) -> i64 {
        self.sorted.first().copied().unwrap_or(0)
    }

    /// How long packets ought to be held back beyond that.
    pub(super) fn target(&self) -> i64 {
        self.target
    }

    /// A packet came at `at` with this transit.
    pub(super) fn came(&mut self, at: i64, transit: i64) {
        self.history.push_back((at, transit));
        let place = self.sorted.partition_point(|other| *other < transit);
        self.sorted.insert(place, transit);
        while let Some((came, transit)) = self.history.front().copied()
            && (self.history.len() > HISTORY || (self.history.len() > KEPT && at - came > MEMORY))
        {
            self.history.pop_front();
            let place = self.sorted.partition_point(|other| *other < transit);
            self.sorted.remove(place);
        }
    }

    /// It came after its time.
    pub(super) fn came_late(&mut self, at: i64, transit: i64) {
        self.came(at, transit);
        let needed = transit - self.base() + MARGIN;
        let asked = self.surge_at(at).max(self.target) + SURGE;
        self.surge = (needed.min(asked), at);
    }

    /// Packets got lost.
    pub(super) fn lost(&mut self, at: i64) {
        self.lossy_until = at + LOSSY;
    }

    /// Sets the target for what is known at `at`, to no less than `floor`.
    pub(super) fn aim(&mut self, at: i64, floor: i64) {
        let Some(last) = self.sorted.len().checked_sub(1) else {
            return;
        };
        let needed = self.sorted[last * IN_TIME / 100] - self.base() + MARGIN;
        let repair = if at < self.lossy_until { REPAIR } else { 0 };
        let surge = self.surge_at(at);
        self.target = (needed + repair).max(surge).max(floor).clamp(LEAST, MOST);
    }

    /// What late packets still ask for at `at`.
    fn surge_at(&self, at: i64) -> i64 {
        let (asked, when) = self.surge;
        (asked - (at - when) / SURGE_DECAY).max(0)
    }
}
