//! What the audio thread speaks into and hears from, and how that changes in mid-call.

use super::{AudioThread, Input, Output};
use crate::io::sound::devices::{self, Owner};
use crate::io::sound::ports::{Direction, Report};
use crate::io::sound::{MicSource, SoundEvent, SpeakerSink};
use crate::media::tone::Tone;
use crate::media::wav::{WavLoop, WavSink};

/// Who has a device at present.
#[derive(Default)]
pub(super) struct End {
    pub(super) owner: Option<Owner>,
    /// The number of the next owner.
    pub(super) next: u32,
}

impl AudioThread {
    /// Looks the devices up on a thread of its own: the system may take its time.
    pub(super) fn list(&self) {
        let events = self.out.events.clone();
        let looked = std::thread::Builder::new().name("devices".into()).spawn(move || {
            // Fails only when nobody listens any more.
            let _ = events.blocking_send(SoundEvent::Choices(devices::list()));
        });
        if let Err(error) = looked {
            tracing::warn!("devices cannot be looked up: {error}");
        }
    }

    /// Lets somebody else have the device of this direction, and whoever had one go.
    pub(super) fn own(&mut self, direction: Direction) {
        let (end, name) = match (direction, &self.config.mic, &self.config.speaker) {
            (Direction::Capture, MicSource::Device(name), _) => (&mut self.microphone, Some(name.clone())),
            (Direction::Capture, ..) => (&mut self.microphone, None),
            (Direction::Playback, _, SpeakerSink::Device(name)) => (&mut self.speaker, Some(name.clone())),
            (Direction::Playback, ..) => (&mut self.speaker, None),
        };
        let number = end.next;
        end.next += 1;
        if let Some(before) = end.owner.take() {
            before.retire();
        }
        let reports = self.reports.clone();
        end.owner = devices::own(direction, number, name, reports, std::thread::current());
    }

    /// Takes another source of the own voice.
    pub(super) fn change_microphone(&mut self, source: MicSource) {
        self.input = match &source {
            MicSource::Auto | MicSource::Device(_) => Input::Device(None),
            MicSource::None => Input::None,
            MicSource::Tone => Input::Tone(Tone::new()),
            MicSource::Wav(path) => match WavLoop::open(path) {
                Ok(wav) => Input::Wav(Box::new(wav)),
                Err(error) => return self.out.send(SoundEvent::Notice(error.to_string())),
            },
        };
        self.speak.end();
        let device = matches!(self.input, Input::Device(_));
        self.config.mic = source;
        if device {
            return self.own(Direction::Capture);
        }
        self.microphone.let_go();
        self.tell_devices();
    }

    /// Takes another end of the others' voices.
    pub(super) fn change_speaker(&mut self, sink: SpeakerSink) {
        let output = match &sink {
            SpeakerSink::Auto | SpeakerSink::Device(_) => Output::Device(None),
            SpeakerSink::None => Output::None,
            SpeakerSink::Wav(path) => match WavSink::create(path) {
                Ok(wav) => Output::Wav(wav),
                Err(error) => return self.out.send(SoundEvent::Notice(error.to_string())),
            },
        };
        if let Output::Wav(wav) = std::mem::replace(&mut self.output, output)
            && let Err(error) = wav.finish()
        {
            tracing::warn!("{error}");
        }
        let device = matches!(self.output, Output::Device(_));
        self.config.speaker = sink;
        if device {
            return self.own(Direction::Playback);
        }
        self.speaker.let_go();
        self.tell_devices();
    }

    pub(super) fn take_report(&mut self, direction: Direction, report: Report) {
        match report {
            Report::Microphone(capture, _) => {
                self.input = Input::Device(Some(capture));
                self.speak.begin();
            }
            Report::Speaker(playback, _) => self.output = Output::Device(Some(playback)),
            Report::News(what) => return self.out.send(SoundEvent::Notice(what)),
            Report::Missing(why) => {
                match direction {
                    Direction::Capture => self.input = Input::Device(None),
                    Direction::Playback => self.output = Output::Device(None),
                }
                self.out.send(SoundEvent::Notice(why));
            }
        }
        self.tell_devices();
    }

    pub(super) fn tell_devices(&mut self) {
        let has_mic = !matches!(self.input, Input::None | Input::Device(None));
        let has_speaker = !matches!(self.output, Output::None | Output::Device(None));
        self.out.send(SoundEvent::Devices { has_mic, has_speaker });
    }
}

impl End {
    /// Nobody has the device any more; what its owner still says is not minded.
    fn let_go(&mut self) {
        self.next += 1;
        if let Some(owner) = self.owner.take() {
            owner.retire();
        }
    }
}
