//! One attempt: from a server's name to a place in its room.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_tungstenite::client_async_tls_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use url::Url;

use super::client::{Stream, read, write};
use super::words::{in_words, io_in_words};
use super::{Invite, JoinRequest};
use crate::io::{clock, tls};
use crate::signal::limits::Liveness;
use crate::signal::message::{ClientMessage, ErrorCode, MAX_MESSAGE, ServerMessage, VERSION};
use crate::text::SafeText;

/// The head start of one of a server's addresses over the next (RFC 8305, section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Why an attempt did not lead into the room.
pub(super) enum Failure {
    /// The server said no.
    Refused(ErrorCode, SafeText),
    /// Nothing will be different in a second: why, and the remedy.
    Hopeless(String, &'static str),
    /// Something may be.
    Passing(String),
}

const NOT_TRUSTED: &str = "check the address and this machine's clock; a certificate that only you trust goes \
                           into a file that SSL_CERT_FILE names";

const NO_TLS: &str = "ws: instead of wss: is for servers without it";

const ONLY_TLS: &str = "name it with wss: instead of ws: (or https: instead of http:)";

const NO_CERTIFICATES: &str = "name a file with certificates as PEM, or unset SSL_CERT_FILE";

/// Connects and joins: TCP, TLS where asked for, the WebSocket's handshake, `join`, `welcome`.
pub(super) async fn open(request: &JoinRequest) -> Result<(Stream, ServerMessage), Failure> {
    let url = Invite::websocket(&request.server);
    let tcp = connect_tcp(&url).await?;
    // Offers and candidates are small, and each is waited for.
    let _ = tcp.set_nodelay(true);
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(8 * 1024)
        .max_write_buffer_size(256 * 1024)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let connector = match url.scheme() {
        "wss" => Some(tls::connector().map_err(|why| Failure::Hopeless(why, NO_CERTIFICATES))?),
        _ => None,
    };
    let (mut stream, _) = client_async_tls_with_config(url.as_str(), tcp, Some(config), connector)
        .await
        .map_err(handshake_failure)?;
    let join = ClientMessage::Join {
        version: VERSION,
        room: request.room.clone(),
        name: request.name.as_str().to_owned(),
        key: request.key.clone(),
    };
    write(&mut stream, Message::text(join.to_json()))
        .await
        .map_err(Failure::Passing)?;
    let mut live = Liveness::new(clock::now());
    loop {
        match read(&mut stream, &mut live).await.map_err(Failure::Passing)? {
            welcome @ ServerMessage::Welcome { .. } => return Ok((stream, welcome)),
            ServerMessage::Error { code, message } => return Err(Failure::Refused(code, message)),
            // Not from a server that keeps to the protocol; the welcome may yet come.
            _ => {}
        }
    }
}

fn handshake_failure(e: tungstenite::Error) -> Failure {
    const NOT_OURS: &str = "check the address: something else answers there";
    match e {
        tungstenite::Error::Http(answer) if answer.status().is_server_error() => {
            Failure::Passing(format!("it answered {}", answer.status()))
        }
        tungstenite::Error::Http(answer) if answer.status().as_u16() == 426 => {
            Failure::Hopeless("it speaks TLS there".to_owned(), ONLY_TLS)
        }
        tungstenite::Error::Http(answer) => {
            Failure::Hopeless(format!("it answered {}", answer.status()), NOT_OURS)
        }
        tungstenite::Error::Io(e) if e.kind() == io::ErrorKind::InvalidData => {
            let error = e.get_ref().and_then(|inner| inner.downcast_ref());
            match error {
                Some(rustls::Error::InvalidCertificate(_)) => Failure::Hopeless(e.to_string(), NOT_TRUSTED),
                Some(rustls::Error::InvalidMessage(_)) => {
                    Failure::Hopeless("what answers is no TLS".to_owned(), NO_TLS)
                }
                _ => {
                    let remedy = "check the address, its certificate, and this machine's clock";
                    Failure::Hopeless(e.to_string(), remedy)
                }
            }
        }
        e @ tungstenite::Error::Io(_) => Failure::Passing(in_words(&e)),
        e @ tungstenite::Error::Protocol(_) => Failure::Hopeless(in_words(&e), NOT_OURS),
        e => Failure::Hopeless(e.to_string(), "check the address"),
    }
}

/// Tries a server's addresses in turn, each with a head start over the next, so that one that
/// does not answer costs a quarter of a second (RFC 8305).
async fn connect_tcp(url: &Url) -> Result<TcpStream, Failure> {
    let no_host = || Failure::Hopeless("it names no host".to_owned(), "check the address");
    let host = url.host_str().ok_or_else(no_host)?;
    let port = url.port_or_known_default().ok_or_else(no_host)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|e| Failure::Hopeless(e.to_string(), "check the host's name and this machine's network"))?;
    let mut left = alternate(found.collect()).into_iter();
    let mut attempts = JoinSet::new();
    let mut last = None;
    loop {
        if let Some(address) = left.next() {
            attempts.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            Some(done) = attempts.join_next() => match done {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(e)) => last = Some(e),
                Err(e) => last = Some(io::Error::other(e)),
            },
            () = sleep(NEXT_ADDRESS_AFTER), if left.len() > 0 => {}
            else => {}
        }
        if left.len() == 0 && attempts.is_empty() {
            return Err(match last {
                Some(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                    let remedy = "check the address, and that facetty serve runs there";
                    Failure::Hopeless("nobody listens there (connection refused)".to_owned(), remedy)
                }
                Some(e) => Failure::Passing(io_in_words(&e)),
                None => Failure::Hopeless("its name has no address".to_owned(), "check the host's name"),
            });
        }
    }
}

/// IPv6 and IPv4 in turn, the family first that the system put first.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_family = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut preferred, mut others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|a| a.is_ipv6() == first_family);
    preferred.reverse();
    others.reverse();
    let mut mixed = Vec::new();
    while !preferred.is_empty() || !others.is_empty() {
        mixed.extend(preferred.pop());
        mixed.extend(others.pop());
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let list = |text: &str| {
            text.split(' ')
                .map(|a| a.parse().expect("an address"))
                .collect::<Vec<SocketAddr>>()
        };
        let found = list("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1");
        assert_eq!(alternate(found), list("[::1]:1 1.1.1.1:1 [::2]:1 [::3]:1"));
        assert!(alternate(Vec::new()).is_empty());
    }
}
