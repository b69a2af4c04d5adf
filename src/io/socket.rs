//! The client's end of the WebSocket: joins a room, and joins it again whenever the socket is
//! lost, for as long as anybody listens.

mod client;
mod open;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;
use url::Url;

use self::client::{Client, Order};
pub use crate::signal::invite::Invite;
use crate::signal::message::{ClientMessage, ErrorCode, ServerMessage};
use crate::text::SafeText;

/// Messages that wait to be sent. Coming into a full room, an offer and 40 candidates to each of
/// 7 others may be written in one go.
const OUTGOING: usize = 512;

/// Events that wait to be read; more wait in TCP.
const INCOMING: usize = 64;

/// A good-bye may take so long.
const LEAVE_WITHIN: Duration = Duration::from_millis(500);

/// Whom to join, and as whom.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The server's base, as [`Invite`] gives it; `ws:`, `wss:`, `http:` or `https:`.
    pub server: Url,
    /// The room.
    pub room: String,
    /// The own name.
    pub name: SafeText,
    /// The secret of this process ([`new_key`]).
    pub key: String,
}

/// What happens to a [`Socket`].
#[derive(Debug)]
pub enum SocketEvent {
    /// The server said something. A `Welcome` comes after each [`Up`](SocketEvent::Up).
    Message(ServerMessage),
    /// In the room, for the first time or again.
    Up,
    /// The socket was lost, or could not be made again; calls go on, and it is tried again.
    Down {
        /// It stood until now.
        stood: bool,
        /// Why.
        why: String,
        /// When.
        retry_in: Duration,
    },
    /// It is over; nothing comes after this.
    Failed(SocketError),
}

/// Why a room was not joined, or not again. The texts are whole sentences for a user.
#[derive(Clone, Debug, Error)]
pub enum SocketError {
    /// No server was found at the address.
    #[error("cannot reach the server {shown}: {why}; {remedy}", shown = shown(.url))]
    Unreachable {
        /// The server.
        url: Url,
        /// What went wrong.
        why: String,
        /// What to try.
        remedy: &'static str,
    },
    /// The server said no.
    #[error("the server {shown} refused: {message}{remedy}", shown = shown(.url), remedy = remedy(*.code))]
    Refused {
        /// The server.
        url: Url,
        /// What kind.
        code: ErrorCode,
        /// In the server's words.
        message: SafeText,
    },
}

/// A server as `--server` names it.
fn shown(url: &Url) -> String {
    let text = url.as_str().trim_end_matches('/');
    text.strip_prefix("http")
        .map_or_else(|| text.to_owned(), |rest| format!("ws{rest}"))
}

/// What to do, where the server's words do not say it.
fn remedy(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::RoomFull => "; wait until somebody leaves, or meet in another room",
        ErrorCode::ServerFull => "; try again later, or run a server of your own: facetty serve",
        ErrorCode::Version => "; use the same release on both sides",
        _ => "",
    }
}

impl SocketError {
    /// The program's exit status.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } => 3,
            Self::Refused { .. } => 4,
        }
    }
}

/// A new secret for [`JoinRequest::key`]: 16 random bytes in hexadecimal.
pub fn new_key() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    data_encoding::HEXLOWER.encode(&bytes)
}

/// A place in a room. Dropping it ends the socket without a good-bye.
#[derive(Debug)]
pub struct Socket {
    events: mpsc::Receiver<SocketEvent>,
    orders: mpsc::Sender<Order>,
    up: Arc<AtomicBool>,
}

/// Joins, in a task of its own. The events tell the rest: [`SocketEvent::Up`] or
/// [`SocketEvent::Failed`] comes within five seconds.
pub fn connect(request: JoinRequest) -> Socket {
    let (sender, events) = mpsc::channel(INCOMING);
    let (orders, inbox) = mpsc::channel(OUTGOING);
    let up = Arc::new(AtomicBool::new(false));
    let client = Client {
        request,
        events: sender,
        orders: inbox,
        up: up.clone(),
    };
    tokio::spawn(client.run());
    Socket { events, orders, up }
}

impl Socket {
    /// The next event. Cancelling it loses nothing. After [`SocketEvent::Failed`] it never comes.
    pub async fn event(&mut self) -> SocketEvent {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// Sends a message. False where the socket is down (what is said to a server that is gone would
    /// be stale when it is back: after the next `Welcome`, begin anew with those to whom there is
    /// no path) or where more waits than any call needs.
    pub fn send(&self, message: ClientMessage) -> bool {
        self.up.load(Ordering::Acquire) && self.orders.try_send(Order::Send(message)).is_ok()
    }

    /// The network changed: whether the socket still stands is looked at now, and a lost one is tried again
    /// at once.
    pub fn doubt(&self) {
        // Where more waits than any call needs, the socket finds out by itself.
        let _ = self.orders.try_send(Order::Doubt);
    }

    /// Says good-bye, so that the others know at once. Takes half a second at most.
    pub async fn leave(self) {
        let Self {
            mut events, orders, ..
        } = self;
        let told = async {
            if orders.send(Order::Leave).await.is_ok() {
                // What still comes is of no interest; the end of the task is.
                while events.recv().await.is_some() {}
            }
        };
        let _ = timeout(LEAVE_WITHIN, told).await;
    }
}

#[cfg(test)]
mod tests;
