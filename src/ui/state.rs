//! What the interface knows: plain data, copied to the screen thread after each change.

use std::time::Instant;

use crate::signal::message::PeerId;
use crate::text::SafeText;
use crate::units::{Cells, Size};

/// Everything that is drawn, the pictures apart.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The terminal's size.
    pub terminal: Cells,
    /// The room.
    pub room: String,
    /// Where this person stands with the meeting point.
    pub signaling: Signaling,
    /// This person.
    pub me: Me,
    /// The others, in the order in which they came.
    pub people: Vec<Person>,
    /// What the others must type; empty until joined.
    pub invite: Invite,
    /// What stands in the status line for a moment.
    pub message: Option<Message>,
    /// The open sheet.
    pub sheet: Option<Sheet>,
    /// Index into `people` of who is in front.
    pub front: usize,
    /// The own picture is shown as in a mirror.
    pub mirror: bool,
}

/// Where this person stands with the meeting point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signaling {
    /// On the way.
    #[default]
    Connecting,
    /// In the room.
    Joined,
    /// Lost; calls go on, and it is tried again.
    Lost,
}

/// This person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Me {
    /// The own name.
    pub name: SafeText,
    /// There is a microphone (or a stand-in).
    pub has_mic: bool,
    /// It is on.
    pub mic_on: bool,
    /// There is a camera (or a stand-in).
    pub has_camera: bool,
    /// It is on.
    pub camera_on: bool,
    /// The microphone's level, 0 to 1 (0 is −60 dBFS and below, 1 is 0 dBFS).
    pub level: f32,
    /// Speaks while muted.
    pub muted_talk: bool,
}

/// Somebody else.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Who.
    pub id: PeerId,
    /// Their name.
    pub name: SafeText,
    /// How the path to them stands.
    pub path: Path,
    /// Their microphone is on.
    pub mic_on: bool,
    /// Their camera is on.
    pub camera_on: bool,
    /// They talk.
    pub talking: bool,
    /// The size of their last picture; `None` until the first.
    pub picture: Option<Size>,
    /// Figures, once a second.
    pub stats: Stats,
}

/// How the path to a person stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Candidates are tried.
    Connecting,
    /// There is one.
    Connected {
        /// Through which kind.
        kind: PathKind,
    },
    /// Nothing came for a while.
    Unstable {
        /// Since when.
        since: Instant,
    },
    /// There is none.
    Failed,
}

/// The kind of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Host to host.
    Direct,
    /// Through a NAT.
    Nat,
    /// Through a relay.
    Relayed,
}

/// Figures of one person's call, over the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Round trip in milliseconds.
    pub rtt_ms: Option<f32>,
    /// Sent to them, kbit/s of UDP payload.
    pub send_kbps: f32,
    /// Received from them, kbit/s of UDP payload.
    pub recv_kbps: f32,
    /// What the line is thought to carry, kbit/s.
    pub estimate_kbps: Option<f32>,
    /// Share of packets lost on the way here, 0 to 1.
    pub loss_in: f32,
    /// Share of packets lost on the way there, 0 to 1.
    pub loss_out: f32,
    /// Pictures shown a second.
    pub fps_in: f32,
    /// Pictures sent a second.
    pub fps_out: f32,
    /// The received picture's size.
    pub size_in: Size,
    /// The sent picture's size.
    pub size_out: Size,
    /// Delay of the jitter buffer in milliseconds.
    pub jitter_ms: f32,
    /// Share of sound that was made up, 0 to 1.
    pub concealed: f32,
    /// Gaps in the picture, since the start.
    pub freezes: u32,
}

/// What the others must type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invite {
    /// A command line.
    pub command: String,
    /// A link.
    pub link: String,
}

/// A line that leaves by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// What it says.
    pub text: SafeText,
    /// How it is meant.
    pub tone: Tone,
    /// When it goes.
    pub until: Instant,
}

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// News.
    Info,
    /// Something is weak.
    Warning,
    /// Something is lost.
    Error,
}

/// What lies over the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sheet {
    /// The keys.
    Help,
    /// The figures.
    Figures,
}
