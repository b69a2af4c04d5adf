//! Packets of the encrypted handshake that overtake ICE.
//!
//! The side that chooses a path goes on with DTLS at once; the other side may not have seen yet that its own
//! check succeeded, and would drop what is not known to be anybody's. DTLS repeats after a second, which is
//! most of what a call takes to begin: so such packets are kept until the next check says whose they are.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A first flight is one packet or two, and a room has people.
const MAX_KEPT: usize = 32;

/// Longer than a check takes; DTLS repeats by then.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// A packet, from whom, to which own address.
#[derive(Debug)]
pub(super) struct EarlyPacket {
    at: Instant,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// What came too early.
#[derive(Debug, Default)]
pub(super) struct EarlyPackets(VecDeque<EarlyPacket>);

impl EarlyPackets {
    /// Keeps a packet that is nobody's yet, if it is one of a handshake (RFC 7983: 20 to 63; RFC 6347, 4.1:
    /// 22).
    pub(super) fn keep(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8], now: Instant) {
        const HANDSHAKE: u8 = 22;
        if bytes.first() != Some(&HANDSHAKE) {
            return;
        }
        if self.0.len() >= MAX_KEPT {
            self.0.pop_front();
        }
        self.0.push_back(EarlyPacket {
            at: now,
            source,
            destination,
            bytes: bytes.to_vec(),
        });
    }

    /// What was kept, to be tried again.
    pub(super) fn take(&mut self, now: Instant) -> impl Iterator<Item = EarlyPacket> + use<> {
        let kept = std::mem::take(&mut self.0).into_iter();
        kept.filter(move |packet| now < packet.at + KEPT_FOR)
    }

    /// A packet is still nobody's; it is kept no longer for that.
    pub(super) fn put_back(&mut self, packet: EarlyPacket) {
        self.0.push_back(packet);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
