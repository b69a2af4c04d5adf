//! Every state of the screen, through the real interface and the real screen thread, as a terminal
//! shows it. With `FACETTY_GALLERY=DIR` the bytes of each are left there, to be looked at:
//! `cat DIR/two-80x24.ansi` in a terminal of that size.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use facetty::call::control::{VideoId, VideoKind};
use facetty::io::clock;
use facetty::io::screen::{Replies, Screen, ScreenConfig, start_on};
use facetty::io::terminal::input::Reply;
use facetty::media::frame::I420;
use facetty::media::test_picture::TestPicture;
use facetty::media::y4m;
use facetty::picture::ColorDepth::{self, Ansi16, Ansi256, Mono, Truecolor};
use facetty::picture::{Glyphs, RenderMode};
use facetty::signal::message::PeerId;
use facetty::text::SafeText;
use facetty::ui::state::{Invite, Me, Path, PathKind, Signaling, Stats, Tone};
use facetty::ui::{Action, State, Ui};
use facetty::units::{Cells, Size};

const NAMES: [&str; 8] = [
    "ann",
    "Bob Olsen",
    "cleo",
    "dave",
    "李小龍",
    "Frida Ek",
    "gus",
    "Hal",
];
const COMMAND: &str = "facetty --room standup --server ws://192.168.1.23:7880";
const SERVER: &str = "ws://192.168.1.23:7880";
const LINK: &str = "http://192.168.1.23:7880/standup";

/// A state to be looked at.
struct Scene {
    name: &'static str,
    /// How many others there are, and how many of them are seen.
    people: usize,
    seen: usize,
    /// What happened after they came.
    story: fn(Instant) -> Vec<Action>,
    /// What must be read, on any terminal of 80 columns and more.
    reads: &'static [&'static str],
}

