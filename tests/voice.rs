//! Voice over bad lines, in simulated time: Signal's profiles, an outage of half of all packets, and
//! clocks that drift apart. The voice is synthetic; `benches/sound` measures with speech.

#[path = "support/line.rs"]
#[allow(dead_code)]
mod line;
#[path = "support/talk.rs"]
#[allow(dead_code)]
mod talk;

use facetty::io::clock;
use facetty::media::audio::{FRAME, RATE};

use line::{CLEAN, Dice, HALF, INTERNATIONAL, Line, Loss, MODERATE, NARROW, SPIKY};
use talk::{Heard, Speech, encode, talk};

/// Syllables of a low voice, without pauses, so that each loss is heard.
fn voice(seconds: usize) -> Vec<f32> {
    let mut dice = Dice::new(3);
    let mut phase = 0.0_f32;
    (0..seconds * RATE as usize)
        .map(|i| {
            let second = i as f32 / RATE as f32;
            let pitch = 120.0 + 15.0 * (second * 2.1).sin();
            phase = (phase + pitch / RATE as f32).fract();
            let syllable = 0.55 + 0.45 * (second * 20.0).sin();
            let buzz: f32 = (1..12)
                .map(|n| (n as f32 * phase * std::f32::consts::TAU).sin() / n as f32)
                .sum();
            0.12 * syllable * buzz + 0.004 * (dice.roll() as f32 - 0.5)
        })
        .collect()
}

fn over(line: &Line, seconds: usize, loss: f64, red: bool) -> Heard {
    speak(
        line,
        seconds,
        Speech {
            kbit: 24,
            loss,
            red,
            frame: FRAME,
        },
    )
}

fn speak(line: &Line, seconds: usize, speech: Speech) -> Heard {
    let frames = encode(&voice(seconds), speech);
    talk(&frames, speech, line, 11, clock::now())
}

#[test]
fn a_clean_line_adds_little_and_loses_nothing() {
    let heard = over(&CLEAN, 12, 0.0, false);
    assert_eq!(heard.counts.concealed, 0, "{:?}", heard.counts);
    assert!(heard.delay <= 31.0, "{} ms", heard.delay);
}

#[test]
fn five_percent_and_jitter() {
    let heard = over(&MODERATE, 30, 0.05, false);
    assert!(heard.concealed() <= 0.03, "{:.2} %", heard.concealed() * 100.0);
    assert!(heard.delay <= 120.0, "{} ms", heard.delay);
}

#[test]
fn ten_percent_in_bursts_and_much_jitter() {
    let heard = over(&INTERNATIONAL, 30, 0.1, true);
    assert!(heard.concealed() <= 0.12, "{:.2} %", heard.concealed() * 100.0);
    assert!(heard.delay <= 350.0, "{} ms", heard.delay);
}

#[test]
fn redundancy_repairs_what_error_correction_cannot() {
    let plain = over(&SPIKY, 30, 0.3, false);
    let red = over(&SPIKY, 30, 0.3, true);
    assert!(
        red.counts.concealed < plain.counts.concealed,
        "{:?}, {:?} without",
        red.counts,
        plain.counts
    );
}

#[test]
fn half_of_all_lost_never_stalls_and_ends_at_once() {
    for line in [HALF, SPIKY] {
        let heard = over(&line, 30, 0.5, false);
        // Some voice in each half second of the bad time, and nothing but voice a second after it.
        for from in (1_010..1_950).step_by(50) {
            let voiced = heard.voiced[from..from + 50].iter().filter(|v| **v).count();
            assert!(voiced > 0, "{}: nothing at {} ms", line.name, from * 10);
        }
        let after = &heard.voiced[2_104..2_900];
        assert!(after.iter().all(|voiced| *voiced), "{}", line.name);
    }
}

/// The longest time without a packet's voice from `from` ms on, in milliseconds.
fn longest_gap(heard: &Heard, from: usize) -> usize {
    let voiced = &heard.voiced[from / 10..heard.voiced.len() - 50];
    let gaps = voiced.split(|voiced| *voiced);
    10 * gaps.map(<[bool]>::len).max().unwrap_or(0)
}

/// Signal's grid (RingRTC, `call_sim`): losses of 10 to 50 % in bursts of 1.5 to 4 packets.
#[test]
fn bursts_of_any_length_are_stood() {
    for burst in [1.5, 2.0, 3.0, 4.0] {
        for loss in [0.1, 0.2, 0.3, 0.4, 0.5] {
            let ends = 1.0 / burst;
            let begins = loss * ends / (1.0 - loss);
            let line = Line {
                losses: vec![(0.0, Loss::Bursts(begins, ends))].leak(),
                ..CLEAN
            };
            let heard = over(&line, 20, loss, true);
            let told = format!("{loss} in bursts of {burst}: {:?}", heard.counts);
            // What two copies cannot repair is lost in bursts of three and more.
            assert!(heard.concealed() <= loss * 0.75, "{told}");
            assert!(longest_gap(&heard, 2_000) <= 800, "{told}");
            assert!(heard.delay <= 150.0, "{told}, {} ms", heard.delay);
        }
    }
}

/// Likewise: each packet is lost with the same probability.
#[test]
fn even_losses_are_repaired() {
    for (loss, most) in [(0.1, 0.01), (0.2, 0.03), (0.3, 0.07), (0.4, 0.13), (0.5, 0.22)] {
        let line = Line {
            losses: vec![(0.0, Loss::Each(loss))].leak(),
            ..CLEAN
        };
        let heard = over(&line, 20, loss, true);
        let told = format!("{loss}: {:.3} of {:?}", heard.concealed(), heard.counts);
        assert!(heard.concealed() <= most, "{told}");
        assert!(longest_gap(&heard, 2_000) <= 500, "{told}");
    }
}

/// Likewise: what fits a narrow line goes over it whole, with little more delay than its own unevenness;
/// of what does not fit, what comes is played.
#[test]
fn narrow_lines_carry_what_fits_them() {
    let speeches = [(20, 1), (20, 1), (14, 2), (8, 3)];
    for (line, (kbit, packed)) in NARROW.iter().zip(speeches) {
        let speech = Speech {
            kbit,
            loss: 0.0,
            red: false,
            frame: packed * FRAME,
        };
        let heard = speak(line, 30, speech);
        let told = format!("{}: {:?}, {} ms", line.name, heard.counts, heard.delay);
        assert!(heard.concealed() <= 0.001, "{told}");
        assert!(heard.delay <= 60.0, "{told}");
    }
    for line in &NARROW[2..] {
        let speech = Speech {
            kbit: 40,
            loss: 0.0,
            red: false,
            frame: FRAME,
        };
        let heard = speak(line, 30, speech);
        let told = format!("{}: {:?}, {} ms", line.name, heard.counts, heard.delay);
        assert!(heard.counts.lost > 100, "{told}");
        assert!(longest_gap(&heard, 2_000) <= 200, "{told}");
        assert!(heard.delay <= 150.0, "{told}");
    }
}
