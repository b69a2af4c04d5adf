//! Where the voice comes from and goes to, as the options name it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the own voice comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MicSource {
    /// The system's microphone.
    #[default]
    Auto,
    /// Nowhere: nothing is sent.
    None,
    /// A beep: 440 Hz at −20 dBFS, 0.7 s on and 0.3 s off.
    Tone,
    /// The microphone of this name.
    Device(String),
    /// A WAV file, looped.
    Wav(PathBuf),
}

/// Where the others' voices go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpeakerSink {
    /// The system's speaker.
    #[default]
    Auto,
    /// Nowhere.
    None,
    /// The speaker of this name.
    Device(String),
    /// A WAV file (48 kHz, mono, 16 bits), which gets what would be heard.
    Wav(PathBuf),
}

/// What is wrong with the value of `--mic` or `--speaker`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is none.
    #[error("empty; give auto, none, {0}wav:PATH, or a device's name (see `facetty devices`)")]
    Empty(&'static str),
    /// `wav:` without its file.
    #[error("wav: lacks its file; give wav:PATH")]
    NoPath,
    /// A speaker cannot be a tone.
    #[error(
        "a tone can be heard into (--mic tone), but not played to; give auto, none, wav:PATH, or a device's name"
    )]
    ToneSpeaker,
}

impl FromStr for MicSource {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "" => Err(ParseError::Empty("tone, ")),
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            "tone" => Ok(Self::Tone),
            _ => match text.strip_prefix("wav:") {
                Some("") => Err(ParseError::NoPath),
                Some(path) => Ok(Self::Wav(path.into())),
                None => Ok(Self::Device(text.into())),
            },
        }
    }
}

impl FromStr for SpeakerSink {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "" => Err(ParseError::Empty("")),
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            "tone" => Err(ParseError::ToneSpeaker),
            _ => match text.strip_prefix("wav:") {
                Some("") => Err(ParseError::NoPath),
                Some(path) => Ok(Self::Wav(path.into())),
                None => Ok(Self::Device(text.into())),
            },
        }
    }
}

impl fmt::Display for MicSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Tone => f.write_str("tone"),
            Self::Device(name) => f.write_str(name),
            Self::Wav(path) => write!(f, "wav:{}", path.display()),
        }
    }
}

impl fmt::Display for SpeakerSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Device(name) => f.write_str(name),
            Self::Wav(path) => write!(f, "wav:{}", path.display()),
        }
    }
}
