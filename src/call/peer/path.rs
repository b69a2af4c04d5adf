//! The own candidates of a peer, and the path that ICE chose.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::{Candidate as IceCandidate, CandidateKind};
use turn_types::stun::message::Message;

use super::{Peer, PeerOutput};
use crate::call::paths::stun_answer;
use crate::signal::message::{Body, Candidate};

/// Far ends whose view of the own address is remembered.
const MAX_MAPPINGS: usize = 64;

impl Peer {
    /// A way to be reached came up: it is tried, and told to the other side.
    pub(in crate::call) fn add_local_candidate(&mut self, candidate: IceCandidate, now: Instant) {
        self.note_relayed(&candidate);
        let Some(added) = self.rtc.add_local_candidate(candidate) else {
            return;
        };
        let candidate = Candidate {
            candidate: unnamed(&added.to_sdp_string()),
            ..Candidate::default()
        };
        self.drain(now);
        if self.described {
            self.hurry(now);
        }
        // Else it will be in the description.
        if self.is_described() || self.is_offering() {
            self.out
                .push_back(PeerOutput::Signal(Body::Candidate(Some(candidate))));
        }
    }

    pub(super) fn note_relayed(&mut self, candidate: &IceCandidate) {
        if candidate.kind() == CandidateKind::Relayed && !self.relayed.contains(&candidate.addr()) {
            self.relayed.push(candidate.addr());
        }
    }

    /// A way to be reached is gone.
    pub(in crate::call) fn remove_local_candidate(&mut self, candidate: &IceCandidate, now: Instant) {
        self.rtc.direct_api().invalidate_candidate(candidate);
        self.drain(now);
    }

    /// All ways are known for now.
    pub(in crate::call) fn end_candidates(&mut self) {
        self.gathered = true;
        if self.is_described() || self.is_offering() {
            self.tell_end();
        }
    }

    pub(super) fn tell_end(&mut self) {
        if self.gathered {
            self.out.push_back(PeerOutput::Signal(Body::Candidate(None)));
        }
    }

    /// The answers to ICE's checks say what the far end sees of the own address.
    pub(in crate::call) fn note_mapping(&mut self, (source, own): (SocketAddr, SocketAddr), bytes: &[u8]) {
        // A response (RFC 8489, 5); media begins with 20 and more (RFC 7983).
        if bytes.first() != Some(&1) {
            return;
        }
        let Some(mapped) = Message::from_bytes(bytes).ok().as_ref().and_then(stun_answer) else {
            return;
        };
        self.mappings
            .retain(|(from, to, _)| (*from, *to) != (source, own));
        if self.mappings.len() < MAX_MAPPINGS {
            self.mappings.push((source, own, mapped));
        }
    }

    /// The own end of the path: a socket's address or a relayed one.
    pub(in crate::call) fn source(&self) -> Option<SocketAddr> {
        self.path.map(|(own, _)| own)
    }

    /// The kinds of the two ends of the path: `host`, `srflx`, `prflx`, `relay`; of the own one by what
    /// the far end sees of it. `own`: all own candidates.
    pub(in crate::call) fn path_kinds(&self, own: &[IceCandidate]) -> (&'static str, &'static str) {
        let word = |kind| match kind {
            CandidateKind::Host => "host",
            CandidateKind::PeerReflexive => "prflx",
            CandidateKind::ServerReflexive => "srflx",
            CandidateKind::Relayed => "relay",
        };
        let Some((source, destination)) = self.path else {
            return ("host", "prflx");
        };
        let seen = self
            .mappings
            .iter()
            .find(|(from, to, _)| (*from, *to) == (destination, source))
            .map_or(source, |(.., mapped)| *mapped);
        let of = |address: SocketAddr, all: &[IceCandidate]| {
            let known = all.iter().find(|candidate| candidate.addr() == address);
            known.map_or("prflx", |candidate| word(candidate.kind()))
        };
        let is_relayed = self.relayed.contains(&source);
        let local = if is_relayed { "relay" } else { of(seen, own) };
        (local, of(destination, &self.remote_candidates))
    }
}

/// A candidate without the name of the ICE session (`ufrag`, RFC 8839, 5.4): one that is found while a
/// restart is offered belongs to the session to come, whose name str0m takes on with the answer; the other side
/// would pass it over under the old one.
fn unnamed(candidate: &str) -> String {
    let mut words: Vec<&str> = candidate.split(' ').collect();
    if let Some(at) = words.iter().position(|word| *word == "ufrag") {
        words.drain(at..words.len().min(at + 2));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_told_without_its_sessions_name() {
        for (told, wanted) in [
            (
                "candidate:1 1 udp 9 10.0.0.1 5 typ host ufrag abc",
                "candidate:1 1 udp 9 10.0.0.1 5 typ host",
            ),
            (
                "candidate:1 1 udp 9 10.0.0.1 5 typ host ufrag abc network-id 1",
                "candidate:1 1 udp 9 10.0.0.1 5 typ host network-id 1",
            ),
            (
                "candidate:1 1 udp 9 10.0.0.1 5 typ host",
                "candidate:1 1 udp 9 10.0.0.1 5 typ host",
            ),
            ("ufrag", ""),
        ] {
            assert_eq!(unnamed(told), wanted);
        }
    }
}
