//! From `peer-joined` to `connected` in real networks, in namespaces that this makes itself (root only; see
//! `tests/support/network.rs`). `make bench BENCH=paths`, and the names of situations to choose.
//!
//! One person is there, the other comes; both tell their time, and the longer one counts. The namespaces have no
//! delay of their own, so a line's round trips are to be added.

#![allow(clippy::print_stdout)]

#[path = "support/parts.rs"]
mod parts;
#[cfg(target_os = "linux")]
#[path = "../tests/support/mod.rs"]
mod support;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("network namespaces are Linux's alone");
}

#[cfg(target_os = "linux")]
fn main() {
    situations::measure(&parts::Parts::of_args());
}

#[cfg(target_os = "linux")]
mod situations {
    use crate::parts::Parts;
    use crate::support::network::{Nat, SERVER, Tls, Wall, World, certificate};
    use crate::support::program::Program;

    const RUNS: usize = 20;

    /// Where two people are, and by what they are helped.
    struct Situation {
        name: &'static str,
        what: &'static str,
        homes: [Option<(Nat, Wall)>; 2],
        relay: Relay,
        /// Milliseconds.
        at_most: f64,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Relay {
        Own,
        Coturn,
        CoturnTls,
    }

    const NAT: Option<(Nat, Wall)> = Some((Nat::PortRestricted, Wall::Open));
    const SYMMETRIC: Option<(Nat, Wall)> = Some((Nat::Symmetric, Wall::Open));
    const NO_UDP: Option<(Nat, Wall)> = Some((Nat::PortRestricted, Wall::NoUdp));
    const WEB: Option<(Nat, Wall)> = Some((Nat::PortRestricted, Wall::WebAlone));

    const fn situation(
        name: &'static str,
        what: &'static str,
        homes: [Option<(Nat, Wall)>; 2],
        relay: Relay,
        at_most: f64,
    ) -> Situation {
        Situation {
            name,
            what,
            homes,
            relay,
            at_most,
        }
    }

    const SITUATIONS: [Situation; 8] = [
        situation("one", "one network", [None, None], Relay::Own, 150.0),
        situation("out", "NAT to public", [NAT, None], Relay::Own, 400.0),
        situation("two", "NAT to NAT", [NAT, NAT], Relay::Own, 400.0),
        situation(
            "sy1",
            "symmetric and NAT, own relay",
            [SYMMETRIC, NAT],
            Relay::Own,
            600.0,
        ),
        situation(
            "sy2",
            "symmetric on both, own relay",
            [SYMMETRIC, SYMMETRIC],
            Relay::Own,
            600.0,
        ),
        situation(
            "co2",
            "symmetric on both, coturn",
            [SYMMETRIC, SYMMETRIC],
            Relay::Coturn,
            600.0,
        ),
        situation(
            "tcp",
            "UDP blocked, own relay by TCP",
            [NO_UDP, NAT],
            Relay::Own,
            600.0,
        ),
        situation(
            "tls",
            "only TCP 443, coturn by TLS",
            [WEB, NAT],
            Relay::CoturnTls,
            600.0,
        ),
    ];

    pub fn measure(parts: &Parts) {
        println!("{RUNS} runs each, in ms\n");
        println!(
            "{:<32} {:>8} {:>8} {:>8} {:>8} {:>10}",
            "situation", "at most", "median", "fastest", "slowest", "connected"
        );
        for situation in SITUATIONS.iter().filter(|situation| parts.has(situation.name)) {
            let Some(times) = run(situation) else { return };
            let mut times = times;
            times.sort_by(f64::total_cmp);
            println!(
                "{:<32} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>10}",
                situation.what,
                situation.at_most,
                times[times.len() / 2],
                times[0],
                times[times.len() - 1],
                format!("{} of {RUNS}", times.len())
            );
        }
    }

    /// The times of a situation; `None` where no namespaces can be made.
    fn run(situation: &Situation) -> Option<Vec<f64>> {
        let mut world = World::new(situation.name, situation.homes)?;
        let folder = tempfile::tempdir().expect("a folder");
        let tls = (situation.relay == Relay::CoturnTls).then(|| certificate(folder.path()));
        let _server = match (situation.relay, &tls) {
            (Relay::Own, _) => world.serve(&["--turn-allow-private"]),
            (_, Some(tls)) => {
                world.coturn(3479, &["--tls-listening-port=443", &tls.cert, &tls.pkey]);
                foreign(&world, "turns:10.50.0.10:443")
            }
            (_, None) => {
                world.coturn(3479, &["--no-tls"]);
                foreign(&world, "turn:10.50.0.10:3479?transport=tcp")
            }
        };
        Some((0..RUNS).map(|_| connect(&world, tls.as_ref())).collect())
    }

    fn foreign(world: &World, more: &str) -> Program {
        world.serve(&[
            "--no-turn",
            "--turn-secret",
            "common",
            "--ice-server",
            "stun:10.50.0.10:3479",
            "--ice-server",
            "turn:10.50.0.10:3479",
            "--ice-server",
            more,
        ])
    }

    fn connect(world: &World, tls: Option<&Tls>) -> f64 {
        let mut first = match tls {
            Some(tls) => world.join_trusting(tls, "p1", SERVER),
            None => world.join("p1", SERVER, &[]),
        };
        first.event("joined");
        let mut second = world.join("p2", SERVER, &[]);
        let ms = |side: &mut Program| side.event("connected")["ms"].as_f64().expect("a time");
        let longest = ms(&mut first).max(ms(&mut second));
        first.leave();
        second.leave();
        longest
    }
}
