//! What RFC 5780 adds to STUN, by which a client finds out how its router behaves: the server names a
//! second address of its own (OTHER-ADDRESS), and answers from there where that is asked for
//! (CHANGE-REQUEST). Ours has two ports of one address; that tells mappings and filters by port.

use std::net::{IpAddr, SocketAddr};

use turn_types::stun::attribute::{AttributeType, RawAttribute};
use turn_types::stun::message::{
    BINDING, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec,
    TransactionId,
};

/// RFC 5780, 7.2: answer from another address, or port.
const CHANGE_REQUEST: AttributeType = AttributeType::new(0x0003);
const CHANGE_IP: u32 = 4;
const CHANGE_PORT: u32 = 2;

/// RFC 5780, 7.4.
const OTHER_ADDRESS: AttributeType = AttributeType::new(0x802c);

/// From where a Binding request wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The port that it came to.
    Same,
    /// The other one.
    OtherPort,
    /// What a server with one address does not have.
    OtherAddress,
}

pub(super) fn from_where(request: &Message<'_>) -> From {
    let flags = request.raw_attribute(CHANGE_REQUEST);
    let flags = flags.and_then(|raw| <[u8; 4]>::try_from(&*raw.value).ok());
    match flags.map(u32::from_be_bytes) {
        Some(flags) if flags & CHANGE_IP != 0 => From::OtherAddress,
        Some(flags) if flags & CHANGE_PORT != 0 => From::OtherPort,
        _ => From::Same,
    }
}

/// The answer to who wants what there is not.
pub(super) fn no_other_address(request: &Message<'_>) -> Vec<u8> {
    let mut answer =
        Message::unknown_attributes(request, &[CHANGE_REQUEST], MessageWriteVec::with_capacity(96));
    answer.add_fingerprint().expect("it is the last");
    answer.finish()
}

/// OTHER-ADDRESS, in the form of MAPPED-ADDRESS (RFC 8489, 14.1).
pub(super) fn other_address(address: SocketAddr) -> RawAttribute<'static> {
    let mut value = vec![0, if address.is_ipv4() { 1 } else { 2 }];
    value.extend(address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => value.extend(ip.octets()),
        IpAddr::V6(ip) => value.extend(ip.octets()),
    }
    RawAttribute::new_owned(OTHER_ADDRESS, value.into())
}

/// The second address that a server names in an answer.
pub fn other_address_of(answer: &Message<'_>) -> Option<SocketAddr> {
    let raw = answer.raw_attribute(OTHER_ADDRESS)?;
    let (&[_, family, high, low], ip) = raw.value.split_first_chunk::<4>()?;
    let ip: IpAddr = match family {
        1 => <[u8; 4]>::try_from(ip).ok()?.into(),
        2 => <[u8; 16]>::try_from(ip).ok()?.into(),
        _ => return None,
    };
    Some((ip, u16::from_be_bytes([high, low])).into())
}

/// A Binding request that wants its answer from the server's other port.
pub fn request_from_other_port(id: TransactionId) -> Vec<u8> {
    let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
    let mut request = Message::builder(kind, id, MessageWriteVec::with_capacity(64));
    let flags = CHANGE_PORT.to_be_bytes();
    let change = RawAttribute::new(CHANGE_REQUEST, &flags);
    request.add_attribute(&change).expect("it is the first");
    request.add_fingerprint().expect("it is the last");
    request.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_address_is_read_as_it_was_written() {
        for text in ["203.0.113.9:3479", "[2001:db8::9]:3479"] {
            let address: SocketAddr = text.parse().expect(text);
            let mut answer = Message::builder_request(BINDING, MessageWriteVec::new());
            answer.add_attribute(&other_address(address)).expect("room");
            let bytes = answer.finish();
            let answer = Message::from_bytes(&bytes).expect("a message");
            assert_eq!(other_address_of(&answer), Some(address));
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for value in [
            &[][..],
            &[0, 1, 0],
            &[0, 1, 0, 9, 1, 2, 3],
            &[0, 3, 0, 9, 1, 2, 3, 4],
            &[0, 2, 0, 9, 1, 2, 3, 4],
        ] {
            let mut answer = Message::builder_request(BINDING, MessageWriteVec::new());
            let raw = RawAttribute::new(OTHER_ADDRESS, value);
            answer.add_attribute(&raw).expect("room");
            let bytes = answer.finish();
            let answer = Message::from_bytes(&bytes).expect("a message");
            assert_eq!(other_address_of(&answer), None, "{value:?}");
        }
    }

    #[test]
    fn a_request_says_from_where_it_wants_its_answer() {
        let bytes = request_from_other_port(TransactionId::generate());
        let request = Message::from_bytes(&bytes).expect("a message");
        assert_eq!(from_where(&request), From::OtherPort);
        for (flags, wanted) in [(0, From::Same), (6, From::OtherAddress), (4, From::OtherAddress)] {
            let mut request = Message::builder_request(BINDING, MessageWriteVec::new());
            let flags = u32::to_be_bytes(flags);
            let change = RawAttribute::new(CHANGE_REQUEST, &flags);
            request.add_attribute(&change).expect("room");
            let bytes = request.finish();
            assert_eq!(from_where(&Message::from_bytes(&bytes).expect("one")), wanted);
        }
    }
}
