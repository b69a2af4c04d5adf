//! The data channel `facetty` between two people: ordered, reliable, JSON, one message each.
//!
//! ```json
//! {"type":"hello","name":"ann","version":1,"renews":true}
//! {"type":"viewport","width":80,"height":46,"fps":30}
//! {"type":"viewport","width":160,"height":92,"fps":10,"of":"screen"}
//! {"type":"mute","mic":true,"camera":false}
//! {"type":"mute","mic":true,"camera":false,"screen":true}
//! {"type":"media","mid":"2","what":"screen"}
//! {"type":"chat","text":"can you hear me?"}
//! {"type":"bye"}
//! ```
//!
//! The first line of video is the camera's, and a further one a shared screen's, unless `media` says what the
//! line of that name (RFC 5888) is: a browser cannot choose what its streams are called. A viewport is of the
//! camera unless it says otherwise.
//!
//! A message of an unknown type, or none of this form, is ignored: that is what lets later versions
//! say more.

use serde::{Deserialize, Serialize};

use crate::signal::message::PeerId;
use crate::text::SafeText;
use crate::units::Size;

/// Which of a person's pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VideoKind {
    /// Their camera's.
    #[default]
    Camera,
    /// Of a screen that they share.
    Screen,
}

/// Names a picture.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VideoId {
    /// Whose.
    pub peer: PeerId,
    /// Which.
    pub kind: VideoKind,
}

impl VideoId {
    /// That picture of that person.
    pub fn new(peer: PeerId, kind: VideoKind) -> Self {
        Self { peer, kind }
    }
}

impl From<PeerId> for VideoId {
    /// The camera's.
    fn from(peer: PeerId) -> Self {
        Self::new(peer, VideoKind::Camera)
    }
}

impl From<&PeerId> for VideoId {
    /// The camera's.
    fn from(peer: &PeerId) -> Self {
        Self::from(peer.clone())
    }
}

impl From<&VideoId> for VideoId {
    fn from(video: &VideoId) -> Self {
        video.clone()
    }
}

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
        /// Pictures may come by another RTP stream (SSRC) from one moment to the next; browsers follow the
        /// one that the description named.
        #[serde(default)]
        renews: bool,
    },
    /// What can be shown of you here, at most: send that and no more. Zero: nothing.
    Viewport {
        /// Square pixels across.
        width: u32,
        /// Square pixels down.
        height: u32,
        /// Pictures a second.
        fps: u32,
        /// Which picture.
        #[serde(default, skip_serializing_if = "is_default")]
        of: VideoKind,
    },
    /// What is switched off here.
    Mute {
        /// The microphone is muted.
        mic: bool,
        /// The camera is off.
        camera: bool,
        /// A screen is shared, or none; not said by who shares none ever.
        #[serde(default, skip_serializing_if = "is_default")]
        screen: Option<bool>,
    },
    /// What a line of media is.
    Media {
        /// The line's name in the description.
        mid: String,
        /// What comes by it.
        what: VideoKind,
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
            Control::Hello {
                name,
                version,
                renews,
            } => Control::Hello {
                name: SafeText::name(name.as_str()),
                version,
                renews,
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
        match (self, newer) {
            (Control::Chat { .. }, _) => false,
            (Control::Viewport { of, .. }, Control::Viewport { of: newer, .. }) => of == newer,
            (Control::Media { mid, .. }, Control::Media { mid: newer, .. }) => mid == newer,
            _ => std::mem::discriminant(self) == std::mem::discriminant(newer),
        }
    }

    /// A viewport of `size` at `fps` for that picture.
    pub fn viewport(of: VideoKind, size: Size, fps: u32) -> Self {
        Control::Viewport {
            width: size.width,
            height: size.height,
            fps,
            of,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_and_the_unknown_is_ignored() {
        let hello = Control::Hello {
            name: SafeText::new("ann", 32),
            version: 1,
            renews: true,
        };
        assert_eq!(Control::parse(&hello.to_bytes()), Some(hello));
        let text = br#"{"type":"viewport","width":80,"height":46,"fps":30,"later":[1]}"#;
        assert_eq!(
            Control::parse(text),
            Some(Control::viewport(VideoKind::Camera, Size::new(80, 46), 30))
        );
        let text = br#"{"type":"viewport","width":160,"height":92,"fps":10,"of":"screen"}"#;
        let screen = Control::viewport(VideoKind::Screen, Size::new(160, 92), 10);
        assert_eq!(Control::parse(text), Some(screen.clone()));
        assert_eq!(screen.to_bytes(), text);
        let camera = Control::viewport(VideoKind::Camera, Size::default(), 0);
        assert!(!screen.is_replaced_by(&camera));
        let text = br#"{"type":"mute","mic":true,"camera":false}"#;
        let mute = Control::Mute {
            mic: true,
            camera: false,
            screen: None,
        };
        assert_eq!(Control::parse(text), Some(mute.clone()));
        assert_eq!(mute.to_bytes(), text, "as who does not know of screens writes it");
        let text = br#"{"type":"media","mid":"2","what":"screen"}"#;
        assert_eq!(
            Control::parse(text),
            Some(Control::Media {
                mid: "2".to_owned(),
                what: VideoKind::Screen
            })
        );
        let text = br#"{"type":"chat","text":"a\u001b[2J\u202eb"}"#;
        let safe = SafeText::chat("a[2Jb");
        assert_eq!(Control::parse(text), Some(Control::Chat { text: safe }));
        for junk in [
            &b"{\"type\":\"dance\"}"[..],
            b"[]",
            b"\xff\x00",
            b"{\"type\":\"media\",\"mid\":\"2\",\"what\":\"hologram\"}",
            b"{\"type\":\"viewport\",\"width\":-1}",
        ] {
            assert_eq!(Control::parse(junk), None);
        }
        assert_eq!(Control::parse(&vec![b' '; MAX_MESSAGE + 1]), None);
    }
}
