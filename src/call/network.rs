//! What comes from the network: packets, own addresses that come and go, and STUN and TURN servers.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use str0m::Input;
use str0m::net::{Protocol, Receive};

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
            out,
            news,
            ..
        } = self;
        let is_servers = paths.handle_datagram(source, destination, bytes, now, |peer, own, data| {
            deliver(people, (peer, own), data, now, (out, news));
        });
        if !is_servers {
            deliver(people, (source, destination), bytes, now, (out, news));
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
            out,
            news,
            ..
        } = self;
        paths.handle_stream(id, bytes, now, |peer, own, data| {
            deliver(people, (peer, own), data, now, (out, news));
        });
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
            PathOutput::Lost(candidate) => self.with_all(now, |someone| {
                someone.peer.remove_local_candidate(&candidate, now);
            }),
            PathOutput::Complete => self.with_all(now, |someone| someone.peer.end_candidates()),
            other => self.out.push_back(Output::Path(other)),
        }
    }
}

/// Gives a packet to whom it is for: from the first address to the second, an own or a relayed one.
fn deliver(
    people: &mut BTreeMap<PeerId, Someone>,
    (source, destination): (SocketAddr, SocketAddr),
    bytes: &[u8],
    now: Instant,
    (out, news): (&mut VecDeque<Output>, &mut VecDeque<(PeerId, News)>),
) {
    let Ok(receive) = Receive::new(Protocol::Udp, source, destination, bytes) else {
        return;
    };
    let packet = Input::Receive(now, receive);
    let Some((id, someone)) = people.iter_mut().find(|(_, s)| s.peer.accepts(&packet)) else {
        return;
    };
    someone.peer.note_mapping((source, destination), bytes);
    someone.peer.handle_packet(packet, bytes.len(), now);
    gather(id, someone, now, out, news);
}
