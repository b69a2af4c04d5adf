//! Where one's own pictures come from: a camera, the test picture, a clip, a still image.
//!
//! Each source has its own thread, which leaves every picture in the slots it was given; the newest
//! wins and nothing waits for a reader.

mod threads;
#[cfg_attr(
    not(feature = "camera"),
    expect(dead_code, reason = "cameras are what it watches")
)]
mod watch;

use std::fmt;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::Thread;
use std::time::Instant;

use tokio::sync::mpsc;

pub(super) use self::threads::load_image;
use crate::io::clock;
use crate::io::slot::Slot;
use crate::media::frame::I420;
use crate::media::y4m::Y4mError;
use crate::units::Size;

/// What `--camera` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraSource {
    /// The first camera there is.
    Auto,
    /// No picture.
    None,
    /// The moving test picture.
    Test,
    /// The camera of this number.
    Index(u32),
    /// The camera of this path, such as `/dev/video0`.
    Device(String),
    /// A still picture.
    Image(PathBuf),
    /// A clip, looped at its own rate.
    Y4m(PathBuf),
    /// Live pictures on standard input.
    Y4mStdin,
}

impl CameraSource {
    /// Whether it is a camera, not a file or a drawing.
    pub fn is_device(&self) -> bool {
        matches!(self, Self::Auto | Self::Index(_) | Self::Device(_))
    }
}

impl FromStr for CameraSource {
    type Err = UnknownSource;

    fn from_str(text: &str) -> Result<Self, UnknownSource> {
        let unknown = || UnknownSource(text.to_owned());
        Ok(match text {
            "auto" => Self::Auto,
            "none" => Self::None,
            "test" => Self::Test,
            "y4m:-" => Self::Y4mStdin,
            _ if text.starts_with("/dev/") => Self::Device(text.to_owned()),
            _ => match text.split_once(':') {
                Some(("image", path)) if !path.is_empty() => Self::Image(path.into()),
                Some(("y4m", path)) if !path.is_empty() => Self::Y4m(path.into()),
                _ => Self::Index(text.parse().map_err(|_| unknown())?),
            },
        })
    }
}

impl fmt::Display for CameraSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Test => f.write_str("test"),
            Self::Index(index) => write!(f, "{index}"),
            Self::Device(path) => f.write_str(path),
            Self::Image(path) => write!(f, "image:{}", path.display()),
            Self::Y4m(path) => write!(f, "y4m:{}", path.display()),
            Self::Y4mStdin => f.write_str("y4m:-"),
        }
    }
}

/// A text that names no source of pictures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no camera: use auto, none, test, a number, /dev/videoN, image:PATH, y4m:PATH or y4m:-")]
pub struct UnknownSource(pub String);

/// What a source tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// Pictures come; told again where they have another size after the camera was off.
    Ready {
        /// The camera's or the file's name.
        name: String,
        /// The pictures' size.
        size: Size,
    },
    /// There will be none; the text says why and what to try.
    Failed(String),
    /// The camera went away; it is taken again when it returns.
    Lost(String),
    /// The camera is back, or another one is in its place.
    Back {
        /// The pictures' size now.
        size: Size,
    },
    /// The input ended; its last picture stays.
    Ended,
}

/// Why a source cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file that is missing or may not be read.
    #[error("cannot open {file}: {1} (check the path and the file's permissions)", file = .0.display())]
    Open(PathBuf, std::io::Error),
    /// A clip that is not readable as one.
    #[error("cannot play {file}: {1}", file = .0.display())]
    Y4m(PathBuf, Y4mError),
    /// A clip without pictures.
    #[error("cannot play {file}: it holds no picture", file = .0.display())]
    Empty(PathBuf),
    /// An image that is not readable as one.
    #[error("cannot show {file}: {1} (PNG, JPEG, WebP, GIF and BMP are read)", file = .0.display())]
    Image(PathBuf, image::ImageError),
    /// `y4m:-` where somebody types.
    #[error("y4m:- reads pictures from standard input, and that is a terminal; pipe a Y4M stream into it")]
    Terminal,
    /// The system gives no thread.
    #[error("cannot start the camera's thread: {0}")]
    Thread(std::io::Error),
}

/// A running source. Dropping it ends its thread and closes its device.
pub struct Source {
    control: Arc<Control>,
    thread: Option<Thread>,
}

