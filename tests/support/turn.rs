//! A client of a TURN server, by hand and over UDP: what it is asked, and what is sent through it.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use facetty::io::clock;
use turn_types::attribute::{
    ChannelNumber, Data, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};
use turn_types::stun::attribute::{ErrorCode, Nonce, Realm, Username};
use turn_types::stun::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageIntegrityCredentials,
    MessageType, MessageWrite, MessageWriteExt, MessageWriteVec, Method, TransactionId,
};
use turn_types::stun::prelude::AttributeWrite;

use super::program::DEADLINE;

/// An answer is waited for so long before the request is sent again.
const AGAIN: Duration = Duration::from_millis(500);

/// A client with one socket, and at most one allocation.
pub struct TurnClient {
    pub socket: UdpSocket,
    user: String,
    password: String,
    /// As the server last said.
    realm: String,
    nonce: String,
    buffer: Vec<u8>,
}

impl TurnClient {
    /// Nothing is asked yet.
    pub fn new(server: SocketAddr, user: &str, password: &str) -> Self {
        let own: SocketAddr = match server {
            SocketAddr::V4(_) => ([127, 0, 0, 1], 0).into(),
            SocketAddr::V6(_) => ("::1".parse::<std::net::IpAddr>().expect("an address"), 0).into(),
        };
        let socket = UdpSocket::bind(own).expect("a port");
        socket.connect(server).expect("any address can be connected to");
        Self {
            socket,
            user: user.to_owned(),
            password: password.to_owned(),
            realm: String::new(),
            nonce: String::new(),
            buffer: vec![0; 65_536],
        }
    }

    /// The relayed address, or the error's code.
    pub fn allocate(&mut self) -> Result<SocketAddr, u16> {
        let answer = self.ask(ALLOCATE, &|_| {
            vec![Box::new(RequestedTransport::new(RequestedTransport::UDP))]
        })?;
        let message = Message::from_bytes(&answer).expect("it was read");
        let relayed = message.attribute::<XorRelayedAddress>().expect("an address");
        Ok(relayed.addr(message.transaction_id()))
    }

    /// Lets a peer's address in.
    pub fn permit(&mut self, peer: SocketAddr) -> Result<(), u16> {
        self.ask(CREATE_PERMISSION, &|id| {
            vec![Box::new(XorPeerAddress::new(peer, id))]
        })?;
        Ok(())
    }

    /// Gives a peer a channel.
    pub fn bind(&mut self, channel: u16, peer: SocketAddr) -> Result<(), u16> {
        self.ask(CHANNEL_BIND, &|id| {
            vec![
                Box::new(ChannelNumber::new(channel)),
                Box::new(XorPeerAddress::new(peer, id)),
            ]
        })?;
        Ok(())
    }

    /// For so many seconds more; 0 gives it back.
    pub fn refresh(&mut self, seconds: u32) -> Result<(), u16> {
        self.ask(REFRESH, &|_| vec![Box::new(Lifetime::new(seconds))])?;
        Ok(())
    }

    /// Sends by a Send indication.
    pub fn send(&self, peer: SocketAddr, data: &[u8]) {
        let id = TransactionId::generate();
        let kind = MessageType::from_class_method(MessageClass::Indication, SEND);
        let mut message = Message::builder(kind, id, MessageWriteVec::new());
        let peer = XorPeerAddress::new(peer, id);
        message.add_attribute(&peer).expect("room");
        message.add_attribute(&Data::new(data)).expect("room");
        self.socket.send(&message.finish()).expect("the server is there");
    }

    /// The next data that was relayed, and from whom; `None`: none came for so long.
    pub fn data(&mut self, within: Duration) -> Option<(SocketAddr, Vec<u8>)> {
        self.socket.set_read_timeout(Some(within)).expect("above zero");
        loop {
            let length = self.socket.recv(&mut self.buffer).ok()?;
            let Ok(message) = Message::from_bytes(&self.buffer[..length]) else {
                continue;
            };
            if let (Ok(peer), Ok(data)) = (message.attribute::<XorPeerAddress>(), message.attribute::<Data>())
            {
                return Some((peer.addr(message.transaction_id()), data.data().to_vec()));
            }
        }
    }

    /// Asks, with credentials as soon as they are wanted; the answer, or the error's code.
    fn ask(
        &mut self,
        method: Method,
        attributes: &dyn Fn(TransactionId) -> Vec<Box<dyn AttributeWrite>>,
    ) -> Result<Vec<u8>, u16> {
        let mut challenges = 0;
        loop {
            let answer = self.exchange(method, attributes);
            let message = Message::from_bytes(&answer).expect("it was read");
            let Ok(error) = message.attribute::<ErrorCode>() else {
                return Ok(answer);
            };
            challenges += 1;
            if !matches!(error.code(), 401 | 438) || challenges > 2 {
                return Err(error.code());
            }
            let realm = message.attribute::<Realm>().map(|realm| realm.realm().to_owned());
            let nonce = message.attribute::<Nonce>().map(|nonce| nonce.nonce().to_owned());
            (self.realm, self.nonce) = (realm.expect("a realm"), nonce.expect("a nonce"));
        }
    }

    fn exchange(
        &mut self,
        method: Method,
        attributes: &dyn Fn(TransactionId) -> Vec<Box<dyn AttributeWrite>>,
    ) -> Vec<u8> {
        let id = TransactionId::generate();
        let kind = MessageType::from_class_method(MessageClass::Request, method);
        let mut request = Message::builder(kind, id, MessageWriteVec::new());
        for attribute in attributes(id) {
            request.add_attribute(&*attribute).expect("room");
        }
        if !self.nonce.is_empty() {
            let user = Username::new(&self.user).expect("short");
            request.add_attribute(&user).expect("room");
            let realm = Realm::new(&self.realm).expect("short");
            request.add_attribute(&realm).expect("room");
            let nonce = Nonce::new(&self.nonce).expect("short");
            request.add_attribute(&nonce).expect("room");
            let key =
                LongTermKeyCredentials::new(self.user.clone(), self.password.clone(), self.realm.clone());
            request
                .add_message_integrity(&MessageIntegrityCredentials::from(key), IntegrityAlgorithm::Sha1)
                .expect("room");
        }
        let request = request.finish();
        let until = clock::now() + DEADLINE;
        self.socket.set_read_timeout(Some(AGAIN)).expect("above zero");
        while clock::now() < until {
            // An ICMP error of before may come out here.
            let _ = self.socket.send(&request);
            while let Ok(length) = self.socket.recv(&mut self.buffer) {
                let answer = &self.buffer[..length];
                if Message::from_bytes(answer).is_ok_and(|m| m.is_response() && m.transaction_id() == id) {
                    return answer.to_vec();
                }
            }
        }
        panic!("no answer to {method}");
    }
}
