//! The stories, as data.

use std::ops::Range;
use std::time::Duration;

use facetty::units::{Bitrate, Size};
use str0m_netem::{DataSize, GilbertElliot, LossModel, NetemConfig, Probability, RandomLoss};

use crate::report::Report;

/// A line, the same both ways.
#[derive(Clone, Copy)]
pub struct Line {
    /// Kilobits of UDP payload a second.
    pub kbit: Option<u64>,
    /// One way.
    pub delay: Duration,
    pub jitter: Duration,
    pub loss: Loss,
    /// Of a hundred packets so many come twice.
    pub twice: f32,
    /// Each so many packets one overtakes the one before it.
    pub overtakes: Option<u32>,
    /// How long the queue before the bottleneck can get.
    pub queue: Duration,
}

#[derive(Clone, Copy)]
pub enum Loss {
    None,
    Each(f32),
    /// How many packets come between two bursts, and how many are lost in one.
    Bursts(f32, f32),
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub const CLEAN: Line = Line {
    kbit: None,
    delay: ms(20),
    jitter: ms(0),
    loss: Loss::None,
    twice: 0.0,
    overtakes: None,
    queue: ms(400),
};

const fn link(kbit: u64, delay: u64) -> Line {
    Line {
        kbit: Some(kbit),
        delay: ms(delay),
        ..CLEAN
    }
}

const fn lossy(delay: u64, loss: Loss) -> Line {
    Line {
        delay: ms(delay),
        loss,
        ..CLEAN
    }
}

const MODERATE: Line = Line {
    jitter: ms(25),
    ..lossy(100, Loss::Each(0.05))
};
const INTERNATIONAL: Line = Line {
    kbit: Some(300),
    jitter: ms(100),
    twice: 0.02,
    overtakes: Some(20),
    ..lossy(250, Loss::Bursts(33.0, 4.0))
};
const BURSTY_10: Line = Line {
    jitter: ms(20),
    ..lossy(80, Loss::Bursts(30.0, 3.5))
};

impl Line {
    /// For the emulator, whose buffer holds what is under way as well.
    pub fn config(&self) -> NetemConfig {
        let mut config = NetemConfig::new().latency(self.delay).jitter(self.jitter);
        config = match self.loss {
            Loss::None => config.loss(LossModel::None),
            Loss::Each(share) => config.loss(RandomLoss::new(Probability::new(share))),
            Loss::Bursts(good, bad) => {
                config.loss(GilbertElliot::new().good_duration(good).bad_duration(bad))
            }
        };
        config = config.duplicate(Probability::new(self.twice));
        if let Some(gap) = self.overtakes {
            config = config.reorder_gap(gap);
        }
        if let Some(kbit) = self.kbit {
            let holds = (self.queue + self.delay + self.jitter).as_millis() as u64;
            let bytes = (kbit * holds / 8).max(3_000);
            config = config.link(str0m_netem::Bitrate::kbps(kbit), DataSize::bytes(bytes as i64));
        }
        config
    }
}

#[derive(Clone, Copy)]
pub enum Camera {
    /// Somebody who talks; a clip where one is given.
    Head,
    /// Somebody who talks, drawn at this size.
    Of(Size),
}

type Checks = fn(&Report) -> Vec<(String, bool)>;

pub struct Story {
    pub name: &'static str,
    pub seeds: Range<u64>,
    /// Lines, one after the other, and for how many seconds.
    pub stages: Vec<(Line, u64)>,
    /// What each shows of the other.
    pub viewport: Size,
    pub camera: Camera,
    pub limit: Option<Bitrate>,
    /// Seconds at the beginning that are not looked at.
    pub skip: u64,
    pub checks: Checks,
}

const CELLS_80X24: Size = Size::new(80, 46);
/// Sextants on 80x24 cells and half blocks on 160x48 take this.
const USUAL: Size = Size::new(160, 92);
const LARGE: Size = Size::new(640, 360);
const QCIF: Size = Size::new(176, 144);

fn story() -> Story {
    Story {
        name: "",
        seeds: 1..2,
        stages: Vec::new(),
        viewport: USUAL,
        camera: Camera::Head,
        limit: None,
        skip: 5,
        checks: |_| Vec::new(),
    }
}

pub fn stories() -> Vec<Story> {
    vec![
        Story {
            name: "500 > 800 > 100 kbit/s",
            stages: vec![(link(500, 50), 45), (link(800, 50), 30), (link(100, 100), 60)],
            viewport: LARGE,
            camera: Camera::Of(LARGE),
            checks: |r| {
                vec![
                    r.rate_within(0..45, 25, 350.0..=550.0),
                    r.rate_within(45..75, 20, 600.0..=900.0),
                    r.rate_within(75..135, 50, 65.0..=115.0),
                ]
            },
            ..story()
        },
        Story {
            name: "dip to 100 kbit/s for 30 s",
            stages: vec![(link(1000, 50), 40), (link(100, 50), 30), (link(1000, 50), 40)],
            viewport: LARGE,
            camera: Camera::Of(LARGE),
            checks: |r| vec![r.back_within(30..40, 70, 0.8, 10)],
            ..story()
        },
        Story {
            name: "dip to 100 kbit/s, small picture",
            stages: vec![(link(1000, 50), 40), (link(100, 50), 30), (link(1000, 50), 40)],
            viewport: Size::new(200, 120),
            camera: Camera::Of(LARGE),
            checks: |r| vec![r.back_within(30..40, 70, 0.8, 10)],
            ..story()
        },
        Story {
            name: "10% in bursts, round trip 160 ms",
            seeds: 1..4,
            stages: vec![(BURSTY_10, 65)],
            checks: |r| {
                vec![
                    r.at_least("frames shown", r.shown_share, 0.95),
                    r.at_most("longest freeze s", r.longest, 1.0),
                    r.at_most("time in freezes", r.frozen, 0.05),
                ]
            },
            ..story()
        },
        Story {
            name: "30% of all",
            seeds: 1..4,
            stages: vec![(lossy(50, Loss::Each(0.3)), 65)],
            checks: |r| {
                vec![
                    r.at_least("fps", r.fps, 1.0),
                    r.at_most("key frames asked a second", r.plis, 1.0),
                    r.at_most("voice concealed", r.concealed, 0.12),
                ]
            },
            ..story()
        },
        Story {
            name: "50 kbit/s",
            stages: vec![(link(50, 40), 65)],
            checks: |r| {
                vec![
                    r.at_most("voice concealed", r.concealed, 0.005),
                    r.at_least("fps", r.fps, 2.0),
                    r.at_most("queue p95 ms", r.queue, 300.0),
                ]
            },
            ..story()
        },
        Story {
            name: "25 kbit/s",
            stages: vec![(link(25, 40), 65)],
            checks: |r| {
                vec![
                    r.at_most("voice concealed", r.concealed, 0.01),
                    r.at_most("queue p95 ms", r.queue, 400.0),
                ]
            },
            ..story()
        },
        Story {
            name: "QCIF at 300 kbit/s",
            stages: vec![(link(1000, 20), 45)],
            viewport: QCIF,
            limit: Some(Bitrate::kbps(300)),
            camera: Camera::Head,
            checks: |r| {
                vec![
                    r.at_least("PSNR dB", r.psnr, 36.0),
                    r.at_least("SSIM", r.ssim, 0.96),
                ]
            },
            ..story()
        },
        Story {
            name: "80x24 cells, good line",
            stages: vec![(CLEAN, 45)],
            viewport: CELLS_80X24,
            checks: |r| {
                vec![
                    r.at_most("picture kbit/s", r.picture_kbit, 60.0),
                    r.at_least("PSNR dB", r.psnr, 35.0),
                ]
            },
            ..story()
        },
        Story {
            name: "moderate",
            stages: vec![(MODERATE, 65)],
            ..story()
        },
        Story {
            name: "international",
            stages: vec![(INTERNATIONAL, 65)],
            ..story()
        },
        Story {
            name: "spiky",
            stages: vec![
                (lossy(50, Loss::None), 20),
                (lossy(50, Loss::Bursts(9.0, 4.0)), 10),
                (lossy(50, Loss::None), 20),
            ],
            ..story()
        },
        Story {
            name: "300 kbit/s",
            stages: vec![(link(300, 40), 65)],
            viewport: LARGE,
            camera: Camera::Of(LARGE),
            ..story()
        },
        Story {
            name: "128 kbit/s",
            stages: vec![(link(128, 40), 65)],
            ..story()
        },
        Story {
            name: "64 kbit/s",
            stages: vec![(link(64, 40), 65)],
            ..story()
        },
    ]
}
