//! Two people in terminals: how soon and how late they see each other, and what that costs.

use std::time::{Duration, Instant};

use facetty::io::clock;
use facetty::media::stamp;
use facetty::units::{Cells, Size};

use crate::feed::{Drain, Feed, joins, make_fifo};
use crate::support::files::FPS;
use crate::support::program::{DEADLINE, Program, Server, person};
use crate::support::terminal::{Terminal, crop};

const TERMINAL: Cells = Cells::new(80, 24);

/// What [`starts_and_glass`] found.
pub struct Glass {
    /// From the second person's start to the first picture on their screen, each in milliseconds.
    pub starts: Vec<f64>,
    /// From before a frame enters the first person's standard input to its being in the second one's
    /// byte stream, each in milliseconds.
    pub latencies: Vec<f64>,
    /// Frames that were sent in that time.
    pub sent: usize,
}

/// What [`cost`] found; a person's figures are the mean of both.
pub struct Cost {
    /// Cores.
    pub cpu: f64,
    /// Resident memory.
    pub rss_mb: f64,
    /// UDP payload one way by the loopback device's counters: frames less their headers, half of it.
    pub kbps_counted: f64,
    /// UDP payload one way by the `stats` events of two headless people with the same viewport.
    pub kbps_told: f64,
    /// Frames written to the terminal.
    pub frames_a_second: f64,
    /// Bytes written to the terminal.
    pub terminal_kb_a_second: f64,
}

/// Ann's camera is a stream of stamped frames; Bob joins again and again, and then stays and watches.
pub fn starts_and_glass(starts: usize, watch: Duration) -> Glass {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let fifo = folder.path().join("camera");
    make_fifo(&fifo);
    let server = Server::start();
    let feed = Feed::start(&fifo);
    let mut ann = Terminal::start(
        TERMINAL,
        &joins(&server, "ann", &["--camera", "y4m:-"]),
        Some(&fifo),
    );
    ann.until("ann waits", |screen| screen.contents().contains("alone in lobby"));
    let drain = Drain::start(ann);

    let bob = joins(&server, "bob", &["--camera", "test"]);
    let mut place = None;
    let mut glass = Glass {
        starts: Vec::new(),
        latencies: Vec::new(),
        sent: 0,
    };
    // The first start finds where the picture lies and is not counted.
    for start in 0..=starts {
        let began = clock::now();
        let mut bob = Terminal::start(TERMINAL, &bob, None);
        let seen = first_picture(&mut bob, &mut place, began);
        if start > 0 {
            glass.starts.push(seen.duration_since(began).as_secs_f64() * 1e3);
        }
        if start == starts {
            let place = place.expect("a picture was seen");
            glass.latencies = latencies(&mut bob, place, &feed, watch);
            glass.sent = (watch.as_secs_f64() * f64::from(FPS)) as usize;
        }
        bob.type_keys("q");
        bob.ended();
    }
    drain.stop();
    feed.stop();
    glass
}

/// Two people with the test picture and a tone.
pub fn cost(duration: Duration) -> Cost {
    let server = Server::start();
    let start = |name| Terminal::start(TERMINAL, &joins(&server, name, &["--camera", "test"]), None);
    let mut ann = start("ann");
    ann.until("ann waits", |screen| screen.contents().contains("alone in lobby"));
    let mut bob = start("bob");
    bob.until("bob sees ann", |screen| screen.contents().contains("ann"));
    let pids = [ann.pid(), bob.pid()];
    let drain = Drain::start(ann);
    // The line is explored for some seconds after the first picture.
    bob.watch(Duration::from_secs(5));
    let (before, loopback, began) = (pids.map(cpu_seconds), Loopback::now(), clock::now());
    let (frames, bytes) = bob.watch(duration);
    let seconds = clock::now().duration_since(began).as_secs_f64();
    let after = pids.map(cpu_seconds);
    let kbps_counted = loopback.payload_kbit_since() / seconds / 2.0;
    let cpu = (after[0] + after[1] - before[0] - before[1]) / seconds / 2.0;
    let rss_mb = pids.map(rss_mb).iter().sum::<f64>() / 2.0;
    bob.type_keys("q");
    bob.ended();
    drain.stop();
    Cost {
        cpu,
        rss_mb,
        kbps_counted,
        kbps_told: kbps_told(&server),
        frames_a_second: frames as f64 / seconds,
        terminal_kb_a_second: bytes as f64 / seconds / 1e3,
    }
}

