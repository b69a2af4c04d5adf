//! Where this machine can be reached: its own addresses, those that its routers show to the outside
//! (asked of STUN servers), and those that TURN servers relay from. Sans-IO.
//!
//! All people are talked to from the same sockets, so what is found is found once for the call, told to
//! everyone who is there and to all who come. Every own socket asks every STUN server, from itself, and
//! goes on asking, so that the router keeps the mapping and a new one is noticed. A relay is asked for
//! over UDP at once, over TCP and TLS only while there is none: where UDP does not get out.

mod asked;
mod binding;
mod frames;
mod gather;
mod probe;
mod relay;
mod report;
mod server;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use str0m::Candidate;
use turn_types::stun::message::Message;

use self::asked::{Asked, Progress};
use self::binding::Binding;
use self::relay::Relay;

pub use self::asked::{PathOutput, ServerId};
pub use self::binding::{answer as stun_answer, request as stun_request};
pub use self::frames::{Frames, NotTurn, pad};
pub use self::server::{PORT, Server, ServerError, Service, TLS_PORT, Transport};

/// A relay over TCP is asked for when there is none so long after the beginning, then one over TLS. It
/// takes UDP two round trips.
const TCP_AFTER: Duration = Duration::from_millis(200);
const TLS_AFTER: Duration = Duration::from_millis(350);

/// What was not found by then comes later, if at all.
const GATHER_WITHIN: Duration = Duration::from_secs(10);

/// The most servers, whatever the meeting point says.
const MAX_SERVERS: usize = 16;

/// Which addresses are told to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IcePolicy {
    /// All.
    #[default]
    All,
    /// Those of relays alone: nobody learns where this machine is.
    Relay,
}

/// The own addresses.
pub struct Paths {
    policy: IcePolicy,
    own: Vec<Server>,
    hosts: Vec<SocketAddr>,
    asked: Vec<Asked>,
    candidates: Vec<Candidate>,
    next: u64,
    began: Option<Instant>,
    complete: bool,
    out: VecDeque<PathOutput>,
}

