//! The wire protocol between a participant and the meeting point, version 1.
//!
//! This page is all that an implementer needs, whether the program is a terminal's or a browser's.
//! The server never sees sound or pictures: these flow between the participants, over WebRTC. It
//! only lets people in the same room find each other.
//!
//! # Transport
//!
//! One WebSocket (RFC 6455) at the path `/ws` of the server, carrying text messages, each one JSON
//! object with a `type`. There are no binary messages. Neither side sends a message of more than
//! 65,536 bytes ([`MAX_MESSAGE`]). A field that is not known here is ignored, and so is a message
//! from the server whose `type` is not known; a later version of the protocol may add both.
//!
//! The server pings (WebSocket control frames, which browsers answer by themselves) after 20
//! seconds of quiet and closes a socket that is silent for 45 seconds. A reader who does not take
//! what is sent for half a second is closed.
//!
//! A page of another origin is refused (403) unless the server was told to allow it: an `Origin`
//! header, where there is one, must name the same host and port as `Host`.
//!
//! # Joining
//!
//! The first message says who comes, within five seconds:
//!
//! ```json
//! {"type":"join","version":1,"room":"standup","name":"Ann","key":"qZ0tqGf2Yk0hE4m1x0dCbA"}
//! ```
//!
//! * `version`: 1. Another one is answered by the error `version`, which says what the server
//!   speaks.
//! * `room`: 1 to 64 of `A-Za-z0-9._-`. The first one in creates it; it ends with the last one out.
//! * `name`: how the person wants to be called. The server makes it safe to show and cuts it to
//!   32 columns; an empty one becomes `somebody`. The clients do so again.
//! * `key`: a secret that the client has drawn at random when it started, at least 16 bytes in
//!   hexadecimal or base64url (22 to 128 of `A-Za-z0-9_-`). The server derives the identity from
//!   it and the room, and nothing else: whoever comes back with the same key is the same person,
//!   even to a server that was restarted in between, and nobody else can be.
//!
//! The answer:
//!
//! ```json
//! {"type":"welcome","id":"mfrggzdfmztwq2lk","peers":[{"id":"nbswy3dpeb3w64tm","name":"Bob"}],
//!  "iceServers":[{"urls":["stun:stun.example.org:3478"]}]}
//! ```
//!
//! * `id`: one's own identity, 1 to 64 of `A-Za-z0-9_-`.
//! * `peers`: who is there, in the order in which they came. The newcomer makes an offer to each
//!   with whom there is no call yet.
//! * `iceServers`: as RTCConfiguration wants them; empty where a direct path must do.
//!
//! Everybody else in the room hears
//!
//! ```json
//! {"type":"peer-joined","id":"mfrggzdfmztwq2lk","name":"Ann"}
//! ```
//!
//! and waits for the offer. When somebody comes back with a key that is already in the room, the
//! older socket gets the error `replaced` and is closed, and the others hear `peer-joined` again,
//! with the same identity and without a `peer-left`: their calls go on.
//!
//! # Setting up a call
//!
//! ```json
//! {"type":"signal","to":"nbswy3dpeb3w64tm","description":{"type":"offer","sdp":"v=0\r\n"}}
//! ```
//!
//! ```json
//! {"type":"signal","to":"nbswy3dpeb3w64tm","candidate":{"candidate":"candidate:1 1 udp 2130706431 192.0.2.1 50000 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"u1"}}
//! ```
//!
//! One of `description` (RTCSessionDescriptionInit; the SDP at most 32,768 bytes) and `candidate`
//! (RTCIceCandidateInit or null, at most 1,024 bytes in all). The other one receives it, in order,
//! with `from` in place of `to`:
//!
//! ```json
//! {"type":"signal","from":"mfrggzdfmztwq2lk","candidate":null}
//! ```
//!
//! An answer may say which offer it answers, beside `type` and `sdp` in its `description`:
//! `"answers"` with the `ice-ufrag` of the offer (which differs between any two offers that begin with ICE
//! anew). SDP has no mark for it, and without one an answer to an offer that was withdrawn meanwhile, because
//! the socket was lost or both called at once, would be taken for the answer to the next. Who makes the
//! offer passes over an answer that names another; one that names none is taken as it is.
//!
//! The server reads no more of it than this. A person who is not there yields the error
//! `no-such-peer`.
//!
//! # Leaving
//!
//! ```json
//! {"type":"leave"}
//! ```
//!
//! ends it: the server closes, and the others hear
//!
//! ```json
//! {"type":"peer-left","id":"mfrggzdfmztwq2lk","reason":"left"}
//! ```
//!
//! A socket that ends without it leaves with the reason `lost`: that says nothing about the call
//! with that person, which may well go on while its socket is made anew.
//!
//! # Errors
//!
//! ```json
//! {"type":"error","code":"room-full","message":"standup is full: 8 people are there"}
//! ```
//!
//! [`ErrorCode`] lists the codes and says after which of them the server closes the socket. Before
//! the `join`, any well-formed other message is `not-joined`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::{self, SafeText};

mod rules;

pub use rules::{Refusal, is_room_name};

/// The version spoken here; the first message of a client carries it.
pub const VERSION: u32 = 1;

