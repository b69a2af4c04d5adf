//! What is asked by HTTP: pages, and to become a WebSocket.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Extension;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::header::{HOST, LOCATION, ORIGIN, UPGRADE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use url::Url;

use super::Shared;
use super::websocket::serve_socket;
use crate::io::page;
use crate::signal::message::{MAX_MESSAGE, is_room_name};
use crate::signal::rooms::SocketId;

/// What tungstenite takes at a time; its own 128 KiB would be most of what a quiet socket costs.
const READ_BUFFER: usize = 4 * 1024;

/// What tungstenite gathers before it writes.
const WRITE_BUFFER: usize = 8 * 1024;

/// What a proxy adds to what it passes on.
const FORWARDED: [&str; 3] = ["x-forwarded-for", "x-forwarded-proto", "forwarded"];

pub(super) async fn home(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    page::home(&public_url(&headers, &shared), &headers)
}

pub(super) async fn room(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Response {
    if !is_room_name(&name) {
        return page::not_found(&format!("/{name}"));
    }
    page::room(&public_url(&headers, &shared), &name, &headers)
}

pub(super) async fn part(headers: HeaderMap, Path((version, name)): Path<(String, String)>) -> Response {
    page::part(&version, &name, &headers)
        .unwrap_or_else(|| page::not_found(&format!("/page/{version}/{name}")))
}

pub(super) async fn not_found(uri: Uri) -> Response {
    page::not_found(uri.path())
}

pub(super) async fn websocket(
    State(shared): State<Arc<Shared>>,
    Extension(From(from)): Extension<From>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if !is_allowed(&headers, &shared.allow_origin) {
        return (
            StatusCode::FORBIDDEN,
            "this origin may not join here (--allow-origin)\n",
        )
            .into_response();
    }
    let from = client(from, &headers);
    let through = FORWARDED.iter().any(|name| headers.contains_key(*name));
    let ice_servers = shared.ice.servers(host(&headers), through);
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        // One whole message and its header beside what was gathered.
        .max_write_buffer_size(WRITE_BUFFER + MAX_MESSAGE + 16)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(async move |socket| {
            let alive = shared.alive.clone();
            let id = SocketId(shared.next_socket.fetch_add(1, Ordering::Relaxed));
            let events = shared.events.clone();
            drop(shared);
            serve_socket(socket, id, (from, ice_servers), events).await;
            drop(alive);
        })
}

/// The other end of a connection.
#[derive(Clone, Copy)]
pub(super) struct From(pub(super) IpAddr);

/// Who asks: `None` for this machine itself. A proxy on this machine says for whom it asks; what
/// came to it under that header stands before its own word.
fn client(from: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    if !from.to_canonical().is_loopback() {
        return Some(from);
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back()?;
    let last = forwarded.to_str().ok()?.rsplit(',').next()?;
    last.trim().parse().ok()
}

/// An `Origin`, which browsers send and forge for nobody, must be the server's own or listed;
/// otherwise any page could speak with the rights of whoever looks at it. Terminals send none.
fn is_allowed(headers: &HeaderMap, allow_origin: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else { return false };
    let listed = |allowed: &String| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin);
    if allow_origin.iter().any(listed) {
        return true;
    }
    let (Ok(origin), Some(host)) = (Url::parse(origin), host(headers)) else {
        return false;
    };
    // With the origin's own scheme, so that a default port may be left out on either side.
    let Ok(own) = Url::parse(&format!("{}://{host}", origin.scheme())) else {
        return false;
    };
    origin.origin().is_tuple() && origin.origin() == own.origin()
}

/// How the browser that asks reached the server, which is how others may.
fn public_url(headers: &HeaderMap, shared: &Shared) -> String {
    let local = shared.local;
    let forwarded = headers.get("x-forwarded-proto");
    let secure = shared.is_secure || forwarded.is_some_and(|proto| proto == "https");
    let scheme = if secure { "https" } else { "http" };
    match host(headers) {
        Some(host) => format!("{scheme}://{host}"),
        None => format!("{scheme}://{local}"),
    }
}

/// Whoever speaks plain HTTP to a port of TLS is sent to the same page by TLS; a WebSocket cannot be sent
/// anywhere, and is told.
pub(super) async fn to_https(headers: HeaderMap, uri: Uri) -> Response {
    let word = "this port speaks TLS: use https: and wss:\n";
    let host = host(&headers).filter(|_| !headers.contains_key(UPGRADE));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    match host {
        Some(host) => {
            let to = format!("https://{host}{path}");
            // Not for good: without TLS the same port is plain again.
            (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, to)], word).into_response()
        }
        None => (
            StatusCode::UPGRADE_REQUIRED,
            [(UPGRADE, "TLS/1.2, HTTP/1.1")],
            word,
        )
            .into_response(),
    }
}

fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(HOST)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    (!host.is_empty() && host.bytes().all(plain)).then_some(host)
}
