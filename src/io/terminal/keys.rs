//! Keys, sizes and answers, as the terminal sends them.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mio::{Events, Poll};
use tokio::signal::unix;
use tokio::sync::mpsc;

use super::input::{Event, Parser, Reply};
use super::{ANSWERS, HELD, Input, size, test_panic};
use crate::io::clock::now;

/// Keys and sizes, as they come.
#[derive(Debug)]
pub struct Keys {
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) resized: unix::Signal,
}

impl Keys {
    /// The next one; the last is [`Input::Closed`]. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Input {
        tokio::select! {
            biased;
            Some(()) = self.resized.recv() => Input::Resize(size()),
            input = self.inputs.recv() => input.unwrap_or(Input::Closed),
        }
    }
}

/// Reads until the terminal is gone (an error) or nobody wants its keys any more.
pub(super) fn read_keys(
    mut poll: Poll,
    tx: &mpsc::Sender<Input>,
    mut replies: impl FnMut(Reply, Instant),
) -> io::Result<()> {
    let Some(held) = HELD.get() else { return Ok(()) };
    let mut events = Events::with_capacity(1);
    let mut parser = Parser::default();
    let mut buffer = [0; 1024];
    let mut is_wanted = true;
    while is_wanted {
        let waited = poll.poll(&mut events, parser.patience());
        match waited {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            waited => waited?,
        }
        let now = now();
        let mut take = |event| match event {
            Event::Reply(reply) => {
                if matches!(reply, Reply::Attributes { .. }) {
                    ANSWERS.fetch_add(1, Ordering::AcqRel);
                }
                replies(reply, now);
            }
            Event::Key(key) => {
                test_panic("keys");
                is_wanted &= tx.blocking_send(Input::Key(key)).is_ok();
            }
            Event::Paste(text) => is_wanted &= tx.blocking_send(Input::Paste(text)).is_ok(),
        };
        if events.is_empty() {
            parser.expire(&mut take);
            continue;
        }
        // One is told once of what there is to read: it is read to its end.
        loop {
            match rustix::io::read(&held.tty, &mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    parser.feed(&buffer[..length], &mut take);
                    if length < buffer.len() {
                        break;
                    }
                }
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
