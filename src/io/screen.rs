//! The screen thread: the only one that writes to the terminal.
//!
//! ```text
//!  driver ─ Slot<State> ──────────▶ ┐ woken by what is put into a slot, never by a tick
//!  decode ─ Slot<I420> a person ──▶ │ scale ▸ overlay ▸ compare ▸ write
//!  camera ─ Slot<I420> ───────────▶ ┘ a slow write costs pictures, never time
//! ```

mod compose;
mod depth;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::compose::Composer;
pub use self::depth::color_depth;
use super::clock::now;
use super::slot::{Slot, Wake, unpark};
use super::terminal::{self, TerminalError, test_panic};
use crate::media::frame::I420;
use crate::picture::ColorDepth;
use crate::signal::message::PeerId;
use crate::ui::State;

/// The own picture is drawn with whatever else is; alone only where nothing was drawn for so long.
const OWN_INTERVAL: Duration = Duration::from_millis(66);

/// How the screen is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScreenConfig {
    /// The colours that the terminal is told; `None`: what the environment says it can show.
    pub depth: Option<ColorDepth>,
}

/// Where the bytes go. `Ok(false)`: they were dropped because the terminal is given back for now,
/// and all must be drawn anew afterwards.
pub type Sink = Box<dyn FnMut(&[u8]) -> io::Result<bool> + Send>;

/// The pictures of each person who is watched.
type Watched = BTreeMap<PeerId, Arc<Slot<I420>>>;

/// The handle of the screen thread; dropping it ends the thread.
pub struct Screen {
    shared: Arc<Shared>,
    watched: Watched,
    gone: Option<oneshot::Receiver<io::Error>>,
    thread: Option<JoinHandle<()>>,
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
    pictures: AtomicU64,
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
    start_on(depth, Box::new(terminal::write))
}

/// Starts the thread, writing to `sink`.
///
/// # Errors
///
/// No thread can be started.
pub fn start_on(depth: ColorDepth, sink: Sink) -> Result<Screen, TerminalError> {
    let (gone_tx, gone) = oneshot::channel();
    // The slots wake the thread, so they are made once it runs.
    let (tx, rx) = sync_channel::<Arc<Shared>>(1);
    let run = move || {
        if let Ok(shared) = rx.recv() {
            let mut thread = ScreenThread::new(&shared, depth, sink);
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
        wake,
        redraw: AtomicBool::new(false),
        ended: AtomicBool::new(false),
        frames: AtomicU64::new(0),
        pictures: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    });
    tx.send(shared.clone())
        .expect("the thread waits for what it shares");
    Ok(Screen {
        shared,
        watched: Watched::new(),
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

    /// What was shown so far.
    pub fn shown(&self) -> Shown {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Shown {
            frames: of(&self.shared.frames),
            pictures: of(&self.shared.pictures),
            bytes: of(&self.shared.bytes),
        }
    }

    /// Waits until the terminal cannot be written to; says why, once.
    pub async fn gone(&mut self) -> io::Error {
        if let Some(gone) = &mut self.gone
            && let Ok(error) = gone.await
        {
            self.gone = None;
            return error;
        }
        std::future::pending().await
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
    sink: Sink,
    composer: Composer,
    watched: Arc<Watched>,
    /// A picture of the own camera waits for company until then.
    own_due: Instant,
    out: Vec<u8>,
}

impl<'a> ScreenThread<'a> {
    fn new(shared: &'a Shared, depth: ColorDepth, sink: Sink) -> Self {
        Self {
            shared,
            sink,
            composer: Composer::new(depth),
            watched: Arc::default(),
            own_due: now(),
            out: Vec::with_capacity(64 * 1024),
        }
    }

    fn run(&mut self) -> io::Result<()> {
        let mut own_waits = None;
        while !self.shared.ended.load(Ordering::Acquire) {
            let mut has_news = self.take_news();
            own_waits = self.shared.own.take().or(own_waits);
            let now = now();
            if (has_news || now >= self.own_due)
                && let Some(picture) = own_waits.take()
            {
                self.composer.own(picture);
                has_news = true;
            }
            if has_news {
                self.own_due = now + OWN_INTERVAL;
                // What came while this was written is taken at once: a waiting unpark ends `park`.
                self.draw()?;
            } else if own_waits.is_some() {
                thread::park_timeout(self.own_due.saturating_duration_since(now));
            } else {
                thread::park();
            }
        }
        Ok(())
    }

    /// Takes what lies in the slots, the own picture apart; true if it changes the screen.
    fn take_news(&mut self) -> bool {
        let mut has_news = false;
        if self.shared.redraw.swap(false, Ordering::AcqRel) {
            self.composer.invalidate();
            has_news = true;
        }
        if let Some(state) = self.shared.state.take() {
            self.composer.state(state);
            has_news = true;
        }
        if let Some(watched) = self.shared.watched.take() {
            self.composer.retain(|peer| watched.contains_key(peer));
            self.watched = watched;
            has_news = true;
        }
        for (peer, slot) in self.watched.iter() {
            if let Some(picture) = slot.take() {
                self.composer.picture(peer, picture);
                self.shared.pictures.fetch_add(1, Ordering::Relaxed);
                has_news = true;
                test_panic("screen");
            }
        }
        has_news
    }

    fn draw(&mut self) -> io::Result<()> {
        self.out.clear();
        self.composer.frame(&mut self.out);
        if self.out.is_empty() {
            return Ok(());
        }
        if (self.sink)(&self.out)? {
            self.shared.frames.fetch_add(1, Ordering::Relaxed);
            let bytes = self.out.len() as u64;
            self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.composer.invalidate();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
