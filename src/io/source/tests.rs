#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::time::Duration;

use super::*;
use crate::io::slot::unpark;
use crate::media::stamp;
use crate::media::y4m;

const PATIENCE: Duration = Duration::from_secs(20);

/// A source that is watched by the test's thread.
struct Watched {
    source: Option<Source>,
    slot: Arc<Slot<I420>>,
    events: mpsc::Receiver<SourceEvent>,
}

impl Watched {
    fn start(source: CameraSource, fps: u32) -> Result<Self, SourceError> {
        let slot = Slot::new(unpark(std::thread::current()));
        let (sender, events) = mpsc::channel(8);
        let source = Some(start(source, true, fps, vec![Arc::clone(&slot)], sender)?);
        Ok(Self { source, slot, events })
    }

    fn picture(&self) -> Arc<I420> {
        let deadline = clock::now() + PATIENCE;
        loop {
            if let Some(picture) = self.slot.take() {
                return picture;
            }
            assert!(clock::now() < deadline, "no picture came");
            std::thread::park_timeout(PATIENCE);
        }
    }

    fn event(&mut self) -> Option<SourceEvent> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let event = async { tokio::time::timeout(PATIENCE, self.events.recv()).await };
        runtime.block_on(event).expect("an event or the source's end")
    }

    fn ready(&mut self) -> (String, Size) {
        match self.event() {
            Some(SourceEvent::Ready { name, size }) => (name, size),
            other => panic!("{other:?}"),
        }
    }

    /// Drops the source and waits for its thread's end: the last sender of events is the thread's.
    fn end(mut self) {
        self.source = None;
        while self.event().is_some() {}
    }
}

/// A clip whose pictures bear the numbers from 0, in a folder that is deleted with it.
fn stamped_clip(pictures: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.y4m");
    let mut writer = y4m::Writer::new(std::fs::File::create(&path).unwrap(), (100, 1));
    for n in 0..pictures {
        writer.write(&stamped(n)).unwrap();
    }
    (folder, path)
}

fn stamped(n: u32) -> I420 {
    let mut picture = I420::new(Size::new(64, 48));
    stamp::stamp(&mut picture, n);
    picture
}

#[test]
fn names_are_read_and_written() {
    for text in [
        "auto",
        "none",
        "test",
        "0",
        "12",
        "/dev/video3",
        "image:a b.png",
        "y4m:x:y.y4m",
        "y4m:-",
    ] {
        assert_eq!(text.parse::<CameraSource>().unwrap().to_string(), text);
    }
    for text in ["", "webcam", "-1", "image:", "y4m:", "png:x", "99999999999"] {
        let error = text.parse::<CameraSource>().unwrap_err().to_string();
        assert!(error.contains("y4m:PATH") && error.contains(text), "{error}");
    }
}

#[test]
fn the_test_picture_moves_stops_and_goes_on() {
    let mut watched = Watched::start(CameraSource::Test, 60).unwrap();
    assert_eq!(watched.ready().1, Size::new(640, 360));
    let first = watched.picture();
    // Far enough apart in time for the moon to have moved.
    while watched.picture() == first {}
    watched.source.as_ref().unwrap().set_on(false);
    watched.source.as_ref().unwrap().set_on(true);
    watched.picture();
    watched.end();
}

#[test]
fn nothing_comes_from_no_camera() {
    let mut watched = Watched::start(CameraSource::None, 30).unwrap();
    assert_eq!(watched.event(), None);
    assert!(watched.slot.take().is_none());
}

#[test]
fn a_clip_is_looped() {
    let (_folder, path) = stamped_clip(3);
    let mut watched = Watched::start(CameraSource::Y4m(path), 30).unwrap();
    assert_eq!(watched.ready(), ("clip.y4m".to_owned(), Size::new(64, 48)));
    let (mut seen, mut last, mut again) = ([false; 3], 0, false);
    while seen != [true; 3] || !again {
        let n = stamp::read(&watched.picture()).unwrap();
        seen[n as usize] = true;
        again |= n < last;
        last = n;
    }
    watched.end();
}

#[test]
fn a_clip_cut_off_at_its_end_is_looped_too() {
    let (_folder, path) = stamped_clip(2);
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(length - 100)
        .unwrap();
    let watched = Watched::start(CameraSource::Y4m(path), 30).unwrap();
    for _ in 0..3 {
        assert_eq!(stamp::read(&watched.picture()), Some(0));
    }
    watched.end();
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_live_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let mut watched = Watched::start(CameraSource::Y4m(path.clone()), 30).unwrap();
    let mut writer = y4m::Writer::new(
        std::fs::OpenOptions::new().write(true).open(path).unwrap(),
        (1, 1),
    );
    for n in 0..5 {
        writer.write(&stamped(n)).unwrap();
        // At one picture a second by the header, but live: each comes as soon as it is written.
        assert_eq!(stamp::read(&watched.picture()), Some(n));
    }
    watched.ready();
    watched.source.as_ref().unwrap().set_on(false);
    for n in 0..5 {
        writer.write(&stamped(n)).unwrap();
    }
    drop(writer);
    assert_eq!(watched.event(), Some(SourceEvent::Ended), "also while off");
    assert!(watched.slot.take().is_none());
    assert_eq!(watched.event(), None);
}

#[test]
fn an_image_keeps_coming_in_its_colours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("red.png");
    image::RgbImage::from_pixel(2600, 1000, image::Rgb([255, 0, 0]))
        .save(&path)
        .unwrap();
    let mut watched = Watched::start(CameraSource::Image(path), 30).unwrap();
    assert_eq!(watched.ready(), ("red.png".to_owned(), Size::new(1280, 492)));
    let picture = watched.picture();
    let colour = picture.planes().map(|plane| plane.data[0]);
    assert_eq!(colour, [81, 90, 240], "red in BT.601");
    assert!(
        Arc::ptr_eq(&picture, &watched.picture()),
        "a still picture is not copied"
    );
    watched.end();
}

#[test]
fn a_bad_file_is_named_before_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        path
    };
    let missing = folder.path().join("missing");
    let cases = [
        (CameraSource::Y4m(missing.clone()), "missing", "No such file"),
        (CameraSource::Y4m(folder.path().to_owned()), "", "directory"),
        (
            CameraSource::Y4m(file("movie.mp4", b"\0\0\0\x20ftypisom\n")),
            "movie.mp4",
            "ffmpeg",
        ),
        (
            CameraSource::Y4m(file("empty.y4m", b"YUV4MPEG2 W16 H16\n")),
            "empty.y4m",
            "no picture",
        ),
        (
            CameraSource::Y4m(file("cut.y4m", b"YUV4MPEG2 W16 H16\nFRAME\nx")),
            "cut.y4m",
            "ends in the middle",
        ),
        (CameraSource::Image(missing), "missing", "No such file"),
        (CameraSource::Image(file("text.png", b"hello")), "text.png", "PNG"),
        (
            CameraSource::Image(file("half.png", b"\x89PNG\r\n\x1a\n\0\0")),
            "half.png",
            "",
        ),
    ];
    for (source, name, why) in cases {
        let error = Watched::start(source.clone(), 30).err().unwrap().to_string();
        assert!(error.contains(name) && error.contains(why), "{source}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
