//! Devices without a sound server between: opened through cpal, watched, and left for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Thread;
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{Device, Host, Stream};

use super::find::{self, Candidate};
use super::{End, Keeper, stream};
use crate::io::clock;
use crate::io::sound::Devices;
use crate::io::sound::ports::{Direction, Report};

/// How often it is looked whether the device is still there, and still the system's choice.
const LOOK: Duration = Duration::from_secs(2);
/// A stream whose callback was not called for so long is dead.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the system may take to open a device until that is said.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a stream's callbacks tell its keeper.
pub(super) struct Watch {
    failed: AtomicBool,
    why: SyncSender<String>,
    turns: AtomicU32,
    keeper: Thread,
}

impl Watch {
    pub(super) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a stream's error; only the first that is fatal counts.
    pub(super) fn error(&self, error: &cpal::Error) {
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

/// A device that was found.
struct Found {
    device: Candidate<Device>,
    host: Host,
    /// It is the system's choice, which may change.
    follows: bool,
}

/// A device that was opened.
struct Opened {
    stream: Stream,
    report: Report,
    found: Found,
}

/// The devices that can be chosen by name.
pub(super) fn list() -> Devices {
    silence_libasound();
    let host = host();
    let names = |direction| {
        let mut all = everything(&host, direction);
        all.retain(|candidate| !candidate.is_monitor() && !is_converter(candidate));
        all.iter().map(|c| c.shown(&all)).collect()
    };
    Devices {
        microphones: names(Direction::Capture),
        speakers: names(Direction::Playback),
    }
}

impl Keeper {
    /// The device that was named is one of the system's own.
    pub(super) fn is_hardware(&self) -> bool {
        let Some(name) = &self.name else {
            return false;
        };
        silence_libasound();
        find::place(&everything(&host(), self.direction), name).is_some()
    }

    /// Opens the device and watches it. Returns how it ended, or as an error why it did not open.
    pub(super) fn keep_hardware(&mut self) -> Result<End, String> {
        let (sender, why) = sync_channel(1);
        let watch = Arc::new(Watch {
            failed: AtomicBool::new(false),
            why: sender,
            turns: AtomicU32::new(0),
            keeper: std::thread::current(),
        });
        let Opened {
            stream,
            report,
            found,
        } = self.open_in_time(&watch)?;
        tracing::info!("{} is {}", self.direction, found.device.name);
        self.announce(Some(report), &found.device.name);
        let end = self.watch_hardware(&watch, &why, &found);
        drop(stream);
        Ok(end)
    }

    /// Opens it on a thread of its own. Whoever hangs in the system's hands is told of, and waited for: one
    /// thread is all that is ever lost there.
    fn open_in_time(&mut self, watch: &Arc<Watch>) -> Result<Opened, String> {
        let (direction, name) = (self.direction, self.name.clone());
        let (watch, audio) = (watch.clone(), self.audio.clone());
        let (sender, opened) = sync_channel(1);
        std::thread::Builder::new()
            .name(format!("{direction} opening"))
            .spawn(move || {
                silence_libasound();
                // Fails only when it is not wanted any more.
                let _ = sender.send(open(direction, name.as_deref(), &watch, &audio));
            })
            .map_err(|error| format!("no {direction}: cannot start its thread: {error}"))?;
        let mut patience = PATIENCE;
        loop {
            match opened.recv_timeout(patience) {
                Ok(opened) => return opened,
                Err(RecvTimeoutError::Disconnected) => return Err(find::none(direction)),
                Err(RecvTimeoutError::Timeout) if self.quits() => return Err(String::new()),
                Err(RecvTimeoutError::Timeout) => {
                    let what = self.name.as_deref().unwrap_or("the system's");
                    let remedy = find::remedy(direction);
                    self.miss(format!("no {direction}: {what} does not open; {remedy}"));
                    patience = LOOK;
                }
            }
        }
    }

    /// Waits until the stream fails, goes silent, is another's, or is no longer wanted.
    fn watch_hardware(&self, watch: &Watch, why: &Receiver<String>, found: &Found) -> End {
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
            if found.has_moved(self.direction) || (found.follows && self.is_served()) {
                return End::Moved;
            }
            let (turns, now) = (watch.turns.load(Ordering::Relaxed), clock::now());
            if turns != seen {
                (seen, since) = (turns, now);
            } else if now.saturating_duration_since(since) >= SILENCE {
                return End::Lost("it went silent".into());
            }
        }
    }
}

impl Keeper {
    /// There are only the system's own devices.
    #[cfg(not(target_os = "linux"))]
    fn is_served(&self) -> bool {
        false
    }
}

impl Found {
    /// The system's choice is another one now. ALSA's never is: it has but a name for it.
    fn has_moved(&self, direction: Direction) -> bool {
        if !self.follows || cfg!(target_os = "linux") {
            return false;
        }
        // While there is none, what is open is as good as any.
        standard(&self.host, direction).is_some_and(|now| now.id != self.device.id)
    }
}

/// Keeps libasound from printing on this thread: with no card it writes eight lines to standard error
/// for each device it is asked for, and what matters of them is in the error that it returns.
fn silence_libasound() {
    #[cfg(target_os = "linux")]
    if let Err(error) = alsa::Output::local_error_handler() {
        tracing::debug!("libasound goes on printing: {error}");
    }
}

/// The system's own sound.
fn host() -> Host {
    cpal::default_host()
}

/// Finds the device of this name, or the system's, and opens it.
fn open(
    direction: Direction,
    name: Option<&str>,
    watch: &Arc<Watch>,
    audio: &Thread,
) -> Result<Opened, String> {
    let found = find(direction, name)?;
    let device = &found.device;
    let (stream, report) = stream::open(direction, device, watch, audio).map_err(|error| {
        // The system's choice may be the name of nothing.
        if name.is_none() && error.kind() == cpal::ErrorKind::DeviceNotAvailable {
            return find::none(direction);
        }
        let error = error.to_string();
        let error = error.trim_end_matches('.');
        let remedy = find::remedy(direction);
        format!("no {direction}: {}: {error}; {remedy}", device.name)
    })?;
    Ok(Opened {
        stream,
        report,
        found,
    })
}

/// The device of this name, or the system's.
fn find(direction: Direction, name: Option<&str>) -> Result<Found, String> {
    let host = host();
    let device = match name {
        None => standard(&host, direction).ok_or_else(|| find::none(direction))?,
        Some(name) => {
            let mut all = everything(&host, direction);
            let Some(place) = find::place(&all, name) else {
                all.retain(|candidate| !is_converter(candidate));
                return Err(find::unknown(direction, name, &all));
            };
            all.swap_remove(place)
        }
    };
    Ok(Found {
        device,
        host,
        follows: name.is_none(),
    })
}

/// What the system would use.
fn standard(host: &Host, direction: Direction) -> Option<Candidate<Device>> {
    candidate(&match direction {
        Direction::Capture => host.default_input_device(),
        Direction::Playback => host.default_output_device(),
    }?)
}

/// All that can be opened.
fn everything(host: &Host, direction: Direction) -> Vec<Candidate<Device>> {
    let devices: Vec<Device> = match direction {
        Direction::Capture => host.input_devices().map(Iterator::collect),
        Direction::Playback => host.output_devices().map(Iterator::collect),
    }
    .unwrap_or_default();
    devices.iter().filter_map(candidate).collect()
}

fn candidate(device: &Device) -> Option<Candidate<Device>> {
    let id = device.id().ok()?;
    let name = match device.description() {
        Ok(description) => description.name().to_owned(),
        Err(_) => id.id().to_owned(),
    };
    Some(Candidate {
        device: device.clone(),
        name,
        full: id.to_string(),
        id: id.id().to_owned(),
    })
}

/// It is one of ALSA's converters and bridges, which are no devices of their own.
fn is_converter(candidate: &Candidate<Device>) -> bool {
    let is_card = candidate.id.contains("CARD=") || matches!(candidate.id.as_str(), "default" | "pipewire");
    candidate.full.starts_with("alsa:") && !is_card
}
