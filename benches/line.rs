//! From a key to its effect on the screen, with video running, through sshd and a thin line.
//! `make bench BENCH=line`.

#![allow(clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use facetty::io::clock;
use facetty::units::Cells;
use support::program::DEMO;
use support::ssh::Line;
use support::terminal::Terminal;

const KEYS: usize = 100;

fn main() {
    println!(
        "{:<34} {:>8} {:>8} {:>8} {:>8}",
        "line", "p50 ms", "p95 ms", "at most", "frames/s"
    );
    for (name, rate) in [("200 kbit/s", 25_000), ("1 Mbit/s", 125_000)] {
        for size in [Cells::new(80, 24), Cells::new(200, 60)] {
            let Some(line) = Line::open(rate) else { return };
            let mut terminal = line.terminal(size, DEMO);
            terminal.until("the call", |screen| {
                // On the thinner line that one is told before the path.
                let text = screen.contents();
                text.contains("echo · direct") || text.contains("terminal is slow")
            });
            terminal.watch(Duration::from_secs(5));
            let (frames, _) = terminal.watch(Duration::from_secs(5));
            let mut times: Vec<f64> = (0..KEYS).map(|n| key(&mut terminal, n)).collect();
            times.sort_by(f64::total_cmp);
            let at = |part: usize| times[(times.len() - 1) * part / 100];
            println!(
                "{:<34} {:>8.0} {:>8.0} {:>8} {:>8.1}",
                format!("{name}, {}x{}", size.cols, size.rows),
                at(50),
                at(95),
                250,
                frames as f64 / 5.0
            );
        }
    }
}

/// Milliseconds from a key to its effect. Keys come at no fixed place between frames.
fn key(terminal: &mut Terminal, n: usize) -> f64 {
    terminal.watch(Duration::from_millis(200 + (n as u64 * 37) % 100));
    let wanted = if n.is_multiple_of(2) {
        "○ muted"
    } else {
        "● mic"
    };
    let pressed = clock::now();
    terminal.type_keys("m");
    terminal.until(wanted, |screen| screen.contents().contains(wanted));
    (clock::now() - pressed).as_secs_f64() * 1000.0
}
