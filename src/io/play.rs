//! Shows a clip or a still picture through the same renderer as a call: in the terminal, or as an
//! escape stream where standard output is none.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use super::clock::now;
use super::screen::{self, ScreenConfig, Told};
use super::signals::{Asked, Signals};
use super::source::{SourceError, load_image};
use super::terminal::{Input, Terminal, TerminalError};
use crate::media::frame::{I420, Picture, Pool};
use crate::media::y4m::{Reader, Y4mError};
use crate::picture::{self, ColorDepth, Glyphs, RenderMode};
use crate::signal::message::PeerId;
use crate::text::SafeText;
use crate::ui::State;
use crate::ui::state::{Me, Person};
use crate::units::{CellRect, Cells};

/// The rate of a clip that names none, in pictures a second.
const RATE: (u32, u32) = (30, 1);

/// How long the last picture is waited for.
const LAST: Duration = Duration::from_secs(1);

/// Pictures that are read ahead.
const AHEAD: usize = 2;

/// What to show, and how.
#[derive(Clone, Debug)]
pub struct PlayOptions {
    /// A clip (Y4M), a still picture, or `-`: a clip on standard input.
    pub file: PathBuf,
    /// The size in cells; `None`: the terminal's, or 80x24 where there is none.
    pub size: Option<Cells>,
    /// How it is drawn.
    pub screen: ScreenConfig,
    /// Again and again.
    pub repeat: bool,
    /// As fast as it goes.
    pub unpaced: bool,
}

