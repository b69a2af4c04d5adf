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
pub(super) mod known;
mod pace;
mod pixels;
mod thread;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{oneshot, watch};

pub use self::depth::{ask_tmux, color_depth};
use self::thread::ScreenThread;
use super::clock;
use super::slot::{Gate, Slot, Wake, unpark};
use super::terminal::input::Reply;
use super::terminal::{self, TerminalError};
use crate::call::control::VideoId;
use crate::media::frame::I420;
use crate::picture::{ColorDepth, RenderMode};
use crate::signal::message::PeerId;
use crate::ui::State;
use crate::units::Size;

/// Answers that may wait: more than are ever under way.
const REPLIES: usize = 64;

/// How the screen is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScreenConfig {
    /// The colours that the terminal is told; `None`: what the environment says it can show, or itself.
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
    gate: Arc<Gate>,
}

impl Replies {
    /// Hands on an answer and the time at which it came.
    pub fn put(&self, reply: Reply, at: Instant) {
        // There is room for more than is ever asked; who sends more unasked is not listened to.
        let is_frame = matches!(reply, Reply::Status);
        let _ = self.tx.try_send((reply, at));
        if !is_frame || self.gate.is_open() {
            (self.wake)();
        }
    }
}

/// The pictures that are watched.
type Watched = BTreeMap<VideoId, Arc<Slot<I420>>>;

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
    /// How often new pictures of others were drawn, whether or not that took a byte.
    pub drawn: u64,
    /// Bytes written.
    pub bytes: u64,
}

struct Shared {
    state: Arc<Slot<State>>,
    watched: Arc<Slot<Watched>>,
    own: Arc<Slot<I420>>,
    /// The own picture is waited for.
    own_gate: Arc<Gate>,
    /// Another frame's arrival is waited for.
    reply_gate: Arc<Gate>,
    wake: Wake,
    redraw: AtomicBool,
    ended: AtomicBool,
    frames: AtomicU64,
    pictures: watch::Sender<u64>,
    drawn: AtomicU64,
    bytes: AtomicU64,
}

/// Starts the thread on the terminal that [`terminal::Terminal::enter`] took.
///
/// # Errors
///
/// No thread can be started.
pub fn start(config: ScreenConfig) -> Result<Screen, TerminalError> {
    let screen = start_on(config, Box::new(terminal::write))?;
    if config.depth.is_none() {
        let replies = screen.replies();
        depth::ask_tmux(variable, move |truecolor| {
            replies.put(Reply::Colours { truecolor }, clock::now());
        });
    }
    Ok(screen)
}

/// A variable of the environment.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
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
    let thread = std::thread::Builder::new()
        .name("screen".to_owned())
        .spawn(run)
        .map_err(|error| TerminalError::Mode("draw on", error))?;
    let wake = unpark(thread.thread().clone());
    let (own_gate, reply_gate) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let wake_for_own: Wake = {
        let (gate, wake) = (Arc::clone(&own_gate), wake.clone());
        Arc::new(move || {
            if gate.is_open() {
                wake();
            }
        })
    };
    let shared = Arc::new(Shared {
        state: Slot::new(wake.clone()),
        watched: Slot::new(wake.clone()),
        own: Slot::new(wake_for_own),
        own_gate,
        reply_gate: Arc::clone(&reply_gate),
        wake: wake.clone(),
        redraw: AtomicBool::new(false),
        ended: AtomicBool::new(false),
        frames: AtomicU64::new(0),
        pictures: watch::Sender::new(0),
        drawn: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    });
    tx.send(shared.clone())
        .expect("the thread waits for what it shares");
    Ok(Screen {
        shared,
        watched: Watched::new(),
        replies: Replies {
            tx: replies_tx,
            wake,
            gate: reply_gate,
        },
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

    /// Where that picture is to be put; the newest is shown as soon as it is there.
    pub fn watch(&mut self, video: impl Into<VideoId>) -> Arc<Slot<I420>> {
        let wake = &self.shared.wake;
        let slot = self
            .watched
            .entry(video.into())
            .or_insert_with(|| Slot::new(wake.clone()));
        let slot = Arc::clone(slot);
        self.shared.watched.put(Arc::new(self.watched.clone()));
        slot
    }

    /// That picture comes no more.
    pub fn forget(&mut self, video: &VideoId) {
        if self.watched.remove(video).is_some() {
            self.shared.watched.put(Arc::new(self.watched.clone()));
        }
    }

    /// That person's pictures come no more.
    pub fn forget_all(&mut self, peer: &PeerId) {
        self.watched.retain(|video, _| video.peer != *peer);
        self.shared.watched.put(Arc::new(self.watched.clone()));
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
            drawn: of(&self.shared.drawn),
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
            && !thread.thread().id().eq(&std::thread::current().id())
        {
            // It may be stuck in a write to a stalled terminal, which only `restore` ends; whoever
            // drops the handle does not wait for that.
            drop(thread);
        }
    }
}

#[cfg(test)]
mod tests;
