//! The connections of clients that come by TCP, and of those who were let in by the [door](super::Door).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::{Client, FIRST, canonical};
use crate::call::paths::Frames;

/// Connections at a time.
const MOST: usize = 4096;

/// A connection without an allocation is closed after so long.
const IDLE: Duration = Duration::from_secs(30);

/// What waits for a slow reader; more is lost, as it would be in datagrams.
const QUEUED: usize = 128 * 1024;

/// What is read of a connection at a time.
const READ: usize = 64 * 1024;

pub(super) struct Streams {
    listener: TcpListener,
    all: BTreeMap<u64, Stream>,
    next: u64,
    sweep: Option<Instant>,
}

/// How a client is talked to.
pub(super) enum Way {
    Tcp(TcpStream),
    Guest(UnixStream),
}

struct Stream {
    way: Way,
    client: Client,
    frames: Frames,
    out: Vec<u8>,
    /// There is an allocation.
    used: bool,
    since: Instant,
}

pub(super) struct State {
    pub(super) is_open: bool,
    pub(super) has_more: bool,
}

impl Streams {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            all: BTreeMap::new(),
            next: FIRST + 1,
            sweep: None,
        }
    }

    pub(super) fn accept(&mut self, registry: &Registry, now: Instant) {
        loop {
            match self.listener.accept() {
                Ok((tcp, from)) => {
                    let _ = tcp.set_nodelay(true);
                    self.take(Way::Tcp(tcp), from, registry, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "the relay cannot accept a connection");
                    return;
                }
            }
        }
    }

    /// A connection that stands, from this address. Of too many it is closed at once.
    pub(super) fn take(&mut self, mut way: Way, from: SocketAddr, registry: &Registry, now: Instant) {
        if self.all.len() >= MOST {
            return;
        }
        let id = self.next;
        let Ok(token) = usize::try_from(id) else { return };
        self.next += 2;
        let both = Interest::READABLE | Interest::WRITABLE;
        if registry.register(way.source(), Token(token), both).is_err() {
            return;
        }
        let client = Client {
            address: canonical(from),
            stream: Some(id),
        };
        self.sweep.get_or_insert(now + IDLE);
        self.all.insert(
            id,
            Stream {
                way,
                client,
                frames: Frames::default(),
                out: Vec::new(),
                used: false,
                since: now,
            },
        );
    }

    /// Reads a connection's next bytes into its frames, which are to be [put back](Streams::put_back).
    pub(super) fn read(&mut self, id: u64, buffer: &mut [u8]) -> Option<(Client, Frames, State)> {
        let stream = self.all.get_mut(&id)?;
        let mut frames = std::mem::take(&mut stream.frames);
        let room = buffer.len().min(READ);
        let state = match stream.way.read(&mut buffer[..room]) {
            Ok(0) => State {
                is_open: false,
                has_more: false,
            },
            Ok(length) => {
                frames.push(&buffer[..length]);
                State {
                    is_open: true,
                    has_more: true,
                }
            }
            Err(error) => State {
                is_open: error.kind() == io::ErrorKind::WouldBlock,
                has_more: error.kind() == io::ErrorKind::Interrupted,
            },
        };
        Some((stream.client, frames, state))
    }

    pub(super) fn put_back(&mut self, id: u64, frames: Frames) {
        if let Some(stream) = self.all.get_mut(&id) {
            stream.frames = frames;
        }
    }

    /// A whole message, padded.
    pub(super) fn send(&mut self, id: u64, bytes: &[u8]) {
        let Some(stream) = self.all.get_mut(&id) else {
            return;
        };
        if stream.out.len() + bytes.len() > QUEUED {
            return;
        }
        stream.out.extend_from_slice(bytes);
        self.write(id);
    }

    /// Writes what waits.
    pub(super) fn write(&mut self, id: u64) {
        let Some(stream) = self.all.get_mut(&id) else {
            return;
        };
        let mut written = 0;
        while written < stream.out.len() {
            match stream.way.write(&stream.out[written..]) {
                Ok(0) => break,
                Ok(length) => written += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Its end is noticed by reading.
                Err(_) => break,
            }
        }
        stream.out.drain(..written);
    }

    pub(super) fn set_used(&mut self, id: u64, used: bool) {
        if let Some(stream) = self.all.get_mut(&id) {
            stream.used = used;
        }
    }

    pub(super) fn close(&mut self, id: u64, registry: &Registry) {
        if let Some(mut stream) = self.all.remove(&id) {
            let _ = registry.deregister(stream.way.source());
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.sweep
    }

    /// Closes those that hold nothing.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.sweep.is_some_and(|sweep| now >= sweep) {
            self.all
                .retain(|_, stream| stream.used || now < stream.since + IDLE);
            self.sweep = (!self.all.is_empty()).then(|| now + IDLE / 3);
        }
    }
}

impl Way {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Guest(stream) => stream,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Guest(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Guest(stream) => stream.write(bytes),
        }
    }
}
