//! The data channel `facetty` between two people: ordered, reliable, JSON, one message each.
//!
//! ```json
//! {"type":"hello","name":"ann","version":1}
//! {"type":"viewport","width":80,"height":46,"fps":30}
//! {"type":"mute","mic":true,"camera":false}
//! {"type":"chat","text":"can you hear me?"}
//! {"type":"bye"}
//! ```
//!
//! A message of an unknown type, or none of this form, is ignored: that is what lets later versions
//! say more.

use serde::{Deserialize, Serialize};

use crate::text::SafeText;
use crate::units::Size;

/// The channel's label.
pub const LABEL: &str = "facetty";

/// The version spoken on the channel.
pub const VERSION: u32 = 1;

/// The largest message taken, in bytes.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Control {
    /// The first: who speaks.
    Hello {
        /// The name.
        name: SafeText,
        /// [`VERSION`].
        version: u32,
    },
    /// What can be shown of you here, at most: send that and no more. Zero: nothing.
    Viewport {
        /// Square pixels across.
        width: u32,
        /// Square pixels down.
        height: u32,
        /// Pictures a second.
        fps: u32,
    },
    /// What is switched off here.
    Mute {
        /// The microphone is muted.
        mic: bool,
        /// The camera is off.
        camera: bool,
    },
    /// A line of chat, for everyone in the room.
    Chat {
        /// What is said.
        text: SafeText,
    },
    /// Leaving.
    Bye,
}

impl Control {
    /// Reads a message; `None` where it is none that is known.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_MESSAGE {
            return None;
        }
        let message = serde_json::from_slice(bytes).ok()?;
        Some(match message {
            Control::Hello { name, version } => Control::Hello {
                name: SafeText::name(name.as_str()),
                version,
            },
            other => other,
        })
    }

    /// Writes a message.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain structs serialise")
    }

    /// `newer` says all that this message says.
    pub fn is_replaced_by(&self, newer: &Self) -> bool {
        !matches!(self, Control::Chat { .. }) && std::mem::discriminant(self) == std::mem::discriminant(newer)
    }

    /// A viewport of `size` at `fps`.
    pub fn viewport(size: Size, fps: u32) -> Self {
        Control::Viewport {
            width: size.width,
            height: size.height,
            fps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_and_the_unknown_is_ignored() {
        let hello = Control::Hello {
            name: SafeText::new("ann", 32),
            version: 1,
        };
        assert_eq!(Control::parse(&hello.to_bytes()), Some(hello));
        let text = br#"{"type":"viewport","width":80,"height":46,"fps":30,"later":[1]}"#;
        assert_eq!(
            Control::parse(text),
            Some(Control::viewport(Size::new(80, 46), 30))
        );
        let text = br#"{"type":"chat","text":"a\u001b[2J\u202eb"}"#;
        let safe = SafeText::chat("a[2Jb");
        assert_eq!(Control::parse(text), Some(Control::Chat { text: safe }));
        for junk in [
            &b"{\"type\":\"dance\"}"[..],
            b"[]",
            b"\xff\x00",
            b"{\"type\":\"viewport\",\"width\":-1}",
        ] {
            assert_eq!(Control::parse(junk), None);
        }
        assert_eq!(Control::parse(&vec![b' '; MAX_MESSAGE + 1]), None);
    }
}
