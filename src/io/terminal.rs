//! The terminal's modes: entered once, and left by one idempotent [`restore`], whatever the road:
//! return, panic on any thread, or signal.

pub mod input;
mod keys;
mod tty;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use crossterm::event::KeyEvent;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use rustix::event::Timespec;
use rustix::process::Signal;
use rustix::termios::{LocalModes, OptionalActions, OutputModes, Termios, Winsize};
use thiserror::Error;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;

use self::input::Reply;
pub use self::keys::Keys;
use self::keys::read_keys;
use self::tty::{MILLISECOND, lock_within, open_tty, write_patiently};
use crate::units::{Cells, Size};

/// The alternate screen, cleared; no cursor; no wrapping, so that the last column can be written;
/// no focus reports, no bracketed paste, which an earlier program may have left on; and that keys are
/// let go is told (kitty's protocol, by the terminals that know it), for talking while Space is held.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[2J\x1b[?25l\x1b[?7l\x1b[?1004l\x1b[?2004h\x1b[>2u";

/// Everything back. CAN ends a sequence that may have been cut in half, the synchronized update
/// that may be open is closed.
const LEAVE: &[u8] = b"\x18\x1b[<u\x1b[0m\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[?1049l\x1b[?2026l";

/// The end of asking: the line where it was done is clean, and what a question may have left is undone.
const ASKED: &[u8] = b"\x18\r\x1b[0m\x1b[K\x1b[?7h\x1b[?2026l";

/// What is asked last (DA1): its answer, and those before it, must not reach the shell.
const LAST_QUESTION: &[u8] = b"\x1b[c";

/// Keys that wait for the program: more than anybody types while it is busy.
const KEYS: usize = 64;

/// The largest single write; what a pseudo-terminal takes without blocking (12 to 18 kB on Linux).
const CHUNK: usize = 12 * 1024;

/// How long leaving waits for a terminal that takes nothing, or whose answer is late.
const LEAVE_PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 300_000_000,
};

/// Why there is no interface.
#[derive(Debug, Error)]
pub enum TerminalError {
    /// Neither standard output nor `/dev/tty` is one.
    #[error("there is no terminal to show the call on ({0}); use --headless, or ssh -t over SSH")]
    None(#[source] io::Error),
    /// It refused a mode.
    #[error("cannot {0} the terminal: {1}")]
    Mode(&'static str, #[source] io::Error),
    /// The log file cannot be opened.
    #[error("cannot open {0}: {1}")]
    Log(String, #[source] io::Error),
}

/// What came from the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key.
    Key(KeyEvent),
    /// Text that was pasted.
    Paste(String),
    /// It has another size.
    Resize(Cells),
    /// It is gone.
    Closed,
}

/// The terminal of this process; there is one.
struct Held {
    /// Opened anew where possible, so that it can be non-blocking without making the shell's so.
    tty: OwnedFd,
    cooked: Termios,
    /// Where standard error went, and where it goes meanwhile.
    stderr: Option<(OwnedFd, OwnedFd)>,
    purpose: Purpose,
    up: AtomicBool,
    /// Held for each write, so that nothing is written after [`restore`].
    writing: Mutex<()>,
}

/// What the terminal is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The interface, on the alternate screen.
    Interface,
    /// Questions about itself, on the line where the cursor is. Ctrl-C interrupts as ever.
    Questions,
}

static HELD: OnceLock<Held> = OnceLock::new();

/// Answers to DA1 that were read.
static ANSWERS: AtomicU32 = AtomicU32::new(0);

/// The terminal in the modes that the interface needs; dropping it restores them.
#[derive(Debug)]
pub struct Terminal(());

impl Terminal {
    /// Takes the terminal. Until it is restored, standard error goes to `log` (or nowhere) where it
    /// is the terminal, so that no library writes over the picture; and a panic of any thread
    /// restores the terminal, says what happened, and ends the process with status 101.
    ///
    /// # Errors
    ///
    /// There is no terminal, it refuses, or `log` cannot be opened.
    pub fn enter(log: Option<&Path>) -> Result<Self, TerminalError> {
        Self::take(log, Purpose::Interface)
    }

