//! What the sound is worth: echo, bad lines, clocks, delay, cost. `make bench BENCH=sound`, and with
//! `ARGS="echo"` one part of it: echo, line, clock, cost, mouth. PESQ needs a Python with the package `pesq`,
//! named in `FACETTY_PYTHON`.
//!
//! Voices are espeak-ng's, the same at each run; lines are simulated with the seeds shown.

#![allow(clippy::print_stdout)]

mod cost;
mod echo;
#[path = "../../tests/support/line.rs"]
mod line;
mod lines;
mod mouth;
#[path = "../support/parts.rs"]
mod parts;
#[path = "../../tests/support/pulse.rs"]
#[allow(dead_code, clippy::print_stderr)]
mod pulse;
#[path = "../../tests/support/speech.rs"]
mod speech;
#[path = "../../tests/support/stoi.rs"]
mod stoi;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../../tests/support/talk.rs"]
mod talk;

fn main() {
    let parts = parts::Parts::of_args();
    println!("{:<52} {:>9} {:>9}", "measure", "bound", "here");
    if parts.has("echo") {
        echo::measure();
    }
    if parts.has("line") {
        lines::measure();
    }
    if parts.has("clock") {
        lines::hours();
    }
    if parts.has("cost") {
        cost::measure();
    }
    if parts.has(mouth::NAME) {
        mouth::measure();
    }
}

/// What a figure is held against.
#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

fn row(what: &str, here: f64, bound: Bound, unit: &str) {
    let (sign, bound, met) = match bound {
        Bound::AtLeast(least) => ("≥", least, here >= least),
        Bound::AtMost(most) => ("≤", most, here <= most),
    };
    let verdict = if met { "" } else { "   MISSED" };
    println!("{what:<52} {sign}{bound:>8.2} {here:>9.2} {unit}{verdict}");
}
