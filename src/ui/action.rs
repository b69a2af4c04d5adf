//! What happens to the interface, and what it asks for.

use crossterm::event::KeyEvent;

use super::state::{Devices, Invite, Path, PathKind, Signaling, Stats, Tone};
use crate::call::control::VideoId;
use crate::signal::message::PeerId;
use crate::text::SafeText;
use crate::units::{Cells, Size};

/// Something happened.
#[derive(Clone, Debug)]
pub enum Action {
    /// A key was pressed, repeated or released.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has another size.
    Resize(Cells),
    /// So many square pixels are seen on a cell.
    Cell(Size),
    /// The socket's state.
    Signaling(Signaling),
    /// In the room; this is how others come.
    Invite(Invite),
    /// Somebody came.
    PeerJoined(PeerId, SafeText),
    /// Somebody went.
    PeerLeft(PeerId),
    /// A person's path changed.
    Path(PeerId, Path),
    /// Through which kind of path a person is reached by now, while there is one.
    PathKind(PeerId, PathKind),
    /// A person's microphone and camera.
    PeerMute {
        /// Who.
        peer: PeerId,
        /// The microphone is on.
        mic_on: bool,
        /// The camera is on.
        camera_on: bool,
    },
    /// A person wrote.
    Chat(PeerId, SafeText),
    /// A picture has this size now.
    PictureSize(VideoId, Size),
    /// A person shares a screen, or no more.
    Screen(PeerId, bool),
    /// A person talks, or stopped.
    Talking(PeerId, bool),
    /// New figures.
    Stats(PeerId, Stats),
    /// The own microphone's level, 0 to 1, and whether a voice is in it.
    Level(f32, bool),
    /// The devices that there are (a camera or microphone came or went).
    Devices {
        /// There is a microphone.
        has_mic: bool,
        /// There is a camera.
        has_camera: bool,
    },
    /// The devices to choose from, and the chosen ones.
    Choices(Devices),
    /// The own microphone or camera was switched by something other than a key.
    Switched {
        /// The microphone is on.
        mic_on: bool,
        /// The camera is on.
        camera_on: bool,
    },
    /// A line to show for four seconds.
    Tell(Tone, SafeText),
    /// Time passed; due when [`super::Ui::deadline`] says so.
    Timeout,
}

/// What the interface asks of the program.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Switch the microphone.
    Mic(bool),
    /// Switch the camera.
    Camera(bool),
    /// This much of that picture can be shown now; (0, 0): nothing.
    Viewport(VideoId, Size),
    /// Write to everyone.
    Chat(SafeText),
    /// Look up the devices to choose from.
    ListDevices,
    /// Take the microphone of this name.
    Microphone(String),
    /// Take the speaker of this name.
    Speaker(String),
    /// Play that person's voice so much louder, in dB; [`MUTE`](super::sound::MUTE) or less: not at all.
    Volume(PeerId, i8),
    /// Stop the program, and give the terminal back until it goes on.
    Suspend,
    /// End the call.
    Leave,
}
