//! Packets through a relay, and what an allocation holds.

use std::net::UdpSocket;
use std::time::Duration;

use facetty::io::clock;

use super::server::{Turn, Which};

/// Each way is measured for so long.
const TIME: Duration = Duration::from_secs(5);

/// Packets under way: few enough for the sockets' buffers, many enough that the relay never waits.
const WINDOW: usize = 64;

/// A packet that has not come within this time was lost.
const LOST: Duration = Duration::from_millis(20);

pub struct Rates {
    pub out: Rate,
    pub back: Rate,
}

/// Megabits a second, of the clock and of the server's time on a core.
pub struct Rate {
    pub wall: f64,
    pub a_core: f64,
}

/// Both ways through one channel.
pub fn throughput(which: Which, length: usize) -> Result<Rates, String> {
    let turn = Turn::start(which)?;
    let peer = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let peer_address = peer.local_addr().map_err(|error| error.to_string())?;
    let mut client = turn.client(&turn.user(0));
    let refused = |code| format!("it refused: {code}");
    let relayed = client.allocate().map_err(refused)?;
    client.bind(0x4000, peer_address).map_err(refused)?;
    let mut channel = vec![0x40, 0, (length >> 8) as u8, length as u8];
    channel.resize(4 + length, 0xaa);
    let plain = vec![0xaa; length];
    for socket in [&client.socket, &peer] {
        socket.set_read_timeout(Some(LOST)).expect("above zero");
    }
    let measure = |send: &dyn Fn(), receive: &dyn Fn() -> bool| {
        let (begin, cpu) = (clock::now(), turn.cpu_seconds());
        let mut come = 0_u64;
        while clock::now() - begin < TIME {
            for _ in 0..WINDOW {
                send();
            }
            come += (0..WINDOW).take_while(|_| receive()).count() as u64;
        }
        let megabits = come as f64 * length as f64 * 8.0 / 1e6;
        Rate {
            wall: megabits / (clock::now() - begin).as_secs_f64(),
            a_core: megabits / (turn.cpu_seconds() - cpu),
        }
    };
    let buffer = std::cell::RefCell::new(vec![0; 2048]);
    let comes = |socket: &UdpSocket, length: usize| {
        socket
            .recv(&mut buffer.borrow_mut())
            .is_ok_and(|come| come == length)
    };
    let out = measure(&|| drop(client.socket.send(&channel)), &|| comes(&peer, length));
    let back = measure(&|| drop(peer.send_to(&plain, relayed)), &|| {
        comes(&client.socket, 4 + length)
    });
    Ok(Rates { out, back })
}

/// What each of so many allocations adds to the server, in KiB.
pub fn memory(which: Which, count: usize) -> Result<f64, String> {
    let turn = Turn::start(which)?;
    let users: Vec<_> = (0..count.div_ceil(10)).map(|id| turn.user(id)).collect();
    let mut clients: Vec<_> = (0..count).map(|at| turn.client(&users[at / 10])).collect();
    // What the first one needs is there once.
    let refused = |code| format!("it refused: {code}");
    clients[0].allocate().map_err(refused)?;
    let before = turn.memory();
    for client in &mut clients[1..] {
        client.allocate().map_err(refused)?;
    }
    Ok((turn.memory() - before) / (count - 1) as f64)
}
