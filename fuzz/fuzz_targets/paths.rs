//! A client of STUN and TURN servers that say anything, in datagrams and over a connection.
//!
//! The input is a row of packets, each after its length (two bytes) and the way that it comes by (one).

#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use facetty::call::paths::{IcePolicy, PathOutput, Paths};
use facetty::io::clock;
use libfuzzer_sys::fuzz_target;

static BEGIN: LazyLock<Instant> = LazyLock::new(clock::now);

const SERVERS: [&str; 3] = ["stun:h:1", "turn:u:p@h:2", "turn:u:p@h:3?transport=tcp"];

fuzz_target!(|data: &[u8]| {
    let own = SocketAddr::from(([192, 168, 0, 2], 5000));
    let servers = SERVERS.map(|server| server.parse().expect("a server"));
    let mut paths = Paths::new(vec![own], servers.to_vec(), IcePolicy::All);
    let mut now = *BEGIN;
    paths.set_servers(&[], now);
    let (mut stream, mut asked) = (None, [0; 20]);
    let mut rest = data;
    let mut sent = 0;
    loop {
        while let Some(output) = paths.poll_output() {
            match output {
                PathOutput::Resolve { id, port, .. } => {
                    let address = SocketAddr::from(([203, 0, 113, 1], port));
                    paths.handle_resolved(id, Ok(vec![(address, own.ip())]), now);
                }
                PathOutput::Connect { id, .. } => {
                    let leg = (([192, 168, 0, 2], 7000).into(), ([203, 0, 113, 1], 3).into());
                    stream = Some(id);
                    paths.handle_connected(id, leg, now);
                }
                PathOutput::Datagram { bytes, .. } | PathOutput::Stream { bytes, .. } => {
                    sent += 1;
                    if let Some(head) = bytes.first_chunk() {
                        asked = *head;
                    }
                }
                _ => {}
            }
        }
        let [high, low, way, more @ ..] = rest else { break };
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(more.len());
        let (packet, after) = more.split_at(length);
        rest = after;
        let mut packet = packet.to_vec();
        // An answer to what was asked last gets further than any other.
        if way & 0x80 != 0 && packet.len() >= 20 {
            packet[4..20].copy_from_slice(&asked[4..20]);
        }
        now += Duration::from_millis(u64::from(way & 0x7f));
        let port = u16::from(way % 3) + 1;
        match (port, stream) {
            (3, Some(id)) => paths.handle_stream(id, &packet, now, |_, _, _| {}),
            _ => {
                let server = ([203, 0, 113, 1], port).into();
                paths.handle_datagram(server, own, &packet, now, |_, _, _| {});
            }
        }
        while paths.poll_timeout().is_some_and(|due| due <= now) {
            paths.handle_timeout(now);
        }
    }
    // Whatever is said, asking is bounded by time and by what came.
    assert!(sent <= 200 + data.len(), "{sent} packets");
});
