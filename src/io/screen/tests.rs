//! The screen thread, seen by a terminal's parser.

use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::thread::{ARRIVED, PROBE};
use super::*;
use crate::io::clock::now;
use crate::picture::Glyphs;
use crate::ui::state::testing;
use crate::units::{Cells, Size};

/// A terminal in memory that can be waited for.
#[derive(Default)]
struct Seen {
    parser: Mutex<Option<vt100::Parser>>,
    changed: Condvar,
    refuses: AtomicBool,
    drops: AtomicBool,
    /// Answers nothing.
    deaf: AtomicBool,
    replies: Mutex<Option<Replies>>,
    /// All that was written.
    bytes: Mutex<Vec<u8>>,
}

impl Seen {
    fn new(size: Cells) -> Arc<Self> {
        let seen = Self::default();
        *seen.parser.lock().expect("no panic") = Some(vt100::Parser::new(size.rows, size.cols, 0));
        Arc::new(seen)
    }

    /// A screen on this terminal.
    fn start(self: &Arc<Self>) -> Screen {
        self.start_as(RenderMode::Glyphs(Glyphs::Half))
    }

    fn start_as(self: &Arc<Self>, mode: RenderMode) -> Screen {
        let config = ScreenConfig {
            depth: Some(ColorDepth::Truecolor),
            mode: Some(mode),
            rate: None,
        };
        let screen = start_on(config, self.sink()).expect("a thread");
        *self.replies.lock().expect("no panic") = Some(screen.replies());
        screen
    }

    fn answer(&self, bytes: &[u8]) {
        let replies = self.replies.lock().expect("no panic");
        let Some(replies) = replies.as_ref().filter(|_| !self.deaf.load(Ordering::Acquire)) else {
            return;
        };
        for at in 0..bytes.len() {
            if bytes[at..].starts_with(PROBE) {
                replies.put(Reply::Attributes { sixel: false }, now());
            } else if bytes[at..].starts_with(ARRIVED) {
                replies.put(Reply::Status, now());
            }
        }
    }

    fn sink(self: &Arc<Self>) -> Sink {
        let seen = Arc::clone(self);
        Box::new(move |bytes| {
            if seen.refuses.load(Ordering::Acquire) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if seen.drops.load(Ordering::Acquire) {
                return Ok(false);
            }
            let mut parser = seen.parser.lock().expect("no panic");
            parser.as_mut().expect("made by new").process(bytes);
            seen.bytes.lock().expect("no panic").extend_from_slice(bytes);
            seen.answer(bytes);
            seen.changed.notify_all();
            Ok(true)
        })
    }

    /// Waits until the screen is as wanted.
    fn wait(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let parser = self.parser.lock().expect("no panic");
        let is_missing =
            |parser: &mut Option<vt100::Parser>| !wanted(parser.as_ref().expect("made by new").screen());
        let patience = Duration::from_secs(20);
        let (parser, result) = self
            .changed
            .wait_timeout_while(parser, patience, is_missing)
            .expect("no panic");
        let contents = parser.as_ref().expect("made by new").screen().contents();
        assert!(!result.timed_out(), "{what} is not seen:\n{contents}");
    }
}

fn grey(luma: u8) -> Arc<I420> {
    let mut picture = I420::new(Size::new(80, 46));
    picture.planes_mut()[0].fill(luma);
    Arc::new(picture)
}

fn colour(screen: &vt100::Screen, row: u16, col: u16) -> vt100::Color {
    screen
        .cell(row, col)
        .map(vt100::Cell::bgcolor)
        .unwrap_or_default()
}

const WHITE: vt100::Color = vt100::Color::Rgb(255, 255, 255);

fn has_status(screen: &vt100::Screen) -> bool {
    screen.contents().contains("ann · direct")
}

#[test]
fn a_picture_is_seen_as_soon_as_it_is_there() {
    let size = Cells::new(80, 24);
    let seen = Seen::new(size);
    let mut screen = seen.start();
    let slot = screen.watch(testing::id(0));
    screen.show(Arc::new(testing::state(1, size)));
    seen.wait("the status line", has_status);
    seen.wait("who it is", |s| s.contents().contains("waiting for the picture"));
    slot.put(grey(235));
    seen.wait("the picture", |s| {
        colour(s, 5, 40) == WHITE && colour(s, 23, 40) != WHITE
    });
    seen.wait("the picture alone", |s| !s.contents().contains("waiting"));
    assert!(screen.shown().pictures == 1 && screen.shown().bytes > 0);
}

