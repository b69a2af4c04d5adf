//! A STUN and TURN server that is sent anything: by datagrams, over a connection, and from peers.
//!
//! The input is a row of packets, each after its length (two bytes) and the way that it comes by (one).

#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use facetty::call::paths::Frames;
use facetty::io::clock;
use facetty::signal::relay::{
    Action, Client, HEADROOM, LegId, Ports, RelayConfig, RelayLimits, Relays, Secret, TAILROOM, Wanted,
};
use libfuzzer_sys::fuzz_target;
use turn_types::stun::message::Message;

static BEGIN: LazyLock<Instant> = LazyLock::new(clock::now);
const UNIX: u64 = 1_800_000_000;

fuzz_target!(|data: &[u8]| {
    let config = RelayConfig {
        secret: Secret::new(b"fuzz"),
        allow_private: false,
        limits: RelayLimits::default(),
    };
    let mut relays = Relays::new(config, *BEGIN);
    relays.set_ports(Ports {
        addresses: [Some([203, 0, 113, 1].into()), None],
        main: 3478,
        second: 3479,
    });
    let client = |stream| Client {
        address: SocketAddr::from(([192, 0, 2, 9], 5000)),
        stream,
    };
    let (mut frames, mut opened, mut now) = (Frames::default(), 0, *BEGIN);
    let mut rest = data;
    while let [high, low, way, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(more.len());
        let (packet, after) = more.split_at(length);
        rest = after;
        now += Duration::from_millis(u64::from(*way));
        let mut open = |wanted: Wanted| {
            opened += 1;
            let port = 50_000 + opened * 2 + u16::from(!wanted.is_even);
            Ok((LegId(u64::from(opened)), SocketAddr::from(([203, 0, 113, 1], port))))
        };
        let times = (now, UNIX);
        match way % 4 {
            0 => check(&relays.handle_client(client(None), packet, times, &mut open), packet),
            1 => check(&relays.handle_second(client(None), packet), packet),
            2 => {
                frames.push(packet);
                while let Ok(Some(frame)) = frames.next_frame() {
                    check(&relays.handle_client(client(Some(5)), frame, times, &mut open), frame);
                }
            }
            _ => {
                let mut buffer = vec![0; HEADROOM + packet.len() + TAILROOM];
                let inside = HEADROOM..HEADROOM + packet.len();
                buffer[inside.clone()].copy_from_slice(packet);
                let peer = SocketAddr::from(([198, 51, 100, 7], 6000));
                let whole = relays.handle_peer(LegId(1), peer, &mut buffer, inside, now);
                assert!(whole.is_none_or(|(_, whole)| whole.end <= buffer.len()));
            }
        }
        relays.handle_timeout(now);
    }
});

fn check(action: &Action, packet: &[u8]) {
    match action {
        Action::Reply(answer) | Action::ReplyFromOther(answer) => {
            assert!(Message::from_bytes(answer).is_ok());
        }
        // Nobody here has credentials.
        Action::ToPeer { data, .. } | Action::Loop { data, .. } => {
            panic!("{data:?} of {packet:?} leaves")
        }
        Action::Drop => {}
    }
}
