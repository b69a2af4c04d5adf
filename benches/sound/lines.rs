//! Bad lines: how much of a voice is made up, how long it is held back, and what it is worth.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use facetty::io::clock;
use facetty::media::audio::{BLOCK, FRAME, RATE, VoiceDecoder};
use facetty::media::resample::Resampler;

use super::line::{CLEAN, HALF, INTERNATIONAL, Line, MODERATE, NARROW, SPIKY};
use super::speech::{Noise, speech};
use super::stoi::align;
use super::talk::{Heard, Speech, encode, talk};
use super::{Bound, row};

const SEED: u64 = 11;
/// What PESQ is computed with: a Python that has the package `pesq`.
const PYTHON: &str = "FACETTY_PYTHON";

pub fn measure() {
    let said = speech("en+f3", 0, 60);
    let run = |line: &Line, loss: f64, red: bool| -> Heard {
        let speech = Speech {
            kbit: 20,
            loss,
            red,
            frame: FRAME,
        };
        talk(&encode(&said, speech), speech, line, SEED, clock::now())
    };
    let clean = run(&CLEAN, 0.0, false);
    row(
        "concealed on a clean line",
        clean.concealed() * 100.0,
        Bound::AtMost(0.1),
        "%",
    );
    for (line, loss, red, most, delay) in [
        (&MODERATE, 0.05, false, 3.0, 120.0),
        (&INTERNATIONAL, 0.1, true, 12.0, 350.0),
    ] {
        let heard = run(line, loss, red);
        row(
            &format!("concealed, {}", line.name),
            heard.concealed() * 100.0,
            Bound::AtMost(most),
            "%",
        );
        row("  added delay", heard.delay, Bound::AtMost(delay), "ms");
        let other = run(line, loss, !red);
        println!(
            "  {} redundancy: {:.2} % concealed, {:.0} ms added; {} late, {} lost",
            if red { "without" } else { "with" },
            other.concealed() * 100.0,
            other.delay,
            heard.counts.late,
            heard.counts.lost,
        );
    }
    // As the rate control speaks on them.
    for (line, (kbit, packed)) in NARROW.iter().zip([(20, 1), (20, 1), (14, 2), (8, 3)]) {
        let speech = Speech {
            kbit,
            loss: 0.0,
            red: false,
            frame: packed * FRAME,
        };
        let heard = talk(&encode(&said, speech), speech, line, SEED, clock::now());
        println!(
            "  {}, {kbit} kbit/s in packets of {} ms: {:.2} % concealed, {:.0} ms added",
            line.name,
            packed * 20,
            heard.concealed() * 100.0,
            heard.delay,
        );
    }
    for line in [&HALF, &SPIKY] {
        let speech = Speech {
            kbit: 20,
            loss: 0.3,
            red: false,
            frame: FRAME,
        };
        // Without pauses, so that what is silent is lost.
        let frames = encode(&hum(30), speech);
        let heard = talk(&frames, speech, line, SEED, clock::now());
        let silent = |from: usize, to: usize| {
            let mut longest = 0;
            let mut run = 0;
            for voiced in &heard.voiced[from..to] {
                run = if *voiced { 0 } else { run + 1 };
                longest = longest.max(run);
            }
            f64::from(longest) * 10.0
        };
        let last = (2_000..2_900)
            .rev()
            .find(|i| !heard.voiced[*i])
            .map_or(0, |i| i - 2_000);
        row(
            &format!("longest gap, {}", line.name),
            silent(1_000, 2_000),
            Bound::AtMost(1_000.0),
            "ms",
        );
        row(
            "  whole again after its end",
            last as f64 * 10.0,
            Bound::AtMost(1_000.0),
            "ms",
        );
    }
    quality(&said);
}

