//! A thin line: a real ssh client in a terminal, a real sshd, and between them a proxy that passes so
//! many bytes a second.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use facetty::io::clock;
use facetty::units::Cells;
use portable_pty::CommandBuilder;

use super::terminal::Terminal;

/// What the proxy passes at a time: finer than anybody sees.
const SLICE: Duration = Duration::from_millis(5);

/// An sshd behind a proxy. Everything ends when it is dropped.
pub struct Line {
    folder: tempfile::TempDir,
    port: u16,
    /// Bytes a second from the server to the client.
    rate: Arc<AtomicU64>,
}

impl Line {
    /// Opens a line of so many bytes a second; `None` where there is no sshd, and says so.
    pub fn open(rate: u64) -> Option<Self> {
        let sshd = find("sshd")?;
        find("ssh")?;
        let keygen = find("ssh-keygen")?;
        let folder = tempfile::tempdir().expect("there is room for a folder");
        for name in ["host", "user"] {
            let mut command = Command::new(&keygen);
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
            let status = command.arg(folder.path().join(name)).status();
            assert!(status.expect("ssh-keygen runs").success());
        }
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nPrintMotd no\nPrintLastLog no\n",
            at("host"),
            at("user.pub")
        );
        std::fs::write(folder.path().join("config"), config).expect("there is room");
        // Where sshd gives its privileges away; it is there once the system has started one.
        let _ = std::fs::create_dir_all("/run/sshd");
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback is there");
        let port = listener.local_addr().expect("it is bound").port();
        let line = Self {
            port,
            rate: Arc::new(AtomicU64::new(rate)),
            folder,
        };
        let (rate, config) = (Arc::clone(&line.rate), line.folder.path().join("config"));
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let (rate, sshd, config) = (Arc::clone(&rate), sshd.clone(), config.clone());
                thread::spawn(move || serve(client, &rate, &sshd, &config));
            }
        });
        Some(line)
    }

    /// The line passes so many bytes a second from now on; 0: nothing.
    pub fn set_rate(&self, rate: u64) {
        self.rate.store(rate, Ordering::Release);
    }

    /// A command line at the far end, with neither a terminal there nor here.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(self.options()).args(["127.0.0.1", line]);
        command
    }

    fn options(&self) -> Vec<String> {
        let key = self.folder.path().join("user").display().to_string();
        let port = self.port.to_string();
        let mut options: Vec<_> = ["-F", "none", "-p", &port, "-i", &key].map(str::to_owned).into();
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "IdentitiesOnly=yes",
            "LogLevel=ERROR",
        ] {
            options.extend(["-o".to_owned(), option.to_owned()]);
        }
        options
    }

    /// The program with these arguments at the far end, in a terminal of `size` at this one.
    pub fn terminal(&self, size: Cells, args: &[&str]) -> Terminal {
        let mut command = CommandBuilder::new("ssh");
        command.arg("-tt");
        command.args(self.options());
        command.args([
            "127.0.0.1",
            "env",
            "COLORTERM=truecolor",
            "XDG_CONFIG_HOME=/nonexistent",
        ]);
        command.arg(env!("CARGO_BIN_EXE_facetty"));
        command.args(args);
        Terminal::spawn(size, command, &[])
    }
}

/// The program's path; says so where there is none.
#[allow(clippy::print_stderr)]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: there is no {program} (see .ci/setup test)");
    }
    found
}

/// One connection: `sshd -i` at one end of a socket, its other end tied to the client's by the proxy.
fn serve(client: TcpStream, rate: &Arc<AtomicU64>, sshd: &Path, config: &Path) {
    let inner = TcpListener::bind("127.0.0.1:0").expect("the loopback is there");
    let near = TcpStream::connect(inner.local_addr().expect("it is bound")).expect("somebody listens");
    let (far, _) = inner.accept().expect("it was connected to");
    let stdio =
        |stream: &TcpStream| Stdio::from(OwnedFd::from(stream.try_clone().expect("there are descriptors")));
    let mut command = Command::new(sshd);
    command
        .args(["-i", "-f"])
        .arg(config)
        .stdin(stdio(&far))
        .stdout(stdio(&far))
        .stderr(Stdio::null());
    let mut server: Child = command.spawn().expect("sshd runs");
    drop((far, command));
    let _ = client.set_nodelay(true);
    let _ = near.set_nodelay(true);
    let up = {
        let (mut from, mut to) = (
            client.try_clone().expect("there are descriptors"),
            near.try_clone().expect("there are descriptors"),
        );
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        })
    };
    let _ = pass(near, client.try_clone().expect("there are descriptors"), rate);
    let _ = client.shutdown(Shutdown::Both);
    let _ = up.join();
    let _ = server.kill();
    let _ = server.wait();
}

/// Passes bytes at the line's rate. What does not pass yet waits where it would on a real line: in the
/// buffers of the sockets.
fn pass(mut from: TcpStream, mut to: TcpStream, rate: &AtomicU64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut due = clock::now();
    loop {
        let rate = rate.load(Ordering::Acquire);
        if rate == 0 {
            thread::park_timeout(SLICE);
            continue;
        }
        let slice = (rate * SLICE.as_millis() as u64 / 1000).clamp(1, buffer.len() as u64) as usize;
        let length = from.read(&mut buffer[..slice])?;
        if length == 0 {
            return Ok(());
        }
        let now = clock::now();
        due = due.max(now) + Duration::from_secs_f64(length as f64 / rate as f64);
        wait_until(due);
        to.write_all(&buffer[..length])?;
    }
}

fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(clock::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}
