//! What one participant may take of a server: numbers, the reasons for them, and the two clocks
//! that every socket is held against.

use std::time::{Duration, Instant};

/// The first message must have come within this time after the socket opened. A client sends it
/// with its handshake, so this is five round trips of the worst line.
pub const JOIN_WITHIN: Duration = Duration::from_secs(5);

/// After so much quiet in either direction the server pings: proxies on the way forget a
/// connection after 60 seconds, and NATs some after 30.
pub const PING_AFTER: Duration = Duration::from_secs(20);

/// A socket that said nothing for so long, not even to two pings, is dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(45);

/// After a change of the network a socket that stays silent for this long is taken to be dead: long enough
/// for two of TCP's first repetitions, short enough for who waits for a path.
pub const DOUBTED_FOR: Duration = Duration::from_millis(1500);

/// A reader who does not take a message for so long is closed, so that nothing piles up.
pub const WRITE_WITHIN: Duration = Duration::from_millis(500);

/// What may wait for one reader, in bytes; more closes it.
pub const MAX_QUEUED: usize = 64 * 1024;

/// Messages that may come at once, for each other person that a room may hold. Whoever comes into
/// a full room sends every other one an offer and all candidates: a machine with a dozen
/// interfaces (docks, tunnels, containers; IPv4 and IPv6) has 30 or so with what STUN and TURN
/// add.
const BURST_PER_PEER: u32 = 40;

/// Messages that may come at once in any case.
const BURST_BASE: u32 = 100;

/// Messages a second in the long run; a call that renegotiates all the time needs two or three.
const PER_SECOND: u32 = 30;

/// How much a server holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rooms at a time.
    pub max_rooms: usize,
    /// People in a room.
    pub max_peers: usize,
}

impl Default for Limits {
    /// 1,000 rooms of 8: what a mesh carries, and what a small machine serves without noticing.
    fn default() -> Self {
        Self {
            max_rooms: 1000,
            max_peers: 8,
        }
    }
}

/// A token bucket over one socket's messages: each takes one, and they come back over time.
#[derive(Clone, Debug)]
pub struct Bucket {
    tokens: f64,
    capacity: f64,
    since: Instant,
}

impl Bucket {
    /// A full bucket for a socket in a room of up to `max_peers` people.
    pub fn new(max_peers: usize, now: Instant) -> Self {
        let others = u32::try_from(max_peers.saturating_sub(1)).unwrap_or(u32::MAX);
        let capacity = f64::from(BURST_PER_PEER.saturating_mul(others).saturating_add(BURST_BASE));
        Self {
            tokens: capacity,
            capacity,
            since: now,
        }
    }

    /// Takes one token; false where there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.tokens = (self.tokens + passed * f64::from(PER_SECOND)).min(self.capacity);
        self.since = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

/// Watches whether the other end of a WebSocket is still there.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    heard: Instant,
    spoke: Instant,
    pinged: Instant,
    /// Since when it is doubted that the other end can be reached.
    doubted: Option<Instant>,
}

/// What [`Liveness`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// All is well until [`Liveness::deadline`].
    Fine,
    /// Send a ping.
    Ping,
    /// Nothing came for [`DEAD_AFTER`], or in doubt for [`DOUBTED_FOR`]: close.
    Dead,
}

impl Liveness {
    /// Of a socket that opened now.
    pub fn new(now: Instant) -> Self {
        Self {
            heard: now,
            spoke: now,
            pinged: now,
            doubted: None,
        }
    }

    /// The network changed: send a ping now; nothing heard for [`DOUBTED_FOR`] means that the socket is dead.
    pub fn doubt(&mut self, now: Instant) {
        self.pinged = now;
        self.doubted.get_or_insert(now);
    }

    /// Something came in, a pong included.
    pub fn handle_heard(&mut self, now: Instant) {
        self.heard = now;
        self.doubted = None;
    }

    /// Something went out.
    pub fn handle_spoke(&mut self, now: Instant) {
        self.spoke = now;
    }

    /// When to [`check`](Self::check) next.
    pub fn deadline(&self) -> Instant {
        let quiet = self.heard.min(self.spoke);
        (quiet.max(self.pinged) + PING_AFTER).min(self.dead_at())
    }

    fn dead_at(&self) -> Instant {
        let silent = self.heard + DEAD_AFTER;
        self.doubted.map_or(silent, |at| silent.min(at + DOUBTED_FOR))
    }

    /// What is to be done now. A ping asked for counts as sent.
    pub fn check(&mut self, now: Instant) -> Check {
        if now >= self.dead_at() {
            Check::Dead
        } else if now >= self.deadline() {
            self.pinged = now;
            Check::Ping
        } else {
            Check::Fine
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_full_room_is_greeted_at_once_and_a_flood_is_not() {
        let start = start();
        let mut bucket = Bucket::new(8, start);
        let newcomer = 7 * (1 + 30 + 1);
        assert!(
            (0..newcomer).all(|_| bucket.take(start)),
            "an offer, 30 candidates and their end to each"
        );
        let rest = (0..10_000).filter(|_| bucket.take(start)).count();
        assert_eq!(newcomer + rest, 100 + 7 * 40);
        assert!(!bucket.take(start));
        assert_eq!((0..100).filter(|_| bucket.take(start + SECOND)).count(), 30);
        let later = start + 3600 * SECOND;
        assert_eq!(
            (0..10_000).filter(|_| bucket.take(later)).count(),
            380,
            "no more than is full"
        );
        assert!(!bucket.take(start), "a clock that went back gives nothing");
    }

    #[test]
    fn two_quiet_ends_ping_and_live() {
        let start = start();
        let mut live = Liveness::new(start);
        for minute in 0..10 {
            let now = start + 20 * SECOND * (minute + 1);
            assert_eq!(live.deadline(), now);
            assert_eq!(live.check(now - SECOND), Check::Fine);
            assert_eq!(live.check(now), Check::Ping);
            live.handle_spoke(now);
            live.handle_heard(now);
        }
    }

    #[test]
    fn a_doubted_end_answers_soon_or_is_dead() {
        let start = start();
        let mut live = Liveness::new(start);
        live.doubt(start + SECOND);
        live.doubt(start + 2 * SECOND);
        let due = start + SECOND + DOUBTED_FOR;
        assert_eq!(live.deadline(), due, "a second doubt grants no more time");
        assert_eq!(live.check(due), Check::Dead);
        live.handle_heard(due);
        assert_eq!(live.check(due), Check::Fine);
    }

    #[test]
    fn an_end_that_never_answers_is_pinged_twice_and_dead() {
        let start = start();
        let mut live = Liveness::new(start);
        let mut seen = Vec::new();
        loop {
            let now = live.deadline();
            live.handle_spoke(now);
            match live.check(now) {
                Check::Fine => {}
                check => seen.push((now - start, check)),
            }
            if seen.last().is_some_and(|(_, check)| *check == Check::Dead) {
                break;
            }
        }
        assert_eq!(
            seen,
            [
                (20 * SECOND, Check::Ping),
                (40 * SECOND, Check::Ping),
                (45 * SECOND, Check::Dead)
            ]
        );
    }
}
