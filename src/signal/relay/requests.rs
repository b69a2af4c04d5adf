//! The requests of clients, and their answers.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use turn_types::AddressFamily;
use turn_types::attribute::{
    AdditionalAddressFamily, AddressErrorCode, ChannelNumber, Data, EvenPort, Lifetime,
    RequestedAddressFamily, RequestedTransport, ReservationToken, XorPeerAddress, XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};
use turn_types::stun::attribute::{
    AttributeStaticType, ErrorCode, Nonce, Realm, Software, Username, XorMappedAddress,
};
use turn_types::stun::message::{
    BINDING, IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageClass, MessageWrite,
    MessageWriteExt, MessageWriteVec,
};

use super::allocation::{Allocation, Leg};
use super::credentials::expiry;
use super::discovery::{From, from_where, no_other_address, other_address};
use super::{Action, Client, LegId, Relays, SWEEP, Wanted};

/// Where credentials hold; nobody sees it.
const REALM: &str = "facetty";

/// How long an allocation lives without a refresh: what is asked for, from so long to so long
/// (RFC 8656, 7.2), and where nothing is asked for.
const SHORTEST: u32 = 600;
const LONGEST: u32 = 3600;

/// An error's code and what is told with it.
struct Refused(u16);

/// Who asks, and the key that answers are signed with.
struct User {
    name: String,
    key: IntegrityKey,
}

type Opener<'a> = &'a mut dyn FnMut(Wanted) -> io::Result<(LegId, SocketAddr)>;

impl Relays {
    pub(super) fn handle_message(
        &mut self,
        client: Client,
        message: &Message<'_>,
        bytes: &[u8],
        (now, unix): (Instant, u64),
        open: Opener<'_>,
    ) -> Action {
        match message.class() {
            MessageClass::Request if message.has_method(BINDING) => {
                let second = self.ports.map(|ports| ports.second);
                self.binding(client, message, second)
            }
            MessageClass::Request => {
                let method = message.method();
                if ![ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND].contains(&method) {
                    return Action::Reply(error(message, ErrorCode::BAD_REQUEST, None));
                }
                let user = match self.authenticate(client, message, now) {
                    Ok(user) => user,
                    Err(Refused(code)) => return Action::Reply(self.challenge(client, message, code, now)),
                };
                let answer = match method {
                    ALLOCATE => self.allocate(client, message, &user, (now, unix), open),
                    REFRESH => self.refresh(client, message, &user, now),
                    CREATE_PERMISSION => self.permit(client, message, &user, now),
                    _ => self.bind(client, message, &user, now),
                };
                Action::Reply(match answer {
                    Ok(mut answer) => {
                        sign(&mut answer, &user.key);
                        answer.finish()
                    }
                    Err(Refused(code)) => error(message, code, Some(&user.key)),
                })
            }
            MessageClass::Indication if message.has_method(SEND) => self.send(client, message, bytes, now),
            _ => Action::Drop,
        }
    }

    /// Says where the client is seen. `other`: the port that this did not come to.
    pub(super) fn binding(&self, client: Client, message: &Message<'_>, other: Option<u16>) -> Action {
        let other = other.filter(|_| client.stream.is_none());
        let ip = self.ports.and_then(|ports| {
            let family = usize::from(client.address.is_ipv6());
            ports.addresses[family]
        });
        let named = ip.zip(other).map(SocketAddr::from);
        match (from_where(message), other) {
            (From::Same, _) => Action::Reply(binding_answer(client, message, named)),
            (From::OtherPort, Some(_)) => Action::ReplyFromOther(binding_answer(client, message, named)),
            (From::OtherPort | From::OtherAddress, _) => Action::Reply(no_other_address(message)),
        }
    }

