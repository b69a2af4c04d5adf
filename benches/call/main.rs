//! What a call costs and how fast it is: two people in terminals of 80x24 on this machine, 30
//! pictures a second. `make bench BENCH=call`.
//!
//! Nothing is drawn at random, so there is no seed: each run shows the same pictures.

#![allow(clippy::print_stdout)]

mod chromium;
#[path = "../support/feed.rs"]
mod feed;
#[path = "../support/parts.rs"]
mod parts;
mod people;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::time::Duration;

const STARTS: usize = 10;
const GLASS: Duration = Duration::from_secs(20);
const COST: Duration = Duration::from_secs(15);

fn main() {
    let parts = parts::Parts::of_args();
    println!("{}", machine());
    println!("\n{:<36} {:>9} {:>9}", "measure", "at most", "here");
    if parts.has("glass") {
        glass();
    }
    if parts.has("cost") {
        cost();
    }
    if parts.has("chromium") {
        chromium();
    }
}

fn glass() {
    let glass = people::starts_and_glass(STARTS, GLASS);
    let [p50, p95] = percentiles(&glass.latencies);
    row(
        "start to remote picture, median",
        percentiles(&glass.starts)[0],
        300.0,
        "ms",
    );
    row("glass to glass, p50", p50, 12.0, "ms");
    row("glass to glass, p95", p95, 25.0, "ms");
    let starts: Vec<String> = glass.starts.iter().map(|s| format!("{s:.0}")).collect();
    println!("  the {} starts: {} ms", starts.len(), starts.join(" "));
    println!(
        "  {} of {} frames seen in {} s, the latest after {:.1} ms",
        glass.latencies.len(),
        glass.sent,
        GLASS.as_secs(),
        glass.latencies.iter().fold(0.0, |a: f64, &b| a.max(b)),
    );
}

fn cost() {
    let cost = people::cost(COST);
    row("CPU of one person", cost.cpu * 100.0, 6.0, "% of a core");
    row("resident memory of one person", cost.rss_mb, 40.0, "MB");
    row("UDP payload one way", cost.kbps_counted, 90.0, "kbit/s");
    println!(
        "  {} s, the mean of both people; the UDP payload is counted on the loopback device,",
        COST.as_secs()
    );
    println!(
        "  by the program's own account it is {:.1} kbit/s; {:.1} frames and {:.1} kB a second go to the terminal",
        cost.kbps_told, cost.frames_a_second, cost.terminal_kb_a_second,
    );
}

fn chromium() {
    let two = match chromium::measure(GLASS) {
        Ok(two) => two,
        Err(why) => {
            println!("two Chromium pages: not measured, {why}");
            return;
        }
    };
    let [p50, p95] = percentiles(&two.latencies);
    println!(
        "two pages of {}, {} at 30 pictures a second:",
        two.version, two.size
    );
    println!(
        "  start of the second page's script to remote picture: {:.0} ms (one run)",
        two.first_ms
    );
    println!(
        "  glass to glass p50 {p50:.1} ms, p95 {p95:.1} ms ({} frames)",
        two.latencies.len()
    );
    println!(
        "  CPU {:.1} % of a core, memory {:.0} MB (PSS), both pages",
        two.cpu * 100.0,
        two.pss_mb
    );
}

fn row(what: &str, here: f64, at_most: f64, unit: &str) {
    let verdict = if here <= at_most { "" } else { "   OVER" };
    println!("{what:<36} {at_most:>9.0} {here:>9.1} {unit}{verdict}");
}

/// The 50th and the 95th, or infinity where there is nothing.
fn percentiles(values: &[f64]) -> [f64; 2] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [50, 95].map(|p| match sorted.len() {
        0 => f64::INFINITY,
        n => sorted[((n * p).div_ceil(100)).clamp(1, n) - 1],
    })
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|l| {
            l.strip_prefix("model name")?
                .split_once(':')
                .map(|(_, name)| name.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    format!(
        "{cpu}, {cores} cores, {} {}, load {} before",
        std::env::consts::OS,
        kernel.trim(),
        load.split(' ').next().unwrap_or("unknown")
    )
}
