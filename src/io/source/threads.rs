//! The threads of the sources.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

#[cfg(all(feature = "camera", any(target_os = "linux", target_os = "macos")))]
use super::watch;
use super::{CameraSource, Sink, SourceError, SourceEvent};
#[cfg(all(feature = "camera", any(target_os = "linux", target_os = "macos")))]
use crate::io::camera;
use crate::io::clock;
use crate::media::frame::{I420, Picture, Pool};
use crate::media::test_picture::{self, TestPicture};
use crate::media::y4m::{Reader, Y4mError};
use crate::units::Size;

/// A still picture is sent so often: enough for who comes late, nearly nothing on the line.
const STILL_INTERVAL: Duration = Duration::from_millis(500);

/// A still picture is kept at this size at most.
const STILL_SIZE: Size = Size::new(1280, 720);

/// The most that decoding an image may take, in bytes (a 24 megapixel photograph is 72 MB).
const IMAGE_MEMORY: u64 = 256 << 20;

/// The rate of a clip that names none.
const DEFAULT_RATE: (u32, u32) = (30, 1);

/// No clip is played faster: pictures closer together could not be sent anyway.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(8);

pub(super) fn test(sink: &Sink, fps: u32) {
    sink.tell(SourceEvent::Ready {
        name: "test picture".to_owned(),
        size: test_picture::NATIVE,
    });
    let begin = clock::now();
    let (mut pool, mut test_picture) = (Pool::default(), TestPicture::default());
    let mut pace = Pace::new(Duration::from_secs(1) / fps);
    while pace.wait(sink) {
        let at = clock::now() - begin;
        sink.put(&pool.make(test_picture::NATIVE, |picture| test_picture.draw(picture, at)));
    }
}

pub(super) fn image(sink: &Sink, path: &Path, picture: I420) {
    let picture: Picture = Arc::new(picture);
    sink.tell(SourceEvent::Ready {
        name: file_name(path),
        size: picture.size(),
    });
    let mut pace = Pace::new(STILL_INTERVAL);
    while pace.wait(sink) {
        sink.put(&picture);
    }
}

/// Opens a clip and reads its first picture, so that a bad one is told before the call; `None` where
/// the path is a pipe or a device, which is read live.
pub(super) fn open_clip(path: &Path) -> Result<Option<Reader<File>>, SourceError> {
    let error = |e| SourceError::Y4m(path.to_owned(), e);
    let closed = |e| SourceError::Open(path.to_owned(), e);
    let metadata = std::fs::metadata(path).map_err(closed)?;
    if metadata.is_dir() {
        return Err(closed(std::io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        return Ok(None);
    }
    let file = File::open(path).map_err(closed)?;
    let mut reader = Reader::new(file).map_err(error)?;
    if !reader.read(&mut I420::default()).map_err(error)? {
        return Err(SourceError::Empty(path.to_owned()));
    }
    reader.rewind().map(Some).map_err(error)
}

pub(super) fn clip<R: Read + Seek>(sink: &Sink, path: &Path, mut reader: Reader<R>) {
    sink.tell(SourceEvent::Ready {
        name: file_name(path),
        size: reader.header().size,
    });
    let (frames, seconds) = reader.header().rate.unwrap_or(DEFAULT_RATE);
    let interval = Duration::from_secs_f64(f64::from(seconds) / f64::from(frames));
    let mut pool = Pool::default();
    let mut pace = Pace::new(interval.max(SHORTEST_INTERVAL));
    while pace.wait(sink) {
        match next_picture(&mut reader, &mut pool) {
            Ok(Some(picture)) => sink.put(&picture),
            // A clip cut off in its last picture is looped like a whole one.
            Ok(None) | Err(Y4mError::Truncated(2..)) => {
                reader = match reader.rewind() {
                    Ok(reader) => reader,
                    Err(e) => return sink.tell(failed(path, &e)),
                };
                match next_picture(&mut reader, &mut pool) {
                    Ok(Some(picture)) => sink.put(&picture),
                    Ok(None) => return sink.tell(SourceEvent::Ended),
                    Err(e) => return sink.tell(failed(path, &e)),
                }
            }
            Err(e) => return sink.tell(failed(path, &e)),
        }
    }
}

pub(super) fn pipe(sink: &Sink, path: &Path) {
    match File::open(path) {
        Ok(file) => live(sink, path, file),
        Err(e) => sink.tell(failed(path, &e.into())),
    }
}

pub(super) fn standard_input(sink: &Sink) {
    live(sink, Path::new("standard input"), std::io::stdin());
}

/// Puts each picture when it arrives, as long as there are any.
fn live(sink: &Sink, path: &Path, input: impl Read) {
    let mut reader = match Reader::new(input) {
        Ok(reader) => reader,
        Err(e) => return sink.tell(failed(path, &e)),
    };
    sink.tell(SourceEvent::Ready {
        name: file_name(path),
        size: reader.header().size,
    });
    let mut pool = Pool::default();
    while !sink.is_stopped() {
        match next_picture(&mut reader, &mut pool) {
            // While off, the input is read on, so that its writer is not held up.
            Ok(Some(_)) if !sink.is_on() => {}
            Ok(Some(picture)) => sink.put(&picture),
            Ok(None) | Err(Y4mError::Truncated(_)) => return sink.tell(SourceEvent::Ended),
            Err(e) => return sink.tell(failed(path, &e)),
        }
    }
}

fn next_picture<R: Read>(reader: &mut Reader<R>, pool: &mut Pool) -> Result<Option<Picture>, Y4mError> {
    let mut more = Ok(false);
    let picture = pool.make(reader.header().size, |picture| more = reader.read(picture));
    Ok(more?.then_some(picture))
}

/// A camera, watched.
#[cfg(all(feature = "camera", any(target_os = "linux", target_os = "macos")))]
pub(super) fn camera(sink: &Arc<Sink>, source: CameraSource, fps: u32) {
    let open: watch::Open = Arc::new(move || match &source {
        CameraSource::Index(index) => capture(*index, fps),
        CameraSource::Device(path) => capture(camera::index_of(path)?, fps),
        _ => first_camera(fps),
    });
    watch::watch(sink, &open, watch::Timing::USUAL);
}

#[cfg(not(all(feature = "camera", any(target_os = "linux", target_os = "macos"))))]
pub(super) fn camera(sink: &Arc<Sink>, _: CameraSource, _: u32) {
    let why = "this facetty was built without camera support (use --camera test, image:PATH or y4m:PATH)";
    sink.tell(SourceEvent::Failed(why.to_owned()));
}

/// The first camera that can be opened: a webcam has further nodes that give no pictures.
#[cfg(all(feature = "camera", any(target_os = "linux", target_os = "macos")))]
fn first_camera(fps: u32) -> Result<Box<dyn watch::Capture>, String> {
    let mut first_failure = None;
    for (index, _) in camera::list() {
        match capture(index, fps) {
            Ok(camera) => return Ok(camera),
            Err(why) => first_failure = first_failure.or(Some(why)),
        }
    }
    let none = "no camera found; plug one in, or use --camera test, image:PATH or y4m:PATH";
    Err(first_failure.unwrap_or_else(|| none.to_owned()))
}

#[cfg(all(feature = "camera", any(target_os = "linux", target_os = "macos")))]
fn capture(index: u32, fps: u32) -> Result<Box<dyn watch::Capture>, String> {
    Ok(Box::new(camera::Device::open(index, fps)?))
}

#[cfg(all(feature = "camera", any(target_os = "linux", target_os = "macos")))]
impl watch::Capture for camera::Device {
    fn name(&self) -> String {
        self.name().to_owned()
    }

    fn size(&self) -> Size {
        self.size()
    }

    fn picture(&mut self, pool: &mut Pool) -> Result<Picture, String> {
        self.picture(pool)
    }
}

/// Reads an image of any usual format, upright, at most [`STILL_SIZE`].
pub(in crate::io) fn load_image(path: &Path) -> Result<I420, SourceError> {
    let error = |e| SourceError::Image(path.to_owned(), e);
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(16_384), Some(16_384));
    limits.max_alloc = Some(IMAGE_MEMORY);
    let mut reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|e| SourceError::Open(path.to_owned(), e))?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(error)?;
    let orientation = decoder.orientation().map_err(error)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(error)?;
    image.apply_orientation(orientation);
    let size = Size::new(image.width(), image.height()).fit_into(STILL_SIZE);
    let filter = image::imageops::FilterType::Triangle;
    let image = image.resize_exact(size.width, size.height, filter).into_rgba8();
    Ok(to_i420(&image))
}

