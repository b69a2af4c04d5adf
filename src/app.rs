//! The program: arguments in, exit status out.

use std::fs::File;
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, MediaArgs, ServeArgs};
use crate::config::Config;
use crate::io::devices::Listing;
use crate::io::doctor::{self, DoctorOptions, Outcome};
use crate::io::drive::{self, Place};
use crate::io::error::CallError;
use crate::io::headless::Events;
use crate::io::serve::{Server, urls};
use crate::io::signals::Signals;
use crate::io::{clock, demo, play};

/// What ends the program otherwise than as asked: an exit status and a line, where it is not said yet.
struct Failure(u8, Option<String>);

impl Failure {
    fn new(status: u8, line: String) -> Self {
        Self(status, Some(line))
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(status, line)) => {
            if let Some(line) = line {
                let _ = writeln!(std::io::stderr(), "facetty: {line}");
            }
            ExitCode::from(status)
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    // These take nothing from the configuration file, so a mistake in it is none of theirs.
    let is_used = !matches!(cli.command, Some(Command::Serve(_) | Command::Devices));
    let mut config = match Config::path(|name| std::env::var(name).ok()) {
        Some(path) if is_used => Config::load(&path).map_err(|error| Failure::new(2, error.to_string()))?,
        _ => Config::default(),
    };
    if let Ok(server) = std::env::var("FACETTY_SERVER")
        && !server.is_empty()
    {
        config.server = Some(server);
    }
    let usage = |line| Failure::new(2, line);
    match cli.command {
        Some(Command::Serve(args)) => block_on(serve(args)),
        Some(Command::Demo(args)) => {
            let log = open_log(&args.media)?;
            let options = args.media.resolve(&config).map_err(usage)?;
            block_on(async { demo::run(options, log).await.map_err(Failure::from) })
        }
        Some(Command::Play(args)) => {
            let options = args.resolve(&config).map_err(usage)?;
            let play = play::run(options);
            block_on(async { play.await.map_err(|error| Failure::new(1, error.to_string())) })
        }
        Some(Command::Devices) => {
            let _ = write!(std::io::stdout(), "{}", Listing::of_system());
            Ok(())
        }
        Some(Command::Doctor(args)) => {
            let options = args.resolve(&config).map_err(usage)?;
            block_on(examine(options))
        }
        None => {
            let log = open_log(&cli.call.media)?;
            let options = cli.call.resolve(&config).map_err(usage)?;
            let call = drive::run(options, Place::ByOptions, log, std::future::pending());
            block_on(async { call.await.map_err(Failure::from) })
        }
    }
}

/// One thread drives everything: sockets and timers of one call, or of a server's rooms.
fn block_on(task: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(1, format!("the runtime does not start: {error}")))?;
    let result = runtime.block_on(task);
    // A thread that waits in a read of standard input keeps nobody.
    runtime.shutdown_background();
    result
}

async fn examine(options: DoctorOptions) -> Result<(), Failure> {
    match doctor::run(options).await {
        Ok(Outcome::Fine) => Ok(()),
        Ok(Outcome::Failing) => Err(Failure(1, None)),
        // As a shell tells of it.
        Ok(Outcome::Interrupted(signal)) => Err(Failure(128 + u8::try_from(signal).unwrap_or(0), None)),
        Err(error) => Err(Failure::new(1, format!("standard output takes nothing: {error}"))),
    }
}

async fn serve(args: ServeArgs) -> Result<(), Failure> {
    allow_many_sockets();
    let headless = args.headless;
    let config = args.resolve().map_err(|line| Failure::new(2, line))?;
    let failure = |error: &dyn std::fmt::Display| Failure::new(1, error.to_string());
    let server = Server::bind(config).map_err(|error| failure(&error))?;
    let mut signals = Signals::new(false).map_err(|error| failure(&error))?;
    let bound = server.local_addr();
    let relay = server.relay_addr().map(|address| address.to_string());
    let scheme = if server.tls().is_some() { "https" } else { "http" };
    let fingerprint = server.tls().map(|tls| tls.fingerprint().to_owned());
    let reachable = urls(scheme, bound);
    let url = reachable
        .first()
        .cloned()
        .unwrap_or_else(|| format!("{scheme}://{bound}"));
    let (page, url) = (url.clone(), url.replacen("http", "ws", 1));
    let events = Events::start(clock::now());
    if headless {
        let mut serving = json!({ "url": url, "page": page, "relay": relay });
        if let Some(fingerprint) = fingerprint {
            serving["fingerprint"] = fingerprint.into();
        }
        events.emit("serving", serving);
    } else {
        let mut out = std::io::stdout();
        let _ = writeln!(out, "facetty serves rooms at");
        for url in &reachable {
            let _ = writeln!(out, "  {}", url.replacen("http", "ws", 1));
        }
        if let Some(relay) = &relay {
            let here = match fingerprint {
                Some(_) => "; TLS at the same port as the rooms",
                None => "",
            };
            let _ = writeln!(
                out,
                "and STUN and TURN at {relay} (UDP and TCP{here}), for those behind NAT"
            );
        }
        if let Some(fingerprint) = &fingerprint {
            let _ = writeln!(out, "with the certificate of SHA-256\n  {fingerprint}");
        }
        let _ = writeln!(
            out,
            "join one with\n  facetty --room NAME --server {url}\nCtrl-C ends it."
        );
    }
    let asked = async {
        loop {
            if let crate::io::signals::Asked::End(..) = signals.next().await {
                return;
            }
        }
    };
    server.run(asked).await;
    if headless {
        events.emit("ended", json!({ "reason": "signal" }));
    }
    Ok(())
}

/// As many sockets as the system lets this process have: the usual limit, 1024, is for programs that
/// `select`, and a relay has a socket for each who is relayed for.
fn allow_many_sockets() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Begins to log where a file was named, and says which.
fn open_log(media: &MediaArgs) -> Result<Option<std::path::PathBuf>, Failure> {
    let Some(path) = media.log.clone() else {
        return Ok(None);
    };
    let file = open_for_append(&path).map_err(|error| {
        Failure::new(
            1,
            format!(
                "--log {}: {error}; choose a file that can be written",
                path.display()
            ),
        )
    })?;
    let level = match media.verbose {
        0 => "warn,facetty=info",
        1 => "info,facetty=debug",
        _ => "trace",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_ansi(false)
        .with_writer(file)
        .init();
    Ok(Some(path))
}

fn open_for_append(path: &Path) -> std::io::Result<File> {
    File::options().create(true).append(true).open(path)
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Failure::new(error.status(), error.to_string())
    }
}
