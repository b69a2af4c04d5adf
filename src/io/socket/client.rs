//! The task behind a [`Socket`](super::Socket): joins, converses, and joins again.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::open::{Failure, open};
use super::words::in_words;
use super::{JoinRequest, LEAVE_WITHIN, SocketError, SocketEvent};
use crate::io::clock;
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

pub(super) type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) enum Order {
    Send(ClientMessage),
    /// The network changed: the socket may be dead, and what failed may succeed.
    Doubt,
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

pub(super) struct Client {
    pub(super) request: JoinRequest,
    pub(super) events: mpsc::Sender<SocketEvent>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) up: Arc<AtomicBool>,
}

impl Client {
    pub(super) async fn run(mut self) {
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
            let mut stood = true;
            stream = loop {
                let retry_in = backoff.next();
                let down = SocketEvent::Down { stood, why, retry_in };
                if self.events.send(down).await.is_err() {
                    return End::Left;
                }
                stood = false;
                let attempt = match self.wait_and_open(retry_in).await {
                    Err(end) => return end,
                    Ok(attempt) => attempt,
                };
                why = match attempt {
                    Some(Ok((stream, welcome))) => match self.arrive(welcome).await {
                        Ok(()) => break stream,
                        Err(end) => return end,
                    },
                    Some(Err(Failure::Refused(code, message))) if !may_pass(code) => {
                        return self.refused(code, message);
                    }
                    Some(Err(Failure::Refused(_, message))) => message.to_string(),
                    Some(Err(Failure::Hopeless(why, _) | Failure::Passing(why))) => why,
                    None => "no answer".to_owned(),
                };
            };
        }
    }

    /// An attempt after a pause; when the network changes meanwhile, at once and from the beginning. `None`: no
    /// answer came.
    async fn wait_and_open(
        &mut self,
        mut pause: Duration,
    ) -> Result<Option<Result<(Stream, ServerMessage), Failure>>, End> {
        loop {
            let attempt = async {
                sleep(pause).await;
                timeout(ATTEMPT_WITHIN, open(&self.request)).await
            };
            tokio::select! {
                attempt = attempt => return Ok(attempt.ok()),
                asked = next_order(&mut self.orders) => {
                    asked?;
                    pause = Duration::ZERO;
                }
            }
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
                    let message = match order {
                        Some(Order::Send(message)) => message,
                        Some(Order::Doubt) => {
                            if !has_address(stream) {
                                return End::Lost("this machine's address changed".to_owned());
                            }
                            live.doubt(clock::now());
                            check.as_mut().reset(live.deadline().into());
                            if let Err(why) = write(stream, Message::Ping(Default::default())).await {
                                return End::Lost(why);
                            }
                            continue;
                        }
                        order => return leave(stream, order.is_some()).await,
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
                        Check::Dead => return End::Lost("it is silent".to_owned()),
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
    let left = async { while next_order(orders).await.is_ok() {} };
    tokio::select! {
        done = work => Ok(done),
        () = left => Err(End::Left),
    }
}

/// Until the network changed, or it is time to leave.
async fn next_order(orders: &mut mpsc::Receiver<Order>) -> Result<(), End> {
    loop {
        match orders.recv().await {
            Some(Order::Send(_)) => {}
            Some(Order::Doubt) => return Ok(()),
            Some(Order::Leave) | None => return Err(End::Left),
        }
    }
}

/// The own address of the connection is still this machine's: nothing comes to any other.
fn has_address(stream: &Stream) -> bool {
    let tcp = match stream.get_ref() {
        MaybeTlsStream::Plain(tcp) => tcp,
        MaybeTlsStream::Rustls(tls) => tls.get_ref().0,
        _ => return true,
    };
    let is_here = |ip: IpAddr| std::net::UdpSocket::bind((ip, 0)).is_ok();
    tcp.local_addr().is_ok_and(|own| match own.ip() {
        // It would want a scope to be bound.
        IpAddr::V6(v6) if v6.is_unicast_link_local() => true,
        ip => is_here(ip),
    })
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

pub(super) async fn write(stream: &mut Stream, message: Message) -> Result<(), String> {
    // The server's own patience, and some for the way there.
    match timeout(10 * WRITE_WITHIN, stream.send(message)).await {
        Ok(sent) => sent.map_err(|error| in_words(&error)),
        Err(_) => Err("it takes nothing".to_owned()),
    }
}

/// The next message. Cancelling it loses nothing.
pub(super) async fn read(stream: &mut Stream, live: &mut Liveness) -> Result<ServerMessage, String> {
    loop {
        let message = match stream.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(in_words(&error)),
            None => return Err("it closed the connection".to_owned()),
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
            Message::Close(_) => return Err("it closed the connection".to_owned()),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// The pauses between attempts: doubled each time, and spread by half, so that the people of a
/// server that comes back do not come all at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pub(super) attempts: u32,
}

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
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
