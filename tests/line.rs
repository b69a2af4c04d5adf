//! The program at the far end of thin lines, in slow terminals, and in a real tmux in a real xterm.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use facetty::io::clock;
use facetty::media::stamp;
use facetty::units::{Cells, Size};
use support::files;
use support::program::{DEMO, NO_DEVICES, Program, SEEN_AND_HEARD, Server};
use support::ssh::{Line, find};
use support::terminal::Terminal;

const USUAL: Cells = Cells::new(80, 24);
/// A picture of two square pixels a cell.
const CLIP: Size = Size::new(64, 48);

/// 1 Mbit/s and 200 kbit/s.
const RATES: [u64; 2] = [125_000, 25_000];

#[test]
fn keys_and_pictures_pass_thin_lines() {
    for rate in RATES {
        let Some(line) = Line::open(rate) else { return };
        let mut terminal = line.terminal(USUAL, DEMO);
        terminal.until("the call", |screen| {
            // On the thinner line that one is told before the path.
            let text = screen.contents();
            text.contains("echo · direct") || text.contains("terminal is slow")
        });
        // Keys have their effect while pictures come.
        for _ in 0..3 {
            press(&mut terminal, "m", "○ muted");
            press(&mut terminal, "m", "● mic");
        }
        let changes = changes(&mut terminal, Duration::from_secs(5));
        assert!(
            changes >= 10,
            "{rate} bytes a second: {changes} changes of the picture in 5 s"
        );
        // A line that passes nothing for a while leaves nothing behind.
        line.set_rate(0);
        terminal.watch(Duration::from_secs(2));
        terminal.type_keys("m");
        line.set_rate(rate);
        terminal.until("the key's effect after the pause", |s| {
            s.contents().contains("○ muted")
        });
    }
}

/// The camera of this end is sent beside the keys, through a pipe with a name, to a host that has neither camera
/// nor sound.
#[test]
fn a_host_without_devices_shows_the_others_and_is_fed_through_a_pipe() {
    let Some(line) = Line::open(10_000_000) else {
        return;
    };
    let folder = tempfile::tempdir().expect("there is room");
    let pipe = folder.path().join("me.y4m").display().to_string();
    let made = line.command(&format!("mkfifo -m 600 {pipe}")).status();
    assert!(made.expect("ssh runs").success());
    let server = Server::start();
    let place = ["--room", "lobby", "--server", &server.url];
    let mut bob = Program::start(&[&place[..], &["--name", "bob"], SEEN_AND_HEARD].concat());
    bob.event("joined");
    let camera = format!("y4m:{pipe}");
    let ann = [&place[..], &["--name", "ann", "--camera", &camera]].concat();
    let mut terminal = line.terminal(USUAL, &ann);
    terminal.until("the call", |screen| screen.contents().contains("bob · direct"));
    bob.event("connected");
    let mut feed = line.command(&format!("cat >{pipe}"));
    let feed = feed.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let mut feed = Killed(feed.expect("ssh runs"));
    let mut input = feed.0.stdin.take().expect("piped above");
    input
        .write_all(files::y4m_header(CLIP).as_bytes())
        .expect("it reads");
    let mut n = 0;
    let shows = |event: &serde_json::Value| event["event"] == "first-frame";
    while !bob.events().iter().any(shows) {
        input.write_all(files::FRAME).expect("it reads");
        input
            .write_all(files::stamped(CLIP, n).bytes())
            .expect("it reads");
        n += 1;
        assert!(n < 100_000, "frames go in and none comes out");
    }
    // Keys are not in the pipe's way.
    press(&mut terminal, "v", "cam off");
}

#[test]
fn a_terminal_that_stands_still_is_sent_less_until_it_goes_on() {
    let Some(line) = Line::open(1_000_000) else { return };
    let server = Server::start();
    let place = ["--room", "lobby", "--server", &server.url];
    let mut bob = Program::start(&[&place[..], &["--name", "bob"], SEEN_AND_HEARD].concat());
    bob.event("joined");
    let ann = [&place[..], &["--name", "ann"], NO_DEVICES].concat();
    let mut terminal = line.terminal(USUAL, &ann);
    terminal.until("the call", |screen| screen.contents().contains("bob · direct"));
    let sends = |fits: fn(f64) -> bool| {
        move |event: &serde_json::Value| {
            event["peer"].is_string() && event["fps_out"].as_f64().is_some_and(fits)
        }
    };
    bob.event_where("stats", sends(|fps| fps > 10.0));
    line.set_rate(0);
    bob.event_where("stats", sends(|fps| fps > 0.0 && fps < 5.0));
    line.set_rate(1_000_000);
    terminal.until("the terminal's word", |screen| {
        screen.contents().contains("terminal is slow")
    });
    bob.event_where("stats", sends(|fps| fps > 10.0));
    terminal.until("the path again", |screen| {
        screen.contents().contains("bob · direct")
    });
}

