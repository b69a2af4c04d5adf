//! From mouth to ear: two processes on this machine with microphones and speakers of a private
//! PulseAudio. A pip is played into one person's microphone, and heard at the other's speaker.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use facetty::io::clock;
use facetty::media::audio::{BLOCK, FRAME, RATE, VoiceDecoder, VoiceEncoder};
use facetty::media::clean::cleaner;

use super::pulse::{Listener, Server as Sound, with_private_server};
use super::speech::speech;
use super::stoi::align;
use super::support::program::{Program, Server, person};
use super::{Bound, row};

/// The name of this part: the bench is started anew with it, in an environment of its own.
pub const NAME: &str = "mouth";
/// Seconds that are listened to, and how many of those are left out: the call begins.
const SECONDS: usize = 30;
const FIRST: f64 = 6.0;
/// A pip lasts so long, and comes each second.
const PIP: f32 = 0.02;
/// Nothing of a call takes longer, in seconds.
const LONGEST: f64 = 0.6;

pub fn measure() {
    with_private_server(NAME, |sound| {
        let way = ways(&sound, &[]);
        row("mouth to ear, p50", way.p50, Bound::AtMost(80.0), "ms");
        let (cleaning, coding) = inside();
        // A packet's first sound waits for the last one, which in its turn waits to be played after it.
        let packing = 20.0;
        let devices = way.p50 - cleaning - coding - packing - way.held;
        println!(
            "  p95 {:.1} ms; CPU of one person {:.1} % of a core",
            way.p95, way.cpu
        );
        println!(
            "  of it: cleaning {cleaning:.1}, packing {packing:.1}, coding {coding:.1}, jitter buffer {:.1}; \
             devices, sound server, wakings and the network: {devices:.1}",
            way.held
        );
        let off = ways(&sound, &["--aec", "off"]);
        println!("  with --aec off {:.1} ms, p95 {:.1}", off.p50, off.p95);
    });
}

/// How much later speech comes out of the cleaner, and out of the codec beyond its packet, in milliseconds.
fn inside() -> (f64, f64) {
    let said = speech("en+f3", 0, 10);
    let mut cleaner = cleaner(true);
    let mut cleaned = Vec::new();
    for block in said.chunks_exact(BLOCK) {
        let mut block: [f32; BLOCK] = block.try_into().expect("a block");
        cleaner.clean(&mut block);
        cleaned.extend_from_slice(&block);
    }
    let (mut encoder, mut decoder) = (
        VoiceEncoder::new().expect("an encoder"),
        VoiceDecoder::new().expect("a decoder"),
    );
    let mut coded = Vec::new();
    for frame in said.chunks_exact(FRAME) {
        let mut out = [0.0; FRAME];
        let packet = encoder.encode(frame, true);
        let packet = packet.expect("a frame").expect("it is loud");
        decoder.decode(packet, &mut out).expect("a packet");
        coded.extend_from_slice(&out);
    }
    let late = |heard: &[f32]| align(&said, heard, FRAME) as f64 / 48.0;
    (late(&cleaned), late(&coded))
}

/// What came of a call.
struct Ways {
    /// Of the pips' ways from Ann's microphone to Bob's speaker, in milliseconds.
    p50: f64,
    p95: f64,
    /// How long Bob's jitter buffer held Ann's voice by its own account, in milliseconds.
    held: f64,
    /// Of Bob, in percent of a core.
    cpu: f64,
}

