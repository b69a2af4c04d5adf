//! The client's end of the WebSocket: joins a room, and joins it again whenever the socket is
//! lost, for as long as anybody listens.

mod open;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use url::Url;

use self::open::{Failure, open};
use super::clock;
pub use crate::signal::invite::Invite;
use crate::signal::limits::{Check, Liveness, WRITE_WITHIN};
use crate::signal::message::{ClientMessage, ErrorCode, ServerMessage};
use crate::text::SafeText;

/// The first connection must stand within this time.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// A later attempt, from the name's lookup to the `welcome`, may take so long.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(10);

/// The first pause before it is tried again; each next one is twice as long.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);

/// The longest pause: what somebody who waits for a server's restart puts up with.
const BACKOFF_MAX: Duration = Duration::from_secs(8);

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
    /// The socket was lost; calls go on, and it is tried again.
    Down {
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
    #[error("the server {shown} refused: {message}", shown = shown(.url))]
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

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

enum Order {
    Send(ClientMessage),
    Leave,
}

/// Why an attempt, or a socket that stood, ended.
enum End {
    /// Nobody listens any more, or the good-bye is said.
    Left,
    /// It may be tried again.
    Lost(String),
    /// It makes no sense to try again.
    Final(SocketError),
}

struct Client {
    request: JoinRequest,
    events: mpsc::Sender<SocketEvent>,
    orders: mpsc::Receiver<Order>,
    up: Arc<AtomicBool>,
}

impl Client {
    async fn run(mut self) {
        let end = match self.first().await {
            Ok(stream) => self.stay(stream).await,
            Err(end) => end,
        };
        if let End::Final(error) = end {
            let _ = self.events.send(SocketEvent::Failed(error)).await;
        }
    }

    /// The first join: whoever waits for it wants to know soon.
    async fn first(&mut self) -> Result<Stream, End> {
        let deadline = clock::now() + FIRST_WITHIN;
        let mut backoff = Backoff::default();
        let mut why = String::new();
        loop {
            let attempt =
                or_leave(&mut self.orders, timeout_at(deadline.into(), open(&self.request))).await?;
            match attempt {
                Ok(Ok((stream, welcome))) => {
                    self.arrive(welcome).await?;
                    return Ok(stream);
                }
                Ok(Err(Failure::Refused(code, message))) => return Err(self.refused(code, message)),
                Ok(Err(Failure::Hopeless(why, remedy))) => return Err(self.unreachable(why, remedy)),
                Ok(Err(Failure::Passing(what))) => why = what,
                Err(_) if why.is_empty() => why = "no answer within 5 s".to_owned(),
                Err(_) => {}
            }
            let pause = backoff.next();
            if clock::now() + pause >= deadline {
                let remedy = "check the address, this machine's network and any firewall between";
                return Err(self.unreachable(why, remedy));
            }
            or_leave(&mut self.orders, sleep(pause)).await?;
        }
    }

    /// Keeps the place until there is no more use for it.
    async fn stay(&mut self, mut stream: Stream) -> End {
        let mut backoff = Backoff::default();
        loop {
            let since = clock::now();
            let end = self.converse(&mut stream).await;
            self.up.store(false, Ordering::Release);
            let End::Lost(mut why) = end else { return end };
            // A server that takes and drops us in turn is given the longer pauses too.
            if clock::now() - since > BACKOFF_MAX {
                backoff = Backoff::default();
            }
            stream = loop {
                let retry_in = backoff.next();
                if self
                    .events
                    .send(SocketEvent::Down { why, retry_in })
                    .await
                    .is_err()
                {
                    return End::Left;
                }
                let attempt = async {
                    sleep(retry_in).await;
                    timeout(ATTEMPT_WITHIN, open(&self.request)).await
                };
                why = match or_leave(&mut self.orders, attempt).await {
                    Err(end) => return end,
                    Ok(Ok(Ok((stream, welcome)))) => match self.arrive(welcome).await {
                        Ok(()) => break stream,
                        Err(end) => return end,
                    },
                    Ok(Ok(Err(Failure::Refused(code, message)))) if !may_pass(code) => {
                        return self.refused(code, message);
                    }
                    Ok(Ok(Err(Failure::Refused(_, message)))) => message.to_string(),
                    Ok(Ok(Err(Failure::Hopeless(why, _) | Failure::Passing(why)))) => why,
                    Ok(Err(_)) => "no answer".to_owned(),
                };
            };
        }
    }

    async fn arrive(&mut self, welcome: ServerMessage) -> Result<(), End> {
        self.up.store(true, Ordering::Release);
        for event in [SocketEvent::Up, SocketEvent::Message(welcome)] {
            self.events.send(event).await.map_err(|_| End::Left)?;
        }
        Ok(())
    }

    /// Carries messages both ways until the socket ends.
    async fn converse(&mut self, stream: &mut Stream) -> End {
        let mut live = Liveness::new(clock::now());
        let mut check = pin!(sleep_until(live.deadline().into()));
        loop {
            tokio::select! {
                order = self.orders.recv() => {
                    let Some(Order::Send(message)) = order else {
                        return leave(stream, order.is_some()).await;
                    };
                    if let Err(why) = write(stream, Message::text(message.to_json())).await {
                        return End::Lost(why);
                    }
                    live.handle_spoke(clock::now());
                }
                message = read(stream, &mut live) => {
                    let message = match message {
                        Ok(message) => message,
                        Err(why) => return End::Lost(why),
                    };
                    match message {
                        ServerMessage::Error { code, message } if code.is_final() => {
                            return if may_pass(code) { End::Lost(message.to_string()) } else { self.refused(code, message) };
                        }
                        message => {
                            if self.events.send(SocketEvent::Message(message)).await.is_err() {
                                return End::Left;
                            }
                        }
                    }
                }
                () = &mut check => {
                    match live.check(clock::now()) {
                        Check::Fine => {}
                        Check::Ping => if let Err(why) = write(stream, Message::Ping(Default::default())).await {
                            return End::Lost(why);
                        },
                        Check::Dead => return End::Lost("the server is silent".to_owned()),
                    }
                    check.as_mut().reset(live.deadline().into());
                }
            }
        }
    }

    fn refused(&self, code: ErrorCode, message: SafeText) -> End {
        End::Final(SocketError::Refused {
            url: self.request.server.clone(),
            code,
            message,
        })
    }

    fn unreachable(&self, why: String, remedy: &'static str) -> End {
        End::Final(SocketError::Unreachable {
            url: self.request.server.clone(),
            why,
            remedy,
        })
    }
}

/// Whether somebody who was in the room already should try again: the place may be held by a
/// socket of before that the server has not yet given up, or the server was slow.
fn may_pass(code: ErrorCode) -> bool {
    use ErrorCode::{NotJoined, RoomFull, ServerFull, TooMany};
    matches!(code, RoomFull | ServerFull | TooMany | NotJoined)
}

/// Does `work`, unless it is time to leave first. Messages that were on their way to a socket that
/// is gone are dropped here.
async fn or_leave<T>(orders: &mut mpsc::Receiver<Order>, work: impl Future<Output = T>) -> Result<T, End> {
    let left = async { while let Some(Order::Send(_)) = orders.recv().await {} };
    tokio::select! {
        done = work => Ok(done),
        () = left => Err(End::Left),
    }
}

/// Says good-bye where somebody asked for it, and waits until it has arrived.
async fn leave(stream: &mut Stream, politely: bool) -> End {
    if politely
        && write(stream, Message::text(ClientMessage::Leave.to_json()))
            .await
            .is_ok()
    {
        // The server closes after it.
        let closed = async { while let Some(Ok(_)) = stream.next().await {} };
        let _ = timeout(LEAVE_WITHIN, closed).await;
    }
    End::Left
}

async fn write(stream: &mut Stream, message: Message) -> Result<(), String> {
    // The server's own patience, and some for the way there.
    match timeout(10 * WRITE_WITHIN, stream.send(message)).await {
        Ok(sent) => sent.map_err(|e| e.to_string()),
        Err(_) => Err("the server does not read".to_owned()),
    }
}

/// The next message. Cancelling it loses nothing.
async fn read(stream: &mut Stream, live: &mut Liveness) -> Result<ServerMessage, String> {
    loop {
        let message = match stream.next().await {
            Some(Ok(message)) => message,
            Some(Err(e)) => return Err(e.to_string()),
            None => return Err("the server closed".to_owned()),
        };
        live.handle_heard(clock::now());
        match message {
            Message::Text(text) => match ServerMessage::parse(&text) {
                Ok(message) => return Ok(message),
                Err(e) => tracing::warn!(
                    "the server sent what is no message: {}",
                    SafeText::chat(&e.to_string())
                ),
            },
            Message::Close(_) => return Err("the server closed".to_owned()),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// The pauses between attempts: doubled each time, and spread by half, so that the people of a
/// server that comes back do not come all at once.
#[derive(Debug, Default)]
struct Backoff {
    attempts: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let pause = BACKOFF_FIRST
            .saturating_mul(1 << self.attempts.min(8))
            .min(BACKOFF_MAX);
        self.attempts += 1;
        let mut random = [0; 4];
        getrandom::fill(&mut random).expect("the operating system has random numbers");
        let spread = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        pause.mul_f64(0.5 + spread)
    }
}

#[cfg(test)]
mod tests;
