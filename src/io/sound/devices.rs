//! Microphones and speakers through cpal: a thread for each direction opens the device, watches it,
//! and opens it again when it is lost.
//!
//! Opening may block for seconds, so it never happens on the audio thread. A callback touches only its
//! ring and wakes the audio thread. The first error of a stream ends it: some hosts repeat one millions
//! of times a second until the stream is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Thread;
use std::time::Duration;

use super::ports::{Direction, Report, Reports};
use crate::io::clock;

pub use find::list;
pub(super) use probe::probe;

#[path = "devices/find.rs"]
mod find;
#[path = "devices/probe.rs"]
mod probe;
#[path = "devices/stream.rs"]
mod stream;

/// The first wait before a device is tried again; each next one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest one.
const LAST_WAIT: Duration = Duration::from_secs(8);
/// A stream that lived so long was a good one, and the next wait is short again.
const GOOD: Duration = Duration::from_secs(10);
/// How often it is looked whether the device is still there, and still the system's choice.
const LOOK: Duration = Duration::from_secs(2);
/// A stream whose callback was not called for so long is dead.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the end waits for a device to be closed; a hung sound server holds up nobody.
const CLOSING: Duration = Duration::from_millis(300);

/// Keeps a device open until it is dropped.
pub(super) struct Owner {
    quit: Arc<AtomicBool>,
    thread: Thread,
    /// Where its end is waited for.
    ended: Option<Receiver<()>>,
}

/// Opens the device of this name (the system's, where there is none) and keeps it open. What becomes
/// of it is told through `reports` under `number`, and `audio` is woken for that and for each of its
/// callbacks. All but the first owner of a direction (number 0) say which device they opened.
///
/// `None` where the system cannot start a thread, which was reported.
pub(super) fn own(
    direction: Direction,
    number: u32,
    name: Option<String>,
    reports: Reports,
    audio: Thread,
) -> Option<Owner> {
    let quit = Arc::new(AtomicBool::new(false));
    let (ending, ended) = sync_channel(1);
    let keeper = Keeper {
        direction,
        number,
        name,
        reports: reports.clone(),
        audio,
        quit: quit.clone(),
        missing: false,
        chosen: number > 0,
        on_server: false,
        _ending: ending,
    };
    let spawned = std::thread::Builder::new()
        .name(direction.to_string())
        .spawn(move || keeper.run());
    match spawned {
        Ok(handle) => Some(Owner {
            quit,
            thread: handle.thread().clone(),
            ended: Some(ended),
        }),
        Err(error) => {
            let why = format!("no {direction}: cannot start its thread: {error}");
            // The channel has room for the first report of each direction.
            let _ = reports.try_send((direction, number, Report::Missing(why)));
            None
        }
    }
}

impl Owner {
    /// Lets the device go without waiting until it is closed.
    pub(super) fn retire(mut self) {
        self.ended = None;
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Release);
        self.thread.unpark();
        if let Some(ended) = &self.ended {
            // Ends when the keeper drops its end.
            let _ = ended.recv_timeout(CLOSING);
        }
    }
}

struct Keeper {
    direction: Direction,
    number: u32,
    name: Option<String>,
    reports: Reports,
    audio: Thread,
    quit: Arc<AtomicBool>,
    /// It was said that the device is missing.
    missing: bool,
    /// The next device that opens was chosen, which is worth a line.
    chosen: bool,
    /// The device was once reached through a sound server, which is waited for when it goes.
    on_server: bool,
    /// Dropped last.
    _ending: SyncSender<()>,
}

/// What a stream's callbacks tell its keeper.
struct Watch {
    failed: AtomicBool,
    why: SyncSender<String>,
    turns: AtomicU32,
    keeper: Thread,
}

impl Watch {
    fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a stream's error; only the first that is fatal counts.
    fn error(&self, error: &cpal::Error) {
        use cpal::ErrorKind::{DeviceChanged, RealtimeDenied, Xrun};
        if matches!(error.kind(), Xrun | DeviceChanged | RealtimeDenied) {
            return;
        }
        if !self.failed.swap(true, Ordering::AcqRel) {
            let _ = self.why.try_send(error.to_string());
            self.keeper.unpark();
        }
    }
}

/// How a stream ended.
enum End {
    /// It failed, for this reason.
    Lost(String),
    /// The system chose another device.
    Moved,
}

impl Keeper {
    fn run(mut self) {
        find::silence_libasound();
        let mut wait = FIRST_WAIT;
        while !self.quits() {
            let opened = clock::now();
            let why = match self.keep() {
                Ok(End::Moved) => {
                    self.chosen = true;
                    continue;
                }
                Ok(End::Lost(why)) => {
                    if clock::now().saturating_duration_since(opened) > GOOD {
                        wait = FIRST_WAIT;
                    }
                    format!("{} lost ({why}); waiting for it to return", self.direction)
                }
                Err(why) => why,
            };
            if self.quits() {
                return;
            }
            if !self.missing {
                self.missing = true;
                self.report(Report::Missing(why));
            }
            self.pause(wait);
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    /// Opens the device and watches it. Returns how it ended, or as an error why it did not open.
    fn keep(&mut self) -> Result<End, String> {
        let (sender, why) = sync_channel(1);
        let watch = Arc::new(Watch {
            failed: AtomicBool::new(false),
            why: sender,
            turns: AtomicU32::new(0),
            keeper: std::thread::current(),
        });
        let found = find::find(self.direction, self.name.as_deref(), self.on_server)?;
        let (stream, port) = stream::open(self.direction, &found.device, &watch, &self.audio)
            .map_err(|error| find::refusal(self.direction, self.name.as_deref(), &found, &error))?;
        self.on_server = found.on_server;
        tracing::info!("{} is {}", self.direction, found.name);
        self.report(port);
        let (missing, chosen) = (
            std::mem::take(&mut self.missing),
            std::mem::take(&mut self.chosen),
        );
        if missing || chosen {
            let is = if missing { "is back:" } else { "is now" };
            let news = format!("{} {is} {}", self.direction, found.name);
            self.report(Report::News(news));
        }
        let end = self.watch(&watch, &why, &found);
        drop(stream);
        Ok(end)
    }

    /// Waits until the stream fails, goes silent, is another's, or is no longer wanted.
    fn watch(&self, watch: &Watch, why: &Receiver<String>, found: &find::Found) -> End {
        let mut seen = watch.turns.load(Ordering::Relaxed);
        let mut since = clock::now();
        loop {
            std::thread::park_timeout(LOOK);
            if self.quits() {
                return End::Lost(String::new());
            }
            if watch.failed.load(Ordering::Acquire) {
                return End::Lost(why.try_recv().unwrap_or_else(|_| "unknown".into()));
            }
            if found.has_moved(self.direction) {
                return End::Moved;
            }
            if found.is_gone(self.direction) {
                return End::Lost("it was unplugged".into());
            }
            let (turns, now) = (watch.turns.load(Ordering::Relaxed), clock::now());
            if turns != seen {
                (seen, since) = (turns, now);
            } else if now.saturating_duration_since(since) >= SILENCE {
                return End::Lost("it went silent".into());
            }
        }
    }

    fn quits(&self) -> bool {
        self.quit.load(Ordering::Acquire)
    }

    fn pause(&self, wait: Duration) {
        let until = clock::now() + wait;
        loop {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() || self.quits() {
                return;
            }
            std::thread::park_timeout(left);
        }
    }

    fn report(&self, report: Report) {
        // Fails only when the audio thread has ended, and then nobody is interested.
        let _ = self.reports.send((self.direction, self.number, report));
        self.audio.unpark();
    }
}
