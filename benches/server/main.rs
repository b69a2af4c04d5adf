//! What a meeting point costs: its relay beside coturn's, an allocation's and a quiet socket's memory, and
//! how soon a signal is handed on. `make bench BENCH=server`, with the parts `relay memory meeting`.
//!
//! Nothing is drawn at random, so there is no seed.

#![allow(clippy::print_stdout)]

#[path = "../support/parts.rs"]
mod parts;
mod relay;
mod rooms;
mod server;
#[path = "../../tests/support/mod.rs"]
mod support;

/// Bytes of a packet: what a full one of a video stream has, less what DTLS and IP take.
const PACKET: usize = 1100;

fn main() {
    allow_many_sockets();
    let parts = parts::Parts::of_args();
    if parts.has("relay") {
        println!("relayed packets of {PACKET} bytes, one client and one peer on this machine's loopback:");
        println!("{:<34} {:>14} {:>22}", "", "Mbit/s", "Mbit/s a core's second");
        for which in [server::Which::Ours, server::Which::Coturn] {
            match relay::throughput(which, PACKET) {
                Ok(rates) => {
                    for (way, rate) in [("client to peer", rates.out), ("peer to client", rates.back)] {
                        let wanted = which == server::Which::Ours;
                        let verdict = if wanted && rate.a_core < 200.0 {
                            "   UNDER 200"
                        } else {
                            ""
                        };
                        let what = format!("{which}, {way}");
                        println!("{what:<34} {:>14.0} {:>22.0}{verdict}", rate.wall, rate.a_core);
                    }
                }
                Err(why) => println!("{which}: not measured, {why}"),
            }
        }
    }
    if parts.has("memory") {
        println!("\nmemory, resident, of one process:");
        for which in [server::Which::Ours, server::Which::Coturn] {
            match relay::memory(which, 1000) {
                Ok(each) if which == server::Which::Ours => {
                    row("ours, an idle allocation", each, 16.0, "KiB")
                }
                Ok(each) => println!("  {:<32} {each:>27.1} KiB", "coturn, an idle allocation"),
                Err(why) => println!("{which}: not measured, {why}"),
            }
        }
        row("ours, a quiet WebSocket", rooms::memory(1000), 16.0, "KiB");
    }
    if parts.has("meeting") {
        let late = rooms::latency(200);
        println!(
            "\nsignals between two in each of 200 rooms, {} of them:",
            late.count
        );
        println!("  p50 {:.2} ms, p99 {:.2} ms", late.p50, late.p99);
    }
}

fn row(what: &str, here: f64, at_most: f64, unit: &str) {
    let verdict = if here <= at_most { "" } else { "   OVER" };
    println!("  {what:<32} {at_most:>9.0} at most {here:>9.1} {unit}{verdict}");
}

/// Each client has a socket of its own.
fn allow_many_sockets() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, most);
}
