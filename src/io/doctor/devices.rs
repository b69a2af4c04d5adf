//! Camera, microphone and speaker: each is opened as in a call, and let go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::report::{Check, Finding, Verdict};
use crate::io::slot::Slot;
use crate::io::sound::{MicSource, Probed, SpeakerSink, probe_microphone, probe_speaker};
use crate::io::source::{self, CameraSource, SourceEvent};
use crate::media::frame::I420;
use crate::media::wav::WavLoop;

/// A camera opens and shows its first picture in this time, most of them in one second.
const PICTURE_WITHIN: Duration = Duration::from_secs(6);

/// A sound server answers in this time.
const SOUND_WITHIN: Duration = Duration::from_secs(6);

/// The rate that a camera is asked for, in pictures a second: a call's usual one.
const FPS: u32 = 30;

/// No picture of the world is darker, in the mean of its luma (limited range, black is 16).
const DARK: f64 = 18.0;

/// Less than the noise of any microphone that is on, 16 bits and more.
const SILENT: f32 = 1e-5;

/// Takes a picture.
pub(super) async fn camera(source: CameraSource) -> Vec<Finding> {
    if source == CameraSource::None {
        return vec![Finding::ok(Check::Camera, "none, as asked for")];
    }
    let is_chosen = source != CameraSource::Auto;
    let shown = match &source {
        CameraSource::Test => Some("the test picture".to_owned()),
        CameraSource::Y4mStdin => Some("standard input".to_owned()),
        source if !source.is_device() => Some(source.to_string()),
        _ => None,
    };
    let finding = match picture(source).await {
        Ok((name, picture)) => {
            let size = picture.size();
            let name = shown.unwrap_or(name);
            let message = format!("{name}, {}x{}", size.width, size.height);
            match is_dark(&picture) {
                true => Finding::warning(
                    Check::Camera,
                    format!("{message}: the picture is black"),
                    "uncover the lens, or look for the camera's own switch",
                ),
                false => Finding::ok(Check::Camera, message),
            }
            .with("name", name)
            .with("width", size.width)
            .with("height", size.height)
        }
        Err(why) => missing(Check::Camera, &why, is_chosen, "others see you as initials"),
    };
    vec![finding]
}

/// Listens for a moment.
pub(super) async fn microphone(source: MicSource) -> Vec<Finding> {
    let name = match source {
        MicSource::None => return vec![Finding::ok(Check::Microphone, "none, as asked for")],
        MicSource::Tone => return vec![Finding::ok(Check::Microphone, "the tone")],
        MicSource::Wav(path) => {
            return vec![match WavLoop::open(&path) {
                Ok(_) => Finding::ok(Check::Microphone, format!("wav:{}", path.display())),
                Err(error) => missing(Check::Microphone, &format!("--mic: {error}"), true, ""),
            }];
        }
        MicSource::Auto => None,
        MicSource::Device(name) => Some(name),
    };
    let is_chosen = name.is_some();
    let finding = match tried(move || probe_microphone(name.as_deref())).await {
        Ok(Probed { name, peak }) => {
            let peak = peak.unwrap_or(0.0);
            match peak < SILENT {
                true => Finding::warning(
                    Check::Microphone,
                    format!("{name}, which gives nothing but silence"),
                    "unmute it in the system's sound settings, or look for its own switch",
                ),
                false => Finding::ok(Check::Microphone, &name),
            }
            .with("name", name)
            .with("peak", f64::from(peak))
        }
        Err(why) => missing(Check::Microphone, &why, is_chosen, "others do not hear you"),
    };
    vec![finding]
}

/// Opens it; nothing is to be heard.
pub(super) async fn speaker(sink: SpeakerSink) -> Vec<Finding> {
    let name = match sink {
        SpeakerSink::None => return vec![Finding::ok(Check::Speaker, "none, as asked for")],
        SpeakerSink::Wav(path) => {
            return vec![match can_write(&path) {
                Ok(()) => Finding::ok(Check::Speaker, format!("wav:{}", path.display())),
                Err(error) => missing(
                    Check::Speaker,
                    &format!(
                        "--speaker wav:{}: {error}; choose a file that can be written",
                        path.display()
                    ),
                    true,
                    "",
                ),
            }];
        }
        SpeakerSink::Auto => None,
        SpeakerSink::Device(name) => Some(name),
    };
    let is_chosen = name.is_some();
    let finding = match tried(move || probe_speaker(name.as_deref())).await {
        Ok(Probed { name, .. }) => Finding::ok(Check::Speaker, &name).with("name", name),
        Err(why) => missing(Check::Speaker, &why, is_chosen, "you hear nobody"),
    };
    vec![finding]
}