    /// Whose request it is. A client without credentials, or with those that do not hold, leaves nothing
    /// behind.
    fn authenticate(&self, client: Client, message: &Message<'_>, now: Instant) -> Result<User, Refused> {
        let (Ok(name), Ok(realm), Ok(nonce)) = (
            message.attribute::<Username>(),
            message.attribute::<Realm>(),
            message.attribute::<Nonce>(),
        ) else {
            return Err(Refused(ErrorCode::UNAUTHORIZED));
        };
        let name = name.username();
        let password = self.config.secret.password(name);
        let credentials = LongTermKeyCredentials::new(name.to_owned(), password, REALM.to_owned());
        let key = credentials.make_key(IntegrityAlgorithm::Sha1);
        if realm.realm() != REALM || message.validate_integrity_with_key(&key).is_err() {
            return Err(Refused(ErrorCode::UNAUTHORIZED));
        }
        if !self
            .config
            .secret
            .is_fresh(nonce.nonce(), client.address, self.second(now))
        {
            return Err(Refused(ErrorCode::STALE_NONCE));
        }
        Ok(User {
            name: name.to_owned(),
            key,
        })
    }

    /// An error that says how to come back (RFC 8489, 9.2.4).
    fn challenge(&self, client: Client, message: &Message<'_>, code: u16, now: Instant) -> Vec<u8> {
        let nonce = self.config.secret.nonce(client.address, self.second(now));
        let mut answer = error_of(message, code);
        let realm = Realm::new(REALM).expect("short");
        answer.add_attribute(&realm).expect("it is the first of its kind");
        let nonce = Nonce::new(&nonce).expect("short");
        answer.add_attribute(&nonce).expect("it is the first of its kind");
        answer.add_fingerprint().expect("it is the last");
        answer.finish()
    }

    fn allocate(
        &mut self,
        client: Client,
        message: &Message<'_>,
        user: &User,
        (now, unix): (Instant, u64),
        open: Opener<'_>,
    ) -> Result<MessageWriteVec, Refused> {
        if let Some(known) = self.allocations.get(&client) {
            // The answer was lost.
            if known.made_by == message.transaction_id() && *known.user == *user.name {
                let legs: Vec<_> = known.legs().collect();
                let left = known.expires.saturating_duration_since(now);
                return Ok(allocated(client, message, &legs, &[], left));
            }
            return Err(Refused(ErrorCode::ALLOCATION_MISMATCH));
        }
        // They need hold only now: a call that goes on keeps its relay.
        if expiry(&user.name).is_none_or(|until| until <= unix) {
            return Err(Refused(ErrorCode::UNAUTHORIZED));
        }
        let transport = message.attribute::<RequestedTransport>();
        match transport.map(|transport| transport.protocol()) {
            Ok(RequestedTransport::UDP) => {}
            Ok(_) => return Err(Refused(ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL)),
            Err(_) => return Err(Refused(ErrorCode::BAD_REQUEST)),
        }
        // Pairs of ports were for RTP without multiplexing; an even one alone can be had.
        let even = message.attribute::<EvenPort>();
        if even.as_ref().is_ok_and(EvenPort::requested) || message.has_attribute(ReservationToken::TYPE) {
            return Err(Refused(ErrorCode::INSUFFICIENT_CAPACITY));
        }
        let is_even = even.is_ok();
        let wanted = families(message)?;
        let held = self.users.get(user.name.as_str()).copied().unwrap_or(0);
        if held >= self.config.limits.of_one {
            return Err(Refused(ErrorCode::ALLOCATION_QUOTA_REACHED));
        }
        if self.allocations.len() >= self.config.limits.of_all {
            return Err(Refused(ErrorCode::INSUFFICIENT_CAPACITY));
        }
        let (mut legs, mut failed) = ([None, None], Vec::new());
        for family in &wanted {
            let is_v6 = *family == AddressFamily::IPV6;
            match open(Wanted { is_v6, is_even }) {
                Ok((id, address)) => legs[usize::from(is_v6)] = Some(Leg { id, address }),
                Err(error) => failed.push((*family, error.kind())),
            }
        }
        let opened: Vec<Leg> = legs.iter().flatten().copied().collect();
        if opened.is_empty() {
            // What this machine does not have, or what it has no more of.
            let is_missing = failed.iter().all(|(_, kind)| *kind == io::ErrorKind::Unsupported);
            return Err(Refused(if is_missing {
                ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED
            } else {
                ErrorCode::INSUFFICIENT_CAPACITY
            }));
        }
        let lifetime = lifetime(message);
        let id = message.transaction_id();
        let allocation = Allocation::new(&user.name, id, legs, now + lifetime);
        for leg in &opened {
            self.legs.insert(leg.id, client);
            self.addresses.insert(leg.address, leg.id);
        }
        self.allocations.insert(client, allocation);
        *self.users.entry(user.name.as_str().into()).or_default() += 1;
        self.sweep.get_or_insert(now + SWEEP);
        let failed: Vec<_> = failed.into_iter().map(|(family, _)| family).collect();
        Ok(allocated(client, message, &opened, &failed, lifetime))
    }

