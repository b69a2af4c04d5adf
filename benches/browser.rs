//! What a friend with a browser gets: how soon the other one is seen, how late, and what is sent for it.
//! A person in a terminal of 80x24 and a headless Chromium. `make bench BENCH=browser`.
//!
//! Nothing is drawn at random, so there is no seed.

#![allow(clippy::print_stdout)]

#[path = "support/feed.rs"]
mod feed;
#[path = "support/parts.rs"]
mod parts;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use facetty::io::clock;
use facetty::media::frame::I420;
use facetty::media::stamp;
use facetty::units::{Cells, Size};
use serde_json::Value;

use crate::feed::{Drain, Feed, joins, make_fifo};
use crate::support::browser::{Browser, Setup, pause};
use crate::support::program::Server;
use crate::support::terminal::Terminal;

const STARTS: usize = 10;
const GLASS: Duration = Duration::from_secs(20);
/// So long after the first picture the rate has come to rest.
const SETTLED: Duration = Duration::from_secs(8);
const RATE: Duration = Duration::from_secs(10);

/// The picture of the browser's camera.
const CAMERA: (f64, f64) = (1280.0, 720.0);

/// Joins as soon as that is possible, and notes when the first remote picture is shown. Then the 32 blocks
/// of the stamp are read out of each picture: a bit each, most significant first.
const WATCH: &str = "
    const ink = new OffscreenCanvas(640, 72).getContext('2d', { willReadFrequently: true });
    window.seen = [];
    function read(now, { expectedDisplayTime }) {
      const video = document.querySelector('.tile:not(.own) video');
      ink.drawImage(video, 0, 0, video.videoWidth, video.videoHeight / 5, 0, 0, 640, 72);
      const { data } = ink.getImageData(0, 0, 640, 72);
      let code = 0;
      for (let block = 0; block < 32; block++) {
        const [x, y] = [(block % 16) * 40 + 20, block < 16 ? 18 : 54];
        code = code * 2 + (data[(y * 640 + x) * 4 + 1] > 127 ? 1 : 0);
      }
      window.first ??= Math.max(expectedDisplayTime, performance.now());
      window.seen.push([code, Math.max(expectedDisplayTime, performance.now())]);
      video.requestVideoFrameCallback(read);
    }
    const look = setInterval(() => {
      if (document.body?.dataset.view === 'join') document.getElementById('join-go').click();
      const video = document.querySelector('.tile:not(.own) video');
      if (!video) return;
      clearInterval(look);
      video.requestVideoFrameCallback(read);
    }, 2);
";

fn main() {
    let parts = parts::Parts::of_args();
    println!("{:<44} {:>9} {:>9}", "measure", "at most", "here");
    if parts.has("start") || parts.has("glass") {
        seen(&parts);
    }
    if parts.has("rate") {
        rate();
    }
    if parts.has("follows") {
        follows();
    }
}

/// What the browser sees of a terminal.
fn seen(parts: &parts::Parts) {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let fifo = folder.path().join("camera");
    make_fifo(&fifo);
    let server = Server::start();
    let feed = Feed::start(&fifo);
    let ann = joins(&server, "ann", &["--camera", "y4m:-"]);
    let mut ann = Terminal::start(Cells::new(80, 24), &ann, Some(&fifo));
    ann.until("ann waits", |screen| screen.contents().contains("alone in lobby"));
    let drain = Drain::start(ann);
    if parts.has("start") {
        start(&server);
    }
    if parts.has("glass") {
        glass(&server, &feed);
    }
    drain.stop();
    feed.stop();
}

