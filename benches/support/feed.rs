//! A person in a terminal whose camera is a stream of stamped frames, each noted when it is written.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use facetty::io::clock;
use facetty::units::Size;

use crate::support::files::{FPS, FRAME, stamped, y4m_header};
use crate::support::program::Server;
use crate::support::terminal::Terminal;

/// Wide pictures, which fill the terminal.
const CAMERA: Size = Size::new(640, 360);

/// Stamped frames into a FIFO, 30 a second, each noted before it is written.
pub struct Feed {
    stop: Sender<()>,
    sent: std::sync::Arc<std::sync::Mutex<Vec<Instant>>>,
}

impl Feed {
    /// Begins as soon as somebody reads.
    pub fn start(fifo: &Path) -> Self {
        let fifo = fifo.to_owned();
        let (stop, stopped) = channel();
        let sent = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let note = sent.clone();
        thread::spawn(move || {
            // Opening waits for the reader.
            let Ok(mut camera) = File::options().write(true).open(fifo) else {
                return;
            };
            if camera.write_all(y4m_header(CAMERA).as_bytes()).is_err() {
                return;
            }
            let began = clock::now();
            for n in 0.. {
                let mut frame = FRAME.to_vec();
                frame.extend_from_slice(stamped(CAMERA, n).bytes());
                let due = began + Duration::from_secs(1) * n / FPS;
                if !wait(&stopped, due) {
                    return;
                }
                note.lock().expect("nobody panics with it").push(clock::now());
                if camera.write_all(&frame).is_err() {
                    return;
                }
            }
        });
        Self { stop, sent }
    }

    /// When a frame was written.
    pub fn sent(&self, n: u32) -> Option<Instant> {
        self.sent
            .lock()
            .expect("nobody panics with it")
            .get(n as usize)
            .copied()
    }

    /// Ends it.
    pub fn stop(self) {
        let _ = self.stop.send(());
    }
}

/// Reads a terminal nobody looks at, as a terminal does.
pub struct Drain {
    stop: std::sync::Arc<AtomicBool>,
    thread: thread::JoinHandle<Terminal>,
}

impl Drain {
    /// Reads until it is stopped.
    pub fn start(mut terminal: Terminal) -> Self {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                terminal.watch(Duration::from_millis(100));
            }
            terminal
        });
        Self { stop, thread }
    }

    /// Leaves the call.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let mut terminal = self.thread.join().expect("the reader does not panic");
        terminal.type_keys("q");
        terminal.ended();
    }
}

/// The arguments of somebody in the lobby who sends a tone.
pub fn joins(server: &Server, name: &str, more: &[&str]) -> Vec<String> {
    let args = [
        "--server",
        &server.url,
        "--room",
        "lobby",
        "--name",
        name,
        "--mic",
        "tone",
        "--speaker",
        "none",
    ];
    args.iter().chain(more).map(|&arg| arg.to_owned()).collect()
}

/// A pipe with a name.
pub fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("the folder is new");
}

/// Waits until `due`; false where it was stopped.
fn wait(stopped: &Receiver<()>, due: Instant) -> bool {
    let left = due.saturating_duration_since(clock::now());
    stopped.recv_timeout(left) == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
}
