//! The browser's side, with a real Chromium: it joins, sees, hears and is seen and heard; and every
//! error and warning of its console fails the test.

mod support;

use std::path::PathBuf;

use facetty::media::stamp;
use facetty::units::Size;
use serde_json::Value;
use support::browser::Browser;
use support::files;
use support::program::{Program, Server, person, source};
use tempfile::TempDir;

const CLIP: Size = Size::new(320, 240);
const CLIP_FRAMES: u32 = 90;
const TONE_HZ: f32 = 700.0;

/// Files for one test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("there is room for temporary files"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn clip(&self) -> String {
        let path = self.path("clip.y4m");
        files::write_stamped_clip(&path, CLIP, CLIP_FRAMES);
        source("y4m", &path)
    }

    fn tone(&self) -> String {
        let path = self.path("tone.wav");
        files::write_tone(&path, TONE_HZ, 2);
        source("wav", &path)
    }
}

/// A terminal with a stamped clip and a tone, which keeps what it sees and hears.
struct Terminal {
    program: Program,
    folder: Folder,
}

impl Terminal {
    fn start(server: &Server, name: &str, codec: &str) -> Self {
        let folder = Folder::new();
        let (clip, tone) = (folder.clip(), folder.tone());
        let heard = source("wav", &folder.path("heard.wav"));
        let seen = source("y4m", &folder.path("seen.y4m"));
        let devices = [
            "--camera",
            &clip,
            "--mic",
            &tone,
            "--speaker",
            &heard,
            "--screen",
            &seen,
            "--codec",
            codec,
        ];
        let mut program = Program::start(&person(server, "lobby", name, &devices));
        program.event("joined");
        Self { program, folder }
    }
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or(0.0)
}

fn sees_and_hears(browser: &Browser) {
    browser.row_where("inbound-rtp", "video", |row| number(row, "framesDecoded") > 30.0);
    browser.row_where("inbound-rtp", "audio", |row| {
        number(row, "packetsReceived") > 50.0 && number(row, "totalAudioEnergy") > 0.0
    });
    let numbers: Vec<_> = (0..20).filter_map(|_| stamp::read(&browser.picture()?)).collect();
    assert!(numbers.len() > 10, "stamps read: {numbers:?}");
    assert!(numbers.iter().all(|n| *n < CLIP_FRAMES), "{numbers:?}");
}

fn is_seen_and_heard(terminal: Terminal) {
    let Terminal { mut program, folder } = terminal;
    program.once("first-frame");
    program.once("first-audio");
    for _ in 0..3 {
        program.event_where("stats", |s| s["fps_in"].as_f64() > Some(5.0));
    }
    let ended = program.leave();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let frames = files::read_clip(&folder.path("seen.y4m"));
    assert!(frames.len() > 20, "only {} frames", frames.len());
    // The browser's camera shows a green ground, and on it a clock and a Pac-Man that moves.
    let last = &frames[frames.len() - 1];
    let [_, u, v] = last.planes().map(|plane| {
        let sum: u32 = plane.data.iter().map(|&sample| u32::from(sample)).sum();
        sum / plane.data.len() as u32
    });
    assert!(u < 80 && v < 80, "not green: {u} {v}");
    assert!(
        frames.iter().any(|f| f.bytes() != last.bytes()),
        "the picture stands"
    );
    // It beeps twice a second: loud parts and still ones.
    let (samples, rate) = files::read_wav(&folder.path("heard.wav"));
    let loud = |part: &[f32]| part.iter().map(|s| s * s).sum::<f32>() / part.len() as f32 > 1e-4;
    let parts: Vec<bool> = samples.chunks_exact(rate as usize / 20).map(loud).collect();
    let beeps = parts.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    assert!(beeps >= 3, "{beeps} beeps in {} s", samples.len() / rate as usize);
}

fn call(codec: &str, browser_first: bool) {
    let server = Server::start();
    let mut browser = Browser::start();
    let terminal = if browser_first {
        browser.join(&server.page(), "lobby", "Bea");
        browser.shows("You are alone in lobby.");
        Terminal::start(&server, "ann", codec)
    } else {
        let mut terminal = Terminal::start(&server, "ann", codec);
        browser.join(&server.page(), "lobby", "Bea");
        assert_eq!(terminal.program.event("peer-joined")["name"], "Bea");
        terminal
    };
    sees_and_hears(&browser);
    let codecs = browser.stats().concat();
    let used: Vec<_> = codecs
        .iter()
        .filter(|r| r["type"] == "codec")
        .map(|r| r["mimeType"].clone())
        .collect();
    let wanted = if codec == "vp8" { "video/VP8" } else { "video/VP9" };
    assert!(used.contains(&wanted.into()), "{used:?}");
    browser.check();
    is_seen_and_heard(terminal);
    browser.shows("ann left");
    browser.check();
}

#[test]
fn a_browser_joins_a_terminal() {
    call("auto", false);
}

#[test]
fn a_terminal_joins_a_browser() {
    call("auto", true);
}

#[test]
fn a_browser_joins_a_terminal_with_vp8() {
    call("vp8", false);
}

#[test]
fn a_terminal_with_vp8_joins_a_browser() {
    call("vp8", true);
}
