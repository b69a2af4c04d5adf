//! Speech between two real processes: what Ann's file says is aligned with what Bob's file heard, and
//! scored for how well it can be understood.
#![allow(clippy::print_stderr)]

mod support;

#[path = "support/speech.rs"]
#[allow(dead_code)]
mod speech;
#[path = "support/stoi.rs"]
mod stoi;

use std::path::Path;
use std::process::{Command, Stdio};

use facetty::media::audio::RATE;
use facetty::media::wav::WavSink;
use support::files;
use support::program::{Program, Server, person, source};

/// Seconds of speech, which are said again and again.
const SAID: usize = 6;
/// Reports, one a second, for which it is heard.
const HEARD: usize = 15;
/// The call begins, and the jitter buffer learns the line.
const LEFT_OUT: usize = 2;
/// Seconds that are scored at a time.
const PART: usize = 3;
/// Voice may be moved by so much from one part to the next, in samples.
const MOVED: usize = RATE as usize / 20;

#[test]
fn speech_is_understood_at_the_other_side() {
    let espeak = Command::new("espeak-ng")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if espeak.is_err() {
        eprintln!("skipped: espeak-ng is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let (said, heard) = (folder.path().join("said.wav"), folder.path().join("heard.wav"));
    let clean = speech::speech("en+f3", 0, SAID);
    write(&said, &clean);

    let server = Server::start();
    let start = |name: &str, more: &[&str]| Program::start(&person(&server, "lobby", name, more));
    let ann = start("ann", &["--mic", &source("wav", &said)]);
    let mut bob = start("bob", &["--speaker", &source("wav", &heard)]);
    bob.event("first-audio");
    for _ in 0..HEARD {
        bob.event_where("stats", |stats| stats["peer"].is_string());
    }
    bob.leave();
    ann.leave();

    let (samples, rate) = files::read_wav(&heard);
    assert_eq!(rate, RATE);
    let heard = &samples[LEFT_OUT * RATE as usize..];
    let score = score(&clean, heard);
    assert!(score > 0.85, "STOI {score:.2}");
    // A measure that finds everything good is none.
    let others = speech::speech("en+f3", 3, SAID);
    let other = self::score(&others, heard);
    assert!(other < 0.6, "STOI {other:.2} for what was not said");
}

/// The median STOI of all parts of what was heard of `clean`, said again and again.
fn score(clean: &[f32], heard: &[f32]) -> f64 {
    let twice = clean.repeat(2);
    let late = stoi::align(&twice, heard, clean.len());
    let heard = &heard[late.saturating_sub(MOVED)..];
    let part = PART * RATE as usize;
    let mut scores: Vec<f64> = (0..)
        .map(|at| at * part)
        .take_while(|at| at + part + 2 * MOVED <= heard.len().min(twice.len()))
        .map(|at| {
            stoi::stoi(
                &twice[at..at + part],
                &heard[at..at + part + 2 * MOVED],
                2 * MOVED,
            )
        })
        .collect();
    scores.sort_by(f64::total_cmp);
    eprintln!("STOI of each part: {scores:.3?}");
    scores[scores.len() / 2]
}

fn write(path: &Path, samples: &[f32]) {
    let mut wav = WavSink::create(path).expect("a file");
    wav.write(samples).expect("it takes samples");
    wav.finish().expect("a whole file");
}