impl Paths {
    /// Reachable at the own sockets' addresses `hosts`; `own` servers are asked beside those that the
    /// meeting point names.
    pub fn new(hosts: Vec<SocketAddr>, own: Vec<Server>, policy: IcePolicy) -> Self {
        let mut paths = Self {
            policy,
            own,
            hosts: Vec::new(),
            asked: Vec::new(),
            candidates: Vec::new(),
            next: 0,
            began: None,
            complete: false,
            out: VecDeque::new(),
        };
        for host in hosts {
            paths.hosts.push(host);
            paths.found(Candidate::host(host, "udp").ok());
        }
        paths.out.clear();
        paths
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<PathOutput> {
        self.out.pop_front()
    }

    /// All that can be told to others by now.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// No more are to be expected for now.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// When [`Paths::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let asked = self.asked.iter().flat_map(|asked| {
            let bindings = asked.bindings.iter().map(Binding::poll_timeout);
            let relay = asked.relay.as_ref().and_then(Relay::poll_timeout);
            bindings.chain(relay).chain(asked.due)
        });
        let patience = self.began.filter(|_| !self.complete).map(|at| at + GATHER_WITHIN);
        asked.chain(patience).min()
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        for at in 0..self.asked.len() {
            let asked = &mut self.asked[at];
            for binding in &mut asked.bindings {
                if let Some(bytes) = binding.handle_timeout(now) {
                    self.out.push_back(PathOutput::Datagram {
                        source: binding.base,
                        destination: binding.server,
                        bytes,
                    });
                }
            }
            if let Some(relay) = &mut asked.relay {
                relay.handle_timeout(now);
            }
            if asked.due.is_some_and(|due| now >= due) {
                self.handle_due(at, now);
            }
            self.settle(at, now);
        }
        if self.began.is_some_and(|at| now >= at + GATHER_WITHIN) {
            self.complete();
        }
    }

    /// The meeting point names these servers. Those that are asked already stay as they are.
    pub fn set_servers(&mut self, offered: &[Server], now: Instant) {
        let mut wanted: Vec<Server> = Vec::new();
        for server in self.own.iter().chain(offered) {
            if wanted.len() < MAX_SERVERS && !wanted.iter().any(|w| w.is_same_place(server)) {
                wanted.push(server.clone());
            }
        }
        for at in (0..self.asked.len()).rev() {
            let asked = &mut self.asked[at];
            match wanted.iter().position(|w| w.is_same_place(&asked.server)) {
                // With the credentials of now, for the next time they are needed.
                Some(found) => asked.server = wanted.swap_remove(found),
                None if asked.progress == Progress::Found => {}
                None => {
                    self.asked.remove(at);
                }
            }
        }
        for server in wanted {
            let id = ServerId(self.next);
            self.next += 1;
            self.asked.push(Asked::new(id, server));
        }
        self.doubt(now);
    }

    /// Asks again whoever did not answer: the network may have changed.
    pub fn gather(&mut self, now: Instant) {
        self.began = Some(now);
        self.complete = false;
        for asked in &mut self.asked {
            if asked.progress == Progress::Found {
                continue;
            }
            if !asked.server.is_udp() {
                self.out.push_back(PathOutput::Disconnect(asked.id));
            }
            // What still comes of the attempt before is nobody's.
            asked.id = ServerId(self.next);
            self.next += 1;
            (asked.relay, asked.due) = (None, None);
            asked.bindings.clear();
            asked.progress = Progress::Resolving;
            self.out.push_back(PathOutput::Resolve {
                id: asked.id,
                host: asked.server.host.clone(),
                port: asked.server.port,
            });
        }
        self.check_complete();
    }

    /// The network may have changed, or nothing comes any more: whoever answered is asked whether all is as
    /// it was, whoever did not is asked again.
    pub fn doubt(&mut self, now: Instant) {
        for at in 0..self.asked.len() {
            let asked = &mut self.asked[at];
            asked.bindings.iter_mut().for_each(|binding| binding.hasten(now));
            if let Some(relay) = &mut asked.relay {
                relay.doubt(now);
            }
            self.settle(at, now);
        }
        self.gather(now);
    }

    /// Packets can leave from this address: it is an own socket's or an own relay's.
    pub fn is_own(&self, address: SocketAddr) -> bool {
        self.hosts.contains(&address) || self.candidates.iter().any(|c| c.addr() == address)
    }

    /// Where a server is: its addresses, each with the own address that the system would send from.
    pub fn handle_resolved(
        &mut self,
        id: ServerId,
        found: Result<Vec<(SocketAddr, IpAddr)>, String>,
        now: Instant,
    ) {
        let Some(at) = self.position(id) else { return };
        let began = self.began.unwrap_or(now);
        let asked = &mut self.asked[at];
        if asked.progress != Progress::Resolving {
            return;
        }
        match found {
            Ok(addresses) if addresses.is_empty() => {
                asked.progress = Progress::Failed("there is no route to it".into());
            }
            Ok(addresses) => {
                asked.addresses = addresses.into();
                match asked.server.service {
                    Service::Stun => self.ask_stun(at, now),
                    Service::Turn { transport, .. } => match transport {
                        Transport::Udp => self.ask_relay(at, now),
                        Transport::Tcp => self.asked[at].wait(began + TCP_AFTER),
                        Transport::Tls => self.asked[at].wait(began + TLS_AFTER),
                    },
                }
            }
            Err(why) => asked.progress = Progress::Failed(why),
        }
        self.settle(at, now);
    }

    /// The connection to a server stands, between these addresses.
    pub fn handle_connected(&mut self, id: ServerId, leg: (SocketAddr, SocketAddr), now: Instant) {
        let Some(at) = self.position(id) else {
            self.out.push_back(PathOutput::Disconnect(id));
            return;
        };
        let asked = &mut self.asked[at];
        if let Service::Turn {
            username, password, ..
        } = &asked.server.service
            && asked.progress == Progress::Asking
        {
            asked.frames = Frames::default();
            asked.relay = Some(Relay::new(leg, true, (username, password), now));
        }
        self.settle(at, now);
    }

    /// The connection to a server ended, or did not come about.
    pub fn handle_closed(&mut self, id: ServerId, why: &str, now: Instant) {
        let Some(at) = self.position(id) else { return };
        let asked = &mut self.asked[at];
        match &mut asked.relay {
            Some(relay) => relay.handle_closed(why),
            None if asked.progress == Progress::Asking => asked.fail(why.to_owned(), now),
            None => {}
        }
        self.settle(at, now);
    }

    /// Bytes came over the connection to a server; what it relays is handed on: from whom, to which
    /// relayed address.
    pub fn handle_stream(
        &mut self,
        id: ServerId,
        bytes: &[u8],
        now: Instant,
        mut peer_data: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) {
        let Some(at) = self.position(id) else { return };
        let asked = &mut self.asked[at];
        if let Some(relay) = &mut asked.relay {
            asked.frames.push(bytes);
            loop {
                match asked.frames.next_frame() {
                    Ok(Some(frame)) => {
                        relay.handle_bytes(frame, now, &mut peer_data);
                    }
                    Ok(None) => break,
                    Err(error) => {
                        relay.handle_closed(&error.to_string());
                        break;
                    }
                }
            }
        }
        self.settle(at, now);
    }

    /// Takes a packet if it comes from a server; what a server relays is handed on: from whom, to which
    /// relayed address. False: it is somebody else's.
    pub fn handle_datagram(
        &mut self,
        source: SocketAddr,
        own: SocketAddr,
        bytes: &[u8],
        now: Instant,
        mut peer_data: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) -> bool {
        for at in 0..self.asked.len() {
            let asked = &mut self.asked[at];
            let relay = asked.relay.as_mut().filter(|_| asked.server.is_udp());
            let taken = match relay.filter(|relay| relay.leg() == (own, source)) {
                Some(relay) => relay.handle_bytes(bytes, now, &mut peer_data),
                None => {
                    let mut bindings = asked.bindings.iter_mut();
                    let binding = bindings.find(|b| b.server == source && b.base == own);
                    binding.is_some_and(|binding| {
                        Message::from_bytes(bytes).is_ok_and(|message| binding.handle(&message, now))
                    })
                }
            };
            if taken {
                self.settle(at, now);
                return true;
            }
        }
        false
    }

    /// Sends a packet of a person's connection by the relay at `source`. False: there is none there.
    pub fn relay(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: Vec<u8>,
        now: Instant,
    ) -> bool {
        let is_there = |asked: &Asked| {
            let relay = asked.relay.as_ref();
            relay.is_some_and(|relay| relay.relayed().contains(&source))
        };
        let Some(at) = self.asked.iter().position(is_there) else {
            return false;
        };
        // DTLS, RTP and RTCP (RFC 7983) come once ICE has chosen.
        let media = bytes.first().is_some_and(|byte| *byte >= 20);
        if let Some(relay) = &mut self.asked[at].relay {
            relay.send(destination, bytes, media, now);
        }
        self.settle(at, now);
        true
    }

    /// Lets somebody at this address send by the own relays.
    pub fn permit(&mut self, peer: IpAddr, now: Instant) {
        for at in 0..self.asked.len() {
            if let Some(relay) = &mut self.asked[at].relay {
                relay.permit(peer, now);
                self.settle(at, now);
            }
        }
    }

    /// An own address came up.
    pub fn add_host(&mut self, host: SocketAddr, now: Instant) {
        if self.hosts.contains(&host) {
            return;
        }
        self.hosts.push(host);
        self.found(Candidate::host(host, "udp").ok());
        for at in 0..self.asked.len() {
            if self.asked[at].server.service == Service::Stun {
                self.ask_stun(at, now);
            }
        }
        // From where there was no way to a server, there may be one now.
        self.gather(now);
    }

    /// An own address went, and all that hangs on it.
    pub fn remove_host(&mut self, host: SocketAddr, now: Instant) {
        self.hosts.retain(|own| *own != host);
        self.withdraw(|candidate| candidate.local() == host);
        for at in 0..self.asked.len() {
            let asked = &mut self.asked[at];
            asked.bindings.retain(|binding| binding.base != host);
            if let Some(relay) = asked
                .relay
                .as_mut()
                .filter(|relay| relay.leg().0.ip() == host.ip())
            {
                relay.handle_closed("the network changed");
            }
            self.settle(at, now);
        }
    }

    /// Gives relayed addresses back.
    pub fn close(&mut self, now: Instant) {
        for at in 0..self.asked.len() {
            if let Some(relay) = &mut self.asked[at].relay {
                relay.close(now);
            }
            self.settle(at, now);
        }
    }

    fn position(&self, id: ServerId) -> Option<usize> {
        self.asked.iter().position(|asked| asked.id == id)
    }
}

#[cfg(test)]
mod tests;
