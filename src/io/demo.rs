//! A call on this machine with the built-in peer, through a real server, ICE, DTLS and SRTP.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use tokio::sync::oneshot;

use super::drive::{self, CallOptions, Interface, Place};
use super::error::CallError;
use super::meet::Meeting;
use super::sound::{MicSource, SpeakerSink};
use super::source::CameraSource;
use crate::text::SafeText;

/// The demo's room.
const ROOM: &str = "demo";

/// Runs the demo to its end. The built-in peer runs on a thread of its own, as a second program would.
///
/// # Errors
/// What ended it otherwise than as asked.
pub async fn run(mut options: CallOptions, log: Option<PathBuf>) -> Result<(), CallError> {
    options.room = ROOM.to_owned();
    let meeting = Meeting::opened(ROOM, Ipv4Addr::LOCALHOST.into(), false)?;
    let peer = CallOptions {
        name: SafeText::name("echo"),
        camera: CameraSource::Test,
        mic: MicSource::Tone,
        speaker: SpeakerSink::None,
        chimes: false,
        mic_on: true,
        camera_on: true,
        max_bitrate: None,
        interface: Interface::Echo,
        duration: None,
        server: Some(meeting.server.clone()),
        ..options.clone()
    };
    let (quit, ended) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new()
        .name("echo".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let quit = async {
                let _ = ended.await;
            };
            runtime.map(|runtime| runtime.block_on(drive::run(peer, Place::ByOptions, None, quit)))
        })
        .expect("the system starts a thread");
    let result = drive::run(
        options,
        Place::Known(Box::new(meeting)),
        log,
        std::future::pending(),
    )
    .await;
    drop(quit);
    match thread.join() {
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the built-in peer ended early"),
        Ok(Err(error)) => tracing::warn!(%error, "the built-in peer did not start"),
        _ => {}
    }
    result
}
