//! Sound: microphone, speaker, and the one thread between them and the call.
//!
//! ```text
//! capture callback ─ ring ─▶ ┌ audio thread ────────────────────┐
//! tone, WAV file ──────────▶ │ clean ▸ Opus ──────────────────▶ │ ─ SoundEvent (bounded) ─▶ driver
//!        ring ─────────────▶ │   ▴ what was played              │
//! playback callback ◀ ring ─ │ limit ◂ mix ◂ Opus ◂ jitter ◀─── │ ◀ SoundCommand (bounded) ─ driver
//! WAV file ◀──────────────── └──────────────────────────────────┘
//!      ▲ streams are opened, watched and reopened by a thread for each direction
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::call::VoiceTune;
use crate::media::audio::CodecError;
use crate::media::chime::Chime;
use crate::media::jitter::VoicePacket;
use crate::media::wav::{WavError, WavLoop, WavSink};
use crate::signal::message::PeerId;

#[cfg(feature = "sound")]
mod devices;
#[cfg(not(feature = "sound"))]
#[path = "no_devices.rs"]
mod devices;
mod ends;
mod hear;
mod ports;
mod speak;
mod thread;

pub use devices::list;
pub use ends::{MicSource, ParseError, SpeakerSink};

/// What sound is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundConfig {
    /// Where the own voice comes from.
    pub mic: MicSource,
    /// Where the others' voices go.
    pub speaker: SpeakerSink,
    /// The microphone is on at the start.
    pub mic_on: bool,
    /// What the speaker plays is taken out of what the microphone captures.
    pub echo_cancelled: bool,
}

/// What the audio thread is told.
#[derive(Clone, Debug)]
pub enum SoundCommand {
    /// Somebody whose voice will come, and who wants ours.
    AddPeer(PeerId),
    /// That one went.
    RemovePeer(PeerId),
    /// A packet of their voice; of one that was not added it is dropped.
    Packet(PeerId, VoicePacket),
    /// Turns the microphone on or off.
    Mic(bool),
    /// Takes another microphone from now on.
    Microphone(MicSource),
    /// Takes another speaker from now on.
    Speaker(SpeakerSink),
    /// Sets by what factor somebody's voice is multiplied (1 at first); remembered while they are away.
    Volume(PeerId, f32),
    /// Holds somebody's voice back for at least so long: their pictures come later.
    Floor(PeerId, Duration),
    /// Looks the devices up, which takes a while; [`SoundEvent::Choices`] follows.
    List,
    /// Plays a chime.
    Ring(Chime),
    /// How voice is to be encoded.
    Tune(VoiceTune),
}

/// What the audio thread tells.
#[derive(Clone, Debug, PartialEq)]
pub enum SoundEvent {
    /// One Opus packet (20 to 60 ms) for everyone. In silence one comes about every 400 ms; none come while
    /// the microphone is off or nobody was added. Dropped when the channel is full.
    Voice {
        /// 48 kHz media time of the first sample; it goes on through pauses.
        time: u64,
        /// The packet.
        data: Vec<u8>,
        /// Its loudness, 0 (−60 dBFS and below) to 1 (0 dBFS).
        level: f32,
    },
    /// The own microphone, at most ten times a second and only when it changed; also while it is off.
    Level {
        /// 0 (−60 dBFS and below) to 1 (0 dBFS).
        level: f32,
        /// A voice is in it.
        talking: bool,
    },
    /// Somebody began or ended to talk.
    Talking(PeerId, bool),
    /// The first voice of somebody was played.
    FirstAudio(PeerId),
    /// How somebody's voice comes, once a second.
    PeerStats(PeerId, VoiceStats),
    /// Which ends there are (a tone or a file counts as one).
    Devices {
        /// Something to speak into.
        has_mic: bool,
        /// Something to hear from.
        has_speaker: bool,
    },
    /// The devices that were asked for.
    Choices(Devices),
    /// One clear line for the user.
    Notice(String),
}

