//! The steps of asking: whom, from where, when, and what has come of it.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::{Candidate, CandidateKind};

use super::Paths;
use super::asked::{Asked, PathOutput, Progress};
use super::binding::Binding;
use super::frames::pad;
use super::relay::{Relay, RelayOutput};
use super::server::{Service, Transport};
use crate::call::paths::IcePolicy;
use crate::text::SafeText;

impl Paths {
    /// From each own socket that could reach the server.
    pub(super) fn ask_stun(&mut self, at: usize, now: Instant) {
        let asked = &mut self.asked[at];
        for (server, _) in &asked.addresses {
            // A server of several addresses is one router's view all the same: the first of each family.
            let is_like = |binding: &&Binding| binding.server.is_ipv4() == server.is_ipv4();
            if asked
                .bindings
                .iter()
                .find(is_like)
                .is_some_and(|b| b.server != *server)
            {
                continue;
            }
            for base in &self.hosts {
                let fits = base.is_ipv4() == server.is_ipv4()
                    && base.ip().is_loopback() == server.ip().is_loopback();
                let known = asked
                    .bindings
                    .iter()
                    .any(|b| b.base == *base && b.server == *server);
                if fits && !known {
                    asked.bindings.push(Binding::new(*base, *server, now));
                }
            }
        }
        match asked.bindings.is_empty() {
            true => asked.progress = Progress::Failed("there is no route to it".into()),
            false if asked.progress != Progress::Found => asked.progress = Progress::Asking,
            false => {}
        }
    }

    /// Over UDP, from the socket on the way to the server.
    pub(super) fn ask_relay(&mut self, at: usize, now: Instant) {
        let hosts = &self.hosts;
        let asked = &mut self.asked[at];
        let Service::Turn {
            username, password, ..
        } = &asked.server.service
        else {
            return;
        };
        while let Some((server, from)) = asked.addresses.pop_front() {
            if let Some(base) = hosts.iter().find(|host| host.ip() == from) {
                let credentials = (username.as_str(), password.as_str());
                asked.relay = Some(Relay::new((*base, server), false, credentials, now));
                asked.progress = Progress::Asking;
                return;
            }
        }
        asked.fail("there is no route to it".into(), now);
    }

    /// It is time for a server that was kept for later.
    pub(super) fn handle_due(&mut self, at: usize, now: Instant) {
        let has_relay = self.has_relay();
        let asked = &mut self.asked[at];
        asked.due = None;
        match (&asked.progress, asked.server.transport()) {
            (Progress::Spare, Transport::Udp) | (Progress::Failed(_), _) if !has_relay => {
                self.began = Some(now);
                asked.progress = Progress::Resolving;
                self.out.push_back(PathOutput::Resolve {
                    id: asked.id,
                    host: asked.server.host.clone(),
                    port: asked.server.port,
                });
            }
            (Progress::Spare, transport) if !has_relay => {
                asked.progress = Progress::Asking;
                self.out.push_back(PathOutput::Connect {
                    id: asked.id,
                    addresses: asked.addresses.iter().map(|(address, _)| *address).collect(),
                    tls: (transport == Transport::Tls).then(|| asked.server.host.clone()),
                });
            }
            _ => {}
        }
    }

    /// Takes what a server's relay and bindings have come to.
    pub(super) fn settle(&mut self, at: usize, now: Instant) {
        let asked = &mut self.asked[at];
        let (id, transport) = (asked.id, asked.server.transport());
        let mut lost = Vec::new();
        let mut news = Vec::new();
        while let Some(output) = asked.relay.as_mut().and_then(Relay::poll_output) {
            let Some(relay) = &asked.relay else { break };
            let (local, server) = relay.leg();
            match output {
                RelayOutput::Send(bytes) => self.out.push_back(match transport {
                    Transport::Udp => PathOutput::Datagram {
                        source: local,
                        destination: server,
                        bytes,
                    },
                    Transport::Tcp | Transport::Tls => PathOutput::Stream {
                        id,
                        bytes: pad(bytes),
                    },
                }),
                RelayOutput::Ready(address) => {
                    asked.progress = Progress::Found;
                    news.push(Candidate::relayed(address, local, "udp").ok());
                }
                RelayOutput::Ended(why) => {
                    if transport != Transport::Udp {
                        self.out.push_back(PathOutput::Disconnect(id));
                    }
                    lost.extend_from_slice(relay.relayed());
                    let heard = relay.has_heard();
                    asked.relay = None;
                    asked.fail(SafeText::new(&why, 100).to_string(), now);
                    // Another of its addresses may be better.
                    if transport == Transport::Udp && !heard && !asked.addresses.is_empty() {
                        self.ask_relay(at, now);
                        return self.settle(at, now);
                    }
                    break;
                }
            }
        }
        let was_lost = !lost.is_empty();
        if asked.server.service == Service::Stun && asked.progress != Progress::Resolving {
            if asked.bindings.iter().any(|binding| binding.mapped.is_some()) {
                asked.progress = Progress::Found;
            } else if !asked.bindings.is_empty() && asked.bindings.iter().all(Binding::is_settled) {
                asked.progress = Progress::Failed("no answer".into());
            }
        }
        self.withdraw(|candidate| lost.contains(&candidate.addr()));
        for candidate in news {
            self.found(candidate);
        }
        self.update_mapped();
        if was_lost {
            self.gather(now);
        }
        self.check_complete();
    }

    /// Brings the server-reflexive candidates up to date with what the servers last answered.
    fn update_mapped(&mut self) {
        let mapped: Vec<(SocketAddr, SocketAddr)> = self
            .asked
            .iter()
            .flat_map(|asked| &asked.bindings)
            .filter_map(|binding| Some((binding.mapped?, binding.base)))
            .collect();
        let is_mapped = |c: &Candidate| c.kind() == CandidateKind::ServerReflexive;
        self.withdraw(|c| is_mapped(c) && !mapped.contains(&(c.addr(), c.local())));
        for (address, base) in mapped {
            let known = |c: &Candidate| c.addr() == address && c.local() == base;
            if address != base && !self.candidates.iter().any(known) {
                self.found(Candidate::server_reflexive(address, base, "udp").ok());
            }
        }
    }

    pub(super) fn found(&mut self, candidate: Option<Candidate>) {
        let Some(candidate) = candidate else { return };
        let told = self.policy == IcePolicy::All || candidate.kind() == CandidateKind::Relayed;
        if told {
            self.candidates.push(candidate.clone());
            self.out.push_back(PathOutput::Found(candidate));
        }
    }

    pub(super) fn withdraw(&mut self, is_gone: impl Fn(&Candidate) -> bool) {
        let out = &mut self.out;
        self.candidates.retain(|candidate| {
            let gone = is_gone(candidate);
            if gone {
                out.push_back(PathOutput::Lost(candidate.clone()));
            }
            !gone
        });
    }

    pub(super) fn check_complete(&mut self) {
        let is_settled = |asked: &Asked| match asked.progress {
            Progress::Resolving | Progress::Asking => {
                !asked.bindings.is_empty() && asked.bindings.iter().all(Binding::is_settled)
            }
            Progress::Spare => self.has_relay(),
            Progress::Found => asked.relay.is_some() || asked.bindings.iter().all(Binding::is_settled),
            Progress::Failed(_) => true,
        };
        if self.began.is_some() && self.asked.iter().all(is_settled) {
            self.complete();
        }
    }

    pub(super) fn complete(&mut self) {
        if !std::mem::replace(&mut self.complete, true) {
            self.out.push_back(PathOutput::Complete);
        }
    }
}
