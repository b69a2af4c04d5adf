//! What happened to one person, to be looked at afterwards. All times are since the start.

use std::time::Duration;

use facetty::media::jitter::Counts;
use facetty::units::Size;

use super::quality::Quality;

/// What a packet carries, by its RTP header, which is not encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Picture,
    /// Sent again.
    Again,
    /// Nothing; it probes the line.
    Padding,
    Voice,
    /// Reports of what came, ICE, DTLS, messages.
    Control,
}

impl Kind {
    /// Payload types as `call/peer/config.rs` and str0m set them.
    pub fn of(packet: &[u8]) -> Self {
        let [first, second, ..] = packet else {
            return Kind::Control;
        };
        match (first >> 6, second & 0x7f) {
            (2, _) if first & 0x20 != 0 && !(200..=207).contains(second) => Kind::Padding,
            (2, 96 | 98) => Kind::Picture,
            (2, 97 | 99) => Kind::Again,
            (2, 111 | 63) => Kind::Voice,
            _ => Kind::Control,
        }
    }
}

/// What happened.
#[derive(Default)]
pub struct Trace {
    /// What left, and its size in bytes.
    pub sent: Vec<(Duration, Kind, usize)>,
    /// What came, and how long it was under way.
    pub came: Vec<(Duration, Kind, Duration)>,
    pub filmed: Vec<Duration>,
    pub encoded: Vec<(Duration, usize, bool)>,
    /// When a picture was shown, its age in seconds then, and how like it is to what was filmed.
    pub shown: Vec<(Duration, f64, Option<Quality>)>,
    pub sizes: Vec<(Duration, Size)>,
    /// Pictures that could not be decoded.
    pub broken: usize,
    /// Of each second: the counts of the jitter buffer, and for how long it held voice back.
    pub heard: Vec<(Duration, Counts, Duration)>,
}
