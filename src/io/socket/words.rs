//! What ended a WebSocket, for somebody who knows neither it nor the system's calls.

use std::io;

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;

/// Why a socket ended; of the other end as "it".
pub(super) fn in_words(error: &Error) -> String {
    match error {
        Error::Io(error) => io_in_words(error),
        Error::ConnectionClosed | Error::AlreadyClosed => "it closed the connection".into(),
        // A program that was killed says no good-bye.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => "it went away".into(),
        Error::Protocol(_) | Error::Utf8(_) => "what it says is no WebSocket".into(),
        Error::Capacity(_) => "it sent too long a message".into(),
        error => error.to_string(),
    }
}

/// Why the system gave up a connection.
pub(super) fn io_in_words(error: &io::Error) -> String {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            "it went away".into()
        }
        ErrorKind::ConnectionRefused => "nobody listens there".into(),
        ErrorKind::TimedOut => "no answer".into(),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown => {
            "there is no way to it from this machine".into()
        }
        _ => {
            let text = error.to_string();
            // The number is for who writes programs.
            let end = text.find(" (os error").unwrap_or(text.len());
            text[..end].to_owned()
        }
    }
}