#[rustfmt::skip]
const SCENES: &[Scene] = &[
    scene("joining", 0, 0, |_| vec![Action::Signaling(Signaling::Connecting)], &["Joining standup…"]),
    scene("alone", 0, 0, |_| vec![], &["You are alone in standup.", COMMAND, LINK]),
    scene("alone-no-camera", 0, 0, |_| vec![devices(true, false)], &["You are alone", "no cam"]),
    scene("connecting", 1, 0, |_| vec![Action::Path(id(0), Path::Connecting)], &["connecting…"]),
    scene("waiting", 1, 0, |_| vec![], &["waiting for the picture…"]),
    scene("first-picture", 1, 1, |_| vec![tell(Tone::Info, "ann joined")], &["ann joined"]),
    scene("two", 1, 1, |_| vec![], &["ann · direct · 41 ms · 58 kbit/s", "? help"]),
    scene("far-camera-off", 1, 0, |_| vec![mute(0, true, false)], &["camera off"]),
    scene("own-camera-off", 1, 1, |_| vec![key('v')], &["○ cam off"]),
    scene("both-off", 1, 0, |_| vec![key('v'), mute(0, false, false)], &["○ cam off", "ann · muted"]),
    scene("muted", 1, 1, |_| vec![key('m')], &["○ muted", "ann · direct"]),
    scene("muted-talk", 1, 1, |_| vec![key('m'), Action::Level(0.6, true)],
        &["○ muted", "you are muted: m or Space to talk"]),
    scene("space-talk", 1, 1, |_| vec![key('m'), key(' '), Action::Level(0.8, true)], &["● talk ▂▄▆"]),
    scene("weak", 1, 1, |_| vec![lossy(0)], &["ann · line is weak, 12 % lost"]),
    scene("reconnecting", 1, 1, |now| vec![unstable(0, now - Duration::from_millis(3200))],
        &["ann · reconnecting 3 s"]),
    scene("failed", 1, 0, |_| vec![Action::Path(id(0), Path::Failed)], &["ann · cannot be reached"]),
    scene("left", 0, 0, |_| vec![tell(Tone::Info, "ann left")], &["ann left", "You are alone"]),
    scene("error", 1, 1, |_| vec![tell(Tone::Error, "the camera is gone; it is used again when it returns")],
        &["the camera is gone"]),
    scene("server-lost", 1, 1, |_| vec![Action::Signaling(Signaling::Lost)], &["meeting point lost"]),
    scene("people-2", 2, 2, |_| vec![Action::Talking(id(1), true)], &["▸ann", "Bob Olsen ▂▄▆"]),
    scene("people-3", 3, 2, |_| vec![Action::Talking(id(0), true), mute(1, false, true), mute(2, true, false)],
        &["▸ann ▂▄▆", "Bob Olsen muted", "camera off"]),
    scene("people-4", 4, 3, |_| vec![key('\t'), mute(3, true, false)], &["▸Bob Olsen", "dave"]),
    scene("people-8", 8, 6, |_| vec![mute(6, true, false), mute(7, true, false)], &["▸ann"]),
    scene("help", 1, 1, |_| vec![key('?')], &["mute the microphone", "switch the camera off", "leave", "Esc close"]),
    scene("chat-empty", 1, 1, |_| vec![key('c')], &["ann joined", "› ", "write to everyone", "Esc close"]),
    scene("chat", 3, 3, |_| {
        let mut talk = vec![key('c'), wrote(0, "can you hear me?"), wrote(0, "the picture is fine")];
        talk.extend("yes, both".chars().map(key));
        talk.extend([enter(), wrote(1, "hello everyone, sorry that I am late"), wrote(2, "早上好 👋🏽 שלום עולם")]);
        talk.extend("no m".chars().map(key));
        talk
    }, &["can you hear me?", "you", "yes, both", "hello everyone,", "› no m"]),
    scene("chat-hostile", 2, 2, |_| vec![key('c'), wrote(0, &format!("a\u{1b}]0;x\u{7}{}", "w".repeat(200))),
        wrote(1, "\u{202e}gnp.exe\u{200b} Z\u{301}\u{301}\u{301}\u{301}\u{301}"),
        wrote(0, &"李小龍 👩‍👩‍👧 ".repeat(20)), Action::Paste("pasted ".repeat(30))],
        &["gnp.exe", "李小龍", "pasted"]),
    scene("chat-back", 1, 1, |_| {
        let mut talk = vec![key('c')];
        talk.extend((0..80).map(|n| wrote(0, &format!("line {n}"))));
        talk.extend([KeyCode::PageUp, KeyCode::PageUp].map(|code| Action::Key(KeyEvent::new(code, KeyModifiers::NONE))));
        talk
    }, &["↓ more"]),
    scene("chat-alone", 0, 0, |_| vec![key('c')], &["You are alone", "write to everyone"]),
    scene("unread", 1, 1, |_| vec![wrote(0, "are you there?"), wrote(0, "hello, look here please")],
        &["ann: hello, look here please", "c 2 unread"]),
    scene("screen", 1, 1, |_| vec![share(0)], &["▸ann · screen", "ann shares a screen"]),
    scene("screen-waiting", 1, 1, |_| vec![share(0)], &["waiting for the screen…"]),
    scene("screen-of-three", 3, 3, |_| vec![share(1), mute(2, false, true)], &["▸Bob Olsen · screen"]),
    scene("screen-behind", 3, 3, |_| vec![share(1), key('\t'), key('\t')], &["▸ann"]),
    scene("screen-no-camera", 1, 0, |_| vec![mute(0, true, false), share(0)], &["▸ann · screen"]),
    scene("figures", 1, 1, |_| vec![key('s')], &["58 kbit/s  30 fps  80x46"]),
    scene("help-alone", 0, 0, |_| vec![key('?')], &["mute the microphone"]),
];

const fn scene(
    name: &'static str,
    people: usize,
    seen: usize,
    story: fn(Instant) -> Vec<Action>,
    reads: &'static [&'static str],
) -> Scene {
    Scene {
        name,
        people,
        seen,
        story,
        reads,
    }
}

#[test]
fn every_state_is_seen_at_every_size() {
    for (cols, rows) in [(40, 12), (80, 24), (120, 40), (200, 60)] {
        for scene in SCENES {
            look(scene, Cells::new(cols, rows), Truecolor, "");
        }
    }
}

#[test]
fn every_depth_shows_it() {
    for (depth, name) in [(Ansi256, "-256"), (Ansi16, "-16"), (Mono, "-mono")] {
        for scene in SCENES {
            look(scene, Cells::new(80, 24), depth, name);
        }
    }
}

#[test]
fn a_wide_terminal_shows_it() {
    for scene in SCENES
        .iter()
        .filter(|s| ["two", "people-8", "alone", "help"].contains(&s.name))
    {
        look(scene, Cells::new(300, 80), Truecolor, "");
    }
}

#[test]
fn a_small_terminal_says_so() {
    let scene = scene("too-small", 1, 0, |_| vec![], &["needs 40x12"]);
    look(&scene, Cells::new(30, 8), Truecolor, "");
}

