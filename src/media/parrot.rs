//! Says back what it heard: the voice of the built-in peer. It listens to one utterance, then repeats
//! it, and is deaf meanwhile, so that a loudspeaker next to a microphone cannot make it howl.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::jitter::VoicePacket;

/// The longest utterance that is repeated.
const LONGEST: Duration = Duration::from_secs(3);

/// So much silence ends an utterance.
const PAUSE: Duration = Duration::from_millis(600);

/// After speaking it stays deaf for so long, until the room has gone quiet.
const REST: Duration = Duration::from_millis(500);

/// Opus packets of silence (DTX) are no longer than this.
const SILENT: usize = 8;

/// Samples a second of Opus' clock.
const RATE: u64 = 48_000;

/// The parrot.
#[derive(Default)]
pub struct Parrot {
    heard: VecDeque<(u64, Arc<[u8]>)>,
    state: State,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Idle,
    Listening {
        since: Instant,
        voiced: Instant,
    },
    Speaking {
        since: Instant,
        first: u64,
    },
    Resting {
        until: Instant,
    },
}

impl Parrot {
    /// Hears a packet.
    pub fn hear(&mut self, packet: &VoicePacket, now: Instant) {
        self.advance(now);
        let is_voiced = packet.data.len() > SILENT;
        match &mut self.state {
            State::Idle if is_voiced => {
                self.state = State::Listening {
                    since: now,
                    voiced: now,
                }
            }
            State::Listening { voiced, .. } => {
                if is_voiced {
                    *voiced = now;
                }
            }
            _ => return,
        }
        self.heard.push_back((packet.time, Arc::clone(&packet.data)));
    }

    /// When [`Parrot::speak`] may have something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Idle => None,
            State::Listening { since, voiced } => Some((since + LONGEST).min(voiced + PAUSE)),
            State::Speaking { since, first } => Some(
                self.heard
                    .front()
                    .map_or(since, |(time, _)| since + duration(time.saturating_sub(first))),
            ),
            State::Resting { until } => Some(until),
        }
    }

    /// The next packet that is due now.
    pub fn speak(&mut self, now: Instant) -> Option<Arc<[u8]>> {
        self.advance(now);
        let State::Speaking { .. } = self.state else {
            return None;
        };
        if self.poll_timeout().is_some_and(|due| due > now) {
            return None;
        }
        let packet = self.heard.pop_front().map(|(_, data)| data);
        if self.heard.is_empty() {
            self.state = State::Resting { until: now + REST };
        }
        packet
    }

    fn advance(&mut self, now: Instant) {
        match self.state {
            State::Listening { since, voiced } if now >= since + LONGEST || now >= voiced + PAUSE => {
                let first = self.heard.front().map_or(0, |(time, _)| *time);
                self.state = State::Speaking { since: now, first };
            }
            State::Resting { until } if now >= until => self.state = State::Idle,
            _ => {}
        }
    }
}

fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples.saturating_mul(1_000_000) / RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_repeats_an_utterance_at_its_own_pace_and_is_deaf_meanwhile() {
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let packet = |n: u64, now| VoicePacket {
            seq: n,
            time: n * 960,
            data: vec![n as u8; 40].into(),
            arrived: now,
        };
        let mut parrot = Parrot::default();
        for n in 0..10 {
            parrot.hear(&packet(n, at(n * 20)), at(n * 20));
        }
        assert_eq!(parrot.speak(at(300)), None);
        let begin = parrot.poll_timeout().expect("the pause ends");
        assert_eq!(begin, at(180) + PAUSE);
        let mut said = Vec::new();
        let mut now = begin;
        loop {
            match parrot.speak(now) {
                Some(data) => said.push((now.saturating_duration_since(begin).as_millis(), data[0])),
                None => match parrot.poll_timeout() {
                    Some(due) if due > now => now = due,
                    _ => break,
                },
            }
            parrot.hear(&packet(99, now), now);
            if said.len() == 10 {
                break;
            }
        }
        assert_eq!(
            said,
            (0..10).map(|n: u8| (u128::from(n) * 20, n)).collect::<Vec<_>>()
        );
        assert!(parrot.heard.is_empty());
    }
}
