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

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::media::audio::CodecError;
use crate::media::chime::Chime;
use crate::media::jitter::VoicePacket;
use crate::media::wav::{WavError, WavLoop, WavSink};
use crate::signal::message::PeerId;
use crate::units::Bitrate;

#[cfg(feature = "sound")]
mod devices;
#[cfg(not(feature = "sound"))]
#[path = "no_devices.rs"]
mod devices;
mod hear;
mod ports;
mod speak;
mod thread;

pub use devices::list;

/// Where the own voice comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MicSource {
    /// The system's microphone.
    #[default]
    Auto,
    /// Nowhere: nothing is sent.
    None,
    /// A beep: 440 Hz at −20 dBFS, 0.7 s on and 0.3 s off.
    Tone,
    /// The microphone of this name.
    Device(String),
    /// A WAV file, looped.
    Wav(PathBuf),
}

/// Where the others' voices go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpeakerSink {
    /// The system's speaker.
    #[default]
    Auto,
    /// Nowhere.
    None,
    /// The speaker of this name.
    Device(String),
    /// A WAV file (48 kHz, mono, 16 bits), which gets what would be heard.
    Wav(PathBuf),
}

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
    /// How voice is to be sent: the rate, and the share of packets that get lost, 0 to 1.
    Tune {
        /// For one copy, without headers.
        bitrate: Bitrate,
        /// As the receivers report it.
        loss: f32,
    },
}

/// What the audio thread tells.
#[derive(Clone, Debug, PartialEq)]
pub enum SoundEvent {
    /// One Opus packet (20 ms) for everyone. In silence one comes about every 400 ms; none come while
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

/// What is wrong with the value of `--mic` or `--speaker`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is none.
    #[error("empty; give auto, none, {0}wav:PATH, or a device's name (see `facetty devices`)")]
    Empty(&'static str),
    /// `wav:` without its file.
    #[error("wav: lacks its file; give wav:PATH")]
    NoPath,
    /// A speaker cannot be a tone.
    #[error(
        "a tone can be heard into (--mic tone), but not played to; give auto, none, wav:PATH, or a device's name"
    )]
    ToneSpeaker,
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
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
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

impl FromStr for MicSource {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "" => Err(ParseError::Empty("tone, ")),
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            "tone" => Ok(Self::Tone),
            _ => match text.strip_prefix("wav:") {
                Some("") => Err(ParseError::NoPath),
                Some(path) => Ok(Self::Wav(path.into())),
                None => Ok(Self::Device(text.into())),
            },
        }
    }
}

impl FromStr for SpeakerSink {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "" => Err(ParseError::Empty("")),
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            "tone" => Err(ParseError::ToneSpeaker),
            _ => match text.strip_prefix("wav:") {
                Some("") => Err(ParseError::NoPath),
                Some(path) => Ok(Self::Wav(path.into())),
                None => Ok(Self::Device(text.into())),
            },
        }
    }
}

impl fmt::Display for MicSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Tone => f.write_str("tone"),
            Self::Device(name) => f.write_str(name),
            Self::Wav(path) => write!(f, "wav:{}", path.display()),
        }
    }
}

