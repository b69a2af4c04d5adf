//! The UDP sockets of a call: one for each address of this machine.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;

use tokio::net::UdpSocket;

use super::interfaces::Snapshot;

/// Larger than any packet that str0m or a browser sends.
const LARGEST_PACKET: usize = 2000;

/// After so many packets the loop looks at its other inputs again.
const BURST: usize = 64;

/// The sockets.
pub struct Udp {
    sockets: Vec<(SocketAddr, UdpSocket)>,
    snapshot: Snapshot,
    buffer: Box<[u8; LARGEST_PACKET]>,
}

/// What became of the sockets after a change of the network.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Sockets that were bound.
    pub new: Vec<SocketAddr>,
    /// Sockets that were closed: their addresses are gone.
    pub gone: Vec<SocketAddr>,
}

impl Udp {
    /// Binds a port of the system's choice on every address that is worth one ([`Snapshot`]).
    ///
    /// # Errors
    /// Where not one address can be bound.
    pub fn bind() -> io::Result<Self> {
        let mut udp = Self {
            sockets: Vec::new(),
            snapshot: Snapshot::default(),
            buffer: Box::new([0; LARGEST_PACKET]),
        };
        let (_, error) = udp.follow(Snapshot::take(&[])?);
        match error {
            Some(error) if udp.sockets.is_empty() => Err(error),
            _ => Ok(udp),
        }
    }

    /// Looks at the interfaces anew: binds what came, closes what went. `None`: nothing changed.
    pub fn update(&mut self) -> Option<Change> {
        let bound: Vec<IpAddr> = self.sockets.iter().map(|(own, _)| own.ip()).collect();
        let snapshot = match Snapshot::take(&bound) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::warn!(%error, "the interfaces cannot be looked at");
                return None;
            }
        };
        // One that could not be bound before is tried again.
        let is_same = snapshot == self.snapshot && snapshot.addresses.len() == self.sockets.len();
        if is_same {
            return None;
        }
        let (change, error) = self.follow(snapshot);
        if let Some(error) = error {
            tracing::debug!(%error, "an address cannot be bound");
        }
        Some(change)
    }

    fn follow(&mut self, snapshot: Snapshot) -> (Change, Option<io::Error>) {
        let mut change = Change::default();
        let mut last = None;
        self.sockets.retain(|(own, _)| {
            let stays = snapshot.addresses.contains(&own.ip());
            if !stays {
                change.gone.push(*own);
            }
            stays
        });
        for address in &snapshot.addresses {
            if self.sockets.iter().any(|(own, _)| own.ip() == *address) {
                continue;
            }
            match bind_one(*address) {
                Ok((own, socket)) => {
                    change.new.push(own);
                    self.sockets.push((own, socket));
                }
                Err(error) => last = Some(error),
            }
        }
        self.snapshot = snapshot;
        (change, last)
    }

    /// The bound addresses: the host candidates.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|(address, _)| *address).collect()
    }

    /// Waits until a packet is there. Cancel-safe.
    pub async fn readable(&self) {
        poll_fn(|cx| {
            for (_, socket) in &self.sockets {
                if socket.poll_recv_ready(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// Hands on what is there: source, own address, bytes. Stops after a burst, so that one flooded
    /// socket starves nobody.
    pub fn receive(&mut self, mut handle: impl FnMut(SocketAddr, SocketAddr, &[u8])) {
        for (own, socket) in &self.sockets {
            for _ in 0..BURST {
                match socket.try_recv_from(self.buffer.as_mut_slice()) {
                    Ok((length, source)) => handle(source, *own, &self.buffer[..length]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // An ICMP "unreachable" for an earlier packet: ICE finds out by itself.
                    Err(_) => {}
                }
            }
        }
    }

    /// Sends a packet from the socket at `source`. One that the system does not take now is lost, as on
    /// any line.
    pub fn send(&self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        let Some((_, socket)) = self.sockets.iter().find(|(own, _)| *own == source) else {
            return;
        };
        if let Err(error) = socket.try_send_to(bytes, destination) {
            tracing::trace!(%error, %destination, "a packet was not sent");
        }
    }
}

fn bind_one(address: IpAddr) -> io::Result<(SocketAddr, UdpSocket)> {
    let socket = std::net::UdpSocket::bind((address, 0))?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket)?;
    Ok((socket.local_addr()?, socket))
}
