//! A device is opened once, to see whether it gives or takes sound.

use std::sync::mpsc::sync_channel;
use std::thread::{current, park_timeout};
use std::time::Duration;

use super::own;
use crate::io::clock;
use crate::io::sound::Probed;
use crate::io::sound::ports::{Capture, Direction, Playback, Report};
use crate::media::audio::BLOCK;

/// A device opens and runs within this time: a sound server may have to wake a card, and another one may be
/// tried before it.
const RUNS_WITHIN: Duration = Duration::from_secs(5);

/// A microphone is listened to for so long: blocks of 10 ms.
const LISTEN: usize = 30;

/// A device that was opened.
enum Port {
    Microphone(Box<Capture>, String),
    Speaker(Box<Playback>, String),
}

/// Opens the device of this name (the system's, where there is none) as in a call, waits until it runs, and
/// closes it.
///
/// # Errors
/// Why it does not run, and what to do.
pub(in crate::io::sound) fn probe(direction: Direction, name: Option<&str>) -> Result<Probed, String> {
    let (reports, reported) = sync_channel(8);
    let _owner = own(direction, 0, name.map(str::to_owned), reports, current());
    let until = clock::now() + RUNS_WITHIN;
    let (mut port, mut peak, mut heard) = (None, 0.0_f32, 0);
    loop {
        while let Ok((.., report)) = reported.try_recv() {
            match report {
                Report::Microphone(capture, name) => port = Some(Port::Microphone(capture, name)),
                Report::Speaker(playback, name) => port = Some(Port::Speaker(playback, name)),
                Report::Missing(why) => return Err(why),
                Report::News(_) => {}
            }
        }
        let now = clock::now();
        match &mut port {
            Some(Port::Speaker(playback, name)) if playback.runs() => {
                let name = std::mem::take(name);
                return Ok(Probed { name, peak: None });
            }
            Some(Port::Microphone(capture, name)) => {
                let mut block = [0.0; BLOCK];
                while capture.read(&mut block, now) {
                    heard += 1;
                    peak = block.iter().fold(peak, |peak, sample| peak.max(sample.abs()));
                }
                // With less to be heard the end comes late, not never.
                if heard >= LISTEN || (heard > 0 && now >= until) {
                    let name = std::mem::take(name);
                    return Ok(Probed {
                        name,
                        peak: Some(peak),
                    });
                }
            }
            Some(Port::Speaker(..)) | None => {}
        }
        if now >= until {
            return Err(match &port {
                Some(Port::Microphone(_, name) | Port::Speaker(_, name)) => {
                    format!(
                        "no {direction}: {name} is open and stays silent; look whether another program has it"
                    )
                }
                None => format!("no {direction}: the system does not open one in time; restart its sound"),
            });
        }
        park_timeout(until.saturating_duration_since(now));
    }
}
