//! What the interface knows: plain data, copied to the screen thread after each change.

use std::sync::Arc;
use std::time::Instant;

use super::chat::Chat;
use super::history::History;
use super::qr::Qr;
use crate::call::Limit;
use crate::call::control::VideoKind;
use crate::signal::message::PeerId;
use crate::text::SafeText;
use crate::units::{Cells, Size};

/// Everything that is drawn, the pictures apart.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// When this was so.
    pub now: Instant,
    /// The terminal's size.
    pub terminal: Cells,
    /// Nothing is drawn but the pictures.
    pub is_bare: bool,
    /// The square pixels that are seen on a cell.
    pub cell: Size,
    /// The room.
    pub room: String,
    /// It was named by another's code, so that somebody should be there.
    pub by_code: bool,
    /// Where this person stands with the meeting point.
    pub signaling: Signaling,
    /// This person.
    pub me: Me,
    /// The others, in the order in which they came.
    pub people: Vec<Person>,
    /// What the others must type; empty until joined.
    pub invite: Invite,
    /// Their link for a phone, where that can open it.
    pub qr: Option<Arc<Qr>>,
    /// What stands in the status line for a moment.
    pub message: Option<Message>,
    /// The open sheet.
    pub sheet: Option<Sheet>,
    /// What was written and what happened.
    pub chat: Chat,
    /// What the sheet of devices shows.
    pub devices: Devices,
    /// The volume of all together, in dB.
    pub volume: i8,
    /// Index into `people` of who is in front.
    pub front: usize,
    /// Which of their pictures is.
    pub front_kind: VideoKind,
    /// The own picture is shown as in a mirror.
    pub mirror: bool,
}

impl State {
    /// At the start: nobody there, nothing known.
    pub fn new(room: &str, me: Me, terminal: Cells, now: Instant) -> Self {
        Self {
            now,
            terminal,
            is_bare: false,
            cell: Size::new(1, 2),
            room: room.to_owned(),
            by_code: false,
            signaling: Signaling::Connecting,
            me,
            people: Vec::new(),
            invite: Invite::default(),
            qr: None,
            message: None,
            sheet: None,
            chat: Chat::default(),
            devices: Devices::default(),
            volume: 0,
            front: 0,
            front_kind: VideoKind::Camera,
            mirror: true,
        }
    }

    /// All pictures of others, by index into `people`: of each one the camera's, then a shared screen's.
    pub fn videos(&self) -> impl Iterator<Item = (usize, VideoKind)> {
        self.people.iter().enumerate().flat_map(|(who, person)| {
            let screen = person.shares.then_some((who, VideoKind::Screen));
            std::iter::once((who, VideoKind::Camera)).chain(screen)
        })
    }

    /// Somebody shares a screen: one picture is large, and the others are small.
    pub fn is_presented(&self) -> bool {
        self.people.iter().any(|person| person.shares)
    }

    /// The person in front, whom the status line is about.
    pub fn in_front(&self) -> Option<&Person> {
        self.people.get(self.front)
    }
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
    /// The size of the own picture; `None` while there is none.
    pub picture: Option<Size>,
    /// The microphone's level, 0 to 1 (0 is −60 dBFS and below, 1 is 0 dBFS).
    pub level: f32,
    /// Speaks while muted.
    pub muted_talk: bool,
    /// The microphone is on only for now, by Space.
    pub push_to_talk: bool,
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
    /// Their own volume, in dB.
    pub volume: i8,
    /// The size of their last picture; `None` until the first.
    pub picture: Option<Size>,
    /// They share a screen.
    pub shares: bool,
    /// The size of its last picture.
    pub screen: Option<Size>,
    /// Figures, once a second.
    pub stats: Stats,
    /// Those of the last minute.
    pub history: History,
}

