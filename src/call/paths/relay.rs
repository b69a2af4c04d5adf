//! One allocation on a TURN server (RFC 8656): an address there that relays to and from here.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use turn_client_proto::api::{TurnClientApi, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::client::TurnClient;
use turn_client_proto::prelude::DelayedTransmitBuild;
use turn_client_proto::stun::Instant as TurnInstant;
use turn_client_proto::stun::agent::Transmit;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::types::{AddressFamily, TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;
use turn_types::stun::attribute::ErrorCode;
use turn_types::stun::message::{Message, MessageClass, TransactionId};

use super::probe::{Probe, Verdict};

/// Packets that wait for the permission to send to their peer; ICE sends more.
const WAITING: usize = 32;

/// Peers that are sent to. ICE tries each candidate of each person.
const MAX_PEERS: usize = 256;

/// Retransmissions of a request: at 0, 0.25, 0.75, 1.75, 3.35, 4.95 s, given up at 6.5 s.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_millis(1600);
const TRIES: u32 = 6;

/// An address is given within this time or never. Over a stream nothing is sent again, so that an answer
/// that did not come whole would be waited for without end.
const ALLOCATED_WITHIN: Duration = Duration::from_secs(10);

/// Turns of the client's own wheel after one input; it never needs as many.
const TURNS: usize = 64;

/// What a relay wants.
#[derive(Debug)]
pub(super) enum RelayOutput {
    /// These bytes are to go to the server.
    Send(Vec<u8>),
    /// It relays at this address.
    Ready(SocketAddr),
    /// It does not, or no longer, and why.
    Ended(String),
}

pub(super) struct Relay {
    client: TurnClient,
    epoch: Instant,
    deadline: Instant,
    relayed: Vec<SocketAddr>,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    asked: BTreeSet<IpAddr>,
    refused: BTreeSet<IpAddr>,
    bound: BTreeSet<SocketAddr>,
    probe: Probe,
    /// What the server last refused.
    error: Option<(u16, String)>,
    /// The request that it first asked for credentials.
    challenged: Option<TransactionId>,
    heard: bool,
    ended: bool,
    out: VecDeque<RelayOutput>,
}

impl Relay {
    /// Asks `server` for an address, from `local`; over a stream (TCP, or what TLS carries) that stands
    /// already, or in datagrams.
    pub(super) fn new(
        (local, server): (SocketAddr, SocketAddr),
        is_stream: bool,
        (username, password): (&str, &str),
        now: Instant,
    ) -> Self {
        let mut config = TurnConfig::new(TurnCredentials::new(username, password));
        config.set_request_retransmits(FIRST_WAIT, LONGEST_WAIT, TRIES, LONGEST_WAIT);
        if server.is_ipv6() {
            config.add_address_family(AddressFamily::IPV6);
        }
        let client = if is_stream {
            TurnClientTcp::allocate(local, server, config).into()
        } else {
            TurnClientUdp::allocate(local, server, config).into()
        };
        let mut relay = Self {
            client,
            epoch: now,
            deadline: now,
            relayed: Vec::new(),
            waiting: VecDeque::new(),
            asked: BTreeSet::new(),
            refused: BTreeSet::new(),
            bound: BTreeSet::new(),
            probe: Probe::new((username, password), is_stream, now),
            error: None,
            challenged: None,
            heard: false,
            ended: false,
            out: VecDeque::new(),
        };
        relay.turn(now);
        relay
    }

    pub(super) fn poll_output(&mut self) -> Option<RelayOutput> {
        self.out.pop_front()
    }

    /// When [`Relay::handle_timeout`] is due; `None` when it is over.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = match self.relayed.is_empty() {
            true => self.deadline.min(self.epoch + ALLOCATED_WITHIN),
            false => self.deadline.min(self.probe.poll_timeout()),
        };
        (!self.ended).then_some(due)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if !self.ended && now >= self.deadline {
            self.turn(now);
        }
        if self.relayed.is_empty() && now >= self.epoch + ALLOCATED_WITHIN {
            self.end(self.why());
        }
        if !self.ended && !self.relayed.is_empty() {
            let verdict = self.probe.handle_timeout(now);
            self.judge(verdict, now);
        }
    }

    /// Nothing comes by it: whether it is still there is asked.
    pub(super) fn doubt(&mut self, now: Instant) {
        if !self.ended && !self.relayed.is_empty() {
            self.probe.hasten(now);
            self.handle_timeout(now);
        }
    }

    fn judge(&mut self, verdict: Option<Verdict>, now: Instant) {
        match verdict {
            Some(Verdict::Again(request)) => self.out.push_back(RelayOutput::Send(request)),
            Some(Verdict::Gone(why)) => {
                // Should it hear this after all, it is free for the next.
                let at = self.time(now);
                if self.client.delete(at).is_ok()
                    && let Some(transmit) = self.client.poll_transmit(at)
                {
                    self.out.push_back(RelayOutput::Send(transmit.data.to_vec()));
                }
                self.end(why.to_owned());
            }
            Some(Verdict::Alive) | None => {}
        }
    }

    /// The addresses that it relays at.
    pub(super) fn relayed(&self) -> &[SocketAddr] {
        &self.relayed
    }

    /// The connection between here and the server.
    pub(super) fn leg(&self) -> (SocketAddr, SocketAddr) {
        (self.client.local_addr(), self.client.remote_addr())
    }

    /// Something came from the server.
    pub(super) fn has_heard(&self) -> bool {
        self.heard
    }

    /// Takes what came from the server, and hands on what it relays: from whom, to which relayed address.
    /// False: it was not for the relay.
    pub(super) fn handle_bytes(
        &mut self,
        bytes: &[u8],
        now: Instant,
        mut peer_data: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) -> bool {
        if self.ended {
            return false;
        }
        if let Ok(message) = Message::from_bytes(bytes) {
            self.note_error(&message);
            if let Some(verdict) = self.probe.handle(&message, now) {
                self.judge(Some(verdict), now);
                return true;
            }
        }
        let (local, server) = self.leg();
        let packet = Transmit::new(bytes, self.client.transport(), server, local);
        let at = self.time(now);
        let relayed = &self.relayed;
        let mut hand_on = |peer: SocketAddr, data: &[u8]| {
            if let Some(to) = relayed.iter().find(|to| to.is_ipv4() == peer.is_ipv4()) {
                peer_data(peer, *to, data);
            }
        };
        let mut is_ours = true;
        match self.client.recv(packet, at) {
            TurnRecvRet::PeerData(data) => {
                hand_on(data.peer, data.data());
                self.probe.relayed(now);
                // Most packets are these: nothing else follows from them, but in a stream.
                if self.client.transport() == TransportType::Udp {
                    return true;
                }
            }
            TurnRecvRet::Ignored(_) => is_ours = self.client.transport() != TransportType::Udp,
            TurnRecvRet::Handled | TurnRecvRet::PeerIcmp { .. } => {}
        }
        while let Some(data) = self.client.poll_recv(at) {
            hand_on(data.peer, data.data());
        }
        self.heard |= is_ours;
        self.turn(now);
        is_ours
    }

    /// Allows a peer to send, so that its packets get through before the first one to it.
    pub(super) fn permit(&mut self, peer: IpAddr, now: Instant) {
        if self.ended || !self.relays_to(peer) || self.asked.contains(&peer) || self.asked.len() >= MAX_PEERS
        {
            return;
        }
        let at = self.time(now);
        if self
            .client
            .create_permission(TransportType::Udp, peer, at)
            .is_ok()
        {
            self.asked.insert(peer);
            self.turn(now);
        }
    }

    /// Relays a packet; one without permission waits for it, or is lost as on any line. The packets of
    /// `media` are worth a channel, which costs 4 bytes each instead of 36.
    pub(super) fn send(&mut self, peer: SocketAddr, bytes: Vec<u8>, media: bool, now: Instant) {
        if self.ended || self.refused.contains(&peer.ip()) || !self.relays_to(peer.ip()) {
            return;
        }
        let at = self.time(now);
        if !self.client.have_permission(TransportType::Udp, peer.ip()) {
            if self.waiting.len() >= WAITING {
                self.waiting.pop_front();
            }
            self.waiting.push_back((peer, bytes));
            return self.permit(peer.ip(), now);
        }
        if media && self.bound.len() < MAX_PEERS && self.bound.insert(peer) {
            let bound = self.client.bind_channel(TransportType::Udp, peer, at);
            if bound.is_ok() {
                self.turn(now);
            }
        }
        if let Ok(Some(transmit)) = self.client.send_to(TransportType::Udp, peer, bytes, at) {
            self.out.push_back(RelayOutput::Send(transmit.data.build()));
        }
    }

    /// Gives the address back.
    pub(super) fn close(&mut self, now: Instant) {
        let at = self.time(now);
        if !self.ended && self.client.delete(at).is_ok() {
            self.turn(now);
        }
        self.ended = true;
    }

    /// The stream to the server ended.
    pub(super) fn handle_closed(&mut self, why: &str) {
        self.end(why.to_owned());
    }

    /// Another machine's loopback is nowhere to a relay that is on none.
    fn relays_to(&self, peer: IpAddr) -> bool {
        let fits = |own: &SocketAddr| {
            own.is_ipv4() == peer.is_ipv4() && (own.ip().is_loopback() || !peer.is_loopback())
        };
        self.relayed.iter().any(fits)
    }

    /// The client does not say why it was refused; its messages do.
    fn note_error(&mut self, message: &Message<'_>) {
        if !self.relayed.is_empty() || !message.has_class(MessageClass::Error) {
            return;
        }
        let Ok(error) = message.attribute::<ErrorCode>() else {
            return;
        };
        self.error = Some((error.code(), error.reason().to_owned()));
        // The first asks for credentials. What answers another request was asked with them, and asking on
        // would only take its time.
        let id = message.transaction_id();
        if error.code() == ErrorCode::UNAUTHORIZED && *self.challenged.get_or_insert(id) != id {
            self.end(self.why());
        }
    }

    fn turn(&mut self, now: Instant) {
        let at = self.time(now);
        for _ in 0..TURNS {
            let mut moved = false;
            while let Some(event) = self.client.poll_event() {
                moved = true;
                self.handle_event(event, now);
            }
            while let Some(transmit) = self.client.poll_transmit(at) {
                moved = true;
                self.out.push_back(RelayOutput::Send(transmit.data.to_vec()));
            }
            match self.client.poll(at) {
                TurnPollRet::WaitUntil(until) if until > at || !moved => {
                    let wait = until.saturating_duration_since(at);
                    // What is due and yet does nothing must not spin.
                    self.deadline = now + wait.max(Duration::from_millis(1));
                    return;
                }
                TurnPollRet::Closed => {
                    while let Some(event) = self.client.poll_event() {
                        self.handle_event(event, now);
                    }
                    let why = self.why();
                    return self.end(why);
                }
                _ => {}
            }
        }
        self.deadline = now + Duration::from_millis(1);
    }

    fn handle_event(&mut self, event: TurnEvent, now: Instant) {
        match event {
            TurnEvent::AllocationCreated(TransportType::Udp, address) => {
                self.relayed.push(address);
                self.out.push_back(RelayOutput::Ready(address));
            }
            TurnEvent::PermissionCreated(TransportType::Udp, ip) => {
                let (ready, waiting) = std::mem::take(&mut self.waiting)
                    .into_iter()
                    .partition::<VecDeque<_>, _>(|(peer, _)| peer.ip() == ip);
                self.waiting = waiting;
                for (peer, bytes) in ready {
                    if self.client.have_permission(TransportType::Udp, ip) {
                        self.send(peer, bytes, false, now);
                    }
                }
            }
            TurnEvent::PermissionCreateFailed(_, ip) => {
                self.refused.insert(ip);
                self.waiting.retain(|(peer, _)| peer.ip() != ip);
            }
            // Without a channel it goes by indications.
            _ => {}
        }
    }

    fn end(&mut self, why: String) {
        if !std::mem::replace(&mut self.ended, true) {
            self.out.push_back(RelayOutput::Ended(why));
        }
    }

    fn why(&self) -> String {
        match &self.error {
            _ if !self.relayed.is_empty() => "it stopped answering".to_owned(),
            Some((401 | 438 | 441, _)) => "it refuses user and password".to_owned(),
            Some((486, _)) => "its quota for this user is used up".to_owned(),
            Some((508, _)) => "it has no capacity left".to_owned(),
            Some((code, reason)) => format!("it refused: {code} {reason}"),
            None if self.heard => "it answered what is no TURN".to_owned(),
            None => "no answer".to_owned(),
        }
    }

    /// The client's clock counts from the relay's beginning.
    fn time(&self, now: Instant) -> TurnInstant {
        let since = now.saturating_duration_since(self.epoch);
        TurnInstant::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}
