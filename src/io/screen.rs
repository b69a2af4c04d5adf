//! The screen thread: the only one that writes to the terminal.
//!
//! ```text
//!  driver ─ Slot<State> ──────────▶ ┐ woken by what is put into a slot, never by a tick
//!  decode ─ Slot<I420> a person ──▶ │ scale ▸ overlay ▸ compare ▸ write
//!  camera ─ Slot<I420> ───────────▶ │ a slow line costs pictures, never time (`pace`)
//!  keys ─ what the terminal says ─▶ ┘
//! ```

mod compose;
mod depth;
mod known;
mod pace;
mod pixels;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use self::compose::Composer;
pub use self::depth::color_depth;
use self::known::{GRAPHICS, Known, WHO};
use self::pace::{Pace, Turn};
use self::pixels::Protocol;
use super::clock::now;
use super::slot::{Slot, Wake, unpark};
use super::terminal::input::Reply;
use super::terminal::{self, TerminalError, test_panic};
use crate::media::frame::{I420, Picture};
use crate::picture::{ColorDepth, RenderMode};
use crate::signal::message::PeerId;
use crate::ui::State;
use crate::units::Size;

/// The own picture is drawn with whatever else is; alone only where nothing was drawn for so long.
const OWN_INTERVAL: Duration = Duration::from_millis(66);

/// What is asked at the end of each frame (DSR): the answer says that it has arrived.
const ARRIVED: &[u8] = b"\x1b[5n";

/// What is asked alone (DA1).
const PROBE: &[u8] = b"\x1b[c";

/// Answers that may wait: more than are ever under way.
const REPLIES: usize = 64;

/// Without news, frames go on until so many of them were empty: what was too little to be drawn, or
/// too much for one frame, is drawn then. The screen looks after each cell once in 64 frames.
const SETTLED: u32 = 64;

/// The time between these frames, and from news to the first of them: pictures at 30 a second leave no
/// room for any.
const SETTLE_INTERVAL: Duration = Duration::from_millis(66);

/// How the screen is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScreenConfig {
    /// The colours that the terminal is told; `None`: what the environment says it can show.
    pub depth: Option<ColorDepth>,
    /// How pictures are drawn; `None`: the best that the terminal is known to show.
    pub mode: Option<RenderMode>,
    /// The most that is written, in bytes a second; `None`: what terminal and line take.
    pub rate: Option<u64>,
}

/// Where the bytes go. `Ok(false)`: they were dropped because the terminal is given back for now,
/// and all must be drawn anew afterwards.
pub type Sink = Box<dyn FnMut(&[u8]) -> io::Result<bool> + Send>;

/// Takes the terminal's answers to the screen thread, and wakes it.
#[derive(Clone)]
pub struct Replies {
    tx: SyncSender<(Reply, Instant)>,
    wake: Wake,
}

impl Replies {
    /// Hands on an answer and the time at which it came.
    pub fn put(&self, reply: Reply, at: Instant) {
        // There is room for more than is ever asked; who sends more unasked is not listened to.
        let _ = self.tx.try_send((reply, at));
        (self.wake)();
    }
}

/// The pictures of each person who is watched.
type Watched = BTreeMap<PeerId, Arc<Slot<I420>>>;

/// The handle of the screen thread; dropping it ends the thread.
pub struct Screen {
    shared: Arc<Shared>,
    watched: Watched,
    replies: Replies,
    cell: watch::Receiver<Size>,
    gone: Option<oneshot::Receiver<io::Error>>,
    thread: Option<JoinHandle<()>>,
}

/// News of the terminal.
#[derive(Debug)]
pub enum Told {
    /// It cannot be written to, and this is why.
    Gone(io::Error),
    /// A cell shows so many square pixels; told at first as soon as it is known.
    Cell(Size),
}

/// What the screen thread did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Frames written.
    pub frames: u64,
    /// Pictures of others that were in them.
    pub pictures: u64,
    /// Bytes written.
    pub bytes: u64,
}