/// Starts `source`, on or off; `fps` (1 to 60) is for those that have no rate of their own. Every picture goes
/// into each of `outputs`; `events` should hold eight (one that finds no room is lost).
pub fn start(
    source: CameraSource,
    on: bool,
    fps: u32,
    outputs: Vec<Arc<Slot<I420>>>,
    events: mpsc::Sender<SourceEvent>,
) -> Result<Source, SourceError> {
    let control = Arc::new(Control::default());
    control.off.store(!on, Ordering::Release);
    let sink = Arc::new(Sink {
        outputs,
        events,
        control: Arc::clone(&control),
    });
    let fps = fps.clamp(1, 60);
    let run: Box<dyn FnOnce() + Send> = match source {
        CameraSource::None => {
            return Ok(Source {
                control,
                thread: None,
            });
        }
        CameraSource::Test => Box::new(move || threads::test(&sink, fps)),
        CameraSource::Image(path) => {
            let picture = threads::load_image(&path)?;
            Box::new(move || threads::image(&sink, &path, picture))
        }
        CameraSource::Y4m(path) => match threads::open_clip(&path)? {
            Some(clip) => Box::new(move || threads::clip(&sink, &path, clip)),
            None => Box::new(move || threads::pipe(&sink, &path)),
        },
        CameraSource::Y4mStdin if std::io::stdin().is_terminal() => return Err(SourceError::Terminal),
        CameraSource::Y4mStdin => Box::new(move || threads::standard_input(&sink)),
        camera => Box::new(move || threads::camera(&sink, camera, fps)),
    };
    let thread = std::thread::Builder::new()
        .name("source".to_owned())
        .stack_size(256 * 1024)
        .spawn(run)
        .map_err(SourceError::Thread)?;
    Ok(Source {
        control,
        thread: Some(thread.thread().clone()),
    })
}

impl Source {
    /// Off: no pictures, and the device is closed, so that its light goes out. On: opened again.
    pub fn set_on(&self, on: bool) {
        self.control.off.store(!on, Ordering::Release);
        self.changed();
    }

    fn changed(&self) {
        self.control.changes.fetch_add(1, Ordering::AcqRel);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.control.stopped.store(true, Ordering::Release);
        self.changed();
    }
}

/// What the owner wants; the source's thread is unparked after a change.
#[derive(Default)]
struct Control {
    off: AtomicBool,
    stopped: AtomicBool,
    /// Changes so far: one that is taken back at once is noticed too.
    changes: AtomicU32,
}

/// A source's thread's side: where pictures and events go, and what the owner wants.
pub(super) struct Sink {
    outputs: Vec<Arc<Slot<I420>>>,
    events: mpsc::Sender<SourceEvent>,
    control: Arc<Control>,
}

impl Sink {
    /// Leaves `picture` for all readers.
    pub(super) fn put(&self, picture: &Arc<I420>) {
        for output in &self.outputs {
            output.put(Arc::clone(picture));
        }
    }

    /// Tells the owner.
    pub(super) fn tell(&self, event: SourceEvent) {
        // Full or closed: the owner does not listen, and pictures matter more.
        let _ = self.events.try_send(event);
    }

    /// Whether pictures are wanted now.
    pub(super) fn is_on(&self) -> bool {
        !self.control.off.load(Ordering::Acquire)
    }

    /// Whether the thread is to end.
    pub(super) fn is_stopped(&self) -> bool {
        self.control.stopped.load(Ordering::Acquire)
    }

    /// How often the owner has changed what it wants.
    pub(super) fn changes(&self) -> u32 {
        self.control.changes.load(Ordering::Acquire)
    }

    /// Waits until `deadline` (for ever without one), or until the owner has changed more often than
    /// `changes`. True where the deadline has passed first.
    pub(super) fn wait_until(&self, deadline: Option<Instant>, changes: u32) -> bool {
        while self.changes() == changes {
            match deadline {
                None => std::thread::park(),
                Some(deadline) => match deadline.checked_duration_since(clock::now()) {
                    Some(rest) if !rest.is_zero() => std::thread::park_timeout(rest),
                    _ => return true,
                },
            }
        }
        false
    }

    /// Waits while the owner wants no pictures; false when the thread is to end.
    pub(super) fn wait_for_on(&self) -> bool {
        loop {
            let changes = self.changes();
            if self.is_stopped() || self.is_on() {
                return !self.is_stopped();
            }
            self.wait_until(None, changes);
        }
    }
}

#[cfg(test)]
mod tests;
