//! `facetty doctor`: what will work here, what will not, and what to do about it.
//!
//! Everything is checked side by side and as a call would use it: the camera shows a picture, the
//! microphone is listened to, a relay echoes a packet. Each check has a deadline of its own, and all of
//! them have one together.

mod devices;
mod judge;
mod nat;
mod report;
mod screen;
mod server;
mod stun;
mod turn;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use url::Url;

use self::judge::Network;
use self::report::{Check, Finding, Section, Style, Tally};
use super::clock;
use super::screen::color_depth;
use super::signals::{Asked, Signals};
use super::sound::{MicSource, SpeakerSink};
use super::source::CameraSource;
use super::terminal;
use crate::call::paths::{IcePolicy, Server, Service};
use crate::picture::ColorDepth;

/// The whole takes no longer.
const WITHIN: Duration = Duration::from_secs(10);

/// A meeting point is waited for so long; what it hands out is to be tried as well.
const SERVER_WITHIN: Duration = Duration::from_millis(5200);

/// What is checked.
#[derive(Clone, Debug)]
pub struct DoctorOptions {
    /// The meeting point.
    pub server: Option<Url>,
    /// STUN and TURN servers beside those that it hands out.
    pub ice_servers: Vec<Server>,
    /// Which ways may be used.
    pub ice_policy: IcePolicy,
    /// The camera.
    pub camera: CameraSource,
    /// The microphone.
    pub mic: MicSource,
    /// The speaker.
    pub speaker: SpeakerSink,
    /// Colours; `None`: what the environment says.
    pub depth: Option<ColorDepth>,
    /// For programs: a JSON object a line.
    pub json: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well, or goes on with less.
    Fine,
    /// Something fails.
    Failing,
    /// A signal of this number ended it.
    Interrupted(i32),
}

/// Checks that are told together, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Terminal,
    Camera,
    Microphone,
    Speaker,
    Server,
    Paths,
}

impl Group {
    const ALL: [Self; 6] = [
        Self::Terminal,
        Self::Camera,
        Self::Microphone,
        Self::Speaker,
        Self::Server,
        Self::Paths,
    ];

    /// The line that stands for it where it has none.
    fn check(self) -> Check {
        match self {
            Self::Terminal => Check::Terminal,
            Self::Camera => Check::Camera,
            Self::Microphone => Check::Microphone,
            Self::Speaker => Check::Speaker,
            Self::Server => Check::Server,
            Self::Paths => Check::Stun,
        }
    }

    /// What is waited for, in a word.
    fn word(self) -> &'static str {
        match self {
            Self::Paths => "STUN and TURN",
            group => group.check().name(),
        }
    }
}

/// Checks everything, and writes what it finds to standard output as it comes.
///
/// # Errors
/// Where standard output takes nothing, or signals cannot be taken.
pub async fn run(options: DoctorOptions) -> io::Result<Outcome> {
    let mut signals = Signals::new(false)?;
    let mut printer = Printer::new(&options);
    let deadline = clock::now() + WITHIN;
    let (found, mut findings) = mpsc::channel(Group::ALL.len());
    let mut tasks = JoinSet::new();
    start(options, &found, &mut tasks);
    drop(found);
    let mut waiting: BTreeMap<Group, Vec<Finding>> = BTreeMap::new();
    let mut left = Group::ALL.to_vec();
    let outcome = loop {
        while let Some(group) = left.first()
            && let Some(findings) = waiting.remove(group)
        {
            printer.print(&findings)?;
            left.remove(0);
        }
        if left.is_empty() {
            break printer.end()?;
        }
        printer.wait_for(&left, &waiting)?;
        tokio::select! {
            found = findings.recv() => match found {
                Some((group, findings)) => drop(waiting.insert(group, findings)),
                None => give_up(&left, &mut waiting, "it ended without a word", "please report this"),
            },
            () = sleep_until(deadline.into()) => {
                give_up(&left, &mut waiting, "it takes too long", "try again, with less else to do");
            }
            asked = signals.next() => if let Asked::End(number, _) = asked {
                printer.wipe()?;
                break Outcome::Interrupted(number);
            },
        }
    };
    terminal::restore();
    Ok(outcome)
}