/// Plays the scene and waits until it is seen.
fn look(scene: &Scene, size: Cells, depth: ColorDepth, suffix: &str) {
    let now = clock::now();
    let mut ui = Ui::new(State::new("standup", me(), size, now));
    let (command, link) = (COMMAND.to_owned(), LINK.to_owned());
    ui.update(Action::Signaling(Signaling::Joined), now);
    let server = SERVER.to_owned();
    ui.update(
        Action::Invite(Invite {
            command,
            link,
            server,
        }),
        now,
    );
    for person in 0..scene.people {
        come(&mut ui, person, now);
    }
    // What they joined with has been read.
    let now = now + Duration::from_secs(5);
    ui.update(Action::Timeout, now);
    ui.update(Action::Level(0.55, true), now);
    for action in (scene.story)(now) {
        ui.update(action, now);
    }

    let seen = Arc::new(Seen::new(size));
    let sink = Arc::clone(&seen);
    let config = ScreenConfig {
        depth: Some(depth),
        mode: Some(RenderMode::Glyphs(Glyphs::Half)),
        rate: None,
    };
    let mut screen = start_on(config, Box::new(move |bytes| Ok(sink.take(bytes)))).unwrap();
    *seen.replies.lock().unwrap() = Some(screen.replies());
    seen.answers.notify_all();
    for person in 0..scene.seen {
        screen.watch(id(person)).put(picture(person));
    }
    if scene.name != "screen-waiting" {
        for person in ui.state().people.iter().filter(|person| person.shares) {
            let video = VideoId::new(person.id.clone(), VideoKind::Screen);
            screen.watch(video).put(desktop());
        }
    }
    screen.own().put(picture(9));
    screen.show(Arc::new(ui.state().clone()));
    let reads = match size.cols {
        41..80 if scene.people == 1 => &[],
        40 => &[],
        _ => scene.reads,
    };
    seen.wait(&format!("{} at {size:?}", scene.name), |shown| {
        let text = shown.contents();
        reads.iter().all(|wanted| text.contains(wanted))
            && has_pictures(ui.state(), scene, shown, depth, &screen)
    });
    if let Some(directory) = std::env::var_os("FACETTY_GALLERY") {
        let name = format!("{}{suffix}-{}x{}.ansi", scene.name, size.cols, size.rows);
        let bytes = seen.inner.lock().unwrap().bytes.clone();
        std::fs::write(std::path::Path::new(&directory).join(name), bytes).unwrap();
    }
}

/// Whether all the pictures are there that should be.
fn has_pictures(
    state: &State,
    scene: &Scene,
    shown: &vt100::Screen,
    depth: ColorDepth,
    screen: &Screen,
) -> bool {
    let is_drawn = |x: u16, y: u16| {
        let cell = shown.cell(y, x);
        let default = vt100::Color::Default;
        // A cell of one colour may be drawn as a full block, whose ground is never seen.
        cell.is_some_and(|cell| (cell.fgcolor(), cell.bgcolor()) != (default, default) || depth == Mono)
    };
    let layout = facetty::ui::layout::layout(state);
    let own = layout.own.is_none_or(|own| match state.people.is_empty() {
        true => is_drawn(own.width / 2, own.height / 4),
        false => is_drawn(own.right() - 1, own.bottom() - 1),
    });
    let mut tiles = layout.tiles.iter().map(|tile| tile.area);
    own && tiles.all(|area| is_drawn(area.x + area.width / 2, area.y + area.height / 2))
        && screen.shown().pictures >= scene.seen as u64
}

fn come(ui: &mut Ui, person: usize, now: Instant) {
    ui.update(
        Action::PeerJoined(id(person), SafeText::new(NAMES[person], 40)),
        now,
    );
    let kind = PathKind::Direct;
    ui.update(Action::Path(id(person), Path::Connected { kind }), now);
    ui.update(Action::Stats(id(person), stats()), now);
}

fn stats() -> Stats {
    Stats {
        rtt_ms: Some(41.2),
        send_kbps: 61.3,
        recv_kbps: 58.4,
        estimate_kbps: Some(912.0),
        loss_in: 0.004,
        loss_out: 0.0,
        fps_in: 30.0,
        fps_out: 30.0,
        size_in: Size::new(80, 46),
        size_out: Size::new(80, 44),
        jitter_ms: 20.0,
        concealed: 0.001,
        freezes: 0,
        limit: facetty::call::Limit::Line,
        terminal_fps: None,
    }
}

fn me() -> Me {
    Me {
        name: SafeText::new("me", 20),
        has_mic: true,
        mic_on: true,
        has_camera: true,
        camera_on: true,
        ..Me::default()
    }
}

fn id(person: usize) -> PeerId {
    PeerId::try_from(format!("person-{person}")).unwrap()
}

