//! What ends a call otherwise than as asked, in one line, with its exit status.

use std::io;

use super::headless::ScreenSink;
use super::serve::ServeError;
use super::socket::SocketError;
use super::sound::SoundError;
use super::source::SourceError;
use super::terminal::TerminalError;

/// What ended the call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The meeting point was not reached, or refused.
    #[error(transparent)]
    Socket(Box<SocketError>),
    /// No server can be opened here.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// There is no path to anybody.
    #[error("no path for sound and picture: {0}")]
    NoPath(String),
    /// The picture's source.
    #[error("--camera: {0}")]
    Source(#[from] SourceError),
    /// The sound.
    #[error(transparent)]
    Sound(#[from] SoundError),
    /// The terminal.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// No UDP socket.
    #[error("no UDP socket can be opened: {0}; is there a network, and may this program use it?")]
    Udp(#[source] io::Error),
    /// Signals.
    #[error("the system's signals cannot be taken: {0}")]
    Signals(#[source] io::Error),
    /// The file for pictures.
    #[error("--screen {1}: cannot be written: {0}; check the folder and its permissions")]
    PictureFile(#[source] io::Error, ScreenSink),
    /// The events.
    #[error("standard output takes nothing: {0}")]
    Events(String),
}

impl From<SocketError> for CallError {
    fn from(error: SocketError) -> Self {
        Self::Socket(Box::new(error))
    }
}

impl CallError {
    /// The exit status of the interface's table.
    pub fn status(&self) -> u8 {
        match self {
            CallError::Socket(error) => error.exit_code(),
            CallError::NoPath(_) => 5,
            _ => 1,
        }
    }

    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            CallError::Socket(error) => match &**error {
                SocketError::Unreachable { .. } => "unreachable",
                SocketError::Refused { code, .. } => code.word(),
            },
            CallError::Serve(_) => "serve",
            CallError::NoPath(_) => "no-path",
            CallError::Source(_) => "camera",
            CallError::Sound(_) => "sound",
            CallError::Terminal(_) => "terminal",
            CallError::Udp(_) => "udp",
            CallError::Signals(_) => "signals",
            CallError::PictureFile(..) => "screen",
            CallError::Events(_) => "events",
        }
    }
}