struct Shared {
    state: Arc<Slot<State>>,
    watched: Arc<Slot<Watched>>,
    own: Arc<Slot<I420>>,
    wake: Wake,
    redraw: AtomicBool,
    ended: AtomicBool,
    frames: AtomicU64,
    pictures: watch::Sender<u64>,
    bytes: AtomicU64,
}

/// Starts the thread on the terminal that [`terminal::Terminal::enter`] took.
///
/// # Errors
///
/// No thread can be started.
pub fn start(config: ScreenConfig) -> Result<Screen, TerminalError> {
    let depth = config
        .depth
        .unwrap_or_else(|| color_depth(|name| std::env::var(name).ok()));
    let config = ScreenConfig {
        depth: Some(depth),
        ..config
    };
    start_on(config, Box::new(terminal::write))
}

/// Starts the thread, writing to `sink`.
///
/// # Errors
///
/// No thread can be started.
pub fn start_on(config: ScreenConfig, sink: Sink) -> Result<Screen, TerminalError> {
    let (gone_tx, gone) = oneshot::channel();
    let (replies_tx, replies) = sync_channel(REPLIES);
    let (cell_tx, cell) = watch::channel(Size::default());
    // The slots wake the thread, so they are made once it runs.
    let (tx, rx) = sync_channel::<Arc<Shared>>(1);
    let run = move || {
        if let Ok(shared) = rx.recv() {
            let mut thread = ScreenThread::new(&shared, config, replies, cell_tx, sink);
            if let Err(error) = thread.run() {
                let _ = gone_tx.send(error);
            }
        }
    };
    let thread = thread::Builder::new()
        .name("screen".to_owned())
        .spawn(run)
        .map_err(|error| TerminalError::Mode("draw on", error))?;
    let wake = unpark(thread.thread().clone());
    let shared = Arc::new(Shared {
        state: Slot::new(wake.clone()),
        watched: Slot::new(wake.clone()),
        own: Slot::new(wake.clone()),
        wake: wake.clone(),
        redraw: AtomicBool::new(false),
        ended: AtomicBool::new(false),
        frames: AtomicU64::new(0),
        pictures: watch::Sender::new(0),
        bytes: AtomicU64::new(0),
    });
    tx.send(shared.clone())
        .expect("the thread waits for what it shares");
    Ok(Screen {
        shared,
        watched: Watched::new(),
        replies: Replies { tx: replies_tx, wake },
        cell,
        gone: Some(gone),
        thread: Some(thread),
    })
}

impl Screen {
    /// Shows this state; the newest wins.
    pub fn show(&self, state: Arc<State>) {
        self.shared.state.put(state);
    }

    /// Where that person's pictures are to be put; the newest is shown as soon as it is there.
    pub fn watch(&mut self, peer: PeerId) -> Arc<Slot<I420>> {
        let wake = &self.shared.wake;
        let slot = self
            .watched
            .entry(peer)
            .or_insert_with(|| Slot::new(wake.clone()));
        let slot = Arc::clone(slot);
        self.shared.watched.put(Arc::new(self.watched.clone()));
        slot
    }

    /// That person's pictures come no more.
    pub fn forget(&mut self, peer: &PeerId) {
        if self.watched.remove(peer).is_some() {
            self.shared.watched.put(Arc::new(self.watched.clone()));
        }
    }

    /// Where the own pictures are to be put.
    pub fn own(&self) -> Arc<Slot<I420>> {
        Arc::clone(&self.shared.own)
    }

    /// Draws everything anew: something else wrote to the terminal.
    pub fn redraw(&self) {
        self.shared.redraw.store(true, Ordering::Release);
        (self.shared.wake)();
    }

    /// Where the terminal's answers are to be put.
    pub fn replies(&self) -> Replies {
        self.replies.clone()
    }

    /// Counts the pictures of others that were taken for frames.
    pub fn pictures(&self) -> watch::Receiver<u64> {
        self.shared.pictures.subscribe()
    }

    /// What was shown so far.
    pub fn shown(&self) -> Shown {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Shown {
            frames: of(&self.shared.frames),
            pictures: *self.shared.pictures.borrow(),
            bytes: of(&self.shared.bytes),
        }
    }

