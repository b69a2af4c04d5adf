//! A terminal that is read: a pseudo-terminal with the program in it, and what it shows.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use facetty::io::clock;
use facetty::media::frame::I420;
use facetty::units::{Cells, Size};
use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

use super::program::DEADLINE;

/// Ends a synchronized update: what was drawn until here is one picture.
const END_OF_FRAME: &[u8] = b"\x1b[?2026l";

/// How many of the last bytes are kept.
const TAIL: usize = 4096;

/// What terminals answer, whatever they are: whether all is well (DSR 5), and what they are (DA1).
const ANSWERS: [(&[u8], &[u8]); 2] = [(b"\x1b[5n", b"\x1b[0n"), (b"\x1b[c", b"\x1b[?62;22c")];

/// Finds questions in what is written to a terminal.
#[derive(Default)]
struct Questions {
    /// The end of what was read, where a question may have begun.
    rest: Vec<u8>,
}

impl Questions {
    fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.rest.extend_from_slice(bytes);
        let mut answer = Vec::new();
        let mut at = 0;
        while let Some(escape) = self.rest[at..].iter().position(|&b| b == 0x1b) {
            at += escape;
            let rest = &self.rest[at..];
            if ANSWERS
                .iter()
                .any(|(asked, _)| rest.len() < asked.len() && asked.starts_with(rest))
            {
                break;
            }
            let known = ANSWERS.iter().find(|(asked, _)| rest.starts_with(asked));
            answer.extend(known.map(|(_, answer)| *answer).unwrap_or_default());
            at += 1;
        }
        match self.rest[at..].first() {
            Some(0x1b) => drop(self.rest.drain(..at)),
            _ => self.rest.clear(),
        }
        answer
    }
}

/// A program in a pseudo-terminal; killed when dropped.
pub struct Terminal {
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<Arc<Mutex<Box<dyn Write + Send>>>>,
    /// Held while nothing is read.
    paused: Arc<Mutex<()>>,
    child: Box<dyn Child + Send + Sync>,
    output: Receiver<(Instant, Vec<u8>)>,
    unread: Vec<u8>,
    unread_at: Instant,
    matched: usize,
    bytes: u64,
    parser: vt100::Parser,
    /// The last of what was shown, where its bytes and not their effect are of interest.
    tail: Vec<u8>,
    /// The modes of the line discipline before the program began.
    modes: String,
}

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_facetty");

impl Terminal {
    /// Starts the program with these arguments in a true-colour terminal of `size`; its standard
    /// input is the terminal, or `stdin` (a FIFO is opened once somebody writes to it).
    pub fn start<S: AsRef<str>>(size: Cells, args: &[S], stdin: Option<&Path>) -> Self {
        Self::start_with(size, args, stdin, &[])
    }

    /// Likewise, with these variables in its environment.
    pub fn start_with<S: AsRef<str>>(
        size: Cells,
        args: &[S],
        stdin: Option<&Path>,
        env: &[(&str, &str)],
    ) -> Self {
        let mut command = match stdin {
            None => CommandBuilder::new(PROGRAM),
            Some(path) => {
                let mut shell = shell("exec \"$0\" \"$@\" <\"$STDIN\"");
                shell.env("STDIN", path);
                shell
            }
        };
        command.args(args.iter().map(AsRef::as_ref));
        Self::spawn(size, command, env)
    }

    /// Starts a shell with this script, in which `"$0" "$@"` is the program with these arguments.
    pub fn start_shell<S: AsRef<str>>(size: Cells, script: &str, args: &[S]) -> Self {
        let mut command = shell(script);
        command.args(args.iter().map(AsRef::as_ref));
        Self::spawn(size, command, &[])
    }

