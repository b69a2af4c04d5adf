//! How a router translates addresses, by what several servers see of one socket (RFC 4787, RFC 5780).

use std::net::SocketAddr;

/// How a server sees a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) server: SocketAddr,
    /// The socket's own address on the way there.
    pub(super) local: SocketAddr,
    /// Its address there.
    pub(super) mapped: SocketAddr,
}

/// What all servers see of one socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) seen: Vec<Seen>,
    /// An answer came through from a port that was not asked; `None`: no server can try that.
    pub(super) lets_others_in: Option<bool>,
}

/// How addresses are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nat {
    /// They are not.
    None,
    /// One address towards all; in comes what is from an address that was sent to, or more.
    Open,
    /// One address towards all; in comes only what was sent to, port and all.
    PortRestricted,
    /// One address towards all; what comes in is not known.
    Independent,
    /// Another one towards each server: nobody can be told where to send to.
    Symmetric,
    /// Only one server answered.
    Unknown,
}

impl View {
    /// `None`: nobody answered.
    pub(super) fn nat(&self) -> Option<Nat> {
        let first = self.seen.first()?;
        // A server on this side of the router says nothing of it.
        let mut translated = self.seen.iter().filter(|seen| seen.mapped != seen.local);
        let Some(one) = translated.next() else {
            debug_assert_eq!(first.mapped, first.local);
            return Some(Nat::None);
        };
        let mut others = translated.filter(|seen| seen.server != one.server).peekable();
        if others.peek().is_none() {
            return Some(Nat::Unknown);
        }
        if others.any(|seen| seen.mapped != one.mapped) {
            return Some(Nat::Symmetric);
        }
        Some(match self.lets_others_in {
            Some(true) => Nat::Open,
            Some(false) => Nat::PortRestricted,
            None => Nat::Independent,
        })
    }
}

impl Nat {
    /// As programs read it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Open => "address-restricted",
            Self::PortRestricted => "port-restricted",
            Self::Independent => "endpoint-independent",
            Self::Symmetric => "symmetric",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "192.168.0.200:5000";

    fn view(seen: &[(&str, &str)], lets_others_in: Option<bool>) -> View {
        let address = |text: &str| text.parse().expect(text);
        let seen = seen.iter().map(|(server, mapped)| Seen {
            server: address(server),
            local: address(LOCAL),
            mapped: address(mapped),
        });
        View {
            seen: seen.collect(),
            lets_others_in,
        }
    }

    #[test]
    fn the_kind_is_told_by_what_servers_see() {
        const A: &str = "203.0.113.1:3478";
        const B: &str = "203.0.113.1:3479";
        const HERE: &str = "192.168.0.1:3478";
        const OUT: &str = "198.51.100.9:40000";
        const OUT_TOO: &str = "198.51.100.9:40001";
        for (seen, lets, wanted) in [
            (&[][..], None, None),
            (&[(A, LOCAL), (B, LOCAL)], Some(true), Some(Nat::None)),
            (&[(A, OUT)], None, Some(Nat::Unknown)),
            (&[(A, OUT), (A, OUT)], None, Some(Nat::Unknown)),
            (&[(A, OUT), (B, OUT)], None, Some(Nat::Independent)),
            (&[(A, OUT), (B, OUT)], Some(false), Some(Nat::PortRestricted)),
            (&[(A, OUT), (B, OUT)], Some(true), Some(Nat::Open)),
            (&[(A, OUT), (B, OUT_TOO)], Some(false), Some(Nat::Symmetric)),
            (&[(HERE, LOCAL), (A, OUT), (B, OUT)], None, Some(Nat::Independent)),
            (&[(HERE, LOCAL), (A, OUT)], None, Some(Nat::Unknown)),
        ] {
            assert_eq!(view(seen, lets).nat(), wanted, "{seen:?}");
        }
    }
}
