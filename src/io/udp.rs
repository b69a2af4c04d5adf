//! The UDP sockets of a call: one for each address of this machine.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;

use tokio::net::UdpSocket;

/// Larger than any packet that str0m or a browser sends.
const LARGEST_PACKET: usize = 2000;

/// After so many packets the loop looks at its other inputs again.
const BURST: usize = 64;

/// The sockets.
pub struct Udp {
    sockets: Vec<(SocketAddr, UdpSocket)>,
    buffer: Box<[u8; LARGEST_PACKET]>,
}

impl Udp {
    /// Binds a port of the system's choice on every address of every interface; on loopback where there
    /// is no other, since each candidate is one more to try with each of the others'.
    ///
    /// # Errors
    /// Where not one address can be bound.
    pub fn bind() -> io::Result<Self> {
        let mut sockets = Vec::new();
        let mut last = None;
        for address in local_addresses()? {
            match bind_one(address) {
                Ok(socket) => sockets.push((socket.local_addr()?, socket)),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) if sockets.is_empty() => Err(error),
            _ => Ok(Self {
                sockets,
                buffer: Box::new([0; LARGEST_PACKET]),
            }),
        }
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

fn bind_one(address: IpAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((address, 0))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Link-local addresses are left out: they need a scope that a candidate cannot carry.
fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<_> = if_addrs::get_if_addrs()?
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|ip| match ip {
            IpAddr::V4(v4) => !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    if addresses.iter().any(|ip| !ip.is_loopback()) {
        addresses.retain(|ip| !ip.is_loopback());
    }
    Ok(addresses)
}
