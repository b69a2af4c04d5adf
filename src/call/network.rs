//! What comes from the network: packets, own addresses that come and go, and STUN and TURN servers.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use str0m::Input;
use str0m::net::{Protocol, Receive};

use super::early::EarlyPackets;
use super::news::News;
use super::paths::{PathOutput, ServerId};
use super::people::Someone;
use super::{Call, Output, gather};
use crate::signal::message::PeerId;

impl Call {
    /// A packet from `source` to the own address `destination`.
    pub fn handle_datagram(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) {
        let Self {
            people,
            paths,
            early,
            out,
            news,
            ..
        } = self;
        let mut reception = Reception {
            people,
            early,
            out,
            news,
            now,
        };
        let is_servers = paths.handle_datagram(source, destination, bytes, now, |peer, own, data| {
            reception.take(peer, own, data);
        });
        if !is_servers {
            reception.take(source, destination, bytes);
        }
        self.settle(now);
    }

    /// A local address came up.
    pub fn add_local_address(&mut self, address: SocketAddr, now: Instant) {
        self.paths.add_host(address, now);
        self.settle(now);
    }

    /// A local address went.
    pub fn remove_local_address(&mut self, address: SocketAddr, now: Instant) {
        self.paths.remove_host(address, now);
        self.settle(now);
    }

    /// An interface or a route changed, whether or not an address did.
    pub fn handle_network(&mut self, now: Instant) {
        self.paths.doubt(now);
        self.settle(now);
    }

    /// Where a STUN or TURN server is: its addresses, each with the own address that the system would
    /// send from; or why that is not known.
    pub fn handle_resolved(
        &mut self,
        id: ServerId,
        found: Result<Vec<(SocketAddr, IpAddr)>, String>,
        now: Instant,
    ) {
        self.paths.handle_resolved(id, found, now);
        self.settle(now);
    }

    /// The connection to a TURN server stands, between these addresses.
    pub fn handle_server_connected(&mut self, id: ServerId, leg: (SocketAddr, SocketAddr), now: Instant) {
        self.paths.handle_connected(id, leg, now);
        self.settle(now);
    }

    /// Bytes came over the connection to a TURN server.
    pub fn handle_server_bytes(&mut self, id: ServerId, bytes: &[u8], now: Instant) {
        let Self {
            people,
            paths,
            early,
            out,
            news,
            ..
        } = self;
        let mut reception = Reception {
            people,
            early,
            out,
            news,
            now,
        };
        paths.handle_stream(id, bytes, now, |peer, own, data| reception.take(peer, own, data));
        self.settle(now);
    }

    /// The connection to a TURN server ended, or did not come about.
    pub fn handle_server_closed(&mut self, id: ServerId, why: &str, now: Instant) {
        self.paths.handle_closed(id, why, now);
        self.settle(now);
    }

    pub(super) fn handle_path(&mut self, output: PathOutput, now: Instant) {
        match output {
            PathOutput::Found(candidate) => self.with_all(now, |someone| {
                someone.peer.add_local_candidate(candidate.clone(), now);
            }),
            PathOutput::Lost(candidate) => {
                self.with_all(now, |someone| {
                    someone.peer.remove_local_candidate(&candidate, now);
                });
                let (paths, news) = (&self.paths, &mut self.news);
                for (id, someone) in &self.people {
                    let source = someone.peer.source().filter(|own| !paths.is_own(*own));
                    if source == Some(candidate.addr()) {
                        news.push_back((id.clone(), News::Cut));
                    }
                }
            }
            PathOutput::Complete => self.with_all(now, |someone| someone.peer.end_candidates()),
            other => self.out.push_back(Output::Path(other)),
        }
    }
}

/// Gives packets to whom they are for.
struct Reception<'a> {
    people: &'a mut BTreeMap<PeerId, Someone>,
    early: &'a mut EarlyPackets,
    out: &'a mut VecDeque<Output>,
    news: &'a mut VecDeque<(PeerId, News)>,
    now: Instant,
}

impl Reception<'_> {
    /// A packet from the first address to the second, an own or a relayed one.
    fn take(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        if !self.deliver(source, destination, bytes) {
            self.early.keep(source, destination, bytes, self.now);
        } else if !self.early.is_empty() && is_stun(bytes) {
            for packet in self.early.take(self.now) {
                if !self.deliver(packet.source, packet.destination, &packet.bytes) {
                    self.early.put_back(packet);
                }
            }
        }
    }

    /// False: it is nobody's.
    fn deliver(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) -> bool {
        let Ok(receive) = Receive::new(Protocol::Udp, source, destination, bytes) else {
            return true;
        };
        let packet = Input::Receive(self.now, receive);
        let mut people = self.people.iter_mut();
        let Some((id, someone)) = people.find(|(_, s)| s.peer.accepts(&packet)) else {
            return false;
        };
        someone.peer.note_mapping((source, destination), bytes);
        someone.peer.handle_packet(packet, bytes, self.now);
        gather(id, someone, self.now, self.out, self.news);
        true
    }
}

/// RFC 7983.
fn is_stun(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|byte| *byte < 4)
}
