//! What is known of the own ways, for those who ask why there is none.

use std::fmt::Write;
use std::net::SocketAddr;

use str0m::CandidateKind;

use super::Paths;
use super::asked::{Asked, Progress};
use super::server::{Service, Transport};

impl Paths {
    /// By which transport the relay at `address` is reached.
    pub fn transport_of(&self, address: SocketAddr) -> Option<Transport> {
        self.asked.iter().find_map(|asked| {
            let relay = asked.relay.as_ref()?;
            relay
                .relayed()
                .contains(&address)
                .then(|| asked.server.transport())
        })
    }

    /// A relay is there to be used.
    pub fn has_relay(&self) -> bool {
        self.candidates.iter().any(|c| c.kind() == CandidateKind::Relayed)
    }

    /// A relay was named, whether it answers or not.
    pub fn is_relay_offered(&self) -> bool {
        let is_turn = |asked: &Asked| matches!(asked.server.service, Service::Turn { .. });
        self.asked.iter().any(is_turn)
    }

    /// The router gives the same socket different addresses towards different servers: nobody can be
    /// told where it will be seen (RFC 4787, 4.1: not endpoint-independent). `None`: not known.
    pub fn is_mapping_dependent(&self) -> Option<bool> {
        let bindings: Vec<_> = self.asked.iter().flat_map(|asked| &asked.bindings).collect();
        let mut compared = None;
        for (at, one) in bindings.iter().enumerate() {
            for other in &bindings[at + 1..] {
                if let (Some(a), Some(b)) = (one.mapped, other.mapped)
                    && one.base == other.base
                    && one.server != other.server
                {
                    compared = Some(compared.unwrap_or(false) || a != b);
                }
            }
        }
        compared
    }

    /// What was asked and what was answered, in words.
    pub fn report(&self) -> String {
        let mut report = String::new();
        for asked in &self.asked {
            let answer = match &asked.progress {
                Progress::Found => match asked.server.service {
                    Service::Stun => "answered",
                    Service::Turn { .. } => "relays",
                },
                Progress::Failed(why) => why,
                Progress::Resolving | Progress::Asking => "no answer yet",
                Progress::Spare => "not needed",
            };
            let comma = if report.is_empty() { "" } else { ", " };
            // A string takes all that is written to it.
            let _ = write!(report, "{comma}{}: {answer}", asked.server);
        }
        report
    }
}
