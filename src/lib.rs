//! # facetty: a video call that lives in a terminal
//!
//! Each side encodes camera and voice with ordinary WebRTC codecs and sends them peer to peer over
//! ICE, DTLS and SRTP; each receiver turns the decoded picture into coloured character cells by
//! itself. A WebSocket carries offers, answers and candidates and is needed only to set up.
//!
//! ## The map
//!
//! Four rings; an inner ring never names an outer one (`tests/rings.rs` enforces it).
//!
//! | ring | modules | rule |
//! | --- | --- | --- |
//! | pure | [`media`], [`picture`], [`text`], [`units`] | no clock, no thread, no device, no socket |
//! | sans-IO | [`call`], [`signal`] | `handle_*(…, now)` in, `poll_output()` out |
//! | view | [`ui`] | state, `update(action) -> commands`, `render(frame, &state, area)` |
//! | io | [`io`], [`app`], [`cli`], [`config`], `main` | the only place with tokio, threads, sockets, devices, `Instant::now` |

pub mod app;
pub mod call;
pub mod cli;
pub mod config;
pub mod io;
pub mod media;
pub mod picture;
pub mod signal;
pub mod text;
pub mod ui;
pub mod units;
