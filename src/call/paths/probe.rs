//! Whether an allocation is still there: a Refresh (RFC 8656, 3.9) now and then, sooner where there is doubt.
//!
//! The client refreshes by itself only when half of the lifetime is over, which is minutes. Until then a server
//! that died or was started anew is not noticed, and the mapping at the own router is forgotten where
//! nothing is relayed.

use std::time::{Duration, Instant};

use turn_types::attribute::Lifetime;
use turn_types::message::REFRESH;
use turn_types::stun::attribute::{ErrorCode, Nonce, Realm, Username};
use turn_types::stun::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageIntegrityCredentials,
    MessageType, MessageWrite, MessageWriteExt, MessageWriteVec, TransactionId,
};

/// Routers keep a mapping that only one packet went through for 30 s at least (RFC 4787, 4.3).
const EVERY: Duration = Duration::from_secs(15);

/// The first wait for an answer, doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// So many requests without an answer, and the server is gone: the last at 3.75 s, given up at 7.75 s; in doubt,
/// when nothing comes by it anyway, at 0.75 s, given up at 1.75 s.
const TRIES: u32 = 5;
const TRIES_IN_DOUBT: u32 = 3;

/// Answers that only ask for another nonce.
const MAX_CHALLENGES: u32 = 3;

/// What the client asks for as well, in seconds.
const LIFETIME: u32 = 1800;

/// What an answer, or its absence, says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is there.
    Alive,
    /// Ask again with these bytes.
    Again(Vec<u8>),
    /// It is gone, and why.
    Gone(&'static str),
}

/// Asks for one allocation.
pub(super) struct Probe {
    username: String,
    password: String,
    /// The server's realm and its last nonce.
    challenge: Option<(String, String)>,
    is_stream: bool,
    pending: Option<Pending>,
    next: Instant,
}

struct Pending {
    id: TransactionId,
    request: Vec<u8>,
    /// Requests that were sent, and how many are at most.
    tries: u32,
    limit: u32,
    challenges: u32,
}

impl Probe {
    pub(super) fn new((username, password): (&str, &str), is_stream: bool, now: Instant) -> Self {
        Self {
            username: username.to_owned(),
            password: password.to_owned(),
            challenge: None,
            is_stream,
            pending: None,
            next: now + EVERY,
        }
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// There is doubt: it is asked now, and with less patience.
    pub(super) fn hasten(&mut self, now: Instant) {
        match &mut self.pending {
            Some(pending) => pending.limit = TRIES_IN_DOUBT,
            None => {
                self.begin(TRIES_IN_DOUBT);
                self.next = now;
            }
        }
    }

    /// Something was relayed: it is there.
    pub(super) fn relayed(&mut self, now: Instant) {
        if self.pending.take().is_some() {
            self.next = now + EVERY;
        }
    }

    /// What is due: a request to send, or the end of patience.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Verdict> {
        if now < self.next {
            return None;
        }
        if self.pending.is_none() {
            self.begin(TRIES);
        }
        let Some(pending) = &mut self.pending else {
            // The server never asked who this is; then it cannot be asked either.
            self.next = now + EVERY;
            return None;
        };
        if pending.tries >= pending.limit {
            self.pending = None;
            self.next = now + EVERY;
            return Some(Verdict::Gone("it stopped answering"));
        }
        self.next = now + FIRST_WAIT * 2_u32.pow(pending.tries);
        pending.tries += 1;
        // A stream repeats by itself.
        let is_repeated = self.is_stream && pending.tries > 1;
        (!is_repeated).then(|| Verdict::Again(pending.request.clone()))
    }

    /// Takes a message from the server; `None`: it is no answer to what was asked here.
    pub(super) fn handle(&mut self, message: &Message<'_>, now: Instant) -> Option<Verdict> {
        let is_challenge = self.learn(message);
        let pending = self.pending.as_mut()?;
        if message.transaction_id() != pending.id || !message.is_response() {
            return None;
        }
        let code = message.attribute::<ErrorCode>().ok().map(|error| error.code());
        let verdict = match code {
            None => Verdict::Alive,
            // RFC 8656, 19: the server knows of no allocation from here.
            Some(437) => Verdict::Gone("it forgot what it relays"),
            Some(401 | 438) if is_challenge && pending.challenges < MAX_CHALLENGES => {
                let (limit, challenges) = (pending.limit, pending.challenges + 1);
                self.begin(limit);
                let pending = self.pending.as_mut()?;
                (pending.tries, pending.challenges) = (1, challenges);
                self.next = now + FIRST_WAIT;
                return Some(Verdict::Again(pending.request.clone()));
            }
            Some(401 | 441) => Verdict::Gone("it refuses user and password"),
            // It answered.
            Some(_) => Verdict::Alive,
        };
        self.pending = None;
        self.next = now + EVERY;
        Some(verdict)
    }

    /// Each challenge brings the nonce that is to be used next; whether it was one.
    fn learn(&mut self, message: &Message<'_>) -> bool {
        if !message.has_class(MessageClass::Error) {
            return false;
        }
        let (Ok(realm), Ok(nonce)) = (message.attribute::<Realm>(), message.attribute::<Nonce>()) else {
            return false;
        };
        self.challenge = Some((realm.realm().to_owned(), nonce.nonce().to_owned()));
        true
    }

    fn begin(&mut self, limit: u32) {
        let id = TransactionId::generate();
        let request = self.request(id);
        self.pending = request.map(|request| Pending {
            id,
            request,
            tries: 0,
            limit,
            challenges: 0,
        });
    }

    fn request(&self, id: TransactionId) -> Option<Vec<u8>> {
        let (realm, nonce) = self.challenge.as_ref()?;
        let kind = MessageType::from_class_method(MessageClass::Request, REFRESH);
        let mut request = Message::builder(kind, id, MessageWriteVec::with_capacity(256));
        // Names from elsewhere may be longer than an attribute holds; then nothing is asked.
        request.add_attribute(&Lifetime::new(LIFETIME)).ok()?;
        request.add_attribute(&Username::new(&self.username).ok()?).ok()?;
        request.add_attribute(&Realm::new(realm).ok()?).ok()?;
        request.add_attribute(&Nonce::new(nonce).ok()?).ok()?;
        let key = LongTermKeyCredentials::new(self.username.clone(), self.password.clone(), realm.clone());
        let key = MessageIntegrityCredentials::from(key);
        request
            .add_message_integrity(&key, IntegrityAlgorithm::Sha1)
            .ok()?;
        request.add_fingerprint().ok()?;
        Some(request.finish())
    }
}
