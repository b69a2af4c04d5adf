//! The terminal's file: how it is opened, and written to without waiting for ever.

use std::io::{self, IsTerminal};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, TryLockError};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};

pub(super) const MILLISECOND: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};

/// Opens the terminal for itself: by the name of standard output's, as the one that controls this
/// process, or (a container may have neither) as standard output itself.
pub(super) fn open_tty() -> io::Result<OwnedFd> {
    // macOS cannot poll a terminal: there writes wait.
    let wait = if cfg!(target_os = "macos") {
        OFlags::empty()
    } else {
        OFlags::NONBLOCK
    };
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | wait;
    let stdout = io::stdout();
    if stdout.is_terminal() {
        let named = rustix::termios::ttyname(&stdout, Vec::new());
        if let Ok(tty) = named.and_then(|name| rustix::fs::open(name, flags, Mode::empty())) {
            return Ok(tty);
        }
    }
    match rustix::fs::open("/dev/tty", flags, Mode::empty()) {
        Ok(tty) => Ok(tty),
        Err(_) if stdout.is_terminal() => Ok(rustix::io::fcntl_dupfd_cloexec(&stdout, 3)?),
        Err(error) => Err(error.into()),
    }
}

/// Writes all of `bytes`; waits (no longer than `patience` at a time) while the terminal takes
/// none, as long as `goes_on`; false where it did not.
pub(super) fn write_patiently(
    tty: BorrowedFd,
    mut bytes: &[u8],
    patience: Option<&Timespec>,
    goes_on: impl Fn() -> bool,
) -> io::Result<bool> {
    use rustix::io::Errno;
    // Looked up each tenth of a second whether it still goes on: a stalled terminal must not
    // keep the program from leaving.
    let tenth = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    while !bytes.is_empty() {
        if !goes_on() {
            return Ok(false);
        }
        match rustix::io::write(tty, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(&tty, PollFlags::OUT)];
                match rustix::event::poll(&mut fds, Some(patience.unwrap_or(&tenth))) {
                    Ok(0) if patience.is_some() => return Err(io::ErrorKind::TimedOut.into()),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Locks `mutex`, trying for so many milliseconds.
pub(super) fn lock_within(mutex: &Mutex<()>, millis: u32) -> Option<MutexGuard<'_, ()>> {
    for _ in 0..millis {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            // Leaving waits for the writer; there is nothing to be woken by in a panic hook.
            Err(TryLockError::WouldBlock) => {
                let _ = rustix::event::poll(&mut [], Some(&MILLISECOND));
            }
        }
    }
    None
}
