//! Lines as netem makes them, in simulated time: what becomes of packets that are sent.

/// What a line does.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub name: &'static str,
    /// The mean delay and its standard deviation, in milliseconds; the tail is Pareto's.
    pub delay: f64,
    pub jitter: f64,
    /// The losses of one after the other of so many seconds; the last lasts for ever.
    pub losses: &'static [(f64, Loss)],
    /// The share that comes twice.
    pub twice: f64,
    /// The share that overtakes all others (netem's reorder: no delay at all).
    pub overtakes: f64,
    /// Kilobits a second, and packets that may wait for it.
    pub rate: Option<(f64, usize)>,
}

/// What gets lost.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// Each packet with this probability.
    Each(f64),
    /// In bursts (Gilbert): the probability that one begins with a packet, and that it ends with one.
    Bursts(f64, f64),
}

const NONE: &[(f64, Loss)] = &[(0.0, Loss::Each(0.0))];

/// Nothing is lost, and nothing is late.
pub const CLEAN: Line = Line {
    name: "clean, 40 ms",
    delay: 40.0,
    jitter: 0.0,
    losses: NONE,
    twice: 0.0,
    overtakes: 0.0,
    rate: None,
};

/// Signal's profile of this name (RingRTC, `call_sim`).
pub const MODERATE: Line = Line {
    name: "5 % lost, 100 ± 25 ms",
    delay: 100.0,
    jitter: 25.0,
    losses: &[(0.0, Loss::Each(0.05))],
    ..CLEAN
};

/// Likewise.
pub const INTERNATIONAL: Line = Line {
    name: "10 % lost in bursts, 250 ± 100 ms, 300 kbit/s",
    delay: 250.0,
    jitter: 100.0,
    losses: &[(0.0, Loss::Bursts(0.03, 0.25))],
    twice: 0.02,
    overtakes: 0.05,
    rate: Some((300.0, 30)),
};

/// Likewise: ten good seconds, ten bad ones, and good ones again.
pub const SPIKY: Line = Line {
    name: "10 s of 30 % in bursts, 40 ms",
    losses: &[
        (10.0, Loss::Each(0.0)),
        (10.0, Loss::Bursts(0.15, 0.35)),
        (0.0, Loss::Each(0.0)),
    ],
    ..CLEAN
};

/// Half of all packets, for ten seconds.
pub const HALF: Line = Line {
    name: "10 s of 50 % lost",
    losses: &[
        (10.0, Loss::Each(0.0)),
        (10.0, Loss::Each(0.5)),
        (0.0, Loss::Each(0.0)),
    ],
    ..CLEAN
};

/// Likewise: lines of 300 down to 25 kbit/s, on which 30 packets may wait.
pub const NARROW: [Line; 4] = [
    narrow("300 kbit/s", 300.0),
    narrow("100 kbit/s", 100.0),
    narrow("50 kbit/s", 50.0),
    narrow("25 kbit/s", 25.0),
];

const fn narrow(name: &'static str, kbit: f64) -> Line {
    Line {
        name,
        rate: Some((kbit, 30)),
        ..CLEAN
    }
}

/// Bytes that IP, UDP, SRTP and RTP add to a packet.
const HEADERS: usize = 28 + 10 + 20;

impl Line {
    /// When and which of the packets come that are sent at these times (ms), with these sizes (bytes): in
    /// the order of arrival.
    pub fn carry(&self, seed: u64, sent: impl Iterator<Item = (f64, usize)>) -> Vec<(usize, f64)> {
        let mut dice = Dice::new(seed);
        let mut bursting = false;
        let mut came = Vec::new();
        let mut queue: Vec<f64> = Vec::new();
        for (index, (at, bytes)) in sent.enumerate() {
            let lost = self.loses(at / 1e3, &mut bursting, &mut dice);
            let copies = if dice.roll() < self.twice { 2 } else { 1 };
            let delays: Vec<f64> = (0..copies).map(|_| self.delays(&mut dice)).collect();
            if lost {
                continue;
            }
            for delay in delays {
                let mut out = at + delay;
                if let Some((kbit, room)) = self.rate {
                    queue.retain(|leaves| *leaves > at);
                    if queue.len() >= room {
                        continue;
                    }
                    let before = queue.last().copied().unwrap_or(at).max(at);
                    let leaves = before + ((bytes + HEADERS) * 8) as f64 / kbit;
                    queue.push(leaves);
                    out += leaves - at;
                }
                came.push((index, out));
            }
        }
        came.sort_by(|a, b| a.1.total_cmp(&b.1));
        came
    }

    fn loses(&self, second: f64, bursting: &mut bool, dice: &mut Dice) -> bool {
        let mut until = 0.0;
        let last = self.losses.len() - 1;
        let phase = self.losses.iter().enumerate().find_map(|(i, (length, loss))| {
            until += length;
            (second < until || i == last).then_some(*loss)
        });
        match phase.expect("there is a last one") {
            Loss::Each(share) => {
                *bursting = false;
                dice.roll() < share
            }
            Loss::Bursts(begins, ends) => {
                let turn = dice.roll();
                *bursting = if *bursting { turn >= ends } else { turn < begins };
                *bursting
            }
        }
    }

    /// iproute2's table: a shape of 3, brought to a mean of 0 and a deviation of 1, cut off at 4.
    fn delays(&self, dice: &mut Dice) -> f64 {
        let tail = (1.0 - dice.roll()).powf(-1.0 / 3.0);
        let x = ((tail - 1.5) / 0.75_f64.sqrt()).min(4.0);
        if dice.roll() < self.overtakes {
            return 0.0;
        }
        (self.delay + self.jitter * x).max(0.0)
    }
}

/// Numbers below one in an order that depends on the seed alone.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
