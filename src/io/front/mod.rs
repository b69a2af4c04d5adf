//! What stands between the call and whoever is in it: the terminal, a program (headless), or the
//! built-in peer (an echo).

mod echo;
mod headless;
mod terminal;
mod wanted;

use std::sync::Arc;
use std::time::Instant;

pub use self::echo::EchoFront;
pub use self::headless::HeadlessFront;
pub use self::terminal::TerminalFront;
use super::decode::Show;
use super::slot::Slot;
use super::sound::{Devices, MicSource, SoundEvent, SpeakerSink, VoiceStats};
use crate::call::Event;
use crate::call::control::VideoId;
use crate::call::figures::Figures;
use crate::media::frame::I420;
use crate::media::jitter::VoicePacket;
use crate::signal::message::PeerId;
use crate::text::SafeText;
use crate::ui::state::{Invite, Tone};
use crate::units::Size;

/// What the front asks of the driver.
#[derive(Clone, Debug)]
pub enum Want {
    /// Switch the microphone.
    Mic(bool),
    /// Switch the camera.
    Camera(bool),
    /// So much of a picture can be shown.
    Viewport(VideoId, Size),
    /// Pictures a second that are wanted of all.
    Fps(u32),
    /// The built-in source of pictures goes on or pauses; nobody is told.
    Source(bool),
    /// The built-in voice goes on or pauses; nobody is told.
    Voice(bool),
    /// The source gives pictures of this size now.
    SourceSize(Size),
    /// Send an Opus packet.
    Say(Arc<[u8]>),
    /// Write to everyone.
    Chat(SafeText),
    /// Look up microphones and speakers.
    ListDevices,
    /// Take another microphone.
    Microphone(MicSource),
    /// Take another speaker.
    Speaker(SpeakerSink),
    /// Multiply a person's voice by so much.
    Volume(PeerId, f32),
    /// End the call, for this reason.
    Leave(&'static str),
}

/// What happened, for the front.
pub enum Happening<'a> {
    /// Something in the call.
    Call(&'a Event),
    /// Something in the sound (packets to send apart).
    Sound(&'a SoundEvent),
    /// A person's figures of the last second, with all that was gathered.
    Figures(&'a PeerId, &'a Report),
    /// The size of a person's picture, at first or anew.
    Picture(&'a VideoId, Size),
    /// In the room, which others reach like this.
    Invite(&'a Invite),
    /// A server was opened in this process.
    Serving(&'a Invite),
    /// The meeting point was lost, or is back.
    Signaling {
        /// It is there.
        up: bool,
        /// Why not.
        why: &'a str,
    },
    /// The devices to choose from, and the chosen ones.
    Choices(&'a Devices, &'a MicSource, &'a SpeakerSink),
    /// There is a camera (or a stand-in), or none.
    Camera(bool),
    /// The microphone or the camera was switched.
    Switched {
        /// The microphone is on.
        mic_on: bool,
        /// The camera is on.
        camera_on: bool,
    },
    /// A line for the user.
    Tell(Tone, &'a str),
    /// Something that failed, with a word for programs.
    Error(&'a str, &'a str),
    /// A second passed.
    Second,
    /// The call ends.
    Ended(&'a str),
}

/// Figures of a second, with what the sound and the decoder add.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// From the call.
    pub figures: Figures,
    /// From the jitter buffer.
    pub voice: VoiceStats,
    /// The received picture.
    pub size_in: Size,
    /// The received picture of a screen.
    pub screen_in: Size,
    /// The sent picture.
    pub size_out: Size,
}

/// A front.
pub enum Front {
    /// The terminal.
    Terminal(Box<TerminalFront>),
    /// JSON lines.
    Headless(Box<HeadlessFront>),
    /// The built-in peer.
    Echo(Box<EchoFront>),
}

impl Front {
    /// Waits for the user. Cancel-safe.
    pub async fn next(&mut self) -> Vec<Want> {
        match self {
            Front::Terminal(front) => front.next().await,
            Front::Headless(front) => front.next().await,
            Front::Echo(front) => front.next().await,
        }
    }

    /// Something happened; what follows from it.
    pub fn handle(&mut self, happening: &Happening<'_>, now: Instant) -> Vec<Want> {
        match self {
            Front::Terminal(front) => front.handle(happening, now),
            Front::Headless(front) => front.handle(happening, now),
            Front::Echo(front) => front.handle(happening, now),
        }
    }

    /// Hears a voice packet (the echo alone does).
    pub fn hear(&mut self, packet: &VoicePacket, now: Instant) {
        if let Front::Echo(front) = self {
            front.hear(packet, now);
        }
    }

    /// Where a picture is shown.
    pub fn show(&mut self, video: &VideoId) -> Show {
        match self {
            Front::Terminal(front) => front.show(video),
            Front::Headless(front) => front.show(),
            Front::Echo(front) => front.show(),
        }
    }

    /// Where the own picture is shown.
    pub fn own(&self) -> Option<Arc<Slot<I420>>> {
        match self {
            Front::Terminal(front) => Some(front.own()),
            _ => None,
        }
    }

    /// What keeps it from telling anything more.
    pub fn failure(&self) -> Option<String> {
        match self {
            Front::Headless(front) => front.failure(),
            _ => None,
        }
    }

    /// The end: what is still to be written is written, and the terminal is given back.
    pub fn finish(self) {
        match self {
            Front::Terminal(front) => drop(front),
            Front::Headless(front) => front.finish(),
            Front::Echo(_) => {}
        }
    }
}
