//! What a call gives out.

use std::time::{Duration, Instant};

use str0m::net::Transmit;

use super::figures::Figures;
use super::paths::PathOutput;
use super::peer::{Agreed, VideoFrame};
use super::targets::Target;
use super::voice::VoiceTune;
use crate::media::jitter::VoicePacket;
use crate::signal::message::{ClientMessage, PeerId};
use crate::text::SafeText;

/// Something to do.
#[derive(Debug)]
pub enum Output {
    /// Send a packet from the socket at `source` to `destination`.
    Transmit(Transmit),
    /// Do something for a path by a STUN or TURN server.
    Path(PathOutput),
    /// Send a message to the meeting point.
    Signal(ClientMessage),
    /// Run these encoders, and no others.
    Targets(Vec<Target>),
    /// Decode a picture.
    Video {
        /// Whose.
        peer: PeerId,
        /// The picture.
        frame: VideoFrame,
    },
    /// Play a voice packet.
    Voice {
        /// Whose.
        peer: PeerId,
        /// The packet.
        packet: VoicePacket,
    },
    /// Encode the own voice so from now on.
    VoiceTune(VoiceTune),
    /// Tell the user.
    Event(Event),
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// In the room.
    Joined {
        /// The own identity.
        id: PeerId,
    },
    /// Somebody came.
    PeerJoined {
        /// Who.
        peer: PeerId,
        /// Their name.
        name: SafeText,
    },
    /// Somebody calls themselves differently.
    Renamed {
        /// Who.
        peer: PeerId,
        /// Their name now.
        name: SafeText,
    },
    /// Somebody went.
    PeerLeft {
        /// Who.
        peer: PeerId,
        /// `left` or `lost`.
        reason: String,
    },
    /// There is a path, and it is encrypted.
    Connected {
        /// To whom.
        peer: PeerId,
        /// Since they were met.
        after: Duration,
        /// How it leads there.
        way: Way,
        /// What is sent to them.
        agreed: Agreed,
    },
    /// A path changed.
    Path {
        /// To whom.
        peer: PeerId,
        /// How it stands.
        state: PathState,
        /// Why, in words.
        why: String,
    },
    /// Somebody switched microphone or camera.
    Mute {
        /// Who.
        peer: PeerId,
        /// The microphone is muted.
        mic: bool,
        /// The camera is off.
        camera: bool,
    },
    /// Somebody shares a screen, or no more.
    Screen {
        /// Who.
        peer: PeerId,
        /// It is shared.
        on: bool,
    },
    /// Somebody wrote.
    Chat {
        /// Who.
        peer: PeerId,
        /// What.
        text: SafeText,
    },
    /// Figures of the last second.
    Figures {
        /// With whom.
        peer: PeerId,
        /// The figures.
        figures: Figures,
    },
    /// Something went wrong that the user should know.
    Error {
        /// A word for programs.
        code: String,
        /// In words.
        message: String,
    },
}

/// How a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The kind of the own end: `host`, `srflx`, `prflx`, `relay`.
    pub local: &'static str,
    /// The kind of the far end.
    pub remote: &'static str,
    /// How the own packets leave: `udp`, or towards the own relay `tcp` or `tls`.
    pub transport: &'static str,
}

/// How a path stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathState {
    /// Nothing comes.
    Unstable {
        /// Since then.
        since: Instant,
    },
    /// It comes again, by this way.
    Restored(Way),
    /// It is given up, and another is sought.
    Restarting,
    /// None was found.
    Failed,
}
