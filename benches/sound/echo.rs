//! Echo: a loudspeaker, a room and a microphone, simulated.

use facetty::media::audio::{BLOCK, RATE};
use facetty::media::clean::cleaner;
use facetty::media::resample::Resampler;

use super::speech::{Noise, speech};
use super::stoi::stoi;
use super::{Bound, row};

/// A cleaner delays by less than this, in samples.
const LAG: usize = 1_500;

/// What lies between loudspeaker and microphone.
#[derive(Clone, Copy)]
struct Room {
    /// The way of the sound and of the buffers, in milliseconds.
    delay: f64,
    /// The loudspeaker's clock is so much faster than the microphone's.
    drift_ppm: f64,
    /// How hard the loudspeaker is driven: `tanh(drive × x) / drive`; 0 for a perfect one.
    drive: f32,
    /// How loud the echo is against what is played, in dB.
    level: f32,
}

pub fn measure() {
    let far = speech("en+m3", 0, 40);
    let plain = Room {
        delay: 60.0,
        drift_ppm: 0.0,
        drive: 0.0,
        level: -6.0,
    };
    let rooms = [
        ("60 ms", plain),
        (
            "120 ms",
            Room {
                delay: 120.0,
                ..plain
            },
        ),
        (
            "250 ms",
            Room {
                delay: 250.0,
                ..plain
            },
        ),
        (
            "90 ms, drift 100 ppm",
            Room {
                delay: 90.0,
                drift_ppm: 100.0,
                ..plain
            },
        ),
        (
            "120 ms, non-linear",
            Room {
                delay: 120.0,
                drive: 1.5,
                ..plain
            },
        ),
        (
            "150 ms, 100 ppm, non-linear",
            Room {
                delay: 150.0,
                drift_ppm: 100.0,
                drive: 1.5,
                ..plain
            },
        ),
    ];
    for (name, room) in rooms {
        let captured = room.echo(&far);
        let cleaned = run(&far, &captured, true);
        let loss = |from: usize, to: usize| {
            let second = |x: &[f32]| power(&x[from * RATE as usize..to * RATE as usize]);
            10.0 * (second(&captured) / second(&cleaned).max(1e-12)).log10()
        };
        row(
            &format!("echo return loss after 10 s, {name}"),
            loss(10, 20),
            Bound::AtLeast(40.0),
            "dB",
        );
        println!(
            "  {:.0} dB in 2 to 5 s, {:.0} in 5 to 10 s, {:.0} in 20 to 40 s",
            loss(2, 5),
            loss(5, 10),
            loss(20, 40)
        );
    }
    // A loudspeaker that is overdriven (a tenth of distortion at peaks) is no mild one.
    let overdriven = Room {
        delay: 120.0,
        drive: 2.5,
        ..plain
    };
    let captured = overdriven.echo(&far);
    let cleaned = run(&far, &captured, true);
    let (from, to) = (10 * RATE as usize, 20 * RATE as usize);
    let loss = 10.0 * (power(&captured[from..to]) / power(&cleaned[from..to]).max(1e-12)).log10();
    println!("  120 ms, overdriven: {loss:.0} dB");
    let near = speech("en+f3", 2, 40);
    let silence = vec![0.0; near.len()];
    let alone = run(&silence, &near, true);
    row(
        "near end alone, STOI",
        stoi(&near, &alone, LAG),
        Bound::AtLeast(0.95),
        "",
    );
    // As calls begin: ten seconds of the other alone.
    let first = 10 * RATE as usize;
    let late: Vec<f32> = near
        .iter()
        .enumerate()
        .map(|(i, s)| if i < first { 0.0 } else { *s })
        .collect();
    let both = run(&far, &late, true);
    let told = stoi(&near[first..], &both[first..], LAG);
    row("headset, double talk, STOI", told, Bound::AtLeast(0.95), "");
    let at_once = run(&far, &near, true);
    println!(
        "  where both talk from the first moment on: {:.2}",
        stoi(&near, &at_once, LAG)
    );
    let off = run(&far, &near, false);
    row(
        "headset, double talk, --aec off, STOI",
        stoi(&near, &off, LAG),
        Bound::AtLeast(0.95),
        "",
    );
    println!("  double talk over loudspeakers, STOI (uncleaned in brackets):");
    for (name, room) in [
        (
            "echo 15 dB below what is played",
            Room {
                delay: 120.0,
                level: -15.0,
                ..plain
            },
        ),
        (
            "9 dB below",
            Room {
                delay: 120.0,
                level: -9.0,
                ..plain
            },
        ),
        (
            "6 dB below, 100 ppm, non-linear",
            Room {
                delay: 150.0,
                drift_ppm: 100.0,
                drive: 1.5,
                ..plain
            },
        ),
    ] {
        let echo = room.echo(&far);
        let mixed = |near: &[f32]| -> Vec<f32> { echo.iter().zip(near).map(|(e, n)| e + n).collect() };
        let (then, now) = (mixed(&late), mixed(&near));
        println!(
            "    {name}: {:.2} ({:.2}); from the first moment on {:.2} ({:.2})",
            stoi(&near[first..], &run(&far, &then, true)[first..], LAG),
            stoi(&near[first..], &then[first..], LAG),
            stoi(&near, &run(&far, &now, true), LAG),
            stoi(&near, &now, LAG)
        );
    }
    level(&near);
}