/// Starts all checks.
fn start(options: DoctorOptions, found: &mpsc::Sender<(Group, Vec<Finding>)>, tasks: &mut JoinSet<()>) {
    let mut check = |group, findings: std::pin::Pin<Box<dyn Future<Output = Vec<Finding>> + Send>>| {
        let found = found.clone();
        tasks.spawn(async move {
            let _ = found.send((group, findings.await)).await;
        });
    };
    // A program that reads JSON has its own idea of the terminal.
    check(Group::Terminal, Box::pin(screen::check(options.depth)));
    check(Group::Camera, Box::pin(devices::camera(options.camera)));
    check(Group::Microphone, Box::pin(devices::microphone(options.mic)));
    check(Group::Speaker, Box::pin(devices::speaker(options.speaker)));
    let found = found.clone();
    let (server, own, policy) = (options.server, options.ice_servers, options.ice_policy);
    tasks.spawn(async move {
        let joined = timeout(SERVER_WITHIN, server::check(server)).await;
        let (finding, handed_out) = joined.unwrap_or_else(|_| {
            let remedy = "check the address, this machine's network and any firewall between";
            let finding = Finding::failure(Check::Server, "it does not answer", remedy);
            (finding, Vec::new())
        });
        let _ = found
            .send((Group::Server, vec![server::addresses(), finding]))
            .await;
        let mut servers: Vec<Server> = own;
        servers.extend(handed_out);
        let (stun, turn) = servers
            .into_iter()
            .partition(|server| server.service == Service::Stun);
        let ((stun, view), turn) = tokio::join!(stun::ask(stun), turn::ask(turn));
        let network = Network {
            policy,
            stun: &stun,
            view: &view,
            turn: &turn,
        };
        let _ = found.send((Group::Paths, network.judge())).await;
    });
}

/// What has not come will not.
fn give_up(left: &[Group], waiting: &mut BTreeMap<Group, Vec<Finding>>, why: &str, remedy: &str) {
    for group in left {
        waiting
            .entry(*group)
            .or_insert_with(|| vec![Finding::failure(group.check(), why, remedy)]);
    }
}

/// Writes the report.
struct Printer {
    out: io::Stdout,
    json: bool,
    style: Style,
    section: Option<Section>,
    tally: Tally,
    /// The last line says what is waited for.
    is_waiting: bool,
}

impl Printer {
    fn new(options: &DoctorOptions) -> Self {
        let out = io::stdout();
        let get = |name: &str| std::env::var(name).ok();
        let is_tty = out.is_terminal();
        let depth = options.depth.unwrap_or_else(|| color_depth(get));
        // Those have no glyph for a tick, or are read aloud.
        let has_marks = is_tty && !get("TERM").is_some_and(|term| term == "dumb" || term == "linux");
        Self {
            json: options.json,
            style: Style {
                is_terminal: has_marks,
                is_coloured: has_marks && depth != ColorDepth::Mono,
                width: is_tty.then(|| usize::from(terminal::size().cols)),
            },
            out,
            section: None,
            tally: Tally::default(),
            is_waiting: false,
        }
    }

    fn print(&mut self, findings: &[Finding]) -> io::Result<()> {
        self.wipe()?;
        for finding in findings {
            self.tally.count(finding.verdict);
            let lines = match self.json {
                true => serde_json::to_string(finding).map_err(io::Error::other)? + "\n",
                false => self.headed(finding.check.section()) + &finding.lines(self.style),
            };
            self.out.write_all(lines.as_bytes())?;
        }
        self.out.flush()
    }

    /// The heading, where another section begins.
    fn headed(&mut self, section: Section) -> String {
        let is_first = self.section.is_none();
        if self.section.replace(section) == Some(section) {
            return String::new();
        }
        let heading = match self.style.is_terminal {
            true => format!("\x1b[1m{}\x1b[22m", section.heading()),
            false => section.heading().to_owned(),
        };
        let before = if is_first { "" } else { "\n" };
        format!("{before}{heading}\n")
    }

    /// Says in the last line, until the next one is written, what is still waited for.
    fn wait_for(&mut self, left: &[Group], waiting: &BTreeMap<Group, Vec<Finding>>) -> io::Result<()> {
        // The terminal is asked about itself until its lines are there.
        let is_asked = left.contains(&Group::Terminal);
        let Some(width) = self
            .style
            .width
            .filter(|_| self.style.is_terminal && !self.json && !is_asked)
        else {
            return Ok(());
        };
        self.wipe()?;
        let words = left.iter().filter(|group| !waiting.contains_key(group));
        let words: Vec<_> = words.map(|group| group.word()).collect();
        let text = format!("  … {}", words.join(", "));
        let text: String = text.chars().take(width.saturating_sub(1)).collect();
        write!(self.out, "\x1b[2m{text}\x1b[22m")?;
        self.is_waiting = true;
        self.out.flush()
    }

    fn wipe(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_waiting) {
            self.out.write_all(b"\r\x1b[K")?;
        }
        self.out.flush()
    }

    fn end(&mut self) -> io::Result<Outcome> {
        match self.json {
            true => writeln!(self.out, "{}", json!({ "summary": self.tally }))?,
            false => writeln!(self.out, "\n{}", self.tally.sentence())?,
        }
        self.out.flush()?;
        Ok(match self.tally.failures {
            0 => Outcome::Fine,
            _ => Outcome::Failing,
        })
    }
}
