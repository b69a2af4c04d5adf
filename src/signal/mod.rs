//! Setting up: the messages of the WebSocket and the server's rooms (sans-IO).

pub mod message;