impl Person {
    /// Somebody who has just come, of whom nothing is known yet.
    pub fn new(id: PeerId, name: SafeText) -> Self {
        Self {
            id,
            name,
            path: Path::Connecting,
            mic_on: true,
            camera_on: true,
            talking: false,
            volume: 0,
            picture: None,
            shares: false,
            screen: None,
            stats: Stats::default(),
            history: History::default(),
        }
    }

    /// So many packets are lost on the way that picture or voice suffer: more than retransmission
    /// and forward error correction hide.
    pub fn is_weak(&self) -> bool {
        self.stats.loss_in.max(self.stats.loss_out) >= 0.08
    }

    /// There is such a picture to show.
    pub fn has_picture(&self, kind: VideoKind) -> bool {
        match kind {
            VideoKind::Camera => self.camera_on && self.picture.is_some(),
            VideoKind::Screen => self.shares && self.screen.is_some(),
        }
    }
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
    /// Through a relay that is reached by TCP.
    RelayedTcp,
    /// Through a relay that is reached by TLS.
    RelayedTls,
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
    /// What keeps the pictures that are sent from being better.
    pub limit: Limit,
    /// Pictures a second that are asked of them, where this terminal takes no more.
    pub terminal_fps: Option<u32>,
}

/// What the others must type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invite {
    /// A command line.
    pub command: String,
    /// A link.
    pub link: String,
    /// The server's address, which both name.
    pub server: String,
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
    /// Microphones and speakers to choose from.
    Devices,
}

/// Microphones and speakers to choose from; the first of each is the system's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// What can be spoken into, by name.
    pub microphones: Vec<SafeText>,
    /// What can be heard from.
    pub speakers: Vec<SafeText>,
    /// The chosen microphone; nothing where it is none of these.
    pub microphone: Option<SafeText>,
    /// The chosen speaker.
    pub speaker: Option<SafeText>,
    /// The line at hand: microphones first, then speakers.
    pub cursor: usize,
}

#[cfg(test)]
pub(crate) mod testing {
    //! States to test with.
    #![allow(clippy::disallowed_methods)]

    use super::*;

    /// The names of the people of [`state`], in their order.
    pub const NAMES: [&str; 8] = [
        "ann",
        "Bob Olsen",
        "cleo",
        "dave",
        "李小龍",
        "Frida Ek",
        "gus",
        "Hal",
    ];

    /// A call with `people` others who are connected and seen, by a person with everything on.
    pub fn state(people: usize, terminal: Cells) -> State {
        let me = Me {
            name: SafeText::new("me", 20),
            has_mic: true,
            mic_on: true,
            has_camera: true,
            camera_on: true,
            picture: Some(Size::new(640, 480)),
            ..Me::default()
        };
        let mut state = State::new("standup", me, terminal, Instant::now());
        state.signaling = Signaling::Joined;
        state.invite = Invite {
            command: "facetty --room standup --server ws://192.168.1.23:7880".to_owned(),
            link: "http://192.168.1.23:7880/standup".to_owned(),
            server: "ws://192.168.1.23:7880".to_owned(),
        };
        state.qr = Qr::of(&state.invite.link).map(Arc::new);
        state.people = (0..people).map(person).collect();
        state
    }

    /// A person who is connected and seen.
    pub fn person(index: usize) -> Person {
        let name = SafeText::new(NAMES[index % NAMES.len()], 20);
        Person {
            path: Path::Connected {
                kind: PathKind::Direct,
            },
            picture: Some(Size::new(80, 46)),
            stats: Stats {
                rtt_ms: Some(41.2),
                recv_kbps: 58.4,
                send_kbps: 61.0,
                fps_in: 30.0,
                fps_out: 30.0,
                size_in: Size::new(80, 46),
                size_out: Size::new(80, 44),
                jitter_ms: 20.0,
                ..Stats::default()
            },
            ..Person::new(id(index), name)
        }
    }

    /// The identity of the person with that index.
    pub fn id(index: usize) -> PeerId {
        PeerId::try_from(format!("p{index}")).expect("letters and digits")
    }
}