    /// Takes the terminal to ask it about itself: nothing is shown but what is [written](write()), and what
    /// is typed meanwhile is not echoed. The signals are to be taken before, and end it as they end the
    /// interface.
    ///
    /// # Errors
    ///
    /// There is no terminal, or it refuses.
    pub fn ask() -> Result<Self, TerminalError> {
        Self::take(None, Purpose::Questions)
    }

    fn take(log: Option<&Path>, purpose: Purpose) -> Result<Self, TerminalError> {
        if HELD.get().is_none() {
            let held = hold(log, purpose)?;
            if HELD.set(held).is_ok() {
                let previous = panic::take_hook();
                panic::set_hook(Box::new(move |info| {
                    restore();
                    previous(info);
                    std::process::exit(101);
                }));
            }
        }
        resume()?;
        Ok(Self(()))
    }

    /// The terminal's size; 80x24 where it does not say.
    pub fn size(&self) -> Cells {
        size()
    }

    /// Starts reading keys and sizes, from the terminal also where standard input is something
    /// else; what the terminal answers goes to `replies`, on a thread of its own, with the time at
    /// which it came. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// No thread can be started, or the terminal cannot be waited for.
    pub fn read_keys(
        &self,
        replies: impl FnMut(Reply, Instant) + Send + 'static,
    ) -> Result<Keys, TerminalError> {
        let failed = |error| TerminalError::Mode("read", error);
        let resized = unix::signal(SignalKind::window_change()).map_err(failed)?;
        let (tx, inputs) = mpsc::channel(KEYS);
        let poll = Poll::new().map_err(failed)?;
        if let Some(held) = HELD.get() {
            let (tty, any) = (held.tty.as_raw_fd(), Token(0));
            let register = poll
                .registry()
                .register(&mut SourceFd(&tty), any, Interest::READABLE);
            register.map_err(failed)?;
        }
        let thread = thread::Builder::new().name("keys".to_owned());
        thread
            .spawn(move || {
                let _ = read_keys(poll, &tx, replies);
                let _ = tx.blocking_send(Input::Closed);
            })
            .map_err(failed)?;
        Ok(Keys { inputs, resized })
    }

