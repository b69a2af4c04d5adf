//! The real program as a child process: events out, commands in.

#![allow(clippy::print_stderr)] // Why nothing was tested.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use facetty::io::clock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Until here everything that is waited for has come, on any machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A person without a screen whom others see and hear.
pub const SEEN_AND_HEARD: &[&str] = &[
    "--headless",
    "--camera",
    "test",
    "--mic",
    "tone",
    "--speaker",
    "none",
];

/// A call with the built-in peer, in the plainest pictures.
pub const DEMO: &[&str] = &[
    "demo",
    "--camera",
    "test",
    "--mic",
    "tone",
    "--speaker",
    "none",
    "--render",
    "half",
];

/// Neither camera nor sound.
pub const NO_DEVICES: &[&str] = &["--camera", "none", "--mic", "none", "--speaker", "none"];

/// A running `facetty --headless`; killed when dropped.
pub struct Program {
    pid: Pid,
    stdin: Option<ChildStdin>,
    events: Receiver<Value>,
    errors: Option<JoinHandle<String>>,
    exit: Receiver<ExitStatus>,
    seen: Vec<Value>,
    args: String,
}

/// How a program ended.
pub struct Ended {
    /// The exit code, or `None` after a signal.
    pub code: Option<i32>,
    /// Everything on standard error.
    pub stderr: String,
    /// Every event since the start.
    pub events: Vec<Value>,
}

impl Program {
    /// Starts the program with these arguments and no configuration of the user's own.
    pub fn start<S: AsRef<str>>(args: &[S]) -> Self {
        Self::spawn(command(args), Stdio::piped(), joined(args))
    }

    /// Likewise, with its standard output to somebody else, so that no event is seen here.
    pub fn start_to<S: AsRef<str>>(stdout: impl Into<Stdio>, args: &[S]) -> Self {
        Self::spawn(command(args), stdout.into(), joined(args))
    }

    /// Likewise, with this path in that variable of its environment.
    pub fn start_with<S: AsRef<str>>(args: &[S], variable: &str, path: &Path) -> Self {
        let mut command = command(args);
        command.env(variable, path);
        Self::spawn(
            command,
            Stdio::piped(),
            format!("with {variable}={}", path.display()),
        )
    }

    /// Likewise, by another program that starts it in its place.
    pub fn start_by(by: &[&str], args: &[&str]) -> Self {
        let inner = command(args);
        let mut outer = Command::new(by[0]);
        outer
            .args(&by[1..])
            .arg(inner.get_program())
            .args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        Self::spawn(outer, Stdio::piped(), joined(args))
    }

    fn spawn(mut command: Command, stdout: Stdio, args: String) -> Self {
        // A group of its own: the kernel stops no process of a group that no shell looks after, and
        // these tests may run in one.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child: Child = command
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built beside this test");
        let stdout = child.stdout.take();
        let mut stderr = child.stderr.take().expect("piped above");
        let stdin = child.stdin.take();
        let pid = Pid::from_child(&child);
        let (event, events) = channel();
        thread::spawn(move || {
            let lines = stdout.into_iter().flat_map(|out| BufReader::new(out).lines());
            for line in lines.map_while(Result::ok) {
                let value =
                    serde_json::from_str(&line).unwrap_or_else(|e| panic!("not an event, {e}: {line}"));
                if event.send(value).is_err() {
                    return;
                }
            }
        });
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let (ended, exit) = channel();
        thread::spawn(move || {
            let status = child.wait().expect("a child can be waited for");
            let _ = ended.send(status);
        });
        Self {
            pid,
            stdin,
            events,
            errors: Some(errors),
            exit,
            seen: Vec::new(),
            args,
        }
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The next event of this name; those before it are kept for [`Program::events`].
    pub fn event(&mut self, name: &str) -> Value {
        self.event_where(name, |_| true)
    }

    /// The event of this name, whether it came already or is yet to come: sound and picture race.
    pub fn once(&mut self, name: &str) -> Value {
        match self.seen.iter().find(|event| event["event"] == name) {
            Some(event) => event.clone(),
            None => self.event(name),
        }
    }

    /// The next event of this name that fits.
    pub fn event_where(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.await_event(name, |event| event["event"] == name && fits(event))
    }

    /// The next event that fits, whatever its name.
    pub fn event_of(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        self.await_event("fitting", fits)
    }

    fn await_event(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = clock::now() + DEADLINE;
        loop {
            let left = until.saturating_duration_since(clock::now());
            match self.events.recv_timeout(left) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if fits(&event) {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {name} event in time\n{}", self.story()),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!(
                        "ended before the {name} event\n{}\nstderr: {}",
                        self.story(),
                        self.stderr()
                    )
                }
            }
        }
    }

    /// Every event so far, in order.
    pub fn events(&mut self) -> &[Value] {
        self.seen.extend(self.events.try_iter());
        &self.seen
    }

    /// Writes one line to the program's standard input.
    pub fn tell(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// Writes to the program's standard input.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("not closed yet");
        let written = stdin.write_all(bytes).and_then(|()| stdin.flush());
        written.expect("the program reads its standard input");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }

    /// Asks it to leave and waits for the end.
    pub fn leave(mut self) -> Ended {
        self.tell(r#"{"do":"leave"}"#);
        self.ended()
    }

    /// Kills it, as a crash would.
    pub fn kill(self) {
        self.signal(Signal::KILL);
        self.ended();
    }

    /// Waits for the end.
    pub fn ended(mut self) -> Ended {
        let status = self
            .exit
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|_| panic!("does not end\n{}", self.story()));
        let stderr = self.stderr();
        // The reader's end of the channel closes once all of standard output was read.
        while let Ok(event) = self.events.recv_timeout(DEADLINE) {
            self.seen.push(event);
        }
        Ended {
            code: status.code(),
            stderr,
            events: std::mem::take(&mut self.seen),
        }
    }

    fn stderr(&mut self) -> String {
        let errors = self.errors.take().expect("asked once, at the end");
        errors.join().expect("the reader does not panic")
    }

    fn story(&mut self) -> String {
        self.seen.extend(self.events.try_iter());
        let mut lines = vec![format!("facetty {}", self.args)];
        lines.extend(self.seen.iter().map(Value::to_string));
        lines.join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // What was reaped already has left its result, or (in `ended`) had it taken.
        if self.errors.is_some() && self.exit.try_recv().is_err() {
            self.signal(Signal::KILL);
        }
    }
}