/// The largest message either side takes, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// The largest SDP, in bytes. A browser's for sound and one picture has 6 to 8 KiB.
pub const MAX_SDP: usize = 32 * 1024;

/// The most that the fields of a candidate take together, in bytes. A usual one has 100 to 200.
pub const MAX_CANDIDATE: usize = 1024;

/// A person's identity in a room, given by the server: 1 to 64 of `A-Za-z0-9_-`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerId(Arc<str>);

/// A session description as browsers write it (RTCSessionDescriptionInit).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// `offer`, `answer`, `pranswer` or `rollback`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The SDP.
    #[serde(default)]
    pub sdp: String,
    /// Of an answer: the `ice-ufrag` of the offer that it answers, at most 256 characters (RFC 8839, 5.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
}

/// A candidate as browsers write it (RTCIceCandidateInit); an empty `candidate` ends them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Candidate {
    /// The `candidate:` line.
    pub candidate: String,
    /// The media it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdp_mid: Option<String>,
    /// The index of that media.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdp_m_line_index: Option<u16>,
    /// The user fragment of the generation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<String>,
}

/// What one person sends another through the server, which need not read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Body {
    /// An offer or an answer.
    Description(Description),
    /// A candidate, or (null or empty) their end.
    Candidate(Option<Candidate>),
}

/// From a participant to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ClientMessage {
    /// The first message.
    Join {
        /// The protocol's version.
        version: u32,
        /// The room.
        room: String,
        /// How the person wants to be called.
        name: String,
        /// A random secret of this process: the server derives the identity from it, so that who
        /// comes back, even to a restarted server, is the same person.
        key: String,
    },
    /// For one other person in the room.
    Signal {
        /// Whom it is for.
        to: PeerId,
        /// What it says.
        #[serde(flatten)]
        body: Body,
    },
    /// Good-bye: the others are told at once.
    Leave,
}

/// From the server to a participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ServerMessage {
    /// The answer to a join.
    Welcome {
        /// Your identity.
        id: PeerId,
        /// Who is there already; you offer to each with whom you have no call yet.
        peers: Vec<Member>,
        /// STUN and TURN servers to use.
        #[serde(default)]
        ice_servers: Vec<IceServer>,
    },
    /// Somebody came (or came back, with the identity of before).
    PeerJoined(Member),
    /// Somebody went, or their socket was lost; a call with them may well go on.
    PeerLeft {
        /// Who.
        id: PeerId,
        /// In which way.
        reason: LeaveReason,
    },
    /// From another person in the room.
    Signal {
        /// Who sent it.
        from: PeerId,
        /// What it says.
        #[serde(flatten)]
        body: Body,
    },
    /// Something was wrong.
    Error {
        /// What kind.
        code: ErrorCode,
        /// In words.
        #[serde(default)]
        message: SafeText,
    },
    /// A message of a later version, to be ignored.
    #[serde(other)]
    Unknown,
}

/// How somebody went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaveReason {
    /// They said good-bye.
    Left,
    /// Their socket ended; the call with them may well go on.
    #[serde(other)]
    Lost,
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The identity.
    pub id: PeerId,
    /// The name, at most [`text::NAME_COLS`] columns.
    #[serde(deserialize_with = "text::read_name")]
    pub name: SafeText,
}

/// A STUN or TURN server as browsers write it (RTCIceServer).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:` and `turn:` addresses.
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// What the server refuses, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// Not a message of this protocol; the socket stays.
    Malformed,
    /// Larger than [`MAX_MESSAGE`]; the socket closes.
    TooLarge,
    /// Another version; the socket closes.
    Version,
    /// Not a room's name; the socket closes.
    BadRoom,
    /// The room holds no more; the socket closes.
    RoomFull,
    /// The server holds no more rooms; the socket closes.
    ServerFull,
    /// The first message was no join, or came too late; the socket closes.
    NotJoined,
    /// The addressed person is not in the room; the socket stays.
    NoSuchPeer,
    /// Too many messages; the socket closes.
    TooMany,
    /// The same identity came by another socket; this one closes.
    Replaced,
    /// A code of a later version.
    #[serde(other)]
    Unknown,
}

impl ServerMessage {
    /// Reads what a server sent. A type of a later version is [`ServerMessage::Unknown`].
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// As it goes over the wire.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and maps with string keys")
    }
}

impl ErrorCode {
    /// The server closes the socket after it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Malformed | Self::NoSuchPeer | Self::Unknown)
    }

    /// As on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::Version => "version",
            Self::BadRoom => "bad-room",
            Self::RoomFull => "room-full",
            Self::ServerFull => "server-full",
            Self::NotJoined => "not-joined",
            Self::NoSuchPeer => "no-such-peer",
            Self::TooMany => "too-many",
            Self::Replaced => "replaced",
            Self::Unknown => "unknown",
        }
    }
}

impl LeaveReason {
    /// As on the wire: `left` or `lost`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Lost => "lost",
        }
    }
}

impl PeerId {
    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PeerId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = (1..=64).contains(&text.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if fits && text.bytes().all(plain) {
            Ok(Self(text.into()))
        } else {
            Err("not an identity")
        }
    }
}

impl From<PeerId> for String {
    fn from(id: PeerId) -> String {
        id.as_str().to_owned()
    }
}

impl fmt::Display for LeaveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for ErrorCode {
    /// As on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
