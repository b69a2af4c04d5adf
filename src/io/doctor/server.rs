//! The meeting point: joined for a moment, in a room that nobody else is in.

use url::Url;

use super::judge::{milliseconds, rounded};
use super::report::{Check, Finding};
use crate::call::paths::Server;
use crate::io::clock;
use crate::io::servers::route;
use crate::io::socket::{self, JoinRequest, SocketError, SocketEvent};
use crate::signal::code::Code;
use crate::signal::message::ServerMessage;
use crate::text::SafeText;

/// Joins, and says what the meeting point hands out.
pub(super) async fn check(server: Option<Url>) -> (Finding, Vec<Server>) {
    let Some(server) = server else {
        let message = "none is named: rooms are opened here, and found on this network";
        return (Finding::ok(Check::Server, message), Vec::new());
    };
    let shown = server.as_str().trim_end_matches('/');
    let shown = match shown.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => shown.to_owned(),
    };
    let request = JoinRequest {
        server,
        room: Code::random().to_string(),
        name: SafeText::name("doctor"),
        key: socket::new_key(),
    };
    let began = clock::now();
    let mut socket = socket::connect(request);
    let result = loop {
        match socket.event().await {
            SocketEvent::Message(ServerMessage::Welcome { ice_servers, .. }) => break Ok(ice_servers),
            SocketEvent::Failed(error) => break Err(error),
            SocketEvent::Message(_) | SocketEvent::Up | SocketEvent::Down { .. } => {}
        }
    };
    let took = clock::now().saturating_duration_since(began);
    match result {
        Ok(ice_servers) => {
            socket.leave().await;
            let secure = match shown.starts_with("wss:") {
                true => "TLS with a certificate that is trusted, ",
                false => "",
            };
            let message = format!("{shown}, {secure}joined in {}", milliseconds(took));
            let finding = Finding::ok(Check::Server, message)
                .with("url", shown)
                .with("ms", rounded(took));
            (finding, Server::of(&ice_servers))
        }
        Err(error) => {
            let finding = match error {
                SocketError::Unreachable { why, remedy, .. } => {
                    Finding::failure(Check::Server, format!("{shown} is not reached: {why}"), remedy)
                }
                SocketError::Refused { message, code, .. } => Finding::failure(
                    Check::Server,
                    format!("{shown} refused: {message}"),
                    "see that both run the same version, and try again in a minute where it is full",
                )
                .with("code", code.word()),
            };
            (finding.with("url", shown), Vec::new())
        }
    }
}

/// The own addresses on the ways to the world.
pub(super) fn addresses() -> Finding {
    let far = ["192.0.2.1:9", "[2001:db8::1]:9"];
    let routed = far.iter().filter_map(|far| route(far.parse().ok()?).ok());
    let routed: Vec<_> = routed
        .filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
        .collect();
    let others = if_addrs::get_if_addrs().unwrap_or_default();
    let others = others.iter().map(|interface| interface.ip());
    let others = others.filter(|ip| match ip {
        std::net::IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_loopback(),
        std::net::IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_loopback(),
    });
    let mut all = routed;
    for ip in others {
        if !all.contains(&ip) {
            all.push(ip);
        }
    }
    let shown: Vec<_> = all.iter().map(ToString::to_string).collect();
    let finding = match shown.len() {
        0 => Finding::warning(
            Check::Addresses,
            "none but this machine's own: calls reach nobody else",
            "connect it to a network",
        ),
        1..=4 => Finding::ok(Check::Addresses, shown.join(", ")),
        more => Finding::ok(
            Check::Addresses,
            format!("{}, and {} more", shown[..3].join(", "), more - 3),
        ),
    };
    finding.with("addresses", shown)
}
