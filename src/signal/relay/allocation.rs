//! What one client was given, and how packets are wrapped for it.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use turn_types::stun::message::TransactionId;

use super::LegId;

/// RFC 8656, 9 and 12.
const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);

/// The most permissions and channels of one allocation: each person of a full room has a few addresses.
const MAX_PERMISSIONS: usize = 512;
const MAX_CHANNELS: usize = 512;

/// A relayed address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) address: SocketAddr,
}

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) user: Box<str>,
    pub(super) expires: Instant,
    /// The request that made it, so that one sent again gets the same answer.
    pub(super) made_by: TransactionId,
    legs: [Option<Leg>; 2],
    /// A handful, so a list is searched fastest.
    permissions: Vec<(IpAddr, Instant)>,
    channels: Vec<(u16, SocketAddr, Instant)>,
}

impl Allocation {
    pub(super) fn new(user: &str, made_by: TransactionId, legs: [Option<Leg>; 2], expires: Instant) -> Self {
        Self {
            user: user.into(),
            expires,
            made_by,
            legs,
            permissions: Vec::new(),
            channels: Vec::new(),
        }
    }

    pub(super) fn legs(&self) -> impl Iterator<Item = Leg> {
        self.legs.iter().flatten().copied()
    }

    pub(super) fn leg(&self, is_ipv4: bool) -> Option<Leg> {
        self.legs[usize::from(!is_ipv4)]
    }

    pub(super) fn is_permitted(&self, ip: IpAddr, now: Instant) -> bool {
        self.permissions
            .iter()
            .any(|(known, until)| *known == ip && *until > now)
    }

    /// False: there are too many.
    pub(super) fn permit(&mut self, ip: IpAddr, now: Instant) -> bool {
        let until = now + PERMISSION;
        if let Some(known) = self.permissions.iter_mut().find(|(known, _)| *known == ip) {
            known.1 = until;
            return true;
        }
        self.permissions.retain(|(_, until)| *until > now);
        let fits = self.permissions.len() < MAX_PERMISSIONS;
        if fits {
            self.permissions.push((ip, until));
        }
        fits
    }

    /// False: the number is another peer's, the peer has another number, or there are too many.
    pub(super) fn bind(&mut self, number: u16, peer: SocketAddr, now: Instant) -> bool {
        self.forget_expired(now);
        let clash = |(n, p, _): &&(u16, SocketAddr, Instant)| (*n == number) != (*p == peer);
        if self.channels.iter().any(|channel| clash(&channel)) {
            return false;
        }
        let until = now + CHANNEL;
        let is_full = self.channels.len() >= MAX_CHANNELS;
        match self.channels.iter_mut().find(|(n, ..)| *n == number) {
            Some(known) => known.2 = until,
            None if is_full => return false,
            None => self.channels.push((number, peer, until)),
        }
        self.permit(peer.ip(), now)
    }

    pub(super) fn peer_of(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        let mut channels = self.channels.iter();
        let found = channels.find(|(n, _, until)| *n == number && *until > now);
        found.map(|(_, peer, _)| *peer)
    }

    pub(super) fn channel_of(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        let mut channels = self.channels.iter();
        let found = channels.find(|(_, p, until)| *p == peer && *until > now);
        found.map(|(number, ..)| *number)
    }

    pub(super) fn forget_expired(&mut self, now: Instant) {
        self.permissions.retain(|(_, until)| *until > now);
        self.channels.retain(|(.., until)| *until > now);
    }
}

/// Channel data in place: number and length before it; over a connection padded to four bytes.
pub(super) fn wrap_channel(number: u16, buffer: &mut [u8], data: Range<usize>, padded: bool) -> Range<usize> {
    let length = u16::try_from(data.len()).expect("a datagram");
    let start = data.start - 4;
    buffer[start..start + 2].copy_from_slice(&number.to_be_bytes());
    buffer[start + 2..data.start].copy_from_slice(&length.to_be_bytes());
    let end = if padded { pad(buffer, &data) } else { data.end };
    start..end
}

/// A Data indication in place (RFC 8656, 11.6): XOR-PEER-ADDRESS and DATA.
pub(super) fn wrap_indication(peer: SocketAddr, buffer: &mut [u8], data: Range<usize>) -> Range<usize> {
    const DATA_INDICATION: u16 = 0x0017;
    const XOR_PEER_ADDRESS: u16 = 0x0012;
    const DATA: u16 = 0x0013;
    const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    let length = u16::try_from(data.len()).expect("a datagram");
    let address_length: u16 = if peer.is_ipv4() { 8 } else { 20 };
    let before = 20 + 4 + usize::from(address_length) + 4;
    let start = data.start - before;
    let end = pad(buffer, &data);
    let id = TransactionId::generate();
    let body = u16::try_from(end - start - 20).expect("a datagram and some");
    let mut at = start;
    let mut put = |bytes: &[u8]| {
        buffer[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&DATA_INDICATION.to_be_bytes());
    put(&body.to_be_bytes());
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE);
    mask[4..].copy_from_slice(&u128::from(id).to_be_bytes()[4..]);
    put(&mask);
    put(&XOR_PEER_ADDRESS.to_be_bytes());
    put(&address_length.to_be_bytes());
    put(&[0, if peer.is_ipv4() { 1 } else { 2 }]);
    put(&(peer.port() ^ 0x2112).to_be_bytes());
    let mut octets = [0; 16];
    let octets = match peer.ip() {
        IpAddr::V4(ip) => {
            octets[..4].copy_from_slice(&ip.octets());
            &mut octets[..4]
        }
        IpAddr::V6(ip) => {
            octets = ip.octets();
            &mut octets[..]
        }
    };
    for (octet, mask) in octets.iter_mut().zip(mask) {
        *octet ^= mask;
    }
    put(octets);
    put(&DATA.to_be_bytes());
    put(&length.to_be_bytes());
    start..end
}

fn pad(buffer: &mut [u8], data: &Range<usize>) -> usize {
    let end = data.end + (data.len().next_multiple_of(4) - data.len());
    buffer[data.end..end].fill(0);
    end
}