/// Why it was not shown, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The file.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Standard input.
    #[error("cannot play standard input: {0}")]
    Stdin(#[source] Y4mError),
    /// Nothing is piped in.
    #[error("standard input is a terminal; name a file, or pipe a Y4M stream into it")]
    Typed,
    /// `--loop` with what cannot be read twice.
    #[error("what comes from a pipe cannot be played again; leave --loop away, or name a file")]
    Once,
    /// `--render` with what is not there.
    #[error(
        "--render {0} needs a terminal, and standard output is none; use half, quadrant, sextant or octant"
    )]
    NoPixels(RenderMode),
    /// The terminal.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// Standard output.
    #[error("standard output takes nothing more: {0}")]
    Output(#[source] io::Error),
    /// Signals.
    #[error("the system's signals cannot be taken: {0}")]
    Signals(#[source] io::Error),
    /// The reader's thread.
    #[error("cannot start the reader's thread: {0}")]
    Thread(#[source] io::Error),
}

/// What was played.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    read: u64,
    shown: u64,
    bytes: u64,
    seconds: f64,
    cells: usize,
}

/// Plays to the end, or until the user has had enough. Where the stream goes elsewhere than to a
/// terminal, a line of figures goes to standard error.
///
/// # Errors
///
/// What ended it otherwise; what was read until then was shown.
pub async fn run(options: PlayOptions) -> Result<(), PlayError> {
    let clip = Clip::open(&options.file, options.repeat)?;
    if io::stdout().is_terminal() {
        return on_terminal(clip, &options).await;
    }
    let (figures, result) = to_stream(clip, &options, &mut io::stdout().lock())?;
    let Figures {
        read,
        shown,
        bytes,
        seconds,
        cells,
    } = figures;
    let each = |total: f64| if shown > 0 { total / shown as f64 } else { 0.0 };
    let rate = if seconds > 0.0 {
        shown as f64 / seconds
    } else {
        0.0
    };
    let _ = writeln!(
        io::stderr(),
        "{read} pictures read, {shown} shown, {rate:.1} a second, {:.0} bytes each, {:.2} a cell",
        each(bytes as f64),
        each(bytes as f64) / cells.max(1) as f64,
    );
    result
}

/// Writes the stream: every picture, in its own time or without pauses.
fn to_stream(
    mut clip: Clip,
    options: &PlayOptions,
    out: &mut impl Write,
) -> Result<(Figures, Result<(), PlayError>), PlayError> {
    let glyphs = match options.screen.mode {
        None => Glyphs::Half,
        Some(RenderMode::Glyphs(glyphs)) => glyphs,
        Some(mode) => return Err(PlayError::NoPixels(mode)),
    };
    let is_mono = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let usual = if is_mono {
        ColorDepth::Mono
    } else {
        ColorDepth::Truecolor
    };
    let size = options.size.unwrap_or(Cells::new(80, 24));
    let area = CellRect::new(0, 0, size.cols, size.rows);
    let mut screen = picture::Screen::new(size, options.screen.depth.unwrap_or(usual));
    screen.set_glyphs(glyphs);
    if matches!(clip.frames, Frames::Still(_)) {
        // No other frame follows that could bring what this one has no room for.
        screen.set_redraw(picture::Redraw::EXACT);
    }
    let interval = clip.interval();
    screen.set_budget(
        options
            .screen
            .rate
            .map(|rate| (rate as f64 * interval.as_secs_f64()) as usize),
    );
    let begin = now();
    let mut due = begin;
    let mut figures = Figures {
        cells: usize::from(size.cols) * usize::from(size.rows),
        ..Figures::default()
    };
    let mut bytes = Vec::new();
    let result = loop {
        let picture = match clip.next() {
            Ok(Some(picture)) => picture,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        figures.read += 1;
        if !options.unpaced {
            wait_until(due);
            due += interval;
        }
        bytes.clear();
        screen.picture(area, &picture, false);
        screen.encode(&mut bytes);
        if bytes.is_empty() {
            // A frame all the same: who reads the stream may count them.
            bytes.extend_from_slice(b"\x1b[?2026h\x1b[?2026l");
        }
        match out.write_all(&bytes).and_then(|()| out.flush()) {
            Ok(()) => {}
            // Who reads it has had enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break Ok(()),
            Err(error) => break Err(PlayError::Output(error)),
        }
        figures.shown += 1;
        figures.bytes += bytes.len() as u64;
    };
    figures.seconds = (now() - begin).as_secs_f64();
    Ok((figures, result))
}

/// Shows it in the terminal; a picture that comes too late is left out. A still stays until a key.
async fn on_terminal(clip: Clip, options: &PlayOptions) -> Result<(), PlayError> {
    let mut signals = Signals::new(true).map_err(PlayError::Signals)?;
    let is_still = matches!(clip.frames, Frames::Still(_));
    let interval = clip.interval();
    let mut pictures = read_ahead(clip).map_err(PlayError::Thread)?;
    let terminal = Terminal::enter(None)?;
    let mut screen = screen::start(options.screen)?;
    let replies = screen.replies();
    let mut keys = terminal.read_keys(move |reply, at| replies.put(reply, at))?;
    let mut written = screen.pictures();
    let me = PeerId::try_from("clip".to_owned()).expect("letters are an identity");
    let slot = screen.watch(me.clone());
    let mut state = State::new("", Me::default(), options.size.unwrap_or(terminal.size()), now());
    state.people.push(Person::new(me, SafeText::default()));
    state.is_bare = true;
    screen.show(Arc::new(state.clone()));
    let mut due = now();
    // Those that were replaced by the next before they were drawn apart.
    let mut expected = 0;
    let result = loop {
        let picture = async {
            match options.unpaced {
                true => drop(written.wait_for(|written| *written >= expected).await),
                false => tokio::time::sleep_until(due.into()).await,
            }
            match pictures.recv().await {
                None if is_still => std::future::pending().await,
                picture => picture,
            }
        };
        tokio::select! {
            biased;
            asked = signals.next() => match asked {
                Asked::End(..) => break Ok(()),
                Asked::Suspend => suspend(&terminal, &screen, &mut state, options)?,
            },
            input = keys.next() => match input {
                Input::Key(key) if is_enough(key) => break Ok(()),
                Input::Key(key) if is_chord(key, 'z') => suspend(&terminal, &screen, &mut state, options)?,
                Input::Key(_) | Input::Paste(_) => {}
                Input::Resize(size) => {
                    state.terminal = options.size.unwrap_or(size);
                    screen.show(Arc::new(state.clone()));
                }
                Input::Closed => break Ok(()),
            },
            told = screen.next() => match told {
                Told::Gone(error) => break Err(PlayError::Output(error)),
                Told::Cell(_) => {}
            },
            picture = picture => match picture {
                None => break Ok(()),
                Some(Err(error)) => break Err(error),
                Some(Ok(picture)) => {
                    let is_late = slot.put(picture);
                    expected += u64::from(!is_late);
                    // After a pause it goes on from here, and does not hurry.
                    due = (due + interval).max(now().checked_sub(interval).unwrap_or(due));
                }
            },
        }
    };
    // The last picture is seen as well.
    let _ = tokio::time::timeout(LAST, written.wait_for(|written| *written >= expected)).await;
    drop((screen, terminal));
    result
}

fn is_enough(key: KeyEvent) -> bool {
    let ends = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc);
    key.kind != KeyEventKind::Release && (ends || is_chord(key, 'c'))
}

fn is_chord(key: KeyEvent, letter: char) -> bool {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release && is_control && key.code == KeyCode::Char(letter)
}

/// Stops and goes on.
fn suspend(
    terminal: &Terminal,
    screen: &screen::Screen,
    state: &mut State,
    options: &PlayOptions,
) -> Result<(), TerminalError> {
    terminal.suspend()?;
    screen.redraw();
    // A stopped program is not told of another size.
    state.terminal = options.size.unwrap_or(terminal.size());
    screen.show(Arc::new(state.clone()));
    Ok(())
}

/// Reads on a thread of its own, a little ahead.
fn read_ahead(mut clip: Clip) -> io::Result<mpsc::Receiver<Result<Picture, PlayError>>> {
    let (tx, rx) = mpsc::channel(AHEAD);
    let thread = thread::Builder::new().name("clip".to_owned());
    thread.spawn(move || {
        while let Some(picture) = clip.next().transpose() {
            let is_last = picture.is_err();
            if tx.blocking_send(picture).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(rx)
}

/// Pictures, one after the other.
struct Clip {
    file: PathBuf,
    frames: Frames,
    pool: Pool,
    repeat: bool,
}

enum Frames {
    Still(Option<Picture>),
    File(Option<Reader<File>>),
    Stdin(Reader<io::Stdin>),
}

impl Clip {
    /// Opens a clip or a picture, whichever it is, or standard input (`-`).
    fn open(file: &Path, repeat: bool) -> Result<Self, PlayError> {
        let frames = if file == Path::new("-") {
            if repeat {
                return Err(PlayError::Once);
            }
            if io::stdin().is_terminal() {
                return Err(PlayError::Typed);
            }
            Frames::Stdin(Reader::new(io::stdin()).map_err(PlayError::Stdin)?)
        } else if is_live(file) {
            if repeat {
                return Err(PlayError::Once);
            }
            Frames::File(Some(reader(file)?))
        } else {
            let unopened = |error| SourceError::Open(file.to_owned(), error);
            let mut begin = Vec::new();
            let opened = File::open(file).map_err(unopened)?;
            opened.take(9).read_to_end(&mut begin).map_err(unopened)?;
            let is_clip =
                begin == b"YUV4MPEG2" || file.extension().is_some_and(|e| e.eq_ignore_ascii_case("y4m"));
            if is_clip {
                Frames::File(Some(reader(file)?))
            } else {
                Frames::Still(Some(Arc::new(load_image(file)?)))
            }
        };
        Ok(Self {
            file: file.to_owned(),
            frames,
            pool: Pool::default(),
            repeat,
        })
    }

    /// The time from one picture to the next.
    fn interval(&self) -> Duration {
        let header = match &self.frames {
            Frames::Still(_) | Frames::File(None) => None,
            Frames::File(Some(reader)) => Some(reader.header()),
            Frames::Stdin(reader) => Some(reader.header()),
        };
        let (frames, seconds) = header.and_then(|header| header.rate).unwrap_or(RATE);
        let interval = f64::from(seconds) / f64::from(frames);
        Duration::from_secs_f64(interval.clamp(0.001, 60.0))
    }

    /// The next picture; `None` at the end.
    fn next(&mut self) -> Result<Option<Picture>, PlayError> {
        match &mut self.frames {
            Frames::Still(picture) => Ok(picture.take()),
            Frames::Stdin(reader) => read(reader, &mut self.pool).map_err(PlayError::Stdin),
            Frames::File(slot) => {
                let clip = |error| SourceError::Y4m(self.file.clone(), error);
                let Some(mut reader) = slot.take() else {
                    return Ok(None);
                };
                let mut picture = read(&mut reader, &mut self.pool).map_err(clip)?;
                if picture.is_none() && self.repeat {
                    reader = reader.rewind().map_err(clip)?;
                    picture = read(&mut reader, &mut self.pool).map_err(clip)?;
                }
                *slot = Some(reader);
                Ok(picture)
            }
        }
    }
}

/// A pipe or a device is read once, as it comes.
fn is_live(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

fn reader(file: &Path) -> Result<Reader<File>, SourceError> {
    let opened = File::open(file).map_err(|error| SourceError::Open(file.to_owned(), error))?;
    Reader::new(opened).map_err(|error| SourceError::Y4m(file.to_owned(), error))
}

fn read(reader: &mut Reader<impl Read>, pool: &mut Pool) -> Result<Option<Picture>, Y4mError> {
    let mut is_there = Ok(false);
    let size = reader.header().size;
    let picture = pool.make(size, |picture: &mut I420| is_there = reader.read(picture));
    Ok(is_there?.then_some(picture))
}

fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}