/// A device that is not there: a fault where it was named, and a call with less otherwise. The reasons end
/// with the remedy, after a semicolon or in brackets.
fn missing(check: Check, why: &str, is_chosen: bool, less: &str) -> Finding {
    let in_brackets = why.strip_suffix(')').and_then(|why| why.rsplit_once(" ("));
    let parted = in_brackets.or_else(|| why.split_once("; "));
    let (why, remedy) = parted.unwrap_or((why, "facetty devices lists what there is"));
    let message = match is_chosen || less.is_empty() {
        true => why.to_owned(),
        false => format!("{why}: {less}"),
    };
    let verdict = if is_chosen {
        Verdict::Failure
    } else {
        Verdict::Warning
    };
    Finding::ok(check, message).judged(verdict, remedy)
}

/// The camera's name and its first picture.
async fn picture(source: CameraSource) -> Result<(String, Arc<I420>), String> {
    let (events, mut told) = mpsc::channel(8);
    let arrived = Arc::new(Notify::new());
    let wake = Arc::clone(&arrived);
    let slot = Slot::new(Arc::new(move || wake.notify_one()));
    let source = source::start(source, true, FPS, vec![Arc::clone(&slot)], events)
        .map_err(|error| format!("--camera: {error}"))?;
    let first = async {
        let (mut name, mut picture) = (None, None);
        loop {
            tokio::select! {
                event = told.recv() => match event {
                    Some(SourceEvent::Ready { name: ready, .. }) => name = Some(ready),
                    Some(SourceEvent::Failed(why) | SourceEvent::Lost(why)) => return Err(why),
                    // A clip on standard input may be over before it is looked at.
                    Some(_) => {}
                    None => return Err("it ended".to_owned()),
                },
                () = arrived.notified() => picture = slot.take().or(picture),
            }
            if let (Some(name), Some(picture)) = (&name, &picture) {
                return Ok((name.clone(), Arc::clone(picture)));
            }
        }
    };
    let first = timeout(PICTURE_WITHIN, first).await;
    drop(source);
    first.unwrap_or_else(|_| Err("it shows no picture; look whether another program uses it".to_owned()))
}

/// What is tried on a thread of its own, which a hung sound server keeps and nobody else.
async fn tried(probe: impl FnOnce() -> Result<Probed, String> + Send + 'static) -> Result<Probed, String> {
    match timeout(SOUND_WITHIN, spawn_blocking(probe)).await {
        Ok(Ok(probed)) => probed,
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the sound server does not answer; start it again".to_owned()),
    }
}

fn is_dark(picture: &I420) -> bool {
    let size = picture.size();
    let luma = &picture.bytes()[..size.area() as usize];
    let sum: u64 = luma.iter().map(|&luma| u64::from(luma)).sum();
    (sum as f64) < DARK * luma.len() as f64
}

/// Whether a file could be written; one that is there stays as it is.
fn can_write(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return std::fs::File::options().append(true).open(path).map(drop);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    #[cfg(unix)]
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Size;

    #[test]
    fn a_device_that_was_named_must_be_there_and_others_need_not() {
        let why = "no microphone found; plug one in, or choose another with --mic";
        let chosen = missing(Check::Microphone, why, true, "others do not hear you");
        assert_eq!(chosen.verdict, Verdict::Failure);
        assert_eq!(chosen.message.as_str(), "no microphone found");
        let any = missing(Check::Microphone, why, false, "others do not hear you");
        assert_eq!(any.verdict, Verdict::Warning);
        assert_eq!(
            any.message.as_str(),
            "no microphone found: others do not hear you"
        );
        let remedy = any.remedy.expect("a remedy");
        assert_eq!(remedy.as_str(), "plug one in, or choose another with --mic");
        let busy = missing(
            Check::Camera,
            "cannot open camera 0: EBUSY (os error 16) (another program is using it; end it)",
            true,
            "",
        );
        assert_eq!(
            (busy.message.as_str(), busy.remedy.expect("one").as_str()),
            (
                "cannot open camera 0: EBUSY (os error 16)",
                "another program is using it; end it"
            )
        );
    }

    #[test]
    fn a_covered_lens_is_dark_and_a_dim_room_is_not() {
        let mut picture = I420::new(Size::new(64, 48));
        assert!(is_dark(&picture));
        picture.planes_mut()[0].fill(24);
        assert!(!is_dark(&picture));
    }

    #[test]
    fn a_file_to_be_written_is_neither_made_nor_emptied() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("heard.wav");
        assert!(can_write(&path).is_ok() && !path.exists());
        std::fs::write(&path, "kept").expect("a file");
        assert!(can_write(&path).is_ok());
        assert_eq!(std::fs::read(&path).expect("it is there"), b"kept");
        assert!(can_write(&folder.path().join("no/heard.wav")).is_err());
        assert!(can_write(folder.path()).is_err());
    }
}