/// The level control: a voice 20 dB too faint comes out louder, and its pauses do not.
fn level(near: &[f32]) {
    let faint: Vec<f32> = near.iter().map(|s| s * 0.1).collect();
    let lifted = run(&vec![0.0; near.len()], &faint, true);
    let last = near.len() - 10 * RATE as usize;
    let gain = 10.0 * (power(&lifted[last..]) / power(&faint[last..])).log10();
    let mut gains = Vec::new();
    for second in 10..near.len() / RATE as usize - 1 {
        let at = second * RATE as usize;
        let (a, b) = (
            power(&lifted[at..at + RATE as usize]),
            power(&faint[at..at + RATE as usize]),
        );
        gains.push(10.0 * (a / b.max(1e-12)).log10());
    }
    let change = gains.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f64::max);
    println!(
        "  a voice 20 dB too faint is lifted by {gain:.1} dB, by at most {change:.1} dB from one second to the next"
    );
}

impl Room {
    /// What the microphone captures of `far`: early reflections, and a tail that decays by 60 dB in 0.3 s.
    fn echo(self, far: &[f32]) -> Vec<f32> {
        let mut resampler = Resampler::giving(RATE, RATE);
        resampler.pull(1.0 / (1.0 + self.drift_ppm * 1e-6));
        let (mut at, mut played) = (0, Vec::with_capacity(far.len()));
        while at + resampler.needs() <= far.len() {
            let mut block = [0.0; BLOCK];
            let needs = resampler.needs();
            resampler.run(&far[at..at + needs], &mut block);
            at += needs;
            played.extend_from_slice(&block);
        }
        played.resize(far.len(), 0.0);
        if self.drive > 0.0 {
            played
                .iter_mut()
                .for_each(|s| *s = (*s * self.drive).tanh() / self.drive);
        }
        let mut dice = Noise::new(5);
        let length = RATE as usize / 5;
        let mut taps: Vec<(usize, f32)> = vec![(0, 1.0)];
        for _ in 0..12 {
            let place = (dice.next().abs() * 0.02 * f64::from(RATE)) as usize;
            taps.push((place, 0.4 * dice.next() as f32));
        }
        for place in (0..length).step_by(24) {
            let decay = 10.0_f64.powf(-3.0 * place as f64 / (0.3 * f64::from(RATE)));
            taps.push((place, 0.12 * (decay * dice.next()) as f32));
        }
        let power: f32 = taps.iter().map(|(_, w)| w * w).sum();
        let gain = 10.0_f32.powf(self.level / 20.0) / power.sqrt();
        let delay = (self.delay * 48.0) as usize;
        let mut out = vec![0.0; far.len()];
        for (place, weight) in taps {
            let late = delay + place;
            for (out, played) in out[late..].iter_mut().zip(&played) {
                *out += played * weight * gain;
            }
        }
        // The microphone's own noise, −75 dBFS.
        out.iter_mut().for_each(|s| *s += 3e-4 * dice.next() as f32);
        out
    }
}

fn run(far: &[f32], captured: &[f32], echo: bool) -> Vec<f32> {
    let mut cleaner = cleaner(echo);
    let mut out = Vec::with_capacity(captured.len());
    for (far, captured) in far.chunks_exact(BLOCK).zip(captured.chunks_exact(BLOCK)) {
        cleaner.played(far.try_into().expect("a block"));
        let mut block: [f32; BLOCK] = captured.try_into().expect("a block");
        cleaner.clean(&mut block);
        out.extend_from_slice(&block);
    }
    out
}

fn power(x: &[f32]) -> f64 {
    x.iter().map(|s| f64::from(s * s)).sum::<f64>() / x.len().max(1) as f64
}