impl Ended {
    /// The events of this name.
    pub fn all(&self, name: &str) -> Vec<&Value> {
        self.events.iter().filter(|e| e["event"] == name).collect()
    }
}

fn joined<S: AsRef<str>>(args: &[S]) -> String {
    args.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ")
}

/// The program with these arguments, deaf to the user's environment.
pub fn command<S: AsRef<str>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_facetty"));
    command
        .args(args.iter().map(AsRef::as_ref))
        .env_remove("FACETTY_SERVER")
        .env_remove("NO_COLOR")
        .env_remove("SSL_CERT_FILE")
        .env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// The first of these programs that this machine has; `None`, with a word, where it has none of them.
pub fn installed<'a>(names: &[&'a str]) -> Option<&'a str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &&&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let found = names.iter().find(has).copied();
    if found.is_none() {
        eprintln!("skipped: {} is not installed", names[0]);
    }
    found
}

/// A meeting point of its own on a port of its own.
pub struct Server {
    program: Program,
    /// Its address for `--server`.
    pub url: String,
}

impl Server {
    /// On a free port.
    pub fn start() -> Self {
        Self::listen("127.0.0.1:0")
    }

    /// On this address.
    pub fn listen(address: &str) -> Self {
        Self::with(address, &[])
    }

    /// On this address, with `more` options.
    pub fn with(address: &str, more: &[&str]) -> Self {
        let args = ["serve", "--listen", address, "--no-turn", "--headless"];
        Self::of(Program::start(&[&args, more].concat()))
    }

    /// On a free port, with a certificate of its own making, which it keeps in this folder; and where that is.
    pub fn secure(home: &Path) -> (Self, PathBuf) {
        let args = ["serve", "--listen", "127.0.0.1:0", "--no-turn", "--headless"];
        let args = [&args[..], &["--tls", "self-signed"]].concat();
        let server = Self::of(Program::start_with(&args, "XDG_STATE_HOME", home));
        (server, home.join("facetty/tls-cert.pem"))
    }

    fn of(mut program: Program) -> Self {
        let url = program.event("serving")["url"]
            .as_str()
            .expect("a URL")
            .to_owned();
        Self { program, url }
    }

    /// Its page, `http://127.0.0.1:PORT`, or `https:`.
    pub fn page(&self) -> String {
        self.url.replacen("ws", "http", 1)
    }

    /// On a free port of the loopback, with a relay; where that is, and the process.
    pub fn with_relay(more: &[&str]) -> (Self, std::net::SocketAddr, u32) {
        let args = [
            "serve",
            "--headless",
            "--listen",
            "127.0.0.1:0",
            "--turn-listen",
            "127.0.0.1:0",
        ];
        let mut program = Program::start(&[&args, more].concat());
        let serving = program.event("serving");
        let word = |field: &str| serving[field].as_str().expect("a word").to_owned();
        let relay = word("relay").parse().expect("an address");
        let pid = u32::try_from(program.pid.as_raw_nonzero().get()).expect("above zero");
        let url = word("url");
        (Self { program, url }, relay, pid)
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        let url = url::Url::parse(&self.url).expect("the server knows its URL");
        format!(
            "{}:{}",
            url.host_str().expect("a host"),
            url.port_or_known_default().expect("a port")
        )
    }

    /// Kills it, as a crash would.
    pub fn kill(self) {
        self.program.kill();
    }
}

/// The arguments of a person in `room` who has no device, and `more`.
pub fn person(server: &Server, room: &str, name: &str, more: &[&str]) -> Vec<String> {
    let mut args = vec![
        "--headless",
        "--server",
        &server.url,
        "--room",
        room,
        "--name",
        name,
    ];
    for (option, default) in [("--camera", "none"), ("--mic", "none"), ("--speaker", "none")] {
        if !more.contains(&option) {
            args.extend([option, default]);
        }
    }
    args.extend(more);
    args.into_iter().map(String::from).collect()
}

/// `y4m:` and a path, and so on.
pub fn source(kind: &str, path: &Path) -> String {
    format!("{kind}:{}", path.display())
}
