//! A device is opened once, to see whether it gives or takes sound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{current, park_timeout};
use std::time::Duration;

use super::{Watch, find, stream};
use crate::io::clock;
use crate::io::sound::Probed;
use crate::io::sound::ports::{Direction, Report};
use crate::media::audio::BLOCK;

/// The first callback comes within this time: a sound server may have to wake a card.
const FIRST_TURN: Duration = Duration::from_secs(2);

/// A microphone is listened to for so long: blocks of 10 ms.
const LISTEN: usize = 30;

/// Opens the device of this name (the system's, where there is none), waits until it runs, and closes it.
/// May hang where a sound server hangs.
///
/// # Errors
/// Why it does not run, and what to do.
pub(in crate::io::sound) fn probe(direction: Direction, name: Option<&str>) -> Result<Probed, String> {
    find::silence_libasound();
    let (sender, why) = sync_channel(1);
    let watch = Arc::new(Watch {
        failed: AtomicBool::new(false),
        why: sender,
        turns: AtomicU32::new(0),
        keeper: current(),
    });
    let found = find::find(direction, name, false)?;
    let (_stream, mut report) = stream::open(direction, &found.device, &watch, &current())
        .map_err(|error| find::refusal(direction, name, &found, &error))?;
    let until = clock::now() + FIRST_TURN;
    let (mut peak, mut heard) = (0.0_f32, 0);
    loop {
        if watch.failed.load(Ordering::Acquire) {
            let why = why.try_recv().unwrap_or_else(|_| "unknown".into());
            return Err(format!("no {direction}: {}: {why}", found.name));
        }
        let now = clock::now();
        if let Report::Microphone(capture) = &mut report {
            let mut block = [0.0; BLOCK];
            while capture.read(&mut block, now) {
                heard += 1;
                peak = block.iter().fold(peak, |peak, sample| peak.max(sample.abs()));
            }
        }
        let runs = watch.turns.load(Ordering::Relaxed) > 0;
        match direction {
            Direction::Playback if runs => break,
            // With less to be heard the end comes late, not never.
            Direction::Capture if heard >= LISTEN || (runs && now >= until) => break,
            _ if now >= until => {
                return Err(format!(
                    "no {direction}: {} is open and stays silent; look whether another program has it",
                    found.name
                ));
            }
            _ => park_timeout(until.saturating_duration_since(now)),
        }
    }
    Ok(Probed {
        name: found.name,
        peak: (direction == Direction::Capture).then_some(peak),
    })
}