    fn refresh(
        &mut self,
        client: Client,
        message: &Message<'_>,
        user: &User,
        now: Instant,
    ) -> Result<MessageWriteVec, Refused> {
        let is_end = message
            .attribute::<Lifetime>()
            .is_ok_and(|asked| asked.seconds() == 0);
        let allocation = self.own(client, user, now)?;
        let given = if is_end { Duration::ZERO } else { lifetime(message) };
        allocation.expires = now + given;
        if is_end {
            self.remove(client);
        }
        let mut answer = Message::builder_success(message, MessageWriteVec::with_capacity(128));
        add(&mut answer, &Lifetime::new(seconds(given)));
        Ok(answer)
    }

    fn permit(
        &mut self,
        client: Client,
        message: &Message<'_>,
        user: &User,
        now: Instant,
    ) -> Result<MessageWriteVec, Refused> {
        let id = message.transaction_id();
        let peers = (0..).map_while(|n| message.nth_attribute::<XorPeerAddress>(n).ok());
        let peers: Vec<SocketAddr> = peers.map(|peer| peer.addr(id)).collect();
        if peers.is_empty() {
            return Err(Refused(ErrorCode::BAD_REQUEST));
        }
        let allowed = peers.iter().all(|peer| self.is_allowed_peer(peer.ip()));
        let allocation = self.own(client, user, now)?;
        if peers.iter().any(|peer| allocation.leg(peer.is_ipv4()).is_none()) {
            return Err(Refused(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH));
        }
        if !allowed {
            return Err(Refused(ErrorCode::FORBIDDEN));
        }
        for peer in peers {
            if !allocation.permit(peer.ip(), now) {
                return Err(Refused(ErrorCode::INSUFFICIENT_CAPACITY));
            }
        }
        Ok(Message::builder_success(
            message,
            MessageWriteVec::with_capacity(128),
        ))
    }

    fn bind(
        &mut self,
        client: Client,
        message: &Message<'_>,
        user: &User,
        now: Instant,
    ) -> Result<MessageWriteVec, Refused> {
        let (Ok(number), Ok(peer)) = (
            message.attribute::<ChannelNumber>(),
            message.attribute::<XorPeerAddress>(),
        ) else {
            return Err(Refused(ErrorCode::BAD_REQUEST));
        };
        let (number, peer) = (number.channel(), peer.addr(message.transaction_id()));
        let allowed = self.is_allowed_peer(peer.ip());
        let allocation = self.own(client, user, now)?;
        if allocation.leg(peer.is_ipv4()).is_none() {
            return Err(Refused(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH));
        }
        if !allowed {
            return Err(Refused(ErrorCode::FORBIDDEN));
        }
        // RFC 5766's range: older clients use all of it.
        if !(0x4000..=0x7ffe).contains(&number) || !allocation.bind(number, peer, now) {
            return Err(Refused(ErrorCode::BAD_REQUEST));
        }
        Ok(Message::builder_success(
            message,
            MessageWriteVec::with_capacity(128),
        ))
    }

    /// A Send indication: nothing is answered, whatever is wrong with it.
    fn send(&self, client: Client, message: &Message<'_>, bytes: &[u8], now: Instant) -> Action {
        let (Ok(peer), Ok(data)) = (message.attribute::<XorPeerAddress>(), message.attribute::<Data>())
        else {
            return Action::Drop;
        };
        let peer = peer.addr(message.transaction_id());
        let offset = (data.data().as_ptr() as usize).checked_sub(bytes.as_ptr() as usize);
        let Some(start) = offset.filter(|start| start + data.data().len() <= bytes.len()) else {
            return Action::Drop;
        };
        self.forward(client, peer, start..start + data.data().len(), now)
    }