/// BT.601, limited range; what is transparent is laid on black.
fn to_i420(image: &image::RgbaImage) -> I420 {
    let size = Size::new(image.width(), image.height());
    let mut picture = I420::new(size);
    let (width, half_width) = (size.width as usize, size.width.div_ceil(2) as usize);
    let [luma, u, v] = picture.planes_mut();
    // Sums of U and V over the two by two pixels of each colour sample, and how many they are.
    let mut sums = vec![(0.0f32, 0.0f32, 0.0f32); u.len()];
    for (x, y, pixel) in image.enumerate_pixels() {
        let (x, y) = (x as usize, y as usize);
        let opaque = f32::from(pixel[3]) / 255.0;
        let [r, g, b] = [0, 1, 2].map(|i| f32::from(pixel[i]) / 255.0 * opaque);
        let grey = 0.299 * r + 0.587 * g + 0.114 * b;
        luma[y * width + x] = (16.0 + 219.0 * grey + 0.5) as u8;
        let sum = &mut sums[y / 2 * half_width + x / 2];
        sum.0 += (b - grey) / 1.772;
        sum.1 += (r - grey) / 1.402;
        sum.2 += 1.0;
    }
    for ((u, v), (sum_u, sum_v, count)) in u.iter_mut().zip(v).zip(sums) {
        *u = (128.0 + 224.0 * sum_u / count + 0.5) as u8;
        *v = (128.0 + 224.0 * sum_v / count + 0.5) as u8;
    }
    picture
}

fn failed(path: &Path, error: &Y4mError) -> SourceEvent {
    SourceEvent::Failed(format!("cannot play {}: {error}", path.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// Deadlines an interval apart, kept while the source is on.
struct Pace {
    interval: Duration,
    next: Option<Instant>,
}

impl Pace {
    fn new(interval: Duration) -> Self {
        Self { interval, next: None }
    }

    /// Waits until the next picture is due; false when the thread is to end.
    fn wait(&mut self, sink: &Sink) -> bool {
        loop {
            let changes = sink.changes();
            if !sink.is_on() {
                self.next = None;
            }
            if !sink.wait_for_on() {
                return false;
            }
            let due = *self.next.get_or_insert_with(clock::now);
            if !sink.wait_until(Some(due), changes) {
                continue;
            }
            // Who is late by more than one picture leaves out what was missed.
            let now = clock::now();
            self.next = Some(due.max(now.checked_sub(self.interval).unwrap_or(due)) + self.interval);
            return true;
        }
    }
}
