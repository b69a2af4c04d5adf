//! What a browser is shown: how to join from a terminal. Nothing in it runs.

use std::sync::LazyLock;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("page/invite.html");
const STYLE: &str = include_str!("page/invite.css");

/// Allows this one style and nothing else: no script, no picture, no frame, no form.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64.encode(&Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// The page of a server at `server` (`http://host:7880`), which must have been checked.
pub fn home(server: &str) -> Response {
    let server = escape(server);
    respond(
        StatusCode::OK,
        &[
            ("title", "facetty"),
            ("heading", "facetty"),
            ("lead", "Meet here from a terminal, in a room of any name:"),
            ("command", &format!("facetty --room NAME --server {server}")),
            ("more", ""),
        ],
    )
}

/// The page of a room, whose name must have been checked.
pub fn room(server: &str, room: &str) -> Response {
    let (server, room) = (escape(server), escape(room));
    respond(
        StatusCode::OK,
        &[
            ("title", &format!("{room} · facetty")),
            ("heading", &room),
            ("lead", "Join this room from a terminal:"),
            ("command", &format!("facetty --room {room} --server {server}")),
            (
                "more",
                &format!("<p>Invite others with <a href=\"{server}/{room}\">{server}/{room}</a></p>"),
            ),
        ],
    )
}

/// There is no such page.
pub fn not_found() -> Response {
    let lead = "A room is named by 1 to 64 letters, digits, dots, dashes and underscores:";
    respond(
        StatusCode::NOT_FOUND,
        &[
            ("title", "Not found · facetty"),
            ("heading", "There is no such room"),
            ("lead", lead),
            ("command", "facetty --room NAME"),
            ("more", ""),
        ],
    )
}

fn respond(status: StatusCode, parts: &[(&str, &str)]) -> Response {
    let page = parts
        .iter()
        .fold(PAGE.to_owned(), |page, (name, text)| {
            page.replace(&format!("{{{name}}}"), text)
        })
        .replace("{style}", STYLE);
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, &POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, page).into_response()
}

/// For text and for attributes in quotes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
