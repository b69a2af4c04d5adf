//! What a server takes: each message of a client is held against every limit of the protocol.

use serde::Deserialize;

use super::{
    Body, Candidate, ClientMessage, ErrorCode, MAX_CANDIDATE, MAX_MESSAGE, MAX_SDP, ServerMessage, VERSION,
};
use crate::text::SafeText;

/// Why a client's message is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind.
    pub code: ErrorCode,
    /// In words; may quote the message, so not yet safe to show.
    pub why: String,
}

/// Whether `name` may be a room's: 1 to 64 of `A-Za-z0-9._-`, and neither `.` nor `..`, which no
/// link could name, nor what is something else in a server's links.
pub fn is_room_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len())
        && name.bytes().all(plain)
        && !matches!(name, "." | ".." | "ws" | "healthz")
}

impl ClientMessage {
    /// Reads what a client sent, and holds it against every limit of the protocol.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_MESSAGE {
            let why = format!("a message of {} bytes; the most is {MAX_MESSAGE}", text.len());
            return Err(Refusal::new(ErrorCode::TooLarge, why));
        }
        let malformed = |e: serde_json::Error| Refusal::new(ErrorCode::Malformed, e.to_string());
        // Another version may have other fields, so the version comes first.
        let head: Head = serde_json::from_str(text).map_err(malformed)?;
        if head.kind == "join" && head.version != Some(VERSION) {
            let Some(theirs) = head.version else {
                return Err(Refusal::new(ErrorCode::Malformed, "a join without a version"));
            };
            let remedy = if theirs > VERSION {
                "the server is older"
            } else {
                "update the program"
            };
            let why = format!("the server speaks version {VERSION} and the client {theirs}: {remedy}");
            return Err(Refusal::new(ErrorCode::Version, why));
        }
        let message: Self = serde_json::from_str(text).map_err(malformed)?;
        message.check()?;
        Ok(message)
    }

    /// As it goes over the wire.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and maps with string keys")
    }

    fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Join { room, .. } if !is_room_name(room) => {
                let why = "a room is named by 1 to 64 of A-Z a-z 0-9 . _ -";
                Err(Refusal::new(ErrorCode::BadRoom, why))
            }
            Self::Join { key, .. } if !is_key(key) => {
                let why = "a key has at least 16 random bytes, in 22 to 128 of A-Z a-z 0-9 _ -";
                Err(Refusal::new(ErrorCode::Malformed, why))
            }
            Self::Signal { body, .. } => body.check(),
            Self::Join { .. } | Self::Leave => Ok(()),
        }
    }
}

impl Refusal {
    /// A refusal of kind `code`, because of `why`.
    pub fn new(code: ErrorCode, why: impl Into<String>) -> Self {
        Self {
            code,
            why: why.into(),
        }
    }
}

impl From<Refusal> for ServerMessage {
    fn from(refusal: Refusal) -> Self {
        Self::Error {
            code: refusal.code,
            message: SafeText::new(&refusal.why, 200),
        }
    }
}

impl Body {
    fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Description(d) if d.answers.as_ref().is_some_and(|ufrag| ufrag.len() > 256) => {
                let why = "an answer to what is no name of an offer".to_owned();
                Err(Refusal::new(ErrorCode::Malformed, why))
            }
            Self::Description(d) if d.sdp.len() > MAX_SDP || d.kind.len() > 16 => {
                let why = format!("an SDP of {} bytes; the most is {MAX_SDP}", d.sdp.len());
                Err(Refusal::new(ErrorCode::Malformed, why))
            }
            Self::Candidate(Some(c)) if c.len() > MAX_CANDIDATE => {
                let why = format!("a candidate of {} bytes; the most is {MAX_CANDIDATE}", c.len());
                Err(Refusal::new(ErrorCode::Malformed, why))
            }
            Self::Description(_) | Self::Candidate(_) => Ok(()),
        }
    }
}

impl Candidate {
    fn len(&self) -> usize {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.candidate.len() + len(&self.sdp_mid) + len(&self.username_fragment)
    }
}

/// What must be known of a message before the rest is read.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    version: Option<u32>,
}

fn is_key(key: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (22..=128).contains(&key.len()) && key.bytes().all(plain)
}