#[test]
fn a_reader_that_pauses_sees_the_newest_picture_and_the_program_keeps_nothing() {
    let folder = tempfile::tempdir().expect("there is room");
    let clip = folder.path().join("clip.y4m");
    files::write_stamped_clip(&clip, CLIP, 600);
    let clip = clip.display().to_string();
    let mut terminal = Terminal::start(USUAL, &["play", &clip, "--loop", "--render", "half"], None);
    let first = seen(&mut terminal, |_| true);
    let memory = resident(terminal.pid());
    terminal.pause(Duration::from_secs(5));
    let grown = resident(terminal.pid()).saturating_sub(memory);
    assert!(grown < 4 << 20, "{grown} bytes more after a pause");
    // Two frames were under way; what comes after them is of now.
    for _ in 0..3 {
        terminal
            .frame(clock::now() + support::program::DEADLINE)
            .expect("a frame");
    }
    let newest = seen(&mut terminal, |_| true);
    let passed = (newest + 600 - first) % 600;
    assert!(
        passed >= 120,
        "from picture {first} to {newest} in 5 s of 30 a second"
    );
}

#[test]
fn tmux_throws_nothing_away() {
    let (Some(xvfb), Some(xterm), Some(tmux)) = (find("Xvfb"), find("xterm"), find("tmux")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("there is room");
    let clip = folder.path().join("clip.y4m");
    files::write_stamped_clip(&clip, Size::new(160, 120), 90);
    let (display, _x) = start_x(&xvfb);
    for geometry in ["80x24", "200x60"] {
        let socket = folder.path().join(geometry).display().to_string();
        let tmux = |args: &[&str]| {
            let mut command = Command::new(&tmux);
            command
                .args(["-S", &socket, "-f", "/dev/null"])
                .args(args)
                .env_remove("TMUX");
            command
        };
        let play = format!(
            "exec '{}' play '{}' --loop",
            env!("CARGO_BIN_EXE_facetty"),
            clip.display()
        );
        let run = tmux(&["new-session", "sh", "-c", &play]);
        let mut command = Command::new(&xterm);
        command
            .args(["-geometry", geometry, "-e"])
            .arg(run.get_program())
            .args(run.get_args());
        command
            .env("DISPLAY", &display)
            .env("COLORTERM", "truecolor")
            .env_remove("TMUX");
        let _xterm = Killed(command.spawn().expect("xterm runs"));
        let figure = |name: &str| {
            let format = format!("#{{{name}}}");
            let output = tmux(&["list-clients", "-F", &format])
                .output()
                .expect("tmux runs");
            String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().ok()
        };
        let begin = clock::now();
        while figure("client_written").is_none_or(|written| written < 100_000) {
            assert!(
                begin.elapsed() < support::program::DEADLINE,
                "nothing is drawn in tmux"
            );
            std::thread::park_timeout(Duration::from_millis(50));
        }
        // Ten seconds of thirty pictures each.
        let (from, before) = (clock::now(), figure("client_written"));
        while from.elapsed() < Duration::from_secs(10) {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        assert_eq!(figure("client_discarded"), Some(0), "{geometry}");
        assert!(figure("client_written") > before, "{geometry}: the picture moves");
        let _ = tmux(&["kill-server"]).status();
    }
}

fn press(terminal: &mut Terminal, key: &str, wanted: &str) {
    terminal.type_keys(key);
    terminal.until(&format!("{wanted:?} after {key:?}"), |s| {
        s.contents().contains(wanted)
    });
}

/// How often the picture changed in that time.
fn changes(terminal: &mut Terminal, time: Duration) -> usize {
    let until = clock::now() + time;
    let (mut last, mut changes) = (terminal.pixels(), 0);
    while terminal.frame(until).is_some() {
        let next = terminal.pixels();
        changes += usize::from(next.bytes() != last.bytes());
        last = next;
    }
    changes
}

/// Reads until a stamped picture that fits is seen, and returns its number.
fn seen(terminal: &mut Terminal, fits: impl Fn(u32) -> bool) -> u32 {
    let until = clock::now() + support::program::DEADLINE;
    loop {
        // The picture has the terminal's height and is centred.
        let pixels = terminal.pixels();
        let part = support::terminal::crop(&pixels, 8, 0, CLIP);
        if let Some(number) = stamp::read(&part).filter(|number| fits(*number)) {
            return number;
        }
        assert!(terminal.frame(until).is_some(), "no stamped picture is seen");
    }
}

/// The memory of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("statm"));
    let pages = text
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

/// An X server on a display of its own.
fn start_x(xvfb: &Path) -> (String, Killed) {
    let mut command = Command::new(xvfb);
    command.args([
        "-displayfd",
        "1",
        "-screen",
        "0",
        "1600x1200x24",
        "-nolisten",
        "tcp",
    ]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Xvfb runs");
    let stdout = child.stdout.take().expect("piped above");
    let mut number = String::new();
    let mut reader = BufReader::new(stdout);
    reader.read_line(&mut number).expect("Xvfb names its display");
    std::thread::spawn(move || std::io::copy(&mut reader.by_ref(), &mut std::io::sink()));
    (format!(":{}", number.trim()), Killed(child))
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