#[test]
fn the_own_picture_lies_in_the_corner_over_the_other() {
    let size = Cells::new(80, 24);
    let seen = Seen::new(size);
    let mut screen = seen.start();
    screen.show(Arc::new(testing::state(1, size)));
    screen.watch(testing::id(0)).put(grey(16));
    screen.own().put(grey(235));
    seen.wait("the own picture", |s| {
        colour(s, 22, 79) == WHITE && colour(s, 5, 40) != WHITE
    });
    screen.own().put(grey(16));
    screen.own().put(grey(126));
    seen.wait("a later one, without anything else happening", |s| {
        colour(s, 22, 79) == vt100::Color::Rgb(128, 128, 128)
    });
}

#[test]
fn a_picture_of_before_the_camera_was_off_is_not_seen_again() {
    let size = Cells::new(80, 24);
    let seen = Seen::new(size);
    let mut screen = seen.start();
    let slot = screen.watch(testing::id(0));
    let mut state = testing::state(1, size);
    screen.show(Arc::new(state.clone()));
    slot.put(grey(235));
    seen.wait("the picture", |s| colour(s, 5, 40) == WHITE);
    state.people[0].camera_on = false;
    screen.show(Arc::new(state.clone()));
    seen.wait("that it is off", |s| {
        s.contents().contains("camera off") && colour(s, 5, 2) != WHITE
    });
    state.people[0].camera_on = true;
    screen.show(Arc::new(state));
    seen.wait("that one is awaited", |s| {
        s.contents().contains("waiting for the picture") && colour(s, 5, 2) != WHITE
    });
}

#[test]
fn what_was_dropped_while_the_terminal_was_away_is_drawn_anew() {
    let size = Cells::new(80, 24);
    let seen = Seen::new(size);
    let screen = seen.start();
    screen.show(Arc::new(testing::state(1, size)));
    seen.wait("the status line", has_status);
    seen.drops.store(true, Ordering::Release);
    let mut state = testing::state(1, size);
    state.me.mic_on = false;
    screen.show(Arc::new(state));
    seen.drops.store(false, Ordering::Release);
    *seen.parser.lock().expect("no panic") = Some(vt100::Parser::new(size.rows, size.cols, 0));
    screen.redraw();
    seen.wait("all of it", |s| has_status(s) && s.contents().contains("○ muted"));
}

