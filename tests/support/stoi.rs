//! Short-time objective intelligibility: Taal, Hendriks, Heusdens, Jensen, "An Algorithm for
//! Intelligibility Prediction of Time-Frequency Weighted Noisy Speech", IEEE TASLP 19 (2011).

use std::f64::consts::TAU;

use facetty::media::audio::{BLOCK, RATE};
use facetty::media::resample::Resampler;

/// The rate that the measure is defined at.
const LOW: u32 = 10_000;
const FRAME: usize = 256;
const HOP: usize = FRAME / 2;
const FFT: usize = 512;
/// Third octaves from 150 Hz on.
const BANDS: usize = 15;
const LOWEST: f64 = 150.0;
/// Frames that are compared at a time: 384 ms.
const SEGMENT: usize = 30;
/// Frames so much below the loudest hold no speech, in dB.
const RANGE: f64 = 40.0;
/// The lower bound of the signal-to-distortion ratio, in dB.
const CLIP: f64 = -15.0;

/// How intelligible `heard` is, 0 to 1, where `clean` was said: both 48 kHz mono. `heard` may lag behind
/// by up to `lag` samples, and be louder or fainter.
pub fn stoi(clean: &[f32], heard: &[f32], lag: usize) -> f64 {
    let late = align(clean, heard, lag);
    let heard = &heard[late..];
    let length = clean.len().min(heard.len());
    let (clean, heard) = (down(&clean[..length]), down(&heard[..length]));
    let frames = voiced(&clean);
    let (x, y) = (bands(&clean, &frames), bands(&heard, &frames));
    let clip = 10.0_f64.powf(-CLIP / 20.0);
    let (mut sum, mut count) = (0.0, 0);
    for from in 0..(frames.len() + 1).saturating_sub(SEGMENT) {
        for band in 0..BANDS {
            let of = |all: &[[f64; BANDS]]| -> Vec<f64> {
                all[from..from + SEGMENT].iter().map(|f| f[band]).collect()
            };
            let (x, mut y) = (of(&x), of(&y));
            let scale = norm(&x) / norm(&y).max(1e-12);
            for (y, x) in y.iter_mut().zip(&x) {
                *y = (*y * scale).min(x * (1.0 + clip));
            }
            sum += correlation(&x, &y);
            count += 1;
        }
    }
    sum / f64::from(count.max(1))
}

/// By how many samples `heard` lags behind, at most `most`: where the loudness of each millisecond
/// agrees best, and near there the samples.
pub fn align(clean: &[f32], heard: &[f32], most: usize) -> usize {
    const MS: usize = RATE as usize / 1_000;
    let loudness = |x: &[f32]| -> Vec<f32> {
        x.chunks_exact(MS)
            .map(|ms| ms.iter().map(|s| s.abs()).sum())
            .collect()
    };
    let best = |clean: &[f32], heard: &[f32], lags: std::ops::Range<usize>| {
        let product = |late: usize| -> f64 {
            let pairs = clean.iter().zip(&heard[late..]);
            pairs.map(|(a, b)| f64::from(a * b)).sum()
        };
        lags.max_by(|a, b| product(*a).total_cmp(&product(*b)))
            .unwrap_or(0)
    };
    let length = (clean.len().min(heard.len()) - most - 2 * MS).min(20 * RATE as usize);
    let coarse = best(&loudness(&clean[..length]), &loudness(heard), 0..most / MS + 1) * MS;
    let fine = coarse.saturating_sub(2 * MS)..(coarse + 2 * MS).min(most);
    best(&clean[..length], heard, fine)
}

fn down(samples: &[f32]) -> Vec<f64> {
    let mut resampler = Resampler::taking(RATE, LOW);
    let mut block = vec![0.0; resampler.gives_at_most()];
    let mut out = Vec::with_capacity(samples.len() / 4);
    for chunk in samples.chunks_exact(BLOCK) {
        let count = resampler.run(chunk, &mut block);
        out.extend(block[..count].iter().map(|s| f64::from(*s)));
    }
    out
}

fn window(i: usize) -> f64 {
    0.5 - 0.5 * (TAU * (i + 1) as f64 / (FRAME + 1) as f64).cos()
}

/// Where the frames begin in which something is said.
fn voiced(clean: &[f64]) -> Vec<usize> {
    let energy = |at: usize| -> f64 {
        let power: f64 = (0..FRAME).map(|i| (clean[at + i] * window(i)).powi(2)).sum();
        10.0 * power.max(1e-20).log10()
    };
    let starts = (0..clean.len().saturating_sub(FRAME)).step_by(HOP);
    let all: Vec<(usize, f64)> = starts.map(|at| (at, energy(at))).collect();
    let loudest = all.iter().fold(f64::MIN, |most, (_, e)| most.max(*e));
    all.into_iter()
        .filter(|(_, e)| *e > loudest - RANGE)
        .map(|(at, _)| at)
        .collect()
}

/// The magnitude of each third octave in each frame.
fn bands(samples: &[f64], frames: &[usize]) -> Vec<[f64; BANDS]> {
    let bin = |hertz: f64| (hertz * FFT as f64 / f64::from(LOW)).round() as usize;
    let edges: Vec<(usize, usize)> = (0..BANDS)
        .map(|band| {
            let middle = LOWEST * 2.0_f64.powf(band as f64 / 3.0);
            let sixth = 2.0_f64.powf(1.0 / 6.0);
            (bin(middle / sixth), bin(middle * sixth))
        })
        .collect();
    let turn: Vec<(f64, f64)> = (0..FFT)
        .map(|i| (TAU * i as f64 / FFT as f64).sin_cos())
        .collect();
    frames
        .iter()
        .map(|at| {
            let frame: Vec<f64> = (0..FRAME).map(|i| samples[at + i] * window(i)).collect();
            let power = |bin: usize| {
                let (mut re, mut im) = (0.0, 0.0);
                for (i, sample) in frame.iter().enumerate() {
                    let (sin, cos) = turn[bin * i % FFT];
                    re += sample * cos;
                    im += sample * sin;
                }
                re * re + im * im
            };
            std::array::from_fn(|band| {
                let (from, to) = edges[band];
                (from..to).map(power).sum::<f64>().sqrt()
            })
        })
        .collect()
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let dx: Vec<f64> = x.iter().map(|v| v - mx).collect();
    let dy: Vec<f64> = y.iter().map(|v| v - my).collect();
    let product: f64 = dx.iter().zip(&dy).map(|(a, b)| a * b).sum();
    product / (norm(&dx) * norm(&dy)).max(1e-12)
}
