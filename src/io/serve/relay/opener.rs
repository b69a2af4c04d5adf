//! Sockets to relay from, and the addresses that they stand for.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use super::{FIRST, RelayOptions, enlarge};
use crate::io::servers::route;
use crate::signal::relay::{LegId, Wanted};

/// Ports that are tried at random for a relayed address, so that nobody guesses them, and then one after
/// the other from there, before they count as used up.
const GUESSES: u32 = 16;
const TRIES: u32 = 1024;

/// Opens sockets to relay from.
pub(super) struct Opener {
    /// The own address to relay from, and the one that the world knows, for IPv4 and IPv6.
    pub(super) addresses: [Option<(IpAddr, IpAddr)>; 2],
    ports: RangeInclusive<u16>,
    next: u64,
}

impl Opener {
    pub(super) fn new(options: &RelayOptions, local: SocketAddr) -> Self {
        let of = |is_v6: bool| {
            let own = if local.ip().is_unspecified() {
                (local.is_ipv6() || !is_v6).then(|| primary_ip(is_v6)).flatten()
            } else {
                Some(local.ip()).filter(|ip| ip.is_ipv6() == is_v6)
            }?;
            let public = options.public_ip.filter(|ip| ip.is_ipv6() == is_v6);
            Some((own, public.unwrap_or(own)))
        };
        Self {
            addresses: [of(false), of(true)],
            ports: options.ports.clone(),
            next: FIRST,
        }
    }

    pub(super) fn open(
        &mut self,
        Wanted { is_v6, is_even }: Wanted,
        legs: &mut BTreeMap<LegId, UdpSocket>,
        registry: &Registry,
    ) -> io::Result<(LegId, SocketAddr)> {
        let (own, public) = self.addresses[usize::from(is_v6)].ok_or(io::ErrorKind::Unsupported)?;
        let count = u32::from(self.ports.end() - self.ports.start()) + 1;
        let mut last = io::ErrorKind::AddrInUse.into();
        let mut offset = 0;
        for at in 0..GUESSES + count.min(TRIES) {
            offset = match at < GUESSES {
                true => random()? % count,
                false => (offset + 1) % count,
            };
            let port = self.ports.start() + u16::try_from(offset).expect("below 65536");
            if is_even && port % 2 == 1 {
                continue;
            }
            match UdpSocket::bind((own, port).into()) {
                Ok(mut socket) => {
                    enlarge(&socket);
                    let id = LegId(self.next);
                    self.next += 2;
                    let token = Token(usize::try_from(id.0).map_err(io::Error::other)?);
                    registry.register(&mut socket, token, Interest::READABLE)?;
                    legs.insert(id, socket);
                    return Ok((id, (public, port).into()));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                // Out of sockets, say: another port is no better.
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

fn random() -> io::Result<u32> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(u32::from_le_bytes(random))
}

/// The address from which the rest of the world is talked to, or else any that is not this machine's
/// alone, or else that.
fn primary_ip(is_v6: bool) -> Option<IpAddr> {
    let far: IpAddr = match is_v6 {
        false => Ipv4Addr::new(192, 0, 2, 1).into(),
        true => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !is_v6 && !ip.is_link_local(),
        IpAddr::V6(ip) => is_v6 && !ip.is_unicast_link_local(),
    };
    let routed = route((far, 9).into())
        .ok()
        .filter(|ip| usable(ip) && !ip.is_loopback());
    routed.or_else(|| {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let mut ips: Vec<IpAddr> = interfaces.iter().map(|i| i.ip()).filter(usable).collect();
        ips.sort_by_key(IpAddr::is_loopback);
        ips.first().copied()
    })
}
