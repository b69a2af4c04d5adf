//! Setting up: the messages of the WebSocket and the server's rooms (sans-IO).

pub mod code;
pub mod guesses;
pub mod invite;
pub mod limits;
pub mod message;
pub mod relay;
pub mod rooms;
