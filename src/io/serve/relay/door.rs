//! The way in for connections that somebody else has taken, and taken TLS off.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use mio::Waker;

/// Connections that wait to be taken.
const WAITING: usize = 64;

/// What waits on its way to a client, in bytes: as much as at a socket of the system's own, and not a second
/// of sound.
const BUFFER: usize = 64 * 1024;

/// Whoever has one may hand connections to a relay.
#[derive(Clone, Debug)]
pub struct Door {
    guests: SyncSender<Guest>,
    waker: Arc<Waker>,
}

/// The relay's end of a connection that came from this address.
pub(super) type Guest = (UnixStream, SocketAddr);

impl Door {
    pub(super) fn new(waker: Arc<Waker>) -> (Self, Receiver<Guest>) {
        let (guests, taken) = sync_channel(WAITING);
        (Self { guests, waker }, taken)
    }

    /// A connection to the relay for a client at this address. It ends when the relay closes it. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// Where the system has no sockets left, or the relay has too much to do.
    pub fn enter(&self, from: SocketAddr) -> io::Result<tokio::net::UnixStream> {
        let (own, relays) = UnixStream::pair()?;
        for end in [&own, &relays] {
            end.set_nonblocking(true)?;
            let _ = socket2::SockRef::from(end).set_send_buffer_size(BUFFER);
        }
        let sent = self.guests.try_send((relays, from));
        sent.map_err(|error| match error {
            TrySendError::Full(_) => io::Error::from(io::ErrorKind::WouldBlock),
            TrySendError::Disconnected(_) => io::ErrorKind::BrokenPipe.into(),
        })?;
        self.waker.wake()?;
        tokio::net::UnixStream::from_std(own)
    }
}
