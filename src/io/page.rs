//! The browser's side: a page and its parts, compiled in, that joins a room like any other person.
//!
//! The page is small enough to be read as it is served: no build step, nothing from elsewhere. Its
//! parts lie under a path that names their content, so a browser keeps them for good and asks for the
//! page alone again. All links are relative, so a proxy may put the server below a path.

use std::io::Write;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("page/index.html");
const MISSING: &str = include_str!("page/missing.html");

macro_rules! parts {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("page/", $name)))),*] };
}

/// What the page loads.
const PARTS: &[(&str, &str)] = parts![
    "style.css",
    "icon.svg",
    "main.js",
    "dom.js",
    "media.js",
    "peer.js",
    "rate.js",
    "room.js",
    "signaling.js",
    "words.js",
    "view/call.js",
    "view/chat.js",
    "view/controls.js",
    "view/figures.js",
    "view/join.js",
    "view/tiles.js",
];

/// What the page may do: load its own parts and talk to this server. No markup is made of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// Camera, microphone and screen for this page alone, and no sensor at all.
const PERMISSIONS: &str = "camera=(self), microphone=(self), display-capture=(self), \
     screen-wake-lock=(self), geolocation=(), payment=(), usb=()";

/// A part as it is served.
struct Part {
    mime: &'static str,
    plain: &'static str,
    zipped: Bytes,
}

struct Parts {
    /// Names the content of all parts together.
    version: String,
    list: Vec<(&'static str, Part)>,
    /// Tells the browser of all modules at once, before it has read the first.
    preload: String,
}

static ALL: LazyLock<Parts> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, text) in PARTS {
        hash.update(name);
        hash.update(text);
    }
    let version = HEXLOWER.encode(&hash.finalize()[..6]);
    let modules = PARTS.iter().filter(|(name, _)| name.ends_with(".js"));
    let preload = modules
        .map(|(name, _)| format!("<link rel=\"modulepreload\" href=\"page/{version}/{name}\">\n"))
        .collect();
    let list = PARTS.iter().map(|&(name, plain)| {
        let part = Part {
            mime: mime(name),
            plain,
            zipped: zip(plain),
        };
        (name, part)
    });
    Parts {
        version,
        list: list.collect(),
        preload,
    }
});

/// The page of a server at `server` (`http://host:7880`), which must have been checked: it asks for a
/// room.
pub fn home(server: &str, headers: &HeaderMap) -> Response {
    let command = format!("facetty --room NAME --server {server}");
    let lead = "Meet here from a terminal, in a room of any name:";
    page("facetty", "", lead, &command, headers)
}

/// The page of a room, whose name must have been checked.
pub fn room(server: &str, room: &str, headers: &HeaderMap) -> Response {
    let command = format!("facetty --room {room} --server {server}");
    let lead = "Join this room from a terminal, or allow scripts:";
    page(&format!("{room} · facetty"), room, lead, &command, headers)
}

/// There is no page at this path.
pub fn not_found(path: &str) -> Response {
    // Relative, as everything: from below a folder of ours, and of a proxy's.
    let depth = path.matches('/').count().saturating_sub(1).min(32);
    let text = fill(MISSING, &[("up", &"../".repeat(depth)), ("assets", &assets())]);
    (StatusCode::NOT_FOUND, security(), NOT_KEPT, text).into_response()
}

/// A part of the page; `None` where there is none, or not of this version.
pub fn part(version: &str, name: &str, headers: &HeaderMap) -> Option<Response> {
    if version != ALL.version {
        return None;
    }
    let (_, part) = ALL.list.iter().find(|(own, _)| *own == name)?;
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static(part.mime)),
        (
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=31536000, immutable"),
        ),
        (VARY, HeaderValue::from_static("accept-encoding")),
    ];
    let zipped = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(takes_gzip);
    Some(if zipped {
        let encoding = [(CONTENT_ENCODING, "gzip")];
        (security(), head, encoding, part.zipped.clone()).into_response()
    } else {
        (security(), head, part.plain).into_response()
    })
}

fn page(title: &str, room: &str, lead: &str, command: &str, headers: &HeaderMap) -> Response {
    let text = fill(
        PAGE,
        &[
            ("title", &escape(title)),
            ("room", &escape(room)),
            ("lead", lead),
            ("command", &escape(command)),
            ("assets", &assets()),
            ("preload", &ALL.preload),
        ],
    );
    let tag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(&text)[..8]));
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| {
        known
            .split(',')
            .any(|one| one.trim().trim_start_matches("W/") == tag)
    });
    let head = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (ETAG, tag.as_str()),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, security(), head).into_response();
    }
    (security(), head, text).into_response()
}

const NOT_KEPT: [(HeaderName, &str); 2] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (CACHE_CONTROL, "no-store"),
];

fn security() -> [(HeaderName, &'static str); 6] {
    [
        (CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ]
}

fn assets() -> String {
    format!("page/{}", ALL.version)
}

/// Puts texts, which are markup already, in the place of their names.
fn fill(template: &str, texts: &[(&str, &str)]) -> String {
    texts.iter().fold(template.to_owned(), |page, (name, text)| {
        page.replace(&format!("{{{name}}}"), text)
    })
}

fn mime(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}

fn zip(text: &str) -> Bytes {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::best());
    zipped
        .write_all(text.as_bytes())
        .and_then(|()| zipped.finish())
        .expect("writing into memory does not fail")
        .into()
}

/// Of an `Accept-Encoding` (RFC 9110, 12.5.3): gzip is named, and not with the weight zero.
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=");
        name.trim().eq_ignore_ascii_case("gzip")
            && weight.is_none_or(|weight| weight.parse().is_ok_and(|weight: f32| weight > 0.0))
    })
}

/// For text and for attributes in quotes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a first visit loads, compressed as any browser takes it: page, style and modules.
    const LIGHT: usize = 60_000;

    #[test]
    fn the_page_is_light_and_complete() {
        let weight = PAGE.len() + ALL.list.iter().map(|(_, part)| part.zipped.len()).sum::<usize>();
        assert!(weight <= LIGHT, "{weight} bytes");
        for (name, part) in &ALL.list {
            for line in part.plain.lines().filter(|line| line.starts_with("import ")) {
                let from = line.rsplit('"').nth(1).expect("a quoted name");
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                let path = match from.strip_prefix("../") {
                    Some(above) => above.to_owned(),
                    None => format!("{folder}/{}", from.trim_start_matches("./"))
                        .trim_start_matches('/')
                        .to_owned(),
                };
                assert!(
                    ALL.list.iter().any(|(other, _)| *other == path),
                    "{name} imports {path}"
                );
            }
        }
    }

    #[test]
    fn gzip_is_taken_where_it_is_named() {
        for yes in ["gzip", "deflate, GZIP;q=0.5", "br,gzip"] {
            assert!(takes_gzip(yes), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip;q=0.000", "xgzip"] {
            assert!(!takes_gzip(no), "{no}");
        }
    }
}
