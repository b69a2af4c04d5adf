//! The STUN and TURN servers to ask: their addresses as URIs (RFC 7064, RFC 7065).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::signal::message::IceServer;

/// The port of STUN and TURN, and that of both over TLS.
pub const PORT: u16 = 3478;
/// Over TLS.
pub const TLS_PORT: u16 = 5349;

/// How a TURN server is talked to. What it relays is UDP in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// In datagrams.
    Udp,
    /// Over a TCP connection: where UDP does not get out.
    Tcp,
    /// Over TLS: where nothing gets out but what looks like the web.
    Tls,
}

/// What a server is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// The own address as seen from outside.
    Stun,
    /// An address of the server's own, to relay from.
    Turn {
        /// How it is talked to.
        transport: Transport,
        /// Whom it serves.
        username: String,
        /// Their password.
        password: String,
    },
}

/// A server.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// A name or an address (IPv6 without brackets).
    pub host: String,
    /// The port.
    pub port: u16,
    /// What it is asked for.
    pub service: Service,
}

/// Why a text names no server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; such as stun:stun.example.org or turn:user:password@turn.example.org?transport=tcp")]
pub struct ServerError(&'static str);

impl Server {
    /// The servers among those that a meeting point names; what cannot be used is left out.
    pub fn of(servers: &[IceServer]) -> Vec<Self> {
        let all = servers
            .iter()
            .flat_map(|server| server.urls.iter().map(move |url| (server, url)));
        all.filter_map(|(server, url)| {
            let credentials = server.username.clone().zip(server.credential.clone());
            match Self::parse(url, credentials) {
                Ok(parsed) => Some(parsed),
                Err(error) => {
                    tracing::debug!(%error, "a server is passed over");
                    None
                }
            }
        })
        .collect()
    }

    /// How it is talked to: STUN by UDP.
    pub fn transport(&self) -> Transport {
        match self.service {
            Service::Stun => Transport::Udp,
            Service::Turn { transport, .. } => transport,
        }
    }

    /// It is talked to in datagrams.
    pub(super) fn is_udp(&self) -> bool {
        self.transport() == Transport::Udp
    }

    /// The same server, asked for the same thing, by whatever name.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        let is_stun = |server: &Self| server.service == Service::Stun;
        (&self.host, self.port, self.transport(), is_stun(self))
            == (&other.host, other.port, other.transport(), is_stun(other))
    }

    /// As a URI says it, with neither user nor password.
    pub fn url(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str, credentials: Option<(String, String)>) -> Result<Self, ServerError> {
        let (scheme, rest) = text.split_once(':').ok_or(ServerError("no scheme"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        let (host, port) = place_of(place)?;
        let asked = match query.split('&').find_map(|pair| pair.strip_prefix("transport=")) {
            None => None,
            Some("udp") => Some(Transport::Udp),
            Some("tcp") => Some(Transport::Tcp),
            Some(_) => return Err(ServerError("the transport is udp or tcp")),
        };
        let transport = match (scheme.to_ascii_lowercase().as_str(), asked) {
            ("stun", _) => {
                let port = port.unwrap_or(PORT);
                let service = Service::Stun;
                return Ok(Self { host, port, service });
            }
            ("turn", asked) => asked.unwrap_or(Transport::Udp),
            ("turns", None | Some(Transport::Tcp)) => Transport::Tls,
            ("turns", _) => return Err(ServerError("turns: is TLS over TCP")),
            _ => return Err(ServerError("the scheme is stun, turn or turns")),
        };
        let own = user.map(|user| {
            // A time-limited name has a colon in it, so the last one counts.
            let (name, password) = user.rsplit_once(':')?;
            Some((unescaped(name)?, unescaped(password)?))
        });
        let (username, password) = match own {
            Some(own) => own,
            None => credentials,
        }
        .ok_or(ServerError("a TURN server wants a user and a password"))?;
        // What a STUN attribute holds (RFC 8489, 14.3).
        if username.is_empty() || username.len() > 508 || password.len() > 508 {
            return Err(ServerError(
                "the user's name has 1 to 508 bytes, a password at most 508",
            ));
        }
        let tls = transport == Transport::Tls;
        Ok(Self {
            host,
            port: port.unwrap_or(if tls { TLS_PORT } else { PORT }),
            service: Service::Turn {
                transport,
                username,
                password,
            },
        })
    }
}

impl FromStr for Server {
    type Err = ServerError;

    /// As `--ice-server` takes it: user and password before an `@`, percent-encoded where they hold a
    /// character that separates.
    fn from_str(text: &str) -> Result<Self, ServerError> {
        Self::parse(text, None)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.service {
            Service::Stun => "stun",
            Service::Turn {
                transport: Transport::Tls,
                ..
            } => "turns",
            Service::Turn { .. } => "turn",
        };
        let transport = match self.transport() {
            Transport::Tcp => "?transport=tcp",
            _ => "",
        };
        let (open, close) = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(f, "{scheme}:{open}{}{close}:{}{transport}", self.host, self.port)
    }
}

/// Not with its password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Transport {
    /// As a user reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// As programs read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

fn place_of(place: &str) -> Result<(String, Option<u16>), ServerError> {
    const WRONG: ServerError = ServerError("no host, or no port from 1 to 65535");
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(WRONG)?;
            if !matches!(host.parse(), Ok(IpAddr::V6(_))) {
                return Err(WRONG);
            }
            match port {
                "" => (host, None),
                port => (host, Some(port.strip_prefix(':').ok_or(WRONG)?)),
            }
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(plain) {
        return Err(WRONG);
    }
    let port = match port {
        None => None,
        Some(port) => Some(port.parse().ok().filter(|port| *port != 0).ok_or(WRONG)?),
    };
    Ok((host.to_owned(), port))
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Server {
        text.parse().expect(text)
    }

    #[test]
    fn servers_are_read_as_users_write_them() {
        for (text, shown) in [
            ("stun:example.org", "stun:example.org:3478"),
            ("stun:[2001:db8::1]:19302", "stun:[2001:db8::1]:19302"),
            ("turn:u:p@example.org", "turn:example.org:3478"),
            (
                "turn:u:p@10.0.0.1:443?transport=tcp",
                "turn:10.0.0.1:443?transport=tcp",
            ),
            ("TURNS:u:p@example.org", "turns:example.org:5349"),
            ("turns:u:p@example.org:443?transport=tcp", "turns:example.org:443"),
        ] {
            assert_eq!(server(text).to_string(), shown, "{text}");
        }
        let of = |text: &str| match server(text).service {
            Service::Turn {
                username, password, ..
            } => (username, password),
            Service::Stun => panic!("{text}"),
        };
        assert_eq!(of("turn:1700:ann:secret@a"), ("1700:ann".into(), "secret".into()));
        assert_eq!(of("turn:a%40b:c%3Ad%25@h"), ("a@b".into(), "c:d%".into()));
        assert!(!format!("{:?}", server("turn:u:hidden@a")).contains("hidden"));
    }

    #[test]
    fn what_is_no_server_is_named() {
        for text in [
            "",
            "stun",
            "stun:",
            "http://example.org",
            "stun:a:0",
            "stun:a:70000",
            "stun:a b",
            "stun:[::1",
            "stun:[a]",
            "turn:example.org",
            "turn:user@example.org",
            "turn::p@example.org",
            "turn:u%zz:p@example.org",
            "turn:u:p@a?transport=sctp",
            "turns:u:p@a?transport=udp",
        ] {
            assert!(text.parse::<Server>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_meeting_points_servers_come_with_their_credentials() {
        let servers = [
            IceServer {
                urls: vec!["stun:a".into(), "turn:a".into(), "gopher:a".into()],
                username: Some("u".into()),
                credential: Some("p".into()),
            },
            IceServer {
                urls: vec!["turn:b".into()],
                username: None,
                credential: None,
            },
        ];
        let shown: Vec<_> = Server::of(&servers).iter().map(Server::url).collect();
        assert_eq!(shown, ["stun:a:3478", "turn:a:3478"]);
    }
}
