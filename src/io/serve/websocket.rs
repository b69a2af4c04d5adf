//! One WebSocket: a task of its own between its reader and the owner of the rooms.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite;

use super::CLOSE_WITHIN;
use crate::io::clock;
use crate::signal::limits::{Check, Liveness, MAX_QUEUED, WRITE_WITHIN};
use crate::signal::message::{ErrorCode, IceServer};
use crate::signal::rooms::SocketId;

/// Messages that may wait for one reader, whatever their size.
const QUEUE: usize = 256;

/// From a socket's task to the owner of the rooms.
pub(super) enum Event {
    Open(SocketId, Option<IpAddr>, Vec<IceServer>, Outbox),
    Text(SocketId, Utf8Bytes),
    Junk(SocketId, ErrorCode),
    Closed(SocketId),
}

/// From the owner of the rooms to a socket's task.
pub(super) enum Order {
    Send(String),
    Close,
}

/// The owner's end of a socket's queue.
pub(super) struct Outbox {
    pub(super) orders: mpsc::Sender<Order>,
    /// Bytes in the queue.
    queued: Arc<AtomicUsize>,
}

impl Outbox {
    /// False: the reader is too slow.
    pub(super) fn send(&self, text: String) -> bool {
        let len = text.len();
        let fits = self.queued.fetch_add(len, Ordering::Relaxed) + len <= MAX_QUEUED;
        fits && self.orders.try_send(Order::Send(text)).is_ok()
    }
}

/// One WebSocket, from its opening to its end.
pub(super) async fn serve_socket(
    mut socket: WebSocket,
    id: SocketId,
    (from, ice_servers): (Option<IpAddr>, Vec<IceServer>),
    events: mpsc::Sender<Event>,
) {
    let (sender, mut orders) = mpsc::channel(QUEUE);
    let queued = Arc::new(AtomicUsize::new(0));
    let outbox = Outbox {
        orders: sender,
        queued: queued.clone(),
    };
    if events
        .send(Event::Open(id, from, ice_servers, outbox))
        .await
        .is_err()
    {
        return;
    }
    let ended = converse(&mut socket, id, &events, &mut orders, &queued).await;
    let _ = events.send(Event::Closed(id)).await;
    if let Ended::Here(code) = ended {
        let _ = timeout(CLOSE_WITHIN, say_goodbye(&mut socket, code)).await;
    }
}

/// How a conversation ended.
enum Ended {
    /// By this side, with this code.
    Here(u16),
    /// By the other side, or by an error.
    There,
}

async fn converse(
    socket: &mut WebSocket,
    id: SocketId,
    events: &mpsc::Sender<Event>,
    orders: &mut mpsc::Receiver<Order>,
    queued: &AtomicUsize,
) -> Ended {
    let mut live = Liveness::new(clock::now());
    let check = sleep_until(live.deadline().into());
    tokio::pin!(check);
    loop {
        tokio::select! {
            order = orders.recv() => {
                let text = match order {
                    Some(Order::Send(text)) => text,
                    Some(Order::Close) => return Ended::Here(close_code::NORMAL),
                    None if events.is_closed() => return Ended::Here(close_code::AWAY),
                    None => return Ended::Here(close_code::POLICY),
                };
                let len = text.len();
                if !write(socket, Message::text(text)).await {
                    return Ended::There;
                }
                queued.fetch_sub(len, Ordering::Relaxed);
                live.handle_spoke(clock::now());
            }
            message = socket.recv() => {
                live.handle_heard(clock::now());
                let event = match message {
                    Some(Ok(Message::Text(text))) => Event::Text(id, text),
                    Some(Ok(Message::Binary(_))) => Event::Junk(id, ErrorCode::Malformed),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Err(e)) if is_too_large(&e) => {
                        // What follows on the wire is the rest of it: nothing more can be read.
                        if events.send(Event::Junk(id, ErrorCode::TooLarge)).await.is_err() {
                            return Ended::Here(close_code::AWAY);
                        }
                        return flush(socket, orders).await;
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Ended::There,
                };
                if events.send(event).await.is_err() {
                    return Ended::Here(close_code::AWAY);
                }
            }
            () = &mut check => {
                match live.check(clock::now()) {
                    Check::Fine => {}
                    Check::Ping if write(socket, Message::Ping(Default::default())).await => {}
                    Check::Ping | Check::Dead => return Ended::There,
                }
                check.as_mut().reset(live.deadline().into());
            }
        }
    }
}

/// Writes what waits, to the end of the queue, without reading.
async fn flush(socket: &mut WebSocket, orders: &mut mpsc::Receiver<Order>) -> Ended {
    while let Some(Order::Send(text)) = orders.recv().await {
        if !write(socket, Message::text(text)).await {
            return Ended::There;
        }
    }
    Ended::Here(close_code::SIZE)
}

/// False: the socket ended, or its reader did not take it in time.
async fn write(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(WRITE_WITHIN, socket.send(message)).await, Ok(Ok(())))
}

/// Says why, and hears the answer out, so that the last messages are not lost to a reset.
async fn say_goodbye(socket: &mut WebSocket, code: u16) {
    let frame = CloseFrame {
        code,
        reason: Utf8Bytes::from_static(""),
    };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

fn is_too_large(e: &axum::Error) -> bool {
    let inner = std::error::Error::source(e).and_then(|e| e.downcast_ref());
    matches!(inner, Some(tungstenite::Error::Capacity(_)))
}
