//! What somebody was given to join: a server and the room on it.

use thiserror::Error;
use url::Url;

use super::message::is_room_name;

/// A server, and perhaps a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The server's base: `http` or `https`, with a path that ends in `/`.
    pub server: Url,
    /// The room that was named.
    pub room: Option<String>,
}

/// Why a text is no invitation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InviteError {
    /// No address at all.
    #[error("{0:?} is no address of a server: {1}; expected something like http://host:7880")]
    NotUrl(String, String),
    /// Neither HTTP nor a WebSocket.
    #[error("{0:?} is neither http:, https:, ws: nor wss:")]
    Scheme(String),
    /// What stands for the room cannot be one.
    #[error("{0:?} is no room: 1 to 64 of A-Z a-z 0-9 . _ -")]
    Room(String),
}

impl Invite {
    /// Reads a link such as `http://host:7880/standup`: the last part of the path is the room,
    /// what stands before it belongs to the server (`https://host/call/standup`). `ws:` and `wss:`
    /// mean `http:` and `https:`, and without a scheme `http:` is meant. A path that ends in `/`,
    /// or in `/ws` (the WebSocket's own), names no room.
    pub fn parse(link: &str) -> Result<Self, InviteError> {
        let mut server = parse_url(link)?;
        let path = server.path().trim_end_matches("/ws/").to_owned();
        let (base, last) = path.rsplit_once('/').unwrap_or(("", &path));
        let room = match last {
            "" | "ws" => None,
            room if is_room_name(room) => Some(room.to_owned()),
            other => return Err(InviteError::Room(other.to_owned())),
        };
        server.set_path(&format!("{base}/"));
        Ok(Self { server, room })
    }

    /// Reads a server's address, of which the whole path belongs to the server.
    pub fn parse_server(address: &str) -> Result<Url, InviteError> {
        let mut server = parse_url(address)?;
        let path = server.path().trim_end_matches('/');
        let base = path.strip_suffix("/ws").unwrap_or(path).to_owned();
        server.set_path(&format!("{base}/"));
        Ok(server)
    }

    /// The link that a browser opens and [`Invite::parse`] reads.
    pub fn link(server: &Url, room: &str) -> String {
        format!("{}/{room}", server.as_str().trim_end_matches('/'))
    }

    /// Where the WebSocket is.
    pub fn websocket(server: &Url) -> Url {
        let mut url = server.clone();
        let scheme = if matches!(url.scheme(), "https" | "wss") {
            "wss"
        } else {
            "ws"
        };
        url.set_scheme(scheme)
            .expect("from one special scheme to another");
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/ws"));
        url
    }
}

fn parse_url(text: &str) -> Result<Url, InviteError> {
    let text = text.trim();
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let not_url = |why: &str| InviteError::NotUrl(text.to_owned(), why.to_owned());
    let mut url = Url::parse(&with_scheme).map_err(|e| not_url(&e.to_string()))?;
    let scheme = match url.scheme() {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        other => return Err(InviteError::Scheme(other.to_owned())),
    };
    url.set_scheme(scheme)
        .expect("from one special scheme to another");
    if !url.username().is_empty() || url.password().is_some() {
        return Err(not_url("it names a user"));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_link_is_a_server_and_a_room() {
        for (link, server, room) in [
            ("http://host:7880/standup", "http://host:7880/", Some("standup")),
            (
                "https://meet.example.org/call/standup",
                "https://meet.example.org/call/",
                Some("standup"),
            ),
            ("wss://host/a.b_c-d", "https://host/", Some("a.b_c-d")),
            ("host:7880/x", "http://host:7880/", Some("x")),
            ("192.168.1.23:7880/x?y#z", "http://192.168.1.23:7880/", Some("x")),
            ("[fe80::1]:7880/x", "http://[fe80::1]:7880/", Some("x")),
            ("http://host", "http://host/", None),
            ("ws://host:7880/ws", "http://host:7880/", None),
            ("https://host/call/", "https://host/call/", None),
        ] {
            let invite = Invite::parse(link).unwrap();
            assert_eq!(
                (invite.server.as_str(), invite.room.as_deref()),
                (server, room),
                "{link}"
            );
        }
    }

    #[test]
    fn what_is_no_link_is_told_so() {
        assert!(matches!(Invite::parse(""), Err(InviteError::NotUrl(..))));
        assert!(matches!(Invite::parse("http://"), Err(InviteError::NotUrl(..))));
        assert!(matches!(
            Invite::parse("http://me:pw@host/x"),
            Err(InviteError::NotUrl(..))
        ));
        assert!(matches!(
            Invite::parse("ftp://host/x"),
            Err(InviteError::Scheme(_))
        ));
        assert!(matches!(
            Invite::parse("http://host/a b"),
            Err(InviteError::Room(_))
        ));
    }

    #[test]
    fn a_server_keeps_its_path() {
        for (address, server, socket) in [
            ("host:7880", "http://host:7880/", "ws://host:7880/ws"),
            ("https://host/call", "https://host/call/", "wss://host/call/ws"),
            ("wss://host/call/ws", "https://host/call/", "wss://host/call/ws"),
        ] {
            let url = Invite::parse_server(address).unwrap();
            assert_eq!((url.as_str(), Invite::websocket(&url).as_str()), (server, socket));
        }
    }

    #[test]
    fn a_websocket_is_found_from_any_form() {
        for (base, socket) in [
            ("ws://h:1", "ws://h:1/ws"),
            ("http://h:1/", "ws://h:1/ws"),
            ("wss://h", "wss://h/ws"),
            ("https://h/x/", "wss://h/x/ws"),
        ] {
            assert_eq!(Invite::websocket(&Url::parse(base).unwrap()).as_str(), socket);
        }
    }

    proptest! {
        #[test]
        fn a_link_that_is_made_is_read(room in "[A-Za-z0-9_-]{1,64}", port: u16) {
            prop_assume!(room != "ws");
            let server = Url::parse(&format!("http://host:{port}/")).unwrap();
            let invite = Invite::parse(&Invite::link(&server, &room)).unwrap();
            prop_assert_eq!(invite, Invite { server, room: Some(room) });
        }

        #[test]
        fn no_link_is_too_strange(text in any::<String>()) {
            let _ = Invite::parse(&text);
            let _ = Invite::parse_server(&text);
        }
    }
}
