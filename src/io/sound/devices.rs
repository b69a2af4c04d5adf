//! Microphones and speakers: a thread for each direction opens the device, watches it, and opens it again
//! or another one when it is lost.
//!
//! Opening may block for seconds, so it never happens on the audio thread. A device's turn touches only
//! its ring and wakes the audio thread. On Linux a sound server is spoken to directly; where there is none,
//! and elsewhere, cpal has the device. The first error of its stream ends it: some hosts repeat one
//! millions of times a second until the stream is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Thread;
use std::time::Duration;

use super::Devices;
use super::ports::{Direction, Report, Reports};
use crate::io::clock;

pub(super) use probe::probe;

mod find;
mod flow;
mod hardware;
mod probe;
#[cfg(target_os = "linux")]
mod pulse;
mod stream;

/// The first wait before a device is tried again; each next one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest one.
const LAST_WAIT: Duration = Duration::from_secs(8);
/// A stream that lived so long was a good one, and the next wait is short again.
const GOOD: Duration = Duration::from_secs(10);
/// How long the end waits for a device to be closed; a hung system holds up nobody.
const CLOSING: Duration = Duration::from_millis(300);

/// The devices that can be chosen by name.
pub fn list() -> Devices {
    #[cfg(target_os = "linux")]
    if let Some(devices) = pulse::list() {
        return devices;
    }
    hardware::list()
}

/// Keeps a device open until it is dropped.
pub(super) struct Owner {
    quit: Arc<Quit>,
    thread: Thread,
    /// Where its end is waited for.
    ended: Option<Receiver<()>>,
}

/// Opens the device of this name (the system's, where there is none) and keeps it open. What becomes
/// of it is told through `reports` under `number`, and `audio` is woken for that and for each of its
/// turns. All but the first owner of a direction (number 0) say which device they opened.
///
/// `None` where the system cannot start a thread, which was reported.
pub(super) fn own(
    direction: Direction,
    number: u32,
    name: Option<String>,
    reports: Reports,
    audio: Thread,
) -> Option<Owner> {
    let (ending, ended) = sync_channel(1);
    let spawned = Quit::new().and_then(|quit| {
        let quit = Arc::new(quit);
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
            passed: Vec::new(),
            because: None,
            follows: false,
            chosen_by_server: None,
            _ending: ending,
        };
        let thread = std::thread::Builder::new().name(direction.to_string());
        Ok((quit, thread.spawn(move || keeper.run())?))
    });
    match spawned {
        Ok((quit, handle)) => Some(Owner {
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
        self.quit.ask();
        self.thread.unpark();
        if let Some(ended) = &self.ended {
            // Ends when the keeper drops its end.
            let _ = ended.recv_timeout(CLOSING);
        }
    }
}

/// How a keeper is told to let its device go, wherever it waits.
struct Quit {
    asked: AtomicBool,
    /// Can be read once it was asked.
    #[cfg(target_os = "linux")]
    wake: std::os::fd::OwnedFd,
}

impl Quit {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            asked: AtomicBool::new(false),
            #[cfg(target_os = "linux")]
            wake: rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?,
        })
    }

    fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        // Fails only where it was written to 2^64 times.
        #[cfg(target_os = "linux")]
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
struct Keeper {
    direction: Direction,
    number: u32,
    name: Option<String>,
    reports: Reports,
    audio: Thread,
    quit: Arc<Quit>,
    /// It was said that the device is missing.
    missing: bool,
    /// The next device that opens was chosen, which is worth a line.
    chosen: bool,
    /// The device was once reached through a sound server, which is waited for when it goes.
    on_server: bool,
    /// The server's choice is followed.
    follows: bool,
    /// What the server chose when that was last looked at.
    chosen_by_server: Option<String>,
    /// The server's devices that were left because they do nothing.
    passed: Vec<String>,
    /// Why the next device that opens is not the one before.
    because: Option<String>,
    /// Dropped last.
    _ending: SyncSender<()>,
}

/// How a stream ended.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
enum End {
    /// It failed, for this reason.
    Lost(String),
    /// It does nothing, as this line says.
    Dead(String),
    /// Another device is to be taken.
    Moved,
}

impl Keeper {
    fn run(mut self) {
        let mut wait = FIRST_WAIT;
        while !self.quits() {
            let opened = clock::now();
            let why = match self.keep() {
                Ok(End::Moved) => {
                    self.chosen = true;
                    continue;
                }
                Ok(End::Dead(why)) => why,
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
            self.miss(why);
            self.pause(wait);
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    /// Opens the device and watches it. Returns how it ended, or as an error why it did not open.
    fn keep(&mut self) -> Result<End, String> {
        #[cfg(target_os = "linux")]
        match self.keep_served() {
            Ok(Some(end)) => return Ok(end),
            Ok(None) => {}
            Err(pulse::Trouble::Absent) if !self.on_server => {}
            Err(trouble) => {
                let (direction, remedy) = (self.direction, trouble.remedy());
                return Err(format!("no {direction}: {trouble}{remedy}"));
            }
        }
        self.keep_hardware()
    }

    /// Hands an open device over, and says so where that is worth a line.
    fn announce(&mut self, report: Option<Report>, name: &str) {
        if let Some(report) = report {
            self.report(report);
        }
        let (missing, chosen) = (
            std::mem::take(&mut self.missing),
            std::mem::take(&mut self.chosen),
        );
        if missing || chosen {
            let is = if missing { "is back:" } else { "is now" };
            let because = self.because.take().map(|why| format!(" ({why})"));
            let because = because.unwrap_or_default();
            let news = format!("{} {is} {name}{because}", self.direction);
            self.report(Report::News(news));
        }
    }

    /// Says that there is no device, if that was not said yet.
    fn miss(&mut self, why: String) {
        if !std::mem::replace(&mut self.missing, true) {
            self.report(Report::Missing(why));
        }
    }

    fn quits(&self) -> bool {
        self.quit.asked.load(Ordering::Acquire)
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