fn start(server: &Server) {
    let mut starts = Vec::new();
    let mut weight = 0.0;
    for _ in 0..STARTS {
        let browser = opened(server);
        starts.push(
            browser
                .until("ann is seen", "return window.first")
                .as_f64()
                .unwrap_or(f64::NAN),
        );
        let loaded = browser.run(
            "return [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]
                .reduce((sum, entry) => sum + entry.transferSize, 0)",
            &[],
        );
        weight = loaded.as_f64().unwrap_or(f64::NAN);
    }
    row(
        "page opened to remote picture, median",
        percentile(&starts, 50),
        1000.0,
        "ms",
    );
    row("page weight, with headers", weight / 1e3, 60.0, "kB");
    let told: Vec<_> = starts.iter().map(|s| format!("{s:.0}")).collect();
    println!(
        "  the {STARTS} starts, each of a new browser: {} ms",
        told.join(" ")
    );
}

fn glass(server: &Server, feed: &Feed) {
    let browser = opened(server);
    browser.until("ann is seen", "return window.first");
    // What the line carries is explored for some seconds after the first picture.
    pause(Duration::from_secs(5));
    let zero = origin(&browser);
    browser.run("window.seen = []", &[]);
    pause(GLASS);
    let seen = browser.run("return window.seen", &[]);
    let mut newest = None;
    let mut ages = Vec::new();
    for pair in seen.as_array().into_iter().flatten() {
        let (Some(code), Some(at)) = (pair[0].as_u64(), pair[1].as_f64()) else {
            continue;
        };
        let Some(n) = decoded(code).filter(|n| newest.is_none_or(|m| *n > m)) else {
            continue;
        };
        if let Some(sent) = feed.sent(n) {
            let at = zero + Duration::from_secs_f64(at / 1e3);
            ages.push(at.saturating_duration_since(sent).as_secs_f64() * 1e3);
            newest = Some(n);
        }
    }
    row(
        "terminal to browser, glass to glass, p50",
        percentile(&ages, 50),
        60.0,
        "ms",
    );
    row(
        "terminal to browser, glass to glass, p95",
        percentile(&ages, 95),
        f64::NAN,
        "ms",
    );
    println!("  {} pictures seen in {} s", ages.len(), GLASS.as_secs());
}

/// What a browser sends to a terminal of 80x24, and where that was not asked for; how soon that follows
/// another size of the terminal.
fn rate() {
    for (glyphs, render) in [("half blocks", "half"), ("sextants", "sextant")] {
        let (mut ann, browser, _server) = pair(render);
        ann.watch(SETTLED);
        let drain = Drain::start(ann);
        let [all, picture, voice] = upstream(&browser);
        row(&format!("upstream to 80x24 in {glyphs}"), all, 120.0, "kbit/s");
        println!("  of it the picture {picture:.0} kbit/s, the voice {voice:.0} kbit/s, both with headers");
        if render == "half" {
            browser.run(
                "for (const sender of connections[0].getSenders()) {
                   const parameters = sender.getParameters();
                   for (const name of ['scaleResolutionDownBy', 'maxFramerate', 'maxBitrate']) delete parameters.encodings[0][name];
                   await sender.setParameters(parameters);
                 }",
                &[],
            );
            pause(Duration::from_secs(15));
            let [unasked, ..] = upstream(&browser);
            println!("  where nothing was asked for it sends {unasked:.0} kbit/s");
        }
        drain.stop();
    }
}

/// How soon the browser's picture has the size that a terminal of another size asks for.
fn follows() {
    let (mut ann, browser, _server) = pair("half");
    let mut took = Vec::new();
    for size in [(120, 40), (60, 20), (200, 60), (80, 24), (100, 30)] {
        let size = Cells::new(size.0, size.1);
        ann.resize(size);
        let began = clock::now();
        // Half blocks: a pixel in width and two in height a cell; the last line is the interface's.
        let (width, height) = (f64::from(size.cols), f64::from(size.rows - 1) * 2.0);
        let down = (CAMERA.0 / width).max(CAMERA.1 / height);
        let wanted = [CAMERA.0 / down, CAMERA.1 / down];
        loop {
            ann.watch(Duration::from_millis(10));
            let sent = browser.row("outbound-rtp", "video");
            let sent = ["frameWidth", "frameHeight"].map(|side| sent[side].as_f64().unwrap_or(0.0));
            if sent
                .iter()
                .zip(wanted)
                .all(|(sent, wanted)| (sent - wanted).abs() <= 2.0)
            {
                break;
            }
            let waited = clock::now().duration_since(began);
            assert!(waited < Duration::from_secs(10), "{sent:?}, not {wanted:?}");
        }
        took.push(clock::now().duration_since(began).as_secs_f64() * 1e3);
    }
    let slowest = took.iter().copied().fold(0.0, f64::max);
    row("terminal resized to size sent, slowest", slowest, 2000.0, "ms");
    let told: Vec<_> = took.iter().map(|ms| format!("{ms:.0}")).collect();
    println!("  each time: {} ms", told.join(" "));
}

