//! Without a terminal: events leave as JSON lines on standard output, commands come as JSON lines on
//! standard input.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::clock;
use crate::media::frame::Picture;
use crate::media::y4m;
use crate::units::Size;

/// Lines that may wait for a slow reader; then lines are left out.
const LINES: usize = 1024;

/// The longest command line taken, in bytes.
const LONGEST_COMMAND: u64 = 64 * 1024;

/// Decoded pictures that may wait for the file.
const PICTURES: usize = 32;

/// Where the remote picture goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ScreenSink {
    /// Nowhere.
    #[default]
    None,
    /// Into a YUV4MPEG2 file.
    Y4m(PathBuf),
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// Switch the microphone.
    Mic {
        /// On.
        on: bool,
    },
    /// Switch the camera.
    Camera {
        /// On.
        on: bool,
    },
    /// Show so much of everyone.
    Viewport {
        /// Square pixels across.
        width: u32,
        /// Square pixels down.
        height: u32,
        /// Pictures a second.
        fps: u32,
    },
    /// Write to everyone.
    Chat {
        /// What.
        text: String,
    },
    /// Leave.
    Leave,
}

/// What comes from standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A command.
    Order(Order),
    /// A line that is none, and why.
    Wrong(String),
}

/// Writes events; a thread of its own does it, so that a reader who stalls stalls nothing.
pub struct Events {
    lines: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    /// Why nothing more can be written, where that is not the reader's wish.
    failure: Arc<OnceLock<io::Error>>,
    start: Instant,
}

impl Events {
    /// Events with times since `start`.
    pub fn start(start: Instant) -> Self {
        let (lines, queue) = sync_channel::<String>(LINES);
        let failure = Arc::new(OnceLock::new());
        let failed = Arc::clone(&failure);
        let thread = std::thread::Builder::new()
            .name("events".into())
            .spawn(move || {
                let mut out = std::io::stdout();
                while let Ok(line) = queue.recv() {
                    if let Err(error) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
                        if error.kind() != io::ErrorKind::BrokenPipe {
                            let _ = failed.set(error);
                        }
                        return;
                    }
                }
            })
            .expect("the system starts a thread");
        Self {
            lines: Some(lines),
            thread: Some(thread),
            failure,
            start,
        }
    }

    /// Why nothing more can be written: a full disk, say. That a reader went is none.
    pub fn failure(&self) -> Option<String> {
        self.failure.get().map(ToString::to_string)
    }

    /// Writes an event. Returns false where nobody reads any more.
    pub fn emit(&self, event: &str, fields: impl Serialize) -> bool {
        let since = clock::now().saturating_duration_since(self.start);
        let mut object = json!({ "event": event, "t_ms": round(since.as_secs_f64() * 1000.0, 1) });
        if let (Value::Object(object), Ok(Value::Object(fields))) =
            (&mut object, serde_json::to_value(fields))
        {
            object.extend(fields);
        }
        let line = format!("{object}\n");
        let sent = self.lines.as_ref().map(|lines| lines.try_send(line));
        !matches!(sent, Some(Err(TrySendError::Disconnected(_))))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.lines = None;
        wait_a_while(self.thread.take());
    }
}

/// Tells of what kept a call from beginning: an `error`, and that it ended.
pub fn tell_failure(code: &str, message: &str, start: Instant) {
    let events = Events::start(start);
    events.emit("error", json!({ "code": code, "message": message }));
    events.emit("ended", json!({ "reason": code }));
}

/// Waits for a thread that writes what is queued; one whose reader stalls is left behind.
fn wait_a_while(thread: Option<JoinHandle<()>>) {
    let Some(thread) = thread else { return };
    let deadline = clock::now() + Duration::from_secs(1);
    while !thread.is_finished() && clock::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Reads commands from standard input on a thread of its own, until its end; not from a terminal in
/// whose background this runs (`facetty --headless … &`), which would stop the process.
pub fn read_commands(lines: mpsc::Sender<Line>) {
    if is_in_background(std::io::stdin()) {
        tracing::debug!("in the background of a terminal: no commands are read from it");
        return;
    }
    let spawned = std::thread::Builder::new()
        .name("commands".into())
        .spawn(move || {
            let mut input = BufReader::new(std::io::stdin());
            let mut line = Vec::new();
            loop {
                line.clear();
                match input.by_ref().take(LONGEST_COMMAND).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return, // the end of input is not a command
                    Ok(_) if line.trim_ascii().is_empty() => {}
                    Ok(_) => {
                        if lines.blocking_send(parse(&line)).is_err() {
                            return;
                        }
                    }
                }
            }
        });
    spawned.expect("the system starts a thread");
}

/// Whether `input` is a terminal that belongs to other processes for now.
#[cfg(unix)]
fn is_in_background(input: impl std::os::fd::AsFd) -> bool {
    // Of another session's terminal the system does not say, and does not stop its readers either.
    rustix::termios::tcgetpgrp(input).is_ok_and(|foreground| foreground != rustix::process::getpgrp())
}

#[cfg(not(unix))]
fn is_in_background(_: std::io::Stdin) -> bool {
    false
}

fn parse(line: &[u8]) -> Line {
    match serde_json::from_slice(line) {
        Ok(order) => Line::Order(order),
        Err(error) => Line::Wrong(format!("not a command: {error}")),
    }
}