#[test]
fn a_terminal_that_is_gone_is_reported() {
    let size = Cells::new(80, 24);
    let seen = Seen::new(size);
    let mut screen = seen.start();
    seen.refuses.store(true, Ordering::Release);
    screen.show(Arc::new(testing::state(1, size)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let error = async {
        loop {
            if let Told::Gone(error) = screen.next().await {
                return error;
            }
        }
    };
    let error = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), error).await });
    assert_eq!(error.expect("it is reported").kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_resize_is_followed() {
    let size = Cells::new(80, 24);
    let seen = Seen::new(Cells::new(100, 30));
    let screen = seen.start();
    screen.show(Arc::new(testing::state(1, size)));
    seen.wait("the status line", has_status);
    screen.show(Arc::new(testing::state(1, Cells::new(100, 30))));
    seen.wait("it further down", |s| {
        s.rows(0, 100)
            .nth(29)
            .is_some_and(|row| row.contains("ann · direct"))
            && s.rows(0, 100).nth(23).is_some_and(|row| !row.contains("ann"))
    });
}

#[test]
fn a_terminal_that_answers_nothing_is_drawn_on() {
    let size = Cells::new(80, 24);
    let seen = Seen::new(size);
    seen.deaf.store(true, Ordering::Release);
    let mut screen = seen.start();
    let slot = screen.watch(testing::id(0));
    screen.show(Arc::new(testing::state(1, size)));
    for luma in [235, 16, 126] {
        slot.put(grey(luma));
        let wanted = match luma {
            235 => WHITE,
            16 => vt100::Color::Rgb(0, 0, 0),
            _ => vt100::Color::Rgb(128, 128, 128),
        };
        seen.wait("the picture", |s| colour(s, 5, 40) == wanted);
    }
}

#[test]
fn while_nothing_arrives_nothing_more_is_written_and_then_the_newest() {
    let size = Cells::new(80, 24);
    let seen = Seen::new(size);
    let mut screen = seen.start();
    let slot = screen.watch(testing::id(0));
    screen.show(Arc::new(testing::state(1, size)));
    slot.put(grey(16));
    seen.wait("the status line", has_status);
    seen.deaf.store(true, Ordering::Release);
    let before = screen.shown();
    for luma in 17..200 {
        slot.put(grey(luma));
    }
    slot.put(grey(235));
    // A probe goes now and then, and at most two frames.
    seen.deaf.store(false, Ordering::Release);
    seen.answer(&[ARRIVED, ARRIVED, PROBE].concat());
    seen.wait("the newest picture", |s| colour(s, 5, 40) == WHITE);
    assert!(screen.shown().frames <= before.frames + 4, "{:?}", screen.shown());
}

/// The strings between `begin` and ST in what was written.
fn strings(seen: &Seen, begin: &[u8]) -> Vec<Vec<u8>> {
    let bytes = seen.bytes.lock().expect("no panic");
    let find = |from: usize, part: &[u8]| {
        let at = bytes[from..]
            .windows(part.len())
            .position(|window| window == part)?;
        Some(from + at)
    };
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(start) = find(at, begin) {
        let Some(end) = find(start, b"\x1b\\") else { break };
        found.push(bytes[start + begin.len()..end].to_vec());
        at = end;
    }
    found
}

#[test]
fn kitty_gets_pixels_beneath_the_interface() {
    let size = Cells::new(80, 24);
    let seen = Seen::new(size);
    let mut screen = seen.start_as(RenderMode::Kitty);
    let slot = screen.watch(testing::id(0));
    screen.show(Arc::new(testing::state(1, size)));
    slot.put(grey(235));
    let mut written = screen.pictures();
    let wait = |luma: u8| {
        slot.put(grey(luma));
        seen.wait("the status line", has_status);
        let until = now() + Duration::from_secs(20);
        let wanted = data_encoding::BASE64.encode(&[channel(luma); 3]);
        while !strings(&seen, b"\x1b_G").iter().any(|string| {
            let text = String::from_utf8_lossy(string);
            text.starts_with("a=T,f=24,")
                && text
                    .split(';')
                    .nth(1)
                    .is_some_and(|data| data.starts_with(&wanted))
        }) {
            assert!(now() < until, "no picture of luma {luma}");
            thread::park_timeout(Duration::from_millis(5));
        }
    };
    wait(235);
    wait(16);
    let puts = strings(&seen, b"\x1b_Ga=T,");
    let first = String::from_utf8_lossy(&puts[0]);
    // 80x46 pixels on 80x23 cells; the row below is the status line's.
    assert!(first.contains(",c=80,r=23,z=-10737419"), "{first}");
    // The one before is taken away once the next is there, alone or with all where something else
    // made the screen be drawn anew.
    let until = now() + Duration::from_secs(20);
    while strings(&seen, b"\x1b_Ga=d,").is_empty() {
        assert!(now() < until, "the one before stays");
        thread::park_timeout(Duration::from_millis(5));
    }
    assert!(*written.borrow_and_update() >= 2);
}

/// What luma is as a channel.
fn channel(luma: u8) -> u8 {
    if luma == 235 { 255 } else { 0 }
}

#[test]
fn sixel_graphics_leave_out_what_lies_over_them() {
    let size = Cells::new(80, 24);
    let seen = Seen::new(size);
    let mut screen = seen.start_as(RenderMode::Sixel);
    screen.watch(testing::id(0)).put(grey(235));
    screen.own().put(grey(16));
    screen.show(Arc::new(testing::state(1, size)));
    let until = now() + Duration::from_secs(20);
    let images = loop {
        let mut images = strings(&seen, b"\x1bP");
        images.retain(|image| !image.starts_with(b"$q"));
        if images.len() >= 2 {
            break images;
        }
        assert!(now() < until, "no graphics");
        thread::park_timeout(Duration::from_millis(5));
    };
    let decoded: Vec<_> = images
        .iter()
        .map(|image| {
            let whole = [b"\x1bP", &image[..], b"\x1b\\"].concat();
            icy_sixel::SixelImage::decode(&whole).expect("a sixel graphic")
        })
        .collect();
    let far = decoded.iter().max_by_key(|image| image.width).expect("two");
    let pixel = |x: usize, y: usize| &far.pixels[(y * far.width + x) * 4..][..4];
    assert_eq!(pixel(4, 4), [255, 255, 255, 255], "the picture");
    let (x, y) = (far.width - 4, far.height - 4);
    assert!(
        decoded.len() > 1 && pixel(x, y)[3] == 0,
        "the own picture's place is left out"
    );
}
