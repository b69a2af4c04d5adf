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
    use crate::support::network::{Meeting, Nat, Relay, Wall, World, certificate};
    use crate::support::program::Program;

    const RUNS: usize = 20;

    /// Where two people are, and by what they are helped.
    struct Situation {
        name: &'static str,
        what: &'static str,
        homes: [Option<(Nat, Wall)>; 2],
        relay: Relay,
        /// The web's port alone is open to the first.
        tls: bool,
        /// Milliseconds.
        at_most: f64,
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
            tls: matches!(homes[0], Some((_, Wall::WebAlone))),
            at_most,
        }
    }

    #[rustfmt::skip]
    const SITUATIONS: [Situation; 10] = [
        situation("one", "one network", [None, None], Relay::Own, 150.0),
        situation("out", "NAT to public", [NAT, None], Relay::Own, 400.0),
        situation("two", "NAT to NAT", [NAT, NAT], Relay::Own, 400.0),
        situation("sy1", "symmetric and NAT, own relay", [SYMMETRIC, NAT], Relay::Own, 600.0),
        situation("sy2", "symmetric on both, own relay", [SYMMETRIC, SYMMETRIC], Relay::Own, 600.0),
        situation("co2", "symmetric on both, coturn", [SYMMETRIC, SYMMETRIC], Relay::Coturn, 600.0),
        situation("tcp", "UDP blocked, own relay by TCP", [NO_UDP, NAT], Relay::Own, 600.0),
        situation("cot", "UDP blocked, coturn by TCP", [NO_UDP, NAT], Relay::Coturn, 600.0),
        situation("tls", "only TCP 443, own relay by TLS", [WEB, NAT], Relay::Own, 600.0),
        situation("ctl", "only TCP 443, coturn by TLS", [WEB, NAT], Relay::Coturn, 600.0),
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
        let tls = situation.tls.then(|| certificate(folder.path()));
        let meeting = world.meet(situation.relay, tls.as_ref());
        Some((0..RUNS).map(|_| connect(&world, &meeting)).collect())
    }

    fn connect(world: &World, meeting: &Meeting) -> f64 {
        let mut first = world.join_at("p1", meeting, &[]);
        first.event("joined");
        let mut second = world.join_at("p2", meeting, &[]);
        let ms = |side: &mut Program| side.event("connected")["ms"].as_f64().expect("a time");
        let longest = ms(&mut first).max(ms(&mut second));
        first.leave();
        second.leave();
        longest
    }
}
