//! The two servers: ours as its own process, and coturn where it is installed.

use std::fmt;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use facetty::io::clock;
use facetty::signal::relay::Secret;
use serde_json::Value;

use crate::support::program::{DEADLINE, Server};
use crate::support::socket::Socket;
use crate::support::turn::TurnClient;

#[derive(Clone, Copy, PartialEq)]
pub enum Which {
    Ours,
    Coturn,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Coturn => "coturn",
        })
    }
}

/// A TURN server that runs.
pub struct Turn {
    pub pid: u32,
    pub address: SocketAddr,
    kind: Kind,
}

enum Kind {
    Ours(Box<Server>),
    Coturn(Child),
}

impl Turn {
    /// With loopback peers.
    pub fn start(which: Which) -> Result<Self, String> {
        match which {
            Which::Ours => {
                let (server, address, pid) = Server::with_relay(&["--turn-allow-private"]);
                Ok(Self {
                    pid,
                    address,
                    kind: Kind::Ours(Box::new(server)),
                })
            }
            Which::Coturn => {
                // Free for both, a moment ago.
                let port = std::net::TcpListener::bind("127.0.0.1:0")
                    .and_then(|listener| listener.local_addr())
                    .map_err(|error| error.to_string())?
                    .port();
                let child = Command::new("turnserver")
                    .args([
                        "-n",
                        "--listening-ip=127.0.0.1",
                        "--relay-ip=127.0.0.1",
                        "--realm=bench",
                    ])
                    .args([
                        "--no-cli",
                        "--no-tls",
                        "--no-dtls",
                        "--fingerprint",
                        "--allow-loopback-peers",
                    ])
                    .args([
                        "--use-auth-secret",
                        "--static-auth-secret=bench",
                        "--log-file=/dev/null",
                    ])
                    .args(["--no-stdout-log", "--pidfile=/dev/null", "--relay-threads=1"])
                    .arg(format!("--listening-port={port}"))
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .map_err(|error| format!("coturn does not start: {error}"))?;
                let turn = Self {
                    pid: child.id(),
                    address: ([127, 0, 0, 1], port).into(),
                    kind: Kind::Coturn(child),
                };
                let until = clock::now() + DEADLINE;
                while std::net::TcpStream::connect(turn.address).is_err() {
                    if clock::now() > until {
                        return Err("coturn does not listen".into());
                    }
                    std::thread::yield_now();
                }
                Ok(turn)
            }
        }
    }

    /// Credentials for ten clients.
    pub fn user(&self, id: usize) -> (String, String) {
        match &self.kind {
            Kind::Ours(server) => {
                let (_, welcome) = Socket::join(server, &format!("room{id}"), &format!("user{id}"));
                let servers = welcome["iceServers"].as_array().expect("servers").clone();
                let turn = servers.iter().find(|server| server["username"].is_string());
                let word = |field: &str| {
                    turn.and_then(|turn: &Value| turn[field].as_str())
                        .expect("a word")
                        .to_owned()
                };
                (word("username"), word("credential"))
            }
            Kind::Coturn(_) => Secret::new(b"bench").credentials(&id.to_string(), clock::unix() + 3600),
        }
    }

    pub fn client(&self, (user, password): &(String, String)) -> TurnClient {
        TurnClient::new(self.address, user, password)
    }

    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // After the name, which is in parentheses and may hold anything: utime and stime, fields 14 and 15.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|f| f.parse::<f64>().ok())
                .unwrap_or(f64::NAN)
        };
        // Linux tells all programs in hundredths, whatever its own clock is.
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Resident, in KiB.
    pub fn memory(&self) -> f64 {
        resident(self.pid)
    }
}

/// Resident memory of a process, in KiB.
pub fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or(f64::NAN)
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Kind::Coturn(child) = &mut self.kind {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A meeting point alone, with room for everyone.
pub fn meeting_point() -> (Server, u32) {
    let (server, _, pid) = Server::with_relay(&["--max-rooms", "2000"]);
    (server, pid)
}
