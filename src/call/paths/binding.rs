//! Asking a STUN server for the own address as seen from outside (RFC 8489, Binding), again and again:
//! a router forgets a mapping that is not used, and a new one is a new address.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use turn_types::stun::attribute::{Software, XorMappedAddress};
use turn_types::stun::message::{
    BINDING, Message, MessageClass, MessageWrite, MessageWriteExt, MessageWriteVec, TransactionId,
};

/// The first wait for an answer (libwebrtc's; RFC 8489's 500 ms is for lines of its day), doubled each
/// time up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_millis(1600);

/// So many requests without an answer, about 8 s, and the server counts as silent.
const TRIES: u32 = 7;

/// Routers keep a mapping that only one packet went through for 30 s at least (RFC 4787, 4.3).
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Questions from one own socket to one server.
pub(super) struct Binding {
    pub(super) base: SocketAddr,
    pub(super) server: SocketAddr,
    id: TransactionId,
    next: Instant,
    tries: u32,
    /// The own address there, as last answered.
    pub(super) mapped: Option<SocketAddr>,
    silent: bool,
}

impl Binding {
    /// The first question is due at once.
    pub(super) fn new(base: SocketAddr, server: SocketAddr, now: Instant) -> Self {
        Self {
            base,
            server,
            id: TransactionId::generate(),
            next: now,
            tries: 0,
            mapped: None,
            silent: false,
        }
    }

    /// The router may have forgotten, or another may be in its place: it is asked now.
    pub(super) fn hasten(&mut self, now: Instant) {
        if self.is_settled() {
            (self.id, self.tries, self.next) = (TransactionId::generate(), 0, now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// It is answered, or will not be.
    pub(super) fn is_settled(&self) -> bool {
        self.silent || self.mapped.is_some()
    }

    /// The request to send, where one is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Vec<u8>> {
        if now < self.next {
            return None;
        }
        if self.tries >= TRIES {
            // A later question may be answered yet.
            (self.silent, self.tries) = (true, 0);
            self.id = TransactionId::generate();
            self.next = now + KEEP_ALIVE;
            return None;
        }
        let wait = FIRST_WAIT * 2_u32.pow(self.tries.min(8));
        self.next = now + wait.min(LONGEST_WAIT);
        self.tries += 1;
        Some(request(self.id))
    }

    /// Takes a message from [`Binding::server`] to [`Binding::base`]; whether it was the answer.
    pub(super) fn handle(&mut self, message: &Message<'_>, now: Instant) -> bool {
        if message.transaction_id() != self.id || !message.is_response() {
            return false;
        }
        if let Some(mapped) = answer(message).filter(|mapped| is_plausible(*mapped, self.base)) {
            self.mapped = Some(mapped);
            self.silent = false;
        } else if self.mapped.is_none() {
            self.silent = true;
        }
        (self.id, self.tries) = (TransactionId::generate(), 0);
        self.next = now + KEEP_ALIVE;
        true
    }
}

/// A Binding request.
pub fn request(id: TransactionId) -> Vec<u8> {
    let kind = turn_types::stun::message::MessageType::from_class_method(MessageClass::Request, BINDING);
    let mut request = Message::builder(kind, id, MessageWriteVec::with_capacity(64));
    let software = Software::new("facetty").expect("short");
    request.add_attribute(&software).expect("it is the first");
    request.add_fingerprint().expect("it is the last");
    request.finish()
}

/// The address in a Binding's answer.
pub fn answer(message: &Message<'_>) -> Option<SocketAddr> {
    if !message.has_class(MessageClass::Success) || !message.has_method(BINDING) {
        return None;
    }
    let mapped = message.attribute::<XorMappedAddress>().ok()?;
    Some(mapped.addr(message.transaction_id()))
}

/// A server may say anything. What cannot be where this machine is seen is passed over.
fn is_plausible(mapped: SocketAddr, base: SocketAddr) -> bool {
    let ip = mapped.ip();
    mapped.port() != 0
        && mapped.is_ipv4() == base.is_ipv4()
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && (!ip.is_loopback() || base.ip().is_loopback())
}