    /// Waits for news of the terminal. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Told {
        let gone = async {
            match &mut self.gone {
                Some(gone) => gone.await.ok(),
                None => None,
            }
        };
        tokio::select! {
            Some(error) = gone => {
                self.gone = None;
                Told::Gone(error)
            }
            Ok(()) = self.cell.changed() => Told::Cell(*self.cell.borrow_and_update()),
            else => std::future::pending().await,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        (self.shared.wake)();
        if let Some(thread) = self.thread.take()
            && !thread.thread().id().eq(&thread::current().id())
        {
            // It may be stuck in a write to a stalled terminal, which only `restore` ends; whoever
            // drops the handle does not wait for that.
            drop(thread);
        }
    }
}

struct ScreenThread<'a> {
    shared: &'a Shared,
    config: ScreenConfig,
    /// What the terminal has said of itself, and whether it has said all.
    known: Known,
    was_asked: bool,
    is_known: bool,
    /// How many square pixels a cell shows.
    cell: watch::Sender<Size>,
    replies: Receiver<(Reply, Instant)>,
    sink: Sink,
    pace: Pace,
    composer: Composer,
    watched: Arc<Watched>,
    /// A picture of the own camera; it waits for company until it is due.
    own: Option<Picture>,
    own_due: Instant,
    /// What the terminal shows is not the newest.
    is_stale: bool,
    /// Empty frames until nothing is left to draw, and when the next one is due.
    unsettled: u32,
    settle_due: Instant,
    /// Pictures of others that were taken since the last frame.
    taken: u64,
    out: Vec<u8>,
}

impl<'a> ScreenThread<'a> {
    fn new(
        shared: &'a Shared,
        config: ScreenConfig,
        replies: Receiver<(Reply, Instant)>,
        cell: watch::Sender<Size>,
        sink: Sink,
    ) -> Self {
        let now = now();
        Self {
            shared,
            config,
            known: Known::default(),
            was_asked: false,
            is_known: false,
            cell,
            replies,
            sink,
            pace: Pace::new(config.rate, now),
            composer: Composer::new(config.depth.unwrap_or_default()),
            watched: Arc::default(),
            own: None,
            own_due: now,
            is_stale: false,
            unsettled: 0,
            settle_due: now,
            taken: 0,
            out: Vec::with_capacity(64 * 1024),
        }
    }

    fn run(&mut self) -> io::Result<()> {
        self.choose_mode();
        while !self.shared.ended.load(Ordering::Acquire) {
            self.take_replies();
            let now = now();
            self.pace.handle_timeout(now);
            self.take_news(now);
            let turn = if self.is_stale { self.draw(now)? } else { None };
            let own_due = self.own.is_some().then_some(self.own_due);
            let settle_due = (!self.is_stale && self.unsettled > 0).then_some(self.settle_due);
            let deadline = [turn, own_due, settle_due, self.pace.deadline()];
            // What came while this was written is taken at once: a waiting unpark ends `park`.
            match deadline.into_iter().flatten().min() {
                Some(at) => thread::park_timeout(at.saturating_duration_since(super::clock::now())),
                None => thread::park(),
            }
        }
        Ok(())
    }

    fn take_replies(&mut self) {
        while let Ok((reply, at)) = self.replies.try_recv() {
            self.known.learn(&reply);
            match reply {
                Reply::Status => self.pace.answered(at),
                Reply::Attributes { .. } => {
                    self.pace.probe_answered(at);
                    // The answers come in the order of the questions, and this was the last.
                    if !std::mem::replace(&mut self.is_known, true) {
                        self.choose_mode();
                    }
                }
                Reply::Version(_) | Reply::Cell(_) | Reply::Area(_) | Reply::Graphics(_) => {}
            }
        }
    }