    /// The client's allocation, if it is this user's.
    fn own(&mut self, client: Client, user: &User, now: Instant) -> Result<&mut Allocation, Refused> {
        match self.allocations.get_mut(&client) {
            Some(allocation) if allocation.expires <= now => Err(Refused(ErrorCode::ALLOCATION_MISMATCH)),
            Some(allocation) if *allocation.user == *user.name => Ok(allocation),
            Some(_) => Err(Refused(ErrorCode::WRONG_CREDENTIALS)),
            None => Err(Refused(ErrorCode::ALLOCATION_MISMATCH)),
        }
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs()
    }
}

fn binding_answer(client: Client, message: &Message<'_>, other: Option<SocketAddr>) -> Vec<u8> {
    let mut answer = Message::builder_success(message, MessageWriteVec::with_capacity(64));
    let mapped = XorMappedAddress::new(client.address, message.transaction_id());
    add(&mut answer, &mapped);
    if let Some(other) = other {
        add(&mut answer, &other_address(other));
    }
    answer.add_fingerprint().expect("it is the last");
    answer.finish()
}

/// The families of addresses that are asked for (RFC 8656, 7.2).
fn families(message: &Message<'_>) -> Result<Vec<AddressFamily>, Refused> {
    let one = message.attribute::<RequestedAddressFamily>();
    let more = message.attribute::<AdditionalAddressFamily>();
    match (one, more) {
        (Ok(_), Ok(_)) => Err(Refused(ErrorCode::BAD_REQUEST)),
        (Ok(one), Err(_)) => Ok(vec![one.family()]),
        (Err(_), Ok(more)) if more.family() == AddressFamily::IPV6 => {
            Ok(vec![AddressFamily::IPV4, AddressFamily::IPV6])
        }
        (Err(_), Ok(_)) => Err(Refused(ErrorCode::BAD_REQUEST)),
        (Err(_), Err(_)) => Ok(vec![AddressFamily::IPV4]),
    }
}

fn lifetime(message: &Message<'_>) -> Duration {
    let asked = message.attribute::<Lifetime>().map(|asked| asked.seconds());
    Duration::from_secs(asked.unwrap_or(SHORTEST).clamp(SHORTEST, LONGEST).into())
}

fn seconds(lifetime: Duration) -> u32 {
    u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)
}

fn allocated(
    client: Client,
    message: &Message<'_>,
    legs: &[Leg],
    failed: &[AddressFamily],
    lifetime: Duration,
) -> MessageWriteVec {
    let id = message.transaction_id();
    let mut answer = Message::builder_success(message, MessageWriteVec::with_capacity(192));
    for leg in legs {
        add(&mut answer, &XorRelayedAddress::new(leg.address, id));
    }
    for family in failed {
        let code = ErrorCode::builder(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
        let error = AddressErrorCode::new(*family, code.build().expect("a code with its usual reason"));
        add(&mut answer, &error);
    }
    add(&mut answer, &Lifetime::new(seconds(lifetime)));
    add(&mut answer, &XorMappedAddress::new(client.address, id));
    answer
}

fn error_of(message: &Message<'_>, code: u16) -> MessageWriteVec {
    let mut answer = Message::builder_error(message, MessageWriteVec::with_capacity(192));
    let error = ErrorCode::builder(code).build();
    add(&mut answer, &error.expect("a code with its usual reason"));
    answer
}

fn error(message: &Message<'_>, code: u16, key: Option<&IntegrityKey>) -> Vec<u8> {
    let mut answer = error_of(message, code);
    match key {
        Some(key) => sign(&mut answer, key),
        None => answer.add_fingerprint().expect("it is the last"),
    }
    answer.finish()
}

fn sign(answer: &mut MessageWriteVec, key: &IntegrityKey) {
    let software = Software::new("facetty").expect("short");
    add(answer, &software);
    answer
        .add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1)
        .expect("it is the first");
    answer.add_fingerprint().expect("it is the last");
}

fn add(answer: &mut MessageWriteVec, attribute: &dyn turn_types::stun::prelude::AttributeWrite) {
    answer
        .add_attribute(attribute)
        .expect("attributes of a few bytes before the integrity");
}