    /// Gives the terminal back and stops the process, as Ctrl-Z does elsewhere; returns when it is
    /// continued and the terminal is taken again. All must then be drawn anew.
    ///
    /// # Errors
    ///
    /// The terminal refuses to be taken again.
    pub fn suspend(&self) -> Result<(), TerminalError> {
        restore();
        rustix::process::kill_process(rustix::process::getpid(), Signal::STOP)
            .map_err(|error| TerminalError::Mode("suspend", error.into()))?;
        resume()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back into the state in which it was found. Does nothing the second time; may
/// be called from every thread, and returns within a second whatever the terminal does.
pub fn restore() {
    let Some(held) = HELD.get() else { return };
    if !held.up.swap(false, Ordering::AcqRel) {
        return;
    }
    // A writer that is stuck in a write of a few kilobytes is not waited for: `LEAVE` begins with
    // what ends any sequence.
    let _writing = lock_within(&held.writing, 200);
    let answers = ANSWERS.load(Ordering::Acquire);
    let mut leave = match held.purpose {
        Purpose::Interface => LEAVE.to_vec(),
        Purpose::Questions => ASKED.to_vec(),
    };
    if answers > 0 {
        leave.extend_from_slice(LAST_QUESTION);
    }
    let is_written = write_patiently(held.tty.as_fd(), &leave, Some(&LEAVE_PATIENCE), || true);
    let mut what = OptionalActions::Now;
    if answers > 0 && !(is_written.is_ok() && is_answered_after(answers)) {
        // What is on its way cannot be kept from the shell, but what has come can.
        what = OptionalActions::Flush;
    }
    let _ = rustix::termios::tcsetattr(&held.tty, what, &held.cooked);
    if let Some((real, _)) = &held.stderr {
        let _ = rustix::stdio::dup2_stderr(real);
    }
}

/// Whether the interface has the terminal.
pub fn is_up() -> bool {
    HELD.get().is_some_and(|held| held.up.load(Ordering::Acquire))
}

/// The terminal's size; 80x24 where it does not say.
pub fn size() -> Cells {
    match window() {
        Some(size) if size.ws_col > 0 && size.ws_row > 0 => Cells::new(size.ws_col, size.ws_row),
        _ => Cells::new(80, 24),
    }
}

/// The size in pixels of a cell, where the terminal says (`TIOCGWINSZ`; over SSH as well).
pub fn cell() -> Option<Size> {
    let size = window().filter(|size| size.ws_col > 0 && size.ws_row > 0)?;
    let (width, height) = (size.ws_xpixel / size.ws_col, size.ws_ypixel / size.ws_row);
    (width > 0 && height > 0).then(|| Size::new(width.into(), height.into()))
}

fn window() -> Option<Winsize> {
    let of = |fd: BorrowedFd| rustix::termios::tcgetwinsize(fd).ok();
    let known = HELD.get().and_then(|held| of(held.tty.as_fd()));
    known.or_else(|| of(io::stdout().as_fd()))
}

/// Writes `bytes` to the terminal in small pieces and waits while it takes none. False: it is not
/// ours (any more), and nothing or a part was written.
///
/// # Errors
///
/// The terminal is gone.
pub fn write(bytes: &[u8]) -> io::Result<bool> {
    let Some(held) = HELD.get() else { return Ok(false) };
    for chunk in bytes.chunks(CHUNK) {
        let _writing = held
            .writing
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_up = || held.up.load(Ordering::Acquire);
        if !write_patiently(held.tty.as_fd(), chunk, None, is_up)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Panics on the thread that the environment names; tests use it to see the terminal restored.
#[cfg(debug_assertions)]
pub fn test_panic(thread: &str) {
    if std::env::var_os("FACETTY_TEST_PANIC").is_some_and(|wanted| wanted == thread) {
        panic!("FACETTY_TEST_PANIC asked for it on the thread {thread}");
    }
}

/// Panics on the thread that the environment names, in debug builds only.
#[cfg(not(debug_assertions))]
pub fn test_panic(_thread: &str) {}

fn hold(log: Option<&Path>, purpose: Purpose) -> Result<Held, TerminalError> {
    let tty = open_tty().map_err(TerminalError::None)?;
    let refuses = |error: rustix::io::Errno| TerminalError::Mode("ask", error.into());
    let cooked = rustix::termios::tcgetattr(&tty).map_err(refuses)?;
    let stderr = if io::stderr().is_terminal() {
        let real = rustix::io::fcntl_dupfd_cloexec(io::stderr(), 3).map_err(refuses)?;
        let path = log.unwrap_or(Path::new("/dev/null"));
        let open = File::options().append(true).create(log.is_some()).open(path);
        let sink = open.map_err(|error| TerminalError::Log(path.display().to_string(), error))?;
        Some((real, sink.into()))
    } else {
        None
    };
    Ok(Held {
        tty,
        cooked,
        stderr,
        purpose,
        up: AtomicBool::new(false),
        writing: Mutex::new(()),
    })
}

/// Takes the terminal that is held; gives back what was taken where that fails midway.
fn resume() -> Result<(), TerminalError> {
    take_held().inspect_err(|_| restore())
}

fn take_held() -> Result<(), TerminalError> {
    let Some(held) = HELD.get() else { return Ok(()) };
    let refuses = |error: io::Error| TerminalError::Mode("set up", error);
    let mut raw = held.cooked.clone();
    raw.make_raw();
    if held.purpose == Purpose::Questions {
        raw.local_modes |= held.cooked.local_modes & LocalModes::ISIG;
        raw.output_modes |= held.cooked.output_modes & OutputModes::OPOST;
    }
    held.up.store(true, Ordering::Release);
    rustix::termios::tcsetattr(&held.tty, OptionalActions::Now, &raw)
        .map_err(|error| refuses(error.into()))?;
    if let Some((_, sink)) = &held.stderr {
        rustix::stdio::dup2_stderr(sink).map_err(|error| refuses(error.into()))?;
    }
    if held.purpose == Purpose::Interface {
        write(ENTER).map_err(refuses)?;
    }
    Ok(())
}

/// Waits for one more answer than so many, as long as leaving may take.
fn is_answered_after(answers: u32) -> bool {
    for _ in 0..LEAVE_PATIENCE.tv_nsec / MILLISECOND.tv_nsec {
        if ANSWERS.load(Ordering::Acquire) != answers {
            return true;
        }
        let _ = rustix::event::poll(&mut [], Some(&MILLISECOND));
    }
    false
}
