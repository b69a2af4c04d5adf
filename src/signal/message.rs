//! The wire protocol between a participant and the meeting point, version 1.

use serde::{Deserialize, Serialize};

use crate::text::SafeText;

/// The version spoken here; the first message of a client carries it.
pub const VERSION: u32 = 1;

/// The largest message either side takes, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// A person's identity in a room, given by the server: 1 to 64 of `A-Za-z0-9_-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerId(String);

/// A session description as browsers write it (RTCSessionDescriptionInit).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// `offer`, `answer`, `pranswer` or `rollback`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The SDP.
    #[serde(default)]
    pub sdp: String,
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
#[serde(tag = "type", rename_all = "kebab-case")]
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
        /// `left` or `lost`.
        reason: String,
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
        message: SafeText,
    },
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The identity.
    pub id: PeerId,
    /// The name.
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
            Ok(Self(text))
        } else {
            Err("not an identity")
        }
    }
}

impl From<PeerId> for String {
    fn from(id: PeerId) -> String {
        id.0
    }
}

impl std::fmt::Display for PeerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