impl fmt::Display for SpeakerSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Device(name) => f.write_str(name),
            Self::Wav(path) => write!(f, "wav:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::io::clock;

    fn peer(name: &str) -> PeerId {
        PeerId::try_from(name.to_owned()).expect("a good name")
    }

    /// Brings each packet of `from` to `to`, until `enough` says so.
    fn carry(from: &mut Receiver<SoundEvent>, to: &Sound, mut enough: impl FnMut(&SoundEvent) -> bool) {
        let mut seq = 7;
        while let Some(event) = from.blocking_recv() {
            if enough(&event) {
                return;
            }
            if let SoundEvent::Voice { time, data, .. } = event {
                let packet = VoicePacket {
                    seq,
                    time,
                    data: data.into(),
                    arrived: clock::now(),
                };
                seq += 1;
                assert!(to.send(SoundCommand::Packet(peer("a"), packet)));
            }
        }
        panic!("the audio thread ended by itself");
    }

    #[test]
    fn a_tone_goes_in_here_and_into_a_file_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let heard = folder.path().join("heard.wav");
        let (events, mut voice) = channel(64);
        let here = SoundConfig {
            mic: MicSource::Tone,
            speaker: SpeakerSink::None,
            mic_on: true,
            echo_cancelled: true,
        };
        let here = start(here, events).expect("no device is needed");
        let (events, mut told) = channel(64);
        let there = SoundConfig {
            mic: MicSource::None,
            speaker: SpeakerSink::Wav(heard.clone()),
            mic_on: true,
            echo_cancelled: true,
        };
        let there = start(there, events).expect("no device is needed");
        assert!(here.send(SoundCommand::AddPeer(peer("b"))));
        assert!(there.send(SoundCommand::AddPeer(peer("a"))));
        let mut seen = Vec::new();
        carry(&mut voice, &there, |_| {
            while let Ok(event) = told.try_recv() {
                seen.push(event);
            }
            let stats = |event: &&SoundEvent| matches!(event, SoundEvent::PeerStats(..));
            seen.iter().filter(stats).count() == 2
        });
        drop(there);
        assert!(seen.contains(&SoundEvent::FirstAudio(peer("a"))), "{seen:?}");
        assert!(seen.contains(&SoundEvent::Talking(peer("a"), true)), "{seen:?}");
        let devices = SoundEvent::Devices {
            has_mic: false,
            has_speaker: true,
        };
        assert!(seen.contains(&devices), "{seen:?}");
        let mut wav = hound::WavReader::open(&heard).expect("a finished file");
        assert_eq!(wav.duration() % 480, 0);
        let samples: Vec<i16> = wav.samples().map(|s| s.expect("a sample")).collect();
        assert!(samples.len() >= 90_000, "{} samples", samples.len());
        let loud = samples.iter().filter(|s| s.unsigned_abs() > 1500).count();
        assert!(loud > samples.len() / 5, "{loud} of {}", samples.len());
    }

    #[test]
    fn what_is_muted_is_not_sent_but_measured() {
        let (events, mut told) = channel(64);
        let config = SoundConfig {
            mic: MicSource::Tone,
            speaker: SpeakerSink::None,
            mic_on: false,
            echo_cancelled: true,
        };
        let sound = start(config, events).expect("no device is needed");
        assert!(sound.send(SoundCommand::AddPeer(peer("b"))));
        let mut next = || told.blocking_recv().expect("the thread runs");
        loop {
            match next() {
                SoundEvent::Voice { .. } => panic!("sent while muted"),
                SoundEvent::Level { level, talking } => {
                    assert!((0.0..=1.0).contains(&level));
                    if talking && level > 0.5 {
                        break;
                    }
                }
                _ => {}
            }
        }
        assert!(sound.send(SoundCommand::Mic(true)));
        while !matches!(next(), SoundEvent::Voice { .. }) {}
    }

    #[test]
    fn a_bad_file_is_told_at_once() {
        let (events, _told) = channel(1);
        let config = SoundConfig {
            mic: MicSource::Wav("/nowhere/voice.wav".into()),
            speaker: SpeakerSink::None,
            mic_on: true,
            echo_cancelled: true,
        };
        let said = start(config.clone(), events.clone()).map(drop);
        let said = said.expect_err("there is no file").to_string();
        assert!(
            said.starts_with("--mic: cannot open /nowhere/voice.wav"),
            "{said}"
        );
        let config = SoundConfig {
            mic: MicSource::None,
            speaker: SpeakerSink::Wav("/nowhere/heard.wav".into()),
            ..config
        };
        let said = start(config, events).map(drop);
        let said = said.expect_err("there is no folder").to_string();
        assert!(
            said.starts_with("--speaker: cannot write /nowhere/heard.wav"),
            "{said}"
        );
    }

    #[test]
    fn a_full_queue_refuses_and_never_waits() {
        // A full channel of events stops nothing either.
        let (events, _told) = channel(1);
        let config = SoundConfig {
            mic: MicSource::None,
            speaker: SpeakerSink::None,
            mic_on: true,
            echo_cancelled: true,
        };
        let sound = start(config, events).expect("no device is needed");
        let began = clock::now();
        let packet = VoicePacket {
            seq: 0,
            time: 0,
            data: Arc::new([]),
            arrived: began,
        };
        // Nobody was added, so that the thread sleeps and takes nothing once it has begun.
        let refused = (0..1_000_000).any(|_| !sound.send(SoundCommand::Packet(peer("x"), packet.clone())));
        assert!(refused);
        drop(sound);
        assert!(clock::now() - began < Duration::from_secs(5));
    }

    #[test]
    fn each_value_of_the_options_is_itself_again() {
        for text in ["auto", "none", "tone", "wav:a b.wav", "USB Microphone"] {
            let mic: MicSource = text.parse().expect("a good value");
            assert_eq!(mic.to_string(), text);
        }
        for text in ["auto", "none", "wav:x/y.wav", "Built-in: speaker"] {
            let speaker: SpeakerSink = text.parse().expect("a good value");
            assert_eq!(speaker.to_string(), text);
        }
        assert_eq!("wav:".parse::<MicSource>(), Err(ParseError::NoPath));
        assert_eq!("tone".parse::<SpeakerSink>(), Err(ParseError::ToneSpeaker));
        assert!("".parse::<MicSource>().is_err());
    }
}
