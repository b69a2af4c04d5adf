//! The thread itself: what it takes, when it draws, and what it asks the terminal.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::compose::Composer;
use super::known::{self, Known};
use super::pace::{Pace, Turn};
use super::pixels::Protocol;
use super::{ScreenConfig, Shared, Sink, Watched, color_depth, variable};
use crate::io::clock::{self, now};
use crate::io::terminal::input::Reply;
use crate::io::terminal::{self, test_panic};
use crate::media::frame::Picture;
use crate::picture::RenderMode;
use crate::units::Size;

/// The own picture is drawn with whatever else is; alone only where nothing was drawn for so long.
const OWN_INTERVAL: Duration = Duration::from_millis(66);

/// What is asked at the end of each frame (DSR): the answer says that it has arrived.
pub(super) const ARRIVED: &[u8] = b"\x1b[5n";

/// What is asked alone (DA1).
pub(super) const PROBE: &[u8] = b"\x1b[c";

/// Without news, frames go on until so many of them were empty: what was too little to be drawn, or
/// too much for one frame, is drawn then. The screen looks after each cell once in 64 frames.
const SETTLED: u32 = 64;

/// The time between these frames, and from news to the first of them: pictures at 30 a second leave no
/// room for any.
const SETTLE_INTERVAL: Duration = Duration::from_millis(66);

/// What the thread has and knows.
pub(super) struct ScreenThread<'a> {
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
    /// There are some among them that were not drawn yet.
    is_fresh: bool,
    out: Vec<u8>,
}

impl<'a> ScreenThread<'a> {
    pub(super) fn new(
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
            composer: Composer::new(config.depth.unwrap_or_else(|| color_depth(variable))),
            watched: Arc::default(),
            own: None,
            own_due: now,
            is_stale: false,
            unsettled: 0,
            settle_due: now,
            taken: 0,
            is_fresh: false,
            out: Vec::with_capacity(64 * 1024),
        }
    }

    /// Draws until the handle is dropped or the terminal cannot be written to.
    pub(super) fn run(&mut self) -> io::Result<()> {
        self.choose_mode();
        while !self.shared.ended.load(Ordering::Acquire) {
            self.take_replies();
            let now = now();
            self.pace.handle_timeout(now);
            self.take_news(now);
            let turn = if self.is_stale { self.draw(now)? } else { None };
            if self.looks_again(turn, now) {
                continue;
            }
            // Until then the own picture waits for company.
            let own_due = (self.own.is_some() || now < self.own_due).then_some(self.own_due);
            let settle_due = (!self.is_stale && self.unsettled > 0).then_some(self.settle_due);
            let deadline = [turn, own_due, settle_due, self.pace.deadline()];
            // What came while this was written is taken at once: a waiting unpark ends `park`.
            match deadline.into_iter().flatten().min() {
                Some(at) => thread::park_timeout(at.saturating_duration_since(clock::now())),
                None => thread::park(),
            }
        }
        Ok(())
    }

    /// Opens the gates of what is waited for, and says whether it came meanwhile.
    fn looks_again(&mut self, turn: Option<Instant>, now: Instant) -> bool {
        if turn.is_some() {
            self.shared.reply_gate.open();
            if self.take_replies() {
                return true;
            }
        } else {
            self.shared.reply_gate.close();
        }
        if now < self.own_due {
            self.shared.own_gate.close();
            return false;
        }
        self.shared.own_gate.open();
        let fresh = self.shared.own.take();
        let is_fresh = fresh.is_some();
        self.own = fresh.or(self.own.take());
        is_fresh
    }

    /// Says whether there were any.
    fn take_replies(&mut self) -> bool {
        let mut any = false;
        while let Ok((reply, at)) = self.replies.try_recv() {
            any = true;
            self.known.learn(&reply);
            match reply {
                Reply::Status => self.pace.answered(at),
                Reply::Attributes { .. } => {
                    self.pace.probe_answered(at);
                    // The answers come in the order of the questions, and this was the last.
                    if !std::mem::replace(&mut self.is_known, true) {
                        self.choose_depth();
                        self.choose_mode();
                    }
                }
                // tmux answers beside the terminal.
                Reply::Colours { .. } if self.is_known => self.choose_depth(),
                Reply::Version(_)
                | Reply::Cell(_)
                | Reply::Area(_)
                | Reply::Graphics(_)
                | Reply::Colours { .. }
                | Reply::Synchronized(_) => {}
            }
        }
        any
    }

    /// Shows the colours that were asked for, or those that the terminal is known to have.
    fn choose_depth(&mut self) {
        if self.config.depth.is_none() && self.composer.depth(self.known.depth(variable)) {
            self.is_stale = true;
        }
    }

    /// Draws as was asked for, or as is best for what is known of the terminal.
    fn choose_mode(&mut self) {
        let size = self.cell_size();
        match self.config.mode.unwrap_or_else(|| self.known.best(variable)) {
            RenderMode::Glyphs(glyphs) => self.composer.glyphs(glyphs),
            RenderMode::Kitty => self.composer.pixels(Protocol::Kitty, size),
            RenderMode::Sixel => self.composer.pixels(Protocol::Sixel, size),
        }
        self.mode_chosen();
    }

    fn cell_size(&self) -> Option<Size> {
        self.known.cell_size(terminal::cell(), terminal::size())
    }

    /// Pixels that were not asked for are given up where the line is too slow for them.
    fn spare_the_line(&mut self) {
        if self.config.mode.is_none() && self.composer.is_starved() {
            self.composer.glyphs(self.known.glyphs(variable));
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
            if self.composer.state(state) && self.composer.resize_cells(self.cell_size()) {
                self.mode_chosen();
            }
            self.is_stale = true;
        }
        if let Some(watched) = self.shared.watched.take() {
            self.composer.retain(|video| watched.contains_key(video));
            self.watched = watched;
            self.is_stale = true;
        }
        for (video, slot) in self.watched.iter() {
            if let Some(picture) = slot.take() {
                self.composer.picture(video, picture);
                self.taken += 1;
                self.is_fresh = true;
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
                known::ask(variable, &mut self.out);
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
        if std::mem::take(&mut self.is_fresh) {
            self.shared.drawn.fetch_add(1, Ordering::Relaxed);
        }
        let length = self.out.len() - before;
        if length == 0 {
            self.unsettled = self.unsettled.saturating_sub(1);
            self.write()?;
            return Ok(None);
        }
        if self.pace.is_answered() {
            self.out.extend_from_slice(ARRIVED);
        }
        // What the first frames have no bytes for, as nothing is known of the line, follows at once.
        if budget < self.composer.most() && length > budget / 2 {
            self.settle_due = now;
        }
        let taken = std::mem::take(&mut self.taken);
        self.shared.pictures.send_modify(|pictures| *pictures += taken);
        if self.write()? {
            self.pace.wrote(length, now, clock::now());
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