    /// Starts a command likewise.
    pub fn spawn(size: Cells, mut command: CommandBuilder, env: &[(&str, &str)]) -> Self {
        let pair = native_pty_system()
            .openpty(pty_size(size))
            .expect("there are pseudo-terminals");
        for name in [
            "FACETTY_SERVER",
            "NO_COLOR",
            "TMUX",
            "STY",
            "TERM_PROGRAM",
            "VTE_VERSION",
            "RUST_BACKTRACE",
        ] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        command.env("XDG_CONFIG_HOME", "/nonexistent");
        for (name, value) in env {
            command.env(name, value);
        }
        let modes = modes(&*pair.master);
        let child = pair
            .slave
            .spawn_command(command)
            .expect("the program was built beside this");
        let mut reader = pair.master.try_clone_reader().expect("a fresh pseudo-terminal");
        let keys = pair.master.take_writer().expect("taken once");
        let keys = Arc::new(Mutex::new(keys));
        let (chunk, output) = channel();
        let answers = Arc::downgrade(&keys);
        let paused = Arc::new(Mutex::new(()));
        let gate = Arc::clone(&paused);
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            let mut questions = Questions::default();
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                drop(gate.lock().expect("nobody panics with it"));
                if let Some(keys) = answers.upgrade() {
                    let answer = questions.answer(&buffer[..length]);
                    let mut keys = keys.lock().expect("nobody panics with it");
                    let _ = keys.write_all(&answer).and_then(|()| keys.flush());
                }
                if chunk.send((clock::now(), buffer[..length].to_vec())).is_err() {
                    return;
                }
            }
        });
        Self {
            master: Some(pair.master),
            keys: Some(keys),
            paused,
            child,
            output,
            unread: Vec::new(),
            unread_at: clock::now(),
            matched: 0,
            bytes: 0,
            parser: vt100::Parser::new(size.rows, size.cols, 0),
            tail: Vec::new(),
            modes,
        }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it was started")
    }

    /// Types.
    pub fn type_keys(&mut self, keys: &str) {
        let to = self.keys.as_ref().expect("the terminal is open");
        let mut to = to.lock().expect("nobody panics with it");
        to.write_all(keys.as_bytes())
            .and_then(|()| to.flush())
            .expect("the terminal takes keys");
    }

    /// Reads nothing of what is written to it for so long.
    pub fn pause(&mut self, time: Duration) {
        let _paused = self.paused.lock().expect("nobody panics with it");
        let until = clock::now() + time;
        while clock::now() < until {
            thread::park_timeout(until.saturating_duration_since(clock::now()));
        }
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, size: Cells) {
        let master = self.master.as_ref().expect("the terminal is open");
        master.resize(pty_size(size)).expect("any size will do");
        self.parser.screen_mut().set_size(size.rows, size.cols);
    }

    /// Reads to the end of the next frame and returns when it had arrived, or `None` where none came
    /// until `until` or the program has ended.
    pub fn frame(&mut self, until: Instant) -> Option<Instant> {
        loop {
            if let Some(length) = self.end_of_frame() {
                self.show(length);
                return Some(self.unread_at);
            }
            self.show(self.unread.len());
            let left = until.saturating_duration_since(clock::now());
            match self.output.recv_timeout(left) {
                Ok((at, chunk)) => {
                    self.unread = chunk;
                    self.unread_at = at;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// How many of the unread bytes belong to this frame, where its end is among them.
    fn end_of_frame(&mut self) -> Option<usize> {
        for (index, &byte) in self.unread.iter().enumerate() {
            self.matched = match byte {
                byte if byte == END_OF_FRAME[self.matched] => self.matched + 1,
                byte => usize::from(byte == END_OF_FRAME[0]),
            };
            if self.matched == END_OF_FRAME.len() {
                self.matched = 0;
                return Some(index + 1);
            }
        }
        None
    }

    fn show(&mut self, length: usize) {
        self.parser.process(&self.unread[..length]);
        self.tail.extend_from_slice(&self.unread[..length]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        self.unread.drain(..length);
        self.bytes += length as u64;
    }

    /// Reads frames until the screen fits; panics with the screen where it never does.
    pub fn until(&mut self, what: &str, fits: impl Fn(&vt100::Screen) -> bool) {
        let until = clock::now() + DEADLINE;
        while !fits(self.parser.screen()) {
            if self.frame(until).is_none() {
                panic!(
                    "never: {what}; the screen is\n{}",
                    self.parser.screen().contents()
                );
            }
        }
    }

    /// Reads frames for so long; returns how many and how many bytes they were.
    pub fn watch(&mut self, duration: Duration) -> (u64, u64) {
        let until = clock::now() + duration;
        let before = self.bytes;
        let mut frames = 0;
        while self.frame(until).is_some() {
            frames += 1;
        }
        (frames, self.bytes - before)
    }

    /// What is shown.
    pub fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// The brightness of what is shown, two square pixels a cell, as the Y plane of a picture.
    pub fn pixels(&self) -> I420 {
        let screen = self.parser.screen();
        let (rows, cols) = screen.size();
        let size = Size::new(u32::from(cols), u32::from(rows) * 2);
        let mut picture = I420::new(size);
        let luma = &mut picture.planes_mut()[0];
        for row in 0..rows {
            for col in 0..cols {
                let Some(cell) = screen.cell(row, col) else {
                    continue;
                };
                let (fg, bg) = match cell.inverse() {
                    false => (cell.fgcolor(), cell.bgcolor()),
                    true => (cell.bgcolor(), cell.fgcolor()),
                };
                let (fg, bg) = (brightness(fg), brightness(bg));
                let (top, bottom) = match cell.contents() {
                    "▀" => (fg, bg),
                    "▄" => (bg, fg),
                    "█" => (fg, fg),
                    "▌" | "▐" => (fg.midpoint(bg), fg.midpoint(bg)),
                    _ => (bg, bg),
                };
                let (x, y, width) = (usize::from(col), usize::from(row) * 2, usize::from(cols));
                luma[y * width + x] = top;
                luma[(y + 1) * width + x] = bottom;
            }
        }
        picture
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Reads to the end of the program and checks that its terminal is as it was found. Returns how
    /// it ended and what can be read then.
    pub fn restored(mut self) -> (ExitStatus, String) {
        let status = self.read_to_end();
        let master = self.master.as_ref().expect("the terminal is open");
        assert_eq!(modes(&**master), self.modes, "the modes of the line discipline");
        let screen = self.parser.screen();
        assert!(!screen.alternate_screen(), "the alternate screen is left");
        assert!(!screen.hide_cursor(), "the cursor is seen");
        assert!(!screen.bracketed_paste() && !screen.application_cursor());
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        let wraps = self.tail.windows(5).any(|bytes| bytes == b"\x1b[?7h");
        assert!(wraps, "lines wrap again");
        (status, screen.contents())
    }

    /// Closes the terminal, as when its window is closed, and waits for the end of the program.
    pub fn closed(mut self) -> ExitStatus {
        // The reader lets go with the next output, which is a frame later.
        self.output = channel().1;
        self.master = None;
        self.keys = None;
        let mut killer = self.child.clone_killer();
        let (ended, end) = channel::<()>();
        let watchdog = thread::spawn(move || {
            let is_late = end.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout);
            if is_late {
                let _ = killer.kill();
            }
            is_late
        });
        let status = self.child.wait().expect("a child can be waited for");
        drop(ended);
        let is_late = watchdog.join().expect("it does not panic");
        assert!(!is_late, "ends with its terminal");
        status
    }

    /// Reads to the end of the program.
    pub fn ended(mut self) -> (ExitStatus, vt100::Parser) {
        let status = self.read_to_end();
        let parser = std::mem::replace(&mut self.parser, vt100::Parser::new(1, 1, 0));
        (status, parser)
    }

    fn read_to_end(&mut self) -> ExitStatus {
        let until = clock::now() + DEADLINE;
        while self.frame(until).is_some() {}
        assert!(
            clock::now() < until,
            "does not end; the screen is\n{}",
            self.parser.screen().contents()
        );
        self.child.wait().expect("a child can be waited for")
    }
}

fn shell(script: &str) -> CommandBuilder {
    let mut shell = CommandBuilder::new("sh");
    shell.args(["-c", script, PROGRAM]);
    shell
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A part of a picture's Y plane, as a picture of its own.
pub fn crop(picture: &I420, x: usize, y: usize, size: Size) -> I420 {
    let from = picture.planes()[0];
    let mut part = I420::new(size);
    let (width, height) = (size.width as usize, size.height as usize);
    let to = &mut part.planes_mut()[0];
    for row in 0..height {
        let start = (y + row) * from.stride + x;
        to[row * width..][..width].copy_from_slice(&from.data[start..][..width]);
    }
    part
}

/// The modes of the line discipline, to be compared.
fn modes(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().expect("a terminal has modes"))
}

fn pty_size(size: Cells) -> PtySize {
    PtySize {
        rows: size.rows,
        cols: size.cols,
        pixel_width: 0,
        pixel_height: 0,
    }
}

/// BT.601 luma, limited range.
fn brightness(color: vt100::Color) -> u8 {
    let [r, g, b] = match color {
        vt100::Color::Rgb(r, g, b) => [r, g, b],
        vt100::Color::Idx(index @ 232..) => [8 + 10 * (index - 232); 3],
        vt100::Color::Idx(index @ 16..) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let cube = index - 16;
            [level(cube / 36), level(cube / 6 % 6), level(cube % 6)]
        }
        vt100::Color::Idx(_) | vt100::Color::Default => [0; 3],
    }
    .map(u32::from);
    u8::try_from(16 + (66 * r + 129 * g + 25 * b + 128) / 256).unwrap_or(235)
}
