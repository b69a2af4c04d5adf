//! The audio thread: one thread, a clock of 10 ms.
//!
//! Each end has its own clock and drives its own half: a microphone's blocks are encoded as they come,
//! a speaker is given a block whenever it has room for one, and ends without a device (a tone, a file,
//! nothing) go by the system's clock, two blocks a turn. Between a device and this thread its clock is
//! resampled to the system's; between a sender and this thread the sender's is, in the playout.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use self::change::End;
use super::hear::Hear;
use super::ports::{Capture, Direction, Playback, Told};
use super::speak::Speak;
use super::{MicSource, SoundCommand, SoundConfig, SoundError, SoundEvent, SpeakerSink};
use crate::io::clock;
use crate::media::audio::BLOCK;
use crate::media::tone::Tone;
use crate::media::wav::{WavLoop, WavSink};

mod change;
#[cfg(test)]
mod tests;

/// A block's time.
const STEP: Duration = Duration::from_millis(10);
/// Between two turns where there is no device: a packet's time.
const TURN: Duration = Duration::from_millis(20);
/// Likewise where nothing is sent and nothing played, and only figures are kept.
const IDLE_TURN: Duration = Duration::from_millis(100);
/// After this long without a turn (a suspended machine) the time between is skipped.
const SKIP: Duration = Duration::from_millis(500);
/// Events that wait for room; the driver is stuck when there are more.
const WAITING: usize = 256;
/// Reports of devices that wait: each owner sends a few and then waits for its back-off.
const REPORTS: usize = 16;

enum Input {
    None,
    Tone(Tone),
    Wav(Box<WavLoop>),
    Device(Option<Box<Capture>>),
}

enum Output {
    None,
    Wav(WavSink),
    Device(Option<Box<Playback>>),
}

pub(super) struct AudioThread {
    config: SoundConfig,
    input: Input,
    output: Output,
    microphone: End,
    speaker: End,
    reports: SyncSender<Told>,
    reported: Receiver<Told>,
    speak: Speak,
    hear: Hear,
    commands: Receiver<SoundCommand>,
    out: Outbox,
    quit: Arc<AtomicBool>,
    /// When the next block is due where there is no device.
    due: Instant,
}

/// The way to the driver. What must not be lost waits here while the channel is full.
pub(super) struct Outbox {
    pub(super) events: Sender<SoundEvent>,
    pub(super) waiting: VecDeque<SoundEvent>,
}

impl AudioThread {
    pub(super) fn new(
        config: SoundConfig,
        mic: Option<WavLoop>,
        speaker: Option<WavSink>,
        commands: Receiver<SoundCommand>,
        events: Sender<SoundEvent>,
        quit: Arc<AtomicBool>,
    ) -> Result<Self, SoundError> {
        let input = match (&config.mic, mic) {
            (_, Some(wav)) => Input::Wav(Box::new(wav)),
            (MicSource::Tone, _) => Input::Tone(Tone::new()),
            (MicSource::Auto | MicSource::Device(_), _) => Input::Device(None),
            (MicSource::None | MicSource::Wav(_), None) => Input::None,
        };
        let output = match (&config.speaker, speaker) {
            (_, Some(wav)) => Output::Wav(wav),
            (SpeakerSink::Auto | SpeakerSink::Device(_), _) => Output::Device(None),
            (SpeakerSink::None | SpeakerSink::Wav(_), None) => Output::None,
        };
        let (reports, reported) = sync_channel(REPORTS);
        Ok(Self {
            input,
            output,
            microphone: End::default(),
            speaker: End::default(),
            reports,
            reported,
            speak: Speak::new(config.mic_on, config.echo_cancelled)?,
            hear: Hear::default(),
            commands,
            out: Outbox {
                events,
                waiting: VecDeque::new(),
            },
            quit,
            due: clock::now(),
            config,
        })
    }

    /// Runs until told to quit, or until nobody listens to the events.
    pub(super) fn run(mut self) {
        if let MicSource::Auto | MicSource::Device(_) = &self.config.mic {
            self.own(Direction::Capture);
        }
        if let SpeakerSink::Auto | SpeakerSink::Device(_) = &self.config.speaker {
            self.own(Direction::Playback);
        }
        if self.microphone.owner.is_none() && self.speaker.owner.is_none() {
            self.tell_devices();
        }
        while !self.quit.load(Ordering::Acquire) && !self.out.events.is_closed() {
            while let Ok((direction, number, report)) = self.reported.try_recv() {
                let end = match direction {
                    Direction::Capture => &self.microphone,
                    Direction::Playback => &self.speaker,
                };
                if number + 1 == end.next {
                    self.take_report(direction, report);
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command);
            }
            let now = clock::now();
            self.turn(now);
            self.out.flush();
            self.sleep();
        }
        if let Output::Wav(wav) = self.output
            && let Err(error) = wav.finish()
        {
            tracing::warn!("{error}");
        }
    }

