//! The other end of the wire, by hand: a client without a call, a server that misbehaves.

use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::program::{DEADLINE, Server};

/// A socket to a server, on which anything can be said.
pub struct Socket(WebSocket<TcpStream>);

/// What a server said: a message, or that it closed the socket.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// A message.
    Message(Value),
    /// The socket is closed.
    Closed,
}

impl Socket {
    /// Connects, and says nothing yet.
    pub fn open(server: &Server) -> Self {
        Self::open_at(&server.url)
    }

    fn open_at(url: &str) -> Self {
        let address = url.trim_start_matches("ws://").trim_end_matches('/');
        let stream = TcpStream::connect(address).expect("the server listens");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a deadline above zero");
        let (socket, _) =
            tungstenite::client(format!("ws://{address}/ws"), stream).expect("the server speaks WebSocket");
        Self(socket)
    }

    /// Connects and joins; returns the `welcome` too.
    pub fn join(server: &Server, room: &str, name: &str) -> (Self, Value) {
        Self::join_at(&server.url, room, name)
    }

    /// The same, at a server's URL.
    pub fn join_at(url: &str, room: &str, name: &str) -> (Self, Value) {
        let mut socket = Self::open_at(url);
        // The key is the person: as long as a real one, and different for each name.
        let key = format!("{name:0>32}");
        socket
            .say(&json!({"type": "join", "version": 1, "room": room, "name": name, "key": key}).to_string());
        let welcome = socket.next_of("welcome");
        (socket, welcome)
    }

    /// Sends text, whatever it is. The server may have closed already.
    pub fn say(&mut self, text: &str) {
        let _ = self.0.send(Message::text(text));
    }

    /// The next thing the server says.
    pub fn next(&mut self) -> Said {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => {
                    return Said::Message(serde_json::from_str(&text).expect("the server says JSON"));
                }
                Ok(Message::Close(_)) => return Said::Closed,
                Ok(_) => (),
                Err(tungstenite::Error::Io(e)) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("the server says nothing")
                }
                Err(_) => return Said::Closed,
            }
        }
    }

    /// The next message of this type.
    pub fn next_of(&mut self, kind: &str) -> Value {
        loop {
            match self.next() {
                Said::Message(message) if message["type"] == kind => return message,
                Said::Message(_) => (),
                Said::Closed => panic!("closed before {kind}"),
            }
        }
    }
}

/// A server that takes one client, reads its join, says these lines, and stays until the client goes.
pub fn fake_server(lines: Vec<String>) -> (String, JoinHandle<()>) {
    fake_server_at("127.0.0.1:0", lines)
}

/// The same, at this address.
pub fn fake_server_at(address: &str, lines: Vec<String>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind(address).expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("bound"));
    let serve = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("the client comes");
        let mut socket = tungstenite::accept(stream).expect("the client speaks WebSocket");
        let _join = socket.read().expect("the client joins");
        for line in lines {
            if socket.send(Message::text(line)).is_err() {
                return;
            }
        }
        while socket.read().is_ok() {}
    });
    (url, serve)
}
