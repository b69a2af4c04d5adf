//! Relays: each is asked for an address as in a call, and a packet is sent through it and back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::call::paths::{IcePolicy, PathOutput, Paths, Server};
use crate::io::clock;
use crate::io::servers::{ServerEvent, Servers};
use crate::io::udp::Udp;

/// A relay answers, and echoes, within this time.
const WITHIN: Duration = Duration::from_millis(4200);

/// A packet that does not come back is sent again.
const AGAIN: Duration = Duration::from_millis(250);

/// So many times, until the echo counts as lost.
const TRIES: u32 = 5;

/// So many echoes are waited for: the first has waited for the permission to send.
const ECHOES: u32 = 2;

/// More servers are not asked at a time: each allocation counts for a user's share.
const MOST: usize = 8;

/// What is sent through a relay; such as ICE sends, so that no channel is bound for it.
const PROBE: [u8; 24] = *b"\0facetty doctor's packet";

/// What became of asking one relay.
pub(super) struct Tried {
    pub(super) server: Server,
    pub(super) result: Result<Relayed, String>,
}

/// A relay that gave an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relayed {
    pub(super) address: SocketAddr,
    pub(super) took: Duration,
    /// There and back through it, the shorter of two; `None`: what was sent did not come back.
    pub(super) echo: Option<Duration>,
}

/// Asks all, side by side.
pub(super) async fn ask(servers: Vec<Server>) -> Vec<Tried> {
    let mut tasks = JoinSet::new();
    for (at, server) in servers.into_iter().take(MOST).enumerate() {
        tasks.spawn(async move {
            let result = ask_one(server.clone()).await;
            (at, Tried { server, result })
        });
    }
    let mut tried = tasks.join_all().await;
    tried.sort_by_key(|(at, _)| *at);
    tried.into_iter().map(|(_, tried)| tried).collect()
}

/// A call's paths with this relay alone, until it has echoed.
struct Trial {
    paths: Paths,
    udp: Udp,
    servers: Servers,
    began: Instant,
    relayed: Option<Relayed>,
    echoes: Echoes,
}

/// The packets that were sent through a relay to itself.
struct Echoes {
    /// When the last one was sent, of how many, and when the next one is due.
    sent: Option<Instant>,
    tries: u32,
    again: Instant,
    /// How many came back, and what the fastest took.
    heard: u32,
    best: Option<Duration>,
}

impl Echoes {
    fn new(now: Instant) -> Self {
        Self {
            sent: None,
            tries: 0,
            again: now,
            heard: 0,
            best: None,
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.heard >= ECHOES || (self.tries >= TRIES && now >= self.again)
    }

    fn handle(&mut self, data: &[u8], now: Instant) {
        let Some(sent) = self.sent.filter(|_| data == PROBE) else {
            return;
        };
        let took = now.saturating_duration_since(sent);
        self.best = Some(self.best.map_or(took, |best| best.min(took)));
        self.heard += 1;
        self.again = now;
    }
}

async fn ask_one(server: Server) -> Result<Relayed, String> {
    let udp = Udp::bind().map_err(|error| format!("no UDP socket can be opened: {error}"))?;
    let began = clock::now();
    let shown = server.url();
    let mut paths = Paths::new(udp.addresses(), vec![server], IcePolicy::Relay);
    paths.set_servers(&[], began);
    let mut trial = Trial {
        paths,
        udp,
        servers: Servers::default(),
        began,
        relayed: None,
        echoes: Echoes::new(began),
    };
    let result = trial.run().await;
    trial.paths.close(clock::now());
    trial.carry_out();
    result.ok_or_else(|| {
        let report = trial.paths.report();
        let why = report.strip_prefix(&format!("{shown}: ")).unwrap_or(&report);
        why.replace("no answer yet", "no answer")
            .replace("not needed", "no answer")
    })
}

impl Trial {
    async fn run(&mut self) -> Option<Relayed> {
        let deadline = self.began + WITHIN;
        loop {
            self.carry_out();
            let now = clock::now();
            let is_over = match self.relayed {
                Some(_) => self.echoes.is_over(now),
                None => self.paths.is_complete(),
            };
            if is_over || now >= deadline {
                let echo = self.echoes.best;
                return self.relayed.map(|relayed| Relayed { echo, ..relayed });
            }
            self.probe(now);
            self.carry_out();
            let wake = [self.paths.poll_timeout(), self.relayed.map(|_| self.echoes.again)];
            let wake = wake.into_iter().flatten().fold(deadline, Instant::min);
            tokio::select! {
                () = self.udp.readable() => self.receive(),
                event = self.servers.event() => self.handle(event),
                () = sleep_until(wake.into()) => self.paths.handle_timeout(clock::now()),
            }
        }
    }

    /// Sends the packet to the relayed address from itself.
    fn probe(&mut self, now: Instant) {
        let Some(Relayed { address, .. }) = self.relayed else {
            return;
        };
        let echoes = &mut self.echoes;
        if now < echoes.again || echoes.tries >= TRIES {
            return;
        }
        echoes.sent = Some(now);
        echoes.tries += 1;
        echoes.again = now + AGAIN;
        self.paths.relay(address, address, PROBE.to_vec(), now);
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.paths.poll_output() {
            match output {
                PathOutput::Datagram {
                    source,
                    destination,
                    bytes,
                } => self.udp.send(source, destination, &bytes),
                PathOutput::Found(candidate) if self.relayed.is_none() => {
                    let now = clock::now();
                    self.relayed = Some(Relayed {
                        address: candidate.addr(),
                        took: now.saturating_duration_since(self.began),
                        echo: None,
                    });
                    self.echoes.again = now;
                }
                other => self.servers.carry_out(other),
            }
        }
    }

    fn receive(&mut self) {
        let Self {
            paths, udp, echoes, ..
        } = self;
        let now = clock::now();
        udp.receive(|source, own, bytes| {
            paths.handle_datagram(source, own, bytes, now, |_, _, data| echoes.handle(data, now));
        });
    }

    fn handle(&mut self, event: ServerEvent) {
        let now = clock::now();
        let Self { paths, echoes, .. } = self;
        match event {
            ServerEvent::Resolved(id, found) => paths.handle_resolved(id, found, now),
            ServerEvent::Connected(id, leg) => paths.handle_connected(id, leg, now),
            ServerEvent::Bytes(id, bytes) => {
                paths.handle_stream(id, &bytes, now, |_, _, data| echoes.handle(data, now));
            }
            ServerEvent::Closed(id, why) => paths.handle_closed(id, &why, now),
        }
    }
}