/// A number rounded to so many decimals, as JSON shows it.
pub fn round(number: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (number * scale).round() / scale
}

impl ScreenSink {
    /// What is asked of the others until a `viewport` command says something else.
    pub fn viewport(&self) -> Size {
        match self {
            ScreenSink::None => Size::new(160, 90),
            ScreenSink::Y4m(_) => Size::new(640, 480),
        }
    }
}

impl fmt::Display for ScreenSink {
    /// As `--screen` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Y4m(path) => write!(f, "y4m:{}", path.display()),
        }
    }
}

impl FromStr for ScreenSink {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            Some(("y4m", "-")) => Err("standard output carries the events; name a file or a FIFO".into()),
            Some(("y4m", path)) if !path.is_empty() => Ok(Self::Y4m(path.into())),
            _ => Err("none or y4m:PATH is wanted".into()),
        }
    }
}

/// Writes pictures into a file on a thread of its own; a picture that comes while too many wait is
/// left out.
pub struct PictureFile {
    pictures: Option<SyncSender<Picture>>,
    failure: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl PictureFile {
    /// Creates the file (opening a FIFO waits for its reader, on the thread).
    ///
    /// # Errors
    /// Where an ordinary file cannot be created.
    pub fn create(path: PathBuf, fps: u32) -> std::io::Result<Self> {
        let fifo = is_fifo(&path);
        let file = if fifo { None } else { Some(File::create(&path)?) };
        let (pictures, queue) = sync_channel::<Picture>(PICTURES);
        let (failed, failure) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("picture file".into())
            .spawn(move || {
                let write = || -> std::io::Result<()> {
                    let file = file.map_or_else(|| File::create(&path), Ok)?;
                    let mut writer = y4m::Writer::new(BufWriter::new(file), (fps, 1));
                    while let Ok(picture) = queue.recv() {
                        writer.write(&picture)?;
                    }
                    Ok(())
                };
                if let Err(error) = write() {
                    let path = path.display();
                    let _ = failed.try_send(format!(
                        "{path} takes no more pictures: {error}; the call goes on"
                    ));
                }
            })
            .expect("the system starts a thread");
        Ok(Self {
            pictures: Some(pictures),
            failure,
            thread: Some(thread),
        })
    }

    /// Why nothing is written any more; told once.
    pub fn failure(&self) -> Option<String> {
        self.failure.try_recv().ok()
    }

    /// A way in.
    pub fn sender(&self) -> Option<SyncSender<Picture>> {
        self.pictures.clone()
    }

    /// Waits for what is queued to be written, once every [`PictureFile::sender`] is gone; a FIFO
    /// whose reader stalls is given up on.
    pub fn finish(mut self) {
        self.pictures = None;
        wait_a_while(self.thread.take());
    }
}

#[cfg(unix)]
fn is_fifo(path: &std::path::Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_fifo(_: &std::path::Path) -> bool {
    false
}

/// CPU time used and memory held by this process, where the system tells.
#[derive(Default)]
pub struct Usage {
    last: Option<(Instant, f64)>,
}

impl Usage {
    /// Cores used since the last call, and resident megabytes.
    pub fn sample(&mut self, now: Instant) -> Option<(f64, f64)> {
        let cpu = cpu_seconds()?;
        let resident = resident_megabytes()?;
        let (then, before) = self.last.replace((now, cpu)).unwrap_or((now, cpu));
        let elapsed = now.saturating_duration_since(then).as_secs_f64();
        Some((
            if elapsed > 0.0 {
                (cpu - before) / elapsed
            } else {
                0.0
            },
            resident,
        ))
    }
}

#[cfg(unix)]
fn cpu_seconds() -> Option<f64> {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9)
}

#[cfg(not(unix))]
fn cpu_seconds() -> Option<f64> {
    None
}

/// From `/proc`, so on Linux alone.
fn resident_megabytes() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_and_others_named() {
        let order = |text: &str| parse(text.as_bytes());
        assert_eq!(
            order(r#"{"do":"mic","on":false}"#),
            Line::Order(Order::Mic { on: false })
        );
        assert_eq!(
            order(r#"{"do":"viewport","width":160,"height":96,"fps":30}"#),
            Line::Order(Order::Viewport {
                width: 160,
                height: 96,
                fps: 30
            })
        );
        assert_eq!(
            order(r#"{"do":"chat","text":"hi"}"#),
            Line::Order(Order::Chat { text: "hi".into() })
        );
        assert_eq!(order(r#"{"do":"leave"}"#), Line::Order(Order::Leave));
        for wrong in ["", "[]", r#"{"do":"fly"}"#, r#"{"do":"mic"}"#, "\u{1b}[2J"] {
            assert!(matches!(order(wrong), Line::Wrong(_)), "{wrong}");
        }
    }

    #[test]
    fn the_screen_is_none_or_a_file() {
        assert_eq!("none".parse(), Ok(ScreenSink::None));
        assert_eq!("y4m:a".parse(), Ok(ScreenSink::Y4m("a".into())));
        assert!("y4m:-".parse::<ScreenSink>().is_err());
        assert!("png:a".parse::<ScreenSink>().is_err());
    }
}