fn key(c: char) -> Action {
    let code = if c == '\t' { KeyCode::Tab } else { KeyCode::Char(c) };
    Action::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn share(person: usize) -> Action {
    Action::Screen(id(person), true)
}

fn enter() -> Action {
    Action::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE))
}

fn wrote(person: usize, text: &str) -> Action {
    Action::Chat(id(person), SafeText::chat(text))
}

fn tell(tone: Tone, text: &str) -> Action {
    Action::Tell(tone, SafeText::new(text, 200))
}

fn unstable(person: usize, since: Instant) -> Action {
    Action::Path(id(person), Path::Unstable { since })
}

fn mute(person: usize, mic_on: bool, camera_on: bool) -> Action {
    Action::PeerMute {
        peer: id(person),
        mic_on,
        camera_on,
    }
}

fn lossy(person: usize) -> Action {
    let stats = Stats {
        loss_in: 0.12,
        ..stats()
    };
    Action::Stats(id(person), stats)
}

fn devices(has_mic: bool, has_camera: bool) -> Action {
    Action::Devices { has_mic, has_camera }
}

/// A picture: of the clip that `FACETTY_GALLERY_CLIP` names (it should be looked at with faces), or
/// the test picture.
fn picture(which: usize) -> Arc<I420> {
    let mut picture = I420::new(Size::new(320, 240));
    if let Some(clip) = std::env::var_os("FACETTY_GALLERY_CLIP") {
        let clip = std::fs::read(clip).unwrap();
        let mut reader = y4m::Reader::new(clip.as_slice()).unwrap();
        for _ in 0..=which * 10 {
            assert!(reader.read(&mut picture).unwrap());
        }
    } else {
        TestPicture::default().draw(&mut picture, Duration::from_millis(1700 * which as u64));
    }
    Arc::new(picture)
}

/// A screen: windows, lines of text, a dark bar below.
fn desktop() -> Arc<I420> {
    let size = Size::new(640, 360);
    let mut picture = I420::new(size);
    let [letters, ..] = picture.planes_mut();
    let mut fill = |x: std::ops::Range<u32>, y: std::ops::Range<u32>, luma: u8| {
        for row in y {
            let at = (row * size.width) as usize;
            letters[at + x.start as usize..at + x.end as usize].fill(luma);
        }
    };
    fill(0..640, 0..360, 120);
    fill(40..420, 24..300, 235);
    fill(40..420, 24..44, 70);
    for line in 0..18 {
        let length = 90 + (line * 97) % 260;
        for letter in (0..length).filter(|letter| letter % 8 < 5 && letter % 56 < 48) {
            let (x, y) = (50 + letter, 56 + line * 13);
            fill(x..x + 1, y..y + 7, 30);
        }
    }
    fill(440..620, 60..200, 40);
    fill(0..640, 336..360, 24);
    Arc::new(picture)
}

/// A terminal in memory that can be waited for.
struct Seen {
    inner: Mutex<Inner>,
    changed: Condvar,
    replies: Mutex<Option<Replies>>,
    /// There are replies.
    answers: Condvar,
}

struct Inner {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

impl Seen {
    fn new(size: Cells) -> Self {
        let inner = Inner {
            parser: vt100::Parser::new(size.rows, size.cols, 0),
            bytes: Vec::new(),
        };
        Self {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            replies: Mutex::new(None),
            answers: Condvar::new(),
        }
    }

    fn take(&self, bytes: &[u8]) -> bool {
        // As a terminal answers: from the first question on, or it would be taken for one that does not.
        let replies = self.replies.lock().unwrap();
        let replies = self
            .answers
            .wait_while(replies, |replies| replies.is_none())
            .unwrap();
        if let Some(replies) = &*replies {
            for at in 0..bytes.len() {
                if bytes[at..].starts_with(b"\x1b[c") {
                    replies.put(Reply::Attributes { sixel: false }, clock::now());
                } else if bytes[at..].starts_with(b"\x1b[5n") {
                    replies.put(Reply::Status, clock::now());
                }
            }
        }
        let mut inner = self.inner.lock().unwrap();
        inner.parser.process(bytes);
        inner.bytes.extend(bytes);
        self.changed.notify_all();
        true
    }

    fn wait(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let inner = self.inner.lock().unwrap();
        let is_missing = |inner: &mut Inner| !wanted(inner.parser.screen());
        let patience = Duration::from_secs(20);
        let (inner, result) = self
            .changed
            .wait_timeout_while(inner, patience, is_missing)
            .unwrap();
        let text = inner.parser.screen().contents();
        assert!(!result.timed_out(), "{what} is not seen:\n{text}");
    }
}