/// Two headless people tell what they send; the mean of the last five seconds of ten.
fn kbps_told(server: &Server) -> f64 {
    let viewport = format!(r#"{{"do":"viewport","width":{},"height":{},"fps":30}}"#, 80, 46);
    let start = |name| {
        let mut program = Program::start(&person(
            server,
            "told",
            name,
            &["--camera", "test", "--mic", "tone"],
        ));
        program.tell(&viewport);
        program
    };
    let (mut ann, mut bob) = (start("ann"), start("bob"));
    for person in [&mut ann, &mut bob] {
        person.event("first-frame");
    }
    let mut told = Vec::new();
    for second in 0..15 {
        for person in [&mut ann, &mut bob] {
            // The process's own figures, which name no peer, come as an event of their own.
            let stats = person.event_where("stats", |s| s["send_kbps"].is_number());
            if second >= 5 {
                told.push(stats["send_kbps"].as_f64().expect("a number"));
            }
        }
    }
    told.iter().sum::<f64>() / told.len() as f64
}

/// Where on the screen's square pixels the picture lies.
#[derive(Clone, Copy)]
struct Place {
    x: usize,
    y: usize,
    size: Size,
}

impl Place {
    fn read(self, terminal: &Terminal) -> Option<u32> {
        stamp::read(&crop(&terminal.pixels(), self.x, self.y, self.size))
    }

    /// Every place where a picture of the camera's aspect may lie that fills the terminal's width.
    fn all() -> impl Iterator<Item = Self> {
        let (width, height) = (u32::from(TERMINAL.cols), u32::from(TERMINAL.rows) * 2);
        (40..=height).rev().flat_map(move |tall| {
            (0..=(height - tall) as usize).map(move |y| Self {
                x: 0,
                y,
                size: Size::new(width, tall),
            })
        })
    }
}

/// Reads until a stamped picture is on the screen and returns when it had arrived.
fn first_picture(terminal: &mut Terminal, place: &mut Option<Place>, began: Instant) -> Instant {
    let until = began + DEADLINE;
    let mut last = Vec::new();
    while let Some(at) = terminal.frame(until) {
        match place {
            Some(place) if place.read(terminal).is_some() => return at,
            Some(_) => (),
            // A place is the right one where successive numbers are read at it: one may be chance.
            None => {
                let now: Vec<(Place, u32)> = Place::all()
                    .filter_map(|p| Some((p, p.read(terminal)?)))
                    .collect();
                let goes_on = |(p, n): &&(Place, u32)| {
                    let before = |(q, m): &(Place, u32)| {
                        q.y == p.y && q.size == p.size && (*m + 1..*m + 4).contains(n)
                    };
                    last.iter().any(before)
                };
                *place = now.iter().find(goes_on).map(|(p, _)| *p);
                last = now;
            }
        }
    }
    panic!("no picture; the screen is\n{}", terminal.screen().contents());
}

/// For each frame that is seen in this time, how old it is when it is first seen.
fn latencies(terminal: &mut Terminal, place: Place, feed: &Feed, watch: Duration) -> Vec<f64> {
    // What the line carries is explored for some seconds after the first picture.
    terminal.watch(Duration::from_secs(5));
    let mut found = Vec::new();
    let (until, mut newest) = (clock::now() + watch, None);
    while let Some(at) = terminal.frame(until) {
        let Some(n) = place.read(terminal).filter(|&n| newest.is_none_or(|m| n > m)) else {
            continue;
        };
        if let Some(sent) = feed.sent(n) {
            found.push(at.saturating_duration_since(sent).as_secs_f64() * 1e3);
            newest = Some(n);
        }
    }
    found
}

/// Processor time that the process and its threads have had.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which is in parentheses and may hold anything: utime and stime, fields 14 and 15.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |n: usize| {
        fields
            .get(n)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(f64::NAN)
    };
    (ticks(11) + ticks(12)) / 100.0
}

fn rss_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kb = status.lines().find_map(|l| {
        l.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<f64>()
            .ok()
    });
    kb.unwrap_or(f64::NAN) / 1000.0
}

/// The loopback device's counters.
struct Loopback {
    bytes: f64,
    packets: f64,
    packets_v6: f64,
}

impl Loopback {
    /// IPv4 20, UDP 8; the device counts what it hands up, without Ethernet's header.
    const HEADERS: f64 = 28.0;
    /// What the header of IPv6 has more.
    const V6_MORE: f64 = 20.0;

    fn now() -> Self {
        let field = |file: &str, line: &str, n: usize| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let fields = text.lines().find_map(|l| l.trim().strip_prefix(line));
            let field = fields.and_then(|f| f.split_whitespace().nth(n)?.parse().ok());
            field.unwrap_or(f64::NAN)
        };
        Self {
            bytes: field("/proc/net/dev", "lo:", 0),
            packets: field("/proc/net/dev", "lo:", 1),
            packets_v6: field("/proc/net/snmp6", "Udp6OutDatagrams", 0),
        }
    }

    fn payload_kbit_since(&self) -> f64 {
        let now = Self::now();
        let headers =
            Self::HEADERS * (now.packets - self.packets) + Self::V6_MORE * (now.packets_v6 - self.packets_v6);
        (now.bytes - self.bytes - headers) * 8.0 / 1e3
    }
}
