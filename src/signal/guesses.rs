//! How often somebody may look for a room that is not there.
//!
//! Whoever joins a room learns whether anybody is in it, so the names of private rooms could be
//! tried one after the other. Each try that misses opens a new room, and those are counted by
//! address: a few at once, then one every now and then. When they are used up, every newcomer from
//! that address is refused alike, so that the refusal says nothing about the room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Rooms that one address may open at once: an office behind one address whose meeting point was
/// started anew.
const BURST: f64 = 100.0;

/// One more after each such time: 17,280 a day, with which a code (1 in 104 million) is met after
/// eight years in the middle.
const ANOTHER_AFTER: Duration = Duration::from_secs(5);

/// Addresses that are remembered; when there are more, those go that have opened least.
const MOST: usize = 10_000;

/// The rooms opened by each address, for as long as they count.
#[derive(Debug, Default)]
pub struct Guesses {
    opened: HashMap<IpAddr, Opened>,
}

#[derive(Clone, Copy, Debug)]
struct Opened {
    /// How many count at `since`; they fade.
    count: f64,
    since: Instant,
}

impl Opened {
    fn count(&self, now: Instant) -> f64 {
        let faded = now.saturating_duration_since(self.since).as_secs_f64() / ANOTHER_AFTER.as_secs_f64();
        (self.count - faded).max(0.0)
    }
}

impl Guesses {
    /// Whether a newcomer from `from` may join (any room).
    pub fn may_join(&self, from: IpAddr, now: Instant) -> bool {
        let opened = self.opened.get(&network(from));
        opened.is_none_or(|opened| opened.count(now) <= BURST - 1.0)
    }

    /// Somebody from `from` opened a room.
    pub fn handle_opened(&mut self, from: IpAddr, now: Instant) {
        if self.opened.len() >= MOST {
            self.opened.retain(|_, opened| opened.count(now) > 0.0);
        }
        if self.opened.len() >= MOST {
            let least = self
                .opened
                .iter()
                .min_by(|(_, a), (_, b)| a.count(now).total_cmp(&b.count(now)));
            if let Some(least) = least.map(|(network, _)| *network) {
                self.opened.remove(&least);
            }
        }
        let opened = self.opened.entry(network(from)).or_insert(Opened {
            count: 0.0,
            since: now,
        });
        *opened = Opened {
            count: opened.count(now) + 1.0,
            since: now,
        };
    }
}

/// What one customer is given: an IPv4 address, or 64 bits of IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_guesser_comes_to_a_crawl_and_others_do_not() {
        let start = start();
        let (guesser, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let mut guesses = Guesses::default();
        let mut tried = 0;
        while guesses.may_join(guesser, start) {
            guesses.handle_opened(guesser, start);
            tried += 1;
        }
        assert_eq!(tried, 100);
        assert!(guesses.may_join(other, start));
        assert!(!guesses.may_join(guesser, start + ANOTHER_AFTER * 9 / 10));
        let later = start + ANOTHER_AFTER;
        assert!(guesses.may_join(guesser, later));
        guesses.handle_opened(guesser, later);
        assert!(!guesses.may_join(guesser, later));
        assert!(guesses.may_join(guesser, later + ANOTHER_AFTER));
    }

    #[test]
    fn one_customer_has_one_count() {
        let now = start();
        let mut guesses = Guesses::default();
        for host in 0..100 {
            guesses.handle_opened(ip(&format!("2001:db8::{host:x}")), now);
        }
        assert!(!guesses.may_join(ip("2001:db8::ffff:1"), now));
        assert!(guesses.may_join(ip("2001:db8:0:1::1"), now));
        for _ in 0..100 {
            guesses.handle_opened(ip("::ffff:192.0.2.1"), now);
        }
        assert!(!guesses.may_join(ip("192.0.2.1"), now));
    }

    #[test]
    fn a_crowd_of_addresses_does_not_fill_the_memory() {
        let now = start();
        let mut guesses = Guesses::default();
        let busy = ip("192.0.2.1");
        guesses.handle_opened(busy, now);
        guesses.handle_opened(busy, now);
        for n in 0..u32::try_from(MOST).expect("small") + 10 {
            guesses.handle_opened(IpAddr::V4((0x0a00_0000 + n).into()), now);
        }
        assert!(guesses.opened.len() <= MOST);
        assert!(
            guesses.opened.contains_key(&busy),
            "who opened most is remembered"
        );
        let later = now + ANOTHER_AFTER * 3;
        guesses.handle_opened(busy, later);
        assert_eq!(guesses.opened.len(), 1, "what counts no more is forgotten");
    }
}
