//! The signals that end or suspend the program.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// What somebody outside asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To end: the signal's number and its name.
    End(i32, &'static str),
    /// To stop until continued (SIGTSTP).
    Suspend,
}

/// SIGINT, SIGTERM, SIGHUP, SIGQUIT and, where a terminal is to be given back first, SIGTSTP; taken
/// from the moment this is made.
pub struct Signals {
    ends: [(tokio::signal::unix::Signal, i32, &'static str); 4],
    suspend: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    /// Takes the signals, SIGTSTP where `suspend` says so; needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn new(suspend: bool) -> io::Result<Self> {
        let take = |which: Signal| signal(SignalKind::from_raw(which.as_raw()));
        let end = |which: Signal, name| Ok::<_, io::Error>((take(which)?, which.as_raw(), name));
        Ok(Self {
            ends: [
                end(Signal::INT, "SIGINT")?,
                end(Signal::TERM, "SIGTERM")?,
                end(Signal::HUP, "SIGHUP")?,
                end(Signal::QUIT, "SIGQUIT")?,
            ],
            suspend: suspend.then(|| take(Signal::TSTP)).transpose()?,
        })
    }

    /// The next one. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Asked {
        let [a, b, c, d] = &mut self.ends;
        let suspend = async {
            match &mut self.suspend {
                Some(suspend) => suspend.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = a.0.recv() => Asked::End(a.1, a.2),
            _ = b.0.recv() => Asked::End(b.1, b.2),
            _ = c.0.recv() => Asked::End(c.1, c.2),
            _ = d.0.recv() => Asked::End(d.1, d.2),
            _ = suspend => Asked::Suspend,
        }
    }
}