fn ways(sound: &Sound, more: &[&str]) -> Ways {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let pips = pips(folder.path());
    let server = Server::start();
    let start = |name: &str, who: &str| {
        let (mic, speaker) = (format!("mic-{who}"), format!("speaker-{who}"));
        let mut args = vec!["--mic", &mic, "--speaker", &speaker];
        args.extend(more);
        Program::start(&person(&server, "lobby", name, &args))
    };
    let (mut ann, mut bob) = (start("ann", "a"), start("bob", "b"));
    for person in [&mut ann, &mut bob] {
        person.event("connected");
    }
    let _player = sound.play(&pips, "feed-a");
    let (mouth, ear) = (sound.listen("feed-a"), sound.listen("speaker-b"));
    let mouth = std::thread::spawn(move || Track::record(&mouth));
    let ear = Track::record(&ear);
    let mouth = mouth.join().expect("it only listens");
    ann.leave();
    let bob = bob.leave();
    let mean = |field: &str| {
        let stats = bob.events.iter().filter(|event| event["event"] == "stats");
        let values: Vec<f64> = stats.filter_map(|stats| stats[field].as_f64()).skip(5).collect();
        values.iter().sum::<f64>() / values.len().max(1) as f64
    };
    let mut ways: Vec<f64> = mouth
        .pips()
        .into_iter()
        .filter_map(|at| Some((ear.pip_after(at)? - at) * 1e3))
        .collect();
    assert!(ways.len() * 2 > SECONDS, "only {} pips were heard", ways.len());
    ways.sort_by(f64::total_cmp);
    let part = |part: usize| ways[(ways.len() - 1) * part / 100];
    Ways {
        p50: part(50),
        p95: part(95),
        held: mean("jitter_ms"),
        cpu: mean("cpu") * 100.0,
    }
}

/// What was heard at one place, and when.
struct Track {
    samples: Vec<f32>,
    /// When the first sample came, in seconds of the clock that all tracks share.
    start: f64,
}

impl Track {
    fn record(at: &Listener) -> Self {
        let mut samples = Vec::with_capacity(SECONDS * RATE as usize);
        let mut start = f64::INFINITY;
        while samples.len() < SECONDS * RATE as usize {
            samples.extend(at.block());
            // The least delay that a block had on its way here counts.
            start = start.min(seconds(clock::now()) - samples.len() as f64 / f64::from(RATE));
        }
        Self { samples, start }
    }

    /// The loudness of each millisecond.
    fn loudness(&self) -> Vec<f32> {
        let ms = self.samples.chunks_exact(BLOCK / 10);
        ms.map(|ms| ms.iter().map(|s| s.abs()).sum()).collect()
    }

    /// When pips began, but for the first ones.
    fn pips(&self) -> Vec<f64> {
        let loud = self.loudness();
        let most = loud.iter().fold(0.0_f32, |a, b| a.max(*b));
        let begins = |i: usize| loud[i] > most * 0.3 && loud[i - 50..i].iter().all(|l| *l <= most * 0.3);
        let begins = (50..loud.len()).filter(|i| begins(*i));
        let times = begins.map(|i| self.start + i as f64 / 1e3);
        let last = self.start + SECONDS as f64 - 1.0;
        times
            .filter(|at| *at > self.start + FIRST && *at < last)
            .collect()
    }

    /// When the first pip after `at` began.
    fn pip_after(&self, at: f64) -> Option<f64> {
        let from = ((at - self.start) * 1e3).max(0.0) as usize;
        let loud = self.loudness();
        let near = loud.get(from..from + (LONGEST * 1e3) as usize)?;
        let most = near.iter().fold(0.0_f32, |a, b| a.max(*b));
        let begins = near.iter().position(|l| *l > most * 0.3)?;
        (most > 0.5).then(|| self.start + (from + begins) as f64 / 1e3)
    }
}

/// Seconds since some moment.
fn seconds(now: Instant) -> f64 {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let epoch = *EPOCH.get_or_init(clock::now);
    (now + Duration::from_secs(1))
        .saturating_duration_since(epoch)
        .as_secs_f64()
}

/// A file of a pip each second: 1 kHz at −12 dBFS.
fn pips(folder: &Path) -> PathBuf {
    let path = folder.join("pips.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&path, spec).expect("a file");
    for i in 0..(SECONDS + 30) as u32 * RATE {
        let second = (i % RATE) as f32 / RATE as f32;
        let pip = if second < PIP {
            0.25 * (second * 1_000.0 * std::f32::consts::TAU).sin()
        } else {
            0.0
        };
        wav.write_sample((pip * 32_767.0) as i16).expect("a sample");
    }
    wav.finalize().expect("a whole file");
    path
}
