//! A call, as asked for.

use std::time::Duration;

use url::Url;

use crate::call::paths::{IcePolicy, Server};
use crate::io::headless::ScreenSink;
use crate::io::meet::Meeting;
use crate::io::screen::ScreenConfig;
use crate::io::sound::{MicSource, SpeakerSink};
use crate::io::source::CameraSource;
use crate::media::video::VideoCodec;
use crate::text::SafeText;
use crate::units::Bitrate;

/// A call, as asked for.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// The room.
    pub room: String,
    /// It was named by another's code, so that somebody should be there.
    pub by_code: bool,
    /// The meeting point; `None`: found or opened.
    pub server: Option<Url>,
    /// The own name.
    pub name: SafeText,
    /// Where pictures come from.
    pub camera: CameraSource,
    /// Where the voice comes from.
    pub mic: MicSource,
    /// Where the others' voices go.
    pub speaker: SpeakerSink,
    /// There is a sound when somebody comes or goes.
    pub chimes: bool,
    /// What the speaker plays is taken out of what the microphone captures.
    pub echo_cancelled: bool,
    /// Join with the microphone on.
    pub mic_on: bool,
    /// Join with the camera on.
    pub camera_on: bool,
    /// Pictures a second.
    pub fps: u32,
    /// Codecs, best first.
    pub codecs: Vec<VideoCodec>,
    /// The most that is sent to one person.
    pub max_bitrate: Option<Bitrate>,
    /// STUN and TURN servers, beside those that the meeting point names.
    pub ice_servers: Vec<Server>,
    /// Which of the own addresses are told to others.
    pub ice_policy: IcePolicy,
    /// Who takes part.
    pub interface: Interface,
    /// Leave after so long.
    pub duration: Option<Duration>,
}

/// Who takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    /// A person at a terminal.
    Terminal(ScreenConfig),
    /// A program.
    Headless {
        /// Where the remote picture goes.
        screen: ScreenSink,
    },
    /// The built-in peer.
    Echo,
}

/// Where the call takes place.
pub enum Place {
    /// To be found by [`CallOptions::server`], or opened.
    ByOptions,
    /// Known already.
    Known(Box<Meeting>),
}