    /// Draws as was asked for, or as is best for what is known of the terminal.
    fn choose_mode(&mut self) {
        let get = |name: &str| std::env::var(name).ok();
        let size = self.known.cell_size(terminal::size());
        match self.config.mode.unwrap_or_else(|| self.known.best(get)) {
            RenderMode::Glyphs(glyphs) => self.composer.glyphs(glyphs),
            RenderMode::Kitty => self.composer.pixels(Protocol::Kitty, size),
            RenderMode::Sixel => self.composer.pixels(Protocol::Sixel, size),
        }
        self.mode_chosen();
    }

    /// Pixels that were not asked for are given up where the line is too slow for them.
    fn spare_the_line(&mut self) {
        if self.config.mode.is_none() && self.composer.is_starved() {
            let get = |name: &str| std::env::var(name).ok();
            self.composer.glyphs(self.known.glyphs(get));
            self.mode_chosen();
        }
    }

    fn mode_chosen(&mut self) {
        self.is_stale = true;
        let cell = self.composer.cell();
        self.cell
            .send_if_modified(|known| std::mem::replace(known, cell) != cell);
    }

    /// Takes what lies in the slots.
    fn take_news(&mut self, now: Instant) {
        let was_stale = std::mem::take(&mut self.is_stale);
        if self.shared.redraw.swap(false, Ordering::AcqRel) {
            self.composer.invalidate();
            self.pace.reset(now);
            self.is_stale = true;
        }
        if let Some(state) = self.shared.state.take() {
            self.composer.state(state);
            self.is_stale = true;
        }
        if let Some(watched) = self.shared.watched.take() {
            self.composer.retain(|peer| watched.contains_key(peer));
            self.watched = watched;
            self.is_stale = true;
        }
        for (peer, slot) in self.watched.iter() {
            if let Some(picture) = slot.take() {
                self.composer.picture(peer, picture);
                self.taken += 1;
                self.is_stale = true;
                test_panic("screen");
            }
        }
        self.own = self.shared.own.take().or(self.own.take());
        if (self.is_stale || was_stale || now >= self.own_due)
            && let Some(picture) = self.own.take()
        {
            self.composer.own(picture);
            self.is_stale = true;
        }
        if self.is_stale {
            self.unsettled = SETTLED;
        }
        self.is_stale |= was_stale || (self.unsettled > 0 && now >= self.settle_due);
    }

    /// Writes a frame if it may go now; else says until when it waits at most.
    fn draw(&mut self, now: Instant) -> io::Result<Option<Instant>> {
        self.out.clear();
        if self.pace.asks(now) {
            if !std::mem::replace(&mut self.was_asked, true) {
                self.out.extend_from_slice(WHO);
                if !known::is_nested(|name| std::env::var(name).ok()) {
                    self.out.extend_from_slice(GRAPHICS);
                }
            }
            self.out.extend_from_slice(PROBE);
        }
        let budget = match self.pace.turn(self.composer.most(), now) {
            Turn::Go(budget) => budget,
            Turn::Wait(at) => {
                self.write()?;
                return Ok(Some(at));
            }
        };
        self.is_stale = false;
        self.settle_due = now + SETTLE_INTERVAL;
        self.own_due = now + OWN_INTERVAL;
        let before = self.out.len();
        self.composer.frame(budget, &mut self.out);
        self.spare_the_line();
        let length = self.out.len() - before;
        if length == 0 {
            self.unsettled = self.unsettled.saturating_sub(1);
            self.write()?;
            return Ok(None);
        }
        if self.pace.is_answered() {
            self.out.extend_from_slice(ARRIVED);
        }
        let taken = std::mem::take(&mut self.taken);
        self.shared.pictures.send_modify(|pictures| *pictures += taken);
        if self.write()? {
            self.pace.wrote(length, now, super::clock::now());
            self.shared.frames.fetch_add(1, Ordering::Relaxed);
        } else {
            self.composer.invalidate();
        }
        Ok(None)
    }

    fn write(&mut self) -> io::Result<bool> {
        let length = self.out.len() as u64;
        let is_written = length == 0 || (self.sink)(&self.out)?;
        if is_written {
            self.shared.bytes.fetch_add(length, Ordering::Relaxed);
        }
        Ok(is_written)
    }
}

#[cfg(test)]
mod tests;
