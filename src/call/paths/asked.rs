//! A server that is asked, and what the asking wants done.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use str0m::Candidate;

#[cfg(doc)]
use super::Paths;
use super::binding::Binding;
use super::frames::Frames;
use super::relay::Relay;
use super::server::{Server, Service};

/// A relay that was lost, or could not be had, is asked for again.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// A server that is asked, by a number that is not given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub(super) u64);

/// What the gathering wants done.
#[derive(Debug)]
pub enum PathOutput {
    /// Send a datagram from the socket at `source`.
    Datagram {
        /// The own socket.
        source: SocketAddr,
        /// The server.
        destination: SocketAddr,
        /// The packet.
        bytes: Vec<u8>,
    },
    /// Look up where a server is, and tell [`Paths::handle_resolved`].
    Resolve {
        /// Which.
        id: ServerId,
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// Connect to a server by TCP, and tell [`Paths::handle_connected`] or [`Paths::handle_closed`].
    Connect {
        /// Which.
        id: ServerId,
        /// Where, the likeliest first.
        addresses: Vec<SocketAddr>,
        /// Speak TLS, to the server of this name.
        tls: Option<String>,
    },
    /// Send bytes over the connection.
    Stream {
        /// To which.
        id: ServerId,
        /// A whole message.
        bytes: Vec<u8>,
    },
    /// End the connection.
    Disconnect(ServerId),
    /// An address to be told to everyone.
    Found(Candidate),
    /// An address that is no more.
    Lost(Candidate),
    /// All that was asked is answered, or will not be.
    Complete,
}

/// A server, and how far it was asked.
pub(super) struct Asked {
    pub(super) id: ServerId,
    pub(super) server: Server,
    pub(super) progress: Progress,
    /// With the own address that the system would send from.
    pub(super) addresses: VecDeque<(SocketAddr, IpAddr)>,
    pub(super) bindings: Vec<Binding>,
    pub(super) relay: Option<Relay>,
    pub(super) frames: Frames,
    pub(super) due: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Where it is is being looked up.
    Resolving,
    /// It is not needed while others answer.
    Spare,
    /// Asked.
    Asking,
    /// It answered with an address.
    Found,
    /// It did not, and why.
    Failed(String),
}

impl Asked {
    pub(super) fn new(id: ServerId, server: Server) -> Self {
        Self {
            id,
            server,
            progress: Progress::Resolving,
            addresses: VecDeque::new(),
            bindings: Vec::new(),
            relay: None,
            frames: Frames::default(),
            due: None,
        }
    }

    pub(super) fn wait(&mut self, due: Instant) {
        self.progress = Progress::Spare;
        self.due = Some(due);
    }

    pub(super) fn fail(&mut self, why: String, now: Instant) {
        self.progress = Progress::Failed(why);
        if matches!(self.server.service, Service::Turn { .. }) {
            self.due = Some(now + RETRY_AFTER);
        }
    }
}