/// PESQ against a plain buffer of a fixed length without error correction.
fn quality(said: &[f32]) {
    let folder = tempfile::tempdir().expect("a folder");
    let clean = folder.path().join("clean.wav");
    write(&clean, said);
    for (percent, jitter) in [
        (5, 30.0),
        (5, 60.0),
        (10, 30.0),
        (10, 60.0),
        (20, 30.0),
        (20, 60.0),
    ] {
        let loss = f64::from(percent) / 100.0;
        let (mut ours, mut red, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        for seed in 1..=3 {
            let line = Uniform { loss, jitter };
            let came = line.carry(seed, said.len() / FRAME);
            let heard = |red: bool| {
                let speech = Speech {
                    kbit: 32,
                    loss,
                    red,
                    frame: FRAME,
                };
                let frames = encode(said, speech);
                let packets: Vec<_> = frames
                    .iter()
                    .enumerate()
                    .filter_map(|(time, data)| data.clone().map(|data| (time, data)))
                    .collect();
                let came: Vec<_> = packets
                    .iter()
                    .enumerate()
                    .filter_map(|(i, (time, _))| came[*time].map(|at| (i, at)))
                    .collect();
                let mut sorted = came;
                sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
                super::talk::listen(&packets, &sorted, red, frames.len() * 2 + 40, clock::now()).sound
            };
            let pesq = |sound: &[f32], of: &mut Vec<f64>| -> Result<(), String> {
                let path = folder.path().join("heard.wav");
                let late = align(said, sound, 20_000);
                write(&path, &sound[late..]);
                of.push(score(&clean, &path)?);
                Ok(())
            };
            let measured = pesq(&heard(false), &mut ours)
                .and_then(|()| pesq(&heard(true), &mut red))
                .and_then(|()| pesq(&fixed(said, &came, loss), &mut plain));
            if let Err(why) = measured {
                println!("  PESQ: not measured, {why}");
                return;
            }
        }
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
        let (ours, red, plain) = (mean(&ours), mean(&red), mean(&plain));
        let text = format!(
            "  PESQ, {percent} % lost, jitter to {jitter:.0} ms: ours {ours:.2}, with redundancy {red:.2}, plain {plain:.2}"
        );
        if percent == 10 && jitter == 60.0 {
            row(
                "PESQ above a plain buffer, 10 % lost, 60 ms",
                ours - plain,
                Bound::AtLeast(0.5),
                "",
            );
        }
        println!("{text}");
    }
}

/// 40 ms and up to `jitter` more, and each packet lost with the same probability.
struct Uniform {
    loss: f64,
    jitter: f64,
}

impl Uniform {
    /// When each of so many packets comes.
    fn carry(&self, seed: u64, count: usize) -> Vec<Option<f64>> {
        let mut dice = Noise::new(seed);
        let mut below_one = || (dice.next() + 1.0) / 2.0;
        (0..count)
            .map(|i| {
                let (lost, late) = (below_one() < self.loss, below_one() * self.jitter);
                (!lost).then_some(i as f64 * 20.0 + 40.0 + late)
            })
            .collect()
    }
}

/// A plain buffer: as long as the jitter, late packets are lost, lost ones are concealed by the codec.
fn fixed(said: &[f32], came: &[Option<f64>], loss: f64) -> Vec<f32> {
    let speech = Speech {
        kbit: 32,
        loss: loss.min(0.0),
        red: false,
        frame: FRAME,
    };
    let mut decoder = VoiceDecoder::new().expect("a decoder");
    let mut out = Vec::with_capacity(said.len());
    for (i, data) in encode(said, speech).iter().enumerate() {
        let mut frame = [0.0; FRAME];
        let in_time = came[i].is_some_and(|at| at <= i as f64 * 20.0 + 40.0 + 60.0);
        let decoded = match data {
            Some(data) if in_time => decoder.decode(data, &mut frame),
            _ => decoder.conceal(&mut frame),
        };
        decoded.expect("a frame");
        out.extend_from_slice(&frame);
    }
    out
}

/// PESQ (ITU-T P.862.2, wide band).
fn score(clean: &Path, heard: &Path) -> Result<f64, String> {
    let python = std::env::var(PYTHON).unwrap_or_else(|_| "python3".into());
    let program = "import sys, wave, numpy, pesq\n\
        def read(p):\n  w = wave.open(p); return numpy.frombuffer(w.readframes(w.getnframes()), dtype=numpy.int16)\n\
        print(pesq.pesq(16000, read(sys.argv[1]), read(sys.argv[2]), 'wb'))";
    let output = Command::new(&python)
        .args(["-c", program])
        .args([clean, heard])
        .output()
        .map_err(|error| format!("{python}: {error}"))?;
    if !output.status.success() {
        return Err(format!("pip install pesq, and name that Python in {PYTHON}"));
    }
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .map_err(|_| "pesq gave no number".into())
}

/// At most 40 s, 16 kHz mono, 16 bits.
fn write(path: &Path, sound: &[f32]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut resampler = Resampler::taking(RATE, 16_000);
    let mut block = vec![0.0; resampler.gives_at_most()];
    let mut wav = hound::WavWriter::create(path, spec).expect("a file");
    for chunk in sound[..sound.len().min(40 * RATE as usize)].chunks_exact(BLOCK) {
        let count = resampler.run(chunk, &mut block);
        for sample in &block[..count] {
            wav.write_sample((sample * 32_767.0) as i16).expect("a sample");
        }
    }
    wav.finalize().expect("a file");
}

/// A voice that never pauses.
pub fn hum(seconds: usize) -> Vec<f32> {
    let mut phase = 0.0_f32;
    (0..seconds * RATE as usize)
        .map(|i| {
            let second = i as f32 / RATE as f32;
            phase = (phase + (120.0 + 15.0 * (second * 2.1).sin()) / RATE as f32).fract();
            let buzz: f32 = (1..12)
                .map(|n| (n as f32 * phase * std::f32::consts::TAU).sin() / n as f32)
                .sum();
            0.12 * (0.55 + 0.45 * (second * 20.0).sin()) * buzz
        })
        .collect()
}

/// Eight hours between two clocks that are 200 ppm apart.
pub fn hours() {
    const HOURS: usize = 8;
    let speech = Speech {
        kbit: 20,
        loss: 0.0,
        red: false,
        frame: FRAME,
    };
    let second: Vec<Arc<[u8]>> = encode(&hum(2), speech).into_iter().flatten().collect();
    for ppm in [200.0, -200.0] {
        let mut dice = Noise::new(SEED);
        let count = HOURS * 3_600 * 50;
        let packets: Vec<_> = (0..count)
            .map(|i| (i, second[i % second.len()].clone()))
            .collect();
        let came: Vec<_> = (0..count)
            .map(|i| {
                (
                    i,
                    i as f64 * 20.0 / (1.0 + ppm * 1e-6) + 40.0 + 5.0 * (dice.next() + 1.0),
                )
            })
            .collect();
        let blocks = (HOURS * 360_000) - 1_000;
        let heard = super::talk::listen(&packets, &came, false, blocks, clock::now());
        row(
            &format!("8 h at {ppm:+.0} ppm: longest delay after the first minute"),
            heard.longest,
            Bound::AtMost(60.0),
            "ms",
        );
        row(
            "  concealed after the first minute",
            heard.concealed_later as f64 / 48.0,
            Bound::AtMost(0.0),
            "ms",
        );
        println!("  mean delay {:.1} ms; {} late", heard.delay, heard.counts.late);
    }
}