    /// Does all that is due at `now`.
    fn turn(&mut self, now: Instant) {
        let mut block = [0.0; BLOCK];
        if let Output::Device(Some(playback)) = &mut self.output {
            self.hear.set_speaker(Some(playback.latency()));
            while playback.wants(now) {
                self.hear.block(now, &mut block, &mut self.out);
                playback.write(&block);
            }
            // Before what is captured: its echo is to be found there.
            while playback.played(&mut block) {
                self.speak.played(&block);
            }
        }
        if let Input::Device(Some(capture)) = &mut self.input {
            while capture.read(&mut block, now) {
                if !matches!(self.output, Output::Device(Some(_))) {
                    self.speak.played(&[0.0; BLOCK]);
                }
                let somebody = !self.hear.is_empty();
                let until = now.checked_sub(capture.queued()).unwrap_or(now);
                self.speak.captured(&mut block, until, somebody, &mut self.out);
            }
        }
        if now.saturating_duration_since(self.due) > SKIP {
            self.due = now;
        }
        while self.due <= now {
            let due = self.due;
            self.due += STEP;
            self.timed_output(due, &mut block);
            self.timed_input(due, &mut block);
        }
    }

    fn timed_output(&mut self, due: Instant, block: &mut [f32; BLOCK]) {
        match &mut self.output {
            Output::Device(Some(_)) => {}
            Output::None | Output::Device(None) if self.hear.is_empty() => {}
            Output::None | Output::Device(None) => {
                self.hear.set_speaker(None);
                self.hear.block(due, block, &mut self.out);
            }
            Output::Wav(wav) => {
                // Who plays the file hears it as it was mixed.
                self.hear.set_speaker(Some(Duration::ZERO));
                self.hear.block(due, block, &mut self.out);
                if let Err(error) = wav.write(block) {
                    self.output = Output::None;
                    self.out.send(SoundEvent::Notice(error.to_string()));
                    self.tell_devices();
                }
            }
        }
    }

    fn timed_input(&mut self, due: Instant, block: &mut [f32; BLOCK]) {
        match &mut self.input {
            Input::None | Input::Device(_) => return,
            Input::Tone(tone) => tone.fill(block),
            Input::Wav(wav) => {
                if let Err(error) = wav.fill(block) {
                    self.input = Input::None;
                    self.out.send(SoundEvent::Notice(error.to_string()));
                    return self.tell_devices();
                }
            }
        }
        let somebody = !self.hear.is_empty();
        self.speak.given(block, due, somebody, &mut self.out);
    }

    /// Waits for a device, a command, or the next turn.
    fn sleep(&self) {
        let speaks = matches!(self.input, Input::Tone(_) | Input::Wav(_));
        let hears = match self.output {
            Output::Wav(_) => true,
            Output::Device(Some(_)) => false,
            Output::None | Output::Device(None) => !self.hear.is_empty(),
        };
        let turn = if speaks || matches!(self.output, Output::Wav(_)) {
            TURN
        } else {
            IDLE_TURN
        };
        if speaks || hears || !self.out.waiting.is_empty() {
            // A turn's last block is due one step before its end.
            let until = self.due + (turn - STEP);
            std::thread::park_timeout(until.saturating_duration_since(clock::now()));
        } else {
            std::thread::park();
        }
    }

    fn obey(&mut self, command: SoundCommand) {
        match command {
            SoundCommand::AddPeer(peer) => self.hear.add(peer),
            SoundCommand::RemovePeer(peer) => self.hear.remove(&peer),
            SoundCommand::Packet(peer, packet) => self.hear.packet(&peer, packet),
            SoundCommand::Mic(on) => {
                let pending = match &self.input {
                    Input::Device(Some(capture)) => capture.pending(),
                    _ => Duration::ZERO,
                };
                self.speak.turn(on, pending);
            }
            SoundCommand::Microphone(source) => self.change_microphone(source),
            SoundCommand::Speaker(sink) => self.change_speaker(sink),
            SoundCommand::Volume(peer, factor) => self.hear.set_volume(peer, factor),
            SoundCommand::Floor(peer, floor) => self.hear.set_floor(&peer, floor),
            SoundCommand::List => self.list(),
            SoundCommand::Ring(chime) => self.hear.ring(chime),
            SoundCommand::Tune(tune) => self.speak.tune(tune),
        }
    }
}

impl Outbox {
    /// Tells the driver, later if there is no room now.
    pub(super) fn send(&mut self, event: SoundEvent) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(event);
        }
        self.flush();
    }

    /// Tells the driver, or not at all if there is no room: what is late is of no use.
    pub(super) fn send_or_drop(&mut self, event: SoundEvent) {
        let _ = self.events.try_send(event);
    }

    fn flush(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => return self.waiting.push_front(event),
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }
}