/// How one peer's voice comes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VoiceStats {
    /// The time that voice is held back by the jitter buffer, in milliseconds.
    pub jitter_ms: f32,
    /// What it takes from its arrival to the ear; `None` where there is no speaker.
    pub to_ear: Option<Duration>,
    /// The share of the last second's voice that had to be concealed, 0 to 1.
    pub concealed: f32,
    /// Packets of the last second that came too late.
    pub late: u64,
    /// Packets of the last second that did not come.
    pub lost: u64,
}

/// The devices there are, by the names that `--mic` and `--speaker` take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// What can be spoken into.
    pub microphones: Vec<String>,
    /// What can be heard from.
    pub speakers: Vec<String>,
}

/// A device that was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// What it calls itself.
    pub name: String,
    /// The loudest sample of a third of a second, 0 to 1; `None` for a speaker.
    pub peak: Option<f32>,
}

/// Tries the microphone of this name (the system's, where there is none). Blocks; may hang where a sound
/// server hangs.
///
/// # Errors
/// Why it gives nothing, and what to do.
pub fn probe_microphone(name: Option<&str>) -> Result<Probed, String> {
    devices::probe(ports::Direction::Capture, name)
}

/// Likewise, a speaker; nothing is to be heard.
///
/// # Errors
/// Why it takes nothing, and what to do.
pub fn probe_speaker(name: Option<&str>) -> Result<Probed, String> {
    devices::probe(ports::Direction::Playback, name)
}

/// Why sound cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    /// The microphone's file.
    #[error("--mic: {0}")]
    Mic(WavError),
    /// The speaker's file.
    #[error("--speaker: {0}")]
    Speaker(WavError),
    /// The codec.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The thread.
    #[error("cannot start the audio thread: {0}")]
    Thread(std::io::Error),
}

/// The running sound. Dropping it ends it and finishes the files.
pub struct Sound {
    commands: SyncSender<SoundCommand>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Commands that may wait: a tenth of a second of packets from a hundred peers.
const COMMANDS: usize = 512;

/// Starts sound. A device that is missing or broken is no error but a [`SoundEvent::Notice`]; it is
/// taken when it comes.
///
/// # Errors
///
/// A WAV file that cannot be read or written, and a system out of threads or memory.
pub fn start(
    config: SoundConfig,
    events: tokio::sync::mpsc::Sender<SoundEvent>,
) -> Result<Sound, SoundError> {
    let loop_of = |path: &PathBuf| WavLoop::open(path).map_err(SoundError::Mic);
    let mic = match &config.mic {
        MicSource::Wav(path) => Some(loop_of(path)?),
        _ => None,
    };
    let speaker = match &config.speaker {
        SpeakerSink::Wav(path) => Some(WavSink::create(path).map_err(SoundError::Speaker)?),
        _ => None,
    };
    let (commands, received) = sync_channel(COMMANDS);
    let quit = Arc::new(AtomicBool::new(false));
    let ended = quit.clone();
    let (begun, beginning) = sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("audio".into())
        // What cleans the voice stays where it was made.
        .spawn(
            move || match thread::AudioThread::new(config, mic, speaker, received, events, ended) {
                Ok(audio) => {
                    let _ = begun.send(Ok(()));
                    audio.run();
                }
                Err(error) => {
                    let _ = begun.send(Err(error));
                }
            },
        )
        .map_err(SoundError::Thread)?;
    beginning.recv().expect("the thread tells how it began")?;
    Ok(Sound {
        commands,
        quit,
        thread: Some(thread),
    })
}

impl Sound {
    /// Tells the audio thread; never waits. False where it has too much to do, or has ended.
    pub fn send(&self, command: SoundCommand) -> bool {
        // Packets wait for the thread's next step, at most some milliseconds away; to be woken for
        // each would double its work.
        let wake = !matches!(command, SoundCommand::Packet(..));
        match self.commands.try_send(command) {
            Ok(()) => {
                if wake {
                    self.wake();
                }
                true
            }
            Err(error) => {
                // It may be parked with nothing but packets.
                if matches!(error, TrySendError::Full(_)) {
                    self.wake();
                }
                false
            }
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Sound {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