/// A person in a terminal of 80x24 and a browser that see each other.
fn pair(render: &str) -> (Terminal, Browser, Server) {
    let server = Server::start();
    let ann = joins(&server, "ann", &["--camera", "test", "--render", render]);
    let mut ann = Terminal::start(Cells::new(80, 24), &ann, None);
    ann.until("ann waits", |screen| screen.contents().contains("alone in lobby"));
    let browser = opened(&server);
    // The terminal's output must be read, lest it waits.
    while browser.row("inbound-rtp", "video")["framesDecoded"].as_u64() < Some(1) {
        ann.watch(Duration::from_millis(50));
    }
    (ann, browser, server)
}

/// A new browser that opens the room.
fn opened(server: &Server) -> Browser {
    let browser = Browser::start_with(Setup::default());
    browser.unchecked();
    browser.cdp(
        "Page.addScriptToEvaluateOnNewDocument",
        &serde_json::json!({ "source": WATCH }),
    );
    browser.open(&format!("{}/lobby", server.page()));
    browser
}

/// What leaves the browser in kbit/s: all of it (UDP payload), and of that the picture and the voice.
fn upstream(browser: &Browser) -> [f64; 3] {
    let sent = || {
        let rows = browser.stats().concat();
        let of = |kind: &str, media: Option<&str>| -> f64 {
            let rows = rows
                .iter()
                .filter(|row| row["type"] == kind && media.is_none_or(|media| row["kind"] == media));
            rows.flat_map(|row| [&row["bytesSent"], &row["headerBytesSent"]])
                .filter_map(Value::as_f64)
                .sum()
        };
        [
            of("transport", None),
            of("outbound-rtp", Some("video")),
            of("outbound-rtp", Some("audio")),
        ]
    };
    let (before, began) = (sent(), clock::now());
    pause(RATE);
    let after = sent();
    let seconds = clock::now().duration_since(began).as_secs_f64();
    std::array::from_fn(|i| (after[i] - before[i]) * 8.0 / 1e3 / seconds)
}

/// The page's zero of time by our clock: of ten questions the one that was answered soonest.
fn origin(browser: &Browser) -> Instant {
    let ask = |_| {
        let before = clock::now();
        let there = browser
            .run("return performance.now()", &[])
            .as_f64()
            .expect("a number");
        let took = clock::now().duration_since(before);
        (took, before + took / 2 - Duration::from_secs_f64(there / 1e3))
    };
    let best = (0..10).map(ask).min_by_key(|(took, _)| *took);
    best.expect("ten of them").1
}

fn decoded(code: u64) -> Option<u32> {
    let mut picture = I420::new(Size::new(32, 20));
    for (i, sample) in picture.planes_mut()[0].iter_mut().take(32 * 4).enumerate() {
        let (x, y) = (i % 32, i / 32);
        let bit = 31 - (y / 2 * 16 + x / 2);
        *sample = if code >> bit & 1 == 1 { 235 } else { 16 };
    }
    stamp::read(&picture)
}

fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(sorted.len() * percent / 100)
        .copied()
        .unwrap_or(f64::NAN)
}

fn row(what: &str, here: f64, at_most: f64, unit: &str) {
    let limit = if at_most.is_nan() {
        String::new()
    } else {
        format!("{at_most:.0}")
    };
    println!("{what:<44} {limit:>9} {here:>9.1} {unit}");
}
